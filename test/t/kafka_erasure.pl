# A data subject that shares a key with another one is erased while Kafka exporters lag: the rows that are deleted then are in the
# write-ahead log still, and must not be published from there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;

plan skip_all => 'there is no kcat' if system('kcat -V >/dev/null 2>&1') != 0;
my $node = strm_node('main', conf => "fsync = off\nwal_level = logical\nmax_worker_processes = 24\n");
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
my %login;
sub numbers { my ($topic) = @_; return join ',', sort { $a <=> $b } map { $_->{value} =~ /"n": ?(\d+)/ ? $1 : die $_->{value} } strm_kcat_consume(\%login, $topic) }
sub reaches { my ($name, $state) = @_; return $node->poll_query_until('postgres', "SELECT state = '$state' FROM strm.kafka_exporters WHERE name = '$name'") }
# Waits until all exporters have published everything.
sub drained
{
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	return $node->poll_query_until('postgres', "SELECT bool_and(COALESCE(p.position >= '$lsn' AND p.hold >= '$lsn', false) AND e.state = 'RUNNING')
		FROM strm.kafka_exporters e LEFT JOIN strm.kafka_exporter_progress() p USING (id)");
}
# Two data subjects in each session, ten rows of each.
sub insert { my ($table, $from) = @_; sql("INSERT INTO $table (strm_consent_levels, session, customer, n) SELECT '{1}', 's' || i % 2, 'c' || i / 10, i FROM generate_series($from, $from + 19) AS i"); return }

sql('CREATE EXTENSION strm_privacy');
sql("SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', undef ], [ 'customer', 'STRING', 1 ], [ 'n', 'INTEGER', undef ] ], '"dataSubjectField": "customer"');
sql("SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0'), strm.create_stream('parts', contract => 'acme/clicks/1.0.0', partition_by => '1 day'), strm.create_stream('quiet', contract => 'acme/clicks/1.0.0')");
sql("SELECT strm.create_derived_stream('clicks', purposes => '{1}')");
sql("SELECT strm.create_kafka_cluster('k', 'embedded')");
my %stream = (stored => 'clicks', derived => 'clicks_1', parts => 'parts');
sql("SELECT strm.create_kafka_exporter('$stream{$_}', 'k', '$_', name => '$_', partitions => 1)") for sort keys %stream;
insert($_, 10) for 'clicks', 'parts', 'quiet';
ok(drained(), 'exporters run');
%login = ('bootstrap.servers' => sql('SELECT address FROM strm.kafka_clusters'));
sql("SELECT strm.pause_kafka_exporter(name) FROM strm.kafka_exporters");
ok(reaches($_, 'PAUSED'), "$_ pauses") for sort keys %stream;
insert($_, 30) for 'clicks', 'parts', 'quiet';
is(sql("SELECT strm.delete_data_subjects('c3')"), 0, 'no key is destroyed: each serves another data subject');
is(sql("SELECT string_agg(DISTINCT n::text, ',') FROM (SELECT n FROM clicks UNION ALL SELECT n FROM parts) AS r WHERE n >= 30"), join(',', 40 .. 49), 'the rows are deleted instead');
is(sql('SELECT count(*), count(DISTINCT stream_id) FROM strm.erased_event'), '20|2', 'and noted, of streams that have exporters');
sql("SELECT strm.resume_kafka_exporter(name) FROM strm.kafka_exporters");
ok(drained(), 'exporters go on');
for my $name (sort keys %stream)
{
	is(numbers($name), join(',', 10 .. 29, 40 .. 49), "$name: of the data subject that was erased nothing is published, of the other one everything");
	is(sql("SELECT withheld, errors FROM strm.kafka_exporters WHERE name = '$name'"), '10|0', "$name: which is counted");
}

# --- the notes go when no slot reads so far back ---
sub nudge { sql('CHECKPOINT'); sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'strm_privacy scheduler'"); select undef, undef, undef, 1; return }
my $left = -1;
for (1 .. 60) { last if ($left = sql('SELECT count(*) FROM strm.erased_event')) == 0; nudge() }
is($left, 0, 'what was noted is forgotten');
insert('clicks', 50);
ok(drained(), 'and exporters go on');
is(numbers('derived'), join(',', 10 .. 29, 40 .. 69), 'with what comes later');
$node->stop;
done_testing();
