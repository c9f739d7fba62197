-- Configurations of batch jobs: what is accepted, and every fault of one at once. Runs of jobs are in other files.
SELECT strm.create_data_contract('strmprivacy/online-retail/1.0.0',
  schema => $$ {"name": "Retail", "nodes": [
     {"type": "STRING", "name": "InvoiceNo"}, {"type": "STRING", "name": "CustomerID"},
     {"type": "STRING", "name": "Email"}, {"type": "STRING", "name": "Country"}]} $$,
  contract => $$ {"keyField": "CustomerID", "fieldMetadata": [
     {"fieldName": "CustomerID", "personalDataConfig": {"isPii": true, "purposeLevel": 2}},
     {"fieldName": "Email",      "personalDataConfig": {"isPii": true, "purposeLevel": 3}}]} $$) > 0 AS created;
SELECT strm.activate_data_contract('strmprivacy/online-retail/1.0.0');
SELECT strm.create_data_contract('regress_batch/draft/1.0.0', schema => $$ {"name": "D", "nodes": [{"type": "STRING", "name": "a"}]} $$,
  contract => $$ {"keyField": "a"} $$) > 0 AS created;
SELECT strm.create_stream('config_retail', contract => 'strmprivacy/online-retail/1.0.0');

-- The lines of the error. A job that is as it should be is not created either: it gets a fault that has nothing to do with the rest.
CREATE FUNCTION config_faults(job jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  sqlstate_ text;
  message text;
  detail text;
BEGIN
  PERFORM strm.create_batch_job(job);
  RETURN NEXT 'none';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS sqlstate_ = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
  IF sqlstate_ <> '22023' THEN RETURN NEXT sqlstate_ || ' ' || message; END IF;
  RETURN QUERY SELECT * FROM regexp_split_to_table(detail, E'\n');
END $$;
CREATE FUNCTION config_accepts(job jsonb) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT f FROM config_faults(job || '{"max_rejects": -1}') f WHERE f <> 'max_rejects: must be an integer from 0 up' $$;
-- All names in camelCase.
CREATE FUNCTION config_camel(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  m text[];
  result text := job::text;
BEGIN
  FOR m IN SELECT DISTINCT regexp_matches(result, '"([a-z]+(?:_[a-z]+)+)":', 'g') LOOP
    result := replace(result, '"' || m[1] || '":',
      '"' || left(m[1], 1) || substr(replace(initcap(replace(m[1], '_', ' ')), ' ', ''), 2) || '":');
  END LOOP;
  RETURN result;
END $$;

-- As old configurations are: ids of projects, and enumerations and integers in all their spellings.
CREATE TABLE config_job AS SELECT '{
  "ref": {"project_id": "30fcd008-9696-4444-ac15-a3d1aa0ff109"}, "states": [{"state": "PENDING"}],
  "policy_id": "",
  "source_data": {"data_connector_ref": {"name": "s3-batch-demo", "billing_id": "b", "project_id": "p"},
    "file_name": "online_retail_II-small.csv"},
  "consent": {"default_consent_levels": [2], "consent_level_extractor": {"field": "Country",
    "field_patterns": {"legitimate interest": {"consent_levels": [1]}, "marketing": {"consent_levels": ["2", 1.0]}, "none": {}}}},
  "encryption": {"batch_job_group_id": "35ced9a7-413f-49e8-9320-d17ebbc7e2d2",
    "timestamp_config": {"field": "InvoiceDate", "format": "M/d/yyyy H:m", "default_time_zone": {"id": "Europe/Amsterdam"}}},
  "event_contract_ref": {"handle": "strmprivacy", "name": "online-retail", "version": "1.0.0"},
  "encrypted_data": {"target": {"data_connector_ref": {"name": "s3-batch-demo"}, "path_prefix": "online_retail_II", "file_name": "encrypted-small.csv"}},
  "encryption_keys_data": {"target": {"data_connector_ref": {"name": "s3-batch-demo"}, "file_name": "online_retail_II/keys-small.csv"}},
  "derived_data": [
    {"target": {"data_connector_ref": {"name": "s3-batch-demo"}, "file_name": "online_retail_II/decrypted-0-small.csv"},
     "consent_levels": [2], "consent_level_type": "GRANULAR"},
    {"target": {"data_connector_ref": {"billing_id": "b", "name": "databert-demo"}, "data_type": {"csv": {"charset": "UTF-8"}}, "file_name": "derived.csv"},
     "consent_levels": [3], "consent_level_type": "CUMULATIVE",
     "masked_fields": {"hash_type": "", "seed": "hi-there", "field_patterns": {"strmprivacy/online-retail/1.0.0": {"field_patterns": ["Email", "CustomerID", "Country"]}}}},
    {"target": {"data_connector_ref": {"name": "db"}, "data_type": {"database": {"schema": "Public", "table": "a table"}}},
     "consent_levels": ["2"], "consent_level_type": 2, "masked_fields": {}}]
}'::jsonb AS job;
SELECT config_accepts(job) AS old FROM config_job;
SELECT config_accepts(config_camel(job)) AS camel_case FROM config_job;
SELECT config_camel(job) ?& '{sourceData,encryptionKeysData,derivedData,policyId}' AS is_camel_case FROM config_job;

-- What is new: streams, tables, queries, JSON Lines, delimiters, rejects.
CREATE TABLE config_new AS SELECT '{
  "source_data": {"table": "public.config_job"}, "data_contract_ref": "strmprivacy/online-retail/1.0.0",
  "encryption": {"timestamp_config": {"field": "at"}}, "encrypted_data": {"target": {"stream": "config_retail"}},
  "derived_data": [{"target": {"table": "config_out", "overwrite": true}, "consent_levels": [1, 2, 3]},
    {"target": {"data_connector_ref": {"name": "d"}, "file_name": "x.jsonl.gz", "data_type": {"jsonl": {}}}, "consent_levels": [1]}],
  "rejects": {"target": {"data_connector_ref": {"name": "d"}, "file_name": "r.csv", "data_type": {"csv": {"charset": "ISO-8859-15", "delimiter": "\t", "header": false}}}}
}'::jsonb AS job;
SELECT config_accepts(job) AS new FROM config_new;
SELECT config_accepts(config_camel(job)) AS camel_case FROM config_new;
SELECT config_accepts(job || '{"source_data": {"query": "SELECT 1"}, "encrypted_data": {"target": {"stream": "public.config_retail"}}}') AS query FROM config_new;
SELECT charset, config_accepts(jsonb_set(job, '{source_data}', jsonb_build_object('data_connector_ref', '{"name": "d"}'::jsonb, 'file_name', 'x',
    'data_type', jsonb_build_object('csv', jsonb_build_object('charset', charset)))))
  FROM config_new, unnest('{utf8,US-ASCII,latin1,ISO8859_1,windows-1252,Cp1252,x-windows-949,IBM866,Shift_JIS,GB18030,UTF-16,SQL_ASCII,MULE_INTERNAL}'::text[]) charset;

-- Everything wrong at once, but for what depends on something that is wrong.
SELECT config_faults('{
  "foo": 1, "source_data": {"data_connector_ref": {"nam": "in"}, "file_nam": 3, "path_prefix": "a/", "pathPrefix": "b",
    "file_name": "x.csv", "overwrite": true, "data_type": {"csv": {"charset": "UTF-7", "delimiter": "ab", "x": 1}, "jsonl": {"a": 1}}},
  "event_contract_ref": "a/b",
  "consent": {"default_consent_levels": [-1], "consent_level_extractor": {"match": "glob", "field_patterns": {"a": [1], "b": {"consent_levels": ["x"]}}}},
  "encryption": {"timestamp_config": {"field": 1, "format": "yyyy-MM-dd hh:mm", "default_time_zone": {"id": "Mars", "x": 1}}, "batch_job_group_id": "abc"},
  "encrypted_data": {}, "encryption_keys_data": {"target": {"table": "t"}}, "rejects": {"target": {"stream": "s"}}, "max_rejects": 1.5, "policy_id": "nope",
  "derived_data": [1, {}, {"target": {"query": "x"}, "consent_levels": [], "masked_fields": {"hash_type": "md5", "seed": "a\ts3cr3t", "field_patterns": {"x": {"field_patterns": "x"}}}},
    {"target": {"data_connector_ref": {"name": "a"}, "file_name": "x.csv"}, "consent_levels": [1, 1, 99], "consent_level_type": "BOTH"},
    {"target": {"data_connector_ref": {"name": "a"}, "file_name": "x.csv"}, "consent_levels": [1, 2], "consent_level_type": "CUMULATIVE"}]
}') AS faults;
SELECT config_faults('[]') AS fault;
SELECT config_faults('{}') AS faults;
SELECT config_faults(job || '{"sourceData": {}}') AS fault FROM config_new;

-- Members that belong to another kind of place.
SELECT config_faults(job || '{
  "source_data": {"table": "a.b.c", "data_type": {"csv": {}}, "path_prefix": "x"}, "policy_id": "7 years",
  "encryption": {"timestamp_config": {"field": "at"}, "batch_job_group_id": "35ced9a7-413f-49e8-9320-d17ebbc7e2d2"},
  "encrypted_data": {"target": {"stream": "config_retail", "overwrite": false, "data_connector_ref": {"name": "x"}}},
  "rejects": {"target": {"file_name": "x", "table": "y"}},
  "derived_data": [{"target": {}, "consent_levels": [1]},
    {"target": {"data_type": {"database": {"table": "t", "columns": ["a"]}}}, "consent_levels": [1]},
    {"target": {"stream": "config_retail"}, "consent_levels": [1]}]}') AS faults FROM config_new;
SELECT config_faults(job || '{"encrypted_data": {"target": {"stream": "config_job"}}}') AS faults FROM config_new;

-- Paths.
SELECT prefix, name, config_faults(job || jsonb_build_object('source_data',
    jsonb_build_object('data_connector_ref', '{"name": "d"}'::jsonb, 'path_prefix', prefix, 'file_name', name), 'max_rejects', -1)) AS fault
  FROM config_new, (VALUES ('a/b', 'c/d.csv'), ('', '../x'), ('a/../b', 'x'), ('/a', 'x'), ('a/', 'x'), ('a', '/x'), ('a', 'x y'), ('a', '..'), ('a', 'é'),
    ('a/.well-known/acme-challenge', 'x')) v (prefix, name);
SELECT config_faults(job || jsonb_build_object('source_data', jsonb_build_object('data_connector_ref', '{"name": "d"}'::jsonb, 'file_name', 'x',
    'path_prefix', rtrim(repeat(repeat('p', 99) || '/', 10), '/')))) AS fault FROM config_new;

-- Contracts, policies, groups.
SELECT config_faults(job - 'data_contract_ref' || jsonb_build_object('data_contract_ref', ref)) AS fault
  FROM config_new, (VALUES ('"regress_batch/draft/1.0.0"'::jsonb), ('"regress_batch/none/1.0.0"'), ('"a"'), ('{"handle": "a"}'), ('1'),
    ('{"handle": "a", "name": "b/c", "version": "1.0.0"}')) v (ref);
SELECT config_faults(job || '{"event_contract_ref": "strmprivacy/online-retail/1.0.0"}') AS fault FROM config_new;
SELECT strm.create_policy('config draft', '1 day') IS NOT NULL AS created;
SELECT config_faults(job || '{"policy_id": "config draft"}') AS fault FROM config_job;
SELECT config_faults(jsonb_set(job, '{encryption,batch_job_group_id}', to_jsonb(s.id::text))) AS fault
  FROM config_job, strm.stream s WHERE s.relation = 'config_retail'::regclass;

-- Places that are one.
SELECT config_faults(jsonb_set(jsonb_set(job, '{encryption_keys_data}', job -> 'encrypted_data'), '{rejects}',
    jsonb_build_object('target', job -> 'source_data'))) AS fault FROM config_job;
SELECT config_faults(jsonb_set(job, '{encrypted_data}', '{"target": {"table": "Public.Config_Job"}}')) AS fault FROM config_new;
-- Also when only one of the names has a schema, and whether the table exists or not.
SELECT config_faults(jsonb_set(job, '{encrypted_data}', jsonb_build_object('target', jsonb_build_object('table', name)))) AS fault
  FROM config_new, unnest('{config_job,public.config_out,config_other}'::text[]) AS name;

-- Masks.
SELECT config_faults(jsonb_set(job, '{derived_data,1,masked_fields,field_patterns}', patterns)) AS fault
  FROM config_job, (VALUES ('{"strmprivacy/online-retail/1.0.1": {"field_patterns": ["Email"]}}'::jsonb),
    ('{"strmprivacy/online-retail/01.0.0": {"field_patterns": ["Nope", "Email", "Email", 1]}}'), ('{"x": {}}'), ('[]')) v (patterns);
SELECT config_faults(jsonb_set(job, '{derived_data,1,consent_levels}', '[2]')) AS fault FROM config_job;
SELECT config_faults(jsonb_set(jsonb_set(job, '{derived_data,1,consent_levels}', '[3]'), '{derived_data,1,consent_level_type}', '"GRANULAR"')) AS fault FROM config_job;
SELECT config_faults(jsonb_set(job, '{derived_data,1,masked_fields,seed}', to_jsonb(seed))) AS fault FROM config_job, (VALUES (repeat('s', 1001)), (E's3cr3t\n')) v (seed);
SELECT config_faults(jsonb_set(job, '{derived_data,0,consent_levels}', (SELECT jsonb_agg(i) FROM generate_series(1, 51) i))) AS fault FROM config_job;
SELECT config_faults(jsonb_set(job, '{derived_data}', (SELECT jsonb_agg(job -> 'derived_data' -> least(i, 0)) FROM generate_series(1, 101) i))) AS fault FROM config_job;

-- Expressions for consent.
SELECT config_faults(jsonb_set(job, '{consent,consent_level_extractor}', '{"field": "x", "match": "regex", "field_patterns": {"(": {}, "[a&&b]": {}}}')) AS fault FROM config_job;
SELECT config_faults(jsonb_set(job, '{consent,consent_level_extractor}', '{"field": "x", "match": "regex"}')) AS fault FROM config_job;

SELECT config_faults(jsonb_set(job, '{consent,consent_level_extractor}', '{"field_patterns": {"a": {}}}')) AS fault FROM config_job;
SELECT config_accepts(jsonb_set(job, '{consent}', '{"consent_level_extractor": {"field": ""}}')) AS none FROM config_job;

-- What is stored of a job has no seed, in whatever spelling; a rolled back job does not run.
CREATE TABLE config_source ("InvoiceNo" text, "CustomerID" text, "Email" text, "Country" text, at timestamptz);
BEGIN;
CREATE TABLE config_stored AS
  SELECT name, strm.create_batch_job(job) AS id FROM (
    SELECT name, jsonb_build_object('source_data', '{"table": "config_source"}'::jsonb, 'data_contract_ref', '"strmprivacy/online-retail/1.0.0"'::jsonb,
      'encryption', '{"timestamp_config": {"field": "at"}}'::jsonb, 'derived_data', jsonb_build_array('{"target": {"table": "config_none"}, "consent_levels": [3]}'::jsonb,
        '{"target": {"table": "config_masked"}, "consent_levels": [3]}'::jsonb || jsonb_build_object('masked_fields', masked))) AS job
      FROM (VALUES ('given', '{"seed": "s3cr3t", "field_patterns": {"strmprivacy/online-retail/1.0.0": {"field_patterns": ["Email"]}}}'::jsonb),
        ('random', '{"field_patterns": {"strmprivacy/online-retail/1.0.0": {"field_patterns": ["Email"]}}}'),
        ('unused', '{"seed": "s3cr3t"}')) v (name, masked)) AS jobs
  UNION ALL
  SELECT 'camel', strm.create_batch_job('{"sourceData": {"table": "config_source"}, "dataContractRef": "strmprivacy/online-retail/1.0.0",
      "encryption": {"timestampConfig": {"field": "at"}}, "derivedData": [{"target": {"table": "config_masked"}, "consentLevels": [3], "maskedFields":
        {"seed": "s3cr3t", "fieldPatterns": {"strmprivacy/online-retail/1.0.0": {"fieldPatterns": ["Email"]}}}}]}');
SELECT name, j.job::text ~ 'seed|s3cr3t' AS has_seed, j.seeds IS NOT NULL AS is_kept, position('s3cr3t'::bytea IN j.seeds) > 0 AS in_clear,
    j.job #> '{derived_data,1,masked_fields}' AS masked_fields
  FROM config_stored s JOIN strm.batch_job j USING (id) ORDER BY name;
ROLLBACK;

DROP TABLE config_source;
DROP FUNCTION config_camel, config_accepts, config_faults;
DROP TABLE config_job, config_new;
SELECT strm.drop_stream('config_retail');
SELECT strm.drop_policy('config draft');
SELECT strm.drop_data_contract('regress_batch/draft/1.0.0');
