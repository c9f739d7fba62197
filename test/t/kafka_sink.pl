# The library that talks to Kafka's brokers, step by step: what it finds at the end of a topic, what is stored when a record is
# refused among others, what it says of brokers that are down or refuse a login, and that it always ends soon.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;

strm_kafka_skip('KAFKA39');
my $node = strm_node('main', conf => "log_statement = none\n");
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';

# --- a module that lets SQL use a sink ---
my $clients = "$FindBin::Bin/../clients";
my $build = PostgreSQL::Test::Utils::tempdir();
append_to_file("$build/Makefile", <<MAKE);
MODULES = kafka_sink
PG_CPPFLAGS = -I$FindBin::Bin/../../src
PGXS := \$(shell pg_config --pgxs)
include \$(PGXS)
MAKE
append_to_file("$build/kafka_sink.c", slurp_file("$clients/kafka_sink.c"));
my $path = $node->config_data('--bindir');
system("PATH='$path':\$PATH make -s -C '$build' with_llvm=no >'$build/log' 2>&1") == 0 or die slurp_file("$build/log");
my $config = 'properties text[], topic text, owner text, transactional_id text, starts bigint[]';
$node->safe_psql('postgres', join "\n", map { "CREATE FUNCTION $_ LANGUAGE c AS '$build/kafka_sink';" } (
	"probe_open($config, timeout int) RETURNS text", 'probe_tails() RETURNS text', 'probe_send(first bigint, sizes int[]) RETURNS int',
	'probe_wait(timeout int) RETURNS text', 'probe_commit() RETURNS bool', 'probe_close(reset bool) RETURNS int',
	"probe_check($config, partitions int, timeout int) RETURNS text", "probe_scan($config) RETURNS bigint", 'probe_threads() RETURNS text'));

my %plain = strm_kafka_login('KAFKA39', '');
my $kafka = strm_kafka(%plain);

# The arguments of a sink. Options: login, properties (hash), owner, id, starts
sub config
{
	my ($topic, %option) = @_;
	my %properties = (%{ $option{login} // \%plain }, %{ $option{properties} // {} });
	my $list = join ',', map { "\$p\$$_\$p\$, \$p\$$properties{$_}\$p\$" } sort keys %properties;
	my $id = defined $option{id} ? "'$option{id}'" : 'NULL';
	my $starts = $option{starts} ? "'{$option{starts}}'" : 'NULL';
	return "ARRAY[$list], '$topic', '" . ($option{owner} // 'one') . "', $id, $starts";
}

# What statements of one session print, a list; dies with their error.
sub session
{
	my (@statements) = @_;
	return split /\n/, $node->safe_psql('postgres', join "\n", map { /^\\/ ? $_ : "SELECT $_;" } @statements);
}

# Opens a sink and sends numbers from first on, of those sizes; closes it.
sub publish
{
	my ($config, $first, @sizes) = @_;
	return session("probe_open($config, 20000)", "probe_send($first, '{" . join(',', @sizes) . "}')", 'probe_wait(20000)', 'probe_close(false) < 2000');
}

# The error of a check, with its SQLSTATE
sub check_error
{
	my ($config, $timeout) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT probe_check($config, 2, " . ($timeout // 20000) . ')');
	return $err;
}

# --- the topic ---
my $topic = $kafka->name('sink');
is_deeply([ session('probe_check(' . config($topic) . ', 3, 20000)') ], ['3 created'], 'a missing topic is made');
is_deeply([ session('probe_check(' . config($topic) . ', 5, 20000)') ], ['3'], 'one that is there is taken as it is');

# --- what is found at its end ---
is_deeply([ publish(config($topic), 0, (100) x 90) ], [ 'ready 0 0', 90, 'ready 90 0', 't' ], 'records are acknowledged, in order');
is_deeply([ session('probe_open(' . config($topic) . ', 20000)', 'probe_tails()', 'probe_threads()', 'probe_close(true) < 2000') ],
	[ 'ready 0 0', (map { sprintf '30 29 one/1/1/%016X/0', $_ } 87 .. 89), 'threads 0', 't' ], 'the last record of each partition is found; no thread takes signals');
publish(config($topic, owner => 'other'), 0, (100) x 30);
is_deeply([ (session('probe_open(' . config($topic) . ', 20000)', 'probe_tails()'))[1] ], [ sprintf '40 29 one/1/1/%016X/0 foreign', 87 ], 'behind those of others, too');
is_deeply([ (session('probe_open(' . config($topic, starts => '30,29,41') . ', 20000)', 'probe_tails()'))[ 1 .. 3 ] ],
	[ '40', sprintf('40 29 one/1/1/%016X/0 foreign', 88), sprintf('40 29 one/1/1/%016X/0 foreign', 89) ], 'but not before where the exporter began, unless that is beyond the end');
is_deeply([ session('probe_scan(' . config($topic) . ')', 'probe_scan(' . config($topic, starts => '30,40,0') . ')') ], [ 120, 50 ], 'a scan gives all records from there on');

# --- a record that the broker refuses, among others ---
my %small = (properties => { 'batch.size' => 15000 });
for my $before (0, 1, 100)
{
	my $refusing = $kafka->create('refusing', config => { 'max.message.bytes' => 20000 });
	my ($opened, $sent, $state) = publish(config($refusing, %small), 0, (100) x $before, 50000, (100) x 500);
	like($state, qr/^failed \d+ 0 58030 permanent cannot write to partition 0 of topic .*too large.*max\.message\.bytes/, "$before records before one that is too large: it is said so");
	my @values = map { length $_->{value} } $kafka->consume($refusing);
	is_deeply(\@values, [ (100) x @values ], 'it is not stored');
	cmp_ok(scalar @values, '<=', $before, 'nor is any behind it');
	($opened, $sent, $state) = publish(config($refusing, %small), scalar @values, (100) x 50);
	is($state, 'ready 50 0', 'a new sink goes on');
}

# --- transactions ---
my $shared = $kafka->create('shared', partitions => 2);
is_deeply([ session('probe_open(' . config($shared, id => 'sink-1') . ', 20000)', "probe_send(0, '{9,9,9,9}')", 'probe_commit()', "probe_send(4, '{9,9}')", 'probe_wait(20000)') ],
	[ 'ready 0 0', 4, 't', 2, 'ready 6 0' ], 'a transaction is committed, the next one is not');
is_deeply([ session('probe_open(' . config($shared, id => 'sink-1') . ', 20000)', 'probe_tails()', "probe_send(4, '{9,9}')", 'probe_commit()') ],
	[ 'ready 0 0', map({ sprintf '%d 1 one/1/1/%016X/0', 5, $_ } 2, 3), 2, 't' ], 'what was not committed is not found, and sent again');
is(scalar $kafka->consume($shared), 6, 'readers see each record once');
$kafka->do('begin', 'stranger');
$kafka->send('stranger', $shared, 'k', 'v');
like((session('probe_open(' . config($shared, owner => 'two', id => 'sink-2') . ', 3000)'))[0], qr/^opening 0 0 55006 temporary the open transaction of another producer/,
	'the open transaction of another producer is waited for');
$kafka->do('abort', 'stranger');
like((session('probe_open(' . config($shared, owner => 'two', id => 'sink-2') . ', 20000)'))[0], qr/^ready/, 'until it ends');

# --- what fails ---
my %wrong = (login => { strm_kafka_login('KAFKA39', 'SASL') });
like(check_error(config($topic, %wrong, properties => { 'sasl.password' => 'hush-4711' })), qr/ERROR:  08004: .*credentials/, 'a wrong password is refused');
unlike(check_error(config($topic, %wrong, properties => { 'sasl.password' => 'hush-4711' })), qr/hush-4711/, 'and not shown');
like(check_error(config($topic, login => { strm_kafka_login('KAFKA39', 'SASL', user => $ENV{STRM_KAFKA_NOBODY}) })), qr/ERROR:  08004: .*authorization failed.*HINT:.*DESCRIBE, READ and WRITE/s, 'a user without rights');
like(check_error(config($topic, properties => { 'security.protocol' => 'ssl' })), qr/ERROR:  0800[46]: .*SSL/, 'a listener without TLS');
like(check_error(config($topic, properties => { 'bootstrap.servers' => '127.0.0.1:1' }), 2000), qr/ERROR:  08006: .*refused/, 'nobody listens');
like(check_error(config('no/topic')), qr/ERROR:  58030: .*Invalid topic/, 'a name that no topic has');
for my $property ('plugin.library.paths', 'sasl.kerberos.kinit.cmd', 'ssl.ca.location', 'enable.idempotence', 'acks', 'transactional.id', 'nonsense.ms')
{
	like(check_error(config($topic, properties => { $property => 'hush-4711' })), qr/ERROR:  22023: the Kafka property "\Q$property\E" is refused/, "property $property");
}
my $err = check_error(config($topic, properties => { 'linger.ms' => 'hush-4711' }));
like($err, qr/ERROR:  22023: the Kafka property "linger\.ms" is refused/, 'a value that is none');
unlike($err, qr/hush-4711/, 'which is not shown');
like((session('probe_open(' . config('sink-missing') . ', 20000)'))[0], qr/^failed 0 0 58P01 permanent cannot look up topic "sink-missing"/, 'a topic that is missing');

# --- tokens ---
SKIP:
{
	skip 'there is no token endpoint', 4 if !$ENV{STRM_KAFKA39_OIDC};
	my %oidc = strm_kafka_login('KAFKA39', 'OIDC');
	is_deeply([ session('probe_check(' . config($topic, login => \%oidc) . ', 3, 20000)') ], ['3'], 'a login with a token of an endpoint');
	$err = check_error(config($topic, login => \%oidc, properties => { 'sasl.oauthbearer.client.secret' => 'hush-4711' }));
	like($err, qr/ERROR:  08004: .*the token endpoint gives no token: it answered with status 401/, 'which refuses a wrong secret');
	unlike($err, qr/hush-4711/, 'which is not shown');
	like(check_error(config($topic, login => \%oidc, properties => { 'sasl.oauthbearer.token.endpoint.url' => 'http://127.0.0.1:1/' }), 3000),
		qr/ERROR:  08006: .*the token endpoint cannot be reached/, 'one that cannot be reached may be there later');
}

# --- brokers that stop ---
my $control = "$FindBin::Bin/../partners/kafka_control";
my $far = $kafka->create('far');
my @said = session('probe_open(' . config($far) . ', 20000)', "probe_send(0, '{100}')", 'probe_wait(20000)', "\\! $control pause kafka39",
	"probe_send(1, array_fill(100, '{2000}'))", 'probe_wait(3000)', 'probe_close(false) < 2500', 'probe_open(' . config($far) . ', 3000)', 'probe_close(true) < 2500',
	'probe_open(' . config($far, id => 'far') . ', 3000)', 'probe_close(true) < 2500', "\\! $control continue kafka39");
is_deeply([ @said[ 0 .. 4, 6 ] ], [ 'ready 0 0', 1, 'ready 1 0', 'done', 2000, 't' ], 'records wait for brokers that do not answer; the sink ends soon');
like($said[5], qr/^ready 1 0/, 'and does not fail');
like($said[7], qr/^opening 0 0 08006 temporary /, 'meanwhile another one says what it waits for');
is($said[8], 't', 'and ends soon');
like($said[9], qr/^opening 0 0 08006 temporary /, 'one with transactions, too');
is($said[10], 't', 'and ends soon');
@said = session('probe_open(' . config($far) . ', 20000)', "probe_send(0, '{100}')", 'probe_wait(20000)', "\\! $control kill kafka39",
	"probe_send(1, array_fill(100, '{2000}'))", 'probe_wait(4000)', "\\! $control start kafka39", 'probe_wait(60000)', 'probe_close(false) < 2500');
like($said[5], qr/^ready 1 0 08006 temporary cannot reach the Kafka brokers: /, 'of brokers that are down it is said so');
is($said[7], 'ready 2001 0', 'everything is stored when they are back');

done_testing();
