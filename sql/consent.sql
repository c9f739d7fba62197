-- Consent levels: what producers may send, and what is stored.
SELECT strm.create_data_contract('tests/consent/1.0.0', '{"nodes": [{"type": "STRING", "name": "id"}]}', '{"keyField": "id"}') > 0 AS created;
SELECT strm.activate_data_contract('tests/consent/1.0.0');
SELECT strm.create_stream('consent_events', contract => 'tests/consent/1.0.0');
INSERT INTO consent_events (id, strm_consent_levels) VALUES
  ('a normal', '{1,2}'), ('b empty', '{}'), ('c null', NULL), ('d unsorted', '{3,1,2}'), ('e duplicates', '{2,1,2,1}'),
  ('f zero', '{0}'), ('g largest', '{2147483647}'), ('h subscripts', '[0:1]={1,2}'), ('i subscripts', '[5:6]={2,1}');
INSERT INTO consent_events (id) VALUES ('j none given');
SELECT id, strm_consent_levels, array_lower(strm_consent_levels, 1) AS first FROM consent_events ORDER BY id;

-- refused, and nothing is stored
INSERT INTO consent_events (id, strm_consent_levels) VALUES ('x', '{1,NULL}');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO consent_events (id, strm_consent_levels) VALUES ('x', '{-1}');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO consent_events (id, strm_consent_levels) VALUES ('x', '{3,-1}');
INSERT INTO consent_events (id, strm_consent_levels) VALUES ('x', '{{1,2},{3,4}}');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO consent_events (id, strm_consent_levels) SELECT 'x', '{}'::int[] || ARRAY[[1]];
SELECT count(*) FROM consent_events WHERE id = 'x';
-- many levels
INSERT INTO consent_events (id, strm_consent_levels) SELECT 'many', array_agg(i % 1000 ORDER BY i DESC) FROM generate_series(1, 5000) AS i;
SELECT array_length(strm_consent_levels, 1), strm_consent_levels[1], strm_consent_levels[1000] FROM consent_events WHERE id = 'many';
DROP TABLE consent_events;
