-- The first five minutes, as scripts/quickstart plays them: one stream, three views of it, a batch job, a stream with a queue,
-- files, and Kafka.
-- Variable files: the directory that data connectors read and write in. kcat: true where there is kcat to read topics with.
\set ON_ERROR_STOP on
\set QUIET on
\pset pager off
\pset footer off
\pset linestyle unicode
\pset border 1
\pset null ''
SET client_min_messages = warning;

CREATE EXTENSION strm_privacy;

SELECT strm.create_purpose(1, 'Analytics'), strm.create_purpose(2, 'Personalisation'), strm.create_purpose(3, 'Marketing') \g /dev/null

SELECT strm.create_data_contract('acme/clickstream/1.0.0',
  schema => $$ {"name": "Click", "nodes": [
     {"type": "STRING",  "name": "session_id",  "required": true},
     {"type": "STRING",  "name": "customer_id"},
     {"type": "STRING",  "name": "email"},
     {"type": "STRING",  "name": "url", "required": true},
     {"type": "INTEGER", "name": "conversion"}]} $$,
  contract => $$ {"keyField": "session_id", "dataSubjectField": "customer_id",
     "fieldMetadata": [
       {"fieldName": "session_id",  "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "customer_id", "personalDataConfig": {"isPii": true, "purposeLevel": 2}},
       {"fieldName": "email",       "personalDataConfig": {"isPii": true, "purposeLevel": 3}}],
     "validations": [{"field": "url", "type": "regex", "value": "^https?://"}]} $$) \g /dev/null
SELECT strm.activate_data_contract('acme/clickstream/1.0.0') \g /dev/null

SELECT strm.create_stream('clicks', contract => 'acme/clickstream/1.0.0') \g /dev/null
SELECT strm.create_derived_stream('clicks', purposes => '{1}') \g /dev/null
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}') \g /dev/null
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}', name => 'clicks_masked',
                                  masked_fields => '{customer_id}', mask_seed => 'a secret') \g /dev/null
CREATE ROLE analyst LOGIN;
GRANT SELECT ON clicks_1 TO analyst;

INSERT INTO clicks (strm_consent_levels, session_id, customer_id, email, url, conversion)
VALUES ('{}',      's-1', 'c-41', 'ann@a.example',  'https://shop.example/',        0),
       ('{1}',     's-2', 'c-42', 'bob@b.example',  'https://shop.example/basket',  0),
       ('{1,2}',   's-3', 'c-43', 'cleo@c.example', 'https://shop.example/pay',     1),
       ('{1,2,3}', 's-4', 'c-43', 'cleo@c.example', 'https://shop.example/welcome', 0);
CREATE TEMPORARY TABLE shown AS SELECT strm_key_link, strm_nonce, strm_consent_levels, row_number() OVER () AS event FROM clicks;
SELECT strm.simulate_random_events('clicks', 1000) \g /dev/null

-- The first 12 characters are enough to tell a ciphertext, or a mask, from a value.
CREATE FUNCTION pg_temp.brief(value text) RETURNS text LANGUAGE sql AS
$$ SELECT CASE WHEN length(value) > 14 THEN left(value, 12) || '…' ELSE value END $$;
CREATE FUNCTION pg_temp.brief_json(event text) RETURNS text LANGUAGE sql AS
$$ SELECT regexp_replace(event, '"(A[Q-Za-b][^"]{10})[^"]+"', '"\1…"', 'g') $$;

\echo
\echo 'Four events were inserted into the stream "clicks", each with the consent of its data subject to some of the'
\echo 'purposes 1 Analytics, 2 Personalisation, 3 Marketing. Each stream shows them so:'
\echo
SELECT CASE field WHEN 1 THEN event END AS event,
       CASE field WHEN 1 THEN shown.strm_consent_levels END AS consent,
       (ARRAY['session_id (1)', 'customer_id (2)', 'email (3)'])[field] AS "field (purpose)",
       pg_temp.brief((ARRAY[e.session_id, e.customer_id, e.email])[field]) AS "clicks",
       pg_temp.brief(CASE WHEN a.strm_nonce IS NULL THEN '-' ELSE (ARRAY[a.session_id, a.customer_id, a.email])[field] END) AS "clicks_1",
       pg_temp.brief(CASE WHEN b.strm_nonce IS NULL THEN '-' ELSE (ARRAY[b.session_id, b.customer_id, b.email])[field] END) AS "clicks_1_2",
       pg_temp.brief(CASE WHEN m.strm_nonce IS NULL THEN '-' ELSE (ARRAY[m.session_id, m.customer_id, m.email])[field] END) AS "clicks_masked"
  FROM shown
  JOIN clicks AS e USING (strm_key_link, strm_nonce)
  LEFT JOIN clicks_1 AS a USING (strm_key_link, strm_nonce)
  LEFT JOIN clicks_1_2 AS b USING (strm_key_link, strm_nonce)
  LEFT JOIN clicks_masked AS m USING (strm_key_link, strm_nonce)
 CROSS JOIN generate_series(1, 3) AS field
 ORDER BY shown.event, field;
\echo '-  the derived stream does not show this event: its data subject did not consent to every purpose of the stream'
\echo '…  ciphertext, or (customer_id in clicks_masked) a keyed hash: the same one for the same customer'
\echo
\echo 'With 1000 simulated events more, the streams hold:'
\echo
SELECT * FROM (
  SELECT 'clicks' AS stream, 'everything, encrypted' AS shows, count(*) AS events, count(DISTINCT strm_key_link) AS "key links" FROM clicks
  UNION ALL SELECT 'clicks_1', 'session_id; consent to 1', count(*), count(DISTINCT strm_key_link) FROM clicks_1
  UNION ALL SELECT 'clicks_1_2', 'session_id, customer_id; consent to 1 and 2', count(*), count(DISTINCT strm_key_link) FROM clicks_1_2
  UNION ALL SELECT 'clicks_masked', 'session_id, mask of customer_id; consent to 1 and 2', count(*), count(DISTINCT strm_key_link) FROM clicks_masked
) AS streams ORDER BY stream;

-- A file from elsewhere, with consent and timestamps of its own kind. (Written by the server, because this script has no other hand.)
\set events :files '/events.csv'
COPY (SELECT * FROM (VALUES
        ('s-7', 'c-44', 'dan@d.example', 'https://shop.example/',     '5/1/2024 9:30', 'all'),
        ('s-8', 'c-45', 'eve@e.example', 'https://shop.example/pay',  '5/1/2024 9:31', 'statistics'),
        ('s-9', 'c-46', 'fay@f.example', 'https://shop.example/info', '5/1/2024 9:32', 'none'))
      AS e (session_id, customer_id, email, url, seen_at, newsletter), (VALUES (0)) AS c (conversion))
  TO :'events' CSV HEADER;

SELECT strm.create_data_connector('files', 'directory', '{}') \g /dev/null
CALL strm.run_batch_job($$ {
  "source_data": {"data_connector_ref": {"name": "files"}, "file_name": "events.csv"},
  "data_contract_ref": "acme/clickstream/1.0.0",
  "consent": {"consent_level_extractor": {"field": "newsletter", "field_patterns": {
    "all": {"consent_levels": [1, 2, 3]}, "statistics": {"consent_levels": [1]}}}},
  "encryption": {"timestamp_config": {"field": "seen_at", "format": "M/d/yyyy H:m", "default_time_zone": {"id": "Europe/Amsterdam"}}},
  "encrypted_data": {"target": {"stream": "clicks"}},
  "derived_data": [{"target": {"data_connector_ref": {"name": "files"}, "file_name": "events_1.jsonl", "data_type": {"jsonl": {}}},
                    "consent_levels": [1]}]} $$);
\set derived :files '/events_1.jsonl'
\echo
\echo 'A batch job read a file with three events into the stream, and wrote those with consent to 1 to another file:'
\echo
\pset tuples_only on
\pset format unaligned
SELECT pg_temp.brief_json(line) FROM regexp_split_to_table(rtrim(pg_read_file(:'derived'), E'\n'), E'\n') AS line;
\pset format aligned
\pset tuples_only off
\echo
SELECT strm_timestamp, session_id, customer_id, strm_consent_levels FROM clicks_1_2 WHERE strm_timestamp < '2025-01-01';

-- A stream with a queue: producers insert into its inbox, and do not wait for keys and the encryption of fields.
SELECT strm.create_stream('visits', contract => 'acme/clickstream/1.0.0', ingest => 'queued') \g /dev/null
BEGIN;
INSERT INTO visits_inbox (strm_consent_levels, session_id, customer_id, email, url, conversion)
VALUES ('{1}', 's-20', 'c-50', 'ivy@i.example', 'https://shop.example/', 0),
       ('{2}', 's-21', 'c-51', 'jon@j.example', 'https://shop.example/', 0);
\echo
\echo 'The stream "visits" has a queue. Of two rows that were inserted into its inbox, this is all that is stored there:'
\echo
SELECT session_id, email, url, '…' || right(encode(strm_sealed, 'base64'), 12) AS strm_sealed FROM visits_inbox;
COMMIT;
SELECT strm.wait_for_ingest('visits') \g /dev/null
\echo
\echo 'A worker has encrypted their fields and moved them into the stream, a moment after the commit:'
\echo
SELECT (SELECT count(*) FROM visits_inbox) AS "in the inbox", pg_temp.brief(session_id) AS session_id, pg_temp.brief(email) AS email, url FROM visits;

-- Files: a stream as stored, and what a derived stream shows. The first ones come at once, later ones every minute.
SELECT strm.create_batch_exporter('clicks_1_2', 'files', path_prefix => 'export', include_existing_events => true),
       strm.create_batch_exporter('visits', 'files', path_prefix => 'export', include_existing_events => true, compression => 'gzip') \g /dev/null
DO $$
BEGIN
  FOR i IN 1 .. 300 LOOP
    EXIT WHEN (SELECT sum(files) = 2 FROM strm.batch_exporters);
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
SELECT :'files' || '/' || last_file AS file FROM strm.batch_exporters WHERE name = 'clicks_1_2_files' \gset
\echo
\echo 'Batch exporters write streams and derived streams to files, from now on every minute:'
\echo
SELECT last_file, state, rows, bytes FROM strm.batch_exporters ORDER BY name;
\echo
\echo 'The first line of the one of clicks_1_2:'
\echo
\pset tuples_only on
\pset format unaligned
SELECT pg_temp.brief_json(split_part(pg_read_file(:'file'), E'\n', 1));
\pset format aligned
\pset tuples_only off

-- Exporters publish what is inserted from now on. The broker runs in the server's memory: it is for trying things out, not for production.
SELECT strm.create_kafka_cluster('demo', bootstrap_servers => 'embedded') \g /dev/null
SELECT strm.create_kafka_exporter('clicks', 'demo'), strm.create_kafka_exporter('clicks_1_2', 'demo') \g /dev/null
INSERT INTO clicks (strm_consent_levels, session_id, customer_id, email, url, conversion)
VALUES ('{1,2}', 's-10', 'c-47', 'gus@g.example', 'https://shop.example/', 0),
       ('{1}',   's-11', 'c-48', 'hal@h.example', 'https://shop.example/', 0);
DO $$
BEGIN
  FOR i IN 1 .. 300 LOOP
    EXIT WHEN (SELECT sum(sent) = 3 FROM strm.kafka_exporters);
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
\echo
\echo 'Kafka exporters publish a stream and a derived stream, here to a broker in the server''s memory (not for production). Two more'
\echo 'events were inserted since, with consent to 1 and 2, and to 1 only: clicks_1_2 does not show the second one.'
\echo
SELECT name, topic, state, sent, filtered FROM strm.kafka_exporters ORDER BY name;
SELECT address AS broker FROM strm.kafka_clusters \gset
\if :kcat
\setenv BROKER :broker
\echo
\echo 'The first record of each topic, as kcat reads it (key, headers, value):'
\! for topic in clicks clicks_1_2; do echo; echo "$topic:"; kcat -b "$BROKER" -C -t $topic -o beginning -e -q -f '%k\n%h\n%s\n' 2>&1 | head -n 3 | sed -E 's/"(A[Q-Za-b][^"]{10})[^"]+"/"\1…"/g'; done
\endif
