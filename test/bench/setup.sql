-- Tables and streams that the benchmarks compare, and the input they all load.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE EXTENSION strm_privacy;
CREATE EXTENSION pgcrypto;

SELECT strm.create_purpose(1, 'Analytics'), strm.create_purpose(2, 'Personalisation'), strm.create_purpose(3, 'Marketing');
SET ROLE NONE;
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
SELECT strm.create_data_contract('bench/subject/1.0.0',
  schema => $$ {"name": "Click", "nodes": [
     {"type": "STRING", "name": "session_id", "required": true}, {"type": "STRING", "name": "customer_id"},
     {"type": "STRING", "name": "email"}, {"type": "STRING", "name": "url", "required": true},
     {"type": "STRING", "name": "user_agent"}]} $$,
  contract => $$ {"keyField": "session_id", "dataSubjectField": "customer_id", "fieldMetadata": [
     {"fieldName": "session_id", "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "customer_id", "personalDataConfig": {"isPii": true, "purposeLevel": 2}},
     {"fieldName": "email", "personalDataConfig": {"isPii": true, "purposeLevel": 3}}]} $$);
SELECT strm.activate_data_contract('bench/subject/1.0.0');

CREATE TABLE plain (session_id text NOT NULL, customer_id text, email text, url text NOT NULL, user_agent text);
CREATE TABLE plain_consent (strm_consent_levels int[], LIKE plain);
CREATE TABLE plain_indexed (LIKE plain);
CREATE INDEX ON plain_indexed (session_id);
SELECT strm.create_stream('clicks', 'bench/click/1.0.0', index_key_link => false);
SELECT strm.create_stream('clicks_indexed', 'bench/click/1.0.0');
SELECT strm.create_stream('clicks_subject', 'bench/subject/1.0.0', index_key_link => false);
SELECT strm.create_stream('queued', 'bench/click/1.0.0', ingest => 'queued');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2,3}', name => 'clicks_all');

-- For comparison: what people do with pgcrypto. One key for all, no authentication, no consent.
CREATE TABLE pgcrypto_text (session_id text NOT NULL, customer_id text, email text, url text NOT NULL, user_agent text);
CREATE FUNCTION pgcrypto_encrypt() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  key CONSTANT bytea := '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
BEGIN
  NEW.session_id := encode(encrypt_iv(convert_to(NEW.session_id, 'UTF8'), key, gen_random_bytes(16), 'aes-cbc'), 'base64');
  NEW.customer_id := encode(encrypt_iv(convert_to(NEW.customer_id, 'UTF8'), key, gen_random_bytes(16), 'aes-cbc'), 'base64');
  NEW.email := encode(encrypt_iv(convert_to(NEW.email, 'UTF8'), key, gen_random_bytes(16), 'aes-cbc'), 'base64');
  RETURN NEW;
END $$;
CREATE TRIGGER encrypt BEFORE INSERT ON pgcrypto_text FOR EACH ROW EXECUTE FUNCTION pgcrypto_encrypt();

-- The input: :rows rows of :sessions sessions, in the order in which they would come: about 500 sessions are active at a time. The same
-- in random order is the worst case for every cache.
CREATE UNLOGGED TABLE input AS
  SELECT 'session-' || s AS session_id, 'customer-' || s % 20000 AS customer_id, 'name' || s % 20000 || '@shop.example' AS email,
         'https://shop.example/products/' || i % 5000 AS url,
         'Mozilla/5.0 (X11; Linux x86_64; rv:' || i % 100 || '.0) Gecko/20100101 Firefox/' || i % 100 || '.0' AS user_agent
    FROM (SELECT i, (i::bigint * :sessions / :rows + (random() * 500)::int) % :sessions AS s FROM generate_series(0, :rows - 1) i) x;
