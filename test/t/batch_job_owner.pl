# Whatever code of users a batch job reaches (functions in views and queries, triggers of targets) has the rights of the job's
# owner, never those of the worker, whichever way it tries.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $node = strm_node('owner');
sub value { return $node->safe_psql('postgres', $_[0]) }

value("CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($node, 'acme/visit/1.0.0', [ [ 'session', 'STRING', 1, 'required' ], [ 'who', 'STRING', 1 ] ]);
value(<<'SQL');
CREATE ROLE mallory LOGIN;
GRANT strm_member TO mallory;
GRANT CREATE ON SCHEMA public TO mallory;
CREATE TABLE secret AS SELECT 42 AS x;
SET SESSION AUTHORIZATION mallory;
CREATE TABLE seen (what text);
CREATE FUNCTION try(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  INSERT INTO seen VALUES ('allowed: ' || statement);
EXCEPTION WHEN insufficient_privilege THEN
  INSERT INTO seen VALUES ('refused: ' || statement);
END $$;
CREATE FUNCTION attack() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO seen VALUES ('I am ' || current_user);
  PERFORM try('SELECT x FROM secret'), try('ALTER ROLE mallory SUPERUSER'), try('SET ROLE NONE'), try('RESET ROLE'),
          try('SET SESSION AUTHORIZATION DEFAULT'), try('SET session_replication_role = replica'),
          try('CREATE TEMP TABLE mine (x int)'), try('DECLARE c CURSOR WITH HOLD FOR SELECT attack()'),
          try('SELECT FROM strm.data_key'), try('SELECT count(*) FROM pg_read_file(''/etc/hostname'')');
  RETURN 's';
END $$;
CREATE VIEW visits AS SELECT attack() AS session, 'w' AS who, '2026-01-01 10:00' AS at;
CREATE TABLE plain (session text, who text, at text);
INSERT INTO plain VALUES ('s', 'w', '2026-01-01 10:00');
CREATE FUNCTION attack_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM attack(); RETURN NULL; END';
CREATE FUNCTION defer() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NULL; END';
SQL

# Runs a job of mallory's from a table to a table; its error.
sub job
{
	my ($source, $target) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', qq(SET SESSION AUTHORIZATION mallory; CALL strm.run_batch_job(\$\${"sourceData": {$source},
		"dataContractRef": {"handle": "acme", "name": "visit", "version": "1.0.0"}, "consent": {"defaultConsentLevels": [1]},
		"encryption": {"timestampConfig": {"field": "at", "format": "yyyy-MM-dd HH:mm", "defaultTimeZone": {"id": "UTC"}}},
		"encryptedData": {"target": {"table": "$target"}}}\$\$)));
	return join "\n", grep { !/NOTICE/ } split /\n/, $err;
}

# What the attack saw since the last time
sub seen
{
	my $seen = value('SELECT DISTINCT what FROM seen ORDER BY 1');
	value('TRUNCATE seen');
	return $seen;
}

my $refused = value("SELECT string_agg(what, E'\\n' ORDER BY what) FROM (VALUES ('I am mallory'), ('refused: SELECT x FROM secret'), ('refused: ALTER ROLE mallory SUPERUSER'),
	('refused: SET ROLE NONE'), ('refused: RESET ROLE'), ('refused: SET SESSION AUTHORIZATION DEFAULT'), ('refused: SET session_replication_role = replica'),
	('refused: CREATE TEMP TABLE mine (x int)'), ('refused: DECLARE c CURSOR WITH HOLD FOR SELECT attack()'), ('refused: SELECT FROM strm.data_key'),
	('refused: SELECT count(*) FROM pg_read_file(''/etc/hostname'')')) AS v (what)");

is(job('"table": "public.visits"', 'public.from_view'), '', 'a job whose source is a view');
is(seen(), $refused, 'its function has the rights of the owner');
is(value('SELECT count(*) FROM from_view'), 1, 'and the job is done');
is(job('"query": "SELECT attack() AS session, who, at FROM plain"', 'public.from_query'), '', 'a job whose source is a query');
is(seen(), $refused, 'its function has the rights of the owner');

value('SET SESSION AUTHORIZATION mallory; CREATE TABLE target AS SELECT * FROM from_view LIMIT 0;
	CREATE TRIGGER attack AFTER INSERT ON target FOR EACH ROW EXECUTE FUNCTION attack_trigger()');
is(job('"table": "public.plain"', 'public.target'), '', 'a job whose target has a trigger');
is(seen(), $refused, 'which has the rights of the owner');

value('DELETE FROM target; DROP TRIGGER attack ON target');
value('SET SESSION AUTHORIZATION mallory; CREATE CONSTRAINT TRIGGER attack AFTER INSERT ON target DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION attack_trigger()');
is(job('"table": "public.plain"', 'public.target'), '', 'a job whose target has a deferred trigger');
is(seen(), $refused, 'which does not wait for the commit, nor for other rights');

value('DELETE FROM target');
value('SET SESSION AUTHORIZATION mallory; CREATE TRIGGER defer BEFORE INSERT ON target FOR EACH STATEMENT EXECUTE FUNCTION defer()');
like(job('"table": "public.plain"', 'public.target'), qr/cannot fire deferred trigger within security-restricted operation/, 'and may not be made to');
is(seen(), '', 'it did not run');
is(value('SELECT count(*) FROM target'), 0, 'and nothing was written');
is(value("SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', 'mallory is who he was');

$node->stop;
done_testing();
