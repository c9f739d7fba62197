-- Event triggers that keep streams as they were made. Their functions do nothing unless called by an event.

CREATE FUNCTION strm.guard_command_start() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_guard_command_start';
REVOKE ALL ON FUNCTION strm.guard_command_start() FROM PUBLIC;
COMMENT ON FUNCTION strm.guard_command_start() IS 'Loads the library into a session that may be about to drop the extension, so that its hook can refuse that';

CREATE FUNCTION strm.guard_command_end() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_guard_command_end';
REVOKE ALL ON FUNCTION strm.guard_command_end() FROM PUBLIC;
COMMENT ON FUNCTION strm.guard_command_end() IS 'Refuses changes to managed columns, triggers and constraints of a stream, and rules and triggers that would see plaintext';

CREATE FUNCTION strm.guard_drop() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_guard_drop';
REVOKE ALL ON FUNCTION strm.guard_drop() FROM PUBLIC;
COMMENT ON FUNCTION strm.guard_drop() IS 'Refuses to drop managed parts of a stream; forgets streams and derived streams that were dropped';

CREATE FUNCTION strm.guard_rewrite() RETURNS event_trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_guard_rewrite';
REVOKE ALL ON FUNCTION strm.guard_rewrite() FROM PUBLIC;
COMMENT ON FUNCTION strm.guard_rewrite() IS 'Refuses ALTER TABLE ... USING on a stream: it would update immutable rows, their consent too';

CREATE EVENT TRIGGER strm_guard_command_start ON ddl_command_start
  WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED', 'DROP SCHEMA')
  EXECUTE FUNCTION strm.guard_command_start();

-- Every way to rename, retype, disable or add something: tables' columns are renamed by ALTER VIEW and its kin, too. Partitions
-- are made by CREATE TABLE, which CREATE SCHEMA may contain, as it may CREATE TRIGGER.
CREATE EVENT TRIGGER strm_guard_command_end ON ddl_command_end
  WHEN TAG IN ('ALTER FOREIGN TABLE', 'ALTER MATERIALIZED VIEW', 'ALTER RULE', 'ALTER TABLE', 'ALTER TRIGGER', 'ALTER TYPE',
               'ALTER VIEW', 'CREATE FOREIGN TABLE', 'CREATE RULE', 'CREATE SCHEMA', 'CREATE TABLE', 'CREATE TRIGGER')
  EXECUTE FUNCTION strm.guard_command_end();

CREATE EVENT TRIGGER strm_guard_drop ON sql_drop
  EXECUTE FUNCTION strm.guard_drop();

CREATE EVENT TRIGGER strm_guard_rewrite ON table_rewrite
  EXECUTE FUNCTION strm.guard_rewrite();

-- A superuser's replication role does not switch protection off: the registry would keep rows of dropped tables.
ALTER EVENT TRIGGER strm_guard_command_start ENABLE ALWAYS;
ALTER EVENT TRIGGER strm_guard_command_end ENABLE ALWAYS;
ALTER EVENT TRIGGER strm_guard_drop ENABLE ALWAYS;
ALTER EVENT TRIGGER strm_guard_rewrite ENABLE ALWAYS;
