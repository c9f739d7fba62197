# Every way in to real brokers, through clusters and exporters: what publishes, and what the others are told. No secret is in an
# error, in the server's log, in pg_stat_activity or in a view. Tokens of a token endpoint (OAUTHBEARER with OIDC) work with every
# build of librdkafka, over TLS with an authority of one's own, and are renewed.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmPartners;
use StrmTest;
use Test::More;
use Time::HiRes qw(sleep time);

strm_kafka_skip('KAFKA39', 'KAFKA4');

my $node = strm_node('auth', conf => <<CONF);
fsync = off
wal_level = logical
max_replication_slots = 40
max_worker_processes = 60
strm_privacy.connector_timeout = 10
log_statement = none
CONF
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';

my $json = JSON::PP->new->utf8->canonical;
my $dir = PostgreSQL::Test::Utils::tempdir();
my %secret = (password => $ENV{STRM_KAFKA_PASSWORD}, wrong => 'wrong-5e5ame', odd => 'odd:+/&=5e5ame', token => 'eyJhbGciO');
my ($user, $nobody) = @ENV{ 'STRM_KAFKA_USER', 'STRM_KAFKA_NOBODY' };
# librdkafka before 2.6.1 repeats a nonce of SCRAM, which Kafka 4 does not let pass.
my $old = sprintf('%03d%03d%03d', `kcat -V` =~ /librdkafka (\d+)\.(\d+)\.(\d+)/) lt '002006001';

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub quoted { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# --- an authority and certificates of our own ---

sub openssl { system('openssl', @_) == 0 or die "openssl @_" }
sub certificate
{
	my ($name, $subject) = @_;
	append_to_file("$dir/$name.ext", "subjectAltName=DNS:$subject\n");
	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr", '-subj', "/CN=$subject", '-out', "$dir/$name.csr", '-batch', '-config', '/dev/null');
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-days', '2', '-extfile', "$dir/$name.ext", '-out', "$dir/$name.crt");
	append_to_file("$dir/$name.pem", slurp_file("$dir/$name.key") . slurp_file("$dir/$name.crt"));
	return "$dir/$name.pem";
}
open my $saved, '>&', \*STDERR or die $!;
open STDERR, '>', '/dev/null' or die $!;
append_to_file("$dir/openssl.cnf", "[req]\ndistinguished_name = name\nx509_extensions = ca\n[name]\n[ca]\nbasicConstraints = critical, CA:true\n");
openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem", '-days', '2', '-subj', '/CN=another authority', '-config', "$dir/openssl.cnf");
my @certificates = map { certificate(@$_) } [ 'server', 'localhost' ], [ 'other', 'elsewhere.example' ];
open STDERR, '>&', $saved or die $!;
my $ca = slurp_file("$dir/ca.pem");
my $kafka_ca = slurp_file($ENV{STRM_KAFKA_CA});

# --- the token endpoint, as it is and with what may go wrong with one ---

my ($plain, $tls, $elsewhere) = ('') x 3;
my $oidc = defined $python && defined $ENV{STRM_KAFKA_TOKEN_URL};
if ($oidc)
{
	strm_start("$dir/proxy.out", $python, "$FindBin::Bin/../partners/token_proxy.py", "$dir/proxy", $ENV{STRM_KAFKA_TOKEN_URL}, @certificates);
	strm_wait(sub { -e "$dir/proxy" }) or die slurp_file("$dir/proxy.out");
	my @ports = split /\n/, slurp_file("$dir/proxy");
	($plain, $tls, $elsewhere) = ("http://127.0.0.1:$ports[0]", "https://localhost:$ports[1]", "https://localhost:$ports[2]");
}
sub requests { my ($path) = @_; return grep { $_->[0] eq $path } map { $json->decode($_) } split /\n/, -e "$dir/proxy.log" ? slurp_file("$dir/proxy.log") : '' }

# --- clusters ---

# A definition: brokers and properties. PEM texts take the place of files.
sub way
{
	my ($cluster, $listener, %option) = @_;
	my %login = strm_kafka_login($cluster, $listener, %option);
	my $servers = delete $login{'bootstrap.servers'};
	for my $name (grep { /\.location$/ } keys %login)
	{
		my $pem = $name =~ s/location$/pem/r;
		$login{$pem} = slurp_file(delete $login{$name});
	}
	%login = (%login, %{ $option{with} // {} });
	delete @login{ grep { !defined $login{$_} } keys %login };
	return [ $option{servers} // $servers, \%login ];
}
sub oidc { my ($url, %with) = @_; return way('KAFKA39', 'OIDC', with => { 'sasl.oauthbearer.token.endpoint.url' => $url, %with }) }
sub cluster
{
	my ($name, $way) = @_;
	sql("SELECT strm.create_kafka_cluster('$name', '$way->[0]', " . quoted($json->encode($way->[1])) . ')');
	return;
}

my %java = map { $_ => strm_kafka(strm_kafka_login($_, '')) } 'KAFKA39', 'KAFKA4';
$node->safe_psql('postgres', 'CREATE EXTENSION strm_privacy');
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', undef, 'required' ] ]);
sql("SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0')");

# --- every way in publishes ---

my %ways = (
	plaintext => way('KAFKA39', ''),
	tls => way('KAFKA39', 'SSL'),
	mtls => way('KAFKA39', 'MTLS'),
	other_case => way('KAFKA39', 'SASL', with => { 'sasl.mechanism' => 'scram-sha-512', 'security.protocol' => 'Sasl_Plaintext' }),
	unsigned => way('KAFKA39', 'OAUTH'),
	(map { ("plain_$_" => way($_, 'SASL', mechanism => 'PLAIN'), "plain_tls_$_" => way($_, 'SASL_SSL', mechanism => 'PLAIN')) } 'KAFKA39', 'KAFKA4'),
	(map { ("scram_$_" => way('KAFKA39', 'SASL', mechanism => "SCRAM-SHA-$_"), "scram_tls_$_" => way('KAFKA39', 'SASL_SSL', mechanism => "SCRAM-SHA-$_")) } 256, 512),
	$old ? () : (scram_KAFKA4 => way('KAFKA4', 'SASL')));
my %more = !$oidc ? () : (
	oidc => way('KAFKA39', 'OIDC'),
	oidc_KAFKA4 => way('KAFKA4', 'OIDC'),
	oidc_tls => oidc("$tls/token", 'https.ca.pem' => $ca, 'sasl.oauthbearer.scope' => 'a b&c', 'sasl.oauthbearer.extensions' => 'tenant=a b,logicalCluster=lkc'),
	oidc_short => oidc("$plain/short"),
	oidc_claims => oidc("$plain/claims"),
	oidc_toggle => oidc("$plain/toggle"),
	oidc_transactions => way('KAFKA39', 'OIDC'));
%ways = (%ways, %more);
my %topic;
for my $name (sort keys %ways)
{
	my $java = $java{ $name =~ /KAFKA4/ ? 'KAFKA4' : 'KAFKA39' };
	$topic{$name} = [ $java, $java->name("auth-$name") ];
	cluster($name, $ways{$name});
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT strm.create_kafka_exporter('clicks', '$name', topic => '$topic{$name}[1]', name => '$name', partitions => 2, transactional => " . ($name =~ /transactions/ ? 'true' : 'false') . ')');
	is($rc, 0, "$name: the check of the topic passes") or diag($err);
}
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM strm.kafka_exporters WHERE state <> 'RUNNING'"), 'all exporters run')
  or diag(sql("SELECT name, state, sqlstate, last_error FROM strm.kafka_exporters WHERE state <> 'RUNNING'"));
sql("INSERT INTO clicks (session, strm_consent_levels) SELECT 's' || i, '{}' FROM generate_series(1, 5) AS i");
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM strm.kafka_exporters WHERE sent < 5'), 'all have sent')
  or diag(sql('SELECT name, state, sent, sqlstate, last_error FROM strm.kafka_exporters WHERE sent < 5'));
for my $name (sort keys %ways)
{
	my ($java, $topic) = @{ $topic{$name} };
	is(join(' ', sort map { $json->decode($_->{value})->{session} } $java->consume($topic)), 's1 s2 s3 s4 s5', "$name: the events are in the topic");
}

SKIP:
{
	skip('there is no token endpoint', 7) if !$oidc;
	# as RFC 6749 has it: name and secret encoded, then base64
	my ($first) = requests('/token');
	is($first->[1], 'Basic ' . encode_base64("$user:$secret{password}", ''), 'the endpoint was asked with name and secret');
	is($first->[2], 'grant_type=client_credentials&scope=a%20b%26c', 'for the scope');

	my $before = requests('/short');
	ok(strm_wait(sub { requests('/short') > $before + 2 }), 'tokens are renewed before they end');

	# a token that cannot be renewed while there is nothing to send is no error
	append_to_file("$dir/proxy.off", '');
	sql("SELECT strm.alter_kafka_cluster('oidc_toggle', config => '{\"client.id\": \"again\"}')");
	ok($node->poll_query_until('postgres', "SELECT state = 'RETRYING' AND sqlstate = '08004' FROM strm.kafka_exporters WHERE name = 'oidc_toggle'"), 'an endpoint that refuses is what the exporter struggles with')
	  or diag(sql("SELECT state, sqlstate, last_error FROM strm.kafka_exporters WHERE name = 'oidc_toggle'"));
	like(sql("SELECT last_error FROM strm.kafka_exporters WHERE name = 'oidc_toggle'"), qr/the token endpoint gives no token: it answered with status 401, invalid_client/, 'and it is said so');
	sql("INSERT INTO clicks (session, strm_consent_levels) VALUES ('s6', '{}')");
	unlink "$dir/proxy.off";
	ok($node->poll_query_until('postgres', "SELECT state = 'RUNNING' AND sent = 6 FROM strm.kafka_exporters WHERE name = 'oidc_toggle'"), 'it goes on by itself when the endpoint does')
	  or diag(sql("SELECT state, sqlstate, last_error, sent FROM strm.kafka_exporters WHERE name = 'oidc_toggle'"));
	is(join(' ', sort map { $json->decode($_->{value})->{session} } $topic{oidc_toggle}[0]->consume($topic{oidc_toggle}[1])), 's1 s2 s3 s4 s5 s6', 'nothing is lost, nothing doubled');
}

# --- what must not work, and what is said ---

my $exists = $java{KAFKA39}->create('auth-exists', partitions => 2);
my %mtls = %{ way('KAFKA39', 'MTLS')->[1] };
my $hint_sasl = qr/security\.protocol, sasl\.\* and ssl\.\* properties|sasl\.username and sasl\.password/;
my $hint_token = qr/sasl\.oauthbearer\.\* properties, and https\.ca\.pem/;
my @failures = (
	[ 'wrong password, PLAIN', way('KAFKA39', 'SASL', mechanism => 'PLAIN', with => { 'sasl.password' => $secret{wrong} }), '08004', qr/invalid credentials|Authentication failed/i, $hint_sasl ],
	[ 'wrong password, SCRAM', way('KAFKA39', 'SASL', with => { 'sasl.password' => $secret{wrong} }), '08004', qr/invalid credentials/i, $hint_sasl ],
	[ 'wrong password over TLS', way('KAFKA39', 'SASL_SSL', mechanism => 'SCRAM-SHA-512', with => { 'sasl.password' => $secret{wrong} }), '08004', qr/invalid credentials/i, $hint_sasl ],
	[ 'no such user', way('KAFKA39', 'SASL', user => 'ghost'), '08004', qr/invalid credentials/i, $hint_sasl ],
	[ 'no authority', way('KAFKA39', 'SSL', with => { 'ssl.ca.pem' => undef }), '08004', qr/certificate/, qr/ssl\.ca\.pem/ ],
	[ 'another authority', way('KAFKA39', 'SSL', with => { 'ssl.ca.pem' => $ca }), '08004', qr/certificate/, qr/ssl\.ca\.pem/ ],
	[ 'another name', way('KAFKA39', 'SSL', servers => $ENV{STRM_KAFKA39_SSL} =~ s/127\.0\.0\.1/127.1/r), '08004', qr/certificate/, qr/names by which they are reached/ ],
	[ 'no client certificate', [ $ENV{STRM_KAFKA39_MTLS}, { map { $_ => $mtls{$_} } 'security.protocol', 'ssl.ca.pem' } ], '0800[46]', qr/certificate|disconnected|closed|handshake/i, qr/./ ],
	[ 'TLS where there is none', way('KAFKA39', 'SSL', servers => $ENV{STRM_KAFKA39_BOOTSTRAP}), '0800[46]', qr/./, qr/security\.protocol|ssl\.ca\.pem/ ],
	[ 'no TLS where there is', way('KAFKA39', '', servers => $ENV{STRM_KAFKA39_SSL}), '0800[46]', qr/./, qr/security\.protocol/ ],
	[ 'no rights on a new topic', way('KAFKA39', 'SASL', mechanism => 'PLAIN', user => $nobody), '08004', qr/authoriz/i, qr/DESCRIBE, READ and WRITE/ ],
	[ 'no rights on a topic that there is', way('KAFKA39', 'SASL', mechanism => 'PLAIN', user => $nobody), '08004', qr/authoriz/i, qr/DESCRIBE, READ and WRITE/, $exists ],
	$old ? [ 'SCRAM with Kafka 4 and an old librdkafka', way('KAFKA4', 'SASL'), '08004', qr/invalid credentials/i, qr/librdkafka 2\.\d+\.\d+.*cannot log in to Kafka 4\.0.*use librdkafka 2\.6\.1/ ] : ());
push @failures, (
	[ 'OIDC, wrong secret', way('KAFKA39', 'OIDC', with => { 'sasl.oauthbearer.client.secret' => $secret{wrong} }), '08004', qr/gives no token: it answered with status 401, invalid_client/, $hint_token ],
	[ 'OIDC, an odd secret', oidc("$plain/refuse", 'sasl.oauthbearer.client.secret' => $secret{odd}), '08004', qr/status 401, invalid_client/, $hint_token ],
	[ 'OIDC, nobody there', oidc('http://127.0.0.1:1/token'), '08006', qr/token endpoint cannot be reached: Couldn't connect/, $hint_token ],
	[ 'OIDC, no such host', oidc('https://nowhere.invalid/token'), '08006', qr/token endpoint cannot be reached: Couldn't resolve/, $hint_token ],
	[ 'OIDC, endpoint down', oidc("$plain/down"), '08006', qr/token endpoint cannot be reached: it answered with status 503, temporarily_unavailable/, $hint_token ],
	[ 'OIDC, no authority', oidc("$tls/token"), '08004', qr/gives no token: .*certificate/, $hint_token ],
	[ 'OIDC, another authority', oidc("$tls/token", 'https.ca.pem' => $kafka_ca), '08004', qr/gives no token: .*certificate/, $hint_token ],
	[ 'OIDC, another name', oidc("$elsewhere/token", 'https.ca.pem' => $ca), '08004', qr/gives no token: .*(name|certificate)/, $hint_token ],
	[ 'OIDC, redirect', oidc("$plain/redirect"), '08004', qr/status 307, and redirects are not followed/, $hint_token ],
	[ 'OIDC, garbage', oidc("$plain/garbage"), '08004', qr/its answer holds no token/, $hint_token ],
	[ 'OIDC, expired', oidc("$plain/expired"), '08004', qr/has expired already/, $hint_token ],
	[ 'OIDC, an endpoint that repeats what it was sent', oidc("$plain/leak", 'sasl.oauthbearer.scope' => 'a'), '08004', qr/it answered with status 400$/m, $hint_token ],
	[ 'OIDC, a token that brokers refuse', oidc("$plain/forged"), '08004', qr/invalid_token|authentication/i, $hint_sasl ]) if $oidc;
my $said = '';
for my $i (0 .. $#failures)
{
	my ($what, $way, $sqlstate, $message, $hint, $topic) = @{ $failures[$i] };
	$topic //= $java{KAFKA39}->name('auth-none');
	cluster("fail_$i", $way);
	my $began = time;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT strm.create_kafka_exporter('clicks', 'fail_$i', topic => '$topic', name => 'fail_$i')", on_error_stop => 0);
	like($err, qr/ERROR:  $sqlstate: Kafka cluster "fail_$i": /, sprintf '%s: SQLSTATE %s, after %.1f s', $what, $sqlstate, time - $began);
	like($err, $message, "$what: the message");
	like($err, qr/HINT:  .*$hint/, "$what: the hint");
	note($err =~ s/^.*(?:LOCATION:|psql:<stdin>:\d+: )//mgr);
	$said .= $err;
}
is(sql("SELECT count(*) FROM strm.kafka_exporters WHERE name LIKE 'fail%'"), 0, 'none of them made an exporter');
if ($oidc)
{
	my ($odd) = map { $_->[1] } requests('/refuse');
	is($odd, 'Basic ' . encode_base64("$user:odd%3A%2B%2F%26%3D5e5ame", ''), 'an odd secret is encoded');
}

# --- definitions that are refused ---

for ([ 'a metadata service', { 'sasl.oauthbearer.token.endpoint.url' => 'https://169.254.169.254/token' }, qr/link-local/ ],
	[ 'plain http elsewhere', { 'sasl.oauthbearer.token.endpoint.url' => 'http://idp.example.com/token' }, qr/must be an https:/ ],
	[ 'extensions that are none', { 'sasl.oauthbearer.extensions' => 'auth=x' }, qr/sasl\.oauthbearer\.extensions must be name=value/ ],
	[ 'an authority that is none', { 'https.ca.pem' => '/etc/passwd' }, qr/https\.ca\.pem must be the text of certificates/ ])
{
	my ($what, $with, $message) = @$_;
	my $way = way('KAFKA39', 'OIDC', with => { 'sasl.oauthbearer.method' => 'oidc', 'sasl.oauthbearer.token.endpoint.url' => 'https://idp.example.com/', %$with });
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT strm.create_kafka_cluster('refused', 'k:9092', " . quoted($json->encode({ %{ $way->[1] }, 'security.protocol' => 'sasl_ssl', 'sasl.mechanism' => 'OAUTHBEARER', 'sasl.oauthbearer.client.id' => 'c', 'sasl.oauthbearer.client.secret' => $secret{wrong}, %$with })) . ')');
	like($err, qr/22023: .*\n?.*$message/, "$what is refused");
	$said .= $err;
}

# --- no secret anywhere ---

my %shown = (errors => $said, log => slurp_file($node->logfile),
	map { ($_ => sql("SELECT * FROM $_")) } 'strm.kafka_clusters', 'strm.kafka_exporters', 'strm.entity_states', 'strm.workers', 'pg_stat_activity');
my $key = (split /\n/, $mtls{'ssl.key.pem'})[1];
for my $where (sort keys %shown)
{
	# not the statement of this very test that looks, whose text is pg_stat_activity's
	my @found = grep { my $text = $_ eq 'key' ? $key : $secret{$_}; index($shown{$where}, $text) >= 0 } 'key', sort keys %secret;
	is("@found", '', "no secret is in $where") or diag(join "\n", grep { my $line = $_; grep { index($line, $_) >= 0 } $key, values %secret } split /\n/, $shown{$where});
}
unlike($shown{log}, qr/PANIC|terminated by signal/, 'nothing crashed');
$node->stop;
done_testing();
