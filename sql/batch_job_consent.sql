-- The consent levels of a batch job's records: from a mapping, from the text itself, by default.
SET client_min_messages = warning;
SELECT strm.create_data_contract('regress_batch/consent/1.0.0',
  schema => $$ {"name": "C", "nodes": [{"type": "STRING", "name": "id"}, {"type": "STRING", "name": "consent"}]} $$,
  contract => $$ {"keyField": "id", "piiFields": {"id": 1}} $$) > 0 AS created;
SELECT strm.activate_data_contract('regress_batch/consent/1.0.0');

CREATE TABLE consent_source (id serial, consent text, at timestamptz DEFAULT '2024-05-01 12:00Z');
CREATE TABLE consent_target (id text, consent text, "strmMeta.eventContractRef" text, "strmMeta.nonce" text, "strmMeta.timestamp" text,
  "strmMeta.keyLink" text, "strmMeta.billingId" text, "strmMeta.consentLevels" text, n serial);
CREATE VIEW consent_found AS SELECT left(quote_nullable(consent), 40) AS text, left("strmMeta.consentLevels", 40) AS levels FROM consent_target ORDER BY n;

-- The text itself.
INSERT INTO consent_source (consent) VALUES (NULL), (''), ('1'), ('01'), ('0'), (' 1'), ('1 '), ('-1'), ('+1'), ('1.0'), ('2147483647'), ('2147483648'),
  ('[]'), ('[ ]'), ('[1,2]'), ('[3, 1 ,1 ]'), ('[1,]'), ('[,1]'), ('[1 2]'), ('['), ('[1'), ('1]'), ('1,2'), ('[[1]]'), ('{1,2}'), ('["1"]'), ('[1,-2]'),
  ('[null]'), (E'[1,\t2]'), ('true'), ('[' || repeat('1,', 4000) || '2]'), ('[' || repeat('1,', 5000) || '2]');
CALL strm.run_batch_job('{"source_data": {"query": "SELECT id::text, consent, at FROM consent_source s ORDER BY s.id"}, "data_contract_ref": "regress_batch/consent/1.0.0",
  "encryption": {"timestamp_config": {"field": "at"}}, "consent": {"default_consent_levels": [9, 7, 7], "consent_level_extractor": {"field": "consent"}},
  "encrypted_data": {"target": {"table": "consent_target", "overwrite": true}}}');
SELECT * FROM consent_found;
-- An array is read as one.
CREATE TABLE consent_arrays (id serial, consent int[], at timestamptz DEFAULT '2024-05-01 12:00Z');
INSERT INTO consent_arrays (consent) VALUES ('{2,1}'), ('{}'), (NULL);
CALL strm.run_batch_job('{"source_data": {"query": "SELECT id::text, consent, at FROM consent_arrays s ORDER BY s.id"}, "data_contract_ref": "regress_batch/consent/1.0.0",
  "encryption": {"timestamp_config": {"field": "at"}}, "consent": {"default_consent_levels": [7], "consent_level_extractor": {"field": "consent"}},
  "encrypted_data": {"target": {"table": "consent_target", "overwrite": true}}}');
SELECT * FROM consent_found;

-- A mapping: the text as it is, and not as a number or an expression.
TRUNCATE consent_source;
INSERT INTO consent_source (consent) VALUES (NULL), (''), ('marketing'), ('Marketing'), ('marketing '), ('a.*'), ('abc'), ('none'), ('silent'), ('é'), ('e'), ('1'), ('[1]');
CALL strm.run_batch_job('{"source_data": {"query": "SELECT id::text, consent, at FROM consent_source s ORDER BY s.id"}, "data_contract_ref": "regress_batch/consent/1.0.0",
  "encryption": {"timestamp_config": {"field": "at"}}, "consent": {"default_consent_levels": [7], "consent_level_extractor": {"field": "consent", "field_patterns": {
    "marketing": {"consent_levels": [3, 1]}, "a.*": {"consent_levels": [2]}, "none": {}, "silent": {"consent_levels": []}, "é": {"consent_levels": [5]}}}},
  "encrypted_data": {"target": {"table": "consent_target", "overwrite": true}}}');
SELECT * FROM consent_found;

-- Expressions: several that match give what all of them give.
TRUNCATE consent_source;
INSERT INTO consent_source (consent) VALUES (NULL), (''), ('for marketing'), ('no marketing'), ('marketing 123'), ('MARKETING'), ('az'), ('zaz'), ('123'), ('éé'),
  (repeat('x', 200) || '123'), (repeat('x', 9000) || '123'), ('no marketing');
CALL strm.run_batch_job('{"source_data": {"query": "SELECT id::text, consent, at FROM consent_source s ORDER BY s.id"}, "data_contract_ref": "regress_batch/consent/1.0.0",
  "encryption": {"timestamp_config": {"field": "at"}}, "consent": {"default_consent_levels": [7], "consent_level_extractor": {"field": "consent", "match": "regex", "field_patterns": {
    "marketing": {"consent_levels": [3, 1]}, "^no ": {}, "^a.*z$": {"consent_levels": [2]}, "[[:digit:]]{3}": {"consent_levels": [1, 2, 3]}, "^é+$": {"consent_levels": [5]}}}},
  "encrypted_data": {"target": {"table": "consent_target", "overwrite": true}}}');
SELECT * FROM consent_found;

-- No extractor, no defaults: nobody consented. The field need not be the contract's.
TRUNCATE consent_source;
INSERT INTO consent_source (consent) VALUES ('1');
CALL strm.run_batch_job('{"source_data": {"query": "SELECT id::text, consent, at FROM consent_source s ORDER BY s.id"}, "data_contract_ref": "regress_batch/consent/1.0.0",
  "encryption": {"timestamp_config": {"field": "at"}}, "encrypted_data": {"target": {"table": "consent_target", "overwrite": true}}}');
SELECT * FROM consent_found;
CALL strm.run_batch_job('{"source_data": {"query": "SELECT id::text, at, ''[2]'' AS other FROM consent_source"}, "data_contract_ref": "regress_batch/consent/1.0.0",
  "encryption": {"timestamp_config": {"field": "at"}}, "consent": {"consent_level_extractor": {"field": "other"}},
  "encrypted_data": {"target": {"table": "consent_target", "overwrite": true}}}');
SELECT * FROM consent_found;

DROP VIEW consent_found;
DROP TABLE consent_source, consent_arrays, consent_target;
RESET client_min_messages;
