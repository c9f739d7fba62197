# Brokers that mean harm, and what they say: nothing of it reaches a log, a table or a client that could be taken for something else, and
# not as often as they like.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;
use Time::HiRes qw(sleep);

my $node = strm_node('main', conf => <<CONF);
wal_level = logical
max_worker_processes = 16
strm_privacy.connector_timeout = 10
log_statement = none
CONF
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';

my $file = PostgreSQL::Test::Utils::tempdir() . '/port';
my $broker = fork // die $!;
exec 'python3', "$FindBin::Bin/../clients/hostile_broker.py", $file or die $! if !$broker;
END { my $status = $?; kill "KILL", $broker if $broker; $? = $status }
for (1 .. 100) { last if -e $file; sleep 0.1 }
my $port = slurp_file($file);

sub query { return $node->safe_psql('postgres', @_) }

query('CREATE EXTENSION strm_privacy');
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', undef ] ]);
query("SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0')");
query("SELECT strm.create_kafka_cluster('hostile', '127.0.0.1:$port', \$\$ {\"security.protocol\": \"sasl_plaintext\", \"sasl.mechanism\": \"PLAIN\","
		. ' "sasl.username": "u", "sasl.password": "hush-9f3", "reconnect.backoff.ms": 1, "reconnect.backoff.max.ms": 1} $$)');

# to who creates an exporter
my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT strm.create_kafka_exporter('clicks', 'hostile')");
isnt($rc, 0, 'an exporter is refused');
like($err, qr/ERROR:  08004: .*number \d+ /, 'with the reason');
unlike($err, qr/[^\n\t -~]|^LOG:/m, 'in characters that stand for nothing else');
cmp_ok(length $err, '<', 2000, 'which is short');

# to those who look at one that runs
query("INSERT INTO strm.kafka_exporter (id, name, owner, cluster_id, stream_id, topic, partitions, format, transactional, include_existing_events, defined_at, defined_lsn)
  SELECT gen_random_uuid(), 'x', 'postgres', c.id, s.id, 'x', 1, 'json', false, false, '1:1:', '0/1' FROM strm.kafka_cluster c, strm.stream s");
query("SELECT strm.resume_kafka_exporter('x')");
ok($node->poll_query_until('postgres', "SELECT state = 'RETRYING' AND last_error LIKE '%number %' FROM strm.kafka_exporters"), 'it has trouble')
  or diag query('SELECT * FROM strm.kafka_exporters');
query("CREATE TABLE seen (message text); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (NEW.message); RETURN NULL; END';
  CREATE TRIGGER see AFTER UPDATE ON strm.kafka_exporter_state FOR EACH ROW EXECUTE FUNCTION see()");
sleep 6;
like(query('SELECT last_error FROM strm.kafka_exporters'), qr/^[ -~]+$/, 'its error has plain characters');
cmp_ok(query('SELECT count(*) FROM seen'), '<=', 3, 'it is not written whenever the broker finds new words');
query("SELECT strm.drop_kafka_exporter('x')");

# --- what owners of streams do, on the embedded broker ---
sub reaches { my ($what, $name) = @_; return ok($node->poll_query_until('postgres', "SELECT $what FROM strm.kafka_exporters WHERE name = 'x'"), $name) || diag(query('SELECT * FROM strm.kafka_exporters')) }
query("SELECT strm.alter_kafka_cluster('hostile', 'embedded', '{\"security.protocol\": null, \"sasl.mechanism\": null, \"sasl.username\": null, \"sasl.password\": null}')");
ok($node->poll_query_until('postgres', 'SELECT address IS NOT NULL FROM strm.kafka_clusters'), 'a cluster that is altered to the embedded broker gets one');

# a stream may be a part of something larger, and get partitions then
query("SELECT strm.create_stream('parts', contract => 'acme/clicks/1.0.0', partition_by => '1 day')");
query("SELECT strm.create_kafka_exporter('parts', 'hostile', name => 'x', partitions => 1)");
query("INSERT INTO parts (session) VALUES ('a')");
reaches('sent = 1', 'an event is published');
query('CREATE TABLE large (LIKE parts) PARTITION BY LIST (session); ALTER TABLE large ATTACH PARTITION parts DEFAULT');
query("DO \$\$ DECLARE p regclass; BEGIN
  FOR p IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'parts'::regclass LOOP EXECUTE format('ALTER TABLE parts DETACH PARTITION %s', p); END LOOP; END \$\$");
query("CREATE TABLE late PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2120-01-01')");
query("INSERT INTO parts (session) VALUES ('b'), ('c')");
reaches('sent = 3', 'so are those of a new partition');

# somebody who writes to the topic cannot make the exporter believe that it did
SKIP:
{
	skip 'there is no kcat', 2 if system('kcat -V >/dev/null 2>&1') != 0;
	my ($address, $id) = split /\|/, query('SELECT c.address, e.id FROM strm.kafka_clusters c, strm.kafka_exporters e');
	system("printf 'k:v\n' | kcat -b $address -P -t parts -K: -H strm-position=$id/9/nothing 2>/dev/null") == 0 or die 'kcat';
	query("SELECT strm.pause_kafka_exporter('x')");
	reaches("state = 'PAUSED'", 'it is paused');
	query("SELECT strm.resume_kafka_exporter('x')");
	reaches("state = 'ERROR' AND last_error LIKE '%records of another writer'", 'it stops when its last record is not its own');
}
query("SELECT strm.drop_kafka_exporter('x')");

# a table that inherits from a stream has no triggers
query("SELECT strm.create_purpose(1, 'Analytics'), strm.create_derived_stream('clicks', purposes => '{1}')");
query('CREATE TABLE child () INHERITS (clicks)');
query("SELECT strm.create_kafka_exporter('clicks_1', 'hostile', name => 'x', partitions => 1)");
query("INSERT INTO child SELECT '1.0.0', i, now(), gen_random_uuid(), '{1}', 'x', 'forged' FROM generate_series(1, 1000) AS i");
reaches('errors = 1000', 'forged events are counted');
is(() = slurp_file($node->logfile) =~ /does not publish an event that is not authentic/g, 1, 'and told of once');

# a cluster leads where it led when an exporter of it was created, until that is to be seen
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN');
$session->query_safe("SELECT strm.create_kafka_exporter('clicks_1', 'hostile', 'y', 'y')");
(undef, undef, $err) = $node->psql('postgres', "SET lock_timeout = '1s'; SELECT strm.alter_kafka_cluster('hostile', config => '{\"client.id\": \"z\"}')");
like($err, qr/lock timeout/, 'a cluster is not altered behind the back of who creates an exporter');
$session->query_safe('ROLLBACK');
$session->quit;

my $log = slurp_file($node->logfile);
unlike($log, qr/[\x00-\x08\x0b-\x1f\x7f-\xff]/, 'the log has plain characters');
unlike($log, qr/^LOG:  forged/m, 'and no line of the broker');
unlike($log, qr/hush-9f3/, 'nor secrets');
cmp_ok(() = $log =~ /number \d+/g, '<=', 20, 'nor is it flooded');
done_testing();
