# Kafka exporters, on the embedded broker: what a topic gets of a stream, of a derived stream, of existing events; pause, errors of one
# exporter that do not concern others, erasure before publication, exporters that are too far behind.
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
my $last = 0;
# Inserts events in one transaction: sessions s0 to s9, each of one customer, every second one with consent to both purposes.
sub insert
{
	my ($count) = @_;
	my $from = $last + 1;
	$last += $count;
	sql("INSERT INTO clicks (strm_consent_levels, session, customer, n)
		SELECT CASE i % 2 WHEN 0 THEN '{1,2}' ELSE '{1}' END::int[], 's' || i % 10, 'c' || i % 10, i FROM generate_series($from, $last) AS i");
	return;
}
my %login;
sub records { my ($topic) = @_; return strm_kcat_consume(\%login, $topic) }
sub numbers { my ($topic) = @_; return sort { $a <=> $b } map { $_->{value} =~ /"n": ?(\d+)/ ? $1 : die $_->{value} } records($topic) }
# Numbers as "1-5,8-8": one that is there twice shows twice.
sub ranges
{
	my @ranges;
	for my $number (@_)
	{
		if (@ranges && $ranges[-1][1] + 1 == $number) { $ranges[-1][1] = $number }
		else { push @ranges, [ $number, $number ] }
	}
	return join ',', map { "$_->[0]-$_->[1]" } @ranges;
}
# Waits until the exporter has published everything.
sub drained
{
	my ($name) = @_;
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	return $node->poll_query_until('postgres', "SELECT bool_and(COALESCE(p.position >= '$lsn' AND p.hold >= '$lsn', false) AND e.state = 'RUNNING')
		FROM strm.kafka_exporters e LEFT JOIN strm.kafka_exporter_progress() p USING (id) WHERE e.name = '$name'")
	  || diag(sql("SELECT e FROM strm.kafka_exporters e WHERE name = '$name'")) && 0;
}
sub reaches { my ($name, $state) = @_; return $node->poll_query_until('postgres', "SELECT state = '$state' FROM strm.kafka_exporters WHERE name = '$name'") }
sub column { my ($name, $column) = @_; return sql("SELECT $column FROM strm.kafka_exporters WHERE name = '$name'") }

# --- streams ---
sql("CREATE EXTENSION strm_privacy");
sql("SELECT strm.create_purpose(1, 'Analytics'), strm.create_purpose(2, 'Marketing')");
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 2 ], [ 'n', 'INTEGER', undef ] ], '"dataSubjectField": "customer"');
sql("SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0')");
sql("SELECT strm.create_derived_stream('clicks', purposes => '{1,2}')");
insert(20);
sql("SELECT strm.create_kafka_cluster('k', 'embedded')");
sql("SELECT strm.create_kafka_exporter('clicks', 'k', 'live', name => 'live', partitions => 3)");
insert(20);
ok(drained('live'), 'events of a stream are published');
%login = ('bootstrap.servers' => sql("SELECT address FROM strm.kafka_clusters"));
is(ranges(numbers('live')), '21-40', 'those that were inserted after the exporter was created');

my @records = records('live');
my (%of, $wrong);
for my $record (@records)
{
	my ($position) = $record->{headers} =~ m{strm-position=[0-9a-f-]{36}/1/1/[0-9a-f]{16}/(\d+)};
	my ($link) = $record->{value} =~ /"keyLink": "([^"]+)"/;
	my ($nonce) = $record->{value} =~ /"nonce": (\d+)/;
	$wrong = $record if $record->{key} ne $link || !defined $position || $record->{headers} !~ m{strm-contract=acme/clicks/1\.0\.0} || $record->{headers} !~ /strm-nonce=$nonce\b/;
	push @{ $of{$link} }, [ $record->{partition}, $position ];
}
is($wrong, undef, 'a record has the key link as its key, and headers with contract, position and nonce');
is(scalar(grep { my $link = $_; grep { $_->[0] != $of{$link}[0][0] } @{ $of{$link} } } keys %of), 0, 'events of a key link are in one partition');
is(scalar(grep { my $p = -1; grep { my $back = $_->[1] <= $p; $p = $_->[1]; $back } @{ $of{$_} } } keys %of), 0, 'and in their order');
is(join("\n", sort map { $_->{value} } @records), join("\n", sort split /\n/, sql("SELECT e FROM strm.events('clicks', max_rows => 20) AS e")), 'values are what strm.events() shows');

# --- existing events, derived streams ---
sql("SELECT strm.create_kafka_exporter('clicks', 'k', 'all', name => 'all', include_existing_events => true)");
sql("SELECT strm.create_kafka_exporter('clicks_1_2', 'k', 'derived', name => 'derived')");
insert(20);
ok(drained('all'), 'existing events are published');
is(ranges(numbers('all')), '1-60', 'all of them, and those that follow, once');
ok(drained('derived'), 'a derived stream is published');
is(join(',', numbers('derived')), join(',', grep { $_ % 2 == 0 } 41 .. 60), 'events with the consent it needs');
is(column('derived', "filtered || ' ' || withheld || ' ' || errors"), '10 0 0', 'the others are counted');
like((records('derived'))[0]{value}, qr/"session": "s\d", "customer": "c\d"/, 'in the clear');

# --- pause, erasure ---
sql("SELECT strm.pause_kafka_exporter('derived')");
ok(reaches('derived', 'PAUSED'), 'an exporter pauses');
insert(20);
ok(drained('live'), 'others go on');
is(ranges(numbers('live')), '21-80', 'with all events');
my $gone = sql("SELECT count(*) FROM clicks_1_2 WHERE n > 60 AND customer = 'c4'");
cmp_ok($gone, '>', 0, 'there are events of a data subject that waits to be published');
sql("SELECT strm.delete_data_subjects('c4')");
sql("SELECT strm.resume_kafka_exporter('derived')");
ok(drained('derived'), 'it goes on');
is(column('derived', 'withheld'), $gone, 'events whose key was destroyed meanwhile are withheld, and counted');
is(scalar(my @left = numbers('derived')), 20 - $gone, 'and not in the topic');

# --- errors of one ---
sql("CREATE ROLE member IN ROLE strm_member; GRANT SELECT ON clicks TO member; SELECT strm.grant_kafka_cluster('k', 'member')");
sql("SET ROLE member; SELECT strm.create_kafka_exporter('clicks', 'k', 'member', name => 'member')");
insert(10);
ok(drained('member'), 'a member publishes a stream that it may read');
sql('REVOKE SELECT ON clicks FROM member');
insert(10);
ok(reaches('member', 'ERROR'), 'and not when it may not read it any more');
is(column('member', 'sqlstate'), '42501', 'which is said');
ok(drained('live'), 'others go on');
insert(10);
sql('GRANT SELECT ON clicks TO member');
sql("SELECT strm.resume_kafka_exporter('member')");
ok(drained('member'), 'it goes on when it may again');
is(ranges(numbers('member')), '81-110', 'where it had stopped');
is(ranges(numbers('live')), '21-110', 'and nobody publishes twice for that');

my $offset = -s $node->logfile;
sql("BEGIN; ALTER TABLE clicks DISABLE TRIGGER USER; CREATE TEMP TABLE forged AS SELECT * FROM clicks WHERE n = 110; UPDATE forged SET n = 111, strm_consent_levels = '{1,2,3}', strm_nonce = 1;
	INSERT INTO clicks SELECT * FROM forged; ALTER TABLE clicks ENABLE TRIGGER USER; COMMIT");
$last = 111;
insert(1);
ok(drained('derived'), 'an event that the server did not seal stops nothing');
is(column('derived', 'errors'), 1, 'it is counted as an error');
like(slurp_file($node->logfile, $offset), qr/Kafka exporter "derived" does not publish an event that is not authentic/, 'and the log says so');
is((numbers('derived'))[-1], 112, 'it is not published');

# --- too far behind ---
sql("SELECT strm.pause_kafka_exporter('all')");
ok(reaches('all', 'PAUSED'), 'an exporter pauses');
is(ranges(numbers('all')), '1-112', 'it had published everything');
sql("ALTER SYSTEM SET strm_privacy.export_max_lag = '1MB'");
sql('SELECT pg_reload_conf()');
insert(4000) for 1 .. 3;
ok(reaches('all', 'BROKEN'), 'one that is further behind than export_max_lag is broken');
is(column('all', 'sqlstate'), '54000', 'which is said');
ok($node->poll_query_until('postgres', "SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 1000000 FROM pg_replication_slots"), 'and keeps no WAL');
sql("ALTER SYSTEM RESET strm_privacy.export_max_lag");
sql('SELECT pg_reload_conf()');
sql("SELECT strm.rebuild_kafka_exporter('all')");
sql("SELECT strm.resume_kafka_exporter('all')") if column('all', 'state') eq 'PAUSED';
insert(10);
ok(drained('all'), 'it is rebuilt');
is(ranges(numbers('all')), "1-$last", 'with what it had missed, and nothing twice');
ok(drained('live'), 'the others were not disturbed');
is(ranges(numbers('live')), "21-$last", 'and have published everything, once');

# --- size ---
insert(100000);
ok(drained('live'), 'a large transaction is published');
my $pid = sql('SELECT worker_pid FROM strm.kafka_clusters');
my ($anonymous) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;
is(sql("SELECT sum(sent) FROM strm.kafka_exporters WHERE name = 'live'"), $last - 20, 'all of it');
cmp_ok($anonymous, '<', 128 * 1024, 'in little memory, though the broker is in it, too');

# --- the end ---
sql("SELECT strm.drop_kafka_exporter(name) FROM strm.kafka_exporters");
sql("INSERT INTO strm.kafka_exporter_state (exporter_id, state) VALUES ('00000000-0000-0000-0000-000000000001', 'RUNNING')");
my $busy = $node->background_psql('postgres');
$busy->query_safe("BEGIN; DELETE FROM strm.kafka_exporter_state WHERE exporter_id = '00000000-0000-0000-0000-000000000001'");
is(($node->psql('postgres', "SET lock_timeout = '20s'; SELECT strm.drop_kafka_cluster('k')"))[0], 0,
	'dropping a cluster does not wait for a worker that takes away what is left of exporters');
$busy->query_safe('COMMIT');
$busy->quit;
ok($node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM pg_replication_slots)'), 'a cluster that is dropped takes its slot with it');
$node->stop;
done_testing();
