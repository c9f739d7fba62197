-- Inboxes: who may queue rows and what they see, what their owners cannot do to them, and that they go with their streams.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION strm_privacy;
BEGIN;
SELECT no_plan();

CREATE ROLE inbox_owner IN ROLE strm_member;
CREATE ROLE inbox_producer;
CREATE ROLE inbox_reader;
CREATE ROLE inbox_nobody;
CREATE ROLE inbox_admin IN ROLE strm_admin;
CREATE SCHEMA shop AUTHORIZATION inbox_owner;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SET search_path = shop, public;
\o /dev/null
SELECT strm.create_purpose(1, 'One');
SELECT strm.create_data_contract('inbox/click/1.0.0',
  schema => '{"name": "Click", "nodes": [{"type": "STRING", "name": "session"}, {"type": "STRING", "name": "email"}, {"type": "LONG", "name": "n"}]}',
  contract => '{"keyField": "session", "piiFields": {"session": 1, "email": 1}}');
SELECT strm.activate_data_contract('inbox/click/1.0.0');
SET ROLE inbox_owner;
SELECT strm.create_stream('clicks', contract => 'inbox/click/1.0.0', ingest => 'queued');
SELECT strm.create_stream('others', contract => 'inbox/click/1.0.0', ingest => 'queued');
SELECT strm.create_stream('direct', contract => 'inbox/click/1.0.0');
\o
CREATE FUNCTION shop.spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
GRANT INSERT ON clicks_inbox TO inbox_producer;
GRANT SELECT ON clicks_inbox TO inbox_reader;

-- the caller's: both tables, and nothing for anybody else
SELECT table_owner_is('shop', 'clicks_inbox', 'inbox_owner', 'the inbox is the caller''s');
SELECT is(relacl, NULL, 'nobody else has rights on a new inbox') FROM pg_class WHERE oid = 'others_inbox'::regclass;
SELECT hasnt_table('shop', 'direct_inbox', 'a stream without a queue has no inbox');

-- producers need INSERT and no more: not on the sequence, not on the stream, not on the registry
SET ROLE inbox_producer;
SELECT lives_ok($$INSERT INTO clicks_inbox (strm_consent_levels, session, email) VALUES ('{1}', 'secret-s', 'secret-e')$$, 'a producer inserts');
SELECT throws_ok('SELECT * FROM clicks_inbox', '42501', NULL, 'a producer does not read');
SELECT throws_ok($$INSERT INTO clicks_inbox (session) VALUES ('s') RETURNING session$$, '42501', NULL, 'nor by RETURNING');
SELECT throws_ok('DELETE FROM clicks_inbox', '42501', NULL, 'a producer does not delete');
SELECT throws_ok('TRUNCATE clicks_inbox', '42501', NULL, 'a producer does not truncate');
SELECT throws_ok($$UPDATE clicks_inbox SET email = 'x'$$, '42501', NULL, 'a producer does not update');
SELECT throws_ok($$INSERT INTO clicks (session) VALUES ('s')$$, '42501', NULL, 'a producer of the inbox is none of the stream');
SELECT throws_ok($$SELECT nextval('clicks_inbox_strm_sequence_seq')$$, '42501', NULL, 'a producer does not use the sequence');
SELECT throws_ok('SELECT * FROM strm.inbox', '42501', NULL, 'a producer does not read the registry');
SET ROLE inbox_nobody;
SELECT throws_ok($$INSERT INTO clicks_inbox (session) VALUES ('s')$$, '42501', NULL, 'others do not insert');

-- a reader sees that something waits, and nothing of it
SET ROLE inbox_reader;
SELECT results_eq('SELECT count(*), count(strm_sealed), count(strm_queued_at), count(strm_sequence), count(strm_lane), count(strm_fault),
                          count(strm_consent_levels), count(session), count(email), count(n) FROM clicks_inbox',
                  'VALUES (1::bigint, 1::bigint, 1::bigint, 1::bigint, 1::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint)', 'a reader sees the sealed row');
SELECT ok(NOT bool_or(encode(strm_sealed, 'escape') ~ 'secret'), 'what is sealed cannot be read') FROM clicks_inbox;
SELECT throws_ok('SELECT key FROM strm.inbox_key', '42501', NULL, 'a reader does not get the key');
RESET ROLE;
SELECT is(octet_length(k.key), 32 + 46, 'the key is wrapped') FROM strm.inbox JOIN strm.inbox_key k USING (stream_id) WHERE relation = 'clicks_inbox'::regclass;
SELECT isnt(a.key, b.key, 'each inbox has its own') FROM strm.inbox a, strm.inbox b WHERE a.relation = 'clicks_inbox'::regclass AND b.relation = 'others_inbox'::regclass;

-- rows that are sealed already: the owner's only, and in their own inbox
CREATE TABLE kept AS SELECT * FROM clicks_inbox;
GRANT SELECT ON kept TO PUBLIC;
GRANT CREATE ON SCHEMA shop TO inbox_owner;
SET ROLE inbox_producer;
SELECT throws_ok('INSERT INTO clicks_inbox SELECT * FROM kept', '42501', 'only the owner of an inbox may insert rows that are sealed already', 'a producer does not insert a row again');
SET ROLE inbox_owner;
SELECT throws_ok('INSERT INTO others_inbox SELECT * FROM kept', 'XX001', NULL, 'a row of one inbox is none of another');
SELECT lives_ok('INSERT INTO clicks_inbox SELECT * FROM kept', 'the owner restores a row');

-- the owner keeps the table as it was made
SELECT throws_ok(statement, '2BP01', NULL, statement) FROM (VALUES
  ('CREATE INDEX ON clicks_inbox (session)'),
  ('CREATE UNIQUE INDEX ON clicks_inbox (strm_sequence)'),
  ('ALTER TABLE clicks_inbox ADD PRIMARY KEY (strm_sequence)'),
  ('ALTER TABLE clicks_inbox ADD CHECK (email IS NULL)'),
  ('ALTER TABLE clicks_inbox ADD CHECK (email IS NULL) NOT VALID'),
  ('CREATE TRIGGER spy BEFORE INSERT ON clicks_inbox FOR EACH ROW EXECUTE FUNCTION shop.spy()'),
  ('CREATE TRIGGER spy BEFORE UPDATE ON clicks_inbox FOR EACH ROW EXECUTE FUNCTION shop.spy()'),
  ('CREATE TRIGGER spy AFTER INSERT ON clicks_inbox FOR EACH ROW EXECUTE FUNCTION shop.spy()'),
  ('CREATE TRIGGER spy AFTER INSERT ON clicks_inbox REFERENCING NEW TABLE AS t FOR EACH STATEMENT EXECUTE FUNCTION shop.spy()'),
  ('CREATE RULE spy AS ON INSERT TO clicks_inbox DO ALSO SELECT NEW.session'),
  ('CREATE RULE spy AS ON INSERT TO clicks_inbox DO INSTEAD NOTHING'),
  ('ALTER TABLE clicks_inbox ENABLE ROW LEVEL SECURITY'),
  ('ALTER TABLE clicks_inbox SET ACCESS METHOD heap'),
  ('ALTER TABLE clicks_inbox SET UNLOGGED'),
  ('ALTER TABLE clicks_inbox ADD COLUMN x text'),
  ('ALTER TABLE clicks_inbox ADD COLUMN x float DEFAULT random()'),
  ('ALTER TABLE clicks_inbox ADD COLUMN x text GENERATED ALWAYS AS (email) STORED'),
  ('ALTER TABLE clicks_inbox DROP COLUMN email'),
  ('ALTER TABLE clicks_inbox DROP COLUMN strm_sealed'),
  ('ALTER TABLE clicks_inbox RENAME COLUMN email TO mail'),
  ('ALTER TABLE clicks_inbox ALTER COLUMN email TYPE varchar'),
  ('ALTER TABLE clicks_inbox ALTER COLUMN n TYPE bigint USING 1'),
  ('ALTER TABLE others_inbox ALTER COLUMN email SET NOT NULL'),
  ('ALTER TABLE clicks_inbox DISABLE TRIGGER ALL'),
  ('ALTER TABLE clicks_inbox DISABLE TRIGGER strm_check_inbox'),
  ('DROP TRIGGER strm_check_inbox ON clicks_inbox'),
  ('DROP TABLE clicks_inbox'),
  ('DROP TABLE clicks_inbox CASCADE')) v (statement);
CREATE TABLE parent (session text COLLATE "C");
CREATE TABLE parted (LIKE clicks_inbox) PARTITION BY LIST (session);
SELECT throws_ok('ALTER TABLE clicks_inbox INHERIT parent', '2BP01', NULL, 'an inbox inherits nothing');
SELECT throws_ok('ALTER TABLE parted ATTACH PARTITION clicks_inbox DEFAULT', '2BP01', NULL, 'an inbox is no partition');
SELECT throws_ok($$UPDATE clicks_inbox SET email = 'x'$$, '0A000', NULL, 'rows are not changed');
SELECT lives_ok($$INSERT INTO clicks_inbox (session) VALUES ('s')$$, 'after all that rows are queued');
-- a trigger that sees no rows is the owner's business
SELECT lives_ok('CREATE TRIGGER harmless AFTER INSERT ON clicks_inbox FOR EACH STATEMENT EXECUTE FUNCTION shop.spy()', 'a statement trigger is allowed');
SELECT lives_ok($$INSERT INTO clicks_inbox (session) VALUES ('s')$$, 'rows are queued beside it');
SELECT lives_ok('ALTER TABLE clicks_inbox RENAME TO post', 'an inbox is renamed');
SELECT lives_ok($$INSERT INTO post (session) VALUES ('s')$$, 'rows are queued under its new name');

-- second line of defence: the guard switched off by a superuser
RESET ROLE;
SET LOCAL client_min_messages = error;
ALTER EVENT TRIGGER strm_guard_command_end DISABLE;
CREATE TRIGGER spy BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION shop.spy();
SELECT throws_ok($$INSERT INTO post (session) VALUES ('s')$$, '55000', NULL, 'with a row trigger an inbox takes no rows');
DROP TRIGGER spy ON post;
ALTER TABLE post ADD CONSTRAINT c CHECK (email IS NULL);
SELECT throws_ok($$INSERT INTO post (session) VALUES ('s')$$, '55000', NULL, 'nor with a constraint');
ALTER TABLE post DROP CONSTRAINT c;
ALTER TABLE post ENABLE ROW LEVEL SECURITY;
SELECT throws_ok($$INSERT INTO post (session) VALUES ('s')$$, '55000', NULL, 'nor with policies');
ALTER TABLE post DISABLE ROW LEVEL SECURITY;
ALTER TABLE post SET ACCESS METHOD heap;
SELECT throws_ok($$INSERT INTO post (session) VALUES ('s')$$, '55000', NULL, 'nor as an ordinary table');
ALTER TABLE post SET ACCESS METHOD strm_inbox;
SELECT lives_ok($$INSERT INTO post (session) VALUES ('s')$$, 'undone, it takes rows');
SELECT is(count(session), 0::bigint, 'that are sealed') FROM post;
ALTER EVENT TRIGGER strm_guard_command_end ENABLE ALWAYS;

-- an inbox goes with its stream, whoever drops it and however
SELECT is((SELECT count(*) FROM strm.inbox), 2::bigint, 'two inboxes');
SET ROLE inbox_admin;
SELECT lives_ok($$SELECT strm.drop_stream('shop.clicks')$$, 'an administrator drops a stream');
RESET ROLE;
SELECT hasnt_table('shop', 'post', 'its inbox is gone');
SET ROLE inbox_owner;
CREATE VIEW look AS SELECT count(*) FROM others_inbox;
SELECT throws_ok('DROP TABLE others', '2BP01', NULL, 'not while something depends on the inbox');
DROP VIEW look;
SELECT lives_ok('DROP SCHEMA shop CASCADE', 'both in one command');
RESET ROLE;
SELECT is((SELECT count(*) FROM strm.inbox) + (SELECT count(*) FROM strm.inbox_key), 0::bigint, 'the registry has none');

SELECT * FROM finish();
ROLLBACK;
DROP EXTENSION strm_privacy;
