-- The stream that the Kafka benchmark publishes, a derived stream that decrypts two of its fields, and how rows get into it.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE EXTENSION strm_privacy;

SELECT strm.create_purpose(1, 'Analytics'), strm.create_purpose(2, 'Personalisation'), strm.create_purpose(3, 'Marketing');
SELECT strm.create_data_contract('bench/click/1.0.0',
  schema => $$ {"name": "Click", "nodes": [
     {"type": "STRING", "name": "session_id", "required": true}, {"type": "STRING", "name": "customer_id"},
     {"type": "STRING", "name": "email"}, {"type": "STRING", "name": "url", "required": true},
     {"type": "STRING", "name": "user_agent"}]} $$,
  contract => $$ {"keyField": "session_id", "fieldMetadata": [
     {"fieldName": "session_id", "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "customer_id", "personalDataConfig": {"isPii": true, "purposeLevel": 2}},
     {"fieldName": "email", "personalDataConfig": {"isPii": true, "purposeLevel": 3}}]} $$);
SELECT strm.activate_data_contract('bench/click/1.0.0');
SELECT strm.create_stream('clicks', 'bench/click/1.0.0', index_key_link => false);
SELECT strm.create_stream('others', 'bench/click/1.0.0', index_key_link => false);
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}', name => 'clicks_1_2');

-- Rows number first to last, of about 500 sessions at a time.
CREATE FUNCTION load_rows(first bigint, last bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO clicks (strm_consent_levels, session_id, customer_id, email, url, user_agent)
    SELECT '{1,2,3}', 'session-' || s, 'customer-' || s % 20000, 'name' || s % 20000 || '@shop.example',
           'https://shop.example/products/' || i % 5000,
           'Mozilla/5.0 (X11; Linux x86_64; rv:' || i % 100 || '.0) Gecko/20100101 Firefox/' || i % 100 || '.0'
      FROM (SELECT i, (i / 20 + (random() * 500)::int) % 50000 AS s FROM generate_series(first, last) i) x
$$;
-- The same in transactions of so many rows each. (Its caller turns synchronous_commit off: only the log counts that it leaves.)
CREATE PROCEDURE load_transactions(transactions bigint, size bigint) LANGUAGE plpgsql AS $$
BEGIN
  FOR n IN 0 .. transactions - 1 LOOP
    PERFORM load_rows(n * size, (n + 1) * size - 1);
    COMMIT;
  END LOOP;
END $$;
