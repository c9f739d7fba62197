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

my $log = slurp_file($node->logfile);
unlike($log, qr/[\x00-\x08\x0b-\x1f\x7f-\xff]/, 'the log has plain characters');
unlike($log, qr/^LOG:  forged/m, 'and no line of the broker');
unlike($log, qr/hush-9f3/, 'nor secrets');
cmp_ok(() = $log =~ /number \d+/g, '<=', 20, 'nor is it flooded');
done_testing();
