# What tests have beside the server under test: object stores and other programs, requests to them that are none of the
# extension's, certificates, and a Tink library. What is started here is killed when the test ends.
package StrmPartners;
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use Exporter 'import';
use FindBin;
use HTTP::Tiny;
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64 encode_base64);
use POSIX qw(strftime _exit WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT = qw(strm_start strm_wait strm_listening strm_bad_store strm_rsa_key strm_azurite strm_azure_request strm_s3_request
  strm_password_server strm_schema_registry strm_tink $python $azure_account $azure_key);

# The system's python3; undef where there is none.
our $python = (grep { -x } map { "$_/python3" } '/usr/bin', split /:/, $ENV{PATH})[0];

# Azurite's one account, as its manual has it.
our $azure_account = 'devstoreaccount1';
our $azure_key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
my $azurite_version = '3.37.0';

my $owner = $$;
my @children;
END { my $status = $?; if ($$ == $owner) { for my $pid (@children) { kill 'KILL', $pid if waitpid($pid, WNOHANG) == 0; waitpid $pid, 0 } } $? = $status }

# Runs code, or a command with its output in the file log, until the test ends at the latest; returns its process.
sub strm_start
{
	my ($log, @command) = @_;
	my $pid = fork // die $!;
	if (!$pid)
	{
		if (ref $command[0]) { $command[0]->(); _exit(0) }
		open STDOUT, '>', $log or die $!;
		open STDERR, '>&', \*STDOUT or die $!;
		exec @command or _exit(1);
	}
	push @children, $pid;
	return $pid;
}

# Waits until a condition holds, as long as other tests do at most; whether it does.
sub strm_wait
{
	my ($condition) = @_;
	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $condition->();
		usleep(50_000);
	}
	return 0;
}

sub strm_listening { my ($port) = @_; return strm_wait(sub { IO::Socket::INET->new("127.0.0.1:$port") }) }

# Starts test/partners/bad_store.py, with a log and the like called name in dir; its process and port.
sub strm_bad_store
{
	my ($dir, $name, @args) = @_;
	my $file = "$dir/$name.port";
	my $pid = strm_start("$dir/$name.log", $python, "$FindBin::Bin/../partners/bad_store.py", $file, @args);
	strm_wait(sub { -e $file }) or die 'the store does not start: ' . slurp_file("$dir/$name.log");
	chomp(my $port = slurp_file($file));
	return ($pid, $port);
}

# Starts test/partners/schema_registry.py, with its arguments but the first: its process and its port.
sub strm_schema_registry
{
	my ($dir, $name, @args) = @_;
	my $file = "$dir/$name.port";
	my $pid = strm_start("$dir/$name.log", $python, "$FindBin::Bin/../partners/schema_registry.py", $file, @args);
	strm_wait(sub { -e $file }) or die 'the registry does not start: ' . slurp_file("$dir/$name.log");
	chomp(my $port = slurp_file($file));
	return ($pid, $port);
}

# A PEM of a new private key, and what bad_store.py needs to know of it.
sub strm_rsa_key
{
	my ($dir, $name) = @_;
	system("openssl genrsa -out $dir/$name.pem 2048 2>/dev/null") == 0 or die 'there is no openssl';
	my ($modulus) = `openssl rsa -in $dir/$name.pem -noout -modulus 2>/dev/null` =~ /=(\w+)/;
	return (slurp_file("$dir/$name.pem"), "$modulus:10001");
}

# Where Azurite is, installed into a cache if need be (STRM_AZURITE names another one); undef where there is no npm.
sub azurite_program
{
	my $dir = $ENV{STRM_AZURITE} // "/var/tmp/strm-privacy-azurite-$azurite_version-$>";
	my $program = "$dir/node_modules/.bin/azurite-blob";
	return $program if -x $program && (-o $dir || defined $ENV{STRM_AZURITE});
	return undef if system('npm --version >/dev/null 2>&1') != 0;
	mkdir $dir, 0700;
	return undef if !-o $dir;
	system("cd '$dir' && HOME='$dir' npm install --no-fund --no-audit --silent azurite\@$azurite_version >'$dir/npm.log' 2>&1");
	return -x $program ? $program : undef;
}

# Starts Azurite with its blobs below dir and makes a container called box; its port, or undef where there is no Azurite.
sub strm_azurite
{
	my ($dir) = @_;
	my $program = azurite_program() // return undef;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	mkdir "$dir/blobs";
	strm_start("$dir/azurite.log", $program, '--blobHost', '127.0.0.1', '--blobPort', $port, '--location', "$dir/blobs", '--silent');
	strm_listening($port) or die 'Azurite does not start: ' . slurp_file("$dir/azurite.log");
	my $answer = strm_azure_request($port, 'PUT', 'box', 'restype=container');
	die "no container: $answer->{status}" if $answer->{status} != 201;
	return $port;
}

# A request to Azurite for container/path, signed with the account's key; HTTP::Tiny's answer. header may have x-ms-... ones.
sub strm_azure_request
{
	my ($port, $method, $path, $query, $body, %header) = @_;
	my $size = defined $body && length $body ? length $body : '';
	%header = (%header, 'x-ms-date' => strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime), 'x-ms-version' => '2021-12-02');
	my $canonical = join '', map { "\n$_" } map { s/=/:/r } sort grep { length } split /&/, $query;
	my $text = join("\n", $method, '', '', $size, '', $size ? 'application/octet-stream' : '', ('') x 6) . "\n" .
		join('', map { "$_:$header{$_}\n" } sort keys %header) . "/$azure_account/$azure_account/$path$canonical";
	$header{authorization} = "SharedKey $azure_account:" . encode_base64(hmac_sha256($text, decode_base64($azure_key)), '');
	$header{'content-type'} = 'application/octet-stream' if $size;
	return HTTP::Tiny->new(timeout => 120)->request($method, "http://127.0.0.1:$port/$azure_account/$path" . ($query ? "?$query" : ''),
		{ headers => \%header, content => $body // '' });
}

# A request to a store that speaks S3's protocol, for bucket/key, with a signature of version 4; HTTP::Tiny's answer.
sub strm_s3_request
{
	my ($url, $id, $secret, $method, $path, $body) = @_;
	my ($host) = $url =~ m{^http://(.*)$};
	my ($day, $time) = (strftime('%Y%m%d', gmtime), strftime('%Y%m%dT%H%M%SZ', gmtime));
	my $hash = sha256_hex($body // '');
	my $request = "$method\n/$path\n\nhost:$host\nx-amz-content-sha256:$hash\nx-amz-date:$time\n\nhost;x-amz-content-sha256;x-amz-date\n$hash";
	my $scope = "$day/us-east-1/s3/aws4_request";
	my $key = "AWS4$secret";
	$key = hmac_sha256($_, $key) for split m{/}, $scope;
	my $signature = hmac_sha256_hex("AWS4-HMAC-SHA256\n$time\n$scope\n" . sha256_hex($request), $key);
	return HTTP::Tiny->new(timeout => 120)->request($method, "$url/$path", { content => $body // '', headers => { 'x-amz-date' => $time, 'x-amz-content-sha256' => $hash,
		authorization => "AWS4-HMAC-SHA256 Credential=$id/$scope, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=$signature" } });
}

# Another server, which asks for passwords over TCP, but those of role free; with TLS and a certificate for localhost of the
# authority dir/ca.crt where there is openssl. The node, and whether it has TLS.
sub strm_password_server
{
	my ($name, $dir) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	my $tls = system("cd '$dir' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt >/dev/null 2>&1"
		  . " && openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr >/dev/null 2>&1"
		  . " && openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt >/dev/null 2>&1"
		  . " && chmod 600 server.key") == 0;
	$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\nfsync = off\n" . ($tls ? "ssl = on\nssl_cert_file = '$dir/server.crt'\nssl_key_file = '$dir/server.key'\n" : ''));
	unlink $node->data_dir . '/pg_hba.conf';
	$node->append_conf('pg_hba.conf', "local all all trust\nhost all free 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
	$node->start;
	return ($node, $tls);
}

# Gives lines of keyset, tab, ciphertext to Tink. Its answers, one per line; undef and the reason where there is no Tink.
sub strm_tink
{
	my ($input) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	$ENV{STRM_CLIENTS_CACHE} //= PostgreSQL::Test::Utils::tempdir();
	my ($in, $out, $err) = ("$dir/in", "$dir/out", "$dir/err");
	append_to_file($in, $input);
	my $status = system("\"$FindBin::Bin/../clients/tink\" <\"$in\" >\"$out\" 2>\"$err\"") >> 8;
	my ($answers, $reason) = (slurp_file($out), slurp_file($err));
	unlink $in, $out, $err;
	return (undef, $reason =~ s/\s+/ /gr) if $status == 77;
	die "tink: $reason" if $status != 0;
	return split /\n/, $answers;
}

1;
