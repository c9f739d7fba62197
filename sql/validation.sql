-- Validations: an unanchored search, as written; of personal fields too; never a value in a message.
SELECT strm.create_data_contract('tests/validation/1.0.0',
  $${"nodes": [{"type": "STRING", "name": "id"}, {"type": "STRING", "name": "mail"}, {"type": "STRING", "name": "tags", "repeated": true},
    {"type": "INTEGER", "name": "count"}, {"type": "STRING", "name": "word"}, {"type": "STRING", "name": "one"}]}$$,
  $${"keyField": "id", "piiFields": {"mail": 1}, "validations": [
    {"field": "mail", "type": "regex", "value": "^[^@]+@[^@]+$"}, {"field": "mail", "type": "regex", "value": "example"},
    {"field": "tags", "type": "regex", "value": "^(?:a|b)$"}, {"field": "count", "type": "regex", "value": "^[1-9]"},
    {"field": "word", "type": "REGEX", "value": "(?i)^\\w+$"}, {"field": "one", "type": "regex", "value": "^.$"}]}$$) > 0 AS created;
SELECT strm.activate_data_contract('tests/validation/1.0.0');
SELECT strm.create_stream('validation_events', contract => 'tests/validation/1.0.0');

\set SHOW_CONTEXT always
INSERT INTO validation_events (id, mail) VALUES ('1', 'secret@example.org');
INSERT INTO validation_events (id, mail) VALUES ('2', 'secret@other.org');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO validation_events (id, mail) VALUES ('3', 'secret-example');

-- NULL passes, the empty string is a value
INSERT INTO validation_events (id, mail) VALUES ('4', NULL);
INSERT INTO validation_events (id, mail) VALUES ('5', '');
-- each element of a repeated field
INSERT INTO validation_events (id, tags) VALUES ('6', '{a,b}'), ('7', '{}'), ('8', '{a,NULL}');
INSERT INTO validation_events (id, tags) VALUES ('9', '{a,c}');
-- other types by their text
INSERT INTO validation_events (id, count) VALUES ('10', 7);
INSERT INTO validation_events (id, count) VALUES ('11', 0);
-- classes know ASCII, whatever the locale; a character is a character
INSERT INTO validation_events (id, word) VALUES ('12', 'Word_1');
INSERT INTO validation_events (id, word) VALUES ('13', 'Wörd');
INSERT INTO validation_events (id, one) VALUES ('14', 'ö');
INSERT INTO validation_events (id, one) VALUES ('15', 'öö');
SELECT array_agg(id ORDER BY id::int) FROM validation_events;
DROP TABLE validation_events;

-- a changed contract is a new one at once, in the session that changes it and in others; here the states
SELECT strm.create_data_contract('tests/states/1.0.0', '{"nodes": [{"type": "STRING", "name": "id"}]}', '{"keyField": "id"}') > 0 AS created;
SELECT strm.activate_data_contract('tests/states/1.0.0');
SELECT strm.create_stream('state_events', contract => 'tests/states/1.0.0');
INSERT INTO state_events (id) VALUES ('1');
BEGIN;
SELECT strm.archive_data_contract('tests/states/1.0.0');
SAVEPOINT s;
INSERT INTO state_events (id) VALUES ('2');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- the archiving was rolled back
INSERT INTO state_events (id) VALUES ('3');
SELECT strm.archive_data_contract('tests/states/1.0.0');
INSERT INTO state_events (id) VALUES ('4');
SELECT strm.activate_data_contract('tests/states/1.0.0');
INSERT INTO state_events (id) VALUES ('5');
SELECT array_agg(id ORDER BY id) FROM state_events;
DROP TABLE state_events;
