# Existing events of streams that are written to while a Kafka exporter begins: each event once, of whatever transaction it
# was, and of one that waits for a synchronous standby, too. The broker is the worker's own.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;

plan skip_all => 'there is no kcat' if system('kcat -V >/dev/null 2>&1') != 0;
my $node = strm_node('main', conf => <<CONF);
wal_level = logical
max_worker_processes = 16
max_wal_senders = 4
synchronous_commit = local
CONF
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A session on its own that runs statements.
sub session
{
	my ($name, $statements) = @_;
	my $file = $node->basedir . "/$name.sql";
	append_to_file($file, $statements);
	return IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-f', $file ], '>&', \my $said, IPC::Run::timeout(180));
}

# The exporter has published all of its stream, and each event once.
sub complete
{
	my ($exporter, $topic, $name) = @_;
	my $done = $node->poll_query_until('postgres',
		"SELECT state = 'RUNNING' AND sent >= (SELECT count(*) FROM events) FROM strm.kafka_exporters WHERE name = '$exporter'");
	ok($done, "$name: it runs") or diag sql('SELECT name, state, sent, last_error FROM strm.kafka_exporters');
	my $address = sql("SELECT address FROM strm.kafka_clusters WHERE name = 'demo'") =~ /(127\.0\.0\.1:\d+)/ ? $1 : die 'no address';
	my @records = strm_kcat_consume({ 'bootstrap.servers' => $address }, $topic);
	my %topic;
	$topic{ $_->{key} . ' ' . ($_->{headers} =~ /strm-nonce=(-?\d+)/)[0] }++ for @records;
	my %table = map { $_ => 1 } split /\n/, sql("SELECT strm_key_link || ' ' || strm_nonce FROM events");
	is(scalar(grep { !$topic{$_} } keys %table), 0, "$name: nothing is lost");
	is(scalar(grep { !$table{$_} } keys %topic), 0, "$name: nothing comes of what was rolled back");
	is(scalar @records, scalar keys %topic, "$name: nothing comes twice");
	return;
}

sql('CREATE EXTENSION strm_privacy');
sql("SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($node, 'acme/events/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'LONG', undef ] ]);
sql("SELECT strm.create_stream('events', contract => 'acme/events/1.0.0', partition_by => '1 day')");
sql("SELECT strm.create_derived_stream('events', purposes => '{1}', name => 'readable')");
sql("INSERT INTO events (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 100, i FROM generate_series(1, 20000) AS i");
sql("SELECT strm.create_kafka_cluster('demo', bootstrap_servers => 'embedded')");

# --- while others write ---
my $insert = "INSERT INTO events (strm_consent_levels, session, n) VALUES ('{1}', 's' || :i, :i);";
my $script = $node->basedir . '/write.sql';
append_to_file($script, <<SQL);
\\set i random(1, 100)
\\set nap random(0, 20)
BEGIN;
$insert
SAVEPOINT kept;
$insert
RELEASE kept;
SAVEPOINT gone;
$insert
SELECT pg_sleep(:nap / 1000.0);
ROLLBACK TO gone;
$insert
COMMIT;
SQL
my $many = join "\n", 'BEGIN;', (map { "SAVEPOINT s$_; INSERT INTO events (strm_consent_levels, session, n) VALUES ('{1}', 'many', $_);" } 1 .. 100);
my $open = session('many', "$many\nSELECT pg_sleep(6);\nCOMMIT;\n");
my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', 8, '-f', $script, $node->connstr('postgres') ], '>', \my $said, '2>', \my $errors, IPC::Run::timeout(180));
ok($node->poll_query_until('postgres', "SELECT count(*) > 20100 FROM events"), 'others write');
sql("SELECT strm.create_kafka_exporter('events', 'demo', name => 'stored', topic => 'stored', include_existing_events => true)");
sql("SELECT strm.create_kafka_exporter('readable', 'demo', name => 'shown', topic => 'shown', include_existing_events => true)");
ok(IPC::Run::finish($writers), 'to the end') or diag $errors;
IPC::Run::finish($open);
is(sql("SELECT count(*) FROM events WHERE n <= 100 AND strm_key_link = (SELECT strm_key_link FROM readable WHERE session = 'many' LIMIT 1)"), 100,
	'also one with many subtransactions');
complete('stored', 'stored', 'a stream');
complete('shown', 'shown', 'a derived stream');

# --- while a transaction waits for a synchronous standby ---
sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
$node->reload;
my $waiting = session('waits', "SET synchronous_commit = on;\nINSERT INTO events (strm_consent_levels, session, n) VALUES ('{1}', 'waits', 1);\n");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 'one waits');
sql("SELECT strm.create_kafka_exporter('events', 'demo', name => 'patient', topic => 'patient', include_existing_events => true)");
sleep 3;
is(sql("SELECT state || sent FROM strm.kafka_exporters WHERE name = 'patient'"), 'CREATING0', 'the exporter waits for it');
sql('ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
IPC::Run::finish($waiting);
complete('patient', 'patient', 'with one that waited');
done_testing();
