-- Batch jobs: files and tables in, encrypted data, keys and derived data out.

CREATE TABLE strm.batch_job_group (
  id uuid PRIMARY KEY,
  owner regrole NOT NULL,
  policy_id uuid,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.batch_job_group IS 'Owners of the data keys of batch jobs: jobs of one group share keys. A job without a group is one of its own, of the same id. policy_id NULL: the default policy';
SELECT pg_catalog.pg_extension_config_dump('strm.batch_job_group', '');

CREATE TABLE strm.batch_job (
  id uuid PRIMARY KEY,
  owner regrole NOT NULL,
  group_id uuid,
  contract_id int NOT NULL,
  job jsonb NOT NULL,
  seeds bytea,
  search_path text NOT NULL,
  synchronous boolean NOT NULL,
  tries int NOT NULL DEFAULT 0,
  cancel_requested boolean NOT NULL DEFAULT false,
  database oid NOT NULL,
  state text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX batch_job_open_idx ON strm.batch_job (created_at) WHERE state OPERATOR(pg_catalog.<>) ALL (ARRAY['FINISHED', 'ERROR']);
COMMENT ON TABLE strm.batch_job IS 'One row per batch job. job: the configuration without mask seeds, which are in seeds, wrapped by the master key; group_id: owner of its keys, NULL when they are a stream''s; search_path: of the session that created it, for the names in it; synchronous: run by strm.run_batch_job(); database: where it was made, as a copy of that must not run it; state: the last one of strm.batch_job_state';
-- A job that waits or runs belongs to this server: a copy of the database must not run it again.
SELECT pg_catalog.pg_extension_config_dump('strm.batch_job', 'WHERE state IN (''FINISHED'', ''ERROR'') OR state = ''ERROR_STARTING'' AND tries >= 3');

CREATE TABLE strm.batch_job_state (
  job_id uuid NOT NULL,
  number int NOT NULL,
  state text NOT NULL,
  since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  row_count bigint,
  byte_count bigint,
  rejected_count bigint,
  sqlstate text,
  message text,
  detail text,
  hint text,
  PRIMARY KEY (job_id, number)
);
COMMENT ON TABLE strm.batch_job_state IS 'What a batch job went through: PENDING, STARTED, RUNNING (again while it goes on), FINISHED, ERROR_STARTING (tried again up to three times), ERROR';
SELECT pg_catalog.pg_extension_config_dump('strm.batch_job_state', 'WHERE job_id IN (SELECT id FROM strm.batch_job WHERE state IN (''FINISHED'', ''ERROR'') OR state = ''ERROR_STARTING'' AND tries >= 3)');

CREATE TABLE strm.batch_job_intent (
  id uuid PRIMARY KEY,
  job_id uuid NOT NULL,
  connector_id uuid NOT NULL,
  path text NOT NULL,
  detail text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.batch_job_intent IS 'What a job is about to leave outside the database, committed before it does: should its process die, another one takes it away. Not dumped: it belongs to this server';

CREATE FUNCTION strm.create_batch_job(job jsonb) RETURNS uuid
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_create_batch_job';
REVOKE ALL ON FUNCTION strm.create_batch_job(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.create_batch_job(jsonb) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.create_batch_job(jsonb) IS 'Checks a batch job and queues it for a background worker, which starts when the transaction has committed; returns its id, under which strm.batch_jobs shows it. All that is wrong with the configuration is one error, 22023';

CREATE PROCEDURE strm.run_batch_job(job jsonb)
  LANGUAGE c AS 'MODULE_PATHNAME', 'strm_sql_run_batch_job';
REVOKE ALL ON PROCEDURE strm.run_batch_job(jsonb) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE strm.run_batch_job(jsonb) TO strm_member, strm_approver, strm_admin;
COMMENT ON PROCEDURE strm.run_batch_job(jsonb) IS 'Checks a batch job, runs it in a background worker at once and waits for its end; its progress comes as NOTICEs, its error as an error. Cancelling the statement cancels the job. Commits; errors: 25001 inside a transaction block, 22023 a configuration that is not valid, 53400 no room for a background worker, and those of the job';

CREATE FUNCTION strm.cancel_batch_job(id uuid) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'strm_sql_cancel_batch_job';
REVOKE ALL ON FUNCTION strm.cancel_batch_job(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.cancel_batch_job(uuid) TO strm_member, strm_approver, strm_admin;
COMMENT ON FUNCTION strm.cancel_batch_job(uuid) IS 'Stops a batch job, waiting or running; it ends as ERROR and publishes nothing. For its owner and strm_admin. A running one is told at once, not when the transaction commits. Errors: 42704 no such job, 42501 not the owner, 55000 it has ended';

CREATE FUNCTION strm.batch_job_progress() RETURNS TABLE (id uuid, row_count bigint, rejected_count bigint, byte_count bigint)
  LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'strm_sql_batch_job_progress';
REVOKE ALL ON FUNCTION strm.batch_job_progress() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strm.batch_job_progress() TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
COMMENT ON FUNCTION strm.batch_job_progress() IS 'How far the running batch jobs of this database are. Used by strm.batch_jobs';

CREATE VIEW strm.batch_jobs AS
  SELECT j.id, j.owner, c.handle || '/' || c.name || '/' || c.version AS contract, j.group_id, j.synchronous, j.state, j.tries,
         j.created_at, b.started_at,
         CASE WHEN j.state IN ('FINISHED', 'ERROR') OR j.state = 'ERROR_STARTING' AND j.tries >= 3 THEN l.since END AS finished_at,
         COALESCE(p.row_count, l.row_count) AS row_count, COALESCE(p.rejected_count, l.rejected_count) AS rejected_count,
         COALESCE(p.byte_count, l.byte_count) AS byte_count,
         l.sqlstate, m.message, m.detail, m.hint
    FROM strm.batch_job j
    LEFT JOIN strm.data_contract c ON c.id = j.contract_id
    LEFT JOIN LATERAL (SELECT s.* FROM strm.batch_job_state s WHERE s.job_id = j.id ORDER BY s.number DESC LIMIT 1) AS l ON true
    LEFT JOIN LATERAL (SELECT pg_catalog.max(s.since) AS started_at FROM strm.batch_job_state s
                        WHERE s.job_id = j.id AND s.state = 'STARTED') AS b ON true
    LEFT JOIN LATERAL (SELECT l.message, l.detail, l.hint
                        WHERE pg_catalog.pg_has_role(j.owner::oid, 'USAGE') OR pg_catalog.pg_has_role('strm_admin', 'USAGE')) AS m ON true
    LEFT JOIN strm.batch_job_progress() AS p ON p.id = j.id AND j.state IN ('STARTED', 'RUNNING');
COMMENT ON VIEW strm.batch_jobs IS 'Batch jobs of this database, and how far they are. message, detail and hint of an error are shown to the owner of the job and to strm_admin';
GRANT SELECT ON strm.batch_jobs TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;

CREATE VIEW strm.batch_job_states AS
  SELECT s.job_id, s.number, s.state, s.since, s.row_count, s.rejected_count, s.byte_count, s.sqlstate, m.message, m.detail, m.hint
    FROM strm.batch_job_state s
    JOIN strm.batch_job j ON j.id = s.job_id
    LEFT JOIN LATERAL (SELECT s.message, s.detail, s.hint
                        WHERE pg_catalog.pg_has_role(j.owner::oid, 'USAGE') OR pg_catalog.pg_has_role('strm_admin', 'USAGE')) AS m ON true;
COMMENT ON VIEW strm.batch_job_states IS 'What batch jobs went through, number by number; as strm.batch_jobs';
GRANT SELECT ON strm.batch_job_states TO strm_member, strm_approver, strm_admin, strm_key_exporter, strm_monitor;
