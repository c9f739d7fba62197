-- Derived streams: what they show, to whom, in every way a query can be run.
\set dpo derived_dpo
\set reader derived_reader
\set stranger derived_stranger
\ir derived_setup.inc
\pset format unaligned
\pset tuples_only on
\pset pager off

SELECT no_plan();
CREATE ROLE derived_admin IN ROLE strm_admin;
CREATE ROLE derived_column_reader;

-- creation
SELECT is(try_as(:'dpo', $$SELECT strm.create_derived_stream('clicks', '{1,2}')$$), 'clicks_1_2', 'default name');
SELECT is(try_as(:'dpo', $$SELECT strm.create_derived_stream('shop.clicks', '{2,1}', masked_fields => '{customer_id,url}')$$),
  'clicks_m_1_2', 'default name with masked fields; purposes are put in order');
SELECT is(try_as(:'dpo', $$SELECT strm.create_derived_stream('clicks', '{1}')$$), 'clicks_1', 'one purpose');
SELECT is(try_as(:'dpo', $$SELECT strm.create_derived_stream('clicks', '{2}', name => 'clicks_up_to_2', consent_level_type => 'CUMULATIVE')$$),
  'clicks_up_to_2', 'cumulative');
SELECT is(try_as(:'dpo', $$SELECT strm.create_derived_stream('clicks', '{1,2}', name => 'all_masked', mask_seed => 'a secret',
  masked_fields => '{session_id,customer_id,age,phone,income,member,interests,scores,url,clicks,ratio,bot,labels,ids}')$$),
  'all_masked', 'masks of every type');
SELECT is(try_as(:'dpo', $$SELECT strm.create_derived_stream('visits', '{1,2}', name => '"Visits of All"')$$), '"Visits of All"', 'quoted name');
SELECT is((SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relkind = 'v' AND relnamespace = 'shop'::regnamespace
             AND relowner = 'derived_dpo'::regrole AND reloptions = '{security_barrier=true}'),
  '{"Visits of All",all_masked,clicks_1,clicks_1_2,clicks_m_1_2,clicks_up_to_2}',
  'views are in the schema of the source, owned by their creator, and security barriers');
SELECT is((SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || coalesce(' ' || collname, ''), ', ' ORDER BY attnum)
             FROM pg_attribute LEFT JOIN pg_collation c ON c.oid = attcollation AND collname <> 'default'
            WHERE attrelid = 'clicks_1_2'::regclass),
  'strm_contract_version text, strm_nonce integer, strm_timestamp timestamp(3) with time zone, strm_key_link uuid, strm_consent_levels integer[], '
  'session_id text, customer_id text, email text C, url text, age integer, phone bigint, income double precision, member boolean, '
  'interests text[], scores integer[], clicks integer, ratio double precision, bot boolean, labels text[], ids bigint[]',
  'columns in order, without the seal; revealed ones have their native types');
SELECT is(col_description('clicks_1_2'::regclass, 6), 'The visit''s ''id''', 'documentation becomes the column comment');
SELECT results_eq($$SELECT derived_stream::text, source::text, purposes, consent_level_type, masked_fields, hash_type
                      FROM strm.derived_streams WHERE derived_stream = ANY ('{clicks_1_2,clicks_m_1_2,clicks_up_to_2}'::regclass[])
                     ORDER BY 1$$,
  $$VALUES ('clicks_1_2', 'clicks', '{1,2}'::int[], 'GRANULAR', '{}'::text[], NULL),
           ('clicks_m_1_2', 'clicks', '{1,2}', 'GRANULAR', '{customer_id,url}', 'blake2b'),
           ('clicks_up_to_2', 'clicks', '{2}', 'CUMULATIVE', '{}', NULL)$$, 'strm.derived_streams');
SELECT hasnt_column('strm', 'derived_streams', 'mask_seed', 'strm.derived_streams has no seed');
SELECT is((SELECT count(*)::int FROM strm.derived_stream WHERE position('a secret'::bytea IN mask_seed) > 0), 0, 'the seed is stored wrapped');

-- faults: all of a call in one error
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks', '{1,7,1,-2}', name => 'clicks_1', consent_level_type => 'NONE',
    masked_fields => '{nothing,url,url}', mask_seed => E'a secret\u0001', hash_type => 'md5')$q$)$$,
  ARRAY['22023', 'consent_level_type: must be GRANULAR or CUMULATIVE', 'hash_type: must be blake2b or murmur3',
    'purposes: levels must not be negative', 'purposes: levels must differ',
    'masked_fields: data contract "acme/derived/1.0.0" has no field "nothing"', 'masked_fields: field "url" is named twice',
    'mask_seed: must have printable characters only', 'name: relation "clicks_1" already exists'], 'every fault in one error');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks', '{1,9,8}')$q$)$$,
  ARRAY['22023', 'purposes: there is no purpose 8', 'purposes: there is no purpose 9'], 'purposes must exist');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks', '{1,2}', consent_level_type => 'CUMULATIVE')$q$)$$,
  ARRAY['22023', 'purposes: a CUMULATIVE derived stream has exactly one', 'name: relation "clicks_1_2" already exists'], 'CUMULATIVE has one purpose');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks', '{1}', name => 'x', masked_fields => '{session_id,email}')$q$)$$,
  ARRAY['22023', 'masked_fields: the purpose of field "email", 3, is not among the purposes'], 'a masked personal field needs its purpose');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks', '{1}', name => 'x', mask_seed => 'a secret')$q$)$$,
  ARRAY['22023', 'mask_seed: needs masked_fields'], 'a seed needs masked fields');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks', '{1}', name => 'x', masked_fields => '{url}', mask_seed => repeat('x', $q$ || n || $q$))$q$)
                FROM (VALUES (0), (1001)) s(n)$$,
  ARRAY['22023', 'mask_seed: must have 1 to 1000 bytes'], 'length of the seed');
SELECT set_eq($$SELECT detail_as('derived_dpo', format('SELECT strm.create_derived_stream(%L, %L, name => %L)', 'clicks', p, 'x'))
                FROM unnest(ARRAY['{}', '{NULL}', '{{1,2}}', (SELECT array_agg(i)::text FROM generate_series(1, 51) i)]) p$$,
  ARRAY['22023', 'purposes: a list of 1 to 50 levels is needed'], 'shape of the purposes');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('pg_class', NULL, name => 'nowhere.x')$q$)$$,
  ARRAY['22023', 'source: "pg_class" is not a stream', 'purposes: a list of 1 to 50 levels is needed', 'name: schema "nowhere" does not exist'],
  'source and schema');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks_1', '{1}', name => 'pg_catalog.x')$q$)$$,
  ARRAY['22023', 'source: "clicks_1" is not a stream', 'name: permission denied to create in schema "pg_catalog"'], 'a derived stream is no source');
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('clicks', '{1}', name => repeat('x', 30) || '.a.b')$q$)$$,
  ARRAY['22023', 'name: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.a.b" is not a valid name'], 'name');
REVOKE SELECT ON visits FROM :dpo;
SELECT set_eq($$SELECT detail_as('derived_dpo', $q$SELECT strm.create_derived_stream('visits', '{1}')$q$)$$,
  ARRAY['22023', 'source: permission denied to read stream "visits"'], 'the creator must be able to read the source');
GRANT SELECT ON visits TO :dpo;
SELECT matches(try_as(:'stranger', $$SELECT strm.create_derived_stream('clicks', '{1}')$$), '^42501: permission denied for function',
  'creating is for strm_approver');

-- the seed's literal in what others see of this session
CREATE FUNCTION shown_query() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM strm.create_derived_stream('clicks', '{1}', name => 'seeded', masked_fields => '{url}', mask_seed => 'a secret');
  RETURN (SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid());
END $$;
SELECT is(shown_query(), '<redacted: contains a secret>', 'the statement with the seed is not shown in pg_stat_activity');

-- rows and values
GRANT SELECT ON clicks_1_2, clicks_1, clicks_up_to_2, all_masked, clicks_m_1_2 TO :reader;
SET ROLE :reader;
SELECT json_agg(json_build_array(session_id, customer_id, url, age, phone, income, member, interests, scores, clicks) ORDER BY url) AS seen FROM clicks_1_2 \gset
SELECT json_agg(json_build_array(session_id, url, age, income, member, interests) ORDER BY url) AS seen_1 FROM clicks_1 \gset
SELECT string_agg(url || session_id || coalesce(customer_id, '-'), ' ' ORDER BY url) AS cumulative FROM clicks_up_to_2 \gset
SELECT count(*) AS ciphertexts FROM clicks_1_2 WHERE strm.consents_to(strm_consent_levels, '{1}') AND email ~ '^A[A-Za-z0-9+/=]{27,}$' \gset
RESET ROLE;
SELECT is(:'seen'::jsonb, '[["secret-session-2","secret-customer-2","u2",-8828822,-7700770021,"NaN",true,[],[7700773,null],2],
                     ["secret-session-3","secret-customer-2","u3",null,null,null,null,null,null,null]]', 'GRANULAR: rows and values');
SELECT is(:'seen_1'::jsonb, '[["secret-session-1","u1",8818811,0.1,false,["secret-a1",null]],["secret-session-2","u2",-8828822,"NaN",true,[]],
                       ["secret-session-3","u3",null,null,null,null]]', 'GRANULAR, one purpose');
SELECT is(:'cumulative'::text, 'u2secret-session-2secret-customer-2 u3secret-session-3secret-customer-2 u4secret-session-4-', 'CUMULATIVE: the highest level decides');
SELECT is(:ciphertexts, 2, 'a field of another purpose stays ciphertext');
SELECT is(try_as(:'reader', 'SELECT count(DISTINCT email) FROM clicks_up_to_2'), '3', 'CUMULATIVE: a higher purpose stays ciphertext');
SELECT is(try_as(:'dpo', $$SELECT strm.create_derived_stream('clicks', '{3}')$$), 'clicks_3', 'marketing');
SELECT is(try_as(:'dpo', $$SELECT string_agg(md5(email), ' ' ORDER BY url) FROM clicks_3$$), md5('') || ' ' || md5(repeat('secret-long ', 20000)),
  'the empty string and a long value; the owner can read his derived stream');
SET extra_float_digits = -15;
SELECT is(try_as(:'reader', 'SELECT bool_or(income = 0.1) FROM clicks_1'), 'true', 'a float reads back as it was, whatever the settings');
RESET extra_float_digits;

-- masks
SELECT is(try_as(:'reader', $$SELECT count(*) FROM all_masked WHERE session_id ~ '^[0-9a-f]{32}$' AND customer_id ~ '^[0-9a-f]{32}$'$$), '2', 'masks are 32 hex digits');
SELECT is(try_as(:'reader', 'SELECT count(DISTINCT customer_id) FROM all_masked'), '1', 'equal values have equal masks');
SELECT is(try_as(:'reader', 'SELECT count(*) FROM all_masked JOIN clicks_m_1_2 USING (customer_id)'), '0', 'another seed gives other masks');
SELECT is((SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'all_masked'::regclass AND attnum > 5),
  'text text text text text text text text text[] text[] text text text text[] text[]', 'masks are texts');
SELECT is(try_as(:'dpo', format($$SELECT strm.create_derived_stream('clicks', '{1,2}', name => %L, masked_fields => '{customer_id,url}', hash_type => 'murmur3',
  mask_seed => 'hi-there')$$, 'murmur')), 'murmur', 'murmur3');
INSERT INTO clicks (strm_consent_levels, session_id, customer_id, url)
VALUES ('{1,2}', 'murmur', 'unique-5', 'unique-5'), ('{1,2}', 'murmur', 'session-273', 'session-273'),
       ('{1,2}', 'murmur', 'sensitive-0', 'sensitive-0'), ('{1,2}', 'murmur', 'not-sensitive-6', 'not-sensitive-6');
SELECT set_eq($$SELECT customer_id, url FROM murmur WHERE session_id = 'murmur'$$,
  $$VALUES ('1083e8169d7138e990cc30095578452', '1083e8169d7138e990cc30095578452'), ('7cc66d130664caa9efacda1026c1c44', '7cc66d130664caa9efacda1026c1c44'),
           ('e49bd309eed4a5094437a71ac2bc1cad', 'e49bd309eed4a5094437a71ac2bc1cad'), ('538ad30b2aa2781e855c4eb059cf68a3', '538ad30b2aa2781e855c4eb059cf68a3')$$,
  'STRM''s documented masks, of a personal field and of another');
DELETE FROM clicks WHERE url IN ('unique-5', 'session-273', 'sensitive-0', 'not-sensitive-6');
-- a value and its text under one seed have one mask, whatever the settings
\o /dev/null
SELECT strm.create_derived_stream('clicks', '{1,2}', name => 'text_masks', mask_seed => 'a secret', masked_fields => '{url}');
\o
CREATE FUNCTION mask_of(value text) RETURNS text LANGUAGE sql AS
  $$SELECT strm.mask_value(token, 3, value) FROM strm.mask_token WHERE derived_stream = (SELECT id FROM strm.derived_streams d WHERE d.derived_stream = 'text_masks'::regclass)$$;
SET extra_float_digits = -15;
SELECT is(a, ROW(mask_of('secret-session-2'), mask_of('secret-customer-2'), mask_of('-8828822'), mask_of('-7700770021'), mask_of('NaN'), mask_of('true'),
    '{}'::text[], ARRAY[mask_of('7700773'), NULL], mask_of('u2'), mask_of('2'), mask_of('-Infinity'), NULL::text, NULL::text[], ARRAY[mask_of('9223372036854775807')]),
  'masks are of the canonical text')
  FROM (SELECT ROW(session_id, customer_id, age, phone, income, member, interests, scores, url, clicks, ratio, bot, labels, ids) FROM all_masked WHERE clicks IS NOT NULL) r(a);
RESET extra_float_digits;
SELECT is(count(*)::int, 1, 'a row of NULLs has no masks') FROM all_masked
  WHERE COALESCE(age, phone, income, member, clicks, ratio, bot) IS NULL AND COALESCE(interests, scores, labels, ids) IS NULL;

CREATE FUNCTION mask_by(field int, value text) RETURNS text LANGUAGE sql AS $$
  SELECT try_as('derived_dpo', format('SELECT strm.mask_value(token, %s, %s) FROM strm.mask_token WHERE derived_stream = %L', field, value, id))
    FROM strm.derived_streams WHERE derived_stream = 'text_masks'::regclass
$$;
SELECT is(mask_by(3, '$$x$$::text'), mask_of('x'), 'the owner holds the token');
SELECT set_eq($$SELECT mask_by(f, v) FROM (VALUES (4, '1'), (3, '1'), (1, '$q$x$q$::text'), (-1, '$q$x$q$::text'), (99, '$q$x$q$::text')) x(f, v)$$,
  ARRAY['22023: derived stream "text_masks" masks no such field'], 'only for the masked fields that are not personal, and their types');

-- privileges
SELECT matches(try_as(:'stranger', 'SELECT session_id FROM clicks_1_2'), '^42501', 'no SELECT, no rows');
SELECT matches(try_as(:'reader', 'SELECT session_id FROM clicks'), '^42501', 'a derived stream''s readers need no right on the source');
GRANT SELECT (session_id, url) ON clicks_1_2 TO derived_column_reader;
SELECT is(try_as('derived_column_reader', 'SELECT min(session_id) FROM clicks_1_2'), 'secret-session-2', 'a granted column');
SELECT matches(try_as('derived_column_reader', 'SELECT min(age) FROM clicks_1_2'), '^42501', 'another column');
CREATE VIEW wrapped AS SELECT session_id, age FROM clicks_1_2;
ALTER VIEW wrapped OWNER TO :dpo;
GRANT SELECT ON wrapped TO :reader, :stranger, derived_column_reader;
SELECT is(try_as(:'reader', 'SELECT string_agg(session_id, $$ $$ ORDER BY session_id) FROM wrapped'), 'secret-session-2 secret-session-3',
  'a view over a derived stream, for readers of both');
SELECT matches(try_as(:'stranger', 'SELECT max(session_id) FROM wrapped'), '^42501: permission denied for view clicks_1_2', 'not for others');
SELECT is(try_as('derived_column_reader', 'SELECT max(session_id) FROM wrapped'), 'secret-session-3', 'by column');
SELECT matches(try_as('derived_column_reader', 'SELECT max(age) FROM wrapped'), '^42501: permission denied for view clicks_1_2', 'and not by another');

-- read-only, with every privilege too
GRANT ALL ON clicks_1_2 TO :reader;
SELECT is(try_as(:'reader', $$INSERT INTO clicks_1_2 (session_id) VALUES ('x') RETURNING 1$$), '55000: derived stream is read-only', 'INSERT');
SELECT is(try_as(:'reader', $$UPDATE clicks_1_2 SET url = 'x' RETURNING 1$$), '55000: derived stream is read-only', 'UPDATE');
SELECT is(try_as(:'reader', $$DELETE FROM clicks_1_2 RETURNING 1$$), '55000: derived stream is read-only', 'DELETE');
SELECT is(count(*)::int, 5, 'nothing was written') FROM clicks;

-- ways to run a query
SET ROLE :reader;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT session_id FROM clicks_1_2 ORDER BY url;
FETCH 1 FROM c \gset first_
FETCH 1 FROM c \gset second_
FETCH BACKWARD 1 FROM c \gset third_
COMMIT;
PREPARE p(text) AS SELECT string_agg(customer_id || age, ',') AS prepared FROM clicks_1_2 WHERE session_id = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE p('secret-session-2') \gset
EXECUTE p('secret-session-2') \gset again_
BEGIN READ ONLY;
SELECT count(session_id) AS read_only FROM clicks_1_2 \gset
COMMIT;
SELECT count(*) AS joined FROM clicks_1_2 a JOIN clicks_1 b USING (session_id) WHERE a.age = b.age \gset
RESET ROLE;
SELECT is(ARRAY[:'first_session_id', :'second_session_id', :'third_session_id'], '{secret-session-2,secret-session-3,secret-session-2}', 'a cursor');
SELECT is(ARRAY[:'prepared', :'again_prepared'], '{secret-customer-2-8828822,secret-customer-2-8828822}', 'a prepared plan');
SELECT is(:read_only, 2, 'a read-only transaction');
SELECT is(:joined, 1, 'a join of two derived streams');

-- a REVOKE takes effect at the next execution, and a change of role at the next fetch
BEGIN;
SET LOCAL ROLE :reader;
DECLARE c CURSOR FOR SELECT session_id FROM clicks_1_2;
FETCH 1 FROM c \gset
SET LOCAL ROLE :stranger;
-- (these errors are part of the test)
\set ON_ERROR_STOP 0
\set VERBOSITY sqlstate
FETCH 1 FROM c;
ROLLBACK;
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '42501', 'a cursor that is read on as another role');
REVOKE ALL ON clicks_1_2 FROM :reader;
SET ROLE :reader;
EXECUTE p('secret-session-2');
RESET ROLE;
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '42501', 'a prepared plan after a REVOKE');
\set ON_ERROR_STOP 1
\set VERBOSITY default
GRANT SELECT ON clicks_1_2 TO :reader;

-- parallel plans
INSERT INTO clicks (strm_consent_levels, session_id, customer_id, url)
SELECT CASE WHEN i % 2 = 0 THEN '{1,2}'::int[] END, 'parallel-' || i % 50, i, 'p' FROM generate_series(1, 3000) i;
ANALYZE clicks;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
CREATE FUNCTION plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP plan := plan || line || E'\n'; END LOOP;
  RETURN plan;
END $$;
SELECT matches(plan_of($$SELECT sum(customer_id::int) FROM clicks_1_2 WHERE url = 'p'$$), 'Gather(.|\n)*Partial Aggregate(.|\n)*Parallel Seq Scan on clicks',
  'workers decrypt');
SELECT matches(plan_of($$SELECT sum(length(url || customer_id)) FROM clicks_m_1_2$$), 'Gather(.|\n)*Parallel Seq Scan on clicks',
  'workers mask');
SET ROLE :reader;
SELECT sum(customer_id::int) AS total, count(DISTINCT session_id) AS sessions FROM clicks_1_2 WHERE url = 'p' \gset
SELECT count(DISTINCT customer_id) AS masks, count(DISTINCT url) AS urls FROM clicks_m_1_2 \gset
RESET ROLE;
SELECT is(ARRAY[:total, :sessions], ARRAY[2251500, 25], 'what workers decrypted');
SELECT is(ARRAY[:masks, :urls], ARRAY[1501, 3], 'what workers masked');
RESET ALL;
SET search_path = shop, public;
DELETE FROM clicks WHERE url = 'p';

-- destroyed and lost keys; a new tombstone empties every session's cache of keys
SELECT strm_key_link AS destroyed FROM clicks WHERE url = 'u2' \gset
SELECT strm_key_link AS lost FROM clicks WHERE url = 'u3' \gset
DELETE FROM strm.data_key WHERE key_link = :'lost';
INSERT INTO strm.data_key_tombstone (key_link, owner) SELECT :'destroyed', owner FROM strm.data_key WHERE key_link = :'destroyed' LIMIT 1;
SELECT is(try_as(:'reader', $$SELECT (session_id, customer_id, age, scores, url) FROM clicks_1_2 WHERE url = 'u2'$$), '(,,,,u2)', 'a destroyed key reads as NULL');
SELECT is(try_as(:'reader', $$SELECT (session_id, customer_id, url) FROM all_masked WHERE clicks IS NOT NULL$$),
  '(,,' || mask_of('u2') || ')', 'and so does a mask');
SELECT matches(try_as(:'stranger', $$SELECT max(session_id) FROM wrapped$$), '^42501: permission denied for view', 'privileges are checked all the same');
SELECT matches(try_as(:'reader', $$SELECT session_id FROM clicks_1_2 WHERE url = 'u3'$$), '^XX001', 'a lost key is an error: it must not look destroyed');
SELECT is(try_as(:'reader', $$SELECT url FROM clicks_1_2 WHERE url = 'u3'$$), 'u3', 'but not where nothing is revealed');

-- the filters
SELECT results_eq($$SELECT strm.consents_to(l, p) FROM (VALUES ('{1,2}'::int[], '{1}'::int[]), ('{1,2}', '{1,2}'), ('{1,2}', '{1,3}'), ('{}', '{1}'), ('{1}', '{}'),
    ('{{1,2}}', '{1}'), ('{1,NULL}', '{1}'), ('{1}', '{1,NULL}'), ('{1}', '{{1}}'), ('[5:6]={1,2}', '{1,2}'), (NULL, '{1}'), ('{1}', NULL)) v(l, p)$$,
  ARRAY[true, true, false, false, false, false, false, false, false, true, NULL, NULL], 'strm.consents_to');
SELECT results_eq($$SELECT strm.consents_up_to(l, p) FROM (VALUES ('{1,2}'::int[], 2), ('{1,2}', 3), ('{3}', 2), ('{}', 0), ('{{1,2}}', 1), ('{1,NULL}', 1), (NULL, 1)) v(l, p)$$,
  ARRAY[true, false, true, false, false, false, NULL], 'strm.consents_up_to');
SELECT is((SELECT array_agg(proname::text ORDER BY proname) FROM pg_proc WHERE pronamespace = 'strm'::regnamespace AND proleakproof), '{consents_to,consents_up_to}',
  'only the filters are leakproof');

-- dropping
SELECT matches(try_as(:'dpo', $$SELECT strm.drop_derived_stream('clicks_1_2')$$), '^2BP01', 'refused while a view depends on it');
SELECT matches(try_as(:'dpo', $$SELECT strm.drop_derived_stream('wrapped')$$), '^42704', 'not a derived stream');
SELECT matches(try_as(:'stranger', $$SELECT strm.drop_derived_stream('clicks_1')$$), '^42501', 'not for everybody');
CREATE ROLE derived_other_dpo IN ROLE strm_approver;
SELECT matches(try_as('derived_other_dpo', $$SELECT strm.drop_derived_stream('clicks_1')$$), '^42501: must be owner of view', 'not another''s');
SELECT is(try_as(:'dpo', $$SELECT strm.drop_derived_stream('clicks_1')$$), '', 'by its owner');
SELECT is(try_as('derived_admin', $$SELECT strm.drop_derived_stream('shop.clicks_3')$$), '', 'by an administrator');
SELECT is((SELECT count(*)::int FROM pg_class WHERE relname IN ('clicks_1', 'clicks_3')), 0, 'the views are gone');
SELECT is((SELECT count(*)::int FROM strm.derived_stream WHERE relation::text ~ '^[0-9]+$'), 0, 'and so are their registrations');

SELECT * FROM finish();
