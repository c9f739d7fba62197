-- What the clients work on: one stream per client with fields of every type, two derived streams of each, a producer who
-- may only INSERT, and a consumer who may only read the derived streams. Variables: producer, consumer.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION strm_privacy;
CREATE ROLE :"producer" NOLOGIN;
CREATE ROLE :"consumer" NOLOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;

SELECT strm.create_purpose(1, 'Analytics'), strm.create_purpose(2, 'Personalisation') \g /dev/null
SELECT strm.create_data_contract('clients/event/1.0.0',
  schema => $$ {"name": "Event", "nodes": [
     {"type": "STRING",  "name": "session", "required": true},
     {"type": "STRING",  "name": "customer"},
     {"type": "INTEGER", "name": "age"},
     {"type": "LONG",    "name": "serial"},
     {"type": "FLOAT",   "name": "score"},
     {"type": "BOOLEAN", "name": "member"},
     {"type": "STRING",  "name": "tags", "repeated": true},
     {"type": "STRING",  "name": "url", "required": true},
     {"type": "INTEGER", "name": "pages"},
     {"type": "LONG",    "name": "bytes"},
     {"type": "FLOAT",   "name": "ratio"},
     {"type": "BOOLEAN", "name": "mobile"}]} $$,
  contract => $$ {"keyField": "session", "dataSubjectField": "customer",
     "fieldMetadata": [
       {"fieldName": "session",  "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "customer", "personalDataConfig": {"isPii": true, "purposeLevel": 2}},
       {"fieldName": "age",      "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "serial",   "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "score",    "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "member",   "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "tags",     "personalDataConfig": {"isPii": true, "purposeLevel": 1}}],
     "validations": [{"field": "customer", "type": "regex", "value": "^c-"},
                     {"field": "url", "type": "regex", "value": "^https?://"}]} $$) \g /dev/null
SELECT strm.activate_data_contract('clients/event/1.0.0') \g /dev/null

SELECT strm.create_stream(client, contract => 'clients/event/1.0.0'),
       strm.create_derived_stream(client, purposes => '{1}'),
       strm.create_derived_stream(client, purposes => '{1,2}')
  FROM unnest(ARRAY['node', 'psycopg', 'jdbc']) AS client \g /dev/null
GRANT INSERT ON node, psycopg, jdbc TO :"producer";
GRANT SELECT ON node_1, node_1_2, psycopg_1, psycopg_1_2, jdbc_1, jdbc_1_2 TO :"consumer";
