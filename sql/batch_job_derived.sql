-- Derived outputs of batch jobs: who is in them, what is decrypted, and masks.
SET client_min_messages = warning;
SELECT strm.create_data_contract('regress_batch/derived/1.0.0',
  schema => $$ {"name": "D", "nodes": [{"type": "STRING", "name": "id"}, {"type": "STRING", "name": "unique"}, {"type": "STRING", "name": "session"},
    {"type": "STRING", "name": "sensitive"}, {"type": "STRING", "name": "plain"}]} $$,
  contract => $$ {"keyField": "session", "piiFields": {"unique": 1, "session": 2, "sensitive": 3}} $$) > 0 AS created;
SELECT strm.activate_data_contract('regress_batch/derived/1.0.0');
CREATE TABLE derived_source (id, "unique", session, sensitive, plain, consent, at) AS VALUES
  ('1', 'unique-5', 'session-273', 'sensitive-0', 'not-sensitive-6', '[]', '2024-05-01T12:00:00Z'),
  ('2', 'unique-5', 'session-273', 'sensitive-0', 'not-sensitive-6', '[1,2]', '2024-05-01T12:00:00Z'),
  ('3', 'unique-5', 'session-273', 'sensitive-0', 'not-sensitive-6', '[3]', '2024-05-01T12:00:00Z'),
  ('4', 'unique-5', 'session-273', 'sensitive-0', 'not-sensitive-6', '[1,2,3]', '2024-05-01T12:00:00Z');
CREATE FUNCTION derived_target(name text, rest jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('target', jsonb_build_object('table', name)) || rest $$;
CREATE FUNCTION derived_masks(rest jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('consent_levels', '[1, 2, 3]'::jsonb, 'masked_fields', rest ||
    '{"field_patterns": {"regress_batch/derived/1.0.0": {"field_patterns": ["unique", "session", "sensitive", "plain"]}}}') $$;
SELECT jsonb_build_object('source_data', '{"table": "derived_source"}'::jsonb, 'data_contract_ref', 'regress_batch/derived/1.0.0',
    'encryption', '{"timestamp_config": {"field": "at"}}'::jsonb, 'consent', '{"consent_level_extractor": {"field": "consent"}}'::jsonb,
    'derived_data', jsonb_build_array(
      derived_target('derived_granular', '{"consent_levels": [2, 1]}'),
      derived_target('derived_cumulative', '{"consent_levels": [2], "consent_level_type": "CUMULATIVE"}'),
      derived_target('derived_strm', derived_masks('{"seed": "hi-there"}')),
      derived_target('derived_murmur3', derived_masks('{"seed": "hi-there", "hash_type": "murmur3"}')),
      derived_target('derived_blake2b', derived_masks('{"seed": "hi-there", "hash_type": "BLAKE2B"}')),
      derived_target('derived_random', derived_masks('{}')),
      derived_target('derived_random_too', derived_masks('{}')),
      derived_target('derived_random_murmur3', derived_masks('{"hash_type": "MURMUR3"}')))) AS job \gset
CALL strm.run_batch_job(:'job');

-- One knows a ciphertext by its first byte.
SELECT id, "unique", session, sensitive ~ '^A[A-Za-z0-9+/]{30,}=*$' AS sensitive_is_ciphertext, plain, "strmMeta.consentLevels" FROM derived_granular ORDER BY id;
SELECT id, "unique", session, sensitive ~ '^A[A-Za-z0-9+/]{30,}=*$' AS sensitive_is_ciphertext, plain, "strmMeta.consentLevels" FROM derived_cumulative ORDER BY id;
-- With a seed the masks are STRM's unless another hash is named; without one they are BLAKE2b's, and never the same.
SELECT id, "unique", session, sensitive, plain FROM derived_strm;
SELECT (SELECT d FROM derived_strm d) = (SELECT d FROM derived_murmur3 d)::text::derived_strm AS same;
SELECT id, "unique", session, sensitive, plain FROM derived_blake2b;
SELECT "unique" ~ '^[0-9a-f]{32}$' AS is_mask, "unique" <> (SELECT "unique" FROM derived_blake2b) AND "unique" <> (SELECT "unique" FROM derived_random_too) AS is_other
  FROM derived_random;
SELECT "unique" ~ '^[0-9a-f]{20,32}$' AS is_mask, "unique" NOT IN (SELECT "unique" FROM derived_strm UNION ALL SELECT "unique" FROM derived_random) AS is_other
  FROM derived_random_murmur3;

DROP TABLE derived_source, derived_granular, derived_cumulative, derived_strm, derived_murmur3, derived_blake2b, derived_random, derived_random_too, derived_random_murmur3;
DROP FUNCTION derived_target, derived_masks;
RESET client_min_messages;
