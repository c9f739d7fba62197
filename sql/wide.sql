-- A contract of as many personal fields as there may be, among 200: personal values stay in line, so that revealing one field of a
-- row does not fetch all of them from elsewhere.
SET client_min_messages = warning;
CREATE SCHEMA regress_wide;
SET search_path = regress_wide;
CREATE FUNCTION contract(personal int) RETURNS text LANGUAGE sql RETURN
  jsonb_build_object('keyField', 'f1', 'piiFields', (SELECT jsonb_object_agg('f' || n, 1) FROM generate_series(1, personal) AS n))::text;
CREATE FUNCTION schema() RETURNS text LANGUAGE sql RETURN
  jsonb_build_object('nodes', (SELECT jsonb_agg(jsonb_build_object('type', 'STRING', 'name', 'f' || n) ORDER BY n) FROM generate_series(1, 200) AS n))::text;
SELECT strm.create_purpose(1, 'Analytics') WHERE NOT EXISTS (SELECT FROM strm.purposes WHERE level = 1);
SELECT strm.create_data_contract('regress/wide/1.0.0', schema(), contract(81));
SELECT strm.create_data_contract('regress/wide/1.0.0', schema(), contract(80)) > 0 AS created;
SELECT strm.activate_data_contract('regress/wide/1.0.0');
SELECT strm.create_stream('wide', contract => 'regress/wide/1.0.0');
SELECT strm.create_derived_stream('wide', purposes => '{1}');
\set ECHO errors
SELECT format('INSERT INTO wide (strm_consent_levels, %s) SELECT ''{1}'', %s FROM generate_series(1, 20) AS row',
  (SELECT string_agg('f' || n, ', ' ORDER BY n) FROM generate_series(1, 200) AS n),
  (SELECT string_agg(format('%s || '' of '' || row', n), ', ' ORDER BY n) FROM generate_series(1, 200) AS n)) \gexec
\set ECHO all
SELECT attstorage, count(*) FROM pg_attribute WHERE attrelid = 'wide'::regclass AND attname ~ '^f' GROUP BY 1 ORDER BY 1;
SELECT pg_relation_size(reltoastrelid) AS out_of_line FROM pg_class WHERE oid = 'wide'::regclass;
SELECT count(*) AS values, count(*) FILTER (WHERE value = substr(key, 2) || ' of ' || substr(f1, 6)) AS as_inserted
  FROM wide_1 AS w, jsonb_each_text(to_jsonb(w)) WHERE key ~ '^f';
RESET search_path;
DROP SCHEMA regress_wide CASCADE;
