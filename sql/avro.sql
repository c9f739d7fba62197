-- The Avro schema of a stream's and a derived stream's events: names, types, nulls, documentation, and what has no Avro form.
CREATE ROLE regress_strm_avro IN ROLE strm_member, strm_approver;
CREATE SCHEMA avro AUTHORIZATION regress_strm_avro;
SET ROLE regress_strm_avro;
SET search_path = avro;
SELECT strm.create_data_contract('regress-avro/every-type 2/1.20.3',
  '{"name": "Every Type!", "nodes": [{"type": "STRING", "name": "id", "required": true, "doc": "says \"é\" \\ \n"},
     {"type": "STRING", "name": "s"}, {"type": "BOOLEAN", "name": "b"}, {"type": "INTEGER", "name": "i"}, {"type": "LONG", "name": "l"}, {"type": "FLOAT", "name": "f"},
     {"type": "LONG", "name": "ll", "repeated": true}, {"type": "FLOAT", "name": "ff", "repeated": true},
     {"type": "BOOLEAN", "name": "plainB"}, {"type": "FLOAT", "name": "plainF"}, {"type": "INTEGER", "name": "plainIi", "repeated": true}]}',
  '{"keyField": "id", "piiFields": {"s": 1, "b": 1, "i": 1, "l": 1, "f": 2, "ll": 1, "ff": 2}}') > 0 AS created;
RESET ROLE;
SELECT strm.activate_data_contract('regress-avro/every-type 2/1.20.3');
SET ROLE regress_strm_avro;
SELECT strm.create_stream('every', contract => 'regress-avro/every-type 2/1.20.3');
SELECT strm.create_derived_stream('every', ARRAY[1], name => 'every_1', masked_fields => ARRAY['s', 'll'], mask_seed => 'seed');
ALTER VIEW every_1 RENAME COLUMN plain_f TO renamed;

SELECT strm.avro_schema('every')::jsonb - 'fields' AS record;
SELECT field ->> 'name' AS "strmMeta", field -> 'type' AS type, field -> 'default' AS default, field -> 'doc' AS doc
  FROM jsonb_array_elements(strm.avro_schema('every')::jsonb #> '{fields,0,type,fields}') field;
SELECT field ->> 'name' AS field, field -> 'type' AS type, field -> 'default' AS default, field -> 'doc' AS doc
  FROM jsonb_array_elements(strm.avro_schema('every')::jsonb -> 'fields') WITH ORDINALITY AS fields (field, n) WHERE n > 1;
SELECT field ->> 'name' AS field, field -> 'type' AS type
  FROM jsonb_array_elements(strm.avro_schema('every_1')::jsonb -> 'fields') WITH ORDINALITY AS fields (field, n) WHERE n > 1;
SELECT strm.avro_schema('every') = strm.avro_schema('every') AS deterministic;

-- names: a schema's own may be given for Avro, or be no use; a contract's may begin with a digit
RESET ROLE;
CREATE FUNCTION record_of(ref text, schema text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM strm.create_data_contract(ref, schema, '{"keyField": "id"}'), strm.activate_data_contract(ref), strm.create_stream('named', contract => ref);
  RETURN concat_ws('.', strm.avro_schema('named')::json ->> 'namespace', strm.avro_schema('named')::json ->> 'name');
EXCEPTION WHEN invalid_parameter_value THEN
  DECLARE detail text; BEGIN GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL; RETURN SQLERRM || ': ' || detail; END;
END $$;
BEGIN;
SELECT record_of('regress/click/1.0.0', '{"name": "x", "avroName": "ClickEvent", "nodes": [{"type": "STRING", "name": "id"}]}');
ROLLBACK;
BEGIN;
SELECT record_of('9 regress.strm/2nd_click/0.0.1', '{"name": "!", "nodes": [{"type": "STRING", "name": "id"}]}');
ROLLBACK;
BEGIN;
SELECT record_of('ré!!gress/demo-data-contract/1.0.0', '{"nodes": [{"type": "STRING", "name": "id"}]}');
ROLLBACK;
-- no Avro form
SELECT record_of('regress/日本/1.0.0', '{"name": "Click", "nodes": [{"type": "STRING", "name": "id"}]}');
SELECT record_of('regress/strm-meta/1.0.0', '{"nodes": [{"type": "STRING", "name": "id"}]}');
SELECT strm.avro_schema('pg_class');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.avro_schema(NULL);
\echo :LAST_ERROR_SQLSTATE

DROP FUNCTION record_of;
SET client_min_messages = warning;
DROP VIEW every_1;
SELECT strm.drop_stream('every');
RESET search_path;
DROP SCHEMA avro CASCADE;
DROP ROLE regress_strm_avro;
