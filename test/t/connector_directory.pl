# Data connectors of kind directory: nothing outside is reached, whatever lies there; files appear whole or not at all.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX qw(mkfifo);
use StrmTest;
use Test::More;

my $base = PostgreSQL::Test::Utils::tempdir();
my $files = "$base/files";
mkdir $files or die;
chmod 0750, $files;
my $node = strm_node('main', conf => <<CONF);
strm_privacy.connector_directory = '$files'
max_worker_processes = 16
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
SELECT strm.create_data_connector('files', 'directory', '{}'), strm.create_data_connector('deep', 'directory', '{"path": "a/b"}');
CREATE TABLE result (session text, "strmMeta.eventContractRef" text, "strmMeta.nonce" text, "strmMeta.timestamp" text, "strmMeta.keyLink" text, "strmMeta.billingId" text, "strmMeta.consentLevels" text);
SQL
strm_contract($node, 'acme/visits/1.0.0', [ [ 'session', 'STRING', undef ] ]);

sub write_file { my ($name, $text) = @_; open my $out, '>', $name or die "$name: $!"; print $out $text; close $out or die }
sub place { my ($connector, $file, $more) = @_; return qq({"data_connector_ref": {"name": "$connector"}, "file_name": "$file") . ($more // '') . '}' }
sub job
{
	my ($source, $target) = @_;
	return qq(CALL strm.run_batch_job(\$j\${"source_data": $source,
		"encryption": {"timestamp_config": {"field": "at", "format": "yyyy-MM-dd HH:mm:ss", "default_time_zone": {"id": "UTC"}}},
		"event_contract_ref": "acme/visits/1.0.0", "encrypted_data": {"target": $target}}\$j\$));
}
# What a job says, in one text: errors with SQLSTATE, and notices.
sub run_job
{
	my (@job) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . job(@job));
	return $err;
}
sub sees { my ($source) = @_; return run_job($source, place('files', 'seen.csv', ', "overwrite": true')) }
sub writes { my ($target) = @_; return run_job(place('files', 'in.csv'), $target) }
# All names below a directory, without following links.
sub tree { my ($dir) = @_; my $list = `cd '$dir' && find . -mindepth 1 | sort`; $list =~ s{^\./}{}mg; return join ' ', split /\n/, $list }
sub mode { my ($name) = @_; return sprintf '%04o', (stat $name)[2] & 07777 }

write_file("$files/in.csv", "session,at\ns1,2024-03-01 12:00:00\n");
write_file("$base/secret.csv", "session,at\ntop secret,2024-03-01 12:00:00\n");

# --- files and directories ---
like(writes(place('files', 'x/y/out.csv')), qr/finished: 1 records/, 'a job reads and writes files');
like(slurp_file("$files/x/y/out.csv"), qr/^"s1"/m, 'the file is there');
is(tree($files), 'in.csv x x/y x/y/out.csv', 'and nothing else');
is(mode("$files/x/y"), '0750', 'a new directory is as open to the group as the one it is in');
is(mode("$files/x/y/out.csv"), '0640', 'and so is a file');
chmod 0700, "$files/x";
like(writes(place('files', 'x/z/out.csv')), qr/finished: 1 records/, 'below a private directory');
is(mode("$files/x/z") . ' ' . mode("$files/x/z/out.csv"), '0700 0600', 'both are private');
like(writes(place('deep', 'c/out.csv')), qr/finished: 1 records/, 'below the path of the location');
ok(-e "$files/a/b/c/out.csv", 'it is there');

# --- a target that exists ---
like(writes(place('files', 'x/y/out.csv')), qr/ERROR: .*(?:already exists|not valid)/, 'a file that exists is not replaced');
write_file("$files/old.csv", 'old');
like(writes(place('files', 'old.csv', ', "overwrite": true')), qr/finished: 1 records/, 'unless the job says so');
like(slurp_file("$files/old.csv"), qr/^"s1"/m, 'the new file is in its place');

# --- links, pipes, directories: none is followed, read or replaced ---
mkdir "$base/outside" or die;
symlink "$base/secret.csv", "$files/link.csv" or die;
symlink $base, "$files/linkdir" or die;
symlink "$base/outside", "$files/x/out" or die;
symlink 'nowhere', "$files/dangling.csv" or die;
mkfifo("$files/fifo.csv", 0600) or die;
mkdir "$files/dir.csv" or die;
for my $name (qw(link.csv dangling.csv fifo.csv dir.csv))
{
	like(sees(place('files', $name)), qr/ERROR:  \w{5}: .*"\Q$name\E" of the data connector is not a regular file/, "$name is not read");
	like(writes(place('files', $name)), qr/ERROR:  \w{5}: /, "$name is not written");
	like(writes(place('files', $name, ', "overwrite": true')), qr/ERROR:  42809: "\Q$name\E" of the data connector is not a regular file/, "$name is not replaced");
}
for my $name (qw(linkdir/secret.csv x/out/new.csv in.csv/new.csv))
{
	unlike(sees(place('files', $name)), qr/finished/, "$name is not read");
	like(writes(place('files', $name, ', "overwrite": true')), qr/ERROR:  22023: .*could not look for file "\Q$name\E" of the data connector: Not a directory/s, "$name is not written");
}
for my $name ('../secret.csv', 'x/../../secret.csv', './in.csv', '/etc/passwd', '', 'a//b', 'a b.csv', "x/..")
{
	like(sees(place('files', $name)), qr/ERROR:  22023: the batch job is not valid/, "'$name' is not a path to read");
	like(writes(place('files', $name)), qr/ERROR:  22023: the batch job is not valid/, "'$name' is not a path to write");
}
is(tree("$base/outside"), '', 'nothing was written outside');
like(slurp_file("$base/secret.csv"), qr/^session,at\ntop secret/, 'nothing was changed there');
ok(!-e "$files/seen.csv" || slurp_file("$files/seen.csv") !~ /secret/, 'nothing was read there');
ok(-l "$files/link.csv" && -p "$files/fifo.csv", 'what is in the way stays');
is(scalar(grep { /\.tmp/ } split / /, tree($files)), 0, 'no temporary file is left');

# --- a file that changes while it is read: the reader waits for a trigger of the target ---
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END';
CREATE TRIGGER wait BEFORE INSERT ON result FOR EACH ROW EXECUTE FUNCTION wait();
SQL
my $big = "session,at\n" . ("some session,2024-03-01 12:00:00\n" x 100_000);
for my $case ([ 'grows', sub { open my $out, '>>', "$files/big.csv" or die; print $out "late,2024-03-01 12:00:00\n"; close $out }, qr/finished: 100000 records/ ],
	[ 'shrinks', sub { truncate "$files/big.csv", 2_000_000 or die }, qr/ERROR:  58030: file "big.csv" of the data connector became shorter while it was read/ ],
	[ 'vanishes', sub { unlink "$files/big.csv" or die }, qr/finished: 100000 records/ ])
{
	my ($what, $change, $expected) = @$case;
	write_file("$files/big.csv", $big);
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('SELECT pg_advisory_lock(42)');
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'psql', '-X', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'),
			'-c', job(place('files', 'big.csv'), '{"table": "public.result", "overwrite": true}') ], '>', \$out, '2>', \$err);
	ok($node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"), "a job waits with its file open ($what)");
	$change->();
	$holder->quit;
	$run->finish;
	like($err, $expected, "a file that $what");
}

# --- a full disk: a limit of size stands for it ---
SKIP:
{
	my $pid = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	skip 'there is no prlimit', 3 if system("prlimit --pid $pid --fsize=20000000:20000000 2>/dev/null") != 0;
	my $err = run_job('{"query": "SELECT repeat(\'x\', 10000) AS session, \'2024-03-01 12:00:00\' AS at FROM generate_series(1, 5000)"}', place('files', 'full.csv'));
	like($err, qr/ERROR:  53100: could not write file "full.csv" of the data connector: File too large/, 'no space for a file');
	ok(!-e "$files/full.csv", 'nothing is in its place');
	is(scalar(grep { /full/ } split / /, tree($files)), 0, 'nor beside it');
}

# --- the setting ---
sub set_directory
{
	my ($value) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET strm_privacy.connector_directory = '$value'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('strm_privacy.connector_directory') = '$value'") or die;
}
mkdir "$base/open" or die;
chmod 0777, "$base/open";
my $data = $node->data_dir;
(my $key_directory = strm_master_key_file($node)) =~ s{/[^/]*$}{};
my $in_data = "$data/base";
symlink $data, "$base/data-link" or die;
for my $case ([ '', 'is not set' ], [ 'files', 'is not an absolute path' ], [ "$base/none", 'is not an existing directory' ],
	[ "$files/in.csv", 'is not an existing directory' ], [ "$base/open", 'may be written to by everybody' ], [ $data, 'is, holds or is inside the data directory' ],
	[ $in_data, 'is, holds or is inside the data directory' ], [ '/', 'is, holds or is inside the data directory' ],
	[ "$base/data-link", 'is, holds or is inside the data directory' ], [ $key_directory, 'holds the master key file' ])
{
	my ($value, $fault) = @$case;
	set_directory($value);
	like(writes(place('files', 'new.csv')), qr/ERROR:  22023: .*data connectors of kind directory cannot be used: strm_privacy.connector_directory \Q$fault\E/s,
		"'$value' $fault");
}
symlink $files, "$base/files-link" or die;
set_directory("$base/files-link");
like(writes(place('files', 'new.csv')), qr/finished: 1 records/, 'the setting itself may be a link');

$node->stop;
done_testing();
