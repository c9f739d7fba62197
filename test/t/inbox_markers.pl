# No plaintext of a queued row is on disk or in a log: markers are inserted into an inbox by every path, accepted, refused and
# rolled back, in fields that are personal and in ones that are not, and looked for in the bytes of all files of the cluster and
# of the server log. What was queued can be read through a derived stream afterwards, so the markers went the whole way.
use strict;
use warnings;
use File::Find;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $secret = 'Queued6Secret';
my $visible = 'Visible5Plain';
my $node = strm_node('main', init => [ allows_streaming => 'logical' ], conf => <<CONF);
wal_compression = off
wal_keep_size = 1GB
max_prepared_transactions = 4
log_statement = none
work_mem = 64kB
autovacuum_naptime = 1s
remove_temp_files_after_crash = off
strm_privacy.ingest_workers = 0
CONF

# Names of the files with the text in any of its forms
sub files_with
{
	my ($text) = @_;
	my %forms = (text => $text, hexadecimal => unpack('H*', $text), reversed => scalar reverse($text));
	my @found;
	find({ no_chdir => 1, wanted => sub {
		return if !-f $_;
		my $bytes = slurp_file($_);
		push @found, map { "$_ in $File::Find::name" } grep { index($bytes, $forms{$_}) >= 0 } keys %forms;
	} }, $node->data_dir, $node->logfile);
	return sort @found;
}
sub finds_nothing
{
	my ($when) = @_;
	is(join("\n", files_with($secret)), '', "no plaintext, $when");
}
# Text that cannot be compressed
sub noise { my ($n) = @_; return join '', map { ('A' .. 'Z', 'a' .. 'z', 0 .. 9)[ rand 62 ] } 1 .. $n }

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One');
SELECT pg_create_logical_replication_slot('scan', 'test_decoding');
CREATE ROLE producer LOGIN;
SQL
strm_contract($node, 'acme/scan/1.0.0',
	[ [ 'session', 'STRING', 1 ], [ 'email', 'STRING', 1 ], [ 'n', 'INTEGER', 1 ], [ 'words', 'STRING', 1, 'repeated' ],
		[ 'url', 'STRING', undef, 'required' ], [ 'conversion', 'INTEGER' ] ],
	'"validations": [{"field": "url", "type": "regex", "value": "^https?://"}]');
$node->safe_psql('postgres', q{SELECT strm.create_stream('clicks', contract => 'acme/scan/1.0.0', ingest => 'queued'), strm.create_derived_stream('clicks', '{1}');
GRANT INSERT ON clicks_inbox TO producer; CREATE TABLE visible (t text);
CREATE FUNCTION take(s text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO clicks_inbox (strm_consent_levels, session, url) VALUES ('{1}', s, 'https://' || s); END $$;
CREATE FUNCTION take_and_fail(s text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM take(s); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END $$});

my $columns = 'strm_consent_levels, session, email, words, url';
my $values = sub { my ($name, %change) = @_;
	my %value = (session => "'$secret-$name'", email => "'$secret-e'", words => "'{$secret-w}'", url => "'https://$secret'", %change);
	return "('{1}', " . join(', ', @value{qw(session email words url)}) . ')' };
my $insert = sub { my ($name, %change) = @_; return "INSERT INTO clicks_inbox ($columns) VALUES " . $values->($name, %change) };
my $line = sub { my ($name, %change) = @_;
	my %value = (email => "$secret-e", url => "https://$secret", %change);
	return "{1}\t$secret-$name\t$value{email}\t{$secret-w}\t$value{url}\n" };

# name => script that queues a row with that name
my @queued = (
	[ simple => $insert->('simple') ],
	[ multi => "INSERT INTO clicks_inbox ($columns) VALUES " . join(', ', map { $values->('multi') } 1 .. 5) ],
	[ select => "INSERT INTO clicks_inbox (strm_consent_levels, session, email, url) SELECT '{1}', '$secret-select', '$secret-e', 'https://$secret' FROM generate_series(1, 2000)" ],
	[ prepared => "PREPARE p (text) AS INSERT INTO clicks_inbox (strm_consent_levels, session, url) VALUES ('{1}', \$1, 'https://x'); EXECUTE p ('$secret-prepared')" ],
	[ returning => $insert->('returning') . ' RETURNING *' ],
	[ cte => 'WITH i AS (' . $insert->('cte') . ' RETURNING *) SELECT * FROM i' ],
	[ conflict => $insert->('conflict') . ' ON CONFLICT DO NOTHING' ],
	[ function => "SELECT take('$secret-function')" ],
	[ block => 'DO $$ BEGIN ' . $insert->('block') . '; END $$' ],
	[ copy => "COPY clicks_inbox ($columns) FROM STDIN;\n" . $line->('copy') x 500 . "\\.\n" ],
	[ csv => "COPY clicks_inbox (session, strm_consent_levels, url) FROM STDIN (FORMAT csv);\n$secret-csv,{1},https://$secret\n\\.\n" ],
	[ producer => 'SET ROLE producer; ' . $insert->('producer') ],
	[ twophase => 'BEGIN; ' . $insert->('twophase') . "; PREPARE TRANSACTION 'kept'; COMMIT PREPARED 'kept'" ],
	[ savepoint => 'BEGIN; SAVEPOINT a; ' . $insert->('undone') . '; ROLLBACK TO a; ' . $insert->('savepoint') . '; COMMIT' ],
	[ replica => 'SET session_replication_role = replica; ' . $insert->('replica') ],
	[ long => $insert->('long', email => "'$secret" . noise(300_000) . "$secret'", words => "'{$secret" . noise(100_000) . "}'") ],
	[ longcopy => "COPY clicks_inbox ($columns) FROM STDIN;\n" . $line->('longcopy', email => $secret . noise(200_000)) . "\\.\n" ],
	[ repeats => $insert->('repeats', email => "repeat('$secret', 10000)") ]);
# scripts that queue nothing; of those marked the message has no value, as the extension found the fault
my @refused = (
	[ 'validation', 1, $insert->('refused', url => "'$secret'") ],
	[ 'validation in COPY', 1, "COPY clicks_inbox ($columns) FROM STDIN;\n" . $line->('refused') x 300 . $line->('refused', url => $secret) . "\\.\n" ],
	[ 'required', 1, $insert->('refused', url => 'NULL') ],
	[ 'type', 1, "INSERT INTO clicks_inbox (session, n, url) VALUES ('$secret', '$secret', 'https://x')" ],
	[ 'type in COPY', 1, "COPY clicks_inbox (session, n, url) FROM STDIN;\n$secret\t$secret\thttps://x\n\\.\n" ],
	[ 'consent', 1, "INSERT INTO clicks_inbox (strm_consent_levels, session, url) VALUES ('{-1}', '$secret', 'https://$secret')" ],
	[ 'forged', 1, "INSERT INTO clicks_inbox (session, strm_sealed) VALUES ('$secret', 'x')" ],
	[ 'dimensions', 1, $insert->('refused', words => "'{{$secret}}'") ],
	[ 'update', 1, "UPDATE clicks_inbox SET email = '$secret-updated'" ],
	[ 'cast', 0, "INSERT INTO clicks_inbox (session, conversion, url) VALUES ('$secret', '$secret', 'https://x')" ],
	[ 'cast in COPY', 0, "COPY clicks_inbox (session, conversion) FROM STDIN;\n$secret\t$secret\n\\.\n" ],
	[ 'bad array', 0, $insert->('refused', words => "'{$secret'") ],
	[ 'timeout', 0, "SET statement_timeout = 50; INSERT INTO clicks_inbox (session, url) SELECT '$secret', 'https://' || pg_sleep(100)" ],
	[ 'rolled back', 0, 'BEGIN; ' . $insert->('undone') . '; ' . $insert->('undone', email => "'$secret" . noise(100_000) . "'") . '; SELECT 1/0; ROLLBACK' ],
	[ 'rolled back COPY', 0, "BEGIN;\nCOPY clicks_inbox ($columns) FROM STDIN;\n" . $line->('undone') x 300 . "\\.\nSELECT 1/0;\nROLLBACK" ],
	[ 'rolled back subtransaction', 0, "SELECT take_and_fail('$secret-undone'), 1/0" ],
	[ 'index', 1, "CREATE INDEX ON clicks_inbox ((session || '$secret'))" ],
	[ 'two inserts, the second refused', 1, 'BEGIN; ' . $insert->('undone') . '; ' . $insert->('undone', url => "'$secret'") . '; COMMIT' ]);

for my $case (@queued)
{
	my ($rc, $out, $err) = $node->psql('postgres', "$case->[1];", on_error_stop => 1);
	is($err, '', "$case->[0]: queued");
	unlike($out, qr/$secret/, "$case->[0]: no value is returned");
}
my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM clicks_inbox');
for my $case (@refused)
{
	my ($rc, $out, $err) = $node->psql('postgres', "$case->[2];", on_error_stop => 0);
	like($err, qr/ERROR/, "$case->[0]: fails");
	unlike($err, qr/$secret/, "$case->[0]: the message has no value") if $case->[1];
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM clicks_inbox'), $rows, 'what was refused queued nothing');

# bind parameters of the extended protocol, good and refused
my $script = PostgreSQL::Test::Utils::tempdir() . '/extended.sql';
append_to_file($script, "INSERT INTO clicks_inbox (strm_consent_levels, session, url) VALUES ('{1}', :s, :u);\n");
for my $mode (qw(extended prepared))
{
	for my $url ('https://x', $secret)
	{
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'pgbench', '-n', '-t', '2', '-M', $mode, '-D', "s=$secret-$mode", '-D', "u=$url", '-f', $script, $node->connstr('postgres') ],
			'>', \$out, '2>', \$err);
		like($out . $err, $url eq $secret ? qr/ERROR/ : qr/transactions actually processed: 2/, "$mode protocol, url $url");
	}
}

# the scan finds what is there to be found: in the heap, out of line, in the WAL and the log
$node->safe_psql('postgres', "INSERT INTO visible VALUES ('$visible'), ('$visible" . noise(20_000) . "'); VACUUM FULL visible; CHECKPOINT");
$node->psql('postgres', "SELECT '$visible'::int");
my $found = join "\n", files_with($visible);
like($found, qr/text in .*\/base\//, 'the scan finds plaintext in a table');
like($found, qr/text in .*\/pg_wal\//, 'the scan finds plaintext in the WAL');
like($found, qr/text in .*log$/m, 'the scan finds plaintext in the log');

$node->safe_psql('postgres', 'VACUUM FULL clicks_inbox; ANALYZE clicks_inbox; CHECKPOINT');
finds_nothing('rows waiting');
unlike($node->safe_psql('postgres', "SELECT data FROM pg_logical_slot_peek_changes('scan', NULL, NULL)"), qr/$secret/, 'logical decoding shows no value');
is($node->safe_psql('postgres', 'SELECT bool_or(strm_consent_levels IS NOT NULL OR session IS NOT NULL OR email IS NOT NULL OR words IS NOT NULL OR url IS NOT NULL) FROM clicks_inbox'),
	'f', 'the producer\'s columns are NULL');

# a crash, then the rows are moved
$node->stop('immediate');
$node->append_conf('postgresql.conf', 'strm_privacy.ingest_workers = 2');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM clicks_inbox WHERE strm_fault IS NOT NULL'), 0, 'no row is set aside');
$node->safe_psql('postgres', "SELECT strm.wait_for_ingest('clicks')");
my $sessions = $node->safe_psql('postgres', "SELECT string_agg(DISTINCT session, ' ') FROM clicks_1");
like($sessions, qr/$secret-$_->[0]\b/, "$_->[0]: arrived") for @queued, [ 'extended' ], [ 'prepared' ];
unlike($sessions, qr/undone|refused/, 'nothing else did');
is($node->safe_psql('postgres', 'SELECT count(*) FROM clicks'), $rows + 4, 'all rows did, once');
is($node->safe_psql('postgres', "SELECT length(email), left(email, 13), right(email, 13) FROM clicks_1 WHERE session = '$secret-long'"), '300026|' . "$secret|$secret", 'a long value is whole');
done_testing();
