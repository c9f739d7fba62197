-- Queued ingestion: the inboxes of streams.

CREATE TABLE strm.inbox (
  stream_id uuid PRIMARY KEY,
  relation regclass NOT NULL CONSTRAINT inbox_relid_key UNIQUE,
  key bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.inbox IS 'One row per stream that is ingested through a queue. key: what hashes key field values into lanes, wrapped by the master key';
SELECT pg_catalog.pg_extension_config_dump('strm.inbox', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.inbox
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.inbox ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE TABLE strm.inbox_key (
  stream_id uuid NOT NULL,
  id int NOT NULL CHECK (id > 0),
  key bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (stream_id, id)
);
COMMENT ON TABLE strm.inbox_key IS 'Keys that seal the rows of inboxes until they are moved, wrapped by the master key. The one with the highest id is in use; others are kept for half a day, and as long as there are rows under them';
SELECT pg_catalog.pg_extension_config_dump('strm.inbox_key', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.inbox_key
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.inbox_key ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE FUNCTION strm.date_inbox_key() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_date_inbox_key';
REVOKE ALL ON FUNCTION strm.date_inbox_key() FROM PUBLIC;
COMMENT ON FUNCTION strm.date_inbox_key() IS 'Trigger of strm.inbox_key: created_at is when the key was stored in this database, also when a dump says otherwise, so that restored keys stay until their rows are there';
CREATE TRIGGER date_inbox_key BEFORE INSERT ON strm.inbox_key
  FOR EACH ROW EXECUTE FUNCTION strm.date_inbox_key();
ALTER TABLE strm.inbox_key ENABLE ALWAYS TRIGGER date_inbox_key;

-- A table of this access method that is no stream's inbox takes no rows.
CREATE FUNCTION strm.inbox_handler(internal) RETURNS table_am_handler
  LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'strm_sql_inbox_handler';
REVOKE ALL ON FUNCTION strm.inbox_handler(internal) FROM PUBLIC;
COMMENT ON FUNCTION strm.inbox_handler(internal) IS 'Table access method of inboxes: called by the server';
CREATE ACCESS METHOD strm_inbox TYPE TABLE HANDLER strm.inbox_handler;
COMMENT ON ACCESS METHOD strm_inbox IS 'Inboxes of streams: rows are checked against the data contract and sealed on INSERT and COPY';

CREATE FUNCTION strm.check_inbox() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_check_inbox';
REVOKE ALL ON FUNCTION strm.check_inbox() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.check_inbox() TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.check_inbox() IS 'Statement trigger of inboxes: refuses rows when the table has another access method, as after a restore without access methods';
