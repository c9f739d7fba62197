# Kafka workers: one for each Kafka cluster, back after failures, out of the way of commands on whole databases, and gone
# with their replication slots when nobody needs them any more.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = strm_node('main', conf => <<CONF);
wal_level = logical
max_worker_processes = 16
restart_after_crash = on
CONF
my $library = $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $library;

sub workers_in
{
	my ($database) = @_;
	return "SELECT pid FROM pg_stat_activity WHERE backend_type = 'strm_privacy Kafka worker' AND datname = '$database'";
}

# A Kafka cluster whose worker has something to do: with an exporter.
my $version = 0;
sub publish
{
	my ($database) = @_;
	my $ref = 'acme/clicks/1.' . $version++ . '.0';
	$node->safe_psql($database, "SELECT strm.create_kafka_cluster('demo', bootstrap_servers => 'embedded')");
	strm_contract($node, $ref, [ [ 'session', 'STRING', undef ] ], undef, $database);
	$node->safe_psql($database, "SELECT strm.create_stream('clicks', contract => '$ref')");
	$node->safe_psql($database, "SELECT strm.create_kafka_exporter('clicks', 'demo')");
	return;
}

# Waits until the database has one Kafka worker, another one than $not, which holds the slot. Returns its pid.
sub worker_of
{
	my ($database, $name, $not) = @_;
	my $other = defined $not ? "AND w.pid <> $not" : '';
	my $pids = 'SELECT w.pid FROM (' . workers_in($database) . ") AS w JOIN pg_replication_slots s ON s.active_pid = w.pid WHERE true $other";
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($pids) AS p"), $name);
	return $node->safe_psql('postgres', $pids);
}

sub slots
{
	my ($database) = @_;
	return "SELECT count(*) FROM pg_replication_slots WHERE plugin = 'strm_privacy' AND database = '$database'";
}

# Neither worker nor slot.
sub nothing_in
{
	my ($database, $name) = @_;
	ok($node->poll_query_until('postgres', 'SELECT (' . slots($database) . ') = 0 AND NOT EXISTS (' . workers_in($database) . ')'), $name);
}

sub prompt
{
	my ($statement, $name, $database) = @_;
	my $start = time;
	my ($rc, $out, $err) = $node->psql($database // 'postgres', $statement);
	unlike($err, qr/ERROR|FATAL/, $name);
	cmp_ok(time - $start, '<', 8, "$name: promptly");
}

# How many events of the exporter were acknowledged.
sub sent
{
	my ($n, $name) = @_;
	$node->safe_psql('app', "INSERT INTO clicks (session) SELECT 's' || i FROM generate_series(1, 10) AS i");
	ok($node->poll_query_until('app', "SELECT state = 'RUNNING' AND sent >= $n FROM strm.kafka_exporters WHERE name = 'demo_clicks'"), $name)
		or diag $node->safe_psql('app', 'SELECT * FROM strm.kafka_exporters');
}

# --- one for each cluster ---
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', 'CREATE EXTENSION strm_privacy');
$node->safe_psql('app', "BEGIN; SELECT strm.create_kafka_cluster('demo', bootstrap_servers => 'embedded'); ROLLBACK");
is($node->safe_psql('app', workers_in('app')), '', 'no worker for a cluster that was rolled back');
publish('app');
my $pid = worker_of('app', 'a Kafka cluster has a worker, and that a slot');
sent(10, 'it publishes');
is($node->safe_psql('app', 'SELECT w.pid, w.database, w.state FROM strm.workers w JOIN strm.kafka_clusters c'
		. " ON w.what LIKE '%' || c.id WHERE w.kind = 'kafka' AND c.name = 'demo'"),
	"$pid|app|running", 'strm.workers shows it');
is($node->safe_psql('app', "SELECT status FROM strm.entity_states WHERE entity = 'worker' AND name = 'kafka app'"), 'running',
	'strm.entity_states, too');
is($node->safe_psql('postgres', "SELECT backend_xmin IS NULL AND xact_start IS NULL FROM pg_stat_activity WHERE pid = $pid"), 't',
	'when there is nothing to do it has no transaction open');

# --- failures ---
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
my $start = time;
$pid = worker_of('app', 'a worker that was ended comes back', $pid);
cmp_ok(time - $start, '<', 15, 'soon');
sent(20, 'and publishes');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT true');
$pid = worker_of('app', 'after a crash it is back', $pid);
sent(30, 'and publishes');
$node->restart;
$pid = worker_of('app', 'and after a restart', $pid);
$node->stop('immediate');
$node->start;
$pid = worker_of('app', 'and after an immediate shutdown', $pid);

# --- commands on whole databases ---
prompt('CREATE DATABASE copy TEMPLATE app', 'CREATE DATABASE ... TEMPLATE');
$pid = worker_of('app', 'the template has its worker again', $pid);
ok($node->poll_query_until('copy', "SELECT state = 'BROKEN' FROM strm.kafka_exporters"), 'exporters of a copy are broken');
is($node->safe_psql('copy', 'SELECT sqlstate FROM strm.kafka_exporter_state'), '55000', 'with a reason');
is($node->safe_psql('postgres', workers_in('copy')) . $node->safe_psql('postgres', slots('copy')), '0',
	'a copy has neither worker nor slot');
prompt('ALTER DATABASE app RENAME TO renamed', 'ALTER DATABASE ... RENAME');
$pid = worker_of('renamed', 'the renamed database keeps one', $pid);
prompt('ALTER DATABASE renamed RENAME TO app', 'and back');
$pid = worker_of('app', 'it is there', $pid);
mkdir $node->basedir . '/space';
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '" . $node->basedir . "/space'");
# WAL that is not published yet names the tablespace of before
$node->safe_psql('app', "SELECT strm.pause_kafka_exporter('demo_clicks')");
ok($node->poll_query_until('app', "SELECT state = 'PAUSED' FROM strm.kafka_exporters"), 'an exporter is paused');
$node->safe_psql('app', "BEGIN; CREATE TABLE aside (a int); INSERT INTO clicks (session) SELECT 'a' || i FROM generate_series(1, 10) AS i; ALTER TABLE aside ADD b int; COMMIT");
prompt('ALTER DATABASE app SET TABLESPACE space', 'ALTER DATABASE ... SET TABLESPACE');
$pid = worker_of('app', 'the moved database has one', $pid);
$node->safe_psql('app', "SELECT strm.resume_kafka_exporter('demo_clicks')");
sent(50, 'and publishes, what it had not before, too');
$node->safe_psql('app', "SELECT strm.pause_kafka_exporter('demo_clicks'); INSERT INTO clicks (session) SELECT 'b' || i FROM generate_series(1, 10) AS i");
prompt('ALTER DATABASE app SET TABLESPACE pg_default', 'back');
$pid = worker_of('app', 'it has one again', $pid);
$node->safe_psql('app', "SELECT strm.resume_kafka_exporter('demo_clicks')");
sent(70, 'and publishes');
isnt($node->psql('postgres', 'CREATE DATABASE copy TEMPLATE app'), 0, 'a command that fails');
$pid = worker_of('app', 'sends it away for a moment', $pid);
$node->safe_psql('postgres', 'BEGIN; ALTER DATABASE app RENAME TO other; ROLLBACK');
$pid = worker_of('app', 'as does one that is rolled back', $pid);
for my $round (1 .. 3)
{
	prompt('CREATE DATABASE busy TEMPLATE app', "round $round: TEMPLATE");
	prompt('DROP DATABASE busy', "round $round: DROP DATABASE");
}
$pid = worker_of('app', 'it is there again');
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
$node->psql('postgres', "SET ROLE nobody; $_") for 'DROP DATABASE app', 'CREATE DATABASE mine TEMPLATE app';
is($node->safe_psql('postgres', workers_in('app')), $pid, 'who may not run a command sends no worker away');

# --- the end of definitions ---
$node->safe_psql('app', "BEGIN; SELECT strm.drop_kafka_exporter('demo_clicks'); SELECT strm.drop_kafka_cluster('demo'); ROLLBACK");
is($node->safe_psql('postgres', workers_in('app')), $pid, 'a cluster whose end is rolled back keeps its worker');
$node->safe_psql('app', "SELECT strm.drop_kafka_exporter('demo_clicks'); SELECT strm.drop_kafka_cluster('demo')");
nothing_in('app', 'a cluster that is dropped takes worker and slot with it');
$node->safe_psql('app', 'DROP TABLE clicks');
publish('app');
$pid = worker_of('app', 'a new one has a worker');
$node->safe_psql('app', 'DROP TABLE clicks');
$node->safe_psql('app', 'BEGIN; DROP EXTENSION strm_privacy CASCADE; ROLLBACK');
is($node->safe_psql('postgres', workers_in('app')), $pid, 'DROP EXTENSION that is rolled back leaves it alone');
prompt('DROP EXTENSION strm_privacy CASCADE', 'DROP EXTENSION', 'app');
nothing_in('app', 'takes worker and slot with it');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'strm_privacy scheduler' AND datname = 'app'"),
	'and the scheduler');

# the worker is not there when the extension goes
$node->safe_psql('copy', "SELECT strm.rebuild_kafka_exporter('demo_clicks')");
$pid = worker_of('copy', 'a copy whose exporter is rebuilt has a worker');
$node->stop;
$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
$node->start;
$node->safe_psql('copy', 'DROP TABLE clicks');
prompt('DROP EXTENSION strm_privacy CASCADE', 'DROP EXTENSION without any worker', 'copy');
is($node->safe_psql('postgres', slots('copy')), 1, 'leaves the slot');
$node->append_conf('postgresql.conf', "max_worker_processes = 3\n");
$node->restart;
nothing_in('copy', 'which a scheduler takes away, once there is one');

# --- room ---
$node->safe_psql('copy', 'CREATE EXTENSION strm_privacy');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'strm_privacy scheduler' AND datname = 'copy'");
publish('copy');
my $warning = qr/WARNING:  there is no room for a background worker to publish to Kafka cluster "demo"/;
ok($node->wait_for_log($warning), 'when there is no room, the log says so');
$node->append_conf('postgresql.conf', "max_worker_processes = 16\n");
$node->restart;
$pid = worker_of('copy', 'with room there is a worker');
is(() = slurp_file($node->logfile) =~ /$warning/g, 1, 'it was said once');

# --- workers that are busy ---
my $long = $node->background_psql('postgres');
$long->query_safe('BEGIN; SELECT pg_current_xact_id()');
$node->safe_psql('postgres', 'CREATE DATABASE slow');
$node->safe_psql('slow', 'CREATE EXTENSION strm_privacy');
publish('slow');
ok($node->poll_query_until('slow', "SELECT last_error ~ 'waits for the transactions' FROM strm.kafka_exporters"),
	'a worker whose slot waits for a transaction says so');
prompt('CREATE DATABASE busy TEMPLATE slow', 'CREATE DATABASE ... TEMPLATE while it waits');
prompt('DROP DATABASE busy', 'DROP DATABASE of the copy');
ok($node->poll_query_until('postgres', 'SELECT EXISTS (' . workers_in('slow') . ')'), 'it is back');
prompt('DROP DATABASE slow', 'DROP DATABASE while it waits');
$long->query_safe('ROLLBACK');
$long->quit;

$node->safe_psql('copy', "INSERT INTO clicks (session) SELECT 's' || i FROM generate_series(1, 200000) AS i");
prompt('ALTER DATABASE copy RENAME TO other', 'ALTER DATABASE while it publishes');
prompt('ALTER DATABASE other RENAME TO copy', 'and back');
ok($node->poll_query_until('copy', 'SELECT sent >= 200000 FROM strm.kafka_exporters'), 'it publishes all');
$node->safe_psql('copy', "INSERT INTO clicks (session) SELECT 's' || i FROM generate_series(1, 200000) AS i");

# --- DROP DATABASE ---
prompt('DROP DATABASE copy', 'DROP DATABASE');
is($node->safe_psql('postgres', slots('copy')), 0, 'takes the slot with it');
unlike(slurp_file($node->logfile), qr/being accessed by other users/, 'no worker was in the way');
unlike(slurp_file($node->logfile), qr/TRAP|server process .* was terminated by signal (?!9)/, 'nothing crashed');

$node->stop;
done_testing();
