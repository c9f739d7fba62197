-- strm.simulate_random_events(): random rows that pass the contract, repeatable, inserted as the caller.
SET client_min_messages = warning;
CREATE ROLE regress_strm_member IN ROLE strm_member;
CREATE FUNCTION regress_stream(name text, nodes text, validations text) RETURNS regclass LANGUAGE plpgsql AS $$
BEGIN
  PERFORM strm.create_data_contract('regress/' || name || '/1.0.0', format('{"name": "x", "nodes": [%s]}', nodes),
    format('{"keyField": "session", "dataSubjectField": "customer", "validations": [%s], "fieldMetadata": [
       {"fieldName": "session",  "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
       {"fieldName": "customer", "personalDataConfig": {"isPii": true, "purposeLevel": 1}}]}', validations));
  PERFORM strm.activate_data_contract('regress/' || name || '/1.0.0');
  PERFORM strm.create_stream(name, contract => 'regress/' || name || '/1.0.0');
  RETURN strm.create_derived_stream(name, purposes => '{1}', name => name || '_1');
END $$;
\set ids '{"type": "STRING", "name": "session", "required": true}, {"type": "STRING", "name": "customer"}'
SELECT regress_stream('visits', :'ids' || $$,
  {"type": "STRING",  "name": "page"},
  {"type": "STRING",  "name": "shop", "required": true},
  {"type": "BOOLEAN", "name": "mobile"},
  {"type": "INTEGER", "name": "pages"},
  {"type": "LONG",    "name": "bytes"},
  {"type": "FLOAT",   "name": "ratio"},
  {"type": "STRING",  "name": "words", "repeated": true},
  {"type": "LONG",    "name": "sizes", "repeated": true}$$, '');
SELECT strm.simulate_random_events('visits', 2500);
SELECT strm.simulate_random_events('visits', 0);
SELECT count(*), count(DISTINCT strm_consent_levels) AS consents, count(DISTINCT strm_key_link) <= 1000 AS by_session FROM visits;
SELECT DISTINCT strm_consent_levels FROM visits ORDER BY 1;
SELECT bool_and(session ~ '^session-\d{1,3}$') AS session, bool_and(customer ~ '^unique-\d{1,2}$') AS customer,
       bool_and(page ~ '^not-sensitive-\d{1,2}$') AS page, bool_and(shop IS NOT NULL) AS shop,
       count(DISTINCT mobile) AS mobile, bool_and(pages BETWEEN 0 AND 99) AS pages, bool_and(ratio BETWEEN 0 AND 25) AS ratio,
       bool_and(cardinality(words) <= 3) AS words, bool_and(cardinality(sizes) <= 3) AS sizes,
       count(*) > count(customer) AS anonymous, count(*) > count(page) AS some_null,
       count(DISTINCT session) = count(DISTINCT (session, customer)) AS one_customer_a_session
  FROM visits_1;

-- the same after setseed(), and not the same otherwise
CREATE TABLE regress_runs (run int, events text);
CREATE PROCEDURE regress_run(run int) LANGUAGE sql AS $$
  TRUNCATE visits;
  SELECT strm.simulate_random_events('visits', 1500, 10);
  INSERT INTO regress_runs SELECT run, string_agg(v, '' ORDER BY v)
    FROM (SELECT (strm_consent_levels, session, customer, page, shop, mobile, pages, bytes, ratio, words, sizes)::text FROM visits_1) AS r (v) $$;
SELECT setseed(0.25);
CALL regress_run(1);
CALL regress_run(2);
SELECT setseed(0.25);
CALL regress_run(3);
SELECT a.run, b.run, a.events = b.events AS same FROM regress_runs AS a JOIN regress_runs AS b ON a.run < b.run ORDER BY 1, 2;
SELECT count(DISTINCT strm_key_link) AS sessions FROM visits;
DROP TABLE regress_runs;
DROP PROCEDURE regress_run;

-- values that match regular expressions
SELECT regress_stream('regexes', :'ids' || (SELECT string_agg(format(', {"type": "%s", "name": "f%s", "required": true}', t, i), '' ORDER BY i)
    FROM unnest(types) WITH ORDINALITY AS t (t, i)),
  (SELECT string_agg(format('{"field": "f%s", "type": "regex", "value": %s}', i, to_json(r)), ', ' ORDER BY i)
    FROM unnest(regexes) WITH ORDINALITY AS r (r, i)) || $$, {"field": "session", "type": "regex", "value": "^[A-F]\\d{3}$"},
    {"field": "f1", "type": "regex", "value": "\\.(com|nl)$"}$$)
  FROM (SELECT array_agg(CASE WHEN r LIKE '^[1-9]%' THEN 'INTEGER' ELSE 'STRING' END ORDER BY i), array_agg(r ORDER BY i) FROM unnest(ARRAY[
    '^https?://', '^\d{4}\s?[A-Z]{2}$', '^[\w.+-]+@[a-z0-9-]+(\.[a-z]{2,4}){1,2}$', '^(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}$',
    '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', '^(?=.*\d)(?=.*[a-z]).{8,}$', '(?i)^AbC$', '\mfoo\M', '^[^\s@]{3}\S\W\D$', '^[]a]{3}-[a\]b]$',
    '^[[:upper:][:digit:]_]{2,3}$', 'é+ü?x{2}', '^[1-9]\d{2}$', '^(a|b|)c*?$', '^\x41\u0042\.$', '^(?!not)', 'x|^y$', '^.{40}$', 'a{2}b{,3}']) WITH ORDINALITY AS r (r, i)) AS s (types, regexes);
SELECT strm.simulate_random_events('regexes', 1000, 50);
SELECT count(*), count(DISTINCT f2) > 20 AS varied, min(f7) = max(f7) AS abc, pg_typeof(min(f13)) AS f13,
       bool_and(f1 ~ '^https?://' AND f1 ~ '\.(com|nl)$') AS f1, bool_and(f4 ~ '^(\d{1,3}\.){3}\d{1,3}$') AS f4 FROM regexes;
SELECT count(DISTINCT session) <= 50 AS sessions, bool_and(session ~ '^[A-F]\d{3}$') AS session FROM regexes_1;

-- personal fields of every type, also as key field; regular expressions see their canonical text
SELECT strm.create_data_contract('regress/numbers/1.0.0',
  $${"name": "x", "nodes": [{"type": "LONG", "name": "id", "required": true}, {"type": "FLOAT", "name": "score", "required": true},
     {"type": "BOOLEAN", "name": "member"}, {"type": "INTEGER", "name": "ages", "repeated": true}]}$$,
  $${"keyField": "id", "dataSubjectField": "id", "piiFields": {"id": 1, "score": 1, "member": 1, "ages": 1}, "validations": [
     {"field": "score", "type": "regex", "value": "\\.25$"}, {"field": "ages", "type": "regex", "value": "^[2-6]\\d$"}]}$$) > 0 AS created;
SELECT strm.activate_data_contract('regress/numbers/1.0.0');
SELECT strm.create_stream('numbers', contract => 'regress/numbers/1.0.0');
SELECT strm.create_derived_stream('numbers', purposes => '{1}', name => 'numbers_1');
SELECT strm.simulate_random_events('numbers', 500, 5);
SELECT count(*) > 100 AS rows, array_agg(DISTINCT id) AS ids, bool_and(score::text LIKE '%.25') AS score, count(DISTINCT member) AS members,
       bool_and(ages <@ ARRAY(SELECT generate_series(20, 69))) AS ages FROM numbers_1;

-- no value to be found
SELECT regress_stream('impossible', :'ids' || ', {"type": "STRING", "name": "never"}', '{"field": "never", "type": "regex", "value": "^a\\mb"}');
SELECT strm.simulate_random_events('impossible', 10);
\echo :LAST_ERROR_SQLSTATE

-- faults
SELECT strm.simulate_random_events('visits', -1);
SELECT strm.simulate_random_events('visits', 1, 0);
\echo :LAST_ERROR_SQLSTATE
SELECT strm.simulate_random_events('visits_1', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT strm.simulate_random_events(NULL, 1);

-- the caller needs INSERT
SET ROLE regress_strm_member;
SELECT strm.simulate_random_events('visits', 1);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
GRANT INSERT ON visits TO regress_strm_member;
SET ROLE regress_strm_member;
SELECT strm.simulate_random_events('visits', 1);
RESET ROLE;

DROP VIEW numbers_1, visits_1, regexes_1, impossible_1;
DROP TABLE numbers, visits, regexes, impossible;
DROP FUNCTION regress_stream;
DROP ROLE regress_strm_member;
