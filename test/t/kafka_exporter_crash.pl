# Kafka exporters and what can kill them: the worker, the whole server, the broker, while others write. Then every row of the stream is
# in its topic exactly once, and those of one key link are in the order of their transactions: of a plain exporter, of a derived
# stream's, of one with existing events, of a transactional one.
#
# STRM_KAFKA_ROUNDS (default 6): how often something dies.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;
use Time::HiRes qw(sleep);

strm_kafka_skip('KAFKA39');
my $rounds = $ENV{STRM_KAFKA_ROUNDS} // 6;
my %login = strm_kafka_login('KAFKA39', '');
my $kafka = strm_kafka(%login);
my $node = strm_node('main', conf => "fsync = off\nwal_level = logical\nmax_worker_processes = 24\nrestart_after_crash = on\nlog_statement = none\n");

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub worker { my ($rc, $out) = $node->psql('postgres', 'SELECT worker_pid FROM strm.kafka_clusters'); return $rc == 0 && $out =~ /^\d+$/ ? $out : 0 }
sub alive { my ($pid) = @_; return kill 0, $pid }
# Kills the server's first process, and starts it again when all others have seen that.
sub kill_server
{
	my $data = $node->data_dir;
	chomp(my ($pid) = slurp_file("$data/postmaster.pid") =~ /^(\d+)/);
	die 'no server' if !$pid;
	my @children = split ' ', `ps -o pid= --ppid $pid`;
	kill 'KILL', $pid;
	for (1 .. 300) { last if !grep { alive($_) } $pid, @children; sleep 0.1 }
	is(scalar(grep { alive($_) } @children), 0, 'all processes go with the first one');
	$node->{_pid} = undef;
	$node->start;
	return;
}

sql("CREATE EXTENSION strm_privacy");
sql("SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'INTEGER', undef ] ]);
sql("SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0')");
sql("SELECT strm.create_derived_stream('clicks', purposes => '{1}')");
sql(<<'SQL');
CREATE PROCEDURE write(seconds float) LANGUAGE plpgsql AS $$
DECLARE until timestamptz := clock_timestamp() + seconds * interval '1 s'; i int := 0;
BEGIN
	WHILE clock_timestamp() < until LOOP
		i := i + 1;
		INSERT INTO clicks (strm_consent_levels, session, n) SELECT '{1}', 's' || (i + j) % 200, i FROM generate_series(1, CASE WHEN i % 40 = 0 THEN 50 ELSE 1 END) AS j;
		IF i % 13 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
	END LOOP;
END $$
SQL
my %topic = map { $_ => $kafka->name("crash-$_") } qw(plain derived existing transactional);
sql("SELECT strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}')");
sql("SELECT strm.create_kafka_exporter('clicks', 'k', '$topic{plain}', name => 'plain')");
sql("SELECT strm.create_kafka_exporter('clicks_1', 'k', '$topic{derived}', name => 'derived', partitions => 3)");
sql("CALL write(0.5)");

for my $round (1 .. $rounds)
{
	my @writers = map { my $pid = fork // die $!; if (!$pid) { open STDERR, '>', '/dev/null'; $node->psql('postgres', 'CALL write(3)'); require POSIX; POSIX::_exit(0) } $pid } 1, 2;
	if ($round == 2)
	{
		sql("SELECT strm.create_kafka_exporter('clicks', 'k', '$topic{existing}', name => 'existing', include_existing_events => true)");
		sql("SELECT strm.create_kafka_exporter('clicks', 'k', '$topic{transactional}', name => 'transactional', include_existing_events => true, transactional => true)");
	}
	sleep 0.5 + rand;
	my $what = ('worker', 'server', 'broker', 'terminate', 'worker', 'server')[ ($round - 1) % 6 ];
	note("round $round: $what");
	my $worker = worker();
	if    ($what eq 'worker')    { kill 'KILL', $worker if $worker }
	elsif ($what eq 'terminate') { kill 'TERM', $worker if $worker }
	elsif ($what eq 'server')    { kill_server() }
	else                         { strm_kafka_control('kill', 'kafka39'); sleep 1; strm_kafka_control('start', 'kafka39') }
	waitpid $_, 0 for @writers;
	ok($node->poll_query_until('postgres', 'SELECT true'), "the server is there after round $round");
}

ok($node->poll_query_until('postgres', "SELECT count(*) = 4 AND bool_and(state = 'RUNNING' AND lag_bytes < 1000 AND queued_bytes = 0) FROM strm.kafka_exporters"), 'all exporters have published everything')
  || diag(sql('SELECT e FROM strm.kafka_exporters e'));
sleep 1;
my %rows = map { $_ => 1 } split /\n/, sql("SELECT strm_key_link || ' ' || strm_nonce FROM clicks");
cmp_ok(scalar(keys %rows), '>', 100 * $rounds, 'many rows were written');
for my $name (sort keys %topic)
{
	my (%seen, %last, $twice, $back);
	my @records = sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} } $kafka->consume($topic{$name}, isolation => 'read_committed');
	for my $record (@records)
	{
		my %header = map { @$_ } @{ $record->{headers} };
		my (undef, $epoch, $timeline, $lsn, $sequence) = split m{/}, $header{'strm-position'};
		my $position = sprintf '%s %020d', $lsn, $sequence;
		$twice++ if $seen{"$record->{key} $header{'strm-nonce'}"}++;
		$back++ if ($last{ $record->{key} } // '') ge $position;
		$last{ $record->{key} } = $position;
	}
	is(scalar(grep { !$seen{$_} } keys %rows), 0, "$name: nothing is lost");
	is($twice, undef, "$name: nothing is there twice");
	is(scalar(grep { !$rows{$_} } keys %seen), 0, "$name: nothing is there that was rolled back");
	is($back, undef, "$name: events of a key link are in order");
}
$node->stop;
done_testing();
