# The Kafka brokers that other tests use (test/partners/kafka), and the clients that they ask (StrmKafka.pm): every way in, every
# client, what aborted transactions show, rights, and a broker that dies and comes back. None of the extension's code runs here.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use StrmKafka;
use Test::More;
use Time::HiRes qw(time usleep);

strm_kafka_skip('KAFKA39', 'KAFKA4', 'KAFKA_THREE');

# Records as text, in the order of partition and offset
sub shown { return join ' ', map { join ':', map { $_ // 'null' } @$_{qw(partition key value)} } sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} } @_ }

my %three = strm_kafka_login('KAFKA_THREE', '');
my %client = ((map { $_ => strm_kafka(strm_kafka_login($_, '')) } 'KAFKA39', 'KAFKA4'), KAFKA_THREE => strm_kafka(%three));

# --- every way in, with every client ---

# librdkafka before 2.6.1 repeats a nonce of SCRAM, which Kafka 4 does not let pass.
my @version = `kcat -V` =~ /librdkafka (\d+)\.(\d+)\.(\d+)/;
my $old = sprintf('%03d%03d%03d', @version) lt '002006001';

for my $cluster ('KAFKA39', 'KAFKA4')
{
	my $kafka = $client{$cluster};
	my $topic = $kafka->create('ways', partitions => 3);
	my @ways = ([''], ['SSL'], ['MTLS'], ['OAUTH'], map { [ 'SASL', mechanism => $_ ], [ 'SASL_SSL', mechanism => $_ ] } 'PLAIN', $old && $cluster eq 'KAFKA4' ? () : ('SCRAM-SHA-256', 'SCRAM-SHA-512'));
	my @failed = grep { !(strm_kcat_produce({ strm_kafka_login($cluster, @$_) }, $topic, [ "key-@$_\tvalue @$_" ], '-H', 'a=ä'))[0] } @ways;
	is(join(', ', map { "@$_" } @failed), '', "$cluster: kcat produces through every listener");

	my @records = $kafka->consume($topic);
	is(scalar(@records), scalar(@ways), 'all is there');
	is_deeply([ sort map { $_->{value} } @records ], [ sort map { "value @$_" } @ways ], 'the values');
	is_deeply($records[0]{headers}, [ [ 'a', 'ä' ] ], 'headers');
	# kcat's own default partitioner is not Java's
	is(scalar(grep { defined $_->{expected} && $_->{expected} =~ /^[012]$/ } @records), scalar(@ways), 'each key has a partition by murmur2');
	for my $way ($cluster eq 'KAFKA39' ? (['SSL'], ['OAUTH']) : (['MTLS'], [ 'SASL_SSL', mechanism => 'PLAIN' ]))
	{
		my %login = strm_kafka_login($cluster, @$way);
		is(shown(strm_kcat_consume(\%login, $topic)), shown(@records), "kcat reads the same, @$way");
		my $python = strm_python_consume(\%login, $topic);
	  SKIP:
		{
			skip('there is no python3-confluent-kafka', 1) if !defined $python;
			is(shown(@$python), shown(@records), "python-confluent-kafka too, @$way");
		}
	}
}
for my $way ([ 'KAFKA39', 'SASL_SSL', mechanism => 'SCRAM-SHA-512' ], [ 'KAFKA4', 'MTLS' ], [ 'KAFKA4', 'SASL' ], [ 'KAFKA39', 'OIDC' ], [ 'KAFKA4', 'OIDC' ])
{
  SKIP:
	{
		my %login = strm_kafka_login(@$way);
		skip("there is no listener @$way", 1) if !defined $login{'bootstrap.servers'};
		my $java = strm_kafka(%login);
		is(scalar($java->consume($java->create('java'))), 0, "Java through @$way");
	}
}

# --- what must not work ---

my $kafka = $client{KAFKA39};
my $topic = $kafka->create('closed', partitions => 2);
my %nobody = strm_kafka_login('KAFKA39', 'SASL', user => $ENV{STRM_KAFKA_NOBODY});
my ($ok, $said) = strm_kcat_produce(\%nobody, $topic, ["k\tv"], '-X', 'message.timeout.ms=5000');
ok(!$ok, 'a user without rights cannot produce');
like($said, qr/authorization failed/i, 'and is told so');
$kafka->do('allow', $ENV{STRM_KAFKA_NOBODY}, 'WRITE', 'topic', $topic);
ok((strm_kcat_produce(\%nobody, $topic, ["k\tv"]))[0], 'one with rights can');
($ok, $said) = strm_kcat_produce({ strm_kafka_login('KAFKA39', 'SASL'), 'sasl.password' => 'wrong' }, $topic, ["k\tv"], '-X', 'message.timeout.ms=3000');
ok(!$ok, 'nor can one with a wrong password');
my %tls = strm_kafka_login('KAFKA39', 'MTLS');
delete @tls{ 'ssl.certificate.location', 'ssl.key.location' };
($ok) = strm_kcat_produce(\%tls, $topic, ["k\tv"], '-X', 'message.timeout.ms=3000');
ok(!$ok, 'nor without a certificate where one is asked for');
like($kafka->error('partitions', 'none'), qr/UnknownTopicOrPartition/, 'topics do not come by themselves');

# --- transactions ---

for my $cluster (sort keys %client)
{
	my $kafka = $client{$cluster};
	my $topic = $kafka->create('transactions', partitions => 2);
	my $id = "id-$$";
	for (1 .. 6)
	{
		$kafka->do('begin', $id);
		$kafka->send($id, $topic, "k$_", undef);
		$kafka->send($id, $topic, "k$_", "v$_");
		$kafka->do($_ % 2 ? 'commit' : 'abort', $id);
	}
	my @seen = $kafka->consume($topic);
	is_deeply([ sort map { $_->{key} . ($_->{value} // '') } @seen ], [ map { ("k$_", "k${_}v$_") } 1, 3, 5 ], "$cluster: read_committed shows what was committed");
	is(scalar($kafka->consume($topic, isolation => 'read_uncommitted')), 12, 'read_uncommitted the rest too');
	is(scalar(grep { $_->{partition} != $_->{expected} } @seen), 0, 'in the partitions that Java gives');
	is(shown(strm_kcat_consume($kafka->{login}, $topic)), shown(@seen), 'kcat sees what was committed');
	my $python = strm_python_consume($kafka->{login}, $topic);
	is(shown(@$python), shown(@seen), 'python as well') if defined $python;

	# an open transaction holds back what comes after it, until its producer is fenced by the next one of its id
	$kafka->do('begin', $id);
	$kafka->send($id, $topic, 'k1', 'open');
	is(scalar($kafka->consume($topic)), 6, 'nothing of an open transaction');
	$kafka->do('begin', "$id#2");
	$kafka->send("$id#2", $topic, 'k1', 'next');
	$kafka->do('commit', "$id#2");
	like($kafka->error('commit', $id), qr/Fenced|InvalidProducerEpoch/, 'an older producer is fenced');
	is(join(' ', map { $_->{value} } grep { ($_->{value} // '') !~ /^v|^$/ } $kafka->consume($topic)), 'next', 'and what it sent is not to be seen');
}

# --- a broker that dies ---

$kafka = $client{KAFKA_THREE};
$topic = $kafka->create('three', partitions => 6);
is_deeply([ map { $_->[1] } $kafka->partitions($topic) ], [ (3) x 6 ], 'three replicas');
my $victim = ($kafka->partitions($topic))[0][0];

# Waits until a condition holds.
sub until_holds { my ($condition) = @_; for (1 .. 600) { return 1 if $condition->(); usleep(50_000) } return 0 }

my $began = time;
strm_kafka_control('kill', $victim);
($ok, $said) = strm_kcat_produce(\%three, $topic, [ map { "k$_\tv$_" } 1 .. 100 ], '-X', 'acks=all', '-X', 'enable.idempotence=true');
ok($ok, 'records get to the two brokers that are left') or diag($said);
note(sprintf 'after %.1f s', time - $began);
ok(until_holds(sub { !grep { $_->[0] == $victim } $kafka->partitions($topic) }), 'its partitions have other leaders');
is(scalar($kafka->consume($topic)), 100, 'they can be read');
strm_kafka_control('start', $victim);
ok(until_holds(sub { !grep { $_->[1] != 3 } $kafka->partitions($topic) }), 'it is a replica again once it is back');
note(sprintf 'after %.1f s', time - $began);
is(scalar(strm_kcat_consume(\%three, $topic)), 100, 'kcat reads them as well');
$kafka->do('trim', $topic, 0, 1);
is(($kafka->offsets($topic))[0][0], 1, 'old records can be removed');

done_testing();
