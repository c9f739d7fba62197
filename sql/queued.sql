-- Streams that are ingested through a queue: what goes into an inbox, what it refuses, and that nothing of it is in the clear.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT strm.create_data_contract('queued/click/1.0.0',
  schema => $$ {"name": "Click", "nodes": [
     {"type": "STRING",  "name": "sessionId", "required": true}, {"type": "STRING", "name": "customer"},
     {"type": "STRING",  "name": "email"}, {"type": "INTEGER", "name": "age"}, {"type": "STRING", "name": "tags", "repeated": true},
     {"type": "STRING",  "name": "url", "required": true}, {"type": "INTEGER", "name": "n"}, {"type": "FLOAT", "name": "amount"},
     {"type": "LONG", "name": "parts", "repeated": true}, {"type": "BOOLEAN", "name": "done"}]} $$,
  contract => $$ {"keyField": "sessionId", "dataSubjectField": "customer",
     "piiFields": {"sessionId": 1, "customer": 2, "email": 3, "age": 2, "tags": 2},
     "validations": [{"field": "url", "type": "regex", "value": "^https?://"}]} $$) > 0 AS created;
SELECT strm.activate_data_contract('queued/click/1.0.0');

-- definitions; all faults at once
SELECT strm.create_stream('', contract => 'no', ingest => 'queue');
SELECT strm.create_stream(repeat('x', 58), contract => 'queued/click/1.0.0', ingest => 'queued');
SELECT strm.create_stream('qs', contract => 'queued/click/1.0.0', ingest => NULL);
CREATE TABLE qs_inbox ();
SELECT strm.create_stream('qs', contract => 'queued/click/1.0.0', ingest => 'queued');
DROP TABLE qs_inbox;
SELECT strm.create_stream('qs', contract => 'queued/click/1.0.0', ingest => 'queued');
-- an inbox is no stream
SELECT strm.wait_for_ingest('qs_inbox');
SELECT attname, format_type(atttypid, atttypmod), attnotnull, atthasdef FROM pg_attribute WHERE attrelid = 'qs_inbox'::regclass AND attnum > 0 ORDER BY attnum;
SELECT amname, pg_get_userbyid(relowner) = current_user AS own FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = 'qs_inbox'::regclass;
-- what does not fit a page is not in another inbox
SELECT amname FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid JOIN pg_am a ON a.oid = t.relam WHERE c.oid = 'qs_inbox'::regclass;

-- rows are held here, so that there is something to look at
CREATE VIEW queued_row AS
  SELECT strm_consent_levels, session_id, customer, email, age, tags, url, n, amount, parts, done, strm_fault,
         strm_queued_at = date_trunc('milliseconds', strm_queued_at) AS whole, strm_lane BETWEEN 0 AND 63 AS lane,
         strm_sequence IS NOT NULL AS sequence, length(strm_sealed) AS size
    FROM qs_inbox;
BEGIN;
INSERT INTO qs_inbox (strm_consent_levels, session_id, customer, email, age, tags, url, n, amount, parts, done)
  VALUES ('{2,1}', 's-1', 'c-1', 'a@b.example', ' +7 ', '{a,NULL}', 'https://x', 1, 1.5, '{1,NULL}', true);
-- nothing but the sealed form is stored, or returned
SELECT * FROM queued_row;
INSERT INTO qs_inbox (session_id, url) VALUES ('s-2', 'http://x') RETURNING session_id, url, strm_consent_levels, strm_sealed IS NOT NULL AS sealed, strm_sequence IS NOT NULL AS sequence, strm_lane IS NOT NULL AS lane;
-- what belongs to the server is overwritten
INSERT INTO qs_inbox (session_id, url, strm_queued_at, strm_sequence, strm_lane, strm_fault) VALUES ('s-2', 'http://x', 'infinity', -1, 99, 'XX000')
  RETURNING strm_queued_at = date_trunc('milliseconds', now() + '500 us') AS now, strm_sequence > 0 AS sequence, strm_lane BETWEEN 0 AND 63 AS lane, strm_fault;
-- COPY, many at once, ON CONFLICT DO NOTHING, prepared, WITH, MERGE
COPY qs_inbox (session_id, email, url, strm_consent_levels) FROM STDIN;
s-1	x	http://a	{1}
s-3	\N	http://b	\N
\.
INSERT INTO qs_inbox (session_id, url) VALUES ('a', 'http://a'), ('b', 'http://b') ON CONFLICT DO NOTHING;
INSERT INTO qs_inbox (session_id, url, tags) SELECT 's-' || i % 7, 'http://' || i, ARRAY[i::text] FROM generate_series(1, 300) i;
PREPARE q (text, text) AS INSERT INTO qs_inbox (session_id, url) VALUES ($1, $2);
EXECUTE q ('p', 'http://p');
EXECUTE q ('p', 'http://p');
DEALLOCATE q;
WITH x AS (INSERT INTO qs_inbox (session_id, url) VALUES ('w', 'http://w') RETURNING session_id) SELECT * FROM x;
-- a value that is moved out of line
INSERT INTO qs_inbox (session_id, url, email) SELECT 'big', 'http://big', string_agg(md5(i::text), '') FROM generate_series(1, 30000) i;
-- equal keys are in one lane, in the order of insertion; equal rows are not equal
SELECT count(*), count(DISTINCT strm_lane) BETWEEN 5 AND 64 AS lanes, count(DISTINCT strm_sequence), count(DISTINCT strm_sealed),
       count(*) FILTER (WHERE row IS NOT NULL) AS in_the_clear, max(length(strm_sealed)) > 900000 AS big
  FROM (SELECT strm_lane, strm_sequence, strm_sealed, COALESCE(session_id, customer, email, age, url, n::text, tags::text, strm_consent_levels::text) AS row FROM qs_inbox) x;
SELECT bool_and(strm_sequence > before) AS ascending FROM (SELECT strm_sequence, lag(strm_sequence) OVER (ORDER BY ctid) AS before FROM qs_inbox) x WHERE before IS NOT NULL;
ROLLBACK;

-- refused, with all that is wrong
BEGIN;
\set ON_ERROR_ROLLBACK on
INSERT INTO qs_inbox (session_id, url, age, tags) VALUES (NULL, NULL, 'x', '{{a,b}}');
INSERT INTO qs_inbox (session_id, url) VALUES ('', 'http://x');
INSERT INTO qs_inbox (session_id, url) VALUES ('s', 'ftp://x');
INSERT INTO qs_inbox (session_id, url, age) VALUES ('s', 'http://x', '2147483648');
INSERT INTO qs_inbox (session_id, url, customer) VALUES ('s', 'http://x', repeat('x', 1025));
INSERT INTO qs_inbox (session_id, url, strm_consent_levels) VALUES ('s', 'http://x', '{-1}');
INSERT INTO qs_inbox (session_id, url, strm_consent_levels) VALUES ('s', 'http://x', '{1,NULL}');
INSERT INTO qs_inbox (session_id, url, n) VALUES ('s', 'http://x', 'y');
-- the first row is not stored either; of COPY the client sees the line's number only
COPY qs_inbox (session_id, url) FROM STDIN;
good	http://a
secret	nowhere
\.
SELECT count(*) FROM qs_inbox;
\set SHOW_CONTEXT always
COPY qs_inbox (session_id, url) FROM STDIN;
secret	nowhere
\.
\set SHOW_CONTEXT never
-- a sealed row: only as it was, and alone
INSERT INTO qs_inbox (session_id, url) VALUES ('s', 'http://x');
CREATE TABLE kept AS SELECT * FROM qs_inbox;
INSERT INTO qs_inbox SELECT * FROM kept;
INSERT INTO qs_inbox (session_id, strm_queued_at, strm_sequence, strm_lane, strm_sealed) SELECT 'clear', strm_queued_at, strm_sequence, strm_lane, strm_sealed FROM kept;
INSERT INTO qs_inbox (strm_queued_at, strm_sequence, strm_lane, strm_sealed) SELECT strm_queued_at, strm_sequence + 1, strm_lane, strm_sealed FROM kept;
INSERT INTO qs_inbox (strm_queued_at, strm_sequence, strm_lane, strm_sealed) SELECT strm_queued_at, strm_sequence, (strm_lane + 1) % 64, strm_sealed FROM kept;
INSERT INTO qs_inbox (strm_queued_at, strm_sequence, strm_lane, strm_sealed) SELECT strm_queued_at + '1 ms', strm_sequence, strm_lane, strm_sealed FROM kept;
INSERT INTO qs_inbox (strm_queued_at, strm_sequence, strm_lane, strm_sealed) SELECT strm_queued_at, strm_sequence, strm_lane, set_byte(strm_sealed, 30, (get_byte(strm_sealed, 30) + 1) % 256) FROM kept;
INSERT INTO qs_inbox (strm_queued_at, strm_sequence, strm_lane, strm_sealed) SELECT strm_queued_at, strm_sequence, strm_lane, '\x01' FROM kept;
INSERT INTO qs_inbox (strm_sealed) SELECT strm_sealed FROM kept;
SELECT count(*) FROM qs_inbox;
-- rows are not changed, but may be deleted
UPDATE qs_inbox SET url = 'http://y';
MERGE INTO qs_inbox q USING kept k ON q.strm_sequence = k.strm_sequence WHEN MATCHED THEN UPDATE SET url = 'http://y';
DELETE FROM qs_inbox;
-- a contract that is not active
SELECT strm.archive_data_contract('queued/click/1.0.0');
INSERT INTO qs_inbox (session_id, url) VALUES ('s', 'http://x');
COPY qs_inbox (session_id, url) FROM STDIN;
s	http://x
\.
SELECT strm.activate_data_contract('queued/click/1.0.0');
INSERT INTO qs_inbox (session_id, url) VALUES ('s', 'http://x');
-- the access method at another table
CREATE TABLE other (a int) USING strm_inbox;
INSERT INTO other VALUES (1);
COPY other FROM STDIN;
1
\.
CREATE TABLE another USING strm_inbox AS SELECT 1;
CREATE TABLE another AS SELECT 1;
DO $$ BEGIN ALTER TABLE another SET ACCESS METHOD strm_inbox; EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE 'not registered'; END $$;
CREATE TABLE twin (LIKE qs_inbox) USING strm_inbox;
INSERT INTO twin (session_id, url) VALUES ('s', 'http://x');
ROLLBACK;
\set ON_ERROR_ROLLBACK off
DROP VIEW queued_row;

-- what would see rows before they are sealed, or keep them from being moved
CREATE INDEX ON qs_inbox (session_id);
CREATE INDEX CONCURRENTLY ON qs_inbox (session_id);
ALTER TABLE qs_inbox ADD PRIMARY KEY (strm_sequence);
CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER spy BEFORE INSERT ON qs_inbox FOR EACH ROW EXECUTE FUNCTION spy();
CREATE TRIGGER spy AFTER INSERT ON qs_inbox FOR EACH ROW EXECUTE FUNCTION spy();
CREATE TRIGGER spy AFTER INSERT ON qs_inbox REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION spy();
CREATE RULE spy AS ON INSERT TO qs_inbox DO ALSO SELECT NEW.session_id;
ALTER TABLE qs_inbox ADD CHECK (url <> '');
\set VERBOSITY terse
ALTER TABLE qs_inbox ADD FOREIGN KEY (n) REFERENCES strm.purpose (level);
\set VERBOSITY default
-- a superuser is only warned of damage, as a restore may be under way; who is none: test/pgtap/inbox.sql
ALTER TABLE qs_inbox ALTER COLUMN url SET NOT NULL;
ALTER TABLE qs_inbox ALTER COLUMN url DROP NOT NULL;
ALTER TABLE qs_inbox SET ACCESS METHOD heap;
INSERT INTO qs_inbox (session_id, url) VALUES ('s', 'http://x');
ALTER TABLE qs_inbox SET ACCESS METHOD strm_inbox;
ALTER TABLE qs_inbox ENABLE ROW LEVEL SECURITY;
CREATE TABLE parts (LIKE qs_inbox) PARTITION BY LIST (url);
ALTER TABLE parts ATTACH PARTITION qs_inbox DEFAULT;
DROP TABLE parts;
ALTER TABLE qs_inbox ADD COLUMN y text GENERATED ALWAYS AS (session_id) STORED;
ALTER TABLE qs_inbox ALTER COLUMN n TYPE bigint USING 1;
-- maintenance is not
INSERT INTO qs_inbox (session_id, url) VALUES ('s', 'http://x');
VACUUM FULL qs_inbox;
VACUUM (FREEZE) qs_inbox;
ANALYZE qs_inbox;
SELECT count(*) FROM pg_stats WHERE tablename = 'qs_inbox' AND attname !~ '^strm_' AND null_frac < 1;
ALTER TABLE qs_inbox RENAME TO renamed_inbox;
INSERT INTO renamed_inbox (session_id, url) VALUES ('s', 'http://x');
CREATE SCHEMA queued;
ALTER TABLE renamed_inbox SET SCHEMA queued;
INSERT INTO queued.renamed_inbox (session_id, url) VALUES ('s', 'http://x');
TRUNCATE queued.renamed_inbox;

-- restored without its access method it takes nothing
SET client_min_messages = error;
CREATE TABLE lost (LIKE queued.renamed_inbox);
CREATE TRIGGER strm_check_inbox BEFORE INSERT ON lost FOR EACH STATEMENT EXECUTE FUNCTION strm.check_inbox();
INSERT INTO lost (session_id, url) VALUES ('s', 'http://x');
DROP TABLE lost;

-- the inbox goes with its stream
DROP TABLE qs;
SELECT to_regclass('queued.renamed_inbox'), count(*) FROM strm.inbox;
DROP SCHEMA queued;
DROP FUNCTION spy;
