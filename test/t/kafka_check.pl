# Checking a topic: errors come back from the background worker to the session that waits, and the worker ends with it.
use strict;
use warnings;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;
use Time::HiRes qw(time sleep);

my $node = strm_node('main', conf => <<CONF);
wal_level = logical
max_worker_processes = 16
strm_privacy.connector_timeout = 4
log_statement = none
CONF
my $libraries = $node->config_data('--pkglibdir');
plan skip_all => 'strm_privacy_kafka is not installed' if !-e "$libraries/strm_privacy_kafka.so";

# a server that takes connections and says nothing
my $silent = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1') or die "no socket: $!";
my $closed = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;

$node->safe_psql('postgres', 'CREATE EXTENSION strm_privacy');
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', undef ] ]);
$node->safe_psql('postgres', "SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0')");
$node->safe_psql('postgres', "SELECT strm.create_kafka_cluster('silent', '127.0.0.1:" . $silent->sockport . "',"
		. ' config => $${"security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN", "sasl.username": "u", "sasl.password": "hush-9f3"}$$)');
$node->safe_psql('postgres', "SELECT strm.create_kafka_cluster('closed', '127.0.0.1:$closed')");
my $create = "SELECT strm.create_kafka_exporter('clicks', 'silent')";
my $checks = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'strm_privacy Kafka check'";

# Tries to create an exporter; returns the error and the seconds that it took.
sub fails
{
	my ($statement, $name) = @_;
	my $start = time;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	isnt($rc, 0, $name);
	return ($err, time - $start);
}

sub no_worker
{
	my ($name) = @_;
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS ($checks) AND NOT EXISTS (SELECT FROM strm.workers WHERE what LIKE 'checks%')"), $name);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM strm.kafka_exporters'), 0, "$name: nothing was created");
}

# --- errors ---
my ($err, $seconds) = fails("SELECT strm.create_kafka_exporter('clicks', 'closed')", 'nobody listens');
like($err, qr/ERROR:  08006: /, 'it is said so');
cmp_ok($seconds, '<', 12, 'in bounded time');
no_worker('then');
($err, $seconds) = fails($create, 'nobody answers');
like($err, qr/ERROR:  0800[46]: /, 'it is said so');
cmp_ok($seconds, '<', 12, 'in bounded time');
unlike($err, qr/hush-9f3/, 'without secrets');
no_worker('then');

# --- the session goes away ---
$node->append_conf('postgresql.conf', "strm_privacy.connector_timeout = 60\n");
$node->reload;
($err, $seconds) = fails("SET statement_timeout = '1s'; $create", 'a statement that is cancelled');
like($err, qr/57014/, 'is cancelled');
cmp_ok($seconds, '<', 5, 'at once');
no_worker('and its worker ends');

for my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $backend = $session->query_safe('SELECT pg_backend_pid()') =~ s/\D//gr;
	$session->query_until(qr/started/, "\\echo started\n$create;\n");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($checks) AS c"), "$how: a worker checks");
	is($node->safe_psql('postgres', "SELECT kind, state FROM strm.workers WHERE what LIKE 'checks a topic of Kafka cluster %'"),
		'kafka|running', 'strm.workers shows it');
	$node->safe_psql('postgres', "SELECT $how($backend)");
	no_worker("$how ends it");
	eval { $session->quit };
}

# --- the worker goes away ---
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_until(qr/started/, "\\echo started\n$create;\n");
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($checks) AS c");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM ($checks) AS c");
no_worker('a worker that was ended');
eval { $session->quit };
ok($node->wait_for_log(qr/ERROR:  the background worker that checked the topic ended without an answer/), 'is an error of the session');

# --- no library ---
my $directory = PostgreSQL::Test::Utils::tempdir();
symlink "$libraries/strm_privacy.so", "$directory/strm_privacy.so";
$node->append_conf('postgresql.conf', "dynamic_library_path = '$directory'\n");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('dynamic_library_path') = '$directory'");
($err) = fails($create, 'without the library');
like($err, qr/ERROR:  58P01: the library strm_privacy_kafka cannot be loaded/, 'it is said so');
like($err, qr/HINT:  .*librdkafka/, 'and what to install');
no_worker('then');

# --- no room ---
$node->append_conf('postgresql.conf', "max_worker_processes = 3\ndynamic_library_path = '\$libdir'\n");
$node->restart;
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'strm_privacy scheduler'");
($err) = fails($create, 'without room for a worker');
like($err, qr/ERROR:  53400: there is no room for a background worker to check the topic/, 'it is said so');
no_worker('then');

unlike(slurp_file($node->logfile), qr/hush-9f3/, 'the log has no secret');
$node->stop;
done_testing();
