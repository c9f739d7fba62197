# Protection of streams where a session alone cannot show it: dump and restore by a superuser, a server without preload, and event
# triggers of others.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use File::Basename;
use Test::More;

my $node = strm_node('main');
$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', <<'SQL');
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One');
SELECT strm.create_data_contract('acme/click/1.0.0',
  schema => '{"name": "Click", "nodes": [{"type": "STRING", "name": "session", "required": true}, {"type": "INTEGER", "name": "n"}]}',
  contract => '{"keyField": "session", "piiFields": {"session": 1}}');
SELECT strm.activate_data_contract('acme/click/1.0.0');
SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0');
SELECT strm.create_derived_stream('clicks', purposes => '{1}');
INSERT INTO clicks (strm_consent_levels, session, n) SELECT '{1}', 'session ' || i % 3, i FROM generate_series(1, 10) AS i;
SQL

my $dir = PostgreSQL::Test::Utils::tempdir();
my $content = 'SELECT string_agg(session || n, \',\' ORDER BY n) FROM clicks_1';
my $expected = $node->safe_psql('source', $content);
my $intact = q{SELECT string_agg(tgname::text || tgenabled::text, ',' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'clicks'::regclass};

# Restores a dump into a database; returns what was said.
sub restore
{
	my ($database, $file) = @_;
	my ($rc, $out, $err) = $node->psql($database, "\\i $file", on_error_stop => 1);
	is($rc, 0, basename($file) . " restored");
	return $err;
}
sub dump_to
{
	my ($file, @options) = @_;
	$node->command_ok([ 'pg_dump', '-f', "$dir/$file", @options, '-d', $node->connstr('source') ], "pg_dump @options");
	return "$dir/$file";
}

# into a new database, and over itself
my $clean = dump_to('clean.sql', '--clean', '--if-exists');
$node->safe_psql('postgres', 'CREATE DATABASE target');
restore('target', dump_to('full.sql'));
is($node->safe_psql('target', $content), $expected, 'restored into a new database');
like(restore('target', $clean), qr/WARNING:  stream public.clicks is damaged/, 'a superuser is warned when triggers are dropped');
is($node->safe_psql('target', $content), $expected, 'restored over itself');
is($node->safe_psql('target', $intact), 'strm_encryptO,strm_refuse_updateO', 'triggers are as they were');
is($node->safe_psql('target', 'SELECT count(*) FROM strm.streams'), 1, 'one stream is registered');

# data only, with triggers disabled meanwhile
my $data = dump_to('data.sql', '--data-only', '--disable-triggers', '-t', 'clicks');
$node->safe_psql('target', 'TRUNCATE clicks');
like(restore('target', $data), qr/WARNING:  stream public.clicks is damaged/, 'a superuser is warned when triggers are disabled');
is($node->safe_psql('target', $content), $expected, 'data restored');
is($node->safe_psql('target', $intact), 'strm_encryptO,strm_refuse_updateO', 'triggers are enabled again');

# another event trigger that drops something meanwhile does not hide what was dropped
$node->safe_psql('target', <<'SQL');
CREATE FUNCTION drops() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN DROP TABLE IF EXISTS other; END';
CREATE EVENT TRIGGER a_drops ON sql_drop EXECUTE FUNCTION drops();
CREATE TABLE other (i int);
DROP TABLE clicks CASCADE;
SQL
is($node->safe_psql('target', 'SELECT count(*) FROM strm.streams'), 0, 'nested events: the stream is forgotten');

# without preload: the hook is there when it is needed
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
my @drops = ('DROP EXTENSION strm_privacy CASCADE', 'DROP SCHEMA public CASCADE');
for my $statement (@drops)
{
	my ($rc, $out, $err) = $node->psql('source', $statement);
	like($err, qr/cannot be dropped while streams exist/, "without preload: $statement");
}
my ($rc, $out, $err) = $node->psql('source', "INSERT INTO clicks (session) VALUES ('s')");
isnt($rc, 0, 'without preload: no INSERT');
$node->safe_psql('source', 'DROP TABLE clicks CASCADE');
is($node->safe_psql('source', 'SELECT count(*) FROM strm.streams'), 0, 'without preload: a dropped stream is forgotten');
$node->safe_psql('source', 'DROP EXTENSION strm_privacy');

$node->stop;
done_testing();
