-- Partitioned streams: routing, guards, retention, partitions made later.
\set SHOW_CONTEXT never
\pset null '(null)'
CREATE ROLE regress_strm_partition IN ROLE strm_member, strm_approver;
CREATE ROLE regress_strm_producer;
CREATE SCHEMA parted AUTHORIZATION regress_strm_partition;
GRANT USAGE ON SCHEMA parted TO regress_strm_producer;
SET search_path = parted;
SELECT strm.create_data_contract('regress/parted/1.0.0',
  '{"nodes": [{"type": "STRING", "name": "id"}, {"type": "STRING", "name": "who"}, {"type": "INTEGER", "name": "n"}]}',
  '{"keyField": "id", "dataSubjectField": "who", "piiFields": {"id": 1, "who": 2}}') > 0 AS created;
SELECT strm.activate_data_contract('regress/parted/1.0.0');
SET ROLE regress_strm_partition;

-- widths
SELECT strm.create_stream('', contract => 'regress/none/1.0.0', policy => 'none', key_rotation => '0', partition_by => '59 minutes');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.create_stream('x', contract => 'regress/parted/1.0.0', partition_by => '101 years');
SELECT strm.create_stream('x', contract => 'regress/parted/1.0.0', partition_by => '1 month 1 day');
SELECT strm.create_stream('x', contract => 'regress/parted/1.0.0', partition_by => '-1 day');
SELECT strm.create_stream('x', contract => 'regress/parted/1.0.0', partition_by => '-1 month');
SELECT strm.create_stream('x', contract => 'regress/parted/1.0.0', partition_by => '1 hour 1 second');
SELECT strm.create_stream('x', contract => 'regress/parted/1.0.0', partition_by => '178000000 years');
SELECT strm.create_stream('x', contract => 'regress/parted/1.0.0', partition_by => '2000000000 days 2000000000 hours');

-- windows: their number, width and first moment, in UTC, adjoining each other
SET timezone = 'Asia/Kathmandu';
CREATE VIEW windows AS
SELECT i.inhparent::regclass::text AS stream, i.inhrelid::regclass::text AS partition,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('([^']+)'$$))[1]::timestamptz AT TIME ZONE 'UTC' AS starts,
       (regexp_match(pg_get_expr(c.relpartbound, c.oid), $$TO \('([^']+)'$$))[1]::timestamptz AT TIME ZONE 'UTC' AS ends,
       pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS rest, c.relreplident, c.relowner::regrole AS owner
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'r' AND c.relispartition;
SELECT strm.create_stream('hours', contract => 'regress/parted/1.0.0', partition_by => '1 hour');
SELECT strm.create_stream('days', contract => 'regress/parted/1.0.0', partition_by => '24 hours', index_key_link => false);
SELECT strm.create_stream('weeks', contract => 'regress/parted/1.0.0', partition_by => '7 days');
SELECT strm.create_stream('Monats Ströme', contract => 'regress/parted/1.0.0', partition_by => '1 month');
SELECT strm.create_stream('years', contract => 'regress/parted/1.0.0', partition_by => '1 year');
SELECT strm.create_stream('odd', contract => 'regress/parted/1.0.0', partition_by => '5 months');
SELECT strm.create_stream('plain', contract => 'regress/parted/1.0.0');
SELECT stream, count(*) AS partitions, count(*) FILTER (WHERE rest) AS defaults, max(age(ends, starts)) FILTER (WHERE stream !~ 'on|odd') AS width,
       min(starts) <= now() AT TIME ZONE 'UTC' AND min(ends) > now() AT TIME ZONE 'UTC' AS first_is_present,
       bool_and(starts = date_trunc(CASE WHEN stream ~ 'hour' THEN 'hour' WHEN stream ~ 'day' THEN 'day' WHEN stream ~ 'week' THEN 'week'
                                         WHEN stream ~ 'year' THEN 'year' ELSE 'month' END, starts)) AS aligned,
       count(DISTINCT starts) + 1 = count(DISTINCT ends) + count(DISTINCT starts) FILTER (WHERE starts = ends) + 1 AS distinct_windows,
       string_agg(DISTINCT relreplident::text, '') AS replica_identity, string_agg(DISTINCT owner::text, '') AS owner
  FROM windows GROUP BY stream ORDER BY stream COLLATE "C";
SELECT count(*) FROM windows a WHERE NOT rest AND NOT EXISTS (SELECT FROM windows b WHERE b.stream = a.stream AND b.starts = a.ends);
SELECT count(*) FROM windows WHERE stream = 'odd' AND age(ends, starts) <> '5 months' AND NOT rest;
SELECT bool_and(rest OR partition = stream || to_char(starts, '_pYYYYMMDD')) FROM windows WHERE stream IN ('days', 'weeks');
SELECT bool_and(rest OR partition = stream || to_char(starts, '_pYYYYMMDD_HH24MI')) FROM windows WHERE stream = 'hours';
SELECT bool_and(rest OR partition = '"Monats Ströme' || to_char(starts, '_pYYYYMM') || '"') FROM windows WHERE stream ~ 'Monat';
SELECT partition FROM windows WHERE rest ORDER BY partition COLLATE "C";
SELECT stream, partition_by FROM strm.streams WHERE stream::text ~ 'days|odd|plain' ORDER BY stream::text;
SELECT tablename, count(*) FROM pg_indexes WHERE schemaname = 'parted' AND tablename ~ '^(hours|days)$|default' GROUP BY tablename ORDER BY tablename COLLATE "C";

-- rows go to the present window's partition, whichever way they come
SELECT strm.create_derived_stream('days', purposes => '{1,2}');
GRANT INSERT, SELECT ON days, plain TO regress_strm_producer;
SELECT format('GRANT INSERT ON %s TO regress_strm_producer', partition), partition AS today FROM windows WHERE stream = 'days' ORDER BY starts LIMIT 1 \gset
:format;
RESET ROLE;
SET ROLE regress_strm_producer;
INSERT INTO days (strm_consent_levels, id, who, n) VALUES ('{1,2}', 'a', 'p', 1), ('{1,2}', 'b', 'p', 2);
COPY days (strm_consent_levels, id, who, n) FROM STDIN;
{1,2}	c	q	3
{}	d	q	4
\.
INSERT INTO days (id, n) SELECT 'e' || i, 4 + i FROM generate_series(1, 3) AS i;
INSERT INTO days (strm_consent_levels, id, n) VALUES ('{1,2}', 'f', 8) ON CONFLICT DO NOTHING RETURNING n, strm_timestamp = date_trunc('milliseconds', strm_timestamp) AS whole;
PREPARE p AS INSERT INTO days (strm_consent_levels, id, n) VALUES ($1, $2, $3);
EXECUTE p ('{1,2}', 'g', 9);
-- straight into a partition
INSERT INTO :today (strm_consent_levels, id, n) VALUES ('{1,2}', 'h', 10);
COPY :today (strm_consent_levels, id, n) FROM STDIN;
{1,2}	i	11
\.
INSERT INTO days (strm_consent_levels, id, n, strm_timestamp) VALUES ('{1,2}', 'j', 12, now());
RESET ROLE;
SET ROLE regress_strm_partition;
SELECT tableoid::regclass::text = :'today' AS today, count(*), bool_and(id ~ '^[A-Za-z0-9+/]{28,}=*$') AS ciphertext, count(strm_seal) AS sealed
  FROM days GROUP BY 1;
SELECT id, who, n FROM days_1_2 ORDER BY n;

-- a producer's own timestamp is refused with a message of ours, whatever partition it would go to, also NULL
RESET ROLE;
SET ROLE regress_strm_producer;
INSERT INTO days (id, who, strm_timestamp) VALUES ('planted', 'x', '2001-02-03');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO days (id, who, strm_timestamp) VALUES ('planted', 'x', now() + interval '1 second');
INSERT INTO days (id, who, strm_timestamp) VALUES ('planted', 'x', 'infinity');
INSERT INTO days (id, who, strm_timestamp) VALUES ('planted', 'x', NULL);
COPY days (id, strm_timestamp) FROM STDIN;
planted	2001-02-03
\.
-- a row for another partition: the server's own message, which shows no personal value
INSERT INTO days_default (id) VALUES ('planted');
-- in a stream that is not partitioned it is overwritten
INSERT INTO plain (id, strm_timestamp) VALUES ('a', '2001-02-03') RETURNING strm_timestamp > now() - interval '1 minute' AS overwritten;
INSERT INTO plain (id, strm_timestamp) VALUES ('a', NULL) RETURNING strm_timestamp > now() - interval '1 minute' AS overwritten;
RESET ROLE;
SET ROLE regress_strm_partition;
INSERT INTO days_default (id) VALUES ('planted');
SELECT count(*) FROM days;

-- the guards hold for partitions
CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
\set VERBOSITY sqlstate
UPDATE days SET n = 0;
UPDATE :today SET n = 0;
\set VERBOSITY default
ALTER TABLE days_default DISABLE TRIGGER strm_encrypt;
ALTER TABLE days_default DISABLE TRIGGER ALL;
DROP TRIGGER strm_encrypt ON days_default;
ALTER TABLE days_default DROP CONSTRAINT strm_ciphertext;
CREATE TRIGGER spy BEFORE INSERT ON days_default FOR EACH ROW EXECUTE FUNCTION spy();
CREATE RULE spy AS ON INSERT TO days_default DO ALSO SELECT 1;
CREATE TABLE with_spy (LIKE days INCLUDING ALL);
CREATE TRIGGER a_spy BEFORE INSERT ON with_spy FOR EACH ROW EXECUTE FUNCTION spy();
ALTER TABLE days ATTACH PARTITION with_spy FOR VALUES FROM ('1999-01-01') TO ('2000-01-01');
DROP TABLE with_spy;
-- nor does the key of a partition that is partitioned itself: rows are routed before any trigger
CREATE FUNCTION peek(text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
CREATE TABLE peeking PARTITION OF days FOR VALUES FROM ('1999-01-01') TO ('2000-01-01') PARTITION BY LIST (peek(who));
CREATE TABLE peeking PARTITION OF days FOR VALUES FROM ('1999-01-01') TO ('2000-01-01') PARTITION BY HASH (n, id);
CREATE TABLE peeking (LIKE days INCLUDING ALL) PARTITION BY RANGE ((who || n));
ALTER TABLE days ATTACH PARTITION peeking FOR VALUES FROM ('1999-01-01') TO ('2000-01-01');
DROP TABLE peeking;
CREATE TABLE halves PARTITION OF days FOR VALUES FROM ('1999-01-01') TO ('2000-01-01') PARTITION BY RANGE (n, abs(n));
DROP TABLE halves;
RESET ROLE;
CREATE SCHEMA parted_too CREATE TABLE peeking PARTITION OF parted.days FOR VALUES FROM ('1999-01-01') TO ('2000-01-01') PARTITION BY LIST (parted.peek(who));
CREATE SCHEMA parted_too CREATE TABLE spying PARTITION OF parted.days FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')
  CREATE TRIGGER a_spy BEFORE INSERT ON spying FOR EACH ROW EXECUTE FUNCTION parted.spy();
SET ROLE regress_strm_partition;
ALTER TABLE days_default SET UNLOGGED;
CREATE TABLE without_check (LIKE days);
ALTER TABLE days ATTACH PARTITION without_check FOR VALUES FROM ('1999-01-01') TO ('2000-01-01');
DROP TABLE without_check;
SELECT tgrelid::regclass::text = 'days' AS is_stream, tgname, tgenabled, count(*) FROM pg_trigger
 WHERE tgrelid = 'days'::regclass OR tgparentid IN (SELECT oid FROM pg_trigger WHERE tgrelid = 'days'::regclass) GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- more partitions
SELECT strm.create_partitions('days');
SELECT strm.create_partitions('days', 6);
SELECT strm.create_partitions('days', ahead => 6);
SELECT strm.create_partitions('days', 0);
-- (46 of the hours, or one more when an hour begins just now)
SELECT strm.create_partitions('odd', 5), strm.create_partitions('"Monats Ströme"', 5), strm.create_partitions('hours', 50) IN (46, 47);
SELECT stream, count(*) FROM windows WHERE stream <> 'hours' GROUP BY stream ORDER BY stream COLLATE "C";
SELECT count(*) FROM windows a WHERE NOT rest AND NOT EXISTS (SELECT FROM windows b WHERE b.stream = a.stream AND b.starts = a.ends);
SELECT strm.create_partitions('plain', -1);
SELECT strm.create_partitions('days', 1001);
SELECT strm.create_partitions('windows');
RESET ROLE;
SET ROLE regress_strm_producer;
SELECT strm.create_partitions('days');
RESET ROLE;
CREATE ROLE regress_strm_other IN ROLE strm_member;
SET ROLE regress_strm_other;
SELECT strm.create_partitions('parted.days');
RESET ROLE;
-- a superuser calls it: the owner still owns them
SELECT strm.create_partitions('days', 7);
SELECT count(*), owner FROM windows WHERE stream = 'days' GROUP BY owner;

-- retention: a partition that is detached or dropped takes its rows along
SET ROLE regress_strm_partition;
ALTER TABLE days DETACH PARTITION :today;
SELECT count(*) FROM days;
SELECT count(*) FROM :today;
SELECT count(*) FROM pg_trigger WHERE tgrelid = :'today'::regclass;
INSERT INTO :today (strm_contract_version, strm_nonce, strm_key_link, strm_seal, id) VALUES ('1.0.0', 1, gen_random_uuid(), '', 'plaintext');
-- no partition for the present window: no INSERT fails
INSERT INTO days (strm_consent_levels, id, who, n) SELECT '{1,2}', 'k' || i, 'z' || i, 100 + i FROM generate_series(1, 3) AS i;
SELECT tableoid::regclass, count(*) FROM days GROUP BY 1;
-- nor is there one while a Kafka exporter reads existing events, or may yet: to it, rows that move would look new
RESET ROLE;
BEGIN;
INSERT INTO strm.kafka_exporter (id, name, owner, cluster_id, stream_id, topic, partitions, format, transactional, include_existing_events, defined_at, defined_lsn)
  SELECT gen_random_uuid(), 'days', 'regress_strm_partition', gen_random_uuid(), id, 'days', 1, 'json', false, false, '3:3:', '0/1' FROM strm.stream WHERE relation = 'days'::regclass;
INSERT INTO strm.kafka_exporter_state (exporter_id, state) SELECT id, 'CREATING' FROM strm.kafka_exporter;
SET LOCAL client_min_messages = warning;
SELECT strm.create_partitions('days');
UPDATE strm.kafka_exporter_state SET state = 'BACKFILLING', start_lsn = '0/1', backfill = '1 0 0/1 1 3:3: -';
SELECT strm.create_partitions('days');
SELECT tableoid::regclass, count(*) FROM days GROUP BY 1;
ROLLBACK;
SET ROLE regress_strm_partition;
-- until there is one: rows move there as they are
CREATE TEMP TABLE before AS SELECT * FROM days;
SELECT strm.create_partitions('days');
SELECT tableoid::regclass::text = 'days_default' AS is_default, count(*) FROM days GROUP BY 1;
SELECT partition = :'today' || '1' AS free_name FROM windows WHERE stream = 'days' AND NOT rest ORDER BY starts LIMIT 1;
SELECT count(*) FROM (TABLE before EXCEPT TABLE days) AS gone;
SELECT id, who, n FROM days_1_2 ORDER BY n;
INSERT INTO days (strm_consent_levels, id, who, n) VALUES ('{1,2}', 'k1', 'z1', 104);
SELECT count(DISTINCT id), count(DISTINCT strm_key_link) FROM days WHERE n IN (101, 104);
-- what was detached can come back, with what it holds
SELECT partition FROM windows WHERE stream = 'days' AND NOT rest ORDER BY starts LIMIT 1 \gset
SELECT starts || '+00' AS starts, ends || '+00' AS ends FROM windows WHERE partition = :'partition' \gset
DROP TABLE :partition;
ALTER TABLE days ATTACH PARTITION :today FOR VALUES FROM (:'starts') TO (:'ends');
SELECT id, who, n FROM days_1_2 ORDER BY n;
SELECT count(*) FROM pg_trigger WHERE tgrelid = :'today'::regclass;
INSERT INTO :today (strm_consent_levels, id, n) VALUES ('{1,2}', 'z', 13);
SELECT count(*) FROM days_1_2;
DROP TABLE :today;
SELECT count(*) FROM days;
-- without a default partition, too: the error shows a time only
DROP TABLE days_default;
\set VERBOSITY terse
INSERT INTO days (id, who) VALUES ('planted', 'planted');
\set VERBOSITY default
SELECT :'LAST_ERROR_MESSAGE' !~ 'planted' AS no_value;
SELECT strm.create_partitions('days', 1);
INSERT INTO days (id, who) VALUES ('a', 'b') RETURNING who ~ '=$|^A';

-- events in JSON, in and out; simulated ones
SELECT strm.ingest('weeks', '{"strmMeta": {"eventContractRef": "regress/parted/1.0.0", "consentLevels": [1, 2], "timestamp": 1}, "id": "a", "who": "b", "n": 1}') IS NOT NULL AS ingested;
SELECT count(*) FROM strm.events('weeks');
SELECT strm.simulate_random_events('weeks', events => 50) AS simulated;
SELECT count(*), count(DISTINCT tableoid) AS partitions, bool_and(id ~ '^[A-Za-z0-9+/]{28,}=*$') AS ciphertext FROM weeks;

-- sealed rows, deletion, erasure
CREATE TEMP TABLE kept AS SELECT * FROM hours WITH NO DATA;
INSERT INTO hours (strm_consent_levels, id, who, n) VALUES ('{1,2}', 'a', 'subject 1', 1), ('{1,2}', 'a', 'subject 2', 2);
INSERT INTO kept SELECT * FROM hours;
DELETE FROM hours;
INSERT INTO hours SELECT * FROM kept;
SELECT count(*) FROM (TABLE kept INTERSECT TABLE hours) AS same;
SELECT strm.delete_data_subjects('subject 1');
SELECT n FROM hours;
TRUNCATE hours;
DROP TABLE hours;
SELECT strm.drop_stream('"Monats Ströme"');
SELECT stream FROM strm.streams WHERE stream::text ~ 'hours|Monat';
SELECT count(*) FROM windows WHERE stream ~ 'hours|Monat';

RESET ROLE;
SET client_min_messages = warning;
RESET search_path;
DROP OWNED BY regress_strm_partition, regress_strm_producer CASCADE;
DROP SCHEMA IF EXISTS parted CASCADE;
DROP ROLE regress_strm_partition, regress_strm_producer, regress_strm_other;
