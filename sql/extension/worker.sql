-- Background workers, and the states of everything that runs or could.

CREATE FUNCTION strm.worker_processes() RETURNS TABLE (kind text, database oid, pid int, since timestamptz, state text, what text)
  LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'strm_sql_worker_processes';
REVOKE ALL ON FUNCTION strm.worker_processes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.worker_processes() TO strm_admin, strm_monitor;
COMMENT ON FUNCTION strm.worker_processes() IS 'Background workers of the extension, in all databases of the server. Used by strm.workers';

CREATE VIEW strm.workers AS
  SELECT p.kind, d.datname AS database, p.pid, p.since, p.state, p.what
    FROM strm.worker_processes() AS p
    LEFT JOIN pg_catalog.pg_database d ON d.oid = p.database;
COMMENT ON VIEW strm.workers IS 'Background workers of the extension, in all databases of the server: the launcher, a scheduler per database with the extension, and a worker per batch job that runs, per Kafka cluster, for batch exporters, for inboxes, and per topic that is checked';
GRANT SELECT ON strm.workers TO strm_admin, strm_monitor;

CREATE VIEW strm.entity_states AS
  SELECT 'stream'::text AS entity, s.id::text AS id, s.relation::text AS name, 'ACTIVE'::text AS status, s.created_at AS since,
         NULL::text AS message
    FROM strm.stream s
  UNION ALL
  SELECT 'derived_stream', d.id::text, d.relation::text, 'ACTIVE', d.created_at, NULL
    FROM strm.derived_stream d
  UNION ALL
  SELECT 'data_connector', c.id::text, c.name, 'ACTIVE', c.created_at, NULL
    FROM strm.data_connector c
  UNION ALL
  SELECT 'batch_job', j.id::text, NULL, j.state,
         (SELECT pg_catalog.max(s.since) FROM strm.batch_job_state s WHERE s.job_id = j.id), j.message
    FROM strm.batch_jobs j
  UNION ALL
  SELECT 'kafka_cluster', c.id::text, c.name, CASE WHEN c.ours THEN 'ACTIVE' ELSE 'BROKEN' END, c.created_at, NULL
    FROM strm.kafka_clusters c
  UNION ALL
  SELECT 'kafka_exporter', e.id::text, e.name, e.state, COALESCE(e.since, e.created_at), e.last_error
    FROM strm.kafka_exporters e
  UNION ALL
  SELECT 'batch_exporter', e.id::text, e.name, e.state, COALESCE(e.since, e.created_at), e.last_error
    FROM strm.batch_exporters e
  UNION ALL
  SELECT 'worker', w.pid::text, pg_catalog.concat_ws(' ', w.kind, w.database), w.state, w.since, w.what
    FROM strm.workers w;
COMMENT ON VIEW strm.entity_states IS 'One row per stream, derived stream, data connector, batch job, Kafka cluster, Kafka exporter, batch exporter and background worker. Changes of all but the last are notified on channel strm_privacy, as JSON with entity, id, name and status (DROPPED for what is gone)';
GRANT SELECT ON strm.entity_states TO strm_admin, strm_monitor;

CREATE FUNCTION strm.notify_entity() RETURNS trigger
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_notify_entity';
REVOKE ALL ON FUNCTION strm.notify_entity() FROM PUBLIC;
COMMENT ON FUNCTION strm.notify_entity() IS 'Row trigger of registry tables: NOTIFY on channel strm_privacy. Arguments: the entity, and the columns of its id, name (exporter_id: that exporter''s) and status (empty: none)';

CREATE TRIGGER notify_entity AFTER INSERT OR DELETE ON strm.stream
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('stream', 'id', 'relation', '');
CREATE TRIGGER notify_entity AFTER INSERT OR DELETE ON strm.derived_stream
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('derived_stream', 'id', 'relation', '');
CREATE TRIGGER notify_entity AFTER INSERT OR UPDATE OR DELETE ON strm.data_connector
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('data_connector', 'id', 'name', '');
CREATE TRIGGER notify_entity AFTER INSERT ON strm.batch_job_state
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('batch_job', 'job_id', '', 'state');
CREATE TRIGGER notify_entity AFTER INSERT OR UPDATE OR DELETE ON strm.kafka_cluster
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('kafka_cluster', 'id', 'name', '');
CREATE TRIGGER notify_entity AFTER DELETE ON strm.kafka_exporter
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('kafka_exporter', 'id', 'name', '');
CREATE TRIGGER notify_entity AFTER INSERT ON strm.kafka_exporter_state
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('kafka_exporter', 'exporter_id', 'exporter_id', 'state');
CREATE TRIGGER notify_change AFTER UPDATE ON strm.kafka_exporter_state
  FOR EACH ROW WHEN (NEW.state OPERATOR(pg_catalog.<>) OLD.state)
  EXECUTE FUNCTION strm.notify_entity('kafka_exporter', 'exporter_id', 'exporter_id', 'state');
CREATE TRIGGER notify_entity AFTER DELETE ON strm.batch_exporter
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('batch_exporter', 'id', 'name', '');
CREATE TRIGGER notify_entity AFTER INSERT ON strm.batch_exporter_state
  FOR EACH ROW EXECUTE FUNCTION strm.notify_entity('batch_exporter', 'exporter_id', 'exporter_id', 'state');
CREATE TRIGGER notify_change AFTER UPDATE ON strm.batch_exporter_state
  FOR EACH ROW WHEN (NEW.state OPERATOR(pg_catalog.<>) OLD.state)
  EXECUTE FUNCTION strm.notify_entity('batch_exporter', 'exporter_id', 'exporter_id', 'state');
