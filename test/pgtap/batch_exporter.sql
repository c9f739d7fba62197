-- Batch exporters as definitions: who may make and change them, all that is refused, where decrypted values and keys may lead, and what
-- strm.entity_log keeps and shows. No worker sees any of it, as nothing is committed; what is exported is tested elsewhere.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION strm_privacy;
-- a directory of the server's user, beside the cluster's
SELECT regexp_replace(current_setting('data_directory'), '/[^/]+$', '/pgtap_files') AS dir \gset
SELECT format('rm -rf %1$s && mkdir -m 700 %1$s', :'dir') AS make, format('rm -rf %s', :'dir') AS remove, format('find %1$s -mindepth 1 -type d | sort | sed s:%1$s/::', :'dir') AS list \gset
COPY (SELECT) TO PROGRAM :'make';
ALTER SYSTEM SET strm_privacy.connector_directory = :'dir';
SELECT pg_reload_conf() \g /dev/null
SELECT format('SELECT pg_sleep(0.1) WHERE current_setting(''strm_privacy.connector_directory'') <> %L', :'dir') FROM generate_series(1, 100) \gexec
BEGIN;
SELECT no_plan();

CREATE ROLE bex_alice IN ROLE strm_member;
CREATE ROLE bex_bob IN ROLE strm_member;
CREATE ROLE bex_team;
CREATE ROLE bex_carol IN ROLE strm_member, bex_team;
CREATE ROLE bex_dora IN ROLE strm_approver;
CREATE ROLE bex_key IN ROLE strm_key_exporter;
CREATE ROLE bex_admin IN ROLE strm_admin;
CREATE ROLE bex_watcher IN ROLE strm_monitor;
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;

-- SQLSTATE, message, detail and hint of what a role's statement raises; NULL when it succeeds
CREATE TYPE failure AS (state text, message text, detail text, hint text);
CREATE FUNCTION failure_of(role text, statement text) RETURNS failure LANGUAGE plpgsql AS $$
DECLARE
  f failure;
BEGIN
  PERFORM set_config('role', role, true);
  EXECUTE statement;
  PERFORM set_config('role', 'none', true);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS f.state = RETURNED_SQLSTATE, f.message = MESSAGE_TEXT, f.detail = PG_EXCEPTION_DETAIL, f.hint = PG_EXCEPTION_HINT;
  RETURN f;
END $$;
CREATE FUNCTION state_of(role text, statement text) RETURNS text LANGUAGE sql AS $$ SELECT (failure_of(role, statement)).state $$;
-- the faults of an exporter of a stream, by its owner; given as further arguments of the call
CREATE FUNCTION faults_of(arguments text) RETURNS text LANGUAGE sql AS $$
  SELECT (f).state || ': ' || (f).detail FROM failure_of('bex_alice', format('SELECT strm.create_batch_exporter(''clicks'', ''files'', %s)', arguments)) AS f
$$;

SELECT strm.create_purpose(1, 'Analytics');
SELECT strm.create_data_contract('acme/clicks/1.0.0', schema => $$ {"name": "Click", "nodes": [{"type": "STRING", "name": "session_id", "required": true}, {"type": "STRING", "name": "email"}]} $$,
  contract => $$ {"keyField": "session_id", "fieldMetadata": [{"fieldName": "email", "personalDataConfig": {"isPii": true, "purposeLevel": 1}}]} $$) IS NOT NULL;
SELECT strm.activate_data_contract('acme/clicks/1.0.0');
SELECT is(state_of('bex_alice', $$ SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0') $$), NULL, 'a stream');
SELECT is(state_of('bex_alice', $$ SELECT strm.create_stream('other', contract => 'acme/clicks/1.0.0') $$), NULL, 'another stream');
SELECT is(state_of('bex_alice', 'GRANT SELECT ON clicks TO bex_dora'), NULL, 'the approver may read it');
SELECT is(state_of('bex_dora', $$ SELECT strm.create_derived_stream('clicks', purposes => '{1}') $$), NULL, 'a derived stream');
SELECT is(state_of('bex_admin', statement), NULL, statement)
  FROM (VALUES ($$ SELECT strm.create_data_connector('files', 'directory', '{"path": "shop"}') $$), ($$ SELECT strm.create_data_connector('same', 'directory', '{"path": "shop"}') $$),
               ($$ SELECT strm.create_data_connector('top', 'directory', '{}') $$), ($$ SELECT strm.create_data_connector('own', 'directory', '{"path": "own"}') $$),
               ($$ SELECT strm.grant_data_connector(name, role) FROM unnest('{files,same,top}'::text[]) AS name, unnest('{strm_member,strm_approver,strm_key_exporter}'::regrole[]) AS role $$)) AS v (statement);
SELECT is(state_of('bex_alice', $$ SELECT strm.create_data_connector('there', 'database', '{"uri": "postgresql://db.example.com/shop"}', '{"username": "u", "password": "p"}') $$), NULL, 'a database');

-- all that is wrong, alone and together
SELECT is(faults_of(arguments), '22023: ' || fault, arguments)
  FROM (VALUES
    ($$ every => '29 s' $$, 'every must be a whole number of seconds, from 30 seconds to 1 hour'), ($$ every => '1 h 1 s' $$, 'every must be a whole number of seconds, from 30 seconds to 1 hour'),
    ($$ every => '30.5 s' $$, 'every must be a whole number of seconds, from 30 seconds to 1 hour'), ($$ every => '1 day' $$, 'every must be a whole number of seconds, from 30 seconds to 1 hour'),
    ($$ every => '-1 month 30 days 1 min' $$, 'every must be a whole number of seconds, from 30 seconds to 1 hour'), ($$ every => NULL $$, 'every must not be NULL'),
    ($$ path_prefix => 'a/' $$, 'path_prefix begins or ends with /, or has two in a row'), ($$ path_prefix => '/a' $$, 'path_prefix begins or ends with /, or has two in a row'),
    ($$ path_prefix => 'a//b' $$, 'path_prefix begins or ends with /, or has two in a row'), ($$ path_prefix => '.' $$, 'path_prefix must not have . or .. as a part'),
    ($$ path_prefix => 'a/../b' $$, 'path_prefix must not have . or .. as a part'), ($$ path_prefix => '.well-known/acme-challenge' $$, 'path_prefix must not begin with .well-known/acme-challenge'),
    ($$ path_prefix => '.well-known/acme-challenge/x' $$, 'path_prefix must not begin with .well-known/acme-challenge'),
    ($$ path_prefix => 'ä' $$, 'path_prefix may only have the characters A-Z a-z 0-9 - . _ ~ and /'), ($$ path_prefix => 'a b' $$, 'path_prefix may only have the characters A-Z a-z 0-9 - . _ ~ and /'),
    ($$ path_prefix => E'a\nb' $$, 'path_prefix may only have the characters A-Z a-z 0-9 - . _ ~ and /'), ($$ path_prefix => repeat('a', 256) $$, 'path_prefix has a part of more than 255 bytes'),
    ($$ path_prefix => repeat('a/', 450) || 'a' $$, 'path_prefix has more than 900 bytes'),
    ($$ path_prefix => repeat('a/', 449) || 'aa', name => repeat('x', 100) $$, 'path_prefix and name together are too long for paths of 1024 bytes'),
    ($$ name => '' $$, 'name must have 1 to 100 characters, none of them a control character'), ($$ name => repeat('é', 101) $$, 'name must have 1 to 100 characters, none of them a control character'),
    ($$ name => E'a\tb' $$, 'name must have 1 to 100 characters, none of them a control character'),
    ($$ format => 'json' $$, 'format must be jsonl'), ($$ format => 'csv' $$, 'format must be jsonl'), ($$ format => NULL $$, 'format must not be NULL'),
    ($$ compression => 'zstd' $$, 'compression must be gzip, or NULL for none'), ($$ compression => '' $$, 'compression must be gzip, or NULL for none'),
    ($$ include_existing_events => NULL, export_keys => NULL $$, E'include_existing_events must not be NULL\nexport_keys must not be NULL'),
    ($$ name => E'\x7f', every => '1 s', path_prefix => '..', format => 'xml', compression => 'gz' $$, E'every must be a whole number of seconds, from 30 seconds to 1 hour\n'
     || E'name must have 1 to 100 characters, none of them a control character\npath_prefix must not have . or .. as a part\nformat must be jsonl\ncompression must be gzip, or NULL for none')) AS v (arguments, fault);
SELECT is((f).state || ': ' || coalesce((f).detail, ''), fault, statement)
  FROM (VALUES
    ('bex_alice', $$ SELECT strm.create_batch_exporter('clicks', 'nope') $$, '42704: '), ('bex_alice', $$ SELECT strm.create_batch_exporter('pg_class', 'files') $$, '42704: '),
    ('bex_alice', $$ SELECT strm.create_batch_exporter(NULL, 'files') $$, '22023: '), ('bex_alice', $$ SELECT strm.create_batch_exporter('clicks', NULL) $$, '22023: '),
    ('bex_alice', $$ SELECT strm.create_batch_exporter('clicks', 'there', every => '1 s') $$, E'22023: every must be a whole number of seconds, from 30 seconds to 1 hour\n'
     'data connector "there" is a database, which has no files: a batch job, or logical replication, writes to another database'),
    ('bex_key', $$ SELECT strm.create_batch_exporter('clicks', 'files', export_keys => true) $$, '42501: Reason: role "bex_key" has no SELECT on public.clicks.'),
    ('bex_alice', $$ SELECT strm.create_batch_exporter('clicks', 'files', export_keys => true) $$, '42501: Reason: role "bex_alice" needs role strm_key_exporter, which exporters of keys are for.'),
    ('bex_admin', $$ SELECT strm.create_batch_exporter('clicks', 'files', export_keys => true) $$, '42501: Reason: role "bex_admin" needs role strm_key_exporter, which exporters of keys are for.'),
    ('bex_key', $$ SELECT strm.create_batch_exporter('clicks', 'files') $$, '42501: Reason: role "bex_key" needs role strm_member, or to be the owner of the stream.'),
    ('bex_bob', $$ SELECT strm.create_batch_exporter('clicks', 'files') $$, '42501: Reason: role "bex_bob" has no SELECT on public.clicks.'),
    ('bex_alice', $$ SELECT strm.create_batch_exporter('clicks_1', 'files') $$, '42501: Reason: role "bex_alice" needs role strm_approver, which exporters of derived streams are for.'),
    ('bex_admin', $$ SELECT strm.create_batch_exporter('clicks_1', 'files') $$, '42501: Reason: role "bex_admin" needs role strm_approver, which exporters of derived streams are for.'),
    ('bex_alice', $$ SELECT strm.create_batch_exporter('clicks', 'own') $$, '42501: '), ('bex_watcher', $$ SELECT strm.create_batch_exporter('clicks', 'files') $$, '42501: ')) AS v (role, statement, fault),
       failure_of(role, statement) AS f;
SELECT is((SELECT count(*) FROM strm.batch_exporter), 0::bigint, 'nothing of it is left');
-- whom row security applies to exports nothing; keys are not rows
SAVEPOINT row_security;
ALTER TABLE clicks ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON clicks TO bex_bob, bex_key;
SELECT matches((failure_of('bex_bob', $$ SELECT strm.create_batch_exporter('clicks', 'files') $$)).detail, 'row security of public.clicks applies to role "bex_bob"', 'row security');
SELECT is(state_of('bex_key', $$ SELECT strm.create_batch_exporter('clicks', 'files', export_keys => true) $$), NULL, 'but keys go by SELECT');
ROLLBACK TO row_security;
ALTER TABLE other SET UNLOGGED;
SELECT is((failure_of('bex_alice', $$ SELECT strm.create_batch_exporter('other', 'files') $$)).detail, 'table public.other is not logged, so that its rows are not in the WAL', 'an unlogged stream');
ALTER TABLE other SET LOGGED;

-- exporters: defaults, and what is shown
SELECT is(state_of('bex_alice', $$ SELECT strm.create_batch_exporter('clicks', 'files') $$), NULL, 'the owner exports a stream');
SELECT is(row_to_json(e)::jsonb - 'id' - 'created_at' - 'since',
          '{"name": "clicks_files", "owner": "bex_alice", "stream": "clicks", "derived": false, "keys": false, "connector": "files", "path_prefix": null, "every": "00:01:00", "format": "jsonl",
            "compression": null, "include_existing_events": false, "state": "CREATING", "next_at": null, "last_file": null, "last_file_at": null, "files": 0, "rows": 0, "bytes": 0, "withheld": 0,
            "filtered": 0, "errors": 0, "lag_bytes": null, "lag_seconds": null, "tries": 0, "sqlstate": null, "last_error": null, "hint": null}', 'an exporter')
  FROM strm.batch_exporters e;
SELECT ok(defined_at ~ '^\d+:\d+:[-,\d]*:\d+:[\dA-F]+/[\dA-F]+$' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()), 'when and where it was defined') FROM strm.batch_exporter;
GRANT SELECT ON clicks TO bex_key, bex_bob;
SELECT is(state_of('bex_key', $$ SELECT strm.create_batch_exporter('clicks', 'files', every => '1 h', export_keys => true, include_existing_events => true) $$), NULL, 'keys, beside the events');
SELECT is(state_of('bex_dora', $$ SELECT strm.create_batch_exporter('clicks_1', 'files', 'dérivé & more', '30 s', 'a/b', true, compression => 'gzip') $$), NULL, 'an approver exports a derived stream');
SELECT is((name, owner, stream, derived, keys, path_prefix, every, format, compression, include_existing_events)::text, expected, 'as asked for')
  FROM (VALUES (1, 'clicks_files_keys', '(clicks_files_keys,bex_key,clicks,f,t,,01:00:00,csv,,t)'), (2, 'dérivé & more', '("dérivé & more",bex_dora,clicks_1,t,f,a/b,00:00:30,jsonl,gzip,t)')) AS v (n, wanted, expected)
  JOIN strm.batch_exporters ON name = wanted ORDER BY n;
SELECT is((f).state || ': ' || coalesce((f).detail, ''), fault, statement)
  FROM (VALUES
    ($$ SELECT strm.create_batch_exporter('clicks_1', 'files', export_keys => true, name => 'x') $$, '22023: export_keys is for streams: a derived stream has no keys of its own'),
    ($$ SELECT strm.create_batch_exporter('clicks', 'files', export_keys => true, format => 'jsonlines', name => 'x') $$, '22023: format of keys must be csv, or left out')) AS v (statement, fault),
       failure_of('bex_key', statement) AS f;
SELECT is(state_of('bex_key', $$ SELECT strm.create_batch_exporter('clicks', 'files', export_keys => true, format => 'csv', name => 'csv') $$), NULL, 'the format of keys may be said');
SELECT is((c.value, c.advice)::text, '("keys in data connector files","Export the keys to another data connector, with other readers.")', 'strm.security_check() tells of keys beside what they decrypt')
  FROM strm.security_check() AS c WHERE c.setting = 'batch exporter clicks_files_keys';
CREATE TEMP TABLE written (directory text);
COPY written FROM PROGRAM :'list';
SELECT results_eq('SELECT directory FROM written', $$ VALUES ('shop'), ('shop/a'), ('shop/a/b') $$, 'the connector was tried below the prefix');
SELECT is(state_of('bex_alice', $$ SELECT strm.create_batch_exporter('other', 'files', 'clicks_files') $$), '22023', 'a name is taken once: its files are');
SELECT is(state_of('bex_alice', $$ SELECT strm.create_batch_exporter('other', 'files', 'clicks_files', path_prefix => 'z') $$), '42710', 'elsewhere, too');

-- files of the same names in the same place
SELECT is((failure_of('bex_alice', statement)).detail, CASE WHEN other IS NOT NULL THEN format('batch exporter "%s" writes files of the same names to the same place: give another name or path_prefix', other) END, statement)
  FROM (VALUES
    ($$ SELECT strm.create_batch_exporter('other', 'files', 'clicks files') $$, 'clicks_files'), ($$ SELECT strm.create_batch_exporter('other', 'same', 'clicks?files') $$, 'clicks_files'),
    ($$ SELECT strm.create_batch_exporter('other', 'top', 'clicksñfiles', path_prefix => 'shop') $$, 'clicks_files'), ($$ SELECT strm.create_batch_exporter('other', 'top', 'd_riv_ _ more', path_prefix => 'shop/a/b') $$, 'dérivé & more'),
    ($$ SELECT strm.create_batch_exporter('other', 'top', 'clicks files') $$, NULL), ($$ SELECT strm.create_batch_exporter('other', 'files', 'clicks files_keys') $$, NULL),
    ($$ SELECT strm.create_batch_exporter('other', 'files', 'clicks?files', path_prefix => 'a') $$, NULL), ($$ SELECT strm.create_batch_exporter('other', 'files', 'Clicks_Files') $$, NULL)) AS v (statement, other);
SELECT is((failure_of('bex_alice', $$ SELECT strm.alter_batch_exporter('clicks?files', path_prefix => '') $$)).detail,
          E'batch exporter "clicks_files" writes files of the same names to the same place: give another name or path_prefix', 'nor by a change of the prefix');
SELECT is(state_of('bex_alice', $$ SELECT strm.alter_batch_exporter('Clicks_Files', 'clicks:files') $$), '22023', 'or of the name');
SELECT matches((failure_of('bex_admin', $$ SELECT strm.alter_data_connector('top', '{"path": "shop"}') $$)).detail, '"clicks_files" writes files of the same names', 'or of the connector');
SELECT is(state_of('bex_admin', $$ SELECT strm.alter_data_connector('top', '{"path": "another"}') $$), NULL, 'which may change otherwise');
-- stores: the same bucket by another name
INSERT INTO strm.data_connector (id, name, owner, kind, location, trusted)
  VALUES ('00000000-0000-0000-0000-000000000001', 's3a', 'bex_alice', 's3', '{"bucketName": "bucket", "region": "eu-west-1"}', false), ('00000000-0000-0000-0000-000000000002', 's3b', 'bex_alice', 's3', '{"bucket_name": "bucket"}', false),
         ('00000000-0000-0000-0000-000000000003', 's3c', 'bex_alice', 's3', '{"bucketName": "bucket", "endpoint": "https://store.example.com/"}', false),
         ('00000000-0000-0000-0000-000000000004', 'azure', 'bex_alice', 'azure', '{"storageAccountUri": "https://a.blob.core.windows.net/", "containerName": "c"}', false),
         ('00000000-0000-0000-0000-000000000005', 'azure2', 'bex_alice', 'azure', '{"storageAccountUri": "https://A.blob.core.windows.net", "containerName": "c"}', false);
INSERT INTO strm.batch_exporter (id, name, owner, stream_id, keys, connector_id, path_prefix, every, format, include_existing_events, database, system_identifier, defined_at)
  SELECT gen_random_uuid(), 'on ' || c.name, 'bex_alice', s.id, false, c.id, 'p', '1 min', 'jsonl', false, 1, 1, '1:1:' FROM strm.data_connector c, strm.stream s WHERE c.name IN ('s3a', 'azure') AND s.relation = 'clicks'::regclass;
SELECT is(state_of('bex_alice', format('SELECT strm.create_batch_exporter(''clicks'', %L, %L, path_prefix => ''p'')', connector, name)) = '22023', same, connector)
  FROM (VALUES ('s3b', 'on s3a', true), ('azure2', 'on_azure', true)) AS v (connector, name, same);

-- nobody leads decrypted values, or keys, elsewhere who may not export them
SELECT is((f).state || ': ' || (f).detail, fault, role)
  FROM (VALUES
    ('bex_admin', $$ SELECT strm.alter_data_connector('files', '{"path": "elsewhere"}') $$, '42501: Batch exporter "clicks_files_keys" writes keys there, and: role "bex_admin" needs role strm_key_exporter, which exporters of keys are for.'),
    ('bex_admin', $$ SELECT strm.alter_batch_exporter('dérivé & more', path_prefix => 'elsewhere') $$, '42501: It exports decrypted values, and: role "bex_admin" needs role strm_approver, which exporters of derived streams are for.'),
    ('bex_admin', $$ SELECT strm.alter_batch_exporter('clicks_files_keys', path_prefix => 'elsewhere') $$, '42501: It exports keys, and: role "bex_admin" needs role strm_key_exporter, which exporters of keys are for.')) AS v (role, statement, fault),
       failure_of(role, statement) AS f;
SAVEPOINT redirect;
SELECT is(state_of('bex_key', $$ SELECT strm.drop_batch_exporter('clicks_files_keys'), strm.drop_batch_exporter('csv') $$), NULL, 'without the keys');
SELECT matches((failure_of('bex_admin', $$ SELECT strm.alter_data_connector('files', '{"path": "elsewhere"}') $$)).detail, '^Batch exporter "dérivé & more" writes decrypted values there', 'there are decrypted values');
SELECT is(state_of('bex_admin', $$ SELECT strm.alter_data_connector('files', '{"path": "shop"}') $$), NULL, 'the same location is no change');
GRANT bex_admin TO bex_dora;
SELECT is(state_of('bex_dora', $$ SELECT strm.alter_data_connector('files', '{"path": "elsewhere"}') $$), NULL, 'who may do both may do it');
ROLLBACK TO redirect;
-- with an endpoint, whose account it is tells where a bucket is
UPDATE strm.batch_exporter SET connector_id = '00000000-0000-0000-0000-000000000003' WHERE name = 'dérivé & more';
SELECT is(state_of('bex_alice', $$ SELECT strm.alter_data_connector('s3c', credentials => '{"AccessKey": {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}}') $$), '42501', 'another account of a store of one''s own');
UPDATE strm.batch_exporter SET connector_id = '00000000-0000-0000-0000-000000000001' WHERE name = 'dérivé & more';
SELECT is(state_of('bex_alice', $$ SELECT strm.alter_data_connector('s3a', credentials => '{"AccessKey": {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}}') $$), NULL, 'but keys of Amazon''s are exchanged');
UPDATE strm.batch_exporter SET connector_id = (SELECT id FROM strm.data_connector WHERE name = 'files') WHERE name = 'dérivé & more';
DELETE FROM strm.batch_exporter WHERE name LIKE 'on %';

-- altering, pausing, resuming
SELECT is(state_of(role, statement), state, role || statement)
  FROM (VALUES
    (1, 'bex_bob', $$ SELECT strm.alter_batch_exporter('clicks_files', 'mine') $$, '42501'), (2, 'bex_bob', $$ SELECT strm.pause_batch_exporter('clicks_files') $$, '42501'),
    (3, 'bex_bob', $$ SELECT strm.resume_batch_exporter('clicks_files') $$, '42501'), (4, 'bex_bob', $$ SELECT strm.drop_batch_exporter('clicks_files') $$, '42501'),
    (5, 'bex_watcher', $$ SELECT strm.pause_batch_exporter('clicks_files') $$, '42501'), (6, 'bex_alice', $$ SELECT strm.pause_batch_exporter('nope') $$, '42704'),
    (7, 'bex_alice', $$ SELECT strm.alter_batch_exporter('nope') $$, '42704'), (8, 'bex_alice', $$ SELECT strm.resume_batch_exporter('nope') $$, '42704'),
    (9, 'bex_alice', $$ SELECT strm.drop_batch_exporter('nope') $$, '42704'), (10, 'bex_alice', $$ SELECT strm.drop_batch_exporter(NULL) $$, '22023'),
    (11, 'bex_alice', $$ SELECT strm.alter_batch_exporter('clicks_files', 'dérivé & more') $$, '42710'), (12, 'bex_alice', $$ SELECT strm.alter_batch_exporter('clicks_files', '') $$, '22023'),
    (13, 'bex_alice', $$ SELECT strm.alter_batch_exporter('clicks_files', every => '1 s', path_prefix => '..') $$, '22023'),
    (14, 'bex_alice', $$ SELECT strm.alter_batch_exporter('clicks_files', new_owner => 'bex_bob') $$, '42501'),
    (15, 'bex_admin', $$ SELECT strm.alter_batch_exporter('dérivé & more', new_owner => 'bex_bob') $$, '42501'),
    (16, 'bex_admin', $$ SELECT strm.alter_batch_exporter('clicks_files', new_owner => 'bex_watcher') $$, '42501'),
    (17, 'bex_admin', $$ SELECT strm.alter_batch_exporter('clicks_files', new_owner => 'bex_bob') $$, NULL), (18, 'bex_alice', $$ SELECT strm.pause_batch_exporter('clicks_files') $$, '42501'),
    (19, 'bex_admin', $$ SELECT strm.alter_batch_exporter('clicks_files', new_owner => 'bex_alice') $$, NULL),
    (20, 'bex_alice', $$ SELECT strm.alter_batch_exporter('clicks_files', 'clicks', every => '2 min', path_prefix => 'c') $$, NULL),
    (21, 'bex_alice', $$ SELECT strm.alter_batch_exporter('clicks') $$, NULL), (22, 'bex_alice', $$ SELECT strm.pause_batch_exporter('clicks') $$, NULL)) AS v (n, role, statement, state) ORDER BY n;
SELECT is((name, owner, every, path_prefix, state)::text, '(clicks,bex_alice,00:02:00,c,PAUSED)', 'it was changed') FROM strm.batch_exporters WHERE name = 'clicks';
SELECT is(state_of('bex_alice', $$ SELECT strm.resume_batch_exporter('clicks') $$), NULL, 'resuming');
SELECT is(state, 'CREATING', 'it goes on') FROM strm.batch_exporters WHERE name = 'clicks';
UPDATE strm.batch_exporter_state SET state = 'ERROR', sqlstate = '08004', message = 'refused', hint = 'ask', tries = 3, done = '10:10:', done_lsn = pg_current_wal_flush_lsn() - 1000, pending_at = now() - interval '1 min',
       done_at = now() - interval '90 s' WHERE exporter_id = (SELECT id FROM strm.batch_exporters WHERE name = 'clicks');
SELECT ok(state = 'ERROR' AND sqlstate = '08004' AND tries = 3 AND lag_bytes BETWEEN 1000 AND 100000000 AND lag_seconds BETWEEN 90 AND 900 AND next_at IS NULL, 'an error, and how far it is') FROM strm.batch_exporters WHERE name = 'clicks';
SELECT is(state_of('bex_alice', $$ SELECT strm.pause_batch_exporter('clicks') $$), NULL, 'pausing what failed');
SELECT is(state, 'ERROR', 'shows the error still') FROM strm.batch_exporters WHERE name = 'clicks';
CREATE FUNCTION seen_of(role text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  seen text;
BEGIN
  PERFORM set_config('role', role, true);
  SELECT concat_ws(',', last_error, hint) INTO seen FROM strm.batch_exporters WHERE name = 'clicks';
  PERFORM set_config('role', 'none', true);
  RETURN seen;
END $$;
SELECT is(seen_of(role), CASE WHEN role IN ('bex_alice', 'bex_admin', 'bex_watcher') THEN 'refused,ask' ELSE '' END, role || ' sees its errors') FROM unnest('{bex_alice,bex_admin,bex_watcher,bex_bob,bex_dora,bex_key}'::text[]) AS role;
SELECT is(state_of('bex_alice', $$ SELECT strm.resume_batch_exporter('clicks') $$), NULL, 'resuming what failed');
SELECT ok(v.state = 'RETRYING' AND v.tries = 0 AND v.next_at <= clock_timestamp() AND s.done = '10:10:' AND s.done_at = now() - interval '90 s', 'is a try at once, from where it was')
  FROM strm.batch_exporters v JOIN strm.batch_exporter_state s ON s.exporter_id = v.id WHERE v.name = 'clicks';

-- a copy of the database does not export, and takes over what its original did
UPDATE strm.batch_exporter SET system_identifier = 1 WHERE name = 'clicks';
UPDATE strm.batch_exporter SET database = 1 WHERE name = 'dérivé & more';
SELECT results_eq($$ SELECT name, state, sqlstate, last_error FROM strm.batch_exporters WHERE name IN ('clicks', 'dérivé & more', 'clicks_files_keys') ORDER BY name $$,
                  $$ VALUES ('clicks', 'ERROR', '55000', 'the exporter belongs to another server or database, of which this one is a copy'), ('clicks_files_keys', 'CREATING', NULL, NULL),
                            ('dérivé & more', 'ERROR', '55000', 'the exporter belongs to another server or database, of which this one is a copy') $$, 'exporters of another server or database');
DELETE FROM strm.batch_exporter_state WHERE exporter_id = (SELECT id FROM strm.batch_exporter WHERE name = 'dérivé & more');
UPDATE strm.batch_exporter SET defined_at = 'then' WHERE name IN ('clicks', 'dérivé & more');
SELECT is(state_of(role, format('SELECT strm.resume_batch_exporter(%L)', name)), NULL, 'taking over ' || name) FROM (VALUES ('bex_alice', 'clicks'), ('bex_admin', 'dérivé & more')) AS v (role, name);
SELECT results_eq($$ SELECT v.name, v.state, s.done, e.defined_at = 'then' FROM strm.batch_exporters v JOIN strm.batch_exporter_state s ON s.exporter_id = v.id JOIN strm.batch_exporter e ON e.id = v.id
                      WHERE v.name IN ('clicks', 'dérivé & more') ORDER BY v.name $$,
                  $$ VALUES ('clicks', 'RETRYING', '10:10:', true), ('dérivé & more', 'CREATING', NULL, false) $$, 'what knows how far it was goes on there, what does not begins anew');

-- messages: of a new state or error, not of the same one again; the last thousand; seen by who may
SELECT results_eq($$ SELECT entity, name, level, sqlstate, message, hint FROM strm.entity_log WHERE name = 'clicks' $$,
                  $$ VALUES ('batch_exporter', 'clicks', 'LOG', NULL, 'is now CREATING', NULL), ('batch_exporter', 'clicks', 'WARNING', '08004', 'refused', 'ask') $$, 'what it went through');
CREATE FUNCTION log_of(role text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  seen text;
BEGIN
  PERFORM set_config('role', role, true);
  SELECT string_agg(DISTINCT coalesce(name, id::text), ',') INTO seen FROM strm.entity_log;
  PERFORM set_config('role', 'none', true);
  RETURN seen;
END $$;
INSERT INTO strm.batch_job (id, owner, contract_id, job, search_path, synchronous, database, state) VALUES ('00000000-0000-0000-0000-0000000000bb', 'bex_bob', 1, '{}', '', false, 1, 'ERROR');
INSERT INTO strm.entity_message (id, entity, level, message)
  SELECT id, 'stream', 'WARNING', 'm' FROM strm.stream WHERE relation = 'clicks'::regclass UNION ALL VALUES ('00000000-0000-0000-0000-0000000000bb'::uuid, 'batch_job', 'ERROR', 'm'), ('00000000-0000-0000-0000-0000000000cc', 'stream', 'ERROR', 'm');
SELECT is(log_of('bex_bob'), '00000000-0000-0000-0000-0000000000bb', 'the owner of a job');
SELECT is(log_of('bex_dora'), 'dérivé & more', 'the owner of an exporter');
SELECT is(log_of('bex_key'), 'clicks_files_keys,csv', 'the exporter of keys');
SELECT ok(log_of('bex_alice') ~ 'clicks' AND log_of('bex_alice') !~ 'clicks_files_keys|more|00000000', 'the owner of a stream');
SELECT ok(log_of(role) ~ 'clicks_files_keys' AND log_of(role) ~ 'more' AND log_of(role) ~ '0bb' AND log_of(role) ~ '0cc', role || ' sees all') FROM unnest('{bex_admin,bex_watcher}'::text[]) AS role;
DO $$
BEGIN
  FOR i IN 1 .. 1010 LOOP
    UPDATE strm.batch_exporter_state SET state = 'ERROR', message = 'm' || i WHERE exporter_id = (SELECT id FROM strm.batch_exporter WHERE name = 'clicks');
    PERFORM strm.resume_batch_exporter('clicks');
  END LOOP;
END $$;
SELECT is(array_agg(message ORDER BY number), array_agg('m' || i ORDER BY i), 'the last thousand messages are kept')
  FROM (SELECT row_number() OVER (ORDER BY m.number) + 10 AS i, m.number, m.message FROM strm.entity_message m JOIN strm.batch_exporter e ON e.id = m.id WHERE e.name = 'clicks') AS kept HAVING count(*) = 1000;
SELECT is((SELECT count(*) FROM strm.entity_message m JOIN strm.batch_exporter e ON e.id = m.id WHERE e.name = 'clicks'), 1000::bigint, 'no more');
SELECT is((SELECT count(*) FROM strm.entity_message m JOIN strm.batch_exporter e ON e.id = m.id WHERE e.name = 'dérivé & more'), 2::bigint, 'of others all');

-- states
SELECT is(string_agg(format('%s %s %s', name, status, message), ', ' ORDER BY id), 'clicks RETRYING m1010', 'entity states') FROM strm.entity_states WHERE entity = 'batch_exporter' AND id = (SELECT id::text FROM strm.batch_exporter WHERE name = 'clicks');

-- what goes takes its messages along; a connector with exporters stays
SELECT is((failure_of('bex_admin', $$ SELECT strm.drop_data_connector('files') $$)).detail, 'Batch exporter "Clicks_Files" uses it.', 'a connector with exporters');
SELECT is(state_of('bex_alice', $$ SELECT strm.drop_batch_exporter('clicks') $$), NULL, 'dropping an exporter');
SELECT is((SELECT count(*) FROM strm.entity_message WHERE message ~ '^m\d'), 0::bigint, 'forgets its messages');
SELECT is(state_of('bex_dora', 'DROP VIEW clicks_1'), NULL, 'dropping the derived stream');
SELECT is((SELECT count(*) FROM strm.batch_exporters WHERE derived), 0::bigint, 'takes its exporters along');
SELECT is(state_of('bex_alice', 'DROP TABLE other, clicks'), NULL, 'dropping the streams');
SELECT is((SELECT count(*) FROM strm.batch_exporter), 0::bigint, 'theirs, too');
SELECT results_eq('SELECT id::text FROM strm.entity_message ORDER BY 1', $$ VALUES ('00000000-0000-0000-0000-0000000000bb'), ('00000000-0000-0000-0000-0000000000cc') $$, 'and their messages');
SELECT is(state_of('bex_admin', $$ SELECT strm.drop_data_connector('files') $$), NULL, 'then a connector may be dropped');

-- what is wrong outside is the connector's error
COPY (SELECT) TO PROGRAM :'remove';
SELECT is(state_of('bex_alice', $$ SELECT strm.create_stream('third', contract => 'acme/clicks/1.0.0') $$), NULL, 'a third stream');
SELECT ok((f).state NOT IN ('22023', 'XX000'), 'a connector that does not work: ' || (f).message) FROM failure_of('bex_alice', $$ SELECT strm.create_batch_exporter('third', 'top') $$) AS f;
SELECT is((SELECT count(*) FROM strm.batch_exporter), 0::bigint, 'nothing of it is left');

SELECT * FROM finish();
ROLLBACK;
ALTER SYSTEM RESET strm_privacy.connector_directory;
SELECT pg_reload_conf() \g /dev/null
DROP EXTENSION strm_privacy;
