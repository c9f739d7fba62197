# pg_dump and pg_restore of a database with queued rows: in whatever way it is taken to another one with the same master key, the
# rows that wait are there byte for byte, more can be queued behind them, and all arrive. Without its access method an inbox takes
# nothing. Another master key is named, and nothing is shown.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $node = strm_node('main', conf => "strm_privacy.ingest_workers = 0\nmax_worker_processes = 64\n");
my $dir = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', "CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One'); CREATE ROLE shop IN ROLE strm_member; CREATE ROLE producer");
strm_contract($node, 'acme/click/1.0.0', [ [ 'session', 'STRING', 1, 'required' ], [ 'ratio', 'FLOAT', 1 ], [ 'tags', 'STRING', 1, 'repeated' ], [ 'url', 'STRING' ], [ 'n', 'LONG' ] ], undef, 'shop');
$node->safe_psql('shop', q{CREATE SCHEMA "Läden" AUTHORIZATION shop; GRANT USAGE ON SCHEMA "Läden" TO PUBLIC;
SET ROLE shop; SET search_path = "Läden";
SELECT strm.create_stream('Über "alles"', contract => 'acme/click/1.0.0', ingest => 'queued');
GRANT INSERT ON "Über ""alles""_inbox" TO producer;
INSERT INTO "Über ""alles""_inbox" (strm_consent_levels, session, ratio, tags, url, n)
SELECT '{1}', 's' || i % 7, i / 3.0, ARRAY['x' || i, NULL, ''], (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, i * 10) j), i FROM generate_series(1, 60) AS i});
$node->safe_psql('shop', q{SELECT strm.create_derived_stream('"Läden"."Über ""alles"""', '{1}', name => 'readable')});

my $inbox = q{"Läden"."Über ""alles""_inbox"};
my $state = qq{SELECT md5(string_agg(q::text, ',' ORDER BY strm_sequence)) FROM $inbox q;
SELECT stream_id, relation, md5(key), created_at FROM strm.inbox;
-- when it was made is anew: see strm.date_inbox_key()
SELECT stream_id, id, md5(key) FROM strm.inbox_key;
SELECT relowner::regrole, relacl, (SELECT amname FROM pg_am a WHERE a.oid = c.relam) FROM pg_class c WHERE oid = '$inbox'::regclass;
SELECT attname, attstorage, attnotnull FROM pg_attribute WHERE attrelid = '$inbox'::regclass AND attnum > 0 ORDER BY attnum;
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = '$inbox'::regclass;
SELECT pg_get_serial_sequence('$inbox', 'strm_sequence')};
my $expected = $node->safe_psql('shop', $state);

my $n = 0;
my @copies;
sub run_ok
{
	my ($name, @command) = @_;
	my ($out, $err) = ('', '');
	ok(IPC::Run::run(\@command, '>', \$out, '2>', \$err), $name) or diag($err);
	return $err;
}
sub dump_ok
{
	my (@options) = @_;
	my $file = "$dir/" . ++$n;
	is(run_ok("pg_dump @options", 'pg_dump', @options, '-f', $file, '-d', $node->connstr('shop')), '', "pg_dump @options: without a warning");
	return $file;
}
sub new_database { my $name = 'copy_' . ++$n; $node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0"); return $name }
sub load { my ($database, $file) = @_; run_ok("$database: loaded", 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', $file) }
# The rows wait as they did, and another is queued behind them
sub is_restored
{
	my ($database, $name) = @_;
	is($node->safe_psql($database, $state), $expected, "$name: rows, definition, privileges");
	is($node->safe_psql($database, qq{SET ROLE producer; INSERT INTO $inbox (strm_consent_levels, session, n) VALUES ('{1}', 's1', 61); RESET ROLE;
		SELECT count(*), count(session), count(*) FILTER (WHERE strm_sequence > 60 * 1024) FROM $inbox}), '61|0|1', "$name: more is queued behind");
	my ($rc, $out, $err) = $node->psql($database, "SET ROLE shop; DROP TABLE $inbox");
	like($err, qr/cannot be dropped/, "$name: the inbox is guarded");
	push @copies, $database if !grep { $_ eq $database } @copies;
}

my $plain = dump_ok();
my $copy = new_database();
load($copy, $plain);
is_restored($copy, 'plain');
my $clean = dump_ok('--clean', '--if-exists');
load($copy, $clean);
is_restored($copy, '--clean');

my $custom = dump_ok('-Fc');
for my $options ([ '-j2' ], [ '--single-transaction' ])
{
	$copy = new_database();
	is(run_ok("pg_restore @$options", 'pg_restore', @$options, '-d', $node->connstr($copy), $custom), '', "pg_restore @$options: without a warning");
	is_restored($copy, "@$options");
}

my $schema = dump_ok('--schema-only');
for my $options ([], [ '--inserts' ], [ '--column-inserts', '--rows-per-insert=7' ], [ '--disable-triggers' ])
{
	my $data = dump_ok('--data-only', @$options);
	$copy = new_database();
	load($copy, $schema);
	load($copy, $data);
	is_restored($copy, "--data-only @$options");
}

# who restores rows: the owner, in the same inbox
$copy = new_database();
load($copy, $plain);
my $rows = $node->safe_psql($copy, "COPY $inbox TO STDOUT");
$node->safe_psql($copy, "TRUNCATE $inbox");
my ($rc, $out, $err) = $node->psql($copy, "SET ROLE producer;\nCOPY $inbox FROM STDIN;\n$rows\n\\.\n");
like($err, qr/only the owner of an inbox may insert rows that are sealed already/, 'a producer does not restore rows');
$node->safe_psql($copy, "SET ROLE shop;\nCOPY $inbox FROM STDIN;\n$rows\n\\.\n");
is_restored($copy, 'rows alone');

# without its access method
$copy = new_database();
load($copy, dump_ok('--no-table-access-method'));
for my $insert ("INSERT INTO $inbox (session) VALUES ('planted7marker')", "COPY $inbox (session) FROM STDIN;\nplanted7marker\n\\.\n")
{
	($rc, $out, $err) = $node->psql($copy, $insert);
	like($err, qr/Its access method is not "strm_inbox"/, 'without its access method an inbox takes nothing');
	unlike($err, qr/planted7marker/, 'and the value is not shown');
}
$node->safe_psql($copy, "ALTER TABLE $inbox SET ACCESS METHOD strm_inbox");
is_restored($copy, 'with the access method set again');

# another master key
my $wrong = strm_node('wrong', conf => "strm_privacy.ingest_workers = 0\n");
$wrong->safe_psql('postgres', 'CREATE EXTENSION strm_privacy; CREATE ROLE shop IN ROLE strm_member; CREATE ROLE producer; CREATE DATABASE copy TEMPLATE template0; DROP EXTENSION strm_privacy');
run_ok('another master key: loaded', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $wrong->connstr('copy'), '-f', $plain);
is($wrong->safe_psql('copy', $state), $expected, 'another master key: the rows are there');
($rc, $out, $err) = $wrong->psql('copy', "\\set VERBOSITY verbose\nINSERT INTO $inbox (session) VALUES ('s')");
like($err, qr/ERROR:  (?:55000|XX001): .*key/, 'another master key: no row is queued');

# everything arrives, in every copy
$node->safe_psql('postgres', 'ALTER SYSTEM SET strm_privacy.ingest_workers = 1');
$node->reload;
for my $database (@copies)
{
	$node->safe_psql($database, q{SELECT strm.wait_for_ingest('"Läden"."Über ""alles"""')});
	is($node->safe_psql($database, qq{SELECT count(*), sum(n), count(*) FILTER (WHERE session = 's' || n % 7 AND ratio = n / 3.0::float8 AND tags = ARRAY['x' || n, NULL, ''] AND length(url) = 320 * n)
		FROM "Läden".readable; SELECT count(*) FROM $inbox}), "61|1891|60\n0", "$database: all rows arrived");
	# a database's workers leave it when it goes
	$node->safe_psql('postgres', "DROP DATABASE $database") if $database ne $copies[-1];
}
$_->stop for $node, $wrong;
done_testing();
