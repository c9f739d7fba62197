-- Export of data keys: who may, which keys, and in what form. test/t/tink.pl decrypts with them.
SET client_min_messages = warning;
CREATE ROLE regress_strm_exporter IN ROLE strm_key_exporter;
CREATE ROLE regress_strm_admin IN ROLE strm_admin, strm_approver, strm_member, strm_monitor;
CREATE SCHEMA export_keys;
GRANT USAGE ON SCHEMA export_keys TO regress_strm_exporter, regress_strm_admin;
SET search_path = export_keys, public;
SELECT strm.create_data_contract('export/visit/1.0.0',
  schema => '{"name": "Visit", "nodes": [
     {"type": "STRING", "name": "session", "required": true},
     {"type": "STRING", "name": "who"}]}',
  contract => '{"keyField": "session", "dataSubjectField": "who", "piiFields": {"session": 1, "who": 1}}') > 0 AS created;
SELECT strm.activate_data_contract('export/visit/1.0.0');
SELECT strm.create_policy('half a year', '6 months') AS policy \gset
SELECT strm.activate_policy('half a year');
SELECT strm.create_stream('visits', contract => 'export/visit/1.0.0');
SELECT strm.create_stream('calls', contract => 'export/visit/1.0.0', policy => 'half a year');
CREATE VIEW derived AS SELECT 1 AS x;
INSERT INTO visits (session, who) VALUES ('s1', 'ann'), ('s2', 'bob'), ('s3', 'cy');
INSERT INTO calls (session, who) VALUES ('s1', 'ann');
SET client_min_messages = notice;

-- one of each key link; the keyset is compact, in Tink's order, and of the row's key
SET ROLE regress_strm_exporter;
CREATE TEMP TABLE exported AS SELECT * FROM strm.export_keys('export_keys.visits');
RESET ROLE;
SELECT e.key_link IS NOT NULL AS exported, row_number() OVER (ORDER BY strm_key_link) AS row
  FROM visits LEFT JOIN exported AS e ON e.key_link = strm_key_link ORDER BY strm_key_link;
SELECT count(*), count(DISTINCT encryption_key) AS keys, bool_and(policy_id IS NULL) AS default_policy FROM exported;
SELECT regexp_replace(regexp_replace(encryption_key, '"Ek[A-Za-z0-9+/]{86}"', '"Ek..."'), '[0-9]+', 'N', 'g') FROM exported LIMIT 1;
-- the key id is that of the ciphertexts
SELECT bool_and(key_id = (encryption_key::json ->> 'primaryKeyId')::bigint AND key_id = (encryption_key::json #>> '{key,0,keyId}')::bigint)
  FROM (SELECT ('x' || encode(substring(decode(session, 'base64') FROM 2 FOR 4), 'hex'))::bit(32)::bigint AS key_id, encryption_key
          FROM visits JOIN exported ON key_link = strm_key_link) AS c;
-- the value is a protocol buffer of 64 bytes in field 2
SELECT bool_and(length(proto) = 66 AND substring(proto FROM 1 FOR 2) = '\x1240')
  FROM (SELECT decode(encryption_key::json #>> '{key,0,keyData,value}', 'base64') AS proto FROM exported) AS p;
-- when the policy ends, in UTC, whatever the session's time zone
SET timezone = 'America/New_York';
SELECT bool_and(expires_at = floor(1000 * extract(epoch FROM ((k.window_start AT TIME ZONE 'UTC') + interval '2556 days') AT TIME ZONE 'UTC'))) AS expires_at
  FROM exported JOIN strm.data_keys k USING (key_link);
SELECT policy_id = :'policy' AS policy, expires_at = floor(1000 * extract(epoch FROM ((k.window_start AT TIME ZONE 'UTC') + interval '6 months') AT TIME ZONE 'UTC')) AS expires_at
  FROM strm.export_keys('calls') JOIN strm.data_keys k USING (key_link);
SELECT bool_and(floor(1000 * extract(epoch FROM l.expires_at)) = e.expires_at) AS same_as_the_subjects
  FROM strm.data_subject_key_links('ann', 'bob', 'cy') AS l JOIN (SELECT * FROM exported UNION ALL SELECT * FROM strm.export_keys('calls')) AS e USING (key_link);
RESET timezone;

-- by name, by relation, of all streams; since
SELECT count(*) FROM strm.export_keys('visits'::regclass);
SELECT count(*) FROM strm.export_keys(stream => 'visits');
SELECT s.stream, count(*) FROM strm.streams s, strm.export_keys(s.stream) WHERE s.stream IN ('visits'::regclass, 'calls'::regclass) GROUP BY 1 ORDER BY 2;
SELECT count(*) FROM strm.export_keys('visits', now() - interval '1 hour');
SELECT count(*) FROM strm.export_keys('visits', since => now() + interval '1 hour');
SELECT count(*) FROM strm.export_keys('visits', 'infinity'), strm.export_keys('visits', '-infinity') AS all_of_them;
SELECT key_link IS NOT NULL AS some FROM strm.export_keys('visits') LIMIT 1;
-- keys are streamed: nothing that would write them to a temporary file
EXPLAIN (COSTS OFF) SELECT * FROM strm.export_keys('visits');

-- destroyed keys are absent
SELECT strm.delete_data_subjects('bob');
SELECT count(*) FROM strm.export_keys('visits');
SELECT count(*) FROM exported WHERE key_link IN (SELECT key_link FROM strm.data_keys WHERE destroyed_at IS NOT NULL)
  OR key_link IN (SELECT key_link FROM strm.export_keys('visits'));

-- faults
SELECT * FROM strm.export_keys('derived');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM strm.export_keys('pg_class'::regclass);
SELECT * FROM strm.export_keys('00000000-0000-0000-0000-000000000001');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM strm.export_keys(batch_job_group => '00000000-0000-0000-0000-000000000001');
SELECT * FROM strm.export_keys(NULL::regclass);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM strm.export_keys_of('visits', '00000000-0000-0000-0000-000000000001', NULL);

-- nobody else may, whatever he may otherwise
SET ROLE regress_strm_admin;
SELECT * FROM strm.export_keys('visits');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM strm.export_keys_of('visits', NULL, NULL);
RESET ROLE;
-- nor through a view of one who may
SET ROLE regress_strm_exporter;
CREATE TEMP VIEW leak AS SELECT * FROM strm.export_keys('export_keys.visits');
GRANT SELECT ON leak TO regress_strm_admin;
SET ROLE regress_strm_admin;
SELECT * FROM leak;
RESET ROLE;

-- keys of a batch job group: here those of a stream that is dropped, whose id the group gets
SELECT strm.create_stream('files', contract => 'export/visit/1.0.0');
INSERT INTO files (session, who) VALUES ('f1', 'dan'), ('f2', 'dan'), ('f2', 'eve'), ('f3', 'eve'), ('f4', 'fay'), ('f5', 'gus'), ('f5', 'hal');
SELECT id AS batch_group FROM strm.streams WHERE stream = 'files'::regclass \gset
DROP TABLE files;
INSERT INTO strm.batch_job_group (id, owner, policy_id) VALUES (:'batch_group', 'regress_strm_admin', :'policy');
SELECT count(*), count(DISTINCT encryption_key) AS keys, bool_and(policy_id = :'policy') AS policy FROM strm.export_keys(:'batch_group');
SELECT bool_and(e.expires_at = floor(1000 * extract(epoch FROM ((k.window_start AT TIME ZONE 'UTC') + interval '6 months') AT TIME ZONE 'UTC')))
  FROM strm.export_keys(batch_job_group => :'batch_group') AS e JOIN strm.data_keys AS k USING (key_link);
SELECT count(*), bool_and(stream IS NULL AND stream_id IS NULL AND destroyed_at IS NULL) AS of_no_stream FROM strm.data_keys WHERE batch_job_group = :'batch_group';
SELECT subject, stream, batch_job_group = :'batch_group' AS batch_group, expires_at = (window_start AT TIME ZONE 'UTC' + interval '6 months') AT TIME ZONE 'UTC' AS expires
  FROM strm.data_subject_key_links('dan', 'eve', 'nobody') ORDER BY 1;
-- a key link that serves others too is kept, and each call says so; it goes with the last of them
SELECT strm.delete_data_subjects('dan');
SELECT strm.delete_data_subjects('dan');
SELECT count(*) FROM strm.data_subject_key_links('dan', 'eve');
SELECT strm.delete_data_subjects('eve', 'dan');
-- or with all of them at once
SELECT strm.delete_data_subjects('gus', 'hal');
SELECT destroyed_at IS NOT NULL AS destroyed, count(*) FROM strm.data_keys WHERE batch_job_group = :'batch_group' AND stream_id IS NULL GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM strm.export_keys(:'batch_group'::uuid);

-- a policy that a group has cannot be dropped
SET client_min_messages = warning;
RESET search_path;
DROP SCHEMA export_keys CASCADE;
SELECT strm.archive_policy('half a year');
\set VERBOSITY terse
SELECT strm.drop_policy('half a year');
DELETE FROM strm.batch_job_group WHERE id = :'batch_group';
SELECT strm.drop_policy('half a year');
DROP VIEW leak;
DROP TABLE exported;
DROP ROLE regress_strm_exporter, regress_strm_admin;
