-- Data contracts: every fault of the documents, in one error; and what is accepted.
\set contract '{"keyField": "id"}'

-- references
SELECT strm.create_data_contract(ref, '{"nodes": [{"type": "STRING", "name": "id"}]}', :'contract') FROM (VALUES ('a/b')) AS v (ref);
SELECT strm.create_data_contract('a/b/1.0', '{}', '{}');
SELECT strm.create_data_contract('/b/1.0.0', '{}', '{}');
SELECT strm.create_data_contract('a/b/1.0.2147483648', '{}', '{}');
SELECT strm.create_data_contract('a/b/c/1.0.0', '{}', '{}');
SELECT strm.create_data_contract(NULL, '{}', '{}');
SELECT strm.create_data_contract('a/b/1.0.0', NULL::text, '{}');

-- text that is not JSON, and JSON that is no schema
SELECT strm.create_data_contract('a/b/1.0.0', E'name: Click\nnodes:\n- name: id', 'keyField: id');
SELECT strm.create_data_contract('a/b/1.0.0', '{"type": "record", "name": "x", "fields": []}', :'contract');
SELECT strm.create_data_contract('a/b/1.0.0', '[]', '"x"');
SELECT strm.create_data_contract('a/b/1.0.0', '{"nodes": []}', :'contract');
SELECT strm.create_data_contract('a/b/1.0.0', '{"nodes": {}}', :'contract');

-- all faults of a schema
SELECT strm.create_data_contract('a/b/1.0.0', $${"name": "x", "namespace": "y", "nodes": [
  {"type": "STRING", "name": "id"},
  {"type": "STRING", "name": "id"},
  {"type": "STRING", "name": "customerId"},
  {"type": "STRING", "name": "customer_id"},
  {"type": "TEXT", "name": "a"},
  {"type": "string", "name": "b"},
  {"type": "NODE", "name": "c", "nodes": [{"type": "STRING", "name": "d"}]},
  {"type": "STRING", "name": "e", "nodes": [{"type": "STRING", "name": "f"}]},
  {"type": "STRING", "name": "strmMeta"},
  {"type": "STRING", "name": "xmin"},
  {"type": "STRING", "name": "g", "required": "yes", "default": 1},
  {"type": "STRING"},
  {"name": "h"},
  {"type": "STRING", "name": "--"},
  {"type": "STRING", "name": "9lives"},
  {"type": "STRING", "name": "i", "avroName": "not avro"},
  {"type": "STRING", "name": "j", "avroName": "k", "avro_name": "l"},
  {"type": "STRING", "name": "a23456789012345678901234567890123456789012345678901234567890123x"},
  {"type": "STRING", "name": 5},
  "node"]}$$, :'contract');

-- all faults of a contract
SELECT strm.create_data_contract('a/b/1.0.0', $${"name": "x", "nodes": [
  {"type": "STRING", "name": "id"}, {"type": "STRING", "name": "mail"}, {"type": "STRING", "name": "tags", "repeated": true},
  {"type": "INTEGER", "name": "n"}, {"type": "STRING", "name": "only_old"}]}$$,
  $${"keyField": "tags", "dataSubjectField": "nobody", "purposes": [],
  "fieldMetadata": [
    {"fieldName": "id", "personalDataConfig": {"isPii": true, "purposeLevel": 77}},
    {"fieldName": "id", "personalDataConfig": {"isPii": true, "purposeLevel": 77}},
    {"fieldName": "missing", "personalDataConfig": {"isPii": true}},
    {"fieldName": "customer/id", "personalDataConfig": {"isPii": true}},
    {"fieldName": "mail", "personalDataConfig": {"purposeLevel": 2}},
    {"fieldName": "tags", "personalDataConfig": {"isPii": 1, "purposeLevel": -3, "level": 1}},
    {"personalDataConfig": {}},
    {"fieldName": "n", "personalDataConfig": {"isPii": true, "purposeLevel": 1.5}}],
  "piiFields": {"only_old": 1, "id": 1},
  "validations": [
    {"field": "mail", "type": "regex", "value": "(unbalanced"},
    {"field": "mail", "type": "regex", "value": "[a-z&&[^b]]"},
    {"field": "mail", "type": "range", "value": "1"},
    {"field": "missing", "type": "regex", "value": "x"},
    {"field": "mail", "value": "x"}]}$$);
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_data_contract('a/b/1.0.0', '{"nodes": [{"type": "STRING", "name": "id"}]}', '{"fieldMetadata": {}, "validations": 1, "key_field": ""}');

-- too many personal fields
SELECT strm.create_data_contract('a/b/1.0.0',
  jsonb_build_object('nodes', jsonb_agg(jsonb_build_object('type', 'STRING', 'name', 'f' || i)))::text,
  jsonb_build_object('keyField', 'f1', 'piiFields', jsonb_object_agg('f' || i, 1))::text)
FROM generate_series(1, 81) AS i;

-- accepted: snake_case, names reduced to Avro form, the printed form, one NOTICE for what has no effect
BEGIN;
SELECT strm.create_data_contract('regress/printed/1.0.0',
  $${"name": "Printed", "avro_name": "printed", "nodes": [
    {"type": "STRING", "name": "user id", "nodes": []}, {"type": "STRING", "name": "e-mail", "avro_name": "eMail"},
    {"type": "BOOLEAN", "name": "URLPath2Go", "doc": null}]}$$,
  $${"id": "8f1c", "ref": {"handle": "x"}, "schema_ref": {}, "state": "DRAFT", "isPublic": false, "project_id": "p",
    "metadata": {"title": "t"}, "schema": {"simpleSchema": {}}, "key_field": "userid", "dataSubjectField": "",
    "field_metadata": [{"field_name": "eMail", "personal_data_config": {"is_pii": true, "purpose_level": 2, "is_quasi_id": true},
      "statisticalDataType": "NUMERICAL", "ordinal_values": [], "nullHandlingConfig": {}}],
    "pii_fields": {"eMail": 1}, "validations": [{"field": "eMail", "type": "regex", "value": "[]&]&&[\\]&]"}]}$$) > 0 AS created;
-- and of the same column names, whatever their spelling
SELECT strm.create_data_contract('regress/names/1.0.0', $${"nodes": [{"type": "STRING", "name": "URLPath2Go"}, {"type": "STRING", "name": "url_path2_go"},
  {"type": "STRING", "name": "InvoiceNo"}, {"type": "STRING", "name": "invoice_no"}, {"type": "STRING", "name": "HTTP"}, {"type": "STRING", "name": "http"}]}$$, '{"keyField": "HTTP"}');
ROLLBACK;
