-- Members cannot have servers on this machine itself reached: it is the address that counts that a broker's name resolves to.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION strm_privacy;
ALTER SYSTEM SET strm_privacy.connector_timeout = 1;
SELECT pg_reload_conf() IS NULL;
BEGIN;
SELECT plan(4);
CREATE ROLE kafka_stranger IN ROLE strm_member;
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;
SELECT strm.create_data_contract('acme/clicks/1.0.0', schema => $$ {"name": "Click", "nodes": [{"type": "STRING", "name": "session_id", "required": true}]} $$, contract => $$ {"keyField": "session_id"} $$) IS NULL;
SELECT strm.activate_data_contract('acme/clicks/1.0.0');
SET ROLE kafka_stranger;
SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0') IS NULL;
-- names, as far as the definition can tell; all resolve to 127.0.0.1
SELECT strm.create_kafka_cluster('short', '127.1:1') IS NULL, strm.create_kafka_cluster('number', '2130706433:1') IS NULL, strm.create_kafka_cluster('hex', '0x7f000001:1') IS NULL;
CREATE FUNCTION message_of(cluster text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM strm.create_kafka_exporter('clicks', cluster);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT matches(message_of(cluster), '^(08006 .*Permission denied|58P01 )', cluster || ' is not reached') FROM unnest('{short,number,hex}'::text[]) AS cluster;
RESET ROLE;
SELECT strm.create_kafka_cluster('own', '127.1:1') IS NULL;
SELECT matches(message_of('own'), '^(08006 .*Connection refused|58P01 )', 'an administrator''s is: nobody listens there');
SELECT * FROM finish();
ROLLBACK;
ALTER SYSTEM RESET strm_privacy.connector_timeout;
SELECT pg_reload_conf() IS NULL;
DROP EXTENSION strm_privacy;
