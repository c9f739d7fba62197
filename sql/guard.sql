-- Streams stay as they were made: what owners and superusers may do to their columns, triggers, constraints and rules.
-- In a database of its own, as it also drops the extension.
SELECT current_database() AS home \gset
CREATE DATABASE regress_strm_guard;
\c regress_strm_guard
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_strm_guard_super SUPERUSER;
SET ROLE regress_strm_guard_super;
CREATE EXTENSION strm_privacy;
RESET ROLE;
CREATE ROLE regress_strm_guard_owner IN ROLE strm_member;
CREATE SCHEMA guarded AUTHORIZATION regress_strm_guard_owner;
SET search_path = guarded, public;

SELECT strm.create_purpose(1, 'One') IS NOT NULL AND strm.create_purpose(2, 'Two') IS NOT NULL AS created;
SELECT strm.create_data_contract('guard/click/1.0.0',
  schema => '{"name": "Click", "nodes": [
     {"type": "STRING", "name": "session", "required": true},
     {"type": "STRING", "name": "customerId"},
     {"type": "STRING", "name": "tags", "repeated": true},
     {"type": "LONG", "name": "amount"}]}',
  contract => '{"keyField": "session", "piiFields": {"session": 1, "customerId": 2, "tags": 2}}') > 0 AS created;
SELECT strm.activate_data_contract('guard/click/1.0.0');

SET ROLE regress_strm_guard_owner;
SELECT strm.create_stream('clicks', contract => 'guard/click/1.0.0');
CREATE FUNCTION guarded.spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';

-- the owner: columns
ALTER TABLE clicks DROP COLUMN customer_id;
ALTER TABLE clicks DROP COLUMN strm_seal CASCADE;
ALTER TABLE clicks RENAME COLUMN session TO sitzung;
ALTER VIEW clicks RENAME COLUMN session TO sitzung;
ALTER TABLE clicks ALTER COLUMN tags TYPE text;
ALTER TABLE clicks ALTER COLUMN customer_id TYPE text COLLATE "POSIX";
ALTER TABLE clicks ALTER COLUMN amount TYPE text;
ALTER TABLE clicks ADD COLUMN plain text;
ALTER TABLE clicks ADD COLUMN plain text GENERATED ALWAYS AS (session) STORED;
ALTER TABLE clicks SET UNLOGGED;
ALTER TABLE clicks ALTER COLUMN strm_consent_levels TYPE int[] USING '{1,2}';
ALTER TABLE clicks ALTER COLUMN amount TYPE bigint USING 0;
ALTER TABLE clicks ALTER COLUMN strm_seal DROP NOT NULL;
ALTER TABLE clicks ALTER COLUMN strm_timestamp DROP DEFAULT;
-- nor by way of a type
SELECT format('CREATE TYPE click AS (%s)', string_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod),
         CASE WHEN attcollation = '"C"'::regcollation THEN ' COLLATE "C"' ELSE '' END), ', ' ORDER BY attnum)) AS create_type
  FROM pg_attribute WHERE attrelid = 'clicks'::regclass AND attnum > 0 \gset
:create_type;
ALTER TABLE clicks OF click;
ALTER TYPE click ADD ATTRIBUTE plain text CASCADE;
DROP TYPE click;
-- the owner: constraints
ALTER TABLE clicks DROP CONSTRAINT strm_ciphertext;
ALTER TABLE clicks RENAME CONSTRAINT strm_ciphertext TO other;
-- a constraint of that name that does not check, or not all, is none
ALTER TABLE clicks DROP CONSTRAINT strm_ciphertext, ADD CONSTRAINT strm_ciphertext CHECK (true);
ALTER TABLE clicks DROP CONSTRAINT strm_ciphertext, ADD CONSTRAINT strm_ciphertext CHECK (strm.check_ciphertext(session, customer_id));
ALTER TABLE clicks DROP CONSTRAINT strm_ciphertext, ADD CONSTRAINT strm_ciphertext CHECK (strm.check_ciphertext(session, customer_id, NULL::text[]));
ALTER TABLE clicks DROP CONSTRAINT strm_ciphertext, ADD CONSTRAINT strm_ciphertext CHECK (strm.check_ciphertext(session, customer_id, tags) OR true);
BEGIN;
ALTER TABLE clicks DROP CONSTRAINT strm_ciphertext, ADD CONSTRAINT strm_ciphertext CHECK (strm.check_ciphertext(session, customer_id, tags));
ROLLBACK;
-- the owner: triggers
ALTER TABLE clicks DISABLE TRIGGER strm_encrypt;
ALTER TABLE clicks DISABLE TRIGGER USER;
ALTER TABLE clicks ENABLE REPLICA TRIGGER strm_encrypt;
ALTER TABLE clicks ENABLE ALWAYS TRIGGER strm_encrypt;
ALTER TRIGGER strm_refuse_update ON clicks RENAME TO other;
DROP TRIGGER strm_encrypt ON clicks;
DROP TRIGGER strm_refuse_update ON clicks;
CREATE OR REPLACE TRIGGER strm_encrypt BEFORE INSERT ON clicks FOR EACH ROW WHEN (false) EXECUTE FUNCTION strm.encrypt_row('00000000-0000-0000-0000-000000000001');
CREATE OR REPLACE TRIGGER strm_encrypt AFTER INSERT ON clicks FOR EACH ROW EXECUTE FUNCTION guarded.spy();
-- nobody else sees rows first
CREATE TRIGGER a_spy BEFORE INSERT ON clicks FOR EACH ROW EXECUTE FUNCTION guarded.spy();
CREATE TRIGGER z_spy BEFORE INSERT OR UPDATE ON clicks FOR EACH ROW EXECUTE FUNCTION guarded.spy();
CREATE RULE spy AS ON INSERT TO clicks DO ALSO SELECT 1;
CREATE RULE spy AS ON INSERT TO clicks DO INSTEAD NOTHING;

-- nor by way of a table that the stream becomes a partition of
CREATE TABLE parent (LIKE clicks INCLUDING ALL) PARTITION BY LIST (amount);
ALTER TABLE parent ATTACH PARTITION clicks DEFAULT;
CREATE TRIGGER spy BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION guarded.spy();
ALTER TABLE parent RENAME COLUMN session TO sitzung;
ALTER TABLE parent DETACH PARTITION clicks;
CREATE TRIGGER spy BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION guarded.spy();
ALTER TABLE parent ATTACH PARTITION clicks DEFAULT;
DROP TABLE parent;

-- what stays the owner's business
CREATE TRIGGER after_spy AFTER INSERT ON clicks FOR EACH ROW EXECUTE FUNCTION guarded.spy();
CREATE TRIGGER statement_spy BEFORE INSERT ON clicks FOR EACH STATEMENT EXECUTE FUNCTION guarded.spy();
CREATE TRIGGER delete_spy BEFORE DELETE ON clicks FOR EACH ROW EXECUTE FUNCTION guarded.spy();
ALTER TRIGGER after_spy ON clicks RENAME TO after_spy_2;
DROP TRIGGER after_spy_2 ON clicks;
DROP TRIGGER statement_spy ON clicks;
DROP TRIGGER delete_spy ON clicks;
CREATE INDEX clicks_amount ON clicks (amount);
DROP INDEX clicks_amount;
ALTER TABLE clicks ADD CONSTRAINT positive CHECK (amount > 0);
ALTER TABLE clicks DROP CONSTRAINT positive;
ALTER TABLE clicks RENAME TO clicks_2;
ALTER TABLE clicks_2 RENAME TO clicks;
CREATE TABLE unrelated (a int, b text);
ALTER TABLE unrelated DROP COLUMN b;
CREATE TRIGGER spy BEFORE INSERT ON unrelated FOR EACH ROW EXECUTE FUNCTION guarded.spy();
DROP TABLE unrelated;
RESET ROLE;

-- a superuser is warned
BEGIN;
ALTER TABLE clicks DISABLE TRIGGER strm_encrypt;
ROLLBACK;
BEGIN;
DROP TRIGGER strm_encrypt ON clicks;
ROLLBACK;
BEGIN;
ALTER TABLE clicks DROP CONSTRAINT strm_ciphertext;
ROLLBACK;
BEGIN;
ALTER TABLE clicks ADD COLUMN plain text;
ROLLBACK;
-- but refused what would see plaintext
CREATE RULE spy AS ON INSERT TO clicks DO ALSO SELECT 1;
CREATE TRIGGER a_spy BEFORE INSERT ON clicks FOR EACH ROW EXECUTE FUNCTION guarded.spy();

-- as if nothing had happened
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'clicks'::regclass ORDER BY 1;
SELECT conname FROM pg_constraint WHERE conrelid = 'clicks'::regclass AND contype = 'c';

-- nobody drops the extension while there are streams
\set VERBOSITY terse
DROP EXTENSION strm_privacy;
\set VERBOSITY default
DROP EXTENSION strm_privacy CASCADE;
DROP SCHEMA strm CASCADE;
DROP SCHEMA public CASCADE;
DROP OWNED BY regress_strm_guard_super CASCADE;
ALTER EXTENSION strm_privacy DROP TABLE strm.stream;
DROP EXTENSION strm_privacy CASCADE;
ALTER EXTENSION strm_privacy ADD TABLE strm.stream;
SELECT count(*) FROM strm.streams;

-- the functions of the event triggers do nothing else
SELECT proname FROM pg_proc WHERE pronamespace = 'strm'::regnamespace AND prorettype = 'event_trigger'::regtype ORDER BY 1;
SELECT strm.guard_drop();

-- a dropped stream is forgotten, by any way of dropping
SELECT strm.create_stream('other', contract => 'guard/click/1.0.0', schema => 'guarded');
SELECT strm.create_stream('last', contract => 'guard/click/1.0.0', schema => 'guarded');
DROP TABLE other;
SELECT stream FROM strm.streams ORDER BY stream::text;
BEGIN;
DROP SCHEMA guarded CASCADE;
SELECT stream FROM strm.streams;
ROLLBACK;
SELECT stream FROM strm.streams ORDER BY stream::text;
SELECT strm.create_derived_stream('last', '{1}'), strm.create_derived_stream('last', '{2}');
DROP VIEW last_1;
SELECT derived_stream FROM strm.derived_streams;
BEGIN;
SET LOCAL session_replication_role = replica;
DROP TABLE last CASCADE;
SELECT stream FROM strm.streams UNION ALL SELECT derived_stream FROM strm.derived_streams;
ROLLBACK;
DROP TABLE last;
DROP TABLE last CASCADE;
SELECT stream FROM strm.streams UNION ALL SELECT derived_stream FROM strm.derived_streams;
DROP OWNED BY regress_strm_guard_owner CASCADE;
SELECT stream FROM strm.streams ORDER BY stream::text;

RESET search_path;
DROP EXTENSION strm_privacy;
SELECT count(*) FROM pg_event_trigger WHERE evtname LIKE 'strm%';
\c :home
DROP DATABASE regress_strm_guard;
DROP ROLE regress_strm_guard_owner, regress_strm_guard_super;
