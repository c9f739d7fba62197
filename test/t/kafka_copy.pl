# Kafka exporters in copies of a database (a restored dump, a template's copy) do not publish until they are rebuilt, and then publish
# what the topic has not; the same after the replication slot was lost.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;

strm_kafka_skip('KAFKA39');
my %login = strm_kafka_login('KAFKA39', '');
my $kafka = strm_kafka(%login);
my $node = strm_node('main', conf => "fsync = off\nwal_level = logical\nmax_worker_processes = 24\n");
my $n = 0;

sub sql { my ($database, $sql) = @_; return $node->safe_psql($database, $sql) }
# Inserts five events, numbered through all databases.
sub insert { my ($database) = @_; sql($database, "INSERT INTO clicks (strm_consent_levels, session, email, n) SELECT '{1}', 's' || i % 3, 'e' || i, i FROM generate_series($n + 1, $n + 5) AS i"); $n += 5; return }
sub state_of { my ($database, $name) = @_; return sql($database, "SELECT state FROM strm.kafka_exporters WHERE name = '$name'") }
sub reaches
{
	my ($database, $name, $state) = @_;
	return 1 if $node->poll_query_until($database, "SELECT state = '$state' AND (state <> 'RUNNING' OR lag_bytes < 10000 AND queued_bytes = 0) FROM strm.kafka_exporters WHERE name = '$name'");
	diag(sql($database, "SELECT state, sqlstate, last_error, hint FROM strm.kafka_exporters WHERE name = '$name'"));
	return 0;
}
# Numbers of the events in a topic, in order, as "1-5,6-10"; an event that is there twice shows twice.
sub published
{
	my ($topic) = @_;
	my @numbers = sort { $a <=> $b } map { $_->{value} =~ /"n": ?(\d+)/ ? $1 : die "no number in $_->{value}" } $kafka->consume($topic);
	my @ranges;
	for my $number (@numbers)
	{
		if (@ranges && $ranges[-1][1] + 1 == $number) { $ranges[-1][1] = $number }
		else { push @ranges, [ $number, $number ] }
	}
	return join ',', map { "$_->[0]-$_->[1]" } @ranges;
}
# Waits for that content.
sub is_published
{
	my ($topic, $expected, $name) = @_;
	my $got = '';
	for (1 .. 100) { $got = published($topic); last if $got eq $expected; select undef, undef, undef, 0.1 }
	is($got, $expected, $name);
	return;
}
sub failure { my ($database, $sql) = @_; my ($rc, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql"); return $err =~ /ERROR:  (\w{5})/ ? $1 : 'none' }

# --- the original ---
sql('postgres', 'CREATE DATABASE source');
sql('source', 'CREATE EXTENSION strm_privacy');
sql('source', "SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', undef ], [ 'email', 'STRING', 1 ], [ 'n', 'INTEGER', undef ] ], undef, 'source');
sql('source', "SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0'), strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}')");
sql('source', "SELECT strm.create_derived_stream('clicks', purposes => '{1}')");
insert('source');
my ($all, $new) = ($kafka->name('copy-all'), $kafka->name('copy-new'));
sql('source', "SELECT strm.create_kafka_exporter('clicks_1', 'k', '$all', 'all', include_existing_events => true), strm.create_kafka_exporter('clicks', 'k', '$new', 'new')");
insert('source');
ok(reaches('source', $_, 'RUNNING'), "$_ runs") for 'all', 'new';
is_published($all, '1-10', 'all events');
is_published($new, '6-10', 'new events');

# --- a lost slot ---
my $slot = sql('source', 'SELECT slot_name FROM strm.kafka_clusters');
sql('source', "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '$slot'");
for (1 .. 100) { last if $node->psql('source', "SELECT pg_drop_replication_slot('$slot')") == 0; select undef, undef, undef, 0.02 }
insert('source');
ok(reaches('source', $_, 'BROKEN'), "$_ is broken without its slot") for 'all', 'new';
is(failure('source', "SELECT strm.resume_kafka_exporter('new')"), '55000', 'it cannot just go on');
sql('source', "SELECT strm.rebuild_kafka_exporter('all')");
ok(reaches('source', 'all', 'RUNNING'), 'one is rebuilt');
is(state_of('source', 'new'), 'BROKEN', 'the other one waits');
sql('source', "SELECT strm.rebuild_kafka_exporter('new')");
ok(reaches('source', 'new', 'RUNNING'), 'and is rebuilt');
insert('source');
is_published($all, '1-20', 'what was missed is published once');
is_published($new, '6-20', 'of the other one, too');

# --- a dump ---
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('source'), '-f', $dump ], 'dumped');
sql('source', "SELECT strm.drop_kafka_exporter('all'), strm.drop_kafka_exporter('new')");
sql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restored');
insert('restored');
ok(reaches('restored', $_, 'BROKEN'), "$_ does not publish what it finds in the copy") for 'all', 'new';
is(sql('restored', 'SELECT ours, slot_name IS NULL FROM strm.kafka_clusters'), 'f|t', 'the cluster belongs to the original');
is(failure('restored', "SELECT strm.create_kafka_exporter('clicks', 'k', 'copy-other', 'other')"), '55000', 'and takes no other exporter');
is_published($all, '1-20', 'nothing has come');
sql('restored', "SELECT strm.rebuild_kafka_exporter('all')");
ok(reaches('restored', 'all', 'RUNNING'), 'one is rebuilt');
is(state_of('restored', 'new'), 'BROKEN', 'the other one waits');
is_published($all, '1-25', 'what the topic has not is published once');
sql('restored', "SELECT strm.rebuild_kafka_exporter('new')");
ok(reaches('restored', 'new', 'RUNNING'), 'the other one is rebuilt');
insert('restored');
is_published($all, '1-30', 'and all goes on');
is_published($new, '6-20,26-30', 'one that does not include existing events begins anew');

# --- a copy of the database's files ---
sql('postgres', 'CREATE DATABASE twin TEMPLATE restored');
insert('twin');
ok(reaches('twin', $_, 'BROKEN'), "$_ does not publish in a twin") for 'all', 'new';
ok(reaches('restored', $_, 'RUNNING'), "$_ goes on in the original") for 'all', 'new';
sql('restored', "SELECT strm.drop_kafka_exporter('all'), strm.drop_kafka_exporter('new'), strm.drop_kafka_cluster('k')");
sql('twin', "SELECT strm.rebuild_kafka_exporter('all'), strm.rebuild_kafka_exporter('new')");
ok(reaches('twin', $_, 'RUNNING'), "$_ is taken over") for 'all', 'new';
insert('twin');
is_published($all, '1-40', 'what was missed is published once');
is_published($new, '6-20,26-40', 'of the other one, too');

# --- a server of another identifier that took the slot along, as pg_upgrade makes it ---
sql('twin', 'UPDATE strm.kafka_cluster SET system_identifier = 1');
my $epoch = sql('twin', 'SELECT max(epoch) FROM strm.kafka_exporter_state');
sql('twin', "SELECT pg_terminate_backend(worker_pid) FROM strm.kafka_clusters");
ok($node->poll_query_until('twin', "SELECT system_identifier <> 1 FROM strm.kafka_cluster"), 'the cluster is taken over');
is(sql('twin', 'SELECT max(epoch) FROM strm.kafka_exporter_state'), $epoch + 1, 'and positions begin anew');
insert('twin');
ok(reaches('twin', $_, 'RUNNING'), "$_ goes on") for 'all', 'new';
is_published($all, '1-45', 'and publishes once what is new');
is_published($new, '6-20,26-45', 'the other one, too');

$node->stop;
done_testing();
