-- A statement that gives a Kafka cluster's secrets is hidden from pg_stat_activity while it runs.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION strm_privacy;
CREATE FUNCTION own_statement() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() $$;
BEGIN;
SELECT plan(2);
SELECT strm.create_kafka_cluster('hidden', 'k:9092', '{"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "sesame"}') IS NOT NULL
       AND own_statement() !~ 'sesame' AS hidden \gset
SELECT is(:'hidden'::text, 't', 'strm.create_kafka_cluster() is not shown in pg_stat_activity');
SELECT strm.alter_kafka_cluster('hidden', config => '{"sasl.password": "simsalabim"}') IS NOT NULL AND own_statement() !~ 'simsala' AS hidden \gset
SELECT is(:'hidden'::text, 't', 'nor is strm.alter_kafka_cluster()');
SELECT * FROM finish();
ROLLBACK;
DROP FUNCTION own_statement();
DROP EXTENSION strm_privacy;
