-- Batch exporters: files of events and keys in object stores and directories.

CREATE TABLE strm.batch_exporter (
  id uuid PRIMARY KEY,
  name text NOT NULL CONSTRAINT batch_exporter_name_key UNIQUE,
  owner regrole NOT NULL,
  stream_id uuid NOT NULL,
  derived_stream_id uuid,
  keys boolean NOT NULL,
  connector_id uuid NOT NULL,
  path_prefix text NOT NULL,
  every interval NOT NULL,
  format text NOT NULL CHECK (format OPERATOR(pg_catalog.=) ANY ('{jsonl,csv}'::text[])),
  compression text CHECK (compression OPERATOR(pg_catalog.=) 'gzip'),
  include_existing_events boolean NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  database oid NOT NULL,
  system_identifier bigint NOT NULL,
  defined_at text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX batch_exporter_stream_idx ON strm.batch_exporter (stream_id);
CREATE INDEX batch_exporter_connector_idx ON strm.batch_exporter (connector_id);
COMMENT ON TABLE strm.batch_exporter IS 'One row per batch exporter. keys: it exports the stream''s keys; defined_at: snapshot of its creation: later events are exported; database and system_identifier: where it was made, as a copy of that must not export';
SELECT pg_catalog.pg_extension_config_dump('strm.batch_exporter', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.batch_exporter
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.batch_exporter ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE TABLE strm.batch_exporter_state (
  exporter_id uuid PRIMARY KEY,
  state text NOT NULL,
  since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  sqlstate text,
  message text,
  hint text,
  tries int NOT NULL DEFAULT 0,
  next_at timestamptz,
  done text,
  done_lsn pg_lsn,
  pending text,
  pending_lsn pg_lsn,
  pending_end pg_lsn,
  pending_plan text,
  pending_at timestamptz,
  part int NOT NULL DEFAULT 0,
  part_start text,
  file text,
  part_end text,
  file_rows bigint NOT NULL DEFAULT 0,
  files bigint NOT NULL DEFAULT 0,
  rows bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  withheld bigint NOT NULL DEFAULT 0,
  filtered bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  last_file text,
  last_file_at timestamptz,
  done_at timestamptz
);
COMMENT ON TABLE strm.batch_exporter_state IS 'How far a batch exporter is, written by its worker with each file. done: snapshot whose events are all in files, of done_at; pending: that of the files under way. Not dumped: it belongs to this server';

CREATE FUNCTION strm.create_batch_exporter(stream regclass, connector text, name text DEFAULT NULL, every interval DEFAULT '60 s', path_prefix text DEFAULT NULL,
    include_existing_events boolean DEFAULT false, export_keys boolean DEFAULT false, format text DEFAULT 'jsonl', compression text DEFAULT NULL)
  RETURNS uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_batch_exporter';
REVOKE ALL ON FUNCTION strm.create_batch_exporter(regclass, text, text, interval, text, boolean, boolean, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_batch_exporter(regclass, text, text, interval, text, boolean, boolean, text, text) TO strm_member, strm_approver, strm_admin, strm_key_exporter;
COMMENT ON FUNCTION strm.create_batch_exporter(regclass, text, text, interval, text, boolean, boolean, text, text) IS 'Writes the events of a stream or derived stream as files to a data connector, or with export_keys the data keys of a stream, from later transactions on, or with all that exist; returns the exporter''s id. name: <stream>_<connector>[_keys] by default; it is in the names of the files. every: from 30 seconds to 1 hour. path_prefix: where in the connector. format: jsonl, and csv for keys; compression: gzip or none. A file .strm_privacy is written below the prefix now, to check the connector. Streams: for their owner and roles with SELECT; derived streams: for strm_approver with SELECT; keys: for strm_key_exporter, as owner of the stream or with SELECT. Errors: 22023 with all faults of the definition, 42501, 42704, 42710, 55000 when wal_level is not logical, and what the connector says';

CREATE FUNCTION strm.alter_batch_exporter(name text, new_name text DEFAULT NULL, new_owner regrole DEFAULT NULL, every interval DEFAULT NULL, path_prefix text DEFAULT NULL)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_alter_batch_exporter';
REVOKE ALL ON FUNCTION strm.alter_batch_exporter(text, text, regrole, interval, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.alter_batch_exporter(text, text, regrole, interval, text) TO strm_member, strm_approver, strm_admin, strm_key_exporter;
COMMENT ON FUNCTION strm.alter_batch_exporter(text, text, regrole, interval, text) IS 'Changes a batch exporter: its name, its owner, who must be allowed to export what it does, its interval, and where its files go in the connector ('''': to its top); NULL leaves a part as it is. It holds for files that are begun later. Everything else is fixed: drop it and create another one. For its owner, who must be a member of the new one, and strm_admin; where decrypted values and keys go is changed by who may export them only. Errors: 42704, 42501, 42710, 22023, and what the connector says';

CREATE FUNCTION strm.drop_batch_exporter(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_drop_batch_exporter';
REVOKE ALL ON FUNCTION strm.drop_batch_exporter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.drop_batch_exporter(text) TO strm_member, strm_approver, strm_admin, strm_key_exporter;
COMMENT ON FUNCTION strm.drop_batch_exporter(text) IS 'Drops a batch exporter. Its files stay. For its owner and strm_admin. Errors: 42704, 42501';

CREATE FUNCTION strm.pause_batch_exporter(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_pause_batch_exporter';
REVOKE ALL ON FUNCTION strm.pause_batch_exporter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.pause_batch_exporter(text) TO strm_member, strm_approver, strm_admin, strm_key_exporter;
COMMENT ON FUNCTION strm.pause_batch_exporter(text) IS 'Stops a batch exporter until strm.resume_batch_exporter(), from when the transaction commits; a file under way may still appear. For its owner and strm_admin. Errors: 42704, 42501';

CREATE FUNCTION strm.resume_batch_exporter(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_resume_batch_exporter';
REVOKE ALL ON FUNCTION strm.resume_batch_exporter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.resume_batch_exporter(text) TO strm_member, strm_approver, strm_admin, strm_key_exporter;
COMMENT ON FUNCTION strm.resume_batch_exporter(text) IS 'Makes a batch exporter go on that is paused or in state ERROR, where it stopped. In a copy of a database: takes the exporter over, which the original must not run any more; one that came by a dump begins as a new one. For its owner and strm_admin. Errors: 42704, 42501, 55000 when wal_level is not logical';

CREATE FUNCTION strm.batch_exporter_origins() RETURNS TABLE (id uuid, ours boolean)
  LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'strm_sql_batch_exporter_origins';
REVOKE ALL ON FUNCTION strm.batch_exporter_origins() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.batch_exporter_origins() TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
COMMENT ON FUNCTION strm.batch_exporter_origins() IS 'Batch exporters, and whether they are this database''s, not of one that it is a copy of. Used by strm.batch_exporters';

CREATE VIEW strm.batch_exporters AS
  SELECT e.id, e.name, pg_catalog.pg_get_userbyid(e.owner) AS owner, COALESCE(d.relation, r.relation) AS stream,
         e.derived_stream_id IS NOT NULL AS derived, e.keys, c.name AS connector, NULLIF(e.path_prefix, '') AS path_prefix, e.every, e.format,
         e.compression, e.include_existing_events,
         CASE WHEN NOT o.ours THEN 'ERROR'
              WHEN e.paused AND COALESCE(t.state, '') <> 'ERROR' THEN 'PAUSED'
              ELSE COALESCE(t.state, 'CREATING') END AS state,
         t.since, CASE WHEN o.ours AND NOT e.paused AND t.state <> 'ERROR' THEN t.next_at END AS next_at, t.last_file, t.last_file_at,
         COALESCE(t.files, 0) AS files, COALESCE(t.rows, 0) AS rows, COALESCE(t.bytes, 0) AS bytes, COALESCE(t.withheld, 0) AS withheld,
         COALESCE(t.filtered, 0) AS filtered, COALESCE(t.failed, 0) AS errors,
         CASE WHEN o.ours AND t.done_lsn > '0/0' THEN GREATEST(pg_catalog.pg_wal_lsn_diff(w.lsn, t.done_lsn), 0) END::bigint AS lag_bytes,
         CASE WHEN o.ours AND t.done_at IS NOT NULL THEN GREATEST(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - t.done_at), 0) END::float8 AS lag_seconds,
         COALESCE(t.tries, 0) AS tries, CASE WHEN o.ours THEN t.sqlstate ELSE '55000' END AS sqlstate, m.last_error, m.hint, e.created_at
    FROM strm.batch_exporter e
   CROSS JOIN LATERAL (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                   ELSE pg_catalog.pg_current_wal_flush_lsn() END AS lsn) AS w
    LEFT JOIN strm.data_connector c ON c.id = e.connector_id
    LEFT JOIN strm.stream r ON r.id = e.stream_id
    LEFT JOIN strm.derived_stream d ON d.id = e.derived_stream_id
    LEFT JOIN strm.batch_exporter_state t ON t.exporter_id = e.id
    LEFT JOIN strm.batch_exporter_origins() AS o ON o.id = e.id
    LEFT JOIN LATERAL (SELECT CASE WHEN o.ours THEN t.message ELSE 'the exporter belongs to another server or database, of which this one is a copy' END AS last_error,
                              CASE WHEN o.ours THEN t.hint ELSE 'Use strm.resume_batch_exporter() if the original does not export any more.' END AS hint
                        WHERE pg_catalog.pg_has_role(e.owner::oid, 'USAGE') OR pg_catalog.pg_has_role('strm_admin', 'USAGE') OR
                              pg_catalog.pg_has_role('strm_monitor', 'USAGE')) AS m ON true;
COMMENT ON VIEW strm.batch_exporters IS 'Batch exporters, and how far they are. next_at: when it looks for events next; files, rows, bytes: written so far, bytes as stored; withheld: events of derived streams whose key was destroyed before they were written, events that were erased before, and keys that were destroyed; filtered: events whose consent does not cover the derived stream; errors: events that were not what the server sealed, or whose key is lost; lag_bytes, lag_seconds: WAL and time since the moment up to which all is in files (up to the interval when all is well), NULL while that is not known; tries: failures in a row. last_error and hint are shown to the owner, strm_admin and strm_monitor';
GRANT SELECT ON strm.batch_exporters TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
