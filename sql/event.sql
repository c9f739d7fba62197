-- Events as JSON: strm.ingest() and strm.events(), and that one reads what the other writes.
SET client_min_messages = warning;
\pset format unaligned
CREATE ROLE regress_strm_producer;
CREATE ROLE regress_strm_consumer;
SELECT strm.create_data_contract('regress/event/1.0.0',
  schema => $$ {"name": "Event", "nodes": [
     {"type": "STRING",  "name": "sessionId", "required": true},
     {"type": "STRING",  "name": "customerId"},
     {"type": "BOOLEAN", "name": "member"},
     {"type": "INTEGER", "name": "age"},
     {"type": "LONG",    "name": "serialNumber"},
     {"type": "FLOAT",   "name": "score"},
     {"type": "STRING",  "name": "tags", "repeated": true},
     {"type": "LONG",    "name": "visits", "repeated": true},
     {"type": "STRING",  "name": "url", "required": true},
     {"type": "BOOLEAN", "name": "mobile"},
     {"type": "INTEGER", "name": "pages"},
     {"type": "LONG",    "name": "numberOfBytes"},
     {"type": "FLOAT",   "name": "ratio"},
     {"type": "STRING",  "name": "words", "repeated": true},
     {"type": "FLOAT",   "name": "ratios", "repeated": true},
     {"type": "BOOLEAN", "name": "flags", "repeated": true}]} $$,
  contract => $$ {"keyField": "sessionId", "dataSubjectField": "customerId", "fieldMetadata": [
     {"fieldName": "sessionId",    "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "customerId",   "personalDataConfig": {"isPii": true, "purposeLevel": 2}},
     {"fieldName": "member",       "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "age",          "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "serialNumber", "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "score",        "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "tags",         "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "visits",       "personalDataConfig": {"isPii": true, "purposeLevel": 3}}],
     "validations": [{"field": "url", "type": "regex", "value": "^https?://"}]} $$) > 0 AS created;
SELECT strm.activate_data_contract('regress/event/1.0.0');
SELECT strm.create_stream('events', contract => 'regress/event/1.0.0');
SELECT strm.create_derived_stream('events', purposes => '{1,2,3}');
SELECT strm.create_derived_stream('events', purposes => '{1}', name => 'events_masked',
                                  masked_fields => '{sessionId,tags,pages}', mask_seed => 'seed', hash_type => 'murmur3');
GRANT INSERT ON events TO regress_strm_producer;
GRANT SELECT ON events_1_2_3 TO regress_strm_consumer;

-- what differs from run to run is replaced; ciphertext is at least 28 characters of base64
CREATE FUNCTION regress_brief(event json) RETURNS text LANGUAGE sql AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(event::text,
    '"nonce": -?\d+', '"nonce": N'), '"timestamp": \d{13}', '"timestamp": T'), '"keyLink": "[0-9a-f-]{36}"', '"keyLink": "K"'),
    '"[A-Za-z0-9+/]{28,}=*"', '"ciphertext"', 'g') $$;
\set ref '"strmMeta": {"eventContractRef": "regress/event/1.0.0", "consentLevels": [3, 1, 2, 1]}'

SET ROLE regress_strm_producer;
SELECT strm.ingest('events', ('{' || :'ref' || $$, "sessionId": "s-1", "customerId": "c-\"1\"\\", "member": true, "age": -2147483648,
  "serialNumber": 9223372036854775807, "score": 0.1, "tags": ["a", "", null, "b,\"{c}\\"], "visits": [1, -9223372036854775808],
  "url": "https://shop.example/", "mobile": false, "pages": 2147483647, "numberOfBytes": -9223372036854775808, "ratio": 1e-7,
  "words": ["é", "\n\t\u0001"], "ratios": [0.30000000000000004, 1e300, "NaN"], "flags": [true, null]}$$)::jsonb);
-- numbers that are integers however they are written, floats that JSON has no number for, what producers send along, empty arrays
SELECT strm.ingest('events', $${"strmMeta": {"eventContractRef": "regress/event/1.0.0", "nonce": "x", "timestamp": null, "keyLink": 5,
  "billingId": "b", "consentLevels": [1, 2, 3]}, "sessionId": "s-2", "url": "http://a", "age": 5.0, "pages": 1e3, "score": "Infinity",
  "ratio": "-Infinity", "tags": [], "words": [], "customerId": ""}$$);
-- absent and null are NULL; no consent
SELECT strm.ingest('events', $${"strmMeta": {"eventContractRef": "regress/event/1.0.0"}, "sessionId": "s-3", "url": "http://a", "age": null}$$);
SELECT strm.ingest('events', $${"strmMeta": {"eventContractRef": "regress/event/1.0.0", "consentLevels": null}, "sessionId": "s-4", "url": "http://a"}$$);
RESET ROLE;

SELECT regress_brief(e) FROM strm.events('events') AS e ORDER BY e->'strmMeta'->>'consentLevels' COLLATE "C", e->>'url' COLLATE "C";
SELECT regress_brief(e) FROM strm.events('events_1_2_3') AS e ORDER BY e->>'sessionId';
SELECT e->>'sessionId' AS "sessionId", e->>'customerId' ~ '^A' AS "customerId", e->'age' AS age, e->'tags' AS tags, e->'pages' AS pages
  FROM strm.events('events_masked') AS e ORDER BY e->>'url' COLLATE "C";

-- there and back: events of a derived stream into another stream of the contract
SELECT strm.create_stream('events_again', contract => 'regress/event/1.0.0');
SELECT strm.create_derived_stream('events_again', purposes => '{1,2,3}');
SELECT count(strm.ingest('events_again', e::jsonb)) FROM strm.events('events_1_2_3') AS e;
SELECT count(*), count(*) FILTER (WHERE regress_brief(a) = regress_brief(b)) AS same
  FROM strm.events('events_1_2_3') AS a JOIN strm.events('events_again_1_2_3') AS b ON a->>'sessionId' = b->>'sessionId';

-- time order, since, max_rows
TRUNCATE events;
CREATE PROCEDURE regress_ingest(pages int) LANGUAGE sql AS $$
  SELECT strm.ingest('events', jsonb_build_object('sessionId', 's', 'url', 'http://a', 'pages', pages,
    'strmMeta', '{"eventContractRef": "regress/event/1.0.0", "consentLevels": [1, 2, 3]}'::jsonb)), pg_sleep(0.01) $$;
CALL regress_ingest(1);
CALL regress_ingest(2);
CALL regress_ingest(3);
SELECT strm_timestamp AS second FROM events WHERE pages = 2 \gset
SELECT e->'pages' AS pages FROM strm.events('events_1_2_3') AS e;
SELECT e->'pages' AS last FROM strm.events('events', max_rows => 2) AS e;
SELECT e->'pages' AS since FROM strm.events('events_1_2_3', :'second') AS e;
SELECT e->'pages' AS since FROM strm.events('events_1_2_3', since => :'second', max_rows => 1) AS e;
SELECT count(*) FROM strm.events('events', max_rows => NULL) AS e;
SELECT count(*) FROM strm.events('events', max_rows => 0) AS e;
SELECT count(*) FROM strm.events('events', 'infinity') AS e;
SELECT (strm.events('events', max_rows => 1))->'pages' AS in_target_list;
SELECT to_timestamp((e->'strmMeta'->>'timestamp')::numeric / 1000) = :'second' AS epoch_ms FROM strm.events('events', :'second', 1) AS e;
SELECT strm.events('events', max_rows => -1);
SELECT strm.events(NULL);
SELECT strm.events('pg_class');
\echo :LAST_ERROR_SQLSTATE
-- reading is a SELECT: also in a read-only transaction
BEGIN READ ONLY;
SELECT count(*) FROM strm.events('events_1_2_3');
ROLLBACK;

-- everything wrong at once, by name and never by value
SELECT strm.ingest('events', $${"strmMeta": {"eventContractRef": "regress/event/1.0.1", "consentLevels": [1, "2"], "purpose": 1},
  "session_id": "secret", "customerId": 31337, "member": "secret", "age": 31337.5, "serialNumber": 9223372036854775808, "score": "secret",
  "tags": "secret", "visits": [1, "secret"], "url": {"secret": 1}, "mobile": 1, "pages": 2147483648, "numberOfBytes": "31337",
  "ratio": 1e400, "words": [["secret"]], "ratios": {}, "flags": [1], "secret": null}$$);
\echo :LAST_ERROR_SQLSTATE
-- types alone
SELECT strm.ingest('events', ('{' || :'ref' || ', "sessionId": 31337, "url": "http://a"}')::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT strm.ingest('events', '[]');
SELECT strm.ingest('events', '"secret"');
SELECT strm.ingest('events', '{}');
SELECT strm.ingest('events', '{"strmMeta": ["regress/event/1.0.0"]}');
SELECT strm.ingest('events', '{"strmMeta": {"eventContractRef": "regress/other/1.0.0"}}');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.ingest('events', NULL);
SELECT strm.ingest(NULL, '{}');
SELECT strm.ingest('events_1_2_3', '{}');
\echo :LAST_ERROR_SQLSTATE
-- what the INSERT refuses
SELECT strm.ingest('events', ('{' || :'ref' || ', "customerId": "secret", "url": "http://a"}')::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT strm.ingest('events', ('{' || :'ref' || ', "sessionId": "secret", "url": "secret"}')::jsonb);
\echo :LAST_ERROR_SQLSTATE
SELECT strm.ingest('events', '{"strmMeta": {"eventContractRef": "regress/event/1.0.0", "consentLevels": [-1]}, "sessionId": "secret", "url": "http://a"}');
\echo :LAST_ERROR_SQLSTATE

-- privileges are the caller's
SET ROLE regress_strm_producer;
SELECT count(*) FROM strm.events('events');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_strm_consumer;
SELECT count(*) FROM strm.events('events_1_2_3');
SELECT count(*) FROM strm.events('events_masked');
SELECT strm.ingest('events', '{"strmMeta": {"eventContractRef": "regress/event/1.0.0"}, "sessionId": "s", "url": "http://a"}');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- the kept statement follows the table
ALTER TABLE events_again RENAME TO "Events again";
SELECT strm.ingest('"Events again"', '{"strmMeta": {"eventContractRef": "regress/event/1.0.0"}, "sessionId": "s", "url": "http://a"}');
SELECT count(*) FROM "Events again";

DROP VIEW events_1_2_3, events_masked, events_again_1_2_3;
DROP TABLE events, "Events again";
DROP PROCEDURE regress_ingest;
DROP FUNCTION regress_brief;
DROP ROLE regress_strm_producer, regress_strm_consumer;
