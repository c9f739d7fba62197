# Events that were inserted while an exporter was taken up are published once, also when the server then dies with a slot that is
# on disk as it was before.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;
use Time::HiRes 'sleep';

strm_kafka_skip('KAFKA39');
my %login = strm_kafka_login('KAFKA39', '');
my $kafka = strm_kafka(%login);
my $node = strm_node('main', conf => "fsync = off\nwal_level = logical\nmax_worker_processes = 16\nrestart_after_crash = on\ncheckpoint_timeout = 1h\n");
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

sql("CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One')");
strm_contract($node, 'acme/seam/1.0.0', [ [ 'session', 'STRING', 1 ] ]);
sql("SELECT strm.create_stream('clicks', contract => 'acme/seam/1.0.0')");
sql('CREATE SEQUENCE number');
sql(<<'SQL');
CREATE PROCEDURE write(events int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. events LOOP
		INSERT INTO clicks (strm_consent_levels, session) VALUES ('{1}', 's' || nextval('number'));
		COMMIT;
		-- until the snapshot is taken by which existing events are read
		EXIT WHEN events > 100 AND EXISTS (SELECT FROM strm.kafka_exporter_state WHERE backfill IS NOT NULL);
	END LOOP;
END $$
SQL
# with many partitions some hold nothing beyond the seam
my $topic = $kafka->name('seam');
sql("SELECT strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}')");
my $writer = fork // die $!;
if (!$writer) { $node->psql('postgres', 'CALL write(1000000)'); require POSIX; POSIX::_exit(0) }
sleep 0.3;
sql("SELECT strm.create_kafka_exporter('clicks', 'k', '$topic', name => 'e', include_existing_events => true, partitions => 500)");
waitpid $writer, 0;
sql("CALL write(20)");
ok($node->poll_query_until('postgres', "SELECT state = 'RUNNING' AND lag_bytes = 0 AND queued_bytes = 0 FROM strm.kafka_exporters"), 'it has published everything');
ok($node->poll_query_until('postgres', 'SELECT start_lsn IS NOT NULL AND backfill IS NULL FROM strm.kafka_exporter_state'), 'and is done with existing events');
my $before = sql('SELECT pid FROM strm.workers w WHERE kind = \'kafka\'');
kill 'KILL', $before;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM strm.workers WHERE kind = 'kafka' AND pid <> $before"), 'another worker comes');
sql("CALL write(20)");
ok($node->poll_query_until('postgres', "SELECT state = 'RUNNING' AND lag_bytes = 0 AND queued_bytes = 0 FROM strm.kafka_exporters"), 'which goes on');
my %seen;
for my $record ($kafka->consume($topic)) { my %header = map { @$_ } @{ $record->{headers} }; $seen{"$record->{key} $header{'strm-nonce'}"}++ }
is(scalar(keys %seen), sql('SELECT count(*) FROM clicks'), 'every event is published');
is(scalar(grep { $_ > 1 } values %seen), 0, 'once');
$node->stop;
done_testing();
