# Ingest workers keep to their lanes: all rows of one key field value are moved by the same one. And what is no row's fault sets no
# row aside: the rows wait until it is over, all of them, in their order.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $node = strm_node('main', conf => <<CONF);
max_worker_processes = 16
strm_privacy.ingest_workers = 3
autovacuum = off
CONF
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One');
CREATE ROLE maker LOGIN IN ROLE strm_member, strm_approver;
GRANT ALL ON SCHEMA public TO maker;
SQL
strm_contract($node, 'acme/queue/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'INTEGER', undef, 'required' ] ]);

sub sql { return $node->safe_psql('postgres', @_) }
sub as_maker { return sql("SET ROLE maker; $_[0]") }
sub queue { return sql("INSERT INTO qs_inbox (strm_consent_levels, session, n) SELECT '{1}', s, n FROM ($_[0]) AS r (s, n)") }
my $wait = sub { return $node->psql('postgres', "SELECT strm.wait_for_ingest('qs', '$_[0]')") };

# the owner's trigger notes who brings a row, and fails as it is told to
as_maker("SELECT strm.create_stream('qs', contract => 'acme/queue/1.0.0', ingest => 'queued')");
as_maker("SELECT strm.create_derived_stream('qs', '{1}')");
as_maker(<<'SQL');
CREATE TABLE seen (id bigserial, link uuid, n int, pid int);
CREATE TABLE trouble (state text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE trouble text := (SELECT state FROM trouble);
BEGIN
  IF trouble IS NOT NULL AND NEW.n % 5 = 0 THEN RAISE 'trouble' USING ERRCODE = trouble; END IF;
  INSERT INTO seen (link, n, pid) VALUES (NEW.strm_key_link, NEW.n, pg_backend_pid());
  RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT ON qs FOR EACH ROW EXECUTE FUNCTION see();
SQL
ok($node->poll_query_until('postgres', "SELECT count(*) FROM strm.workers WHERE kind = 'ingest' AND state = 'running'", 3), 'three workers');

# --- lanes ---
for my $round (1 .. 15)
{
	queue("SELECT 'k-' || i % 100, $round * 1000 + i FROM generate_series(1, 600) i");
	$wait->('60 s');
}
is(sql('SELECT count(*), count(DISTINCT link) FROM seen'), '9000|100', 'all rows are moved');
is(sql('SELECT count(DISTINCT pid) FROM seen'), 3, 'each worker moves some');
is(sql('SELECT count(*) FROM (SELECT FROM seen GROUP BY link HAVING count(DISTINCT pid) > 1) AS s'), 0, 'none moves rows of a key that another one moves');
my $disorder = 'SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY link ORDER BY id) AS before FROM seen) AS s WHERE before >= n';
is(sql($disorder), 0, 'rows of a key are in order');

# --- what is no row's fault ---
my $n = 100_000;
for my $state (qw(40001 40P01 53100 53200 55P03 57014 57P01 58030 XX000))
{
	as_maker("INSERT INTO trouble VALUES ('$state')");
	queue("SELECT 'k-' || i % 10, $n + i FROM generate_series(1, 50) i");
	$n += 1000;
	like(($wait->('1500 ms'))[2], qr/are not in the stream yet/, "$state: rows wait");
	is(sql('SELECT count(*) FROM qs_inbox WHERE strm_fault IS NOT NULL'), 0, "$state: no row is set aside");
	as_maker('DELETE FROM trouble');
	is(($wait->('60 s'))[2], '', "$state: when it is over they are moved");
}
is(sql('SELECT count(*), count(DISTINCT n) FROM seen WHERE n > 100000'), '450|450', 'each row once');
is(sql($disorder), 0, 'in order');
# against which this is a row's
as_maker("INSERT INTO trouble VALUES ('23514')");
queue("SELECT 'k-' || i % 10, $n + i FROM generate_series(1, 50) i");
$wait->('60 s');
is(sql('SELECT count(*), min(strm_fault), max(strm_fault) FROM qs_inbox'), '10|23514|23514', 'what a row is at fault for sets it aside');
$node->stop;
done_testing();
