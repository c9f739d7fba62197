-- Data connectors: who may define and use them, what is refused, and that credentials are never shown.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION strm_privacy;
BEGIN;
SELECT no_plan();

CREATE ROLE connector_alice IN ROLE strm_member;
CREATE ROLE connector_bob IN ROLE strm_member;
CREATE ROLE connector_team;
CREATE ROLE connector_carol IN ROLE strm_member, connector_team;
CREATE ROLE connector_files IN ROLE strm_member, pg_read_server_files, pg_write_server_files;
CREATE ROLE connector_reads IN ROLE strm_member, pg_read_server_files;
CREATE ROLE connector_admin IN ROLE strm_admin;

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
-- the faults of a definition
CREATE FUNCTION faults_of(kind text, location jsonb, credentials jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
  SELECT (failure_of('connector_alice', format('DO $d$ BEGIN PERFORM strm.create_data_connector(''faulty'', %L, %L, %L); PERFORM strm.drop_data_connector(''faulty''); END $d$',
                                               kind, location, credentials))).detail
$$;

-- what a definition looks like, and what of it is shown
SELECT is(state_of('connector_alice', $$ SELECT strm.create_data_connector('shop', 'database', '{"uri": "postgresql://db.example.com/shop"}',
            '{"username": "app", "password": "open sesame"}') $$), NULL, 'a member creates a connector');
SELECT is(row_to_json(d)::jsonb - 'id' - 'created_at',
          '{"name": "shop", "kind": "database", "owner": "connector_alice", "location": {"uri": "postgresql://db.example.com/shop"}, "has_credentials": true, "usable_by": []}',
          'all but the credentials is shown')
  FROM strm.data_connectors d;
SELECT is((SELECT count(*) FROM strm.data_connector c WHERE strpos(c::text, 'sesame') > 0 OR position(convert_to('sesame', 'UTF8') IN c.credentials) > 0), 0::bigint,
          'credentials are stored encrypted');
SELECT is(trusted, false, 'a member''s connector is not trusted') FROM strm.data_connector;
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector('shop', 'database', '{}') $$), '42710', 'a name is taken once');
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector(E'a\nb', 'database', '{}') $$), '22023', 'no control characters in a name');
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector('', 'database', '{}') $$), '22023', 'no empty name');
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector(repeat('x', 101), 'database', '{}') $$), '22023', 'no name of 101 characters');
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector(repeat('é', 100), 'database', '{}') $$), NULL, 'a name of 100 characters');
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector(NULL, 'database', '{}') $$), '22023', 'no NULL name');
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector('x', 'database', NULL) $$), '22023', 'no NULL location');
SELECT matches((failure_of('connector_bob', $$ SELECT strm.create_data_connector('x', 'ftp', '{}') $$)).hint, 'database, directory', 'an unknown kind: the hint lists them');
SELECT is(state_of('connector_bob', $$ SELECT strm.create_data_connector('x', 'database', jsonb_build_object('uri', repeat('x', 20000))) $$), '54000', 'no huge location');

-- definitions of kind database: all faults at once, no secret in any message
SELECT is(faults_of('database', '[]'), 'the location must be a JSON object', 'a location is an object');
SELECT is(faults_of('database', '{}', '"x"'), 'the credentials must be a JSON object', 'credentials are an object');
SELECT is(faults_of('database', '{}', '{"username": "u"}'), 'this database needs no credentials', 'this database needs no credentials');
SELECT is(faults_of('database', '{"uri": "postgresql://u:sesame@h/d?sslmode=disable&options=x", "extra": 1}', '{"user": "x"}'),
          E'the location holds a password or signature, and everybody can see it\nthe location: unknown member "extra"\n'
          || E'the location''s URI must not hold a password\nthe location''s URI must not set the parameter "options"\n'
          || E'the credentials: unknown member "user"\nthe credentials must have a password', 'all faults in one error')
;
SELECT is(faults_of('database', location, '{"username": "u", "password": "p"}'), fault, location ->> 'uri')
  FROM (VALUES
    ('{"uri": "mysql://h/d"}'::jsonb, 'the location''s URI must begin with postgresql:// or jdbc:postgresql://'),
    ('{"uri": "postgresql://h/d?nonsense=1"}', 'the location''s URI is not valid, or has a parameter that libpq does not know'),
    ('{"uri": "postgresql:///d"}', 'the location''s URI must name a host'),
    ('{"uri": "postgresql://%2Fvar%2Frun/d"}', 'the location''s URI must name a host, not a socket'),
    ('{"uri": "postgresql://a,b/d"}', 'the location''s URI must name one host'),
    ('{"uri": "postgresql://h"}', 'the location''s URI must name a database'),
    ('{"uri": "postgresql://h/d?hostaddr=127.0.0.1"}', 'the location''s URI must not set the parameter "hostaddr"'),
    ('{"uri": "postgresql://h/d?service=x"}', 'the location''s URI must not set the parameter "service"'),
    ('{"uri": "postgresql://h/d?sslkey=/etc/key"}', 'the location''s URI must not set the parameter "sslkey"'),
    ('{"uri": "postgresql://h/d?sslmode=prefer"}', 'the location''s sslmode must be verify-full or verify-ca'),
    ('{"uri": "postgresql://h:99999/d"}', 'the location''s port must be a number from 1 to 65535'),
    ('{"uri": "postgresql://other@h/d"}', 'the location''s URI and the credentials name different users'),
    ('{"uri": "postgresql://h/d?password=p"}', E'the location holds a password or signature, and everybody can see it\nthe location''s URI must not hold a password')
  ) AS v (location, fault);
SELECT is(faults_of('database', location, credentials), NULL, location::text)
  FROM (VALUES
    ('{}'::jsonb, NULL::jsonb),
    ('{"uri": "postgres://h/d?sslmode=verify-ca"}', '{"username": "u", "password": "p"}'),
    ('{"uri": "postgresql://u@h:5433/d?application_name=x"}', '{"password": "p"}'),
    ('{"jdbcUri": "jdbc:postgresql://h/d?ssl=true"}', '{"username": "u", "password": "p"}'),
    ('{"jdbc_uri": "jdbc:postgresql://h/d?user=u"}', '{"password": "p"}'),
    ('{"uri": "jdbc:postgresql://h/d?ssl=true"}', '{"username": "u", "password": "p"}'),
    ('{"uri": "postgresql://localhost/d?sslmode=disable"}', '{"username": "u", "password": "p"}')
  ) AS v (location, credentials);

-- kind directory is for those who may read and write the server's files
SELECT is(state_of('connector_alice', $$ SELECT strm.create_data_connector('files', 'directory', '{}') $$), '42501', 'not for every member');
SELECT is(state_of('connector_reads', $$ SELECT strm.create_data_connector('files', 'directory', '{}') $$), '42501', 'reading is not enough');
SELECT is(state_of('connector_files', $$ SELECT strm.create_data_connector('files', 'directory', '{"path": "in/2024"}') $$), NULL, 'readers and writers of server files');
SELECT is(state_of('connector_admin', $$ SELECT strm.create_data_connector('all files', 'directory', '{}') $$), NULL, 'strm_admin');
SELECT is(trusted, name = 'all files', name || ': trusted if made by strm_admin') FROM strm.data_connector WHERE kind = 'directory';
SELECT is((failure_of('connector_files', format('SELECT strm.create_data_connector(''f'', ''directory'', %L)', jsonb_build_object('path', path)))).detail,
          'member "path" of the location ' || fault, coalesce(path, 'NULL'))
  FROM (VALUES
    ('', 'is empty'), ('/etc', 'begins or ends with /, or has two in a row'), ('a/', 'begins or ends with /, or has two in a row'),
    ('a//b', 'begins or ends with /, or has two in a row'), ('..', 'must not have . or .. as a part'), ('a/../b', 'must not have . or .. as a part'),
    ('./a', 'must not have . or .. as a part'), ('a b', 'may only have the characters A-Z a-z 0-9 - . _ ~ and /'),
    ('é', 'may only have the characters A-Z a-z 0-9 - . _ ~ and /'), (repeat('a', 256), 'has a part of more than 255 bytes'),
    (repeat('a/', 600) || 'b', 'is longer than 1024 bytes')
  ) AS v (path, fault);
SELECT is((failure_of('connector_files', $$ SELECT strm.create_data_connector('f', 'directory', '{"path": 1}', '{"a": 1}') $$)).detail,
          E'the location: member "path" must be a string\na directory has no credentials', 'a directory has a path and no credentials');

-- altering
SELECT is(state_of('connector_bob', $$ SELECT strm.alter_data_connector('shop', location => '{"uri": "postgresql://evil.example.com/shop"}') $$), '42501', 'not by others');
SELECT is(state_of('connector_bob', $$ SELECT strm.alter_data_connector('nope', location => '{}') $$), '42704', 'altering what does not exist');
SELECT is(state_of('connector_alice', $$ SELECT strm.alter_data_connector('shop', location => '{"uri": "postgresql://u@h/d"}') $$), '22023', 'the whole definition is checked');
SELECT is(state_of('connector_alice', $$ SELECT strm.alter_data_connector('shop', location => '{"uri": "postgresql://db2.example.com/shop"}') $$), '42501', 'credentials are not sent elsewhere');
SELECT is(state_of('connector_admin', $$ SELECT strm.alter_data_connector('shop', location => '{"jdbcUri": "jdbc:postgresql://db2.example.com/shop"}') $$), '42501', 'not by an administrator either');
SELECT is(state_of('connector_alice', format('SELECT strm.alter_data_connector(''shop'', location => %L)', location)), NULL, 'the location alone, to the same place') FROM strm.data_connectors WHERE name = 'shop';
SELECT is(has_credentials, true, 'the credentials stay') FROM strm.data_connectors WHERE name = 'shop';
SELECT is(state_of('connector_alice', $$ SELECT strm.alter_data_connector('shop', location => '{"uri": "postgresql://db2.example.com/shop"}', credentials => '{"username": "u", "password": "p"}') $$), NULL, 'elsewhere, with credentials for it');
SELECT is(location, '{"uri": "postgresql://db2.example.com/shop"}', 'the location is new') FROM strm.data_connectors WHERE name = 'shop';
SELECT is(state_of('connector_alice', $$ SELECT strm.alter_data_connector('shop', location => '{}', credentials => '{}') $$), NULL, 'credentials are taken away');
SELECT is(has_credentials, false, 'they are gone') FROM strm.data_connectors WHERE name = 'shop';
SELECT is(state_of('connector_admin', $$ SELECT strm.alter_data_connector('shop', location => '{"uri": "postgresql://localhost/d"}', credentials => '{"username": "u", "password": "p"}') $$),
          NULL, 'an administrator may alter anybody''s');
SELECT is(trusted, true, 'an administrator who gives all of it vouches for it') FROM strm.data_connector WHERE name = 'shop';
SELECT is(state_of('connector_alice', $$ SELECT strm.alter_data_connector('shop', credentials => '{"username": "v", "password": "q"}') $$), NULL, 'its owner still may, too');
SELECT is(trusted, false, 'but then nobody vouches for it') FROM strm.data_connector WHERE name = 'shop';
SELECT is(state_of('connector_admin', $$ SELECT strm.alter_data_connector('shop', credentials => '{"username": "w", "password": "r"}') $$), NULL, 'an administrator who alters a part');
SELECT is(trusted, false, 'does not vouch for the rest') FROM strm.data_connector WHERE name = 'shop';

-- grants
SELECT is(state_of('connector_bob', $$ SELECT strm.grant_data_connector('shop', 'connector_bob') $$), '42501', 'nobody grants himself');
SELECT is(state_of('connector_alice', $$ SELECT strm.grant_data_connector('shop', 'connector_team') $$), NULL, 'the owner grants to a team');
SELECT is(state_of('connector_alice', $$ SELECT strm.grant_data_connector('shop', 'connector_team') $$), NULL, 'twice is once');
SELECT is(state_of('connector_alice', $$ SELECT strm.grant_data_connector('shop', 'connector_nobody') $$), '42704', 'not to a role that does not exist');
SELECT is(state_of('connector_alice', $$ SELECT strm.grant_data_connector('shop', 999999999::regrole) $$), '42704', 'nor to a number');
SELECT is(state_of('connector_carol', $$ SELECT strm.grant_data_connector('shop', 'connector_bob') $$), '42501', 'whom it was granted to does not grant it');
SELECT is(state_of('connector_carol', $$ SELECT strm.drop_data_connector('shop') $$), '42501', 'nor drop it');
SELECT is(usable_by, '{connector_team}', 'grants are shown') FROM strm.data_connectors WHERE name = 'shop';
SELECT is(state_of('connector_admin', $$ SELECT strm.revoke_data_connector('shop', 'connector_team') $$), NULL, 'an administrator revokes');
SELECT is(usable_by, '{}', 'and it is gone') FROM strm.data_connectors WHERE name = 'shop';

-- dropping: not while a job that is not over names it, or left something there
INSERT INTO strm.batch_job (id, owner, contract_id, job, search_path, synchronous, database, state)
  SELECT gen_random_uuid(), 'connector_alice'::regrole, 1, jsonb_build_object('derived_data', jsonb_build_array(jsonb_build_object('target',
         jsonb_build_object(member, '{"name": "shop"}'::jsonb)))), '', false, (SELECT oid FROM pg_database WHERE datname = current_database()), state
    FROM (VALUES ('data_connector_ref', 'FINISHED'), ('dataConnectorRef', 'ERROR')) AS v (member, state);
SELECT is(state_of('connector_alice', $$ SELECT strm.grant_data_connector('shop', 'connector_bob') $$), NULL, 'granted again');
SAVEPOINT used;
UPDATE strm.batch_job SET state = 'PENDING' WHERE state = 'FINISHED';
SELECT is(state_of('connector_alice', $$ SELECT strm.drop_data_connector('shop') $$), '55000', 'a waiting job uses it (snake_case)');
UPDATE strm.batch_job SET state = 'ERROR_STARTING', tries = 2 WHERE state = 'PENDING';
SELECT is(state_of('connector_alice', $$ SELECT strm.drop_data_connector('shop') $$), '55000', 'a job that will be tried again uses it');
ROLLBACK TO used;
UPDATE strm.batch_job SET state = 'RUNNING' WHERE state = 'ERROR';
SELECT is(state_of('connector_alice', $$ SELECT strm.drop_data_connector('shop') $$), '55000', 'a running job uses it (camelCase)');
ROLLBACK TO used;
INSERT INTO strm.batch_job_intent (id, job_id, connector_id, path)
  SELECT gen_random_uuid(), (SELECT id FROM strm.batch_job LIMIT 1), id, 'x' FROM strm.data_connectors WHERE name = 'shop';
SELECT is(state_of('connector_alice', $$ SELECT strm.drop_data_connector('shop') $$), '55000', 'something is to be cleaned up there');
ROLLBACK TO used;
SELECT is(state_of('connector_bob', $$ SELECT strm.drop_data_connector('shop') $$), '42501', 'not dropped by others');
SELECT is(state_of('connector_alice', $$ SELECT strm.drop_data_connector('shop') $$), NULL, 'nor kept by jobs that are over');
SELECT is_empty($$ SELECT FROM strm.data_connector_user $$, 'its grants went with it');
SELECT is(state_of('connector_alice', $$ SELECT strm.drop_data_connector('shop') $$), '42704', 'dropped once');

SELECT * FROM finish();
ROLLBACK;
DROP EXTENSION strm_privacy;
