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
  state text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.batch_job IS 'One row per batch job. job: the configuration without mask seeds, which are in seeds, wrapped by the master key; group_id: owner of its keys, NULL when they are a stream''s; search_path: of the session that created it, for the names in it; synchronous: run by strm.run_batch_job(); state: the last one of strm.batch_job_state';
-- A job that waits or runs belongs to this server: a copy of the database must not run it again.
SELECT pg_catalog.pg_extension_config_dump('strm.batch_job', 'WHERE state IN (''FINISHED'', ''ERROR'', ''ERROR_STARTING'')');

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
SELECT pg_catalog.pg_extension_config_dump('strm.batch_job_state', 'WHERE job_id IN (SELECT id FROM strm.batch_job WHERE state IN (''FINISHED'', ''ERROR'', ''ERROR_STARTING''))');

CREATE TABLE strm.batch_job_intent (
  id uuid PRIMARY KEY,
  job_id uuid NOT NULL,
  connector_id uuid NOT NULL,
  path text NOT NULL,
  detail text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE strm.batch_job_intent IS 'What a job is about to leave outside the database, committed before it does: should its process die, another one takes it away. Not dumped: it belongs to this server';
