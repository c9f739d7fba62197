-- Streams: creating them, and what INSERT does with every kind of row. No ciphertext and no id is printed.
\set SHOW_CONTEXT never
\pset null '(null)'
CREATE ROLE regress_strm_owner IN ROLE strm_member, strm_approver;
CREATE ROLE regress_strm_writer;
CREATE SCHEMA streams AUTHORIZATION regress_strm_owner;
GRANT USAGE ON SCHEMA streams TO regress_strm_writer;
SET search_path = streams;
-- is it of ciphertext form?
CREATE FUNCTION sealed(value text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT value ~ '^[A-Za-z0-9+/]{28,}=*$'$$;

SELECT strm.create_data_contract('regress/every/1.0.0',
  '{"nodes": [{"type": "STRING", "name": "id"},
     {"type": "STRING", "name": "s"}, {"type": "BOOLEAN", "name": "b"}, {"type": "INTEGER", "name": "i"}, {"type": "LONG", "name": "l"}, {"type": "FLOAT", "name": "f"},
     {"type": "STRING", "name": "ss", "repeated": true}, {"type": "BOOLEAN", "name": "bb", "repeated": true}, {"type": "INTEGER", "name": "ii", "repeated": true},
     {"type": "LONG", "name": "ll", "repeated": true}, {"type": "FLOAT", "name": "ff", "repeated": true},
     {"type": "STRING", "name": "plainS"}, {"type": "BOOLEAN", "name": "plainB"}, {"type": "INTEGER", "name": "plainI"}, {"type": "LONG", "name": "plainL"},
     {"type": "FLOAT", "name": "plainF"}, {"type": "STRING", "name": "plainSs", "repeated": true}, {"type": "LONG", "name": "plainLl", "repeated": true}]}',
  '{"keyField": "id", "piiFields": {"s": 1, "b": 1, "i": 1, "l": 1, "f": 1, "ss": 1, "bb": 1, "ii": 1, "ll": 1, "ff": 1}}') > 0 AS created;
SELECT strm.create_data_contract('regress/click/1.0.0',
  '{"nodes": [{"type": "STRING", "name": "session", "required": true}, {"type": "STRING", "name": "customer"}, {"type": "INTEGER", "name": "age"}, {"type": "STRING", "name": "url", "required": true, "doc": "where ''it'' was"}]}',
  '{"keyField": "session", "dataSubjectField": "customer", "piiFields": {"session": 1, "customer": 2, "age": 1}}') > 0 AS created;
SELECT strm.create_data_contract('regress/draft/1.0.0', '{"nodes": [{"type": "STRING", "name": "id"}]}', '{"keyField": "id"}') > 0 AS created;
SELECT strm.activate_data_contract('regress/every/1.0.0'), strm.activate_data_contract('regress/click/1.0.0');
SELECT strm.create_policy('regress month', '30 days') IS NOT NULL AS created;
SELECT strm.activate_policy('regress month');
SELECT strm.create_policy('regress draft', '30 days') IS NOT NULL AS created;

-- who may
SET ROLE regress_strm_writer;
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0');
RESET ROLE;
CREATE ROLE regress_strm_nowhere IN ROLE strm_member;
SET ROLE regress_strm_nowhere;
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0', schema => 'streams');
RESET ROLE;

-- every fault of a call at once
SET ROLE regress_strm_owner;
SELECT strm.create_stream('pg_class', contract => 'regress/none/1.0.0', policy => 'none', key_rotation => '-1 day', schema => 'pg_catalog', partition_by => '1 second');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_stream(repeat('x', 64), contract => 'regress/draft/1.0.0', policy => 'regress draft', key_rotation => '100 years 1 day');
SELECT strm.create_stream('', contract => 'regress/click/1.0.0', key_rotation => '999 milliseconds');
SELECT strm.create_stream('', contract => 'click', key_rotation => '0');
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0');
SELECT strm.create_stream('streams.clicks', contract => 'regress/click/1.0.0');
SELECT strm.create_stream(NULL, contract => 'regress/click/1.0.0');
SELECT strm.create_stream('clicks', contract => NULL);
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0', key_rotation => NULL);
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0', index_key_link => NULL);
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0', schema => NULL);
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0', schema => 'nowhere');
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0', schema => 2147483647);
BEGIN;
SET LOCAL search_path = nowhere;
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0');
ROLLBACK;
SELECT count(*) FROM strm.streams WHERE stream::text ~ 'clicks|xxx';

-- options
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0');
SELECT strm.create_stream('clicks', contract => 'regress/click/1.0.0');
SELECT strm.create_stream('fast', contract => 'regress/click/1.0.0', policy => 'regress month', key_rotation => '1 second', index_key_link => false);
SELECT strm.create_stream('by_id', contract => 'regress/click/1.0.0', policy => (SELECT id::text FROM strm.policies WHERE name = 'regress month'), key_rotation => '100 years');
SELECT strm.create_stream('default policy', contract => 'regress/click/1.0.0', policy => '7 years', key_rotation => '1 month');
SELECT strm.create_stream('every', contract => 'regress/every/1.0.0');
SELECT stream, contract, policy, key_rotation FROM strm.streams WHERE contract ~ '^regress/(click|every)' ORDER BY stream::text COLLATE "C";
SELECT attname, format_type(atttypid, atttypmod), attcollation::regcollation, attnotnull, pg_get_expr(adbin, adrelid) AS default, col_description(attrelid, attnum)
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attrelid = 'clicks'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'every'::regclass AND attnum > 6 ORDER BY attnum;
SELECT conname, regexp_replace(pg_get_constraintdef(oid), '\(.*', '') FROM pg_constraint WHERE conrelid = 'clicks'::regclass AND contype = 'c';
SELECT tablename, count(*) FROM pg_indexes WHERE schemaname = 'streams' AND tablename IN ('clicks', 'fast') GROUP BY tablename;
SELECT relowner::regrole FROM pg_class WHERE oid = 'clicks'::regclass;
-- names that need quotes
RESET ROLE;
CREATE SCHEMA "Läden & ""so""" AUTHORIZATION regress_strm_owner;
SET ROLE regress_strm_owner;
SET search_path = "Läden & ""so""";
SELECT strm.create_stream(name, contract => 'regress/click/1.0.0') FROM unnest(ARRAY['My Clicks', 'select', 'a "quoted" name', 'it''s', 'Zürich-東京-🦊', '; DROP TABLE streams.clicks; --', repeat('ü', 31)]) AS name;
INSERT INTO "a ""quoted"" name" (session, url) VALUES ('s', 'u');
INSERT INTO "; DROP TABLE streams.clicks; --" (session, url) VALUES ('s', 'u');
SELECT streams.sealed(session), url FROM "a ""quoted"" name" UNION ALL SELECT streams.sealed(session), url FROM "; DROP TABLE streams.clicks; --";
SET client_min_messages = warning;
DROP SCHEMA "Läden & ""so""" CASCADE;
RESET client_min_messages;
SET search_path = streams;
SELECT count(*) FROM strm.streams WHERE contract ~ '^regress/click';

-- every type, personal and not: stored, and read back
SELECT strm.create_derived_stream('every', purposes => '{1}');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}');
SELECT strm.create_derived_stream('fast', purposes => '{1,2}');
INSERT INTO every (strm_consent_levels, id, s, b, i, l, f, ss, bb, ii, ll, ff, plain_s, plain_b, plain_i, plain_l, plain_f, plain_ss, plain_ll) VALUES
  ('{1}', '01', 'text', 'yes', '42', '9223372036854775807', '0.1', '{a,NULL,""}', '{t,off}', '{1,NULL,-2}', '{}', '{1.5,NaN,-Infinity}', 'text', true, 42, 9223372036854775807, 0.1, '{a,NULL,""}', '{}'),
  ('{1}', '02', '', 'f', '-2147483648', '-9223372036854775808', '-0', '{}', '{NULL}', '{2147483647}', '{-9223372036854775808}', '{1e308,5e-324}', '', false, -2147483648, -9223372036854775808, '-0', '{}', '{NULL}'),
  ('{1}', '03', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('{1}', '04', E' tab\t newline\n quote '' " \\ ', ' TRUE ', ' +7 ', E'\t-0\n', ' 1e3 ', E'{" a ","{}","NULL","\\\\"}', NULL, '{" 8 "}', NULL, '{" inf "}', 'x', NULL, NULL, NULL, NULL, '[5:6]={a,b}', '[0:0]={1}');
SELECT id, s, b, i, l, f, ss, bb, ii, ll, ff FROM every_1 ORDER BY id;
SELECT id, plain_s, plain_b, plain_i, plain_l, plain_f, plain_ss, plain_ll FROM every ORDER BY id;
SELECT id, sealed(s) AS s, sealed(b) AS b, sealed(i) AS i, sealed(l) AS l, sealed(f) AS f, array_length(ss, 1) AS ss, (SELECT bool_and(sealed(x)) FROM unnest(ss || bb || ii || ll || ff) AS x) AS elements
  FROM every ORDER BY id;
-- one canonical text for a value, however it is written and whatever the session's settings are
SET extra_float_digits = -15;
SET datestyle = 'SQL, DMY';
SET bytea_output = escape;
INSERT INTO every (id, b, i, l, f, bb, ii, ll, ff) VALUES ('equal', 'true', '7', '7', '0.1', '{t}', '{7}', '{7}', '{0.1}'), ('equal', 'on', '+7', '007', '1e-1', '{1}', '{+7}', '{07}', '{.1}'),
  ('equal', 'Y', ' 7', E'7\n', '0.10000000000000000000', '{yes}', '{" 7 "}', '{0000007}', '{1.0e-1}'), ('equal', 't', 7, 7, 0.1, '{on}', ARRAY[7], ARRAY[7], ARRAY[0.1]);
RESET extra_float_digits;
RESET datestyle;
INSERT INTO every (id, b, i, l, f, bb, ii, ll, ff) VALUES ('equal', true::text, 7::text, 7::int8::text, 0.1::float8::text, ARRAY[true], ARRAY[7], ARRAY[7::int8], ARRAY[0.1::float8]);
SELECT count(*), count(DISTINCT b) AS b, count(DISTINCT i) AS i, count(DISTINCT l) AS l, count(DISTINCT f) AS f, count(DISTINCT bb) AS bb, count(DISTINCT ii) AS ii, count(DISTINCT ll) AS ll, count(DISTINCT ff) AS ff,
       count(DISTINCT strm_key_link) AS keys, count(DISTINCT i || l) AS i_and_l FROM every WHERE id = 'equal';
INSERT INTO every (id, f, ff) VALUES ('floats', '0', '{NaN}'), ('floats', '-0', '{nan}'), ('floats', '0.30000000000000004', '{Infinity}'), ('floats', '0.3', '{inf}'), ('floats', '1e23', '{+infinity}'), ('floats', '99999999999999991611392', '{Infinity}');
SELECT count(DISTINCT f) AS different, count(DISTINCT ff) AS nan_and_infinity FROM every WHERE id = 'floats';
-- text is not touched: no trimming, no normalisation, no case
INSERT INTO every (id, s) VALUES ('texts', 'a'), ('texts', 'A'), ('texts', 'a '), ('texts', ' a'), ('texts', U&'\00E9'), ('texts', U&'e\0301'), ('texts', ''), ('texts', NULL);
SELECT count(DISTINCT s) FROM every WHERE id = 'texts';
-- wrong types: every field of the row at once, and never the value
INSERT INTO every (id, b, i, l, f, bb, ii, ll, ff) VALUES ('bad', 'planted', 'planted', 'planted', 'planted', '{planted}', '{1,planted}', '{planted}', '{planted}');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO every (id, i, l, f, ii) VALUES ('bad', '2147483648', '9223372036854775808', '1e309', '{-2147483649}');
INSERT INTO every (id, b, i, l, f) VALUES ('bad', '', '', '', '');
INSERT INTO every (id, b, i, l, f) VALUES ('bad', '2', '1.0', '0x10', '0x10');
INSERT INTO every (id, b, i, l, f) VALUES ('bad', 'tru e', '1_000', '1 0', '1,5');
INSERT INTO every (id, i, f) VALUES ('bad', repeat('1', 600), repeat('1', 600));
INSERT INTO every (id, ss, ii) VALUES ('bad', '{{a,b},{c,d}}', '{{1}}');
COPY every (id, i) FROM STDIN;
bad	planted
\.
SELECT count(*) FROM every WHERE id = 'bad';

-- ways to insert
GRANT INSERT, SELECT ON clicks, every TO regress_strm_writer;
RESET ROLE;
SET ROLE regress_strm_writer;
INSERT INTO clicks (strm_consent_levels, session, customer, age, url) VALUES ('{1,2}', 's1', 'c1', 1, 'single');
INSERT INTO clicks (strm_consent_levels, session, customer, age, url) VALUES ('{1,2}', 's1', 'c1', '2', 'multi'), ('{1,2}', 's2', 'c2', '3', 'multi');
INSERT INTO clicks (strm_consent_levels, session, customer, age, url) SELECT '{1,2}', 's' || i, 'c' || i, i, 'select' FROM generate_series(4, 5) AS i;
COPY clicks (strm_consent_levels, session, customer, age, url) FROM STDIN;
{1,2}	s1	c1	6	copy
{1,2}	s2	\N	\N	copy
\.
-- an error tells the line of COPY, without its data
\set SHOW_CONTEXT errors
COPY clicks (strm_consent_levels, session, url) FROM STDIN (FORMAT csv);
"{1,2}",s1,secret
"{1,2}",,secret
\.
\set SHOW_CONTEXT never
COPY clicks (strm_consent_levels, session, customer, age, url) FROM STDIN (FORMAT csv);
"{1,2}",s1,"",8,"copy csv"
\.
PREPARE ins (int[], text, text, text, text) AS INSERT INTO clicks (strm_consent_levels, session, customer, age, url) VALUES ($1, $2, $3, $4, $5);
EXECUTE ins ('{1,2}', 's1', 'c1', '9', 'prepared');
EXECUTE ins ('{2,1}', 's1', 'c1', '10', 'prepared');
INSERT INTO clicks (strm_consent_levels, session, age, url) VALUES ('{1,2}', 's1', 11, 'conflict') ON CONFLICT DO NOTHING;
WITH more AS (INSERT INTO clicks (strm_consent_levels, session, age, url) VALUES ('{1,2}', 's1', 12, 'cte') RETURNING *)
SELECT strm_contract_version, strm_nonce >= 0 AS nonce, strm_consent_levels, octet_length(strm_seal) AS seal, sealed(session) AS session, customer, sealed(age) AS age, url FROM more;
INSERT INTO clicks (session, url) VALUES ('s1', 'returning') RETURNING sealed(session), url, strm_timestamp = now()::timestamptz(3) AS now, strm_consent_levels;
DO $$ BEGIN INSERT INTO clicks (strm_consent_levels, session, age, url) VALUES ('{1,2}', 's1', 13, 'do'); END $$;
MERGE INTO clicks USING (VALUES (14)) AS v (n) ON false WHEN NOT MATCHED THEN INSERT (strm_consent_levels, session, age, url) VALUES ('{1,2}', 's1', v.n, 'merge');
RESET ROLE;
SET ROLE regress_strm_owner;
SELECT session, customer, age, url FROM clicks_1_2 ORDER BY age, url;
SELECT count(DISTINCT strm_key_link) AS keys, count(DISTINCT session) AS sessions, count(DISTINCT strm_nonce) > 10 AS nonces_differ FROM clicks;

-- rows are immutable
UPDATE clicks SET url = 'x';
\echo :LAST_ERROR_SQLSTATE
UPDATE clicks SET strm_consent_levels = '{1,2,3}' WHERE url = 'single';
INSERT INTO clicks (session, url) VALUES ('s1', 'x') ON CONFLICT (url) DO UPDATE SET url = 'y';
CREATE UNIQUE INDEX once ON clicks (url) WHERE url = 'single';
INSERT INTO clicks (session, url) VALUES ('s1', 'single') ON CONFLICT (url) WHERE url = 'single' DO UPDATE SET url = 'y';
INSERT INTO clicks (session, url) VALUES ('s1', 'single') ON CONFLICT DO NOTHING;
INSERT INTO clicks (session, url) VALUES ('s1', 'single') ON CONFLICT (url) WHERE url = 'single' DO NOTHING RETURNING 1;
DROP INDEX once;
MERGE INTO clicks USING (VALUES (1)) AS v (n) ON url = 'single' WHEN MATCHED THEN UPDATE SET url = 'y';
DELETE FROM clicks WHERE url = 'conflict';
SELECT count(*) FROM clicks WHERE url IN ('single', 'x', 'y');

-- the server's columns are the server's
INSERT INTO clicks (strm_contract_version, strm_nonce, strm_timestamp, strm_key_link, session, url)
VALUES ('9.9.9', -1, '1999-01-01', '00000000-0000-0000-0000-000000000001', 's1', 'mine')
RETURNING strm_contract_version, strm_nonce >= 0 AS nonce, strm_timestamp > now() - interval '1 minute' AS now, strm_key_link = (SELECT strm_key_link FROM clicks WHERE url = 'single') AS key_link;
INSERT INTO clicks (strm_contract_version, strm_nonce, strm_timestamp, strm_key_link, strm_seal, session, url) VALUES (NULL, NULL, NULL, NULL, NULL, 's1', 'nulls')
RETURNING strm_contract_version, octet_length(strm_seal) AS seal;

-- consent: what is stored (more in consent.sql)
INSERT INTO clicks (strm_consent_levels, session, url) VALUES (NULL, 's1', 'none'), ('{3,1,1}', 's1', 'unsorted') RETURNING url, strm_consent_levels;
INSERT INTO clicks (strm_consent_levels, session, url) VALUES ('{1,NULL}', 's1', 'x');
INSERT INTO clicks (strm_consent_levels, session, url) VALUES ('{-1}', 's1', 'x');
INSERT INTO clicks (strm_consent_levels, session, url) VALUES ('{{1}}', 's1', 'x');

-- the key field, and required ones
INSERT INTO clicks (session, customer, url) VALUES (NULL, 'planted', NULL);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO clicks (session, customer, url) VALUES ('', 'planted', 'x');
INSERT INTO every (id, s) VALUES (NULL, 'planted');
INSERT INTO every (id, s) VALUES ('', 'planted');
INSERT INTO clicks (session, customer, url, age) VALUES ('', 'planted', NULL, 'planted');
INSERT INTO clicks (session, customer, url) VALUES ('s1', repeat('planted', 200), 'x');
INSERT INTO clicks (session, customer, url) VALUES ('s1', repeat('x', 1024), 'long subject') RETURNING url;

-- values that look like ciphertext are values
INSERT INTO every (strm_consent_levels, id, s, ss) SELECT '{1}', 'looks', e.s, ARRAY[e.s] FROM every e WHERE e.id = '01';
INSERT INTO every (strm_consent_levels, id, s) VALUES ('{1}', 'looks', 'AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA');
SELECT d.s = e.s AS as_given, d.ss = ARRAY[e.s] AS elements_too FROM every_1 d, every e WHERE d.id = 'looks' AND e.id = '01' AND d.ss IS NOT NULL;
SELECT s FROM every_1 WHERE id = 'looks' AND ss IS NULL;
-- large ones
INSERT INTO every (strm_consent_levels, id, s, ss) SELECT '{1}', 'large', string_agg(chr(97 + i % 26) || i, ''), array_agg('e' || i) FILTER (WHERE i <= 100000) FROM generate_series(1, 450000) AS i;
SELECT length(s) > 3000000 AS large, md5(s) = (SELECT md5(string_agg(chr(97 + i % 26) || i, '')) FROM generate_series(1, 450000) AS i) AS same,
       cardinality(ss), md5(ss::text) = (SELECT md5(array_agg('e' || i)::text) FROM generate_series(1, 100000) AS i) AS same_elements FROM every_1 WHERE id = 'large';
-- key field values of every size
INSERT INTO clicks (strm_consent_levels, session, url) SELECT '{1,2}', repeat('k', n), 'key of ' || n FROM unnest(ARRAY[1, 63, 64, 65, 1000, 100000]) AS n;
SELECT length(session) FROM clicks_1_2 WHERE url ~ '^key of' ORDER BY 1;

-- rows that are sealed already: of the owner, as they are
CREATE TABLE kept AS SELECT * FROM clicks;
CREATE TABLE kept_every AS SELECT * FROM every;
SELECT count(*) > 20 AS some FROM kept;
DELETE FROM clicks;
INSERT INTO clicks SELECT * FROM kept;
SELECT count(*) AS gone FROM (TABLE kept EXCEPT ALL TABLE clicks) AS rows;
SELECT count(*) AS differ FROM (TABLE clicks EXCEPT ALL TABLE kept) AS rows;
TRUNCATE every;
INSERT INTO every SELECT * FROM kept_every;
SELECT count(*) AS gone FROM (TABLE kept_every EXCEPT ALL TABLE every) AS rows;
-- a mixture of new and sealed rows
INSERT INTO clicks (strm_contract_version, strm_nonce, strm_timestamp, strm_key_link, strm_consent_levels, strm_seal, session, customer, age, url)
SELECT strm_contract_version, strm_nonce, strm_timestamp, strm_key_link, strm_consent_levels, CASE WHEN n = 1 THEN strm_seal END, CASE WHEN n = 1 THEN session ELSE 'again' END, customer, age, url
  FROM kept, generate_series(1, 2) AS n WHERE url = 'none' RETURNING sealed(session), strm_nonce = (SELECT strm_nonce FROM kept WHERE url = 'none') AS as_it_was;
-- of others: refused
GRANT SELECT ON kept TO regress_strm_writer;
RESET ROLE;
SET ROLE regress_strm_writer;
INSERT INTO clicks SELECT * FROM kept;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO clicks (session, url, strm_seal) VALUES ('planted', 'x', '');
RESET ROLE;
SET ROLE regress_strm_owner;
-- forged in any part: refused
CREATE PROCEDURE forge(what text, change text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TEMP TABLE forged AS SELECT * FROM kept WHERE url = ''single''; UPDATE forged SET %s', change);
  INSERT INTO clicks SELECT * FROM forged;
  RAISE NOTICE '%: stored', what;
  DROP TABLE forged;
EXCEPTION WHEN OTHERS THEN
  RAISE NOTICE '%: % %', what, SQLSTATE, SQLERRM;
END $$;
CALL forge('as it was', 'url = url');
CALL forge('not personal', 'url = ''changed''');
CALL forge('version', 'strm_contract_version = ''1.0.1''');
CALL forge('no version', 'strm_contract_version = NULL');
CALL forge('nonce', 'strm_nonce = strm_nonce # 1');
CALL forge('timestamp', 'strm_timestamp = strm_timestamp + interval ''1 ms''');
CALL forge('consent', 'strm_consent_levels = ''{1,2,3}''');
CALL forge('other consent', 'strm_consent_levels = ''{1,3}''');
CALL forge('no consent', 'strm_consent_levels = NULL');
CALL forge('consent in two dimensions', 'strm_consent_levels = ''{{1,2}}''');
CALL forge('key link of another row', 'strm_key_link = (SELECT strm_key_link FROM kept WHERE url = ''select'' LIMIT 1)');
CALL forge('key link of nobody', 'strm_key_link = ''00000000-0000-7000-8000-000000000001''');
CALL forge('no key link', 'strm_key_link = NULL');
CALL forge('key link of another stream', 'strm_key_link = (SELECT strm_key_link FROM kept_every LIMIT 1)');
CALL forge('seal', 'strm_seal = set_byte(strm_seal, 3, get_byte(strm_seal, 3) # 1)');
CALL forge('short seal', 'strm_seal = substr(strm_seal, 1, 15)');
CALL forge('empty seal', 'strm_seal = ''''');
CALL forge('seal of another row', 'strm_seal = (SELECT strm_seal FROM kept WHERE url = ''returning'')');
CALL forge('swapped columns', 'session = customer, customer = session');
CALL forge('value of another row', 'age = (SELECT age FROM kept WHERE url = ''do'')');
CALL forge('missing value', 'age = NULL');
CALL forge('plaintext', 'age = ''planted''');

-- plaintext is not stored where the triggers do not fire
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO clicks (strm_contract_version, strm_nonce, strm_key_link, strm_seal, session, url) VALUES ('1.0.0', 1, gen_random_uuid(), '', 'planted', 'x');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO every (strm_contract_version, strm_nonce, strm_key_link, strm_seal, id, ss) VALUES ('1.0.0', 1, gen_random_uuid(), '', 'x', '{planted}');
UPDATE clicks SET session = 'planted';
COPY clicks (strm_contract_version, strm_nonce, strm_key_link, strm_seal, session, url) FROM STDIN;
1.0.0	1	00000000-0000-0000-0000-000000000001	\\x	planted	x
\.
RESET session_replication_role;
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TABLE clicks DISABLE TRIGGER ALL;
INSERT INTO clicks (strm_contract_version, strm_nonce, strm_key_link, strm_seal, session, url) VALUES ('1.0.0', 1, gen_random_uuid(), '', 'planted', 'x');
ROLLBACK;
SELECT strm.check_ciphertext('planted'::text);
SELECT strm.check_ciphertext(1);
SELECT strm.check_ciphertext(NULL::text, '{}'::text[], '{NULL}'::text[]);
SELECT strm.check_ciphertext('AQAAAAAAAAAAAAAAAAAAAAAAAAAA'::text);
SELECT strm.check_ciphertext(ARRAY['AQAAAAEAAAAAAAAAAAAAAAAAAAAA', 'planted']);
-- the trigger functions are of no use to other tables
CREATE TABLE other (LIKE clicks INCLUDING ALL);
CREATE TRIGGER strm_encrypt BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION strm.encrypt_row('00000000-0000-0000-0000-000000000001');
INSERT INTO other (session, url) VALUES ('planted', 'x');
DO $$ BEGIN EXECUTE (SELECT format('CREATE OR REPLACE TRIGGER strm_encrypt BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION strm.encrypt_row(%L)', id) FROM strm.streams WHERE stream = 'clicks'::regclass); END $$;
INSERT INTO other (session, url) VALUES ('planted', 'x');
CREATE OR REPLACE TRIGGER strm_encrypt BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION strm.encrypt_row();
INSERT INTO other (session, url) VALUES ('planted', 'x');
CREATE OR REPLACE TRIGGER strm_encrypt BEFORE INSERT ON other FOR EACH STATEMENT EXECUTE FUNCTION strm.encrypt_row('00000000-0000-0000-0000-000000000001');
INSERT INTO other (session, url) VALUES ('planted', 'x');
SELECT strm.encrypt_row();
SELECT strm.refuse_update();
DROP TABLE other;
SET ROLE regress_strm_owner;

-- a rolled back row leaves its key behind or not, but every later row can be read
BEGIN;
SAVEPOINT a;
INSERT INTO clicks (strm_consent_levels, session, url) VALUES ('{1,2}', 'rolled back', 'rolled back 1');
ROLLBACK TO a;
INSERT INTO clicks (strm_consent_levels, session, url) VALUES ('{1,2}', 'rolled back', 'rolled back 2');
COMMIT;
INSERT INTO clicks (strm_consent_levels, session, url) VALUES ('{1,2}', 'rolled back', 'rolled back 3');
SELECT session, url FROM clicks_1_2 WHERE url ~ 'rolled' ORDER BY url;

-- key rotation: the window begins with the first use and lasts key_rotation; then there is a new key
INSERT INTO fast (strm_consent_levels, session, customer, url) VALUES ('{1,2}', 'one', 'c', 'in a window'), ('{1,2}', 'one', 'c', 'in the same window'), ('{1,2}', 'two', 'c', 'of another value');
SELECT count(DISTINCT strm_key_link) FILTER (WHERE url ~ 'window') AS one, count(DISTINCT strm_key_link) AS two FROM fast;
DO $$
BEGIN
  WHILE clock_timestamp() < (SELECT max(window_end) FROM strm.data_keys WHERE stream = 'fast'::regclass) LOOP
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
INSERT INTO fast (strm_consent_levels, session, customer, url) VALUES ('{1,2}', 'one', 'c', 'in a later window');
SELECT count(DISTINCT strm_key_link) FROM fast WHERE url ~ 'window';
SELECT count(DISTINCT session) AS ciphertexts FROM fast WHERE url ~ 'window';
SELECT count(*), count(DISTINCT session) FROM fast_1_2 WHERE url ~ 'window';
SELECT count(*), bool_and(window_end - window_start = '1 second') AS lasts_a_second FROM strm.data_keys WHERE stream = 'fast'::regclass;

-- data subjects
SELECT count(*) FROM strm.data_subject_key_links('c') WHERE stream = 'fast'::regclass;
SELECT subject, stream, window_end - window_start AS lasts, expires_at - window_start AS expires FROM strm.data_subject_key_links('c1', 'nobody');
SELECT subject, key_links FROM strm.data_subjects() WHERE subject IN ('c', 'c1', 'c2', '') ORDER BY subject;
SELECT strm.delete_data_subjects('nobody');
-- c has three keys of his own in fast; c1 and c2 each share one
INSERT INTO clicks (strm_consent_levels, session, customer, url) VALUES ('{1,2}', 's1', 'c99', 'shared'), ('{1,2}', 's2', 'c99', 'shared'), ('{1,2}', 's99', 'c99', 'own');
SELECT strm.delete_data_subjects('c');
SELECT count(*), count(session), count(customer) FROM fast_1_2;
SELECT count(*), bool_and(sealed(session)) AS ciphertext_stays FROM fast;
SELECT count(*) FROM strm.data_keys WHERE stream = 'fast'::regclass AND destroyed_at IS NOT NULL;
SELECT strm.delete_data_subjects('c99');
SELECT url, session, customer FROM clicks_1_2 WHERE url IN ('shared', 'own', 'single');
SELECT count(*) FROM strm.data_subject_key_links('c99', 'c');
SELECT count(*) FROM strm.data_subjects() WHERE subject IN ('c', 'c99');
-- under a destroyed key nothing new is encrypted; and its rows can be copied back
INSERT INTO clicks (strm_consent_levels, session, customer, url) VALUES ('{1,2}', 's99', 'c98', 'after') RETURNING url;
SELECT session, customer FROM clicks_1_2 WHERE url = 'after';
CREATE TABLE erased AS SELECT * FROM fast;
DELETE FROM fast;
INSERT INTO fast SELECT * FROM erased;
SELECT count(*), count(session) FROM fast_1_2;

-- an archived contract takes no new rows; its rows can be read, and restored
RESET ROLE;
SELECT strm.archive_data_contract('regress/click/1.0.0');
INSERT INTO clicks (session, url) VALUES ('planted', 'x');
\echo :LAST_ERROR_SQLSTATE
SELECT DISTINCT session FROM clicks_1_2 WHERE url = 'single';
BEGIN;
DELETE FROM clicks;
INSERT INTO clicks SELECT * FROM kept;
SELECT count(*) AS gone FROM (TABLE kept EXCEPT ALL TABLE clicks) AS rows;
ROLLBACK;
SELECT strm.activate_data_contract('regress/click/1.0.0');
INSERT INTO clicks (session, url) VALUES ('s1', 'active again') RETURNING url;

-- a policy in use is not dropped
SELECT strm.archive_policy('regress month');
SELECT strm.drop_policy('regress month');
SELECT strm.drop_policy('regress draft');

-- dropping streams
SET ROLE regress_strm_writer;
SELECT strm.drop_stream('clicks');
DROP TABLE clicks;
RESET ROLE;
SET ROLE regress_strm_nowhere;
SELECT strm.drop_stream(id::regclass) FROM (SELECT stream AS id FROM strm.streams WHERE policy = 'regress month' AND key_rotation = '1 second') AS s;
RESET ROLE;
SET ROLE regress_strm_owner;
SELECT strm.drop_stream('kept');
SELECT strm.drop_stream(0);
SELECT strm.drop_stream('clicks');
DROP TABLE clicks;
SELECT count(*) AS keys FROM strm.data_keys WHERE stream = 'by_id'::regclass;
SELECT stream_id AS by_id FROM (SELECT id AS stream_id FROM strm.streams WHERE stream = 'by_id'::regclass) AS s \gset
INSERT INTO by_id (session, url) VALUES ('s', 'u');
SELECT strm.drop_stream('by_id');
SELECT count(*) AS keys_are_kept FROM strm.data_keys WHERE stream_id = :'by_id' AND stream IS NULL;
SELECT to_regclass('by_id') AS is_gone;
SET client_min_messages = warning;
DROP TABLE clicks CASCADE;
SELECT count(*) FROM strm.derived_streams WHERE source::text ~ 'clicks';
RESET ROLE;
CREATE ROLE regress_strm_admin IN ROLE strm_admin;
SET ROLE regress_strm_admin;
SELECT strm.drop_stream(stream) FROM strm.streams WHERE policy = '7 years' AND key_rotation = '1 month';
RESET ROLE;
SELECT count(*) FROM strm.streams WHERE stream::text = '"default policy"';

RESET search_path;
DROP OWNED BY regress_strm_owner, regress_strm_writer CASCADE;
DROP SCHEMA IF EXISTS streams CASCADE;
SELECT strm.drop_policy('regress month');
DROP ROLE regress_strm_owner, regress_strm_writer, regress_strm_nowhere, regress_strm_admin;
SELECT count(*) FROM strm.streams WHERE contract ~ '^regress/(click|every)';
