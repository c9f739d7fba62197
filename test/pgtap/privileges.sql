-- Who may do what: every function of schema strm is called as a role with no rights and as each role of the extension, and compared
-- with an explicit matrix; likewise every table and view. A new object that is not listed here fails.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION strm_privacy;
BEGIN;
SELECT no_plan();

CREATE ROLE nothing;
GRANT USAGE ON SCHEMA public TO PUBLIC;
CREATE TABLE role (name text PRIMARY KEY, letter text);
INSERT INTO role VALUES ('nothing', '-'), ('strm_member', 'm'), ('strm_approver', 'a'), ('strm_admin', 's'), ('strm_key_exporter', 'k'), ('strm_monitor', 'o');

-- letters of the roles that may; P: PUBLIC, so everybody
CREATE TABLE may_execute (function text PRIMARY KEY, roles text NOT NULL);
INSERT INTO may_execute VALUES
  -- purposes, policies
  ('strm.create_purpose(integer,text,text)', 'as'),
  ('strm.create_policy(text,interval,text,text,text,uuid)', 'as'),
  ('strm.activate_policy(text)', 'as'),
  ('strm.archive_policy(text)', 'as'),
  ('strm.drop_policy(text)', 'as'),
  -- contracts: members write them, others approve
  ('strm.create_data_contract(text,text,text,text,text)', 'mas'),
  ('strm.create_data_contract(text,regclass,text,text,text)', 'mas'),
  ('strm.alter_data_contract(text,text,text,text,text)', 'mas'),
  ('strm.drop_data_contract(text)', 'mas'),
  ('strm.review_data_contract(text)', 'as'),
  ('strm.approve_data_contract(text)', 'as'),
  ('strm.activate_data_contract(text)', 'as'),
  ('strm.archive_data_contract(text)', 'as'),
  -- streams
  ('strm.inbox_handler(internal)', ''),
  ('strm.inbox_state(uuid)', 'masko'),
  ('strm.retry_inbox(regclass)', 'mas'),
  ('strm.wait_for_ingest(regclass,interval)', 'mas'),
  ('strm.check_inbox()', 'mas'),
  ('strm.date_inbox_key()', ''),
  ('strm.create_partitions(regclass,integer)', 'mas'),
  ('strm.create_stream(text,text,text,interval,regnamespace,interval,text,boolean)', 'mas'),
  ('strm.drop_stream(regclass)', 'mas'),
  ('strm.encrypt_row()', 'mas'),
  ('strm.refuse_update()', 'mas'),
  ('strm.simulate_random_events(regclass,bigint,integer)', 'mas'),
  -- derived streams and data subjects are the approver's
  ('strm.create_derived_stream(text,integer[],text,text,text[],text,text)', 'a'),
  ('strm.drop_derived_stream(text)', 'as'),
  ('strm.refuse_write()', 'a'),
  ('strm.data_subjects(text,integer)', 'a'),
  ('strm.data_subject_key_links(text[])', 'a'),
  ('strm.delete_data_subjects(text[])', 'a'),
  -- batch jobs and workers
  ('strm.create_batch_job(jsonb)', 'mas'),
  ('strm.run_batch_job(jsonb)', 'mas'),
  ('strm.cancel_batch_job(uuid)', 'mas'),
  ('strm.batch_job_progress()', 'masko'),
  ('strm.worker_processes()', 'so'),
  ('strm.notify_entity()', ''),
  -- data connectors
  ('strm.create_data_connector(text,text,jsonb,jsonb)', 'mas'),
  ('strm.alter_data_connector(text,jsonb,jsonb)', 'mas'),
  ('strm.drop_data_connector(text)', 'mas'),
  ('strm.grant_data_connector(text,regrole)', 'mas'),
  ('strm.revoke_data_connector(text,regrole)', 'mas'),
  -- Kafka
  ('strm.create_kafka_cluster(text,text,jsonb)', 'mas'),
  ('strm.alter_kafka_cluster(text,text,jsonb)', 'mas'),
  ('strm.drop_kafka_cluster(text)', 'mas'),
  ('strm.grant_kafka_cluster(text,regrole)', 'mas'),
  ('strm.revoke_kafka_cluster(text,regrole)', 'mas'),
  ('strm.create_kafka_exporter(regclass,text,text,text,boolean,integer,text,boolean)', 'mas'),
  ('strm.alter_kafka_exporter(text,text,regrole)', 'mas'),
  ('strm.drop_kafka_exporter(text)', 'mas'),
  ('strm.pause_kafka_exporter(text)', 'mas'),
  ('strm.resume_kafka_exporter(text)', 'mas'),
  ('strm.rebuild_kafka_exporter(text)', 'mas'),
  ('strm.kafka_cluster_progress()', 'masko'),
  ('strm.kafka_exporter_progress()', 'masko'),
  -- batch exporters
  ('strm.create_batch_exporter(regclass,text,text,interval,text,boolean,boolean,text,text)', 'mask'),
  ('strm.alter_batch_exporter(text,text,regrole,interval,text)', 'mask'),
  ('strm.drop_batch_exporter(text)', 'mask'),
  ('strm.pause_batch_exporter(text)', 'mask'),
  ('strm.resume_batch_exporter(text)', 'mask'),
  ('strm.batch_exporter_origins()', 'masko'),
  -- called from constraints and views with the rights of whoever uses these; each checks for itself
  ('strm.check_ciphertext("any")', 'P'),
  ('strm.consents_to(integer[],integer[])', 'P'),
  ('strm.consents_up_to(integer[],integer)', 'P'),
  ('strm.reveal(uuid,integer,text,integer,timestamp with time zone,uuid,integer[],bytea,anyelement,"any")', 'P'),
  ('strm.mask_value(bytea,integer,anynonarray)', 'P'),
  ('strm.mask_values(bytea,integer,anyarray)', 'P'),
  -- an INSERT and a SELECT with the caller's rights
  ('strm.ingest(regclass,jsonb)', 'P'),
  ('strm.events(regclass,timestamp with time zone,integer)', 'P'),
  -- definitions
  ('strm.avro_schema(regclass)', 'masko'),
  -- keys in clear: nobody's but the exporter's
  ('strm.export_keys(regclass,timestamp with time zone)', 'k'),
  ('strm.export_keys(uuid,timestamp with time zone)', 'k'),
  ('strm.export_keys(text,timestamp with time zone)', 'k'),
  ('strm.export_keys_of(regclass,uuid,timestamp with time zone)', 'k'),
  -- called by nobody
  ('strm.invalidate_cache()', ''),
  ('strm.guard_command_start()', ''),
  ('strm.guard_command_end()', ''),
  ('strm.guard_drop()', ''),
  ('strm.guard_rewrite()', ''),
  -- what whoever defines a batch job tries first
  ('strm.parse_timestamp(text,text,text)', 'masko'),
  -- security
  ('strm.security_check()', 'aso');

CREATE TABLE may_select (relation text PRIMARY KEY, roles text NOT NULL);
INSERT INTO may_select VALUES
  ('strm.purposes', 'masko'), ('strm.policies', 'masko'), ('strm.data_contracts', 'masko'), ('strm.streams', 'masko'),
  ('strm.derived_streams', 'masko'), ('strm.data_keys', 'masko'), ('strm.mask_token', 'a'),
  ('strm.data_connectors', 'masko'), ('strm.data_connector', ''), ('strm.data_connector_user', ''),
  ('strm.batch_jobs', 'masko'), ('strm.batch_job_states', 'masko'), ('strm.workers', 'so'), ('strm.entity_states', 'so'),
  ('strm.batch_job', ''), ('strm.batch_job_group', ''), ('strm.batch_job_intent', ''), ('strm.batch_job_state', ''),
  ('strm.kafka_clusters', 'masko'), ('strm.kafka_exporters', 'masko'),
  ('strm.kafka_cluster', ''), ('strm.kafka_cluster_user', ''), ('strm.kafka_exporter', ''), ('strm.kafka_cluster_slot', ''), ('strm.kafka_exporter_state', ''), ('strm.erased_event', ''),
  ('strm.batch_exporters', 'masko'), ('strm.entity_log', 'masko'),
  ('strm.batch_exporter', ''), ('strm.batch_exporter_state', ''), ('strm.entity_message', ''), ('strm.entity_message_number_seq', ''), ('strm.inbox', ''), ('strm.inbox_key', ''),
  ('strm.purpose', ''), ('strm.policy', ''), ('strm.data_contract', ''), ('strm.data_contract_id_seq', ''), ('strm.stream', ''),
  ('strm.derived_stream', ''), ('strm.data_key', ''), ('strm.data_key_tombstone', ''), ('strm.data_subject_link', '');

-- A call of a function with some value for each argument. (Not NULL: a call of a strict function would be simplified away.)
CREATE TABLE sample (type regtype PRIMARY KEY, literal text NOT NULL);
INSERT INTO sample VALUES
  ('text', $$'x'::text$$), ('int', '0'), ('bigint', '0::bigint'), ('boolean', 'true'), ('interval', $$'1 day'::interval$$),
  ('uuid', $$'00000000-0000-0000-0000-000000000001'::uuid$$), ('bytea', $$'\x00'::bytea$$), ('jsonb', $$'{}'::jsonb$$),
  ('timestamptz', 'now()'), ('regclass', $$'pg_class'::regclass$$), ('regnamespace', $$'pg_catalog'::regnamespace$$),
  ('regrole', $$'nothing'::regrole$$),
  ('text[]', $$'{x}'::text[]$$), ('int[]', $$'{1}'::int[]$$), ('anyelement', $$'x'::text$$), ('anynonarray', $$'x'::text$$),
  ('anyarray', $$'{x}'::text[]$$), ('"any"', $$'x'::text$$), ('internal', 'NULL');
CREATE FUNCTION sample_call(f pg_proc) RETURNS text LANGUAGE sql AS $$
  SELECT format('%s %s.%I(%s)', CASE WHEN f.prokind = 'p' THEN 'CALL' ELSE 'SELECT' END, f.pronamespace::regnamespace, f.proname,
                (SELECT string_agg(CASE WHEN f.provariadic NOT IN (0, '"any"'::regtype) AND a.number = f.pronargs THEN 'VARIADIC ' ELSE '' END ||
                          COALESCE(s.literal, 'no sample of type ' || a.type::regtype), ', ' ORDER BY a.number)
                   FROM unnest(f.proargtypes) WITH ORDINALITY AS a (type, number) LEFT JOIN sample s ON s.type = a.type))
$$;

-- Runs a statement as a role and undoes what it did. Returns its SQLSTATE, 00000 when it succeeded, and 'denied' when it was
-- refused because of a missing privilege on the object itself.
CREATE FUNCTION outcome(statement text, role text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    PERFORM set_config('role', role, true);
    EXECUTE statement;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'UNDO0';
  EXCEPTION
    WHEN SQLSTATE 'UNDO0' THEN
      RETURN '00000';
    WHEN insufficient_privilege THEN
      RETURN CASE WHEN SQLERRM ~ '^permission denied for (function|procedure|view|table|sequence)' THEN 'denied' ELSE SQLSTATE END;
    WHEN OTHERS THEN
      RETURN SQLSTATE;
  END;
END $$;

-- nothing is missing from the matrices, and nothing in them is gone
SELECT bag_eq('SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = ''strm''::regnamespace',
              'SELECT function FROM may_execute', 'the matrix has every function');
SELECT bag_eq('SELECT oid::regclass::text FROM pg_class WHERE relnamespace = ''strm''::regnamespace AND relkind NOT IN (''i'', ''c'')',
              'SELECT relation FROM may_select', 'the matrix has every table, view and sequence');
SELECT is_empty('SELECT oid::regtype FROM pg_type WHERE typnamespace = ''strm''::regnamespace AND typrelid = 0 AND typelem = 0', 'there are no other types');

-- functions: the privilege, and what happens to a call
CREATE TABLE call AS
  SELECT m.function, r.name AS role, m.roles = 'P' OR strpos(m.roles, r.letter) > 0 AS allowed,
         has_function_privilege(r.name, p.oid, 'EXECUTE') AS privilege,
         outcome(sample_call(p), r.name) AS outcome
    FROM may_execute m CROSS JOIN role r JOIN pg_proc p ON p.oid = m.function::regprocedure;
SELECT is(privilege, allowed, format('%s: EXECUTE on %s', role, function)) FROM call ORDER BY function, role;
-- (of functions that take internal there is no call in SQL)
SELECT is(outcome = 'denied', NOT allowed, format('%s calls %s: %s', role, function, outcome)) FROM call WHERE function !~ '\(internal\)'
 ORDER BY function, role;
SELECT is_empty($$ SELECT * FROM call WHERE outcome IN ('XX000', '42601') $$, 'no call fails in an unforeseen way');

-- tables and views
CREATE TABLE look AS
  SELECT m.relation, r.name AS role, strpos(m.roles, r.letter) > 0 AS allowed,
         outcome('SELECT FROM ' || m.relation, r.name) AS outcome,
         has_table_privilege(r.name, m.relation, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR
         CASE WHEN m.relation ~ '_seq$' THEN has_sequence_privilege(r.name, m.relation, 'USAGE, UPDATE') ELSE false END AS writes
    FROM may_select m CROSS JOIN role r;
SELECT is(outcome, CASE WHEN allowed THEN '00000' ELSE 'denied' END, format('%s reads %s', role, relation)) FROM look ORDER BY relation, role;
SELECT is_empty('SELECT * FROM look WHERE writes', 'no role may write to any table of the extension');

-- the schema: everybody may look names up, nobody may create
SELECT is(has_schema_privilege(name, 'strm', 'USAGE'), true, format('%s: USAGE on schema strm', name)) FROM role;
SELECT is(has_schema_privilege(name, 'strm', 'CREATE'), false, format('%s: no CREATE on schema strm', name)) FROM role;

-- functions that run with their owner's rights have their search path pinned
SELECT is_empty($$ SELECT oid::regprocedure FROM pg_proc
                    WHERE pronamespace = 'strm'::regnamespace AND prosecdef AND NOT 'search_path=pg_catalog, pg_temp' = ANY (COALESCE(proconfig, '{}')) $$,
                'every SECURITY DEFINER function has a pinned search path');
-- event triggers do nothing when called otherwise
SELECT is(outcome('SELECT ' || oid::regprocedure, current_user), '39P03', format('%s is for events only', oid::regprocedure))
  FROM pg_proc WHERE pronamespace = 'strm'::regnamespace AND prorettype = 'event_trigger'::regtype;

SELECT * FROM finish();
ROLLBACK;
DROP EXTENSION strm_privacy;
