# Promotion of a standby. From PostgreSQL 17 on the slot of a Kafka cluster is there, and exporters go on; before, and where the slot
# was not synchronised, they are rebuilt. Either way each event is in its topic once.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;

strm_kafka_skip('KAFKA39');
my $primary = strm_node('primary', init => [ allows_streaming => 1 ], conf => "fsync = off\nwal_level = logical\nmax_worker_processes = 16\n");
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $primary->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
my %login = strm_kafka_login('KAFKA39', '');
my $kafka = strm_kafka(%login);
my $n = 0;

# Inserts ten events, numbered through the whole test.
sub insert
{
	my ($node) = @_;
	$node->safe_psql('postgres', "INSERT INTO events (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 3, i FROM generate_series($n + 1, $n + 10) AS i");
	$n += 10;
	return;
}

sub becomes
{
	my ($node, $name, $condition, $what) = @_;
	my $done = $node->poll_query_until('postgres', "SELECT $condition FROM strm.kafka_exporters WHERE name = '$name'");
	ok($done, $what) or diag $node->safe_psql('postgres', "SELECT * FROM strm.kafka_exporters WHERE name = '$name'");
	return;
}

sub catches_up
{
	my ($node, $name, $what) = @_;
	my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	becomes($node, $name, "state = 'RUNNING' AND queued_bytes = 0 AND (SELECT s.confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots s JOIN strm.kafka_clusters c USING (slot_name) WHERE c.name = cluster)", $what);
	return;
}

# Brokers that are away, or there again.
sub brokers { my ($node, $servers) = @_; $node->safe_psql('postgres', "SELECT strm.alter_kafka_cluster('k', '$servers')"); return }

# The numbers in a topic, as "1-5,7-9"; one that is there twice shows twice. Complains of keys whose order is wrong.
sub numbers
{
	my ($topic) = @_;
	my (@numbers, @ranges, %last);
	my $disorder = '';
	$kafka->consume($topic, each => sub {
		my ($record) = @_;
		my $number = $record->{value} =~ /"n": ?(\d+)/ ? $1 : die "no number in $record->{value}";
		$disorder = ' out of order' if ($last{ $record->{key} } // 0) >= $number;
		$last{ $record->{key} } = $number;
		push @numbers, $number;
	});
	for my $number (sort { $a <=> $b } @numbers)
	{
		if (@ranges && $ranges[-1][1] + 1 == $number) { $ranges[-1][1] = $number }
		else { push @ranges, [ $number, $number ] }
	}
	return join(',', map { "$_->[0]-$_->[1]" } @ranges) . $disorder;
}

# A standby of the node. Its data directory is a copy; the master key file is the same one.
sub standby
{
	my ($node, $name, $conf) = @_;
	$node->backup("for_$name");
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($node, "for_$name", has_streaming => 1);
	$standby->append_conf('postgresql.conf', $conf // '');
	$standby->start;
	return $standby;
}

sub caught_up
{
	my ($node, $standby) = @_;
	my $lsn = $node->lsn('insert');
	ok($standby->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$lsn'"), 'the standby has all');
	return;
}

$primary->safe_psql('postgres', "CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($primary, 'acme/events/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'LONG', undef ] ]);
$primary->safe_psql('postgres', "SELECT strm.create_stream('events', contract => 'acme/events/1.0.0'), strm.create_derived_stream('events', purposes => '{1}', name => 'shown')");
$primary->safe_psql('postgres', "SELECT strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}')");
my %topic = map { $_ => $kafka->name($_) } 'events', 'shown';
insert($primary);
$primary->safe_psql('postgres', "SELECT strm.create_kafka_exporter('events', 'k', '$topic{events}', 'events', include_existing_events => true, partitions => 2), "
	  . "strm.create_kafka_exporter('shown', 'k', '$topic{shown}', 'shown', partitions => 2)");
insert($primary);
catches_up($primary, $_, "$_ publishes") for 'events', 'shown';
my %expected = (events => 1, shown => 11);
my $worker = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'strm_privacy Kafka worker'";
my $epochs = 'SELECT min(epoch), max(epoch) FROM strm.kafka_exporter_state';

# --- a standby without the slot ---
my $second = standby($primary, 'second');
is($second->safe_psql('postgres', $worker), 0, 'a standby does not publish');
is($second->safe_psql('postgres', 'SELECT count(*) FROM strm.kafka_exporters'), 2, 'its exporters are shown');
insert($primary);
catches_up($primary, $_, "$_ publishes") for 'events', 'shown';
brokers($primary, '127.0.0.1:1');
insert($primary);
caught_up($primary, $second);
$primary->stop('immediate');
$second->promote;
becomes($second, $_, "state = 'BROKEN' AND last_error ~ 'is not there any more' AND hint ~ 'rebuild_kafka_exporter'", "promoted: $_ is broken") for 'events', 'shown';
insert($second);
brokers($second, $login{'bootstrap.servers'});
is(numbers($topic{$_}), "$expected{$_}-30", "promoted: nothing is published to $_") for 'events', 'shown';
$second->safe_psql('postgres', "SELECT strm.rebuild_kafka_exporter('events'), strm.rebuild_kafka_exporter('shown')");
catches_up($second, $_, "rebuilt: $_ publishes") for 'events', 'shown';
insert($second);
catches_up($second, $_, "rebuilt: $_ goes on") for 'events', 'shown';
is(numbers($topic{$_}), "$expected{$_}-$n", "rebuilt: each event is in $_ once") for 'events', 'shown';

# --- one with the slot ---
SKIP:
{
	skip 'servers before 17 have no failover slots', 1 if $second->pg_version < 17;
	$second->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('third', true)");
	my $connection = $second->connstr('postgres') =~ s/'/''/gr;
	my $third = standby($second, 'third', <<CONF);
primary_slot_name = 'third'
primary_conninfo = '$connection'
hot_standby_feedback = on
sync_replication_slots = on
CONF
	$second->safe_psql('postgres', q(ALTER SYSTEM SET synchronized_standby_slots = 'third'));
	$second->reload;
	insert($second);
	catches_up($second, $_, "$_ publishes what the standby has") for 'events', 'shown';
	ok($third->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_replication_slots WHERE plugin = 'strm_privacy' AND synced AND NOT temporary"), 'the slot is there');
	my $before = $n;
	$third->stop;
	insert($second);
	sleep 3;
	is(numbers($topic{$_}), "$expected{$_}-$before", "$_: nothing is published that the standby does not have") for 'events', 'shown';
	becomes($second, $_, 'lag_bytes > 0', "$_ is behind, which shows") for 'events', 'shown';
	$third->start;
	catches_up($second, $_, "$_ publishes when the standby has it") for 'events', 'shown';
	is(numbers($topic{$_}), "$expected{$_}-$n", "all of $_") for 'events', 'shown';
	is($third->safe_psql('postgres', $worker), 0, 'the standby itself does not publish');

	my $epoch = $second->safe_psql('postgres', $epochs);
	brokers($second, '127.0.0.1:1');
	insert($second);
	caught_up($second, $third);
	$second->stop('immediate');
	$third->promote;
	insert($third);
	brokers($third, $login{'bootstrap.servers'});
	catches_up($third, $_, "promoted: $_ goes on by itself") for 'events', 'shown';
	insert($third);
	catches_up($third, $_, "promoted: $_ publishes") for 'events', 'shown';
	is(numbers($topic{$_}), "$expected{$_}-$n", "promoted: each event is in $_ once") for 'events', 'shown';
	is($third->safe_psql('postgres', $epochs), $epoch, 'promoted: nothing was rebuilt');
	unlike(slurp_file($third->logfile), qr/TRAP|was terminated by signal/, 'promoted: nothing crashed');
	$third->stop;
}
unlike(slurp_file($second->logfile), qr/TRAP|was terminated by signal/, 'nothing crashed');
$second->stop;
done_testing();
