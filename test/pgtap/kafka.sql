-- Kafka clusters and exporters as definitions: who may make and change them, all that is refused, and that secrets are never shown. No
-- worker sees any of it, as nothing is committed; what is published is tested elsewhere.
\set ON_ERROR_STOP on
\pset tuples_only on
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION strm_privacy;
BEGIN;
SELECT no_plan();

CREATE ROLE kafka_alice IN ROLE strm_member;
CREATE ROLE kafka_bob IN ROLE strm_member;
CREATE ROLE kafka_team;
CREATE ROLE kafka_carol IN ROLE strm_member, kafka_team;
CREATE ROLE kafka_dora IN ROLE strm_approver;
CREATE ROLE kafka_admin IN ROLE strm_admin;
CREATE ROLE kafka_watcher IN ROLE strm_monitor;
CREATE ROLE kafka_key IN ROLE strm_key_exporter;
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;

-- SQLSTATE, message, detail and hint of what a role's statement raises; NULL when it succeeds
CREATE TYPE failure AS (state text, message text, detail text, hint text);
CREATE FUNCTION failure_of(role text, statement text) RETURNS failure LANGUAGE plpgsql AS $$
DECLARE
  f failure;
BEGIN
  PERFORM set_config('role', role, true);
  EXECUTE statement;
  PERFORM set_config('role', 'none', true);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS f.state = RETURNED_SQLSTATE, f.message = MESSAGE_TEXT, f.detail = PG_EXCEPTION_DETAIL, f.hint = PG_EXCEPTION_HINT;
  RETURN f;
END $$;
CREATE FUNCTION state_of(role text, statement text) RETURNS text LANGUAGE sql AS $$ SELECT (failure_of(role, statement)).state $$;
-- the faults of a cluster's definition
CREATE FUNCTION faults_of(servers text, config jsonb DEFAULT '{}', role text DEFAULT 'kafka_alice') RETURNS text LANGUAGE sql AS $$
  SELECT (failure_of(role, format('DO $d$ BEGIN PERFORM strm.create_kafka_cluster(''faulty'', %L, %L); PERFORM strm.drop_kafka_cluster(''faulty''); END $d$', servers, config))).detail
$$;

-- what a definition looks like, and what of it is shown
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_kafka_cluster('shop', 'k1.example.com:9092, k2.example.com:9092', '{"security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "app", "sasl.password": "open sesame", "linger.ms": 5, "socket.keepalive.enable": true}') $$), NULL, 'a member defines a cluster');
SELECT is(row_to_json(c)::jsonb - 'id' - 'created_at',
          '{"name": "shop", "owner": "kafka_alice", "bootstrap_servers": "k1.example.com:9092, k2.example.com:9092", "has_credentials": true, "usable_by": [], "ours": true,
            "config": {"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "app", "linger.ms": 5, "socket.keepalive.enable": true},
            "slot_name": null, "wal_status": null, "safe_wal_size": null, "lag_bytes": null, "worker_pid": null, "worker_since": null, "address": null}',
          'all but the secrets is shown')
  FROM strm.kafka_clusters c;
SELECT is((SELECT count(*) FROM strm.kafka_cluster c WHERE strpos(c::text, 'sesame') > 0 OR position(convert_to('sesame', 'UTF8') IN c.credentials) > 0), 0::bigint,
          'secrets are stored encrypted');
SELECT is(trusted, false, 'a member''s cluster is not trusted') FROM strm.kafka_cluster;
SELECT is(state_of('kafka_bob', $$ SELECT strm.create_kafka_cluster('shop', 'k:9092') $$), '42710', 'a name is taken once');
SELECT is(state_of('kafka_bob', statement), state, statement)
  FROM (VALUES
    ($$ SELECT strm.create_kafka_cluster(E'a\nb', 'k:9092') $$, '22023'), ($$ SELECT strm.create_kafka_cluster('', 'k:9092') $$, '22023'),
    ($$ SELECT strm.create_kafka_cluster(repeat('x', 101), 'k:9092') $$, '22023'), ($$ SELECT strm.create_kafka_cluster(NULL, 'k:9092') $$, '22023'),
    ($$ SELECT strm.create_kafka_cluster('x', NULL) $$, '22023'), ($$ SELECT strm.create_kafka_cluster('x', 'k:9092', NULL) $$, '22023'),
    ($$ SELECT strm.create_kafka_cluster('x', 'k:9092', jsonb_build_object('client.id', repeat('x', 300000))) $$, '54000')) AS v (statement, state);
SELECT is(state_of(role, format('SELECT strm.create_kafka_cluster(%L, ''k:9092'')', role)), CASE WHEN role IN ('kafka_watcher', 'kafka_key') THEN '42501' END, role)
  FROM unnest('{kafka_dora,kafka_admin,kafka_watcher,kafka_key}'::text[]) AS role;
SELECT is(trusted, name = 'kafka_admin', name || ': trusted if made by strm_admin') FROM strm.kafka_cluster WHERE name IN ('kafka_dora', 'kafka_admin');
SELECT is(state_of('kafka_bob', $$ SELECT strm.create_kafka_cluster('demo', 'embedded', '{"linger.ms": 0, "schema.registry.url": "https://registry.example.com"}') $$), NULL, 'the embedded broker is for everybody');

-- brokers
SELECT is(faults_of(servers), fault, servers)
  FROM (VALUES
    ('k:9092,', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('k', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('k:0', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('k:65536', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('k:9092x', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('SSL://k:9092', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('a b:9092', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('::1:9092', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    ('embedded,k:9092', 'bootstrap_servers must be host:port, or several of them with commas between, or ''embedded'''),
    (repeat('k:9092,', 300) || 'k:9092', 'bootstrap_servers has more than 2000 characters'),
    ('localhost:9092', 'bootstrap_servers: "localhost:9092" may not be reached: it is this machine itself, which is for clusters made by an administrator'),
    ('a.localhost:9092', 'bootstrap_servers: "a.localhost:9092" may not be reached: it is this machine itself, which is for clusters made by an administrator'),
    ('k:9092, 127.0.0.1:9092', 'bootstrap_servers: "127.0.0.1:9092" may not be reached: its address is this machine''s own, which is for connectors and clusters made by an administrator'),
    ('[::1]:9092', 'bootstrap_servers: "[::1]:9092" may not be reached: its address is this machine''s own, which is for connectors and clusters made by an administrator'),
    ('169.254.169.254:80', 'bootstrap_servers: "169.254.169.254:80" may not be reached: its address is link-local'),
    ('10.1.2.3:9092,[2001:db8::1]:9092,k-1.example.com:65535', NULL)) AS v (servers, fault);
SELECT is(faults_of('localhost:9092,127.0.0.1:9092,[::1]:9092', role => 'kafka_admin'), NULL, 'administrators may reach this machine itself');
SELECT is(faults_of('169.254.169.254:80', role => 'kafka_admin'), 'bootstrap_servers: "169.254.169.254:80" may not be reached: its address is link-local', 'but not link-local addresses');

-- properties that may not be set: files, libraries, commands of the server; what delivery depends on; what there is not
CREATE TABLE forbidden (name text PRIMARY KEY, why text);
INSERT INTO forbidden VALUES
  ('plugin.library.paths', 'it loads libraries into the server'), ('sasl.kerberos.kinit.cmd', 'it runs commands and reads files of the server'),
  ('sasl.kerberos.service.name', NULL), ('sasl.kerberos.principal', NULL), ('sasl.kerberos.keytab', NULL), ('sasl.kerberos.min.time.before.relogin', NULL),
  ('ssl.ca.location', 'it names a file of the server: give the text itself in a property that ends in .pem'), ('ssl.certificate.location', NULL), ('ssl.key.location', NULL),
  ('ssl.crl.location', NULL), ('ssl.keystore.location', NULL), ('ssl.keystore.password', NULL), ('ssl.truststore.location', NULL), ('ssl.engine.location', NULL), ('ssl.engine.id', NULL),
  ('ssl.providers', 'it loads libraries into the server'), ('ssl.ca.certificate.stores', NULL), ('ssl_engine_callback_data', NULL), ('https.ca.location', NULL),
  ('sasl.oauthbearer.assertion.private.key.file', NULL), ('sasl.oauthbearer.assertion.file', NULL), ('sasl.oauthbearer.assertion.jwt.template.file', NULL), ('sasl.jaas.config', NULL),
  ('sasl.oauthbearer.assertion.private.key.pem', NULL), ('oauthbearer_token_refresh_cb', NULL), ('connect_cb', 'it is a function'), ('open_cb', NULL), ('opaque', NULL), ('offset.store.path', NULL),
  ('enable.idempotence', 'delivery depends on it, and it is always on'), ('acks', 'delivery depends on it, and it is always all'), ('request.required.acks', NULL), ('message.timeout.ms', NULL),
  ('delivery.timeout.ms', NULL), ('retries', NULL), ('message.send.max.retries', NULL), ('max.in.flight', NULL), ('max.in.flight.requests.per.connection', NULL), ('partitioner', NULL),
  ('queuing.strategy', NULL), ('transactional.id', NULL), ('enable.gapless.guarantee', NULL), ('queue.buffering.max.messages', NULL), ('queue.buffering.max.kbytes', NULL),
  ('queue.buffering.backpressure.threshold', NULL), ('delivery.report.only.error', NULL), ('test.mock.num.brokers', NULL), ('test.mock.broker.rtt', NULL), ('bootstrap.servers', NULL),
  ('metadata.broker.list', NULL), ('debug', NULL), ('log_level', NULL), ('log.queue', NULL), ('allow.auto.create.topics', NULL), ('group.id', NULL), ('isolation.level', NULL),
  ('interceptors', NULL), ('interceptor.classes', NULL), ('metric.reporters', NULL), ('bogus', 'there is no such property, or it is not for exporters'), ('Security.Protocol', NULL), ('', NULL);
SELECT matches(faults_of('k:9092', jsonb_build_object(name, '1'), 'kafka_admin'), '^' || name || ' may not be set: ' || coalesce(why, '[a-z].+') || '$', 'refused: ' || name) FROM forbidden;
SELECT is((SELECT count(*) FROM regexp_split_to_table(faults_of('k:9092', (SELECT jsonb_object_agg(name, '1') FROM forbidden)), '\n')), (SELECT count(*) FROM forbidden), 'all at once');

-- values: of each type, all faults at once, and never the value itself
SELECT is(faults_of('k:9092', config), fault, config::text)
  FROM (VALUES
    ('[]'::jsonb, 'config must be a JSON object'), ('"x"', 'config must be a JSON object'),
    ('{"linger.ms": []}', 'linger.ms must be a string, a number or a boolean'), ('{"linger.ms": {"a": 1}}', 'linger.ms must be a string, a number or a boolean'),
    ('{"linger.ms": -1}', 'linger.ms must be an integer from 0 to 60000'), ('{"linger.ms": "60001"}', 'linger.ms must be an integer from 0 to 60000'),
    ('{"linger.ms": 1.5}', 'linger.ms must be an integer from 0 to 60000'), ('{"linger.ms": ""}', 'linger.ms must be an integer from 0 to 60000'),
    ('{"linger.ms": " 1"}', 'linger.ms must be an integer from 0 to 60000'), ('{"linger.ms": 99999999999999999999}', 'linger.ms must be an integer from 0 to 60000'),
    ('{"linger.ms": true}', 'linger.ms must be an integer from 0 to 60000'), ('{"linger.ms": 1, "queue.buffering.max.ms": 1}', 'queue.buffering.max.ms is given twice, by two names'),
    ('{"socket.keepalive.enable": "yes"}', 'socket.keepalive.enable must be true or false'), ('{"client.id": ""}', 'client.id must have 1 to 1000 characters, none of them a control character'),
    ('{"client.id": "a\nb"}', 'client.id must have 1 to 1000 characters, none of them a control character'), ('{"compression.type": "brotli"}', 'compression.type must be one of: none gzip snappy lz4 zstd'),
    ('{"ssl.endpoint.identification.algorithm": "none"}', 'ssl.endpoint.identification.algorithm must be https'),
    ('{"enable.ssl.certificate.verification": false}', 'enable.ssl.certificate.verification must be true'),
    ('{"security.protocol": "ssl", "ssl.ca.pem": "/etc/ca.pem"}', 'ssl.ca.pem must be the text of certificates in PEM form, without a private key'),
    ('{"security.protocol": "ssl", "ssl.ca.pem": "-----BEGIN PRIVATE KEY----- x -----END PRIVATE KEY-----"}', 'ssl.ca.pem must be the text of certificates in PEM form, without a private key'),
    ('{"security.protocol": "ssl", "ssl.certificate.pem": "-----BEGIN CERTIFICATE----- x -----END CERTIFICATE-----"}', 'ssl.certificate.pem needs ssl.key.pem'),
    ('{"security.protocol": "ssl", "ssl.key.pem": "sesame", "ssl.key.password": "p"}', E'ssl.key.pem must be the text of a private key in PEM form\nssl.key.pem needs ssl.certificate.pem'),
    ('{"ssl.ca.pem": "-----BEGIN CERTIFICATE----- x -----END CERTIFICATE-----"}', 'ssl properties need security.protocol ssl or sasl_ssl'),
    ('{"ssl.cipher.suites": "ALL"}', 'ssl.cipher.suites must be OpenSSL''s names of cipher suites with ECDHE- or DHE-, separated by colons'),
    ('{"ssl.cipher.suites": "ECDHE-RSA-NULL-SHA"}', 'ssl.cipher.suites must be OpenSSL''s names of cipher suites with ECDHE- or DHE-, separated by colons'),
    ('{"ssl.cipher.suites": "ECDHE-RSA-AES256-GCM-SHA384:aNULL"}', 'ssl.cipher.suites must be OpenSSL''s names of cipher suites with ECDHE- or DHE-, separated by colons'),
    ('{"ssl.cipher.suites": "ECDHE-RSA-AES256-GCM-SHA384@SECLEVEL=0"}', 'ssl.cipher.suites must be OpenSSL''s names of cipher suites with ECDHE- or DHE-, separated by colons'),
    ('{"security.protocol": "sasl_ssl"}', 'security.protocol sasl_ssl and sasl_plaintext need sasl.mechanism'),
    ('{"security.protocol": "sasl_ssl", "sasl.mechanism": "GSSAPI"}', E'sasl.mechanism must be one of: PLAIN SCRAM-SHA-256 SCRAM-SHA-512 OAUTHBEARER\nthis sasl.mechanism needs sasl.username and sasl.password'),
    ('{"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.mechanisms": "PLAIN", "sasl.username": "u", "sasl.password": "p"}', 'sasl.mechanisms is given twice, by two names'),
    ('{"sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"}', 'sasl properties need security.protocol sasl_ssl or sasl_plaintext'),
    ('{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"}',
     'this sasl.mechanism sends secrets in clear without TLS, which is for clusters made by an administrator: use security.protocol sasl_ssl'),
    ('{"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER"}', 'sasl.mechanism OAUTHBEARER needs sasl.oauthbearer.method oidc'),
    ('{"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.client.id": "c"}',
     'sasl.oauthbearer.method oidc needs sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret'),
    ('{"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER", "enable.sasl.oauthbearer.unsecure.jwt": true, "sasl.oauthbearer.config": "principal=x"}',
     E'sasl.oauthbearer.config is for clusters made by an administrator\nenable.sasl.oauthbearer.unsecure.jwt is for clusters made by an administrator'),
    ('{"schema.registry.basic.auth.user.info": "u:sesame"}', 'schema.registry.basic.auth.user.info needs schema.registry.url'),
    ('{"schema.registry.url": "ftp://r"}', 'schema.registry.url must be an https:// URL'),
    ('{"schema.registry.url": "https://u:sesame@r"}', 'schema.registry.url must be a URL of a host, and a path if need be, and nothing else'),
    ('{"schema.registry.url": "https://169.254.169.254/x"}', 'schema.registry.url may not be reached: its address is link-local'),
    ('{"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 10}', 'reconnect.backoff.ms (100 by default) must not be greater than reconnect.backoff.max.ms (5000 by default)'),
    ('{"reconnect.backoff.max.ms": 99}', 'reconnect.backoff.ms (100 by default) must not be greater than reconnect.backoff.max.ms (5000 by default)'),
    ('{"reconnect.backoff.ms": 5001}', 'reconnect.backoff.ms (100 by default) must not be greater than reconnect.backoff.max.ms (5000 by default)'),
    ('{"acks": 0, "linger.ms": "sesame", "batch.size": 0, "security.protocol": "none"}', E'acks may not be set: delivery depends on it, and it is always all\nlinger.ms must be an integer from 0 to 60000\n'
     || E'batch.size must be an integer from 1 to 16777216\nsecurity.protocol must be one of: plaintext ssl sasl_plaintext sasl_ssl')
  ) AS v (config, fault);
SELECT is((SELECT string_agg(line, E'\n' ORDER BY line) FROM regexp_split_to_table(faults_of('k:9092', config), '\n') AS line), NULL, 'taken: ' || config::text)
  FROM (VALUES
    ('{}'::jsonb), ('{"linger.ms": null}'), ('{"queue.buffering.max.ms": "20", "batch.size": 1000000, "batch.num.messages": 10, "message.max.bytes": 2000000}'),
    ('{"compression.codec": "ZSTD", "compression.level": -1}'), ('{"compression.type": "lz4"}'), ('{"security.protocol": "plaintext", "client.id": "shop", "broker.address.family": "v4"}'),
    ('{"socket.timeout.ms": 1000, "request.timeout.ms": 30000, "socket.nagle.disable": "true", "connections.max.idle.ms": 0, "metadata.max.age.ms": 60000, "transaction.timeout.ms": 60000}'),
    ('{"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100, "retry.backoff.ms": 50, "topic.metadata.refresh.interval.ms": 5000, "socket.connection.setup.timeout.ms": 5000}'),
    ('{"security.protocol": "ssl", "ssl.ca.pem": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "ssl.certificate.pem": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----",
       "ssl.key.pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----", "ssl.key.password": "p", "ssl.cipher.suites": "ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305",
       "ssl.endpoint.identification.algorithm": "https", "enable.ssl.certificate.verification": true}'),
    ('{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "SCRAM-SHA-256", "sasl.username": "u", "sasl.password": "p"}'),
    ('{"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "OIDC", "sasl.oauthbearer.token.endpoint.url": "https://login.example.com/token",
       "sasl.oauthbearer.client.id": "c", "sasl.oauthbearer.client.secret": "s", "sasl.oauthbearer.scope": "kafka", "sasl.oauthbearer.extensions": "logicalCluster=x"}'),
    ('{"schema.registry.url": "https://r.example.com/api", "schema.registry.basic.auth.user.info": "u:p", "schema.registry.ssl.ca.pem": "-----BEGIN CERTIFICATE----- x -----END CERTIFICATE-----"}')
  ) AS v (config);
SELECT is(faults_of('k:9092', config, 'kafka_admin'), NULL, 'taken of administrators: ' || config::text)
  FROM (VALUES
    ('{"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"}'::jsonb),
    ('{"security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER", "enable.sasl.oauthbearer.unsecure.jwt": true, "sasl.oauthbearer.config": "principal=x"}'),
    ('{"schema.registry.url": "http://localhost:8081"}')) AS v (config);
SELECT is(faults_of('k:9092', '{"security.protocol": "sasl_ssl", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.token.endpoint.url": "http://idp.example.com",
                                "sasl.oauthbearer.client.id": "c", "sasl.oauthbearer.client.secret": "s"}', 'kafka_admin'),
          'sasl.oauthbearer.token.endpoint.url must be an https:// URL: plain http is for connectors of administrators to this machine itself', 'no secret over plain http');
SELECT is(faults_of('embedded', '{"security.protocol": "ssl", "sasl.password": "x", "linger.ms": 1}'),
          E'sasl.password may not be set: an embedded broker has no such thing\nsecurity.protocol may not be set: an embedded broker has no such thing', 'the embedded broker has no security');
-- a secret is in no part of any error
SELECT is_empty($$ SELECT f FROM (SELECT failure_of('kafka_alice', format('SELECT strm.create_kafka_cluster(%L, ''k:9092'', %L)', name, jsonb_build_object(property, 'SESAME-1', 'bogus', 1))) AS f
                                    FROM unnest('{shop,other}'::text[]) AS name,
                                         unnest('{sasl.password,ssl.key.pem,ssl.key.password,sasl.oauthbearer.client.secret,schema.registry.basic.auth.user.info,ssl.ca.pem,linger.ms,debug}'::text[]) AS property) AS s
                   WHERE f::text ~ 'SESAME' OR (f).state <> '22023' $$, 'no value in any error');

-- altering: members replace members, null takes away, secrets stay where they were given for
SELECT is(state_of('kafka_bob', $$ SELECT strm.alter_kafka_cluster('shop', 'evil.example.com:9092') $$), '42501', 'not by others');
SELECT is(state_of('kafka_bob', $$ SELECT strm.alter_kafka_cluster('nope') $$), '42704', 'altering what does not exist');
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', config => '[]') $$), '22023', 'config is an object');
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', config => '{"acks": 1}') $$), '22023', 'the whole definition is checked');
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', config => '{"linger.ms": null, "batch.size": 1000, "client.id": "c"}') $$), NULL, 'single properties');
SELECT is(config, '{"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "app", "socket.keepalive.enable": true, "batch.size": 1000, "client.id": "c"}', 'are replaced') FROM strm.kafka_clusters WHERE name = 'shop';
SELECT is(has_credentials, true, 'secrets stay') FROM strm.kafka_clusters WHERE name = 'shop';
SELECT is(state_of(role, statement), '42501', role || statement)
  FROM unnest('{kafka_alice,kafka_admin}'::text[]) AS role,
       unnest(ARRAY[$$ SELECT strm.alter_kafka_cluster('shop', 'evil.example.com:9092') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"security.protocol": "sasl_plaintext"}') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"sasl.mechanism": "PLAIN"}') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"ssl.ca.pem": "-----BEGIN CERTIFICATE----- evil -----END CERTIFICATE-----"}') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"schema.registry.url": "https://evil.example.com"}') $$]) AS statement;
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', 'k3.example.com:9092', '{"sasl.password": "new"}') $$), NULL, 'elsewhere, with secrets for it');
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', 'k4.example.com:9092', '{"security.protocol": null, "sasl.mechanism": null, "sasl.username": null, "sasl.password": null}') $$), NULL, 'secrets are taken away');
SELECT is((bootstrap_servers, has_credentials)::text, '(k4.example.com:9092,f)', 'they are gone') FROM strm.kafka_clusters WHERE name = 'shop';
SELECT is(state_of('kafka_admin', $$ SELECT strm.alter_kafka_cluster('shop', 'localhost:9092') $$), '22023', 'an administrator who alters a part does not vouch for the rest');
SELECT is(state_of('kafka_admin', $$ SELECT strm.alter_kafka_cluster('shop', 'localhost:9092', '{"socket.keepalive.enable": null, "batch.size": null, "client.id": null}') $$), NULL, 'one who gives all of it');
SELECT is(trusted, true, 'does') FROM strm.kafka_cluster WHERE name = 'shop';
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', config => '{"linger.ms": 1}') $$), '22023', 'its owner may not keep what only administrators may reach');
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', 'k5.example.com:9092') $$), NULL, 'but go elsewhere');
SELECT is(trusted, false, 'and then nobody vouches for it') FROM strm.kafka_cluster WHERE name = 'shop';

-- grants
SELECT is(state_of(role, statement), state, role || statement)
  FROM (VALUES
    (1, 'kafka_bob', $$ SELECT strm.grant_kafka_cluster('shop', 'kafka_bob') $$, '42501'), (2, 'kafka_alice', $$ SELECT strm.grant_kafka_cluster('shop', 'kafka_team') $$, NULL),
    (3, 'kafka_alice', $$ SELECT strm.grant_kafka_cluster('shop', 'kafka_team') $$, NULL), (4, 'kafka_alice', $$ SELECT strm.grant_kafka_cluster('shop', 'kafka_nobody') $$, '42704'),
    (5, 'kafka_alice', $$ SELECT strm.grant_kafka_cluster('shop', 999999999::regrole) $$, '42704'), (6, 'kafka_alice', $$ SELECT strm.grant_kafka_cluster('shop', NULL) $$, '22023'),
    (7, 'kafka_carol', $$ SELECT strm.grant_kafka_cluster('shop', 'kafka_bob') $$, '42501'), (8, 'kafka_carol', $$ SELECT strm.alter_kafka_cluster('shop', config => '{}') $$, '42501'),
    (9, 'kafka_carol', $$ SELECT strm.drop_kafka_cluster('shop') $$, '42501')) AS v (n, role, statement, state) ORDER BY n;
SELECT is(usable_by, '{kafka_team}', 'grants are shown') FROM strm.kafka_clusters WHERE name = 'shop';

-- streams to publish
SELECT strm.create_purpose(1, 'Analytics');
SELECT strm.create_data_contract('acme/clicks/1.0.0', schema => $$ {"name": "Click", "nodes": [{"type": "STRING", "name": "session_id", "required": true}, {"type": "STRING", "name": "email"}]} $$,
  contract => $$ {"keyField": "session_id", "fieldMetadata": [{"fieldName": "email", "personalDataConfig": {"isPii": true, "purposeLevel": 1}}]} $$) IS NOT NULL;
SELECT strm.activate_data_contract('acme/clicks/1.0.0');
SELECT strm.create_data_contract('acme/strm-meta/1.0.0', schema => $$ {"name": "StrmMeta", "nodes": [{"type": "STRING", "name": "session_id", "required": true}]} $$,
  contract => $$ {"keyField": "session_id"} $$) IS NOT NULL;
SELECT strm.activate_data_contract('acme/strm-meta/1.0.0');
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0') $$), NULL, 'a stream');
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_stream('odd', contract => 'acme/strm-meta/1.0.0') $$), NULL, 'another stream');
SELECT is(state_of('kafka_alice', 'GRANT SELECT ON clicks TO kafka_dora'), NULL, 'the approver may read it');
SELECT is(state_of('kafka_dora', $$ SELECT strm.create_derived_stream('clicks', purposes => '{1}') $$), NULL, 'a derived stream');
SELECT is(state_of('kafka_bob', $$ SELECT strm.grant_kafka_cluster('demo', 'strm_member'), strm.grant_kafka_cluster('demo', 'strm_approver') $$), NULL, 'the embedded broker is granted to all');

-- exporters: what is refused
SELECT is((failure_of('kafka_alice', statement)).state || ': ' || coalesce((failure_of('kafka_alice', statement)).detail, ''), fault, statement)
  FROM (VALUES
    ($$ SELECT strm.create_kafka_exporter('clicks', 'nope') $$, '42704: '), ($$ SELECT strm.create_kafka_exporter('pg_class', 'demo') $$, '42704: '), ($$ SELECT strm.create_kafka_exporter(NULL, 'demo') $$, '22023: '),
    ($$ SELECT strm.create_kafka_exporter('clicks', 'demo', name => '') $$, '22023: It has 0.'), ($$ SELECT strm.create_kafka_exporter('clicks', 'demo', partitions => NULL) $$, '22023: '),
    ($$ SELECT strm.create_kafka_exporter('clicks', 'demo', 'a b', partitions => 0, format => 'xml', transactional => true) $$,
     E'22023: topic must have 1 to 249 of the characters A-Z a-z 0-9 . _ - and not be . or ..\npartitions must be 1 to 10000\nformat must be json or avro\ntransactional needs a real broker: the embedded one has no transactions'),
    ($$ SELECT strm.create_kafka_exporter('clicks', 'demo', '..', partitions => 10001) $$, E'22023: topic must have 1 to 249 of the characters A-Z a-z 0-9 . _ - and not be . or ..\npartitions must be 1 to 10000'),
    ($$ SELECT strm.create_kafka_exporter('clicks', 'demo', repeat('x', 250)) $$, E'22023: topic must have 1 to 249 of the characters A-Z a-z 0-9 . _ - and not be . or ..'),
    ($$ SELECT strm.create_kafka_exporter('clicks', 'shop', format => 'avro') $$, '22023: format avro needs the property schema.registry.url of Kafka cluster "shop"'),
    ($$ SELECT strm.create_kafka_exporter('clicks_1', 'demo') $$, '42501: Reason: role "kafka_alice" needs role strm_approver, which exporters of derived streams are for.')) AS v (statement, fault);
SELECT matches((failure_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('odd', 'demo', format => 'avro') $$)).detail, 'the Avro name of the events would be', 'a contract without an Avro form');
SELECT is((failure_of('kafka_bob', $$ SELECT strm.create_kafka_exporter('clicks', 'demo') $$)).detail, 'Reason: role "kafka_bob" has no SELECT on public.clicks.', 'SELECT is needed');
SELECT is(state_of('kafka_bob', $$ SELECT strm.create_kafka_exporter('clicks', 'shop') $$), '42501', 'and the right to use the cluster');

-- exporters: defaults, and what is shown
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('clicks', 'demo') $$), NULL, 'the owner publishes a stream');
SELECT is(row_to_json(e)::jsonb - 'id' - 'created_at' - 'since',
          '{"name": "demo_clicks", "owner": "kafka_alice", "stream": "clicks", "derived": false, "cluster": "demo", "topic": "clicks", "partitions": 5, "format": "json", "transactional": false,
            "include_existing_events": false, "state": "CREATING", "lag_bytes": null, "lag_seconds": null, "sent": 0, "withheld": 0, "filtered": 0, "errors": 0, "queued_bytes": 0, "last_sent": null,
            "sqlstate": null, "last_error": null, "hint": null, "positions": null}', 'an exporter')
  FROM strm.kafka_exporters e;
SELECT is(epoch, 1, 'its epoch begins at 1') FROM strm.kafka_exporter_state;
SELECT ok(defined_at ~ '^\d+:\d+:[-,\d]*:\d+:[\dA-F]+/[\dA-F]+$' AND defined_lsn > '0/0', 'when it was defined') FROM strm.kafka_exporter;
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('odd', 'demo') $$), NULL, 'another one');
SELECT is((failure_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('odd', 'demo', topic => 'clicks', name => 'second') $$)).detail,
          'topic "clicks" is written by Kafka exporter "demo_clicks": a topic has one exporter, unless all of them are transactional', 'a topic has one writer');
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('odd', 'demo', topic => 'other') $$), '42710', 'a name is taken once');
SELECT is(state_of('kafka_dora', $$ SELECT strm.create_kafka_exporter('clicks_1', 'demo', 'derived', 'derived', true, 7) $$), NULL, 'an approver publishes a derived stream');
SELECT is((stream::text, derived, topic, name, include_existing_events, partitions)::text, '(clicks_1,t,derived,derived,t,7)', 'as asked for') FROM strm.kafka_exporters WHERE name = 'derived';
SELECT is(state_of('kafka_admin', 'SELECT strm.create_kafka_exporter(''clicks_1'', ''demo'', ''d2'', ''d2'')'), '42501', 'strm_admin does not publish derived streams');
-- the same brokers under another name, as far as it can be told
INSERT INTO strm.kafka_exporter (id, name, owner, cluster_id, stream_id, topic, partitions, format, transactional, include_existing_events, defined_at, defined_lsn)
  SELECT gen_random_uuid(), 'real_clicks', 'kafka_alice', c.id, s.id, 'shared', 5, 'json', true, false, '1:1:', '0/1' FROM strm.kafka_cluster c, strm.stream s WHERE c.name = 'shop' AND s.relation = 'clicks'::regclass;
-- decrypted values in clear on the network
UPDATE strm.kafka_exporter SET derived_stream_id = (SELECT id FROM strm.derived_stream) WHERE name = 'real_clicks';
CREATE FUNCTION told_of_kafka() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(c::text, ' ') FROM strm.security_check() c WHERE c::text ~ 'Kafka' $$;
SELECT is(told_of_kafka(), '("Kafka exporter real_clicks",plaintext,"Decrypted values travel in clear to the brokers.","Set security.protocol of Kafka cluster shop to ssl or sasl_ssl.")',
          'strm.security_check() tells of plaintext, and not of the embedded broker');
UPDATE strm.kafka_cluster SET bootstrap_servers = 'LOCALHOST:9092, 127.0.0.1:1, [::1]:1' WHERE name = 'shop';
SELECT is(told_of_kafka(), NULL, 'not of this machine itself');
UPDATE strm.kafka_cluster SET bootstrap_servers = 'k5.example.com:9092', config = '{"security.protocol": "SSL"}' WHERE name = 'shop';
SELECT is(told_of_kafka(), NULL, 'nor of TLS');
-- nor does who owns a cluster lead decrypted values elsewhere that somebody else publishes
SELECT is((failure_of(role, statement)).state, '42501', role || statement)
  FROM unnest('{kafka_alice,kafka_admin}'::text[]) AS role,
       unnest(ARRAY[$$ SELECT strm.alter_kafka_cluster('shop', 'evil.example.com:9092') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"security.protocol": null}') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"ssl.ca.pem": "-----BEGIN CERTIFICATE----- evil -----END CERTIFICATE-----"}') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.username": "evil", "sasl.password": "evil"}') $$,
                    $$ SELECT strm.alter_kafka_cluster('shop', config => '{"schema.registry.url": "https://evil.example.com"}') $$]) AS statement;
SELECT is((f).message || ': ' || (f).detail, 'permission denied to change bootstrap_servers of Kafka cluster "shop": Kafka exporter "real_clicks" sends decrypted values there, and:'
          ' role "kafka_alice" needs role strm_approver, which exporters of derived streams are for.', 'and is told why')
  FROM failure_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', 'evil.example.com:9092') $$) AS f;
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', config => '{"linger.ms": 7}') $$), NULL, 'its owner may alter what does not matter for that');
GRANT kafka_alice TO kafka_dora;
SELECT is(state_of('kafka_dora', $$ SELECT strm.alter_kafka_cluster('shop', 'k5.example.com:9093') $$), NULL, 'an owner who may publish it may alter all');
REVOKE kafka_alice FROM kafka_dora;
UPDATE strm.kafka_cluster SET bootstrap_servers = 'k5.example.com:9092' WHERE name = 'shop';
UPDATE strm.kafka_exporter SET derived_stream_id = NULL WHERE name = 'real_clicks';
UPDATE strm.kafka_cluster SET config = '{}' WHERE name = 'shop';
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_kafka_cluster('twin', 'k9.example.com:9092, K5.example.com:9092') $$), NULL, 'another name of a cluster');
SELECT matches((failure_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('odd', 'twin', 'shared') $$)).detail, 'written by Kafka exporter "real_clicks"', 'its topics have their writers');
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('twin', 'embedded') $$), NULL, 'a cluster without exporters may become an embedded one');
SELECT is(state_of('kafka_alice', $$ SELECT strm.alter_kafka_cluster('shop', 'embedded') $$), '55000', 'one with exporters may not');
SELECT is((failure_of('kafka_alice', $$ SELECT strm.drop_kafka_cluster('shop') $$)).detail, 'Kafka exporter "real_clicks" uses it.', 'nor be dropped');

-- altering, pausing, resuming
SELECT is(state_of(role, statement), state, role || statement)
  FROM (VALUES
    (1, 'kafka_bob', $$ SELECT strm.pause_kafka_exporter('demo_clicks') $$, '42501'), (2, 'kafka_bob', $$ SELECT strm.resume_kafka_exporter('demo_clicks') $$, '42501'),
    (3, 'kafka_bob', $$ SELECT strm.drop_kafka_exporter('demo_clicks') $$, '42501'), (4, 'kafka_bob', $$ SELECT strm.rebuild_kafka_exporter('demo_clicks') $$, '42501'),
    (5, 'kafka_bob', $$ SELECT strm.alter_kafka_exporter('demo_clicks', 'mine') $$, '42501'), (6, 'kafka_alice', $$ SELECT strm.pause_kafka_exporter('nope') $$, '42704'),
    (7, 'kafka_alice', $$ SELECT strm.rebuild_kafka_exporter('demo_clicks') $$, '55000'), (8, 'kafka_alice', $$ SELECT strm.alter_kafka_exporter('demo_clicks', 'demo_odd') $$, '42710'),
    (9, 'kafka_alice', $$ SELECT strm.alter_kafka_exporter('demo_clicks', E'a\tb') $$, '22023'), (10, 'kafka_alice', $$ SELECT strm.alter_kafka_exporter('demo_clicks', 'clicks') $$, NULL),
    (11, 'kafka_alice', $$ SELECT strm.alter_kafka_exporter('clicks', new_owner => 'kafka_dora') $$, '42501'), (12, 'kafka_admin', $$ SELECT strm.alter_kafka_exporter('clicks', new_owner => 'kafka_bob') $$, '42501'),
    (13, 'kafka_admin', $$ SELECT strm.alter_kafka_exporter('clicks', new_owner => 'kafka_dora') $$, NULL), (14, 'kafka_admin', $$ SELECT strm.alter_kafka_exporter('clicks', 'demo_clicks', 'kafka_alice') $$, NULL),
    (15, 'kafka_admin', $$ SELECT strm.alter_kafka_exporter('derived', new_owner => 'kafka_alice') $$, '42501'), (16, 'kafka_alice', $$ SELECT strm.pause_kafka_exporter('demo_clicks') $$, NULL),
    (17, 'kafka_alice', $$ SELECT strm.pause_kafka_exporter('demo_clicks') $$, NULL)) AS v (n, role, statement, state) ORDER BY n;
SELECT is((paused, owner::text)::text, '(t,kafka_alice)', 'paused') FROM strm.kafka_exporter WHERE name = 'demo_clicks';
SELECT is(state, 'PAUSED', 'is shown') FROM strm.kafka_exporters WHERE name = 'demo_clicks';
SELECT is(state_of('kafka_admin', $$ SELECT strm.resume_kafka_exporter('demo_clicks') $$), NULL, 'an administrator resumes it');
SELECT is((state, paused)::text, '(CREATING,f)', 'resumed') FROM strm.kafka_exporters v JOIN strm.kafka_exporter e USING (id) WHERE v.name = 'demo_clicks';

-- errors: shown to those concerned; resumed, with its place kept
UPDATE strm.kafka_exporter_state SET state = 'ERROR', sqlstate = '08004', message = 'refused', hint = 'ask', start_lsn = '0/10', start_timeline = 1, starts = '{1,2,3,4,5}', sent = 7, withheld = 1, filtered = 2, failed = 3,
       checkpoint = '5:5:', checkpoint_lsn = '0/9', checkpoint_offsets = '{1,1,1,1,1}' WHERE exporter_id = (SELECT id FROM strm.kafka_exporter WHERE name = 'demo_clicks');
CREATE FUNCTION shown_to(role text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  shown text;
BEGIN
  PERFORM set_config('role', role, true);
  SELECT concat_ws(' ', state, sqlstate, last_error, hint, sent, withheld, filtered, errors) INTO shown FROM strm.kafka_exporters WHERE name = 'demo_clicks';
  PERFORM set_config('role', 'none', true);
  RETURN shown;
END $$;
SELECT is(shown_to(role), CASE WHEN role IN ('kafka_bob', 'kafka_dora', 'kafka_key') THEN 'ERROR 08004 7 1 2 3' ELSE 'ERROR 08004 refused ask 7 1 2 3' END, 'shown to ' || role)
  FROM unnest('{kafka_alice,kafka_admin,kafka_watcher,kafka_bob,kafka_dora,kafka_key}'::text[]) AS role;
SELECT is((status, message)::text, '(ERROR,refused)', 'an entity with its state') FROM strm.entity_states WHERE entity = 'kafka_exporter' AND name = 'demo_clicks';
SELECT is(count(*), 4::bigint, 'clusters are entities, too') FROM strm.entity_states WHERE entity = 'kafka_cluster' AND status = 'ACTIVE' AND name IN ('shop', 'demo', 'twin', 'kafka_dora');
SELECT is(state_of('kafka_alice', $$ SELECT strm.resume_kafka_exporter('demo_clicks') $$), NULL, 'resumed after an error');
SELECT is((state, epoch, start_lsn, starts, sent, checkpoint)::text, '(RETRYING,1,0/10,"{1,2,3,4,5}",7,5:5:)', 'where it was')
  FROM strm.kafka_exporter_state WHERE exporter_id = (SELECT id FROM strm.kafka_exporter WHERE name = 'demo_clicks');
UPDATE strm.kafka_exporter_state SET state = 'ERROR', start_lsn = NULL WHERE exporter_id = (SELECT id FROM strm.kafka_exporter WHERE name = 'demo_odd');
SELECT is(state_of('kafka_alice', $$ SELECT strm.resume_kafka_exporter('demo_odd') $$), NULL, 'resumed before it began');
SELECT is(state, 'CREATING', 'it begins') FROM strm.kafka_exporters WHERE name = 'demo_odd';

-- broken: rebuilt, in a new epoch, with what is known to be published
UPDATE strm.kafka_exporter_state SET state = 'BROKEN', message = 'slot lost', backfill = 'x', sqlstate = '55000' WHERE exporter_id = (SELECT id FROM strm.kafka_exporter WHERE name = 'demo_clicks');
SELECT is((failure_of('kafka_alice', $$ SELECT strm.resume_kafka_exporter('demo_clicks') $$)).hint, 'strm.rebuild_kafka_exporter() publishes what was missed, and goes on.', 'a broken one is not resumed');
SELECT is(state_of('kafka_alice', $$ SELECT strm.rebuild_kafka_exporter('demo_clicks') $$), NULL, 'but rebuilt');
SELECT is((state, sqlstate, message, epoch, start_lsn, backfill, sent, checkpoint, checkpoint_lsn, checkpoint_offsets)::text, '(CREATING,,,2,,,7,5:5:,0/9,"{1,1,1,1,1}")', 'in a new epoch')
  FROM strm.kafka_exporter_state WHERE exporter_id = (SELECT id FROM strm.kafka_exporter WHERE name = 'demo_clicks');

-- a copy of a database does not publish until it is told to
UPDATE strm.kafka_cluster SET system_identifier = 1 WHERE name = 'demo';
DELETE FROM strm.kafka_exporter_state WHERE exporter_id = (SELECT id FROM strm.kafka_exporter WHERE name = 'derived');
UPDATE strm.kafka_exporter SET defined_at = '1:1:', defined_lsn = '0/1';
SELECT is(state, 'BROKEN', name || ' is broken in a copy') FROM strm.kafka_exporters WHERE cluster = 'demo';
SELECT is((ours, (SELECT status FROM strm.entity_states s WHERE s.id = c.id::text))::text, '(f,BROKEN)', 'its cluster is not ours') FROM strm.kafka_clusters c WHERE name = 'demo';
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('clicks', 'demo', 'new', 'new') $$), '55000', 'no new ones there');
SELECT is(state_of('kafka_alice', $$ SELECT strm.rebuild_kafka_exporter('demo_odd') $$), NULL, 'one is rebuilt');
SELECT is(ours, true, 'the cluster is ours now') FROM strm.kafka_clusters c WHERE name = 'demo';
SELECT is(string_agg(name || ' ' || state, ', ' ORDER BY name), 'demo_clicks BROKEN, demo_odd CREATING, derived BROKEN', 'others wait for somebody') FROM strm.kafka_exporters WHERE cluster = 'demo';
SELECT is((s.epoch > 10000000, e.defined_at <> '1:1:')::text, CASE WHEN e.name = 'demo_clicks' THEN '(f,f)' ELSE '(t,t)' END, name || ': one without a past begins anew, beyond all epochs')
  FROM strm.kafka_exporter e JOIN strm.kafka_exporter_state s ON s.exporter_id = e.id;

-- rights that were taken away: row security, too
ALTER TABLE clicks ENABLE ROW LEVEL SECURITY;
SELECT is(state_of('kafka_alice', $$ SELECT strm.create_kafka_exporter('clicks', 'demo', 'rls', 'rls') $$), NULL, 'row security does not concern the owner');
SELECT matches((failure_of('kafka_dora', $$ SELECT strm.create_kafka_exporter('clicks', 'demo', 'rls2', 'rls2') $$)).detail, 'row security of public.clicks applies to role "kafka_dora"', 'others would see all rows');
ALTER TABLE clicks DISABLE ROW LEVEL SECURITY;

-- dropping: streams take their exporters along
DROP VIEW clicks_1;
SELECT is(count(*), 0::bigint, 'a dropped derived stream has no exporter') FROM strm.kafka_exporters WHERE name = 'derived';
SELECT is(state_of('kafka_alice', 'DROP TABLE clicks'), NULL, 'a stream is dropped');
SELECT is(string_agg(name, ', '), 'demo_odd', 'with its exporters') FROM strm.kafka_exporters;
SELECT is(state_of('kafka_alice', $$ SELECT strm.drop_kafka_exporter('demo_odd') $$), NULL, 'an exporter is dropped');
SELECT is(state_of('kafka_bob', $$ SELECT strm.drop_kafka_cluster('demo') $$), NULL, 'then the cluster can be');
SELECT is(state_of('kafka_alice', $$ SELECT strm.drop_kafka_cluster('shop') $$), NULL, 'the other one, too');
SELECT is(count(*), 0::bigint, 'grants go with it') FROM strm.kafka_cluster_user;

SELECT * FROM finish();
ROLLBACK;
DROP EXTENSION strm_privacy;
