# Data connectors of kind database: tables and queries of another database and of this one, and whose rights count.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmPartners;
use StrmTest;
use Test::More;

my $base = PostgreSQL::Test::Utils::tempdir();

# --- the other server: passwords over TCP, and TLS with a certificate of an authority of our own ---
my ($shop, $tls) = strm_password_server('shop', $base);
my $port = $shop->port;
$shop->safe_psql('postgres', $_) for "CREATE ROLE app LOGIN PASSWORD 'open sesame'", 'CREATE ROLE free LOGIN', 'CREATE DATABASE shop OWNER app';
$shop->safe_psql('shop', <<'SQL');
SET ROLE app;
CREATE TABLE visit (session text, at timestamptz, flag boolean, amount numeric, tags text[], extra jsonb);
INSERT INTO visit SELECT 's' || g % 10, '2024-03-01 12:00:00+02', g % 2 = 0, g + 0.50, ARRAY['a b', NULL], '{"k": "v"}' FROM generate_series(1, 5000) g;
CREATE TABLE narrow (session int NOT NULL, "strmMeta.eventContractRef" text, "strmMeta.nonce" bigint, "strmMeta.timestamp" bigint,
                     "strmMeta.keyLink" uuid, "strmMeta.billingId" text, "strmMeta.consentLevels" int[]);
SQL

my $node = strm_node('main', conf => <<CONF);
max_worker_processes = 16
strm_privacy.connector_timeout = 5
CONF
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION strm_privacy;
CREATE ROLE alice LOGIN IN ROLE strm_member;
CREATE ROLE bob LOGIN IN ROLE strm_member;
CREATE SCHEMA own AUTHORIZATION alice;
SELECT strm.create_data_connector('shop', 'database', '{"uri": "postgresql://127.0.0.1:$port/shop"}', '{"username": "app", "password": "open sesame"}'),
       strm.create_data_connector('wrong', 'database', '{"uri": "postgresql://127.0.0.1:$port/shop"}', '{"username": "app", "password": "close sesame"}'),
       strm.create_data_connector('free', 'database', '{"uri": "postgresql://127.0.0.1:$port/postgres"}', '{"username": "free", "password": "any"}'),
       strm.create_data_connector('tls', 'database', '{"uri": "postgresql://localhost:$port/shop?sslmode=verify-full"}', '{"username": "app", "password": "open sesame"}'),
       strm.create_data_connector('tls name', 'database', '{"uri": "postgresql://127.0.0.1:$port/shop?sslmode=verify-full"}', '{"username": "app", "password": "open sesame"}'),
       strm.create_data_connector('cloud', 'database', '{"uri": "postgresql://169.254.169.254/shop"}', '{"username": "app", "password": "x"}'),
       strm.create_data_connector('nobody', 'database', '{"uri": "postgresql://no.such.host.invalid/shop"}', '{"username": "app", "password": "x"}');
SELECT strm.grant_data_connector(name, 'alice') FROM strm.data_connectors;
SQL
strm_contract($node, 'acme/visits/1.0.0', [ [ 'session', 'STRING', undef ] ]);

sub job_as
{
	my ($role, $source, $target) = @_;
	my $call = qq~CALL strm.run_batch_job(\$j\${"source_data": $source, "encryption": {"timestamp_config": {"field": "at"}},
		"event_contract_ref": "acme/visits/1.0.0", "encrypted_data": {"target": $target}}\$j\$)~;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$call", extra_params => [ '-U', $role ]);
	unlike($err, qr/sesame/, 'no password in any message');
	return $err;
}
sub remote { my ($what, $more, $connector) = @_; $connector //= 'shop'; return qq({"data_connector_ref": {"name": "$connector"}, $what) . ($more // '') . '}' }
my $rows = '{"query": "SELECT \'s\' || g AS session, now() AS at FROM generate_series(1, 100) g"}';

# --- another database ---
like(job_as('alice', remote('"table": "visit"'), '{"table": "own.copied"}'), qr/finished: 5000 records/, 'a table of another database is read');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT session), min("strmMeta.timestamp"), max("strmMeta.timestamp") FROM own.copied'),
	'5000|10|1709287200000|1709287200000', 'its rows, and times with their zones');
like(job_as('alice', remote('"query": "SELECT session, at FROM visit WHERE flag -- half of it"'), remote('"table": "half"')), qr/finished: 2500 records/, 'a query');
is($shop->safe_psql('shop', 'SELECT count(*), min("strmMeta.consentLevels") FROM half'), '2500|[]', 'a table is made there');
like(job_as('alice', $rows, remote('"table": "half"')), qr/ERROR:  \w{5}: .*not empty/s, 'a table with rows is refused');
is($shop->safe_psql('shop', 'SELECT count(*) FROM half'), '2500', 'and left as it is');
like(job_as('alice', $rows, remote('"table": "half"', ', "overwrite": true')), qr/finished: 100 records/, 'unless the job overwrites it');
is($shop->safe_psql('shop', 'SELECT count(*) FROM half'), '100', 'its rows are new ones');
like(job_as('alice', '{"query": "SELECT g::text AS session, now() AS at FROM generate_series(1, 10) g"}', remote('"table": "narrow"')), qr/finished: 10 records/, 'values become those of the columns');
is($shop->safe_psql('shop', 'SELECT sum(session), min("strmMeta.consentLevels") FROM narrow'), '55|{}', 'integers and arrays');
my $err = job_as('alice', $rows, remote('"table": "narrow"', ', "overwrite": true'));
like($err, qr/ERROR:  22P02: a value of .*narrow.* is not valid for its column/, 'what does not fit is an error');
unlike($err, qr/s1\b/, 'without the value');
is($shop->safe_psql('shop', 'SELECT sum(session) FROM narrow'), '55', 'and nothing has changed');
like(job_as('alice', remote('"query": "SELECT session, at FROM visit; DROP TABLE visit"'), '{"table": "own.x"}'), qr/ERROR:  22023: .*must be one SELECT/s, 'one statement');
like(job_as('alice', remote('"query": "SELECT setval(\'own.s\', 1), session, at FROM visit"'), '{"table": "own.x"}'), qr/ERROR:  22023: .*reports: /s, 'the other server\'s errors are reported');
like(job_as('alice', remote('"table": "visit"'), remote('"table": "pg_catalog.pg_class"')), qr/ERROR:  22023: .*permission denied/s, 'its rights count');

# --- who may, and where to ---
like(job_as('bob', remote('"table": "visit"'), remote('"table": "bob"')), qr/ERROR:  (?:22023|42501): .*permission denied for data connector "shop"/s, 'only whom it was granted to');
like(job_as('alice', remote('"table": "visit"', '', 'wrong'), '{"table": "own.x"}'), qr/password authentication failed/, 'a wrong password');
like(job_as('alice', remote('"table": "pg_class"', '', 'free'), '{"table": "own.x"}'), qr/a password is required/, 'the other server must ask for the password');
like(job_as('alice', remote('"table": "visit"', '', 'cloud'), '{"table": "own.x"}'), qr/may not be reached.*|its address is link-local/s, 'no link-local addresses');
like(job_as('alice', remote('"table": "visit"', '', 'nobody'), '{"table": "own.x"}'), qr/name of the host cannot be resolved|could not connect/, 'a host that does not exist');
$node->safe_psql('postgres', qq(SELECT strm.create_data_connector('mine', 'database', '{"uri": "postgresql://127.0.0.1:$port/shop"}', '{"username": "app", "password": "open sesame"}')),
	extra_params => [ '-U', 'bob' ]);
like(job_as('bob', remote('"table": "visit"', '', 'mine'), remote('"table": "bob"', '', 'mine')), qr/may not be reached|machine's own/s, 'the machine itself is for connectors of administrators');

SKIP:
{
	skip 'there is no openssl', 6 if !$tls;
	like(job_as('alice', remote('"table": "visit"', '', 'tls'), '{"table": "own.x"}'), qr/certificate verify failed|no certificates/, 'an unknown authority');
	$node->append_conf('postgresql.conf', "strm_privacy.connector_ca_file = '$base/ca.crt'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('strm_privacy.connector_ca_file') <> ''") or die;
	like(job_as('alice', remote('"table": "visit"', '', 'tls'), '{"table": "own.tls"}'), qr/finished: 5000 records/, 'a certificate of a known one');
	like(job_as('alice', remote('"table": "visit"', '', 'tls name'), '{"table": "own.x"}'), qr/does not match host name|certificate/, 'for another name');
}

# --- this database: the owner's rights, row security, triggers as the owner, all or nothing ---
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE secret (session text, at timestamptz);
INSERT INTO secret VALUES ('s', now());
CREATE TABLE guarded (session text, at timestamptz, owner name);
INSERT INTO guarded VALUES ('mine', now(), 'alice'), ('not mine', now(), 'bob');
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user);
GRANT SELECT ON guarded TO alice;
CREATE TABLE own.trigger_target (LIKE own.copied);
ALTER TABLE own.trigger_target OWNER TO alice;
CREATE TABLE own.who (name text);
ALTER TABLE own.who OWNER TO alice;
CREATE FUNCTION own.who() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO own.who VALUES (current_user); RETURN NEW; END';
CREATE TRIGGER who BEFORE INSERT ON own.trigger_target FOR EACH ROW EXECUTE FUNCTION own.who();
CREATE TABLE own.strict (LIKE own.copied, CHECK (session <> 's50'));
ALTER TABLE own.strict OWNER TO alice;
SELECT strm.create_stream('visits', 'acme/visits/1.0.0', schema => 'own');
SQL
like(job_as('alice', '{"table": "secret"}', '{"table": "own.x"}'), qr/permission denied for table secret/, 'no rights on a source');
like(job_as('alice', $rows, '{"table": "public.new"}'), qr/permission denied for schema public/, 'no rights to make a table');
like(job_as('alice', $rows, '{"table": "secret"}'), qr/permission denied for table secret/, 'no rights on a target');
like(job_as('alice', $rows, '{"table": "strm.policy"}'), qr/permission denied for table strm.policy/, 'no table of the extension');
like(job_as('alice', '{"table": "guarded"}', '{"table": "own.seen"}'), qr/finished: 1 records/, 'row security');
is($node->safe_psql('postgres', 'SELECT session FROM own.seen'), 'mine', 'hides the others\' rows');
like(job_as('alice', $rows, '{"table": "own.trigger_target"}'), qr/finished: 100 records/, 'a table with a trigger');
is($node->safe_psql('postgres', 'SELECT DISTINCT name FROM own.who'), 'alice', 'that runs as the job\'s owner');
$err = job_as('alice', $rows, '{"table": "own.strict"}');
like($err, qr/ERROR:  23514: .*violates check constraint/, 'a row that breaks a constraint');
unlike($err, qr/s50/, 'is not quoted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM own.strict'), '0', 'and none of the others stays');
like(job_as('alice', '{"query": "DELETE FROM own.seen RETURNING session, now() AS at"}', '{"table": "own.x"}'), qr/ERROR:  22023: .*must be one SELECT/s, 'a query only reads');
like(job_as('postgres', $rows, '{"table": "own.visits"}'), qr/is a stream/, 'a stream is not written as a table');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relnamespace = 'own'::regnamespace AND relname = 'x'"), '0', 'failed jobs leave no table');
is($shop->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"), '0', 'no connection is left');

$node->stop;
$shop->stop;
done_testing();
