# The rules of the master key file: who may make it, where, when; and what a server does that cannot use it.
use strict;
use warnings;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $keys = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $keys;
my $file = "$keys/master.key";
my $node = strm_node('main', key_file => $file);
my $insert = q{INSERT INTO clicks (strm_consent_levels, session, email) VALUES ('{1}', 's-1', 'a@b.example')};
my $read = 'SELECT session, email FROM clicks_1';

sub write_file
{
	my ($path, $text, $mode) = @_;
	unlink $path;
	append_to_file($path, $text);
	chmod $mode // 0600, $path;
}

sub new_key { my ($id) = @_; return "1 $id " . encode_base64(pack('L8', map { rand(2**32) } 1 .. 8), '') . "\n" }

# The statement fails with this SQLSTATE and message, and a hint.
sub refused
{
	my ($statement, $state, $message, $name, %option) = @_;
	my $on = $option{node} // $node;
	my ($rc, $out, $err) = $on->psql($option{database} // 'postgres', "\\set VERBOSITY verbose\n$statement", on_error_stop => 1);
	like($err, qr/ERROR:  $state: .*$message/, $name);
	like($err, qr/HINT:  \S/, "$name: there is a hint");
	unlike("$out$err", qr/\Q$keys\E/, "$name: the client does not learn the path");
}

# Sealed: what needs a key is refused, what does not works.
sub is_sealed
{
	my ($message, $name) = @_;
	refused($insert, '55000', $message, "$name: INSERT");
	refused($read, '55000', $message, "$name: decryption");
	refused("SELECT strm.data_subject_key_links('c-1')", '55000', $message, "$name: data subjects");
	my $rows = $node->safe_psql('postgres', 'SELECT session FROM clicks');
	like($rows, qr{^A[Q-X][A-Za-z0-9+/]{26,}=*(?:\n|\z)}, "$name: the encrypted stream is readable");
}

sub is_open
{
	my ($name) = @_;
	$node->safe_psql('postgres', $insert);
	is($node->safe_psql('postgres', "SELECT DISTINCT session, email FROM clicks_1"), 's-1|a@b.example', $name);
}

sub set_file
{
	my ($path, $on) = @_;
	$on //= $node;
	$on->append_conf('postgresql.conf', "strm_privacy.master_key_file = '$path'");
	$on->reload;
	$on->poll_query_until('postgres', "SELECT current_setting('strm_privacy.master_key_file') = '$path'") or die 'no reload';
}

# --- making it ---
my $data = $node->data_dir;
my $create = 'CREATE EXTENSION strm_privacy';
set_file('');
refused($create, '55000', 'no master key file is configured', 'no file configured');
set_file('master.key');
refused($create, '55000', 'not absolute', 'relative path');
set_file("$data/master.key");
refused($create, '55000', 'inside the data directory', 'inside the data directory');
ok(!-e "$data/master.key", 'no file is made there');
set_file("$data/base/../master.key");
refused($create, '55000', 'inside the data directory', 'inside the data directory, written otherwise');
symlink $data, "$keys/link" or die;
set_file("$keys/link/master.key");
refused($create, '55000', 'inside the data directory', 'inside the data directory by a linked directory');
ok(!-e "$data/master.key", 'no file is made through a link');
symlink "$data/dangling.key", "$keys/dangling.key" or die;
set_file("$keys/dangling.key");
my ($rc, $out, $err) = $node->psql('postgres', $create);
isnt($rc, 0, 'a link to a file that does not exist: refused');
ok(!-e "$data/dangling.key", 'a link to a file that does not exist: nothing is made');
set_file("$keys/missing/master.key");
($rc, $out, $err) = $node->psql('postgres', $create);
like($err, qr/could not create the master key file/, 'missing directory');
set_file($file);
ok(!-e $file, 'refused CREATE EXTENSIONs made no file');

($rc, $out, $err) = $node->psql('postgres', "BEGIN; $create; ROLLBACK");
like(slurp_file($node->logfile), qr/LOG:  a new master key was created/, 'the log says that a key was made');
my $mode = (stat $file)[2];
is(sprintf('%04o', $mode & 07777), '0600', 'the file is for the server alone');
is_deeply([ glob("$keys/*.new") ], [], 'no temporary file is left');
my $made = slurp_file($file);
like($made, qr{^1 \d+ [A-Za-z0-9+/]{43}=$}m, 'the file holds one key');
($rc, $out, $err) = $node->psql('postgres', $create);
is($rc, 0, 'CREATE EXTENSION after a rollback');
is(slurp_file($file), $made, 'it is unchanged');

$node->safe_psql('postgres', "SELECT strm.create_purpose(1, 'One')");
command_like([ 'pg_dumpall', '--roles-only', '-d', $node->connstr('postgres') ],
	qr/^COMMENT ON ROLE strm_admin IS 'strm_privacy: this cluster has a master key';$/m, 'pg_dumpall takes along that there is a key');
strm_contract($node, 'acme/click/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'email', 'STRING', 1 ], [ 'customer', 'STRING', 1 ] ],
	'"dataSubjectField": "customer"');
$node->safe_psql('postgres', "SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0'), strm.create_derived_stream('clicks', purposes => '{1}')");
$node->safe_psql('postgres', "INSERT INTO clicks (strm_consent_levels, session, email, customer) VALUES ('{1}', 's-1', 'a\@b.example', 'c-1')");
is_open('open');

# --- sealed ---
rename $file, "$keys/away" or die;
is_sealed('the master key file does not exist', 'missing file');
ok(!-e $file, 'missing file: none was made');
mkdir $file or die;
is_sealed('not a regular file', 'a directory');
rmdir $file;
for my $text ('', "\n# nothing\n", '1 5', "1 5 AAAA\n", '2 ' . substr(new_key(5), 2), '1 x ' . substr(new_key(5), 4), new_key(0),
	new_key(4294967296), new_key(7) . new_key(7), substr(new_key(5), 0, -1) . " more\n", 'x' x 9000, join '', map { new_key($_) } 1 .. 17)
{
	write_file($file, $text);
	refused($read, '55000', 'malformed', 'malformed: ' . (substr($text, 0, 12) =~ s/\n/\\n/gr));
}
is_sealed('the master key file is malformed', 'malformed file');
write_file($file, new_key(12345));
is_sealed('the master key that wrapped this key is not available', 'another key');
my ($id) = $made =~ /^1 (\d+) /m;
write_file($file, new_key($id));
($rc, $out, $err) = $node->psql('postgres', $read);
like($err, qr/a wrapped key is damaged, or the master key is another one of the same id/, 'another key of the same id');
unlink $file;
rename "$keys/away", $file or die;
is_open('the file is back');

for my $others (0640, 0620, 0604, 0602, 0660, 0610)
{
	chmod $others, $file;
	refused($read, '55000', 'may be read or written by others', sprintf('mode %04o', $others));
}
is_sealed('the master key file may be read or written by others', 'mode 0610');
chmod 0600, $file;
is_open('mode 0600');
chmod 0400, $file;
is_open('mode 0400');

symlink $file, "$data/master.key" or die;
set_file("$data/master.key");
is_sealed('inside the data directory', 'a link in the data directory');
unlink "$data/master.key";
write_file("$data/master.key", $made);
is_sealed('inside the data directory', 'a file in the data directory');
symlink "$data/master.key", "$keys/into" or die;
set_file("$keys/into");
is_sealed('inside the data directory', 'a link into the data directory');
unlink "$data/master.key";
symlink $file, "$keys/outside" or die;
set_file("$keys/outside");
is_open('a link to a file outside');
set_file('');
is_sealed('no master key file is configured', 'no setting');
set_file($file);
is_open('setting is back');

# --- never a second one ---
$node->safe_psql('postgres', 'CREATE DATABASE second');
rename $file, "$keys/away" or die;
refused($create, '55000', 'the master key file does not exist, although this cluster has had a master key',
	'second database, file missing', database => 'second');
ok(!-e $file, 'second database: no second key was made');
set_file("$keys/other.key");
refused($create, '55000', 'the master key file does not exist, although this cluster has had a master key',
	'second database, file elsewhere', database => 'second');
ok(!-e "$keys/other.key", 'second database: no key was made elsewhere');
set_file($file);
rename "$keys/away", $file or die;
($rc, $out, $err) = $node->psql('second', $create);
is($rc, 0, 'second database with the file');
is(slurp_file($file), $made, 'second database: the file is unchanged');
$node->safe_psql('second', "SELECT strm.create_purpose(1, 'One')");
strm_contract($node, 'acme/click/1.0.0', [ [ 'session', 'STRING', 1 ] ], undef, 'second');
$node->safe_psql('second', "SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0'), strm.create_derived_stream('clicks', purposes => '{1}')");
$node->safe_psql('second', "INSERT INTO clicks (strm_consent_levels, session) VALUES ('{1}', 'second')");
is($node->safe_psql('second', 'SELECT session FROM clicks_1'), 'second', 'second database: works with the same key');
rename $file, "$keys/away" or die;
$node->safe_psql('second', "DROP TABLE clicks CASCADE; DROP EXTENSION strm_privacy");
refused($create, '55000', 'although this cluster has had a master key', 'after DROP EXTENSION', database => 'second');

# an administrator's comment is kept, and starting anew is possible on purpose
$node->safe_psql('postgres', "COMMENT ON ROLE strm_admin IS 'ask Alice'");
$node->safe_psql('second', $create);
ok(-e $file, 'started anew on purpose');
like($node->safe_psql('postgres', "SELECT shobj_description('strm_admin'::regrole, 'pg_authid')"),
	qr/^ask Alice\n.*has a master key$/, 'the comment of an administrator is kept');
is_sealed('the master key that wrapped this key is not available', 'started anew');
$node->safe_psql('second', 'DROP EXTENSION strm_privacy');
rename "$keys/away", $file or die;
is_open('the first key is back');

# --- two keys: the current one first ---
my $current = new_key(77);
write_file($file, $current . $made);
$node->safe_psql('postgres', "INSERT INTO clicks (strm_consent_levels, session, email) VALUES ('{1}', 's-2', 'new')");
is($node->safe_psql('postgres', 'SELECT DISTINCT session, email FROM clicks_1 ORDER BY 1'), "s-1|a\@b.example\ns-2|new", 'two keys');
write_file($file, $current);
is($node->safe_psql('postgres', "SELECT email FROM clicks_1 WHERE strm_key_link = (SELECT max(strm_key_link::text)::uuid FROM clicks)"),
	'new', 'new keys are wrapped by the first');
refused($read, '55000', 'the master key that wrapped this key is not available', 'old keys are wrapped by the second');
write_file($file, $made . $current);
is($node->safe_psql('postgres', 'SELECT count(DISTINCT email) FROM clicks_1'), 2, 'the order does not matter for reading');

# a session that has read the file reads it again when it meets a key that it does not know
write_file($file, $made);
my $session = $node->background_psql('postgres');
is($session->query("SELECT DISTINCT email FROM clicks_1 WHERE strm_key_link < (SELECT max(strm_key_link::text)::uuid FROM clicks)"),
	'a@b.example', 'a session with the old file');
write_file($file, $current . $made);
is($session->query('SELECT count(DISTINCT email) FROM clicks_1'), 2, 'reads a changed file');
$session->quit;

# --- not preloaded ---
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is_sealed('the library was not preloaded', 'not preloaded');
$node->safe_psql('postgres', 'CREATE DATABASE third');
refused($create, '55000', 'strm_privacy must be preloaded', 'not preloaded: CREATE EXTENSION', database => 'third');
$node->stop;

done_testing();
