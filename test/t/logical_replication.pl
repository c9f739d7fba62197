# Logical replication: streams are published like any table, and a subscriber gets what is stored, so ciphertext. With the
# extension, the registry and the master key a subscriber reads it through derived streams, as it was sealed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $publisher = strm_node('publisher', init => [ allows_streaming => 'logical' ]);
my $key_file = strm_master_key_file($publisher);
$publisher->safe_psql('postgres', 'CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, $$One$$), strm.create_purpose(2, $$Two$$)');
strm_contract($publisher, 'acme/click/1.0.0',
	[ [ 'session', 'STRING', 1, 'required' ], [ 'customer', 'STRING', 2 ], [ 'age', 'INTEGER', 1 ], [ 'tags', 'STRING', 2, 'repeated' ], [ 'url', 'STRING' ] ],
	'"dataSubjectField": "customer"');
$publisher->safe_psql('postgres', <<'SQL');
SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}');
INSERT INTO clicks (strm_consent_levels, session, customer, age, tags, url)
SELECT '{1,2}', 's' || i % 7, 'c' || i % 5, i, ARRAY['a' || i, NULL], 'u' || i FROM generate_series(1, 100) AS i;
SQL

# --- what the publisher's own tables need ---
is($publisher->safe_psql('postgres', q{
	SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
	 WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'strm'::regnamespace
	   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}),
	'', 'every table of schema strm has a primary key');
is($publisher->safe_psql('postgres', q{SELECT relreplident FROM pg_class WHERE oid = 'clicks'::regclass}), 'f',
	'a stream has REPLICA IDENTITY FULL');

# --- subscribers: the rows arrive ---
# one with everything: schema and registry by pg_dump, then the rows by replication
my $whole = strm_node('whole', key_file => $key_file, conf => "log_statement = none\n");
$publisher->safe_psql('postgres', q{CREATE PUBLICATION clicks FOR TABLE clicks});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$publisher->command_ok([ 'pg_dump', '-f', $dump, '--no-publications', '--exclude-table-data=public.clicks', $publisher->connstr('postgres') ],
	'dump of everything but the rows');
$whole->safe_psql('postgres', 'CREATE DATABASE copy');
$whole->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $whole->connstr('copy'), '-f', $dump ], 'restored');
# and one that has a plain table only
my $plain = strm_node('plain');
my $columns = $publisher->safe_psql('postgres', q{
	SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
	  FROM pg_attribute WHERE attrelid = 'clicks'::regclass AND attnum > 0});
$plain->safe_psql('postgres', "CREATE TABLE clicks ($columns)");

my $connection = $publisher->connstr('postgres');
$whole->safe_psql('copy', "CREATE SUBSCRIPTION whole CONNECTION \$c\$$connection\$c\$ PUBLICATION clicks");
$plain->safe_psql('postgres', "CREATE SUBSCRIPTION plain CONNECTION \$c\$$connection\$c\$ PUBLICATION clicks");
$whole->wait_for_subscription_sync($publisher, 'whole', 'copy');
$plain->wait_for_subscription_sync($publisher, 'plain');

my $stored = strm_row_hash($publisher, 'clicks');
like($stored, qr/^100 /, 'rows were stored');
is(strm_row_hash($whole, 'clicks', 'copy'), $stored, 'initial copy: rows as the publisher sealed them');
is(strm_row_hash($plain, 'clicks'), $stored, 'initial copy into a plain table: the same');

# new rows under keys that the subscriber has, by every kind of INSERT
$publisher->safe_psql('postgres', q{INSERT INTO clicks (strm_consent_levels, session, customer, age) SELECT '{1,2}', 's' || i, 'c9', i FROM generate_series(1, 3) AS i});
$publisher->safe_psql('postgres', "COPY clicks (strm_consent_levels, session, customer, tags) FROM STDIN;\n{1,2}\ts4\tc10\t{x,y}\n\\.\n");
$publisher->wait_for_catchup('whole');
$publisher->wait_for_catchup('plain');
$stored = strm_row_hash($publisher, 'clicks');
like($stored, qr/^104 /, 'more rows were stored');
is(strm_row_hash($whole, 'clicks', 'copy'), $stored, 'applied rows are as the publisher sealed them');
is(strm_row_hash($whole, 'clicks_1_2', 'copy'), strm_row_hash($publisher, 'clicks_1_2'), 'and read the same through the derived stream');
is($whole->safe_psql('copy', q{SELECT session, customer, age FROM clicks_1_2 WHERE customer = 'c9' ORDER BY age}), "s1|c9|1\ns2|c9|2\ns3|c9|3", 'in clear');
is(strm_row_hash($plain, 'clicks'), $stored, 'the plain table has the same rows');
is($plain->safe_psql('postgres', q{SELECT count(*) FROM clicks WHERE session !~ '^[A-Za-z0-9+/]{28,}=*$' OR customer !~ '^[A-Za-z0-9+/]{28,}=*$' OR age ~ '^[0-9]{1,3}$'
	OR EXISTS (SELECT FROM unnest(tags) AS t WHERE t !~ '^[A-Za-z0-9+/]{28,}=*$')}), '0', 'which is ciphertext only');

# --- keys: a subscriber that gets their tables, too, reads rows under new keys, and forgets what is erased ---
$publisher->safe_psql('postgres', 'CREATE PUBLICATION keys FOR TABLE strm.data_key, strm.data_key_tombstone, strm.data_subject_link');
$whole->safe_psql('copy', 'ALTER SUBSCRIPTION whole SET PUBLICATION clicks, keys WITH (copy_data = false)');
$whole->wait_for_subscription_sync($publisher, 'whole', 'copy');
$publisher->safe_psql('postgres', q{INSERT INTO clicks (strm_consent_levels, session, customer, age, url) VALUES ('{1,2}', 'new', 'forget me', 77, 'new')});
$publisher->wait_for_catchup('whole');
is($whole->safe_psql('copy', q{SELECT session, customer, age FROM clicks_1_2 WHERE url = 'new'}), 'new|forget me|77', 'a row under a new key');
$publisher->safe_psql('postgres', q{SELECT strm.delete_data_subjects('forget me')});
$publisher->wait_for_catchup('whole');
is($whole->safe_psql('copy', q{SELECT session, customer, age FROM clicks_1_2 WHERE url = 'new'}), '||', 'which is destroyed');
is($whole->safe_psql('copy', q{SELECT count(*) FROM strm.data_subjects() WHERE subject = 'forget me'}), 0, 'with the data subject');
$publisher->safe_psql('postgres', q{DELETE FROM clicks WHERE url = 'new'});

# --- deletes ---
$publisher->safe_psql('postgres', q{CREATE PUBLICATION everything FOR ALL TABLES; DELETE FROM clicks WHERE url = 'u7'});
$publisher->wait_for_catchup('whole');
$publisher->wait_for_catchup('plain');
is($publisher->safe_psql('postgres', 'SELECT count(*) FROM clicks'), '103', 'DELETE with a publication FOR ALL TABLES');
$stored = strm_row_hash($publisher, 'clicks');
is(strm_row_hash($whole, 'clicks', 'copy'), $stored, 'the DELETE arrives');
is(strm_row_hash($plain, 'clicks'), $stored, 'the DELETE arrives in the plain table');
# Each table of ours, too: what erasure and DDL delete from them
is($publisher->safe_psql('postgres', q{SELECT strm.delete_data_subjects('c9') >= 0}), 't', 'erasure deletes from published tables');
$publisher->safe_psql('postgres', q{SELECT strm.create_stream('other', contract => 'acme/click/1.0.0'); INSERT INTO other (session) VALUES ('s'); DELETE FROM other; DROP TABLE other});
pass('a stream comes and goes while everything is published');

# --- the CHECK constraint guards the subscriber, where the triggers do not fire: plaintext from elsewhere is not stored ---
my $forger = strm_node('forger', init => [ allows_streaming => 'logical' ]);
$forger->safe_psql('postgres', "CREATE TABLE clicks ($columns); ALTER TABLE clicks REPLICA IDENTITY FULL; CREATE PUBLICATION forged FOR TABLE clicks");
$whole->safe_psql('copy', q{ALTER SUBSCRIPTION whole DISABLE; CREATE SUBSCRIPTION forged CONNECTION $c$} . $forger->connstr('postgres') . q{$c$ PUBLICATION forged WITH (disable_on_error)});
$whole->wait_for_subscription_sync($forger, 'forged', 'copy');
$forger->safe_psql('postgres', q{INSERT INTO clicks (strm_contract_version, strm_nonce, strm_timestamp, strm_key_link, strm_consent_levels, strm_seal, session)
	VALUES ('1.0.0', -1, now(), gen_random_uuid(), '{1,2}', '\x00', 'planted7marker')});
ok($whole->poll_query_until('copy', q{SELECT NOT subenabled OR EXISTS (SELECT FROM clicks WHERE strm_nonce = -1) FROM pg_subscription WHERE subname = 'forged'}), 'plaintext is applied');
is($whole->safe_psql('copy', q{SELECT count(*) FROM clicks WHERE strm_nonce = -1}), '0', 'but not stored');
my $log = slurp_file($whole->logfile);
like($log, qr/a personal column of a stream takes ciphertext only/, 'the log says why');
ok($log !~ /planted7marker/, 'without the value');

$_->stop for $whole, $plain, $forger, $publisher;
done_testing();
