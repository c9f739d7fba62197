-- strm.security_check(): nothing on a server where nothing leaks, and a row for each thing that does.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION strm_privacy;
BEGIN;
SELECT no_plan();

SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_duration_sample = -1;
SET LOCAL log_transaction_sample_rate = 0;
SET LOCAL log_parameter_max_length_on_error = 0;
SET LOCAL log_min_messages = 'warning';
SET LOCAL track_activities = off;

-- What the operating system has is not the test's to choose.
CREATE FUNCTION found() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT setting || ': ' || value FROM strm.security_check() WHERE setting NOT IN ('core dumps', 'swap')
$$;
-- The rows that appear with a setting, which is set back afterwards.
CREATE FUNCTION found_with(name text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  old text := current_setting(name);
  result text;
BEGIN
  PERFORM set_config(name, value, true);
  SELECT string_agg(f, ', ' ORDER BY f) INTO result FROM found() AS f;
  PERFORM set_config(name, old, true);
  RETURN result;
END $$;

SELECT is_empty('SELECT found()', 'nothing leaks');
SELECT is_empty('SELECT * FROM strm.security_check() WHERE setting IS NULL OR value IS NULL OR risk IS NULL OR advice IS NULL', 'no member is NULL');

-- settings
SELECT is(found_with('log_statement', 'ddl'), NULL, 'log_statement = ddl is fine');
SELECT is(found_with('log_statement', 'mod'), 'log_parameter_max_length: -1, log_statement: mod', 'log_statement');
SELECT is(found_with('log_min_duration_statement', '1s'), 'log_min_duration_statement: 1000, log_parameter_max_length: -1', 'log_min_duration_statement');
SELECT is(found_with('log_min_duration_sample', '0'), 'log_min_duration_sample: 0, log_parameter_max_length: -1', 'log_min_duration_sample');
SELECT is(found_with('log_transaction_sample_rate', '0.1'), 'log_parameter_max_length: -1, log_transaction_sample_rate: 0.1', 'log_transaction_sample_rate');
SELECT is(found_with('log_parameter_max_length_on_error', '-1'), 'log_parameter_max_length_on_error: -1', 'log_parameter_max_length_on_error');
SELECT is(found_with('log_min_messages', 'debug2'), 'log_min_messages: debug2', 'log_min_messages');
SELECT is(found_with('strm_privacy.log_redaction', 'off'), 'log_min_error_statement: error, strm_privacy.log_redaction: off', 'log_redaction');
SELECT is(found_with(s, 'on'), s || ': on', s) FROM unnest('{debug_print_parse,debug_print_rewritten,debug_print_plan,track_activities}'::text[]) AS s;
LOAD 'auto_explain';
SELECT is(found_with('auto_explain.log_min_duration', '0'), 'auto_explain.log_min_duration: 0', 'auto_explain');

-- settings of roles and databases
CREATE ROLE chatty;
ALTER ROLE chatty SET log_statement = 'all';
ALTER ROLE chatty SET strm_privacy.log_redaction = 'false';
DO $$ BEGIN EXECUTE format('ALTER ROLE chatty IN DATABASE %I SET debug_print_plan = on', current_database()); END $$;
SELECT set_eq('SELECT found()',
              ARRAY['log_statement: all (of role chatty)', 'log_parameter_max_length: -1', 'strm_privacy.log_redaction: false (of role chatty)',
                    'log_min_error_statement: error', format('debug_print_plan: on (of role chatty, in database %I)', current_database())],
              'settings of roles and databases count, too');
DROP OWNED BY chatty;
ALTER ROLE chatty RESET ALL;
DO $$ BEGIN EXECUTE format('ALTER ROLE chatty IN DATABASE %I RESET ALL', current_database()); END $$;
SELECT is_empty('SELECT found()', 'set back');

-- streams and who may use them
CREATE ROLE owner_of_streams IN ROLE strm_member, strm_approver;
CREATE ROLE producer;
CREATE ROLE reader;
SELECT strm.create_purpose(1, 'One'), strm.create_purpose(2, 'Two');
SELECT strm.create_data_contract('check/click/1.0.0',
  schema => '{"name": "Click", "nodes": [{"type": "STRING", "name": "session", "required": true},
     {"type": "STRING", "name": "email"}, {"type": "BOOLEAN", "name": "isMember"}, {"type": "BOOLEAN", "name": "plainFlag"}]}',
  contract => '{"keyField": "session", "piiFields": {"session": 1, "email": 2, "isMember": 2}}');
SELECT strm.create_data_contract('check/safe/1.0.0',
  schema => '{"name": "Safe", "nodes": [{"type": "STRING", "name": "session", "required": true}]}',
  contract => '{"keyField": "session", "piiFields": {"session": 1}}');
SELECT strm.activate_data_contract('check/click/1.0.0'), strm.activate_data_contract('check/safe/1.0.0');
CREATE SCHEMA checked;
GRANT ALL ON SCHEMA checked TO owner_of_streams;
SET LOCAL search_path = checked, public;
SET LOCAL ROLE owner_of_streams;
SELECT strm.create_stream('safe', contract => 'check/safe/1.0.0'), strm.create_derived_stream('safe', '{1}');
GRANT INSERT ON safe TO producer;
GRANT SELECT ON safe, safe_1 TO reader;
RESET ROLE;
SELECT is_empty('SELECT found()', 'a stream with its producer and reader does not leak');

SAVEPOINT change;
SELECT strm.create_stream('flags', contract => 'check/click/1.0.0');
SELECT is(found(), 'stream checked.flags: boolean field is_member', 'a personal boolean');
ROLLBACK TO change;
GRANT SELECT ON safe TO producer;
SELECT is(found(), 'stream checked.safe: role producer may INSERT and SELECT', 'a role that inserts and reads');
ROLLBACK TO change;
SELECT strm.create_derived_stream('safe', '{1}', name => 'masked', masked_fields => '{session}', mask_seed => 'x', hash_type => 'murmur3');
GRANT SELECT ON masked TO producer;
SELECT set_eq('SELECT found()', ARRAY['derived stream checked.masked: murmur3', 'derived stream checked.masked: role producer may INSERT into checked.safe and SELECT'], 'masks');
ROLLBACK TO change;
CREATE VIEW over_it AS SELECT * FROM safe_1;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM over_it;
CREATE STATISTICS stats ON session, strm_timestamp FROM stored;
SELECT set_eq('SELECT found()', ARRAY['materialized view checked.stored: reads a derived stream', 'statistics stats: checked.stored'], 'a materialised view, and statistics of it');
ROLLBACK TO change;
ALTER VIEW safe_1 RESET (security_barrier);
SELECT is(found(), 'derived stream checked.safe_1: no security_barrier', 'a view without security_barrier');
ROLLBACK TO change;
ALTER TABLE safe DISABLE TRIGGER strm_encrypt;
SELECT is(found(), 'stream checked.safe: trigger strm_encrypt does not fire', 'a disabled trigger');
ROLLBACK TO change;
ALTER EVENT TRIGGER strm_guard_drop DISABLE;
SELECT is(found(), 'event trigger strm_guard_drop: disabled', 'a disabled event trigger');
ROLLBACK TO change;

-- by other roles than the superuser
GRANT strm_monitor TO reader;
SET LOCAL ROLE reader;
SELECT lives_ok('SELECT * FROM strm.security_check()', 'strm_monitor may look');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
DROP EXTENSION strm_privacy;
