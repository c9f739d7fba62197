-- Derived streams, as in a user's first minutes. Who sees what, and who does not, is in test/pgtap.
CREATE ROLE regress_strm_dpo IN ROLE strm_approver, strm_member;
CREATE ROLE regress_strm_analyst;
CREATE SCHEMA regress_derived AUTHORIZATION regress_strm_dpo;
GRANT USAGE ON SCHEMA regress_derived TO regress_strm_analyst;
SET search_path = regress_derived;
SELECT strm.create_data_contract('regress/derived/1.0.0',
  schema => $$ {"name": "Click", "nodes": [
     {"type": "STRING",  "name": "session_id",  "required": true, "doc": "the visit"},
     {"type": "STRING",  "name": "customer_id"},
     {"type": "STRING",  "name": "email"},
     {"type": "STRING",  "name": "url", "required": true},
     {"type": "INTEGER", "name": "conversion"}]} $$,
  contract => $$ {"keyField": "session_id", "dataSubjectField": "customer_id",
     "fieldMetadata": [
       {"fieldName": "session_id",  "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "customer_id", "personalDataConfig": {"isPii": true, "purposeLevel": 2}},
       {"fieldName": "email",       "personalDataConfig": {"isPii": true, "purposeLevel": 3}}]} $$) > 0 AS created;
SELECT strm.activate_data_contract('regress/derived/1.0.0');

SET ROLE regress_strm_dpo;
SELECT strm.create_stream('clicks', contract => 'regress/derived/1.0.0');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}', name => 'clicks_masked', masked_fields => '{customer_id}', mask_seed => 'a secret');
SELECT strm.create_derived_stream('clicks', purposes => '{2}', masked_fields => '{customer_id,url}', mask_seed => 'a secret', hash_type => 'murmur3',
  consent_level_type => 'CUMULATIVE');
INSERT INTO clicks (strm_consent_levels, session_id, customer_id, email, url, conversion)
VALUES ('{1,2}', 's-1', 'c-42', 'a@b.example', 'https://shop.example/', 0),
       ('{1}', 's-2', 'c-43', 'c@d.example', 'https://shop.example/', 1),
       (NULL, 's-3', 'c-44', 'e@f.example', 'https://shop.example/', 0),
       ('{2}', 's-4', 'c-42', NULL, 'https://shop.example/about', NULL);

SELECT session_id, customer_id, email ~ '^[A-Za-z0-9+/]{28,}=*$' AS email_is_ciphertext, url, conversion FROM clicks_1_2;
SELECT session_id, customer_id, url FROM clicks_masked;
SELECT session_id, customer_id, url FROM clicks_m_2 ORDER BY session_id;
SELECT derived_stream, source, purposes, consent_level_type, masked_fields, hash_type FROM strm.derived_streams
 WHERE source = 'clicks'::regclass ORDER BY derived_stream::text;
SELECT col_description('clicks_1_2'::regclass, 6);

-- the view
\pset format unaligned
SELECT regexp_replace(pg_get_viewdef('clicks_m_2'), '[0-9a-f]{8}-[0-9a-f-]{27}|\m[st]\.', '', 'g');
\pset format aligned
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'clicks_1_2'::regclass;

-- readers
GRANT SELECT ON clicks_1_2 TO regress_strm_analyst;
SET ROLE regress_strm_analyst;
SELECT session_id, customer_id FROM clicks_1_2;
SELECT session_id FROM clicks_masked;
SELECT session_id FROM clicks;
INSERT INTO clicks_1_2 (session_id, url) VALUES ('s-5', 'u');
SET ROLE regress_strm_dpo;
INSERT INTO clicks_1_2 (session_id, url) VALUES ('s-5', 'u');
DELETE FROM clicks_1_2;

-- all faults at once
SELECT strm.create_derived_stream('clicks', purposes => '{1,1}', name => 'clicks_1_2', consent_level_type => 'granular', masked_fields => '{emial}');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_derived_stream('nothing', purposes => NULL, mask_seed => '');
-- a source is written as in SQL
SELECT strm.create_stream('More clicks', contract => 'regress/derived/1.0.0');
SELECT strm.create_derived_stream('More clicks', purposes => '{1}');
SELECT strm.create_derived_stream('"More clicks"', purposes => '{1}');
DROP VIEW "More clicks_1";
DROP TABLE "More clicks";

-- dropping
SELECT strm.drop_derived_stream('clicks_masked');
SELECT strm.drop_derived_stream('clicks_masked');
SELECT strm.drop_derived_stream('clicks');
RESET ROLE;
SELECT strm.drop_derived_stream('clicks_1_2'), strm.drop_derived_stream('clicks_m_2');
SELECT count(*) FROM strm.derived_streams WHERE source = 'clicks'::regclass;
DROP TABLE clicks;
RESET search_path;
DROP SCHEMA regress_derived CASCADE;
DROP ROLE regress_strm_dpo, regress_strm_analyst;
