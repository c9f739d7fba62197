# A streaming hot standby: sealed without the master key file; with it, derived streams are read there by every kind of plan;
# an erasure reaches sessions there that have cached the key; after promotion rows go in under the keys there are.
use strict;
use warnings;
use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $primary = strm_node('primary', init => [ allows_streaming => 1 ], conf => <<CONF);
max_connections = 20
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
max_parallel_workers_per_gather = 2
CONF
$primary->safe_psql('postgres', "CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One'), strm.create_purpose(2, 'Two')");
strm_contract($primary, 'acme/click/1.0.0',
	[ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'email', 'STRING', 2 ], [ 'amount', 'INTEGER', 1 ], [ 'words', 'STRING', 1, 'repeated' ], [ 'page', 'INTEGER' ] ],
	'"dataSubjectField": "customer"');
$primary->safe_psql('postgres', <<'SQL');
SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0'), strm.create_derived_stream('clicks', '{1}'),
       strm.create_derived_stream('clicks', '{1}', name => 'masked', masked_fields => '{customer,page}', mask_seed => 'seed');
INSERT INTO clicks (strm_consent_levels, session, customer, email, amount, words, page)
SELECT CASE WHEN i % 5 = 0 THEN '{}' ELSE '{1}' END::int[], 's-' || i % 100, 'c-' || i % 100, 'e-' || i, i, ARRAY['w-' || i, NULL], i FROM generate_series(1, 3000) i;
SQL
# a database that has no row yet, so not even the keys of hashes
$primary->safe_psql('postgres', 'CREATE DATABASE unused');
$primary->safe_psql('unused', 'CREATE EXTENSION strm_privacy');

$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
my $keys = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $keys;
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', "strm_privacy.master_key_file = '$keys/master.key'");
$standby->start;
my $caught_up = sub {
	my $lsn = $primary->lsn('flush');
	$standby->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'") or die 'the standby does not catch up';
};
$caught_up->();

sub refused
{
	my ($statement, $state, $message, $name) = @_;
	my ($rc, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	like($err, qr/ERROR:  $state: .*$message/, $name);
	return $err;
}
# The same result on both servers, and something in it
sub same
{
	my ($query, $name) = @_;
	my ($here, $there) = map { $_->safe_psql('postgres', $query) } $primary, $standby;
	ok($here eq $there && $here =~ /\S/, $name);
	return $there;
}

# --- without the key file ---
same('SELECT * FROM clicks ORDER BY strm_nonce', 'sealed: the encrypted stream is readable');
same('SELECT count(*), sum(page) FROM clicks_1', 'sealed: what is not personal is readable in a derived stream');
like(refused('SELECT session FROM clicks_1', '55000', 'the master key file does not exist', 'sealed: decryption is refused'),
	qr/HINT:  Put the master key file back/, 'sealed: there is a hint');
refused('SELECT page FROM masked', '55000', 'the master key file does not exist', 'sealed: masks are refused');
refused("SELECT strm.data_subject_key_links('c-1')", '55000', 'the master key file does not exist', 'sealed: data subjects are refused');
ok(!-e "$keys/master.key", 'sealed: the standby makes no key');

my $session = $standby->background_psql('postgres', on_error_stop => 0);
$session->query('SELECT session FROM clicks_1 LIMIT 1');
$session->{stderr} = '';    # query() keeps it, and query_safe() would fail for it
copy(strm_master_key_file($primary), "$keys/master.key") or die;
chmod 0600, "$keys/master.key";
is($session->query('SELECT session FROM clicks_1 WHERE page = 1'), 's-1', 'a session that was sealed reads once the file is there');

# --- reading ---
same('SELECT * FROM clicks_1 ORDER BY page', 'a derived stream');
same('SELECT * FROM masked ORDER BY strm_nonce', 'a masked one');
same('SELECT json::jsonb - \'x\' FROM (SELECT strm.events(\'clicks_1\', NULL, 10)::text AS json) e ORDER BY 1', 'events');
same('SELECT * FROM strm.data_subjects(NULL, 1000)', 'data subjects');
same("SELECT * FROM strm.data_subject_key_links('c-1', 'c-2', 'nobody') ORDER BY 1", 'key links of data subjects');
is($standby->safe_psql('unused', "SELECT count(*) FROM strm.data_subject_key_links('c-1')"), 0, 'key links where there is none yet');
is($primary->safe_psql('unused', "BEGIN READ ONLY; SELECT count(*) FROM strm.data_subject_key_links('c-1'); COMMIT"), 0, 'the same in a read-only transaction');
is($standby->safe_psql('postgres', 'BEGIN READ ONLY; SELECT sum(amount) FROM clicks_1; COMMIT'), 3600000, 'in a read-only transaction');
is($primary->safe_psql('postgres', 'BEGIN READ ONLY; SELECT sum(amount) FROM clicks_1; COMMIT'), 3600000, 'in a read-only transaction of the primary');
is($standby->safe_psql('postgres', <<'SQL'), "1\n2\n3\n2999\n2998", 'through a cursor');
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE c SCROLL CURSOR FOR SELECT amount FROM clicks_1 ORDER BY page;
FETCH 3 FROM c;
MOVE LAST FROM c;
MOVE NEXT FROM c;
FETCH BACKWARD 2 FROM c;
COMMIT;
SQL
is($standby->safe_psql('postgres', <<'SQL'), "s-7\ns-8", 'through a prepared plan');
SET plan_cache_mode = force_generic_plan;
PREPARE p (int) AS SELECT session FROM clicks_1 WHERE page = $1;
EXECUTE p (7);
EXECUTE p (8);
SQL
my $parallel = 'SELECT count(DISTINCT session), sum(amount), sum(length(customer)), sum(cardinality(words)) FROM clicks_1';
my $plan = $standby->safe_psql('postgres', "EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT sum(amount) FROM clicks_1 WHERE session LIKE 's-%'");
like($plan, qr/Workers Launched: [12]/, 'parallel workers are used');
# the decryption is done by them and not above the Gather
like($plan, qr/Gather.*Parallel Seq Scan.*strm\.reveal/s, 'they decrypt');
same($parallel, 'in parallel workers');
is($standby->safe_psql('postgres', "SET max_parallel_workers_per_gather = 0; $parallel"), $standby->safe_psql('postgres', $parallel), 'as without them');
same("SELECT count(*) FROM clicks_1 a JOIN clicks_1 b USING (session) WHERE a.amount < b.amount", 'joins');

refused("INSERT INTO clicks (session) VALUES ('s')", '25006', 'read-only transaction', 'no INSERT');
refused("SELECT strm.delete_data_subjects('c-1')", '25006', 'read-only transaction', 'no erasure');

# --- definitions and keys made later reach a session that has caches ---
$primary->safe_psql('postgres', "INSERT INTO clicks (strm_consent_levels, session, email, page) VALUES ('{1,2}', 'new', 'e-new', 9000)");
$primary->safe_psql('postgres', "SELECT strm.create_derived_stream('clicks', '{1,2}')");
$caught_up->();
is($session->query('SELECT session FROM clicks_1 WHERE page = 9000'), 'new', 'a new key');
is($session->query('SELECT session, email FROM clicks_1_2'), 'new|e-new', 'a new derived stream');

# --- erasure ---
my $of_one = 'SELECT session, customer, amount, words FROM clicks_1 WHERE page = 1';
my $snapshot = $standby->background_psql('postgres', on_error_stop => 0);
$snapshot->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $known = 's-1|c-1|1|{w-1,NULL}';
is($snapshot->query($of_one), $known, 'before the erasure, in a transaction');
is($session->query($of_one), $known, 'before the erasure, in a session');
$session->query("PREPARE one AS $of_one");
is($session->query('EXECUTE one'), $known, 'before the erasure, in a prepared statement');
is($primary->safe_psql('postgres', "SELECT strm.delete_data_subjects('c-1')"), 1, 'one key is destroyed');
$caught_up->();
is($session->query($of_one), '|||', 'erased in a session that had cached the key');
is($session->query('EXECUTE one'), '|||', 'erased in a prepared statement');
is($snapshot->query($of_one), '|||', 'erased in a transaction that began before');
$snapshot->query('COMMIT');
is($session->query('SELECT session FROM clicks_1 WHERE page = 2'), 's-2', 'others are as they were');
same('SELECT * FROM clicks_1 ORDER BY page', 'the derived stream is the same on both');
same($parallel, 'and so it is for parallel workers');
is($session->query("SELECT count(*) FROM strm.data_subject_key_links('c-1')"), 0, 'the data subject is gone');
is($session->query('SELECT customer FROM masked WHERE amount IS NULL LIMIT 1'), '', 'the mask is NULL, too');

# --- promotion ---
my $links = $standby->safe_psql('postgres', 'SELECT count(DISTINCT key_link) FROM strm.data_key');
$primary->stop;
$standby->promote;
my $insert = "INSERT INTO clicks (strm_consent_levels, session, customer, amount, page) VALUES ('{1}', '%s', '%s', %s, %s)";
$session->query_safe(sprintf($insert, 's-2', 'c-2', -2, 9002));
is($session->query("SELECT session, customer, amount FROM clicks_1 WHERE page = 9002"), 's-2|c-2|-2', 'promoted: a row of a known value');
is($standby->safe_psql('postgres', 'SELECT count(DISTINCT key_link) FROM strm.data_key'), $links, 'promoted: under its key');
is($standby->safe_psql('postgres', 'SELECT count(DISTINCT strm_key_link) FROM clicks WHERE page IN (2, 9002)'), 1, 'promoted: equal values have one key link');
$session->query_safe(sprintf($insert, 's-1', 'c-1', -1, 9001));
is($session->query("SELECT session, customer, amount FROM clicks_1 WHERE page = 9001"), 's-1|c-1|-1', 'promoted: a row of an erased data subject gets a new key');
is($standby->safe_psql('postgres', 'SELECT count(DISTINCT key_link) FROM strm.data_key'), $links + 1, 'promoted: one more key');
is($session->query($of_one), '|||', 'promoted: what was erased stays erased');
is($standby->safe_psql('postgres', "SELECT strm.delete_data_subjects('c-2')"), 1, 'promoted: erasure');
is($session->query('SELECT count(*), count(amount) FROM clicks_1 WHERE page IN (2, 9002)'), '2|0', 'promoted: erased in a session');
$_->quit for $session, $snapshot;
$standby->stop;
done_testing();
