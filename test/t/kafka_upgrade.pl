# pg_upgrade of a server that publishes to Kafka. From PostgreSQL 17 on it takes the replication slot along, and exporters go on;
# before, they are rebuilt. Either way each event is in its topic once. From a version to itself: that takes the same way.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;

strm_kafka_skip('KAFKA39');
my $conf = "fsync = off\nwal_level = logical\nmax_worker_processes = 16\nmax_replication_slots = 4\n";
my $old = strm_node('old', conf => $conf);
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $old->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
my %login = strm_kafka_login('KAFKA39', '');
my $kafka = strm_kafka(%login);
my $n = 0;

sub insert
{
	my ($node) = @_;
	$node->safe_psql('postgres', "INSERT INTO events (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 3, i FROM generate_series($n + 1, $n + 10) AS i");
	$n += 10;
	return;
}

sub becomes
{
	my ($node, $condition, $what) = @_;
	my $done = $node->poll_query_until('postgres', "SELECT bool_and($condition) FROM strm.kafka_exporters");
	ok($done, $what) or diag $node->safe_psql('postgres', 'SELECT name, state, sqlstate, last_error, hint, sent, lag_bytes FROM strm.kafka_exporters');
	return;
}

sub catches_up
{
	my ($node, $what) = @_;
	my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	becomes($node, "state = 'RUNNING' AND queued_bytes = 0 AND (SELECT s.confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots s JOIN strm.kafka_clusters c USING (slot_name))", $what);
	return;
}

sub numbers { my ($topic) = @_; return join ',', sort { $a <=> $b } map { $_->{value} =~ /"n": ?(\d+)/ ? $1 : die } $kafka->consume($topic) }

$old->safe_psql('postgres', "CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($old, 'acme/events/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'LONG', undef ] ]);
$old->safe_psql('postgres', "SELECT strm.create_stream('events', contract => 'acme/events/1.0.0'), strm.create_derived_stream('events', purposes => '{1}', name => 'shown')");
$old->safe_psql('postgres', "SELECT strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}')");
my %topic = map { $_ => $kafka->name($_) } 'events', 'shown';
$old->safe_psql('postgres', "SELECT strm.create_kafka_exporter('$_', 'k', '$topic{$_}', '$_', partitions => 2)") for 'events', 'shown';
insert($old);
catches_up($old, 'published');
my $listed = $old->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'");
$old->stop;

# pg_upgrade lets only plugins through that the new server names, where there is such a list
$conf .= "output_plugin_libraries = 'strm_privacy'\n" if $listed;
my $new = strm_node('new', key_file => strm_master_key_file($old), conf => $conf, start => 0);
chdir PostgreSQL::Test::Utils::tempdir();
$new->command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old->config_data('--bindir'),
		'-B', $new->config_data('--bindir'), '-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
$new->start;
insert($new);
my $taken = $new->pg_version >= 17;
is($new->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 1, 'the slot is there') if $taken;
if (!$taken)
{
	becomes($new, "state = 'BROKEN' AND hint ~ 'rebuild_kafka_exporter'", 'exporters without their slot are broken');
	is(numbers($topic{$_}), join(',', 1 .. 10), "nothing is published to $_") for 'events', 'shown';
	$new->safe_psql('postgres', "SELECT strm.rebuild_kafka_exporter('$_')") for 'events', 'shown';
}
catches_up($new, 'they publish');
insert($new);
catches_up($new, 'and go on');
is(numbers($topic{$_}), join(',', 1 .. $n), "each event is in $_ once") for 'events', 'shown';
unlike(slurp_file($new->logfile), qr/TRAP|was terminated by signal/, 'nothing crashed');
$new->stop;
done_testing();
