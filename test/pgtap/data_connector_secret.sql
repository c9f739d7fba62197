-- A statement that gives a connector's credentials is hidden from pg_stat_activity while it runs, and not shown with errors.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION strm_privacy;
CREATE FUNCTION own_statement() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() $$;
BEGIN;
SELECT plan(1);
SELECT strm.create_data_connector('hidden', 'database', '{"uri": "postgresql://h/d"}', '{"username": "u", "password": "sesame"}') IS NOT NULL AND own_statement() !~ 'sesame'
  AS hidden \gset
SELECT is(:'hidden'::text, 't', 'the statement is not shown in pg_stat_activity');
SELECT * FROM finish();
ROLLBACK;
DROP FUNCTION own_statement();
DROP EXTENSION strm_privacy;
