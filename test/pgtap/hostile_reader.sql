-- A role with SELECT on encrypted streams and on one derived stream tries to see more than that derived stream shows.
\set dpo hostile_dpo
\set reader hostile
\set stranger hostile_stranger
\ir derived_setup.inc
\pset format unaligned
\pset tuples_only on
\pset pager off

SELECT no_plan();

INSERT INTO clicks (strm_consent_levels, session_id, customer_id, url) VALUES ('{3}', 'secret-session-5', 'secret-customer-5', 'u5');

-- hostile: the encrypted streams and a derived stream of purpose 1. hostile_masked: the encrypted streams and one with masks.
CREATE ROLE hostile_masked;
GRANT SELECT ON clicks, visits TO :reader, hostile_masked;
GRANT CREATE ON SCHEMA shop TO :reader, hostile_masked;
SET ROLE :dpo;
\o /dev/null
SELECT strm.create_derived_stream('clicks', '{1}', name => 'mine');
SELECT strm.create_derived_stream('clicks', '{1,2}', name => 'theirs');
SELECT strm.create_derived_stream('clicks', '{3}', name => 'up_to_3', consent_level_type => 'CUMULATIVE');
SELECT strm.create_derived_stream('visits', '{1}', name => 'visits_mine');
SELECT strm.create_derived_stream('clicks', '{1,2}', name => 'masked', masked_fields => '{session_id,customer_id,age,scores,url,labels}', mask_seed => 'secret-seed');
\o
GRANT SELECT ON mine TO :reader;
GRANT SELECT ON masked TO hostile_masked;
RESET ROLE;
SELECT id AS mine FROM strm.derived_streams WHERE derived_stream = 'mine'::regclass \gset
SELECT id AS theirs FROM strm.derived_streams WHERE derived_stream = 'theirs'::regclass \gset
SELECT id AS up_to_3 FROM strm.derived_streams WHERE derived_stream = 'up_to_3'::regclass \gset
SELECT id AS visits_mine FROM strm.derived_streams WHERE derived_stream = 'visits_mine'::regclass \gset
SELECT id AS masked FROM strm.derived_streams WHERE derived_stream = 'masked'::regclass \gset

-- A call of strm.reveal on rows of FROM, by default all rows of clicks: any argument can be given another expression.
CREATE FUNCTION call(id text, field int, type text DEFAULT 'text', edits jsonb DEFAULT '{}', rows text DEFAULT 'clicks r') RETURNS text
LANGUAGE sql AS $$
  SELECT format('SELECT string_agg(strm.reveal(%L::uuid, %s, %s)::text, %L) FROM %s', id, field,
    string_agg(coalesce(edits->>a, CASE a WHEN 'type' THEN format('NULL::%s', type) ELSE 'r.' || a END), ', ' ORDER BY n), ' ', rows)
    FROM unnest('{strm_contract_version,strm_nonce,strm_timestamp,strm_key_link,strm_consent_levels,strm_seal,type,
                  session_id,customer_id,email,age,phone,income,member,interests,scores}'::text[]) WITH ORDINALITY x(a, n)
$$;

-- Markers are plaintexts of every personal value that no derived stream of either role shows.
CREATE FUNCTION leaks(result text, role_name text) RETURNS boolean LANGUAGE sql AS $$
  SELECT result ~ CASE role_name WHEN 'hostile' THEN 'secret-(session-[045]|customer|email|long|mail|visit|a0|b0|a4|seed)|770077'
                                 ELSE 'secret|7700773|8828822' END
$$;

CREATE TABLE attack (n serial, role_name name, what text, statement text, outcome text);
\set one 'clicks r WHERE url = $$u1$$'
\set two 'clicks r WHERE url = $$u2$$'
\set none 'clicks r WHERE url = $$u0$$'
INSERT INTO attack (role_name, what, statement, outcome) VALUES
-- the same call as the view's is no more than the view
('hostile', 'the view''s own call', call(:'mine', 0, rows => :'one'), '^secret-session-1$'),
('hostile', 'an array', call(:'mine', 8, 'text[]', rows => :'one'), '^{secret-a1,NULL}$'),
('hostile', 'a view of his own on the derived stream', 'SELECT string_agg(session_id, $$ $$) FROM mine', '^secret-session-1 secret-session-2 secret-session-3$'),
-- fields
('hostile', 'every row', call(:'mine', 0), '^42501: the row''s consent does not cover'),
('hostile', 'a row without consent', call(:'mine', 0, rows => :'none'), '^42501: the row''s consent does not cover'),
('hostile', 'a field of purpose 2', call(:'mine', 1, rows => :'two'), '^42501: the purpose of field "customer_id"'),
('hostile', 'a field of purpose 3', call(:'mine', 2, rows => :'two'), '^42501: the purpose of field "email"'),
('hostile', 'a number of purpose 2', call(:'mine', 5, 'bigint', rows => :'two'), '^42501: the purpose of field "phone"'),
('hostile', 'an array of purpose 2', call(:'mine', 9, 'int[]', rows => :'two'), '^42501: the purpose of field "scores"'),
('hostile', 'a field that is not personal', call(:'mine', 3, rows => :'two'), '^22023: field "url" is not personal'),
('hostile', 'no such field', call(:'mine', 15, rows => :'two'), '^22023: derived stream "mine" has no field of this number'),
('hostile', 'a negative field', call(:'mine', -1, rows => :'two'), '^22023: derived stream "mine" has no field of this number'),
('hostile', 'the largest field', call(:'mine', 2147483647, rows => :'two'), '^22023'),
-- derived streams
('hostile', 'another derived stream', call(:'theirs', 1, rows => :'two'), '^42501: permission denied for view theirs'),
('hostile', 'another derived stream, an allowed field', call(:'theirs', 0, rows => :'two'), '^42501: permission denied for view theirs'),
('hostile', 'a cumulative one', call(:'up_to_3', 2, rows => :'two'), '^42501: permission denied for view up_to_3'),
('hostile', 'one with masks', call(:'masked', 1, rows => :'two'), '^42501: permission denied for view masked'),
('hostile', 'no derived stream', call(gen_random_uuid()::text, 0, rows => :'two'), '^42704'),
('hostile', 'the nil uuid', call('00000000-0000-0000-0000-000000000000', 0, rows => :'two'), '^42704'),
('hostile', 'derived streams that change from row to row', replace(call(:'mine', 0, rows => :'two' || ' OR url = $$u1$$'),
   quote_literal(:'mine') || '::uuid', format('CASE url WHEN $$u1$$ THEN %L::uuid ELSE %L END', :'mine', :'theirs')), '^42501: permission denied for view theirs'),
('hostile', 'fields that change from row to row', replace(call(:'mine', 0, rows => :'two' || ' OR url = $$u1$$'),
   '::uuid, 0,', '::uuid, CASE url WHEN $$u1$$ THEN 0 ELSE 1 END,'), '^42501: the purpose of field "customer_id"'),
('hostile', 'NULL as derived stream', replace(call(:'mine', 0, rows => :'two'), quote_literal(:'mine'), 'NULL'), '^22023'),
('hostile', 'NULL as field', replace(call(:'mine', 0, rows => :'two'), '::uuid, 0,', '::uuid, NULL,'), '^22023'),
-- types
('hostile', 'another result type', call(:'mine', 0, 'int', rows => :'one'), '^22023: field "session_id" is revealed as type text'),
('hostile', 'text for a number', call(:'mine', 4, 'text', rows => :'one'), '^22023: field "age" is revealed as type integer'),
('hostile', 'a pointer for a number', call(:'mine', 4, 'bigint', rows => :'one'), '^22023'),
('hostile', 'an array for a text', call(:'mine', 0, 'text[]', rows => :'one'), '^22023'),
('hostile', 'a text for an array', call(:'mine', 8, 'text', rows => :'one'), '^22023'),
('hostile', 'a composite', call(:'mine', 0, 'clicks', rows => :'one'), '^22023'),
('hostile', 'an integer for a column', call(:'mine', 0, edits => '{"session_id": "1"}', rows => :'one'), '^22023: column "session_id" is of type text'),
('hostile', 'an unknown for a column', call(:'mine', 0, edits => '{"session_id": "$$x$$"}', rows => :'one'), '^22023'),
('hostile', 'an array for a column', call(:'mine', 0, edits => '{"session_id": "ARRAY[r.session_id]"}', rows => :'one'), '^22023'),
('hostile', 'a text for an array column', call(:'mine', 0, edits => '{"interests": "r.email"}', rows => :'one'), '^22023'),
('hostile', 'a bytea for a column', call(:'mine', 0, edits => '{"session_id": "r.strm_seal"}', rows => :'one'), '^22023'),
('hostile', 'too few columns', replace(call(:'mine', 0, rows => :'one'), ', r.scores', ''), '^22023: derived stream "mine" has 9 personal columns'),
('hostile', 'too many columns', replace(call(:'mine', 0, rows => :'one'), 'r.scores', 'r.scores, r.scores'), '^22023: derived stream "mine" has 9 personal columns'),
('hostile', 'no column', regexp_replace(call(:'mine', 0, rows => :'one'), ', r.session_id.*r.scores', ''), '^(22023|42883)'),
('hostile', 'a VARIADIC array', regexp_replace(call(:'mine', 0, rows => :'one'), ', (r.session_id.*)(, r.interests, r.scores)', ', VARIADIC ARRAY[\1]'), '^22023'),
-- ciphertexts from elsewhere
('hostile', 'a ciphertext of another column', call(:'mine', 0, edits => '{"session_id": "r.customer_id"}', rows => :'two'), '^XX001: row is not one'),
('hostile', 'two columns swapped', call(:'mine', 0, edits => '{"session_id": "r.email", "email": "r.session_id"}', rows => :'two'), '^XX001: row is not one'),
('hostile', 'a ciphertext of another row', call(:'mine', 0, edits => '{"session_id": "o.session_id"}',
   rows => 'clicks r, clicks o WHERE r.url = $$u1$$ AND o.url = $$u0$$'), '^XX001: row is not one'),
('hostile', 'a ciphertext of another row under its key link', call(:'mine', 0, edits => '{"session_id": "o.session_id", "strm_key_link": "o.strm_key_link"}',
   rows => 'clicks r, clicks o WHERE r.url = $$u1$$ AND o.url = $$u0$$'), '^XX001: row is not one'),
('hostile', 'all ciphertexts of a row without consent', call(:'mine', 0, edits => '{"strm_consent_levels": "o.strm_consent_levels", "strm_seal": "o.strm_seal"}',
   rows => 'clicks r, clicks o WHERE o.url = $$u1$$ AND r.url = $$u0$$'), '^XX001: row is not one'),
('hostile', 'an array''s element moved', call(:'mine', 8, 'text[]', edits => '{"interests": "ARRAY[r.interests[2], r.interests[1]]"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'an array cut short', call(:'mine', 8, 'text[]', edits => '{"interests": "r.interests[1:1]"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'an array of two dimensions', call(:'mine', 8, 'text[]', edits => '{"interests": "ARRAY[r.interests]"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'another element for an array', call(:'mine', 8, 'text[]', edits => '{"interests": "ARRAY[r.customer_id, NULL]"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'another stream of the contract', call(:'mine', 0, rows => 'visits r WHERE url = $$u1$$'), '^XX001: row is not one'),
('hostile', 'another stream''s derived stream', call(:'visits_mine', 0, rows => 'visits r WHERE url = $$u1$$'), '^42501: permission denied for view visits_mine'),
('hostile', 'another stream''s ciphertext', call(:'mine', 0, edits => '{"session_id": "o.session_id"}',
   rows => 'clicks r, visits o WHERE r.url = $$u1$$ AND o.url = $$u1$$'), '^XX001: row is not one'),
('hostile', 'another stream''s row under a key link of this one', call(:'mine', 0, edits => '{"strm_key_link": "o.strm_key_link"}',
   rows => 'visits r, clicks o WHERE r.url = $$u1$$ AND o.url = $$u1$$'), '^XX001: row is not one'),
('hostile', 'an edited ciphertext', call(:'mine', 0, edits => '{"session_id": "overlay(r.session_id PLACING $$AAAA$$ FROM 33)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'an edited SIV', call(:'mine', 0, edits => '{"session_id": "overlay(r.session_id PLACING $$AAAA$$ FROM 9)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'a ciphertext cut short', call(:'mine', 0, edits => '{"session_id": "left(r.session_id, 28)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'a ciphertext cut shorter', call(:'mine', 0, edits => '{"session_id": "left(r.session_id, 8)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'a ciphertext made longer', call(:'mine', 0, edits => '{"session_id": "r.session_id || $$AAAA$$"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'the empty string', call(:'mine', 0, edits => '{"session_id": "$$$$::text"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'no base64', call(:'mine', 0, edits => '{"session_id": "repeat($$*$$, 60)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'NULL for the field', call(:'mine', 0, edits => '{"session_id": "NULL::text"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'NULL for another field', call(:'mine', 0, edits => '{"email": "NULL::text"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'NULL for a forged row', call(:'mine', 4, 'int', edits => '{"email": "r.session_id"}', rows => 'clicks r WHERE url = $$u3$$'), '^XX001: row is not one'),
-- server columns
('hostile', 'consent added', call(:'mine', 0, edits => '{"strm_consent_levels": "$${1}$$::int[]"}', rows => :'none'), '^XX001: row is not one'),
('hostile', 'consent added to a row that has some', call(:'mine', 0, edits => '{"strm_consent_levels": "r.strm_consent_levels || 1"}', rows => 'clicks r WHERE url = $$u4$$'), '^XX001: row is not one'),
('hostile', 'consent exchanged', call(:'mine', 0, edits => '{"strm_consent_levels": "$${1}$$::int[]"}', rows => 'clicks r WHERE url = $$u5$$'), '^XX001: row is not one'),
('hostile', 'consent taken away', call(:'mine', 0, edits => '{"strm_consent_levels": "$${1}$$::int[]"}', rows => :'two'), '^XX001: row is not one'),
('hostile', 'consent in two dimensions', call(:'mine', 0, edits => '{"strm_consent_levels": "ARRAY[r.strm_consent_levels]"}', rows => :'two'), '^XX001: row is not one'),
('hostile', 'consent with a NULL', call(:'mine', 0, edits => '{"strm_consent_levels": "r.strm_consent_levels || NULL::int"}', rows => :'two'), '^XX001: row is not one'),
('hostile', 'consent in plenty', call(:'mine', 0, edits => '{"strm_consent_levels": "(SELECT array_agg(i) FROM generate_series(1, 100000) i)"}', rows => :'none'), '^XX001: row is not one'),
('hostile', 'consent counted from elsewhere', call(:'mine', 0, edits => '{"strm_consent_levels": "$$[0:-1]={}$$::int[]"}', rows => :'none'), '^(XX001|22|42)'),
('hostile', 'no consent levels', call(:'mine', 0, edits => '{"strm_consent_levels": "NULL"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'another contract version', call(:'mine', 0, edits => '{"strm_contract_version": "$$1.0.1$$"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'a long contract version', call(:'mine', 0, edits => '{"strm_contract_version": "repeat($$1$$, 100000)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'another nonce', call(:'mine', 0, edits => '{"strm_nonce": "r.strm_nonce # 1"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'another timestamp', call(:'mine', 0, edits => '{"strm_timestamp": "r.strm_timestamp + $$1 ms$$"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'a timestamp between two', call(:'mine', 0, edits => '{"strm_timestamp": "r.strm_timestamp + $$1 us$$"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'an infinite timestamp', call(:'mine', 0, edits => '{"strm_timestamp": "$$infinity$$"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'no key link', call(:'mine', 0, edits => '{"strm_key_link": "NULL"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'an unknown key link', call(:'mine', 0, edits => '{"strm_key_link": "gen_random_uuid()"}', rows => :'one'), '^XX001'),
('hostile', 'another row''s key link', call(:'mine', 0, edits => '{"strm_key_link": "(SELECT strm_key_link FROM clicks WHERE url = $$u2$$)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'no seal', call(:'mine', 0, edits => '{"strm_seal": "NULL"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'a seal of zeroes', call(:'mine', 0, edits => '{"strm_seal": "decode(repeat($$00$$, 16), $$hex$$)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'a seal cut short', call(:'mine', 0, edits => '{"strm_seal": "substr(r.strm_seal, 1, 15)"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'an empty seal', call(:'mine', 0, edits => '{"strm_seal": "$$$$::bytea"}', rows => :'one'), '^XX001: row is not one'),
('hostile', 'another row''s seal', call(:'mine', 0, edits => '{"strm_seal": "(SELECT strm_seal FROM clicks WHERE url = $$u2$$)"}', rows => :'one'), '^XX001: row is not one'),
-- a row that was authentic a moment ago does not help the next one
('hostile', 'a forgery after its original', call(:'mine', 0, edits => '{"strm_consent_levels": "l"}',
   rows => 'clicks r, unnest(ARRAY[$${1}$$, $${1,2,3}$$]) WITH ORDINALITY x(c, n), LATERAL CAST(c AS int[]) AS l WHERE url = $$u1$$'), '^XX001: row is not one'),
-- rows made up
('hostile', 'a forged row', replace(replace(call(:'mine', 0, rows => 'forged'), ' FROM forged', ' FROM (SELECT (ROW(strm_contract_version, strm_nonce, strm_timestamp,
   strm_key_link, $${1,2,3}$$::int[], strm_seal, session_id, customer_id, email, url, age, phone, income, member, interests, scores, clicks, ratio, bot, labels, ids)::clicks).*
   FROM clicks WHERE url = $$u0$$) r'), 'x', 'x'), '^XX001: row is not one'),
-- masks
('hostile_masked', 'a mask', call(:'masked', 1, rows => :'two'), '^[0-9a-f]{32}$'),
('hostile_masked', 'a mask instead of a number', call(:'masked', 4, rows => :'two'), '^[0-9a-f]{32}$'),
('hostile_masked', 'masks instead of numbers', call(:'masked', 9, 'text[]', rows => :'two'), '^{[0-9a-f]{32},NULL}$'),
('hostile_masked', 'a masked number as number', call(:'masked', 4, 'int', rows => :'two'), '^22023: field "age" is revealed as type text'),
('hostile_masked', 'a mask of a chosen value', call(:'masked', 0, edits => '{"session_id": "$$secret-session-2$$::text"}', rows => :'two'), '^XX001: row is not one'),
('hostile_masked', 'a mask of another row''s value', call(:'masked', 0, edits => '{"session_id": "(SELECT session_id FROM clicks WHERE url = $$u0$$)"}', rows => :'two'), '^XX001: row is not one'),
('hostile_masked', 'a masked field by its unmasking derived stream', call(:'theirs', 1, rows => :'two'), '^42501: permission denied for view theirs'),
('hostile_masked', 'a mask without consent', call(:'masked', 0, rows => :'one'), '^42501: the row''s consent does not cover'),
('hostile_masked', 'the token', 'SELECT token FROM strm.mask_token', '^42501: permission denied for view mask_token'),
('hostile_masked', 'a made-up token', format('SELECT strm.mask_value(uuid_send(%L) || decode(repeat($$01$$, 90), $$hex$$), 3, $$u2$$::text)', :'masked'), '^(XX001|55000)'),
('hostile_masked', 'an empty token', 'SELECT strm.mask_value($$$$, 3, $$u2$$::text)', '^22023'),
('hostile_masked', 'a token that is only the id', format('SELECT strm.mask_value(uuid_send(%L), 3, $$u2$$::text)', :'masked'), '^22023'),
('hostile_masked', 'a token too short to be one', format('SELECT strm.mask_value(uuid_send(%L) || $$x$$::bytea, 3, $$u2$$::text)', :'masked'), '^XX001'),
('hostile_masked', 'no token', 'SELECT strm.mask_value(NULL, 3, $$u2$$::text)', '^<null>$'),
('hostile_masked', 'a made-up token for an array', format('SELECT strm.mask_values(uuid_send(%L) || decode(repeat($$01$$, 90), $$hex$$), 13, $${x}$$::text[])', :'masked'), '^(XX001|55000)'),
('hostile_masked', 'statistics of the masked view', 'SELECT count(*) FROM pg_stats WHERE tablename = $$masked$$', '^0$'),
-- plans
('hostile_masked', 'the plan of the masked view', 'EXPLAIN (VERBOSE, ANALYZE, FORMAT JSON) SELECT * FROM masked', '"Plan"'),
('hostile', 'the plan of the derived stream', 'EXPLAIN (VERBOSE, ANALYZE, FORMAT JSON) SELECT * FROM mine', '"Plan"'),
('hostile', 'the definition', 'SELECT pg_get_viewdef($$masked$$::regclass)', 'mask_token'),
-- our own tables and functions
('hostile', 'the registry of derived streams', 'SELECT id FROM strm.derived_stream', '^42501'),
('hostile', 'the list of derived streams', 'SELECT id FROM strm.derived_streams', '^42501'),
('hostile', 'the keys', 'SELECT wrapped FROM strm.data_key', '^42501'),
('hostile', 'the tombstones', 'SELECT key_link FROM strm.data_key_tombstone', '^42501'),
('hostile', 'the subjects', 'SELECT subject FROM strm.data_subject_link', '^42501'),
('hostile', 'a derived stream of his own', 'SELECT strm.create_derived_stream($$clicks$$, $${1,2,3}$$, name => $$own$$)', '^42501'),
('hostile', 'dropping it', 'SELECT strm.drop_derived_stream($$mine$$)', '^42501'),
('hostile', 'our trigger on his view', 'WITH x AS (SELECT 1) SELECT has_function_privilege($$strm.refuse_write()$$, $$EXECUTE$$)', '^(f|false)$');

SELECT ok(result ~ outcome AND NOT leaks(result, role_name),
          role_name || ', ' || what || CASE WHEN result ~ outcome AND NOT leaks(result, role_name) THEN '' ELSE ': ' || left(result, 300) END)
  FROM (SELECT *, try_as(role_name, statement) AS result FROM attack OFFSET 0) a ORDER BY n;
SELECT is((SELECT count(DISTINCT try_as(role_name, statement))::int FROM attack WHERE outcome = '^XX001: row is not one' AND role_name = 'hostile'), 1, 'all forgeries have one message');

-- A row that was found authentic just before is remembered; what differs from it in anything is not taken for it.
CREATE FUNCTION taken_for_original(mine text, OUT who text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  forgery record;
  original text;
BEGIN
  FOR forgery IN SELECT what, statement FROM attack WHERE outcome = '^XX001: row is not one' AND role_name = 'hostile' ORDER BY n LOOP
    FOREACH original IN ARRAY ARRAY['u0', 'u1', 'u2', 'u3', 'u4', 'u5'] LOOP
      PERFORM try_as('hostile', call(mine, 0, rows => format('clicks r WHERE url = %L', original)));
      IF try_as('hostile', forgery.statement) !~ '^XX001: row is not one' THEN
        who := format('%s, after row %s', forgery.what, original);
        RETURN NEXT;
      END IF;
    END LOOP;
  END LOOP;
END $$;
SELECT is_empty(format('SELECT taken_for_original(%L)', :'mine'), 'no forgery is taken for the row before it');

-- Nothing in errors' other parts either.
CREATE FUNCTION parts_as(role_name name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE a text; b text; c text; d text;
BEGIN
  PERFORM set_config('role', role_name, true);
  EXECUTE statement;
  RETURN '';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS a = MESSAGE_TEXT, b = PG_EXCEPTION_DETAIL, c = PG_EXCEPTION_HINT, d = PG_DATATYPE_NAME;
  RETURN concat_ws(' ', a, b, c, d);
END $$;
SELECT is((SELECT count(*)::int FROM attack WHERE leaks(parts_as(role_name, statement), role_name)), 0, 'no part of an error has a personal value');

-- A copy of the table, with consent edited, and views on it
SET ROLE :reader;
CREATE TABLE copied AS SELECT * FROM clicks;
UPDATE copied SET strm_consent_levels = '{1,2,3}';
CREATE TABLE kept AS SELECT * FROM clicks;
RESET ROLE;
SELECT matches(try_as(:'reader', call(:'mine', 0, rows => 'copied r WHERE url <> $$u3$$')), '^XX001', 'a copy with consent edited');
SELECT is(try_as(:'reader', call(:'mine', 0, rows => 'kept r WHERE url = $$u1$$')), 'secret-session-1', 'a copy as it was shows what the view shows');
SELECT matches(try_as(:'reader', call(:'mine', 0, rows => 'kept r WHERE url = $$u4$$')), '^42501', 'and no more');
SELECT format('CREATE VIEW own_theirs AS %s', call(:'theirs', 1, rows => :'two')) AS own_theirs,
       format('CREATE VIEW own_mine AS %s', call(:'mine', 1, rows => 'copied r')) AS own_mine,
       format('CREATE FUNCTION own_function() RETURNS text LANGUAGE sql SECURITY DEFINER AS %L', call(:'theirs', 1, rows => :'two')) AS own_function \gset
SET ROLE :reader;
:own_theirs;
:own_mine;
:own_function;
RESET ROLE;
SELECT matches(try_as(:'reader', 'TABLE own_theirs'), '^42501: permission denied for view theirs', 'a view of his own');
SELECT matches(try_as(:'reader', 'TABLE own_mine'), '^XX001', 'a view of his own on his copy');
SELECT matches(try_as(:'reader', 'SELECT own_function()'), '^42501: permission denied for view theirs', 'a SECURITY DEFINER function of his own');
SELECT matches(try_as(:'dpo', 'SELECT own_function()'), '^42501: permission denied for', 'which is no better when a privileged role calls it');

-- Leaky functions, operators and casts in WHERE see visible rows only, and of other purposes ciphertext
SET ROLE :reader;
CREATE TABLE seen (value text);
CREATE FUNCTION spy(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
  INSERT INTO seen VALUES ($1::text);
  RETURN true;
END $$;
CREATE FUNCTION spy_operator(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS 'BEGIN RETURN spy($1); END';
CREATE OPERATOR <<<! (LEFTARG = text, RIGHTARG = text, FUNCTION = spy_operator, RESTRICT = eqsel);
CREATE TYPE spied AS (value text);
CREATE FUNCTION spy_cast(text) RETURNS spied LANGUAGE plpgsql COST 0.0000001 AS 'BEGIN PERFORM spy($1); RETURN ROW(''x''::text); END';
RESET ROLE;
DO $$ BEGIN EXECUTE 'CREATE CAST (text AS spied) WITH FUNCTION spy_cast(text)'; END $$;
SET ROLE :reader;
DO $$
BEGIN
  PERFORM FROM mine WHERE spy(mine);
  PERFORM FROM mine WHERE spy(session_id) AND spy(email) AND spy(strm_nonce) AND spy(url);
  PERFORM FROM mine WHERE session_id <<<! 'x' AND customer_id <<<! 'x' AND url <<<! 'x';
  PERFORM FROM mine WHERE session_id::spied IS NOT NULL AND url::spied IS NOT NULL;
  PERFORM FROM mine GROUP BY url, session_id HAVING spy(url) AND spy(session_id);
  PERFORM FROM mine a JOIN clicks b ON spy(a.url) AND spy(a.session_id) AND a.url = b.url;
  PERFORM FROM mine a LEFT JOIN mine b ON spy(b.url) AND spy(b.session_id);
  PERFORM spy(session_id) FROM mine ORDER BY spy(url), spy(customer_id);
END $$;
RESET ROLE;
SELECT cmp_ok(count(*)::int, '>', 30, 'the spies were called') FROM seen;
SELECT is(count(*)::int, 0, 'and saw no row without consent, no field of another purpose') FROM seen WHERE leaks(value, 'hostile') OR value ~ '(^|[,(])u[045]([,)]|$)';
SELECT cmp_ok(count(*)::int, '>', 0, 'but what the derived stream shows') FROM seen WHERE value = 'secret-session-1';
-- the same, provoked by an error that quotes its operand
SELECT is(try_as(:'reader', 'SELECT count(*) FROM mine WHERE 1 / (CASE url WHEN $$u0$$ THEN 0 ELSE 1 END) = 1'), '3', 'no error tells of an invisible row');
SELECT is(try_as(:'reader', 'SELECT count(*) FROM mine WHERE CASE url WHEN $$u0$$ THEN (url || session_id)::int = 1 ELSE true END'), '3', 'nor quotes it');

-- An index evaluates functions too
SELECT format('CREATE FUNCTION stored(kept) RETURNS text LANGUAGE sql IMMUTABLE AS %L',
              replace(call(:'theirs', 1, rows => '(SELECT $1.*) r'), 'string_agg(', 'concat(')) AS stored \gset
SET ROLE :reader;
:stored;
RESET ROLE;
SELECT matches(try_as(:'reader', 'CREATE INDEX ON kept (stored(kept))'), '^42501: permission denied for view theirs', 'an index of his own');
SELECT matches(try_as(:'reader', format('CREATE INDEX ON kept ((strm.reveal(%L, 0, strm_contract_version, strm_nonce, strm_timestamp, strm_key_link, strm_consent_levels,
   strm_seal, NULL::text, session_id, customer_id, email, age, phone, income, member, interests, scores)))', :'mine')), '^42P17', 'reveal is not immutable');

SELECT is(try_as(:'reader', 'INSERT INTO mine (url) VALUES ($$x$$) RETURNING 1') ~ '^42501', true, 'nothing to write through');

SELECT * FROM finish();
