# The launcher and the schedulers: where they are, where they are not, and that they are in nobody's way.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;
use Time::HiRes qw(time);

my $node = strm_node('main', init => [ allows_streaming => 1 ], conf => "max_worker_processes = 12\nrestart_after_crash = on\n");
my $scheduler = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'strm_privacy scheduler' AND datname =";

# Waits until the database has a scheduler, another one than $not. Returns its pid.
sub scheduler_of
{
	my ($database, $name, $not, $on) = @_;
	$on //= $node;
	my $other = defined $not ? "AND pid <> $not" : '';
	ok($on->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($scheduler '$database' $other) AS s"), $name);
	return $on->safe_psql('postgres', "$scheduler '$database'");
}

sub no_scheduler_in
{
	my ($database, $name, $on) = @_;
	ok(($on // $node)->poll_query_until('postgres', "SELECT count(*) = 0 FROM ($scheduler '$database') AS s"), $name);
}

# The launcher has looked at all that there was to look at: it asks for nothing to be started.
sub launcher_is_done
{
	my ($on) = @_;
	($on // $node)->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'strm_privacy launcher' AND wait_event = 'Extension'");
}

# --- coming and going ---
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'strm_privacy launcher'"),
	'there is a launcher');
$node->safe_psql('postgres', 'CREATE DATABASE app');
no_scheduler_in('app', 'no extension, no scheduler');

$node->safe_psql('app', 'BEGIN; CREATE EXTENSION strm_privacy; ROLLBACK');
no_scheduler_in('app', 'nor after CREATE EXTENSION was rolled back');
$node->safe_psql('app', 'CREATE EXTENSION strm_privacy');
my $pid = scheduler_of('app', 'CREATE EXTENSION starts one, without a restart');
is($node->safe_psql('app', "SELECT kind || coalesce(' ' || database, '') FROM strm.workers ORDER BY 1"), "launcher\nscheduler app",
	'strm.workers shows both');
is($node->safe_psql('app', "SELECT name, status FROM strm.entity_states WHERE entity = 'worker' ORDER BY 1"),
	"launcher|running\nscheduler app|running", 'strm.entity_states, too');
is($node->safe_psql('app', "SELECT backend_xmin IS NULL AND xact_start IS NULL FROM pg_stat_activity WHERE pid = $pid"), 't',
	'between two looks it has no transaction open');
$node->safe_psql('app', 'BEGIN; DROP EXTENSION strm_privacy; ROLLBACK');
is($node->safe_psql('postgres', "$scheduler 'app'"), $pid, 'DROP EXTENSION that is rolled back leaves it alone');
$node->safe_psql('app', 'DROP EXTENSION strm_privacy');
no_scheduler_in('app', 'DROP EXTENSION ends it');
$node->safe_psql('app', 'CREATE EXTENSION strm_privacy');
$pid = scheduler_of('app', 'and CREATE EXTENSION begins anew');

# --- commands on whole databases ---
sub prompt
{
	my ($statement, $name, $database) = @_;
	my $start = time;
	my ($rc, $out, $err) = $node->psql($database // 'postgres', $statement);
	is($err, '', $name);
	cmp_ok(time - $start, '<', 3, "$name: promptly");
}
prompt('CREATE DATABASE copy TEMPLATE app', 'CREATE DATABASE ... TEMPLATE');
scheduler_of('copy', 'a copy gets a scheduler');
$pid = scheduler_of('app', 'the template has one again');
prompt('ALTER DATABASE copy RENAME TO renamed', 'ALTER DATABASE ... RENAME');
scheduler_of('renamed', 'a renamed database keeps one');
mkdir $node->basedir . '/space';
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '" . $node->basedir . "/space'");
prompt('ALTER DATABASE renamed SET TABLESPACE space', 'ALTER DATABASE ... SET TABLESPACE');
scheduler_of('renamed', 'a moved database has one');
prompt('DROP DATABASE renamed', 'DROP DATABASE');
$node->safe_psql('postgres', 'DROP TABLESPACE space');
prompt("CREATE DATABASE busy TEMPLATE app", "round $_: TEMPLATE"), prompt('DROP DATABASE busy', "round $_: DROP DATABASE") for 1 .. 5;
prompt('CREATE DATABASE busy TEMPLATE app', 'a template of its own session', 'app');
scheduler_of('busy', 'it has one');
prompt('DROP DATABASE busy WITH (FORCE)', 'DROP DATABASE ... WITH (FORCE)');
prompt('CREATE DATABASE plain', 'CREATE DATABASE');
prompt('DROP DATABASE plain', 'DROP DATABASE without the extension');

$pid = scheduler_of('app', 'it is there again');
$node->safe_psql('postgres', 'BEGIN; ALTER DATABASE app RENAME TO other; ROLLBACK');
$pid = scheduler_of('app', 'and after a command that was rolled back', $pid);
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
for my $statement ('DROP DATABASE app', 'ALTER DATABASE app RENAME TO mine', 'CREATE DATABASE mine TEMPLATE app', 'DROP DATABASE none')
{
	my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE nobody; $statement");
	like($err, qr/must be owner|permission denied|does not exist/, "who may not: $statement");
}
is($node->safe_psql('postgres', "$scheduler 'app'"), $pid, 'who may not run a command sends no scheduler away');
$node->safe_psql('postgres', 'CREATE DATABASE closed TEMPLATE app');
scheduler_of('closed', 'a copy has one');
$node->safe_psql('postgres', q{ALTER DATABASE closed WITH ALLOW_CONNECTIONS false});
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'closed'");
no_scheduler_in('closed', 'none where no connections are allowed');
unlike(slurp_file($node->logfile), qr/FATAL:.*does not exist|being accessed by other users|is not currently accepting connections/,
	'no worker ran into a database that was gone or closed');

# --- failures ---
$pid = scheduler_of('app', 'it is there');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$pid = scheduler_of('app', 'a scheduler that was ended comes back', $pid);
my $launcher = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'strm_privacy launcher'";
my $old = $node->safe_psql('postgres', $launcher);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($old)");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($launcher AND pid <> $old) AS l"), 'so does the launcher');
launcher_is_done();
is($node->safe_psql('postgres', "$scheduler 'app'"), $pid, 'the new launcher takes over the scheduler');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$pid = scheduler_of('app', 'and starts another one when it ends', $pid);
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT true');
$pid = scheduler_of('app', 'after a crash they are back', $pid);
$node->restart;
$pid = scheduler_of('app', 'and after a restart');
launcher_is_done();
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'strm_privacy scheduler'"), 1,
	'databases without the extension have none');

# --- notifications ---
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', undef ] ], undef, 'app');
my $heard = $node->safe_psql('app', <<'SQL');
LISTEN strm_privacy;
SELECT FROM strm.create_stream('clicks', contract => 'acme/clicks/1.0.0');
DROP TABLE clicks;
SQL
like($heard, qr/"strm_privacy" with payload "\{"entity": "stream", "id": "[0-9a-f-]{36}", "name": "public\.clicks", "status": "ACTIVE"\}"/,
	'a new stream is notified');
like($heard, qr/"status": "DROPPED"/, 'and its end');

# --- standby ---
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$standby->safe_psql('app', 'SELECT count(*) FROM strm.streams');
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'strm_privacy%'"), 0,
	'a standby has no workers');
is($standby->safe_psql('app', 'SELECT count(*) FROM strm.workers'), 0, 'nor does strm.workers show any there');
$standby->promote;
scheduler_of('app', 'they start when it is promoted', undef, $standby);
$standby->stop;

# --- no room ---
$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
$node->restart;    # the launcher, and that of logical replication
my $log;
for (1 .. 100)
{
	$log = slurp_file($node->logfile);
	last if $log =~ /cannot start a background worker/;
	$node->safe_psql('postgres', 'SELECT pg_sleep(0.1)');
}
like($log, qr/WARNING:  strm_privacy cannot start a background worker/, 'when there is no room, the log says so');
my ($rc, $out, $err) = $node->psql('app', 'SELECT strm.create_purpose(7, $$Research$$)');
is($rc, 0, 'all the rest works');
$node->safe_psql('app', 'CREATE TABLE visits (session text)');
($rc, $out, $err) = $node->psql('app', <<'SQL');
\set VERBOSITY verbose
CALL strm.run_batch_job('{"source_data": {"query": "SELECT 1 AS session, 0 AS at"}, "event_contract_ref": "acme/clicks/1.0.0",
  "encryption": {"timestamp_config": {"field": "at", "format": "yyyy", "default_time_zone": {"id": "UTC"}}},
  "encrypted_data": {"target": {"table": "public.visits"}}}');
SQL
like($err, qr/ERROR:  53400: .*no room.*\nHINT:  Raise max_worker_processes/, 'a job says what is missing');
is($node->safe_psql('app', 'SELECT state, sqlstate FROM strm.batch_jobs'), 'ERROR|53400', 'and does not wait for ever');
$node->append_conf('postgresql.conf', "max_worker_processes = 12\n");
$node->restart;
scheduler_of('app', 'with room there is a scheduler');

$node->stop;
done_testing();
