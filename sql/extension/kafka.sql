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

CREATE TABLE strm.erased_event (
  key_link uuid NOT NULL,
  nonce int NOT NULL,
  stream_id uuid NOT NULL,
  lsn pg_lsn,
  PRIMARY KEY (key_link, nonce)
);
COMMENT ON TABLE strm.erased_event IS 'Events that strm.delete_data_subjects() deleted under a key that stays, and that exporters may still find in the WAL. lsn: all of their transactions lie before, NULL before the scheduler has seen them; they go when no replication slot reads so far back. Not dumped: it belongs to this server';

CREATE FUNCTION strm.create_kafka_cluster(name text, bootstrap_servers text, config jsonb DEFAULT '{}')
  RETURNS uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_kafka_cluster';
REVOKE ALL ON FUNCTION strm.create_kafka_cluster(text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_kafka_cluster(text, text, jsonb) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_kafka_cluster(text, text, jsonb) IS 'Defines a Kafka cluster of the current role and returns its id. name: 1 to 100 characters, unique. bootstrap_servers: host:port, several with commas between, or ''embedded'' for a broker in the server''s memory, which is not for production. config: properties of librdkafka by their names, and schema.registry.*, as docs/kafka.md lists them; secrets among them are stored encrypted and never shown again. Nothing outside is reached. Errors: 22023 with all faults of the definition, 42710 when the name is taken, 55000 when wal_level is not logical';

CREATE FUNCTION strm.alter_kafka_cluster(name text, bootstrap_servers text DEFAULT NULL, config jsonb DEFAULT NULL)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_alter_kafka_cluster';
REVOKE ALL ON FUNCTION strm.alter_kafka_cluster(text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.alter_kafka_cluster(text, text, jsonb) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.alter_kafka_cluster(text, text, jsonb) IS 'Changes a Kafka cluster: NULL leaves a part as it is; members of config replace single properties, null takes one away. Secrets that are left are not used with other servers or less protection: they must be given again with these. Where exporters of derived streams lead is changed by who may publish these only. For its owner and strm_admin. Errors: 42704, 42501, 22023, 55000 when exporters would change between an embedded broker and others';

CREATE FUNCTION strm.drop_kafka_cluster(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_drop_kafka_cluster';
REVOKE ALL ON FUNCTION strm.drop_kafka_cluster(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.drop_kafka_cluster(text) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.drop_kafka_cluster(text) IS 'Drops a Kafka cluster, with its grants; its worker ends and drops its replication slot. For its owner and strm_admin. Errors: 42704, 42501, 55000 while it has exporters';

CREATE FUNCTION strm.grant_kafka_cluster(name text, grantee regrole)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_grant_kafka_cluster';
REVOKE ALL ON FUNCTION strm.grant_kafka_cluster(text, regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.grant_kafka_cluster(text, regrole) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.grant_kafka_cluster(text, regrole) IS 'Lets a role, and so its members, use a Kafka cluster in exporters; not alter, drop or grant it. For its owner and strm_admin. Errors: 42704, 42501';

CREATE FUNCTION strm.revoke_kafka_cluster(name text, grantee regrole)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_revoke_kafka_cluster';
REVOKE ALL ON FUNCTION strm.revoke_kafka_cluster(text, regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.revoke_kafka_cluster(text, regrole) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.revoke_kafka_cluster(text, regrole) IS 'Takes back strm.grant_kafka_cluster(): exporters of roles that then may not use the cluster end in state ERROR. For the owner and strm_admin. Errors: 42704, 42501';

CREATE FUNCTION strm.create_kafka_exporter(stream regclass, cluster text, topic text DEFAULT NULL, name text DEFAULT NULL,
    include_existing_events boolean DEFAULT false, partitions int DEFAULT 5, format text DEFAULT 'json', transactional boolean DEFAULT false)
  RETURNS uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_kafka_exporter';
REVOKE ALL ON FUNCTION strm.create_kafka_exporter(regclass, text, text, text, boolean, int, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_kafka_exporter(regclass, text, text, text, boolean, int, text, boolean) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_kafka_exporter(regclass, text, text, text, boolean, int, text, boolean) IS 'Publishes a stream or derived stream to a topic of a Kafka cluster, from the events of later transactions on, or with all that exist; returns the exporter''s id. topic: the stream''s name by default; it is made with that number of partitions when it is missing (an existing topic keeps its own), and has one exporter. name: <cluster>_<stream> by default. format: json or avro. transactional: by Kafka transactions, for consumers that read committed records. Streams: for their owner and roles with SELECT; derived streams: for strm_approver with SELECT. Errors: 22023 with all faults of the definition, 42501, 42704, 42710, 55000 when wal_level is not logical, and what the brokers say';

CREATE FUNCTION strm.alter_kafka_exporter(name text, new_name text DEFAULT NULL, new_owner regrole DEFAULT NULL)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_alter_kafka_exporter';
REVOKE ALL ON FUNCTION strm.alter_kafka_exporter(text, text, regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.alter_kafka_exporter(text, text, regrole) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.alter_kafka_exporter(text, text, regrole) IS 'Renames a Kafka exporter or gives it to another role, who must be allowed to publish what it does. Everything else of an exporter is fixed: drop it and create another one. For its owner, who must be a member of the new one, and strm_admin. Errors: 42704, 42501, 42710';

CREATE FUNCTION strm.drop_kafka_exporter(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_drop_kafka_exporter';
REVOKE ALL ON FUNCTION strm.drop_kafka_exporter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.drop_kafka_exporter(text) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.drop_kafka_exporter(text) IS 'Drops a Kafka exporter. Its topic stays. For its owner and strm_admin. Errors: 42704, 42501';

CREATE FUNCTION strm.pause_kafka_exporter(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_pause_kafka_exporter';
REVOKE ALL ON FUNCTION strm.pause_kafka_exporter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.pause_kafka_exporter(text) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.pause_kafka_exporter(text) IS 'Stops a Kafka exporter until strm.resume_kafka_exporter(), from when the transaction commits. The WAL that it has not published is kept meanwhile. For its owner and strm_admin. Errors: 42704, 42501';

CREATE FUNCTION strm.resume_kafka_exporter(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_resume_kafka_exporter';
REVOKE ALL ON FUNCTION strm.resume_kafka_exporter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.resume_kafka_exporter(text) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.resume_kafka_exporter(text) IS 'Makes a Kafka exporter go on that is paused or in state ERROR, where it stopped. For its owner and strm_admin. Errors: 42704, 42501, 55000 when it is broken';

CREATE FUNCTION strm.rebuild_kafka_exporter(name text)
  RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_rebuild_kafka_exporter';
REVOKE ALL ON FUNCTION strm.rebuild_kafka_exporter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.rebuild_kafka_exporter(text) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.rebuild_kafka_exporter(text) IS 'Makes a Kafka exporter in state BROKEN go on: with a new replication slot where that was lost, and first with the events that were not published meanwhile. In a copy of a database: takes the exporter''s cluster over, whose other exporters are to be rebuilt, too; the original must not publish any more. For its owner and strm_admin. Errors: 42704, 42501, 55000 when it is not broken';

CREATE FUNCTION strm.kafka_cluster_progress() RETURNS TABLE (id uuid, ours boolean, pid int, since timestamptz, "position" pg_lsn, confirmed pg_lsn, address text)
  LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'strm_sql_kafka_cluster_progress';
REVOKE ALL ON FUNCTION strm.kafka_cluster_progress() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.kafka_cluster_progress() TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
COMMENT ON FUNCTION strm.kafka_cluster_progress() IS 'Kafka clusters of this database, whether they were made here (not in a database that this one is a copy of), their workers, and how far these have read. Used by strm.kafka_clusters';

CREATE FUNCTION strm.kafka_exporter_progress() RETURNS TABLE (id uuid, state text, "position" pg_lsn, hold pg_lsn, hold_since timestamptz, sent bigint, withheld bigint,
    filtered bigint, failed bigint, queued_bytes bigint, last_sent timestamptz, positions jsonb)
  LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'strm_sql_kafka_exporter_progress';
REVOKE ALL ON FUNCTION strm.kafka_exporter_progress() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.kafka_exporter_progress() TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
COMMENT ON FUNCTION strm.kafka_exporter_progress() IS 'How far the Kafka exporters of this database are, of which a worker runs. Used by strm.kafka_exporters';

CREATE VIEW strm.kafka_clusters AS
  SELECT c.id, c.name, pg_catalog.pg_get_userbyid(c.owner) AS owner, c.bootstrap_servers, c.config, c.credentials IS NOT NULL AS has_credentials,
         ARRAY(SELECT r.rolname
                 FROM strm.kafka_cluster_user u JOIN pg_catalog.pg_roles r ON r.oid = u.grantee::oid
                WHERE u.cluster_id = c.id
                ORDER BY r.rolname) AS usable_by,
         p.ours, CASE WHEN p.ours THEN k.slot_name END AS slot_name, s.wal_status, s.safe_wal_size,
         CASE WHEN w.lsn >= s.confirmed_flush_lsn THEN pg_catalog.pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn)
              WHEN w.lsn < s.confirmed_flush_lsn THEN 0 END::bigint AS lag_bytes,
         p.pid AS worker_pid, p.since AS worker_since, p.address, c.created_at
    FROM strm.kafka_cluster c
   CROSS JOIN LATERAL (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                   ELSE pg_catalog.pg_current_wal_flush_lsn() END AS lsn) AS w
    LEFT JOIN strm.kafka_cluster_slot k ON k.cluster_id = c.id
    LEFT JOIN strm.kafka_cluster_progress() AS p ON p.id = c.id
    LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = k.slot_name::name AND p.ours;
COMMENT ON VIEW strm.kafka_clusters IS 'Kafka clusters; never their secrets. usable_by: roles that may use it besides its owner and strm_admin; ours: false in a copy of the database that it was made in, which does not publish; slot_name, wal_status, safe_wal_size, lag_bytes: of its replication slot, NULL before there is one; address: where an embedded broker listens';
GRANT SELECT ON strm.kafka_clusters TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

CREATE VIEW strm.kafka_exporters AS
  SELECT e.id, e.name, pg_catalog.pg_get_userbyid(e.owner) AS owner, COALESCE(d.relation, r.relation) AS stream,
         e.derived_stream_id IS NOT NULL AS derived, c.name AS cluster, e.topic, e.partitions, e.format, e.transactional, e.include_existing_events,
         CASE WHEN NOT k.ours THEN 'BROKEN'
              WHEN p.id IS NULL AND e.paused AND t.state NOT IN ('ERROR', 'BROKEN') THEN 'PAUSED'
              WHEN p.state IN ('ERROR', 'BROKEN') THEN COALESCE(t.state, p.state)
              ELSE COALESCE(p.state, t.state, 'CREATING') END AS state,
         t.since,
         CASE WHEN k.ours AND w.lsn >= h.lsn THEN pg_catalog.pg_wal_lsn_diff(w.lsn, h.lsn)
              WHEN k.ours AND w.lsn < h.lsn THEN 0 END::bigint AS lag_bytes,
         CASE WHEN p.id IS NULL THEN NULL
              WHEN p.hold IS NULL THEN 0
              ELSE GREATEST(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - p.hold_since), 0) END::float8 AS lag_seconds,
         COALESCE(p.sent, t.sent, 0) AS sent, COALESCE(p.withheld, t.withheld, 0) AS withheld,
         COALESCE(p.filtered, t.filtered, 0) AS filtered, COALESCE(p.failed, t.failed, 0) AS errors,
         COALESCE(p.queued_bytes, 0) AS queued_bytes, p.last_sent, t.sqlstate, m.last_error, m.hint, p.positions, e.created_at
    FROM strm.kafka_exporter e
    JOIN strm.kafka_cluster c ON c.id = e.cluster_id
   CROSS JOIN LATERAL (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                   ELSE pg_catalog.pg_current_wal_flush_lsn() END AS lsn) AS w
    LEFT JOIN strm.stream r ON r.id = e.stream_id
    LEFT JOIN strm.derived_stream d ON d.id = e.derived_stream_id
    LEFT JOIN strm.kafka_exporter_state t ON t.exporter_id = e.id
    LEFT JOIN strm.kafka_cluster_slot l ON l.cluster_id = c.id
    LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = l.slot_name::name
    LEFT JOIN strm.kafka_cluster_progress() AS k ON k.id = c.id
    LEFT JOIN strm.kafka_exporter_progress() AS p ON p.id = e.id
   CROSS JOIN LATERAL (SELECT COALESCE(p.hold, p."position", s.confirmed_flush_lsn) AS lsn) AS h
    LEFT JOIN LATERAL (SELECT t.message AS last_error, t.hint
                        WHERE pg_catalog.pg_has_role(e.owner::oid, 'USAGE') OR pg_catalog.pg_has_role('strm_admin', 'USAGE') OR
                              pg_catalog.pg_has_role('strm_monitor', 'USAGE')) AS m ON true;
COMMENT ON VIEW strm.kafka_exporters IS 'Kafka exporters, and how far they are. lag_bytes: WAL behind the first transaction that is not acknowledged; lag_seconds: since that committed, NULL when no worker runs; withheld: events whose key was destroyed, or which were erased, before they were sent; filtered: events whose consent does not cover the derived stream; errors: events that were not what the server sealed, or whose key is lost; positions: per partition the offset of the last acknowledged record, and its strm-position. last_error and hint are shown to the owner, strm_admin and strm_monitor';
GRANT SELECT ON strm.kafka_exporters TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
