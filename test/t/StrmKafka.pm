# What tests of the export have at hand of Kafka: the brokers of test/partners/kafka, ways to log in to them, topics of their own,
# and consumers that read a whole topic (Java, kcat, python-confluent-kafka). Properties have librdkafka's names everywhere.
#
#   strm_kafka_skip('KAFKA39');                                      # skips the test where there are no such brokers
#   my %login = strm_kafka_login('KAFKA39', 'SASL_SSL');             # bootstrap.servers and what else it takes
#   my $kafka = strm_kafka(%login);                                  # a Java client that runs to the end of the test
#   my $topic = $kafka->create('orders', partitions => 5);           # deleted at the end
#   my @records = $kafka->consume($topic, isolation => 'read_committed');
#
# A record is a hash of partition, offset, timestamp, expected (the partition that Java's default partitioner gives for its key,
# undef without a key; only of the Java client), key, value (undef: null) and headers (list of [name, value]). Records of a
# partition are in its order; partitions are not in any order.
package StrmKafka;
use strict;
use warnings;
use Exporter 'import';
use FindBin;
use IPC::Open2;
use MIME::Base64 qw(decode_base64 encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(strm_kafka_skip strm_kafka_login strm_kafka strm_kafka_control strm_kcat_produce strm_kcat_consume strm_python_consume);

my $owner = $$;
my $count = 0;
my @clients;
my $classes;
my %undone = (kill => 'start', stop => 'start', pause => 'continue');
my %again;

# Brokers that the test stopped run again for the next one; topics are deleted so that what the brokers hold of them is free.
END
{
	my $status = $?;
	if ($$ == $owner)
	{
		for my $broker (keys %again) { eval { strm_kafka_control($again{$broker}, $broker) } }
		for my $client (@clients)
		{
			for my $topic (@{ $client->{topics} }) { eval { $client->do('delete', $topic) } }
			close $client->{in};
			waitpid $client->{pid}, 0;
		}
	}
	$? = $status;
}

# Skips all tests of the file if one of these clusters (KAFKA39, KAFKA4, KAFKA_THREE) is not there, or a client is not.
sub strm_kafka_skip
{
	for my $cluster (@_)
	{
		plan(skip_all => "there are no Kafka brokers $cluster (test/partners/kafka)") if !$ENV{"STRM_${cluster}_BOOTSTRAP"};
	}
	plan(skip_all => 'there is no kcat') if system('kcat -V >/dev/null 2>&1') != 0;
	plan(skip_all => 'there is no javac') if system('javac -version >/dev/null 2>&1') != 0;
	return;
}

# How to log in to a listener: '' (plaintext), SASL, SSL, MTLS, SASL_SSL, OAUTH or OIDC. mechanism: PLAIN, SCRAM-SHA-256 (default) or
# SCRAM-SHA-512; user: another one than the one with all rights.
sub strm_kafka_login
{
	my ($cluster, $listener, %option) = @_;
	my %login = ('bootstrap.servers' => $ENV{ "STRM_${cluster}_" . ($listener || 'BOOTSTRAP') });
	my $user = $option{user} // $ENV{STRM_KAFKA_USER};
	my %protocol = (map({ $_ => 'SASL_PLAINTEXT' } 'SASL', 'OAUTH', 'OIDC'), MTLS => 'SSL');
	return %login if !$listener;
	$login{'security.protocol'} = $protocol{$listener} // $listener;
	$login{'ssl.ca.location'} = $ENV{STRM_KAFKA_CA} if $listener =~ /SSL|MTLS/;
	@login{ 'ssl.certificate.location', 'ssl.key.location' } = @ENV{ 'STRM_KAFKA_CLIENT_CERT', 'STRM_KAFKA_CLIENT_KEY' } if $listener eq 'MTLS';
	@login{ 'sasl.mechanism', 'sasl.username', 'sasl.password' } = ($option{mechanism} // 'SCRAM-SHA-256', $user, $ENV{STRM_KAFKA_PASSWORD}) if $listener =~ /^SASL/;
	@login{ 'sasl.mechanism', 'sasl.oauthbearer.config', 'enable.sasl.oauthbearer.unsecure.jwt' } = ('OAUTHBEARER', "principal=$user", 'true') if $listener eq 'OAUTH';
	@login{ 'sasl.mechanism', map { "sasl.oauthbearer.$_" } 'method', 'client.id', 'client.secret', 'token.endpoint.url' } =
	  ('OAUTHBEARER', 'oidc', $user, $ENV{STRM_KAFKA_PASSWORD}, $ENV{STRM_KAFKA_TOKEN_URL}) if $listener eq 'OIDC';
	return %login;
}

# Does something to a broker (see test/partners/kafka_control) and waits until it is done: strm_kafka_control('kill', 2).
sub strm_kafka_control
{
	my ($verb, $broker) = @_;
	chomp(my $answer = `"$FindBin::Bin/../partners/kafka_control" $verb $broker`);
	die "$verb $broker: $answer" if $answer ne 'done';
	$again{$broker} = $undone{$verb};
	delete $again{$broker} if !$undone{$verb};
	return;
}

# --- the Java client (test/clients/KafkaClient.java): administration, consumer, transactions ---

# Starts one; it ends with the test, and the topics that it made with it.
sub strm_kafka
{
	my (%login) = @_;
	my $log = PostgreSQL::Test::Utils::tempdir() . '/java.log';
	my ($in, $out);
	if (!defined $classes)
	{
		$classes = PostgreSQL::Test::Utils::tempdir();
		system('javac', '-encoding', 'UTF-8', '-cp', "$ENV{STRM_KAFKA_LIBS}/*", '-d', $classes, "$FindBin::Bin/../clients/KafkaClient.java") == 0
		  or die 'KafkaClient.java does not compile';
	}
	my @command = ('java', '-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', "$classes:$ENV{STRM_KAFKA_LIBS}/*",
		'KafkaClient', map { "$_=$login{$_}" } grep { !/unsecure/ } sort keys %login);
	my $pid = open2($out, $in, 'sh', '-c', 'exec "$@" 2>"$0"', $log, @command);
	binmode $_ for $in, $out;
	my $self = bless { pid => $pid, in => $in, out => $out, log => $log, topics => [], login => \%login, file => "$log.records" };
	push @clients, $self;
	return $self;
}

# Gives the client a command; its results. Dies with the client's error.
sub do
{
	my ($self, @words) = @_;
	my @results;
	my $in = $self->{in};
	print $in join("\t", @words) . "\n" or die $!;
	$in->flush;
	while (defined(my $line = readline $self->{out}))
	{
		chomp $line;
		return @results if $line eq 'done';
		die "kafka, @words: $1\n" if $line =~ /^failed: (.*)/;
		push @results, $line;
	}
	die 'the Java client has ended: ' . slurp_file($self->{log});
}

# The error that a command ends with; '' where it does not.
sub error { my ($self, @words) = @_; eval { $self->do(@words); 1 } and return ''; return $@ }

# Makes a topic with a name of its own and gives the name. Options: partitions (1), replicas (as many as the cluster wants),
# config (hash). name is a part of it.
sub create
{
	my ($self, $name, %option) = @_;
	my $topic = "$name-$$-" . ++$count;
	my $config = $option{config} // {};
	$self->do('create', $topic, $option{partitions} // 1, $option{replicas} // -1, map { "$_=$config->{$_}" } sort keys %$config);
	push @{ $self->{topics} }, $topic;
	return $topic;
}

# Name of a topic that does not exist yet; it is deleted at the end if it does by then.
sub name { my ($self, $name) = @_; my $topic = "$name-$$-" . ++$count; push @{ $self->{topics} }, $topic; return $topic }

# Partitions of a topic in their order: [leader (-1: none), replicas in sync].
sub partitions { my ($self, $topic) = @_; return map { [ (split /\t/)[ 1, 2 ] ] } $self->do('partitions', $topic) }

# Offsets of a topic's partitions: [begin, end].
sub offsets { my ($self, $topic, $isolation) = @_; return map { [ (split /\t/)[ 1, 2 ] ] } $self->do('offsets', $topic, $isolation // 'read_uncommitted') }

# Sends a record in the transaction of a producer (do('begin', $id) starts one): [partition, offset]. What follows a # in the id
# is none of the transactional id: it tells two producers of that id apart.
sub send
{
	my ($self, $id, $topic, $key, $value) = @_;
	return [ split /\t/, ($self->do('send', $id, $topic, map { defined $_ ? encode_base64($_, '') : '-' } $key, $value))[0] ];
}

# Reads a topic to its end, as it is when this begins. Options: isolation (read_committed; or read_uncommitted); each, a
# function that is called with every record instead of a list being made: then the count is what this gives.
sub consume
{
	my ($self, $topic, %option) = @_;
	my $file = $self->{file};
	my ($number) = $self->do('consume', $topic, $option{isolation} // 'read_committed', $file);
	my @records = read_records($file, $option{each});
	unlink $file;
	return $option{each} ? $number : @records;
}

# Records from a file of lines as the clients print them.
sub read_records
{
	my ($file, $each) = @_;
	my @records;
	open my $lines, '<', $file or die "$file: $!";
	while (my $line = readline $lines)
	{
		chomp $line;
		my ($partition, $offset, $timestamp, $expected, $key, $value, @headers) = split /\t/, $line, -1;
		my %record = (partition => $partition, offset => $offset, timestamp => $timestamp,
			expected => $expected =~ /^\d+$/ ? $expected : undef, key => decoded($key), value => decoded($value),
			headers => [ map { my ($name, $text) = split /:/; [ decode_base64($name), decoded($text) ] } @headers ]);
		if   ($each) { $each->(\%record) }
		else         { push @records, \%record }
	}
	close $lines;
	return @records;
}

sub decoded { my ($text) = @_; return $text eq '-' ? undef : decode_base64($text) }

# --- clients on librdkafka ---

sub kcat_options { my (%login) = @_; return map { ('-X', "$_=$login{$_}") } sort keys %login }

# Sends lines key, tab, value with kcat. Options: arguments (list). What kcat says and whether it went well.
sub strm_kcat_produce
{
	my ($login, $topic, $lines, @arguments) = @_;
	my $said = '';
	my $ok = IPC::Run::run([ 'kcat', '-P', kcat_options(%$login), '-t', $topic, '-K', "\t", @arguments ], '<', \join('', map { "$_\n" } @$lines), '>&', \$said, IPC::Run::timeout(60));
	return ($ok, $said);
}

# A whole topic as kcat shows it (what is committed). Headers are text, in one string.
sub strm_kcat_consume
{
	my ($login, $topic) = @_;
	my ($out, $said, @records) = ('', '');
	IPC::Run::run([ 'kcat', '-C', '-e', '-q', kcat_options(%$login), '-t', $topic, '-o', 'beginning', '-f', '%p %o %T %K %S %h\n%k%s\n' ], '>', \$out, '2>', \$said, IPC::Run::timeout(120))
	  or die "kcat: $said";
	while ($out =~ /\G(\d+) (\d+) (-?\d+) (-?\d+) (-?\d+) (.*)\n/gc)
	{
		my ($from, $key, $value) = (pos($out), $4, $5);
		my %record = (partition => $1, offset => $2, timestamp => $3, headers => $6);
		for ([ 'key', $key ], [ 'value', $value ])
		{
			my ($name, $length) = @$_;
			$record{$name} = $length < 0 ? undef : substr($out, $from, $length);
			$from += $length if $length > 0;
		}
		pos($out) = $from + 1;
		push @records, \%record;
	}
	die "kcat: " . substr($out, pos($out) // 0, 100) if (pos($out) // 0) != length $out;
	return @records;
}

# A whole topic as python-confluent-kafka shows it; undef where there is none. Options: isolation.
sub strm_python_consume
{
	my ($login, $topic, %option) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/records';
	return undef if system(q(/usr/bin/python3 -c 'import confluent_kafka' >/dev/null 2>&1)) != 0;
	my %property = (%$login, 'isolation.level' => $option{isolation} // 'read_committed');
	my $said = '';
	IPC::Run::run([ '/usr/bin/python3', "$FindBin::Bin/../clients/kafka_client.py", $topic, map { "$_=$property{$_}" } sort keys %property ], '>', $file, '2>', \$said, IPC::Run::timeout(120))
	  or die "python: $said";
	return [ read_records($file) ];
}

1;
