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
