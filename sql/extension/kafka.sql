-- Kafka clusters, and exporters that publish streams to them.

CREATE TABLE strm.kafka_cluster (
  id uuid PRIMARY KEY,
  name text NOT NULL CONSTRAINT kafka_cluster_name_key UNIQUE,
  owner regrole NOT NULL,
  bootstrap_servers text NOT NULL,
  config jsonb NOT NULL,
  credentials bytea,
  trusted boolean NOT NULL,
  database oid NOT NULL,
  system_identifier bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.kafka_cluster IS 'One row per Kafka cluster. credentials: JSON wrapped by the master key, never shown; trusted: made by an administrator, may reach servers on this machine itself; database and system_identifier: where it was made, as a copy of that must not publish';
SELECT pg_catalog.pg_extension_config_dump('strm.kafka_cluster', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.kafka_cluster
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.kafka_cluster ENABLE ALWAYS TRIGGER invalidate_cache;

CREATE TABLE strm.kafka_cluster_user (
  cluster_id uuid NOT NULL,
  grantee regrole NOT NULL,
  PRIMARY KEY (cluster_id, grantee)
);
COMMENT ON TABLE strm.kafka_cluster_user IS 'Roles that may use a Kafka cluster, besides its owner';
SELECT pg_catalog.pg_extension_config_dump('strm.kafka_cluster_user', '');

CREATE TABLE strm.kafka_exporter (
  id uuid PRIMARY KEY,
  name text NOT NULL CONSTRAINT kafka_exporter_name_key UNIQUE,
  owner regrole NOT NULL,
  cluster_id uuid NOT NULL,
  stream_id uuid NOT NULL,
  derived_stream_id uuid,
  topic text NOT NULL,
  partitions int NOT NULL CHECK (partitions OPERATOR(pg_catalog.>) 0),
  format text NOT NULL CHECK (format OPERATOR(pg_catalog.=) ANY ('{json,avro}'::text[])),
  transactional boolean NOT NULL,
  include_existing_events boolean NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  defined_at text NOT NULL,
  defined_lsn pg_lsn NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX kafka_exporter_topic_idx ON strm.kafka_exporter (cluster_id, topic) WHERE NOT transactional;
CREATE INDEX kafka_exporter_stream_idx ON strm.kafka_exporter (stream_id);
COMMENT ON TABLE strm.kafka_exporter IS 'One row per Kafka exporter. defined_at, defined_lsn: snapshot and WAL position of its creation: later events are published';
SELECT pg_catalog.pg_extension_config_dump('strm.kafka_exporter', '');
CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON strm.kafka_exporter
  FOR EACH STATEMENT EXECUTE FUNCTION strm.invalidate_cache();
ALTER TABLE strm.kafka_exporter ENABLE ALWAYS TRIGGER invalidate_cache;

-- What this server knows of slots and of what was published: a copy made by pg_dump knows nothing of them.
CREATE TABLE strm.kafka_cluster_slot (
  cluster_id uuid PRIMARY KEY,
  slot_name text NOT NULL,
  consistent_lsn pg_lsn NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE strm.kafka_cluster_slot IS 'Replication slots that were made for Kafka clusters. Not dumped: they belong to this server';

CREATE TABLE strm.kafka_exporter_state (
  exporter_id uuid PRIMARY KEY,
  state text NOT NULL,
  since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  sqlstate text,
  message text,
  hint text,
  epoch int NOT NULL DEFAULT 1,
  start_lsn pg_lsn,
  start_timeline int,
  starts bigint[],
  sent bigint NOT NULL DEFAULT 0,
  withheld bigint NOT NULL DEFAULT 0,
  filtered bigint NOT NULL DEFAULT 0,
  failed bigint NOT NULL DEFAULT 0,
  backfill text,
  checkpoint text,
  checkpoint_lsn pg_lsn,
  checkpoint_offsets bigint[]
);
COMMENT ON TABLE strm.kafka_exporter_state IS 'How far a Kafka exporter is, written by its worker: at changes of state, and every ten seconds while it publishes. Not dumped: it belongs to this server';
