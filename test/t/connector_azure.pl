# Data connectors of kind azure against a real server, Azurite, which checks signatures: jobs that read and write blobs, wrong and
# expired credentials, and, with a proxy in between, connections that break, answers that get lost, bodies that are damaged, and
# tokens. Azurite is installed into a cache (STRM_AZURITE names another place); skipped where there is no npm.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(hmac_sha256);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64 decode_base64);
use POSIX qw(strftime _exit);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmPartners;
use StrmTest;
use Test::More;

my ($account, $key) = ($azure_account, $azure_key);
my $secret = 'client~secret+with/odd=characters';
my $root = PostgreSQL::Test::Utils::tempdir();

# --- Azurite ---
my $store_port = strm_azurite($root);
plan skip_all => 'there is no Azurite, and no npm that could install it' if !defined $store_port;

my $port = PostgreSQL::Test::Cluster::get_free_port();
sub blob { return strm_azure_request($store_port, @_) }
sub put_blob { my ($path, $body) = @_; return blob('PUT', "box/$path", '', $body, 'x-ms-blob-type' => 'BlockBlob')->{status} }
sub get_blob { my ($path) = @_; my $r = blob('GET', "box/$path", ''); return $r->{success} ? $r->{content} : $r->{status} }

# A shared access signature for the container, valid for so many hours from now.
sub sas
{
	my ($rights, $hours) = @_;
	my $end = strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + 3600 * $hours));
	my $text = join "\n", $rights, '', $end, "/blob/$account/box", '', '', '', '2021-12-02', 'c', ('') x 7;
	my $sig = encode_base64(hmac_sha256($text, decode_base64($key)), '') =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger;
	return "sv=2021-12-02&sr=c&se=" . ($end =~ s/:/%3A/gr) . "&sp=$rights&sig=$sig";
}

# --- a proxy that misbehaves as the file mode says: "<what> <pattern of the request> <how many times>" ---
sub mode { my ($mode) = @_; open my $out, '>', "$root/mode.new" or die $!; print $out $mode // 'none'; close $out; rename "$root/mode.new", "$root/mode"; unlink "$root/requests"; return }
sub requests { my ($pattern) = @_; return -e "$root/requests" ? scalar(grep { /$pattern/ } split /\n/, slurp_file("$root/requests")) : 0 }

# What to do about this request; counts.
sub due
{
	my ($request) = @_;
	my ($what, $pattern, $times) = split / /, slurp_file("$root/mode");
	return 'none' if !defined $pattern || $request !~ /$pattern/ || $times < 1;
	my $left = $times - 1;
	open my $out, '>', "$root/mode.new" or die $!;
	print $out "$what $pattern $left";
	close $out;
	rename "$root/mode.new", "$root/mode";
	return $what;
}

# Tokens: the n-th is good for three requests. What is known about them is in a file, as every connection has its own process.
sub token_state { my (@new) = @_; my @old = split / /, slurp_file("$root/token"); if (@new) { open my $out, '>', "$root/token.new" or die $!; print $out "@new"; close $out; rename "$root/token.new", "$root/token" } return @old }
sub token
{
	my ($body) = @_;
	my $good = $body =~ /client_secret=client~secret%2Bwith%2Fodd%3Dcharacters/ && $body =~ /client_id=client-1/ && $body =~ /grant_type=client_credentials/;
	my ($tokens) = token_state();
	token_state(++$tokens, 0) if $good;
	my $answer = $good ? qq({"token_type":"Bearer","expires_in":3599,"access_token":"secret-token-$tokens"}) : '{"error":"invalid_client"}';
	return 'HTTP/1.1 ' . ($good ? '200 OK' : '401 Unauthorized') . "\r\nContent-Type: application/json\r\nContent-Length: " . length($answer) . "\r\nConnection: close\r\n\r\n$answer";
}

# The answer of Azurite to a request, whole.
sub forward
{
	my ($head, $body) = @_;
	my $up = IO::Socket::INET->new("127.0.0.1:$store_port") or return '';
	if ($head =~ /^authorization: Bearer (.*?)\r?$/mi)
	{
		my ($tokens, $uses) = token_state();
		token_state($tokens, ++$uses);
		return "HTTP/1.1 401 Unauthorized\r\nx-ms-error-code: InvalidAuthenticationInfo\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
			if $1 ne "secret-token-$tokens" || $uses > 3;
		my $sas = sas('rcwd', 1);
		$head =~ s/^authorization: .*?\r\n//mi;
		$head =~ s/^(\S+ \S+?)(\?\S*)? HTTP/$1 . ($2 ? "$2&" : '?') . $sas . ' HTTP'/e;
	}
	$head =~ s/\r\n\r\n\z/\r\nConnection: close\r\n\r\n/;
	print $up $head, $body;
	local $/;
	return scalar <$up> // '';
}

sub serve
{
	my ($client) = @_;
	my ($head, $body) = ('', '');
	while ($head !~ /\r\n\r\n\z/) { defined(my $line = <$client>) or return; $head .= $line }
	my ($request) = $head =~ /^(\S+ \S+)/;
	my ($size) = $head =~ /^content-length: (\d+)/mi;
	my ($range) = $head =~ /^range: (\S+)/mi;
	my $what = due($request);
	open my $log, '>>', "$root/requests" or die $!;
	print $log $request =~ s/\?(\S*&)?(comp=\w+).*|\?.*/defined $2 ? "?$2" : ''/er, $range ? " $range" : '', "\n";
	close $log;
	if ($what eq 'cut_body') { read $client, $body, ($size // 0) / 2; return }
	read $client, $body, $size if $size;
	if ($what eq 'busy') { print $client "HTTP/1.1 503 Busy\r\nx-ms-error-code: ServerBusy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"; return }
	substr($body, length($body) / 2, 1) ^= "\1" if $what eq 'damage';
	my $answer = $request =~ m{^POST /tenant-1/oauth2/v2.0/token$} ? token($body) : forward($head, $body);
	return if $what eq 'lose_answer';
	$answer = substr $answer, 0, length($answer) / 2 if $what eq 'cut_answer';
	print $client $answer;
	return;
}
mode();
append_to_file("$root/token", '0 0');
strm_start(undef, sub {
	$SIG{PIPE} = 'IGNORE';
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 20, ReuseAddr => 1) or _exit 1;
	$SIG{CHLD} = 'IGNORE';
	while (1)
	{
		my $client = $listen->accept or next;
		if (!fork) { $client->autoflush(1); serve($client); close $client; _exit 0 }
		close $client;
	}
});
ok(strm_listening($port), 'so does the proxy');

# --- the server ---
my $node = strm_node('azure', conf => "fsync = off\nstrm_privacy.connector_directory = '$root'\nlog_min_messages = debug1\nlog_statement = none\n");
mkdir "$root/d" or die $!;
$node->safe_psql('postgres', q{CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One');
SELECT strm.create_data_connector('files', 'directory', '{"path": "d"}')});
strm_contract($node, 'acme/person/1.0.0', [ [ 'id', 'STRING', 1 ], [ 'filler', 'STRING' ] ]);
my $json = JSON::PP->new->utf8->canonical;
my $uri = "http://127.0.0.1:$port/$account";

# credentials as bound parameters: log_min_messages shows statements with errors
sub connector
{
	my ($name, $credentials, %location) = @_;
	my $location = $json->encode({ storageAccountUri => $uri, containerName => 'box', %location });
	my $text = $json->encode($credentials);
	my ($out, $err);
	$node->psql('postgres', "SELECT strm.create_data_connector('$name', 'azure', '$location', '$text')", stderr => \$err, stdout => \$out);
	return $err;
}
my %client = (tenantId => 'tenant-1', clientId => 'client-1', clientSecret => $secret);
is(connector('key', { sharedKey => { accountName => $account, accountKey => $key } }), '', 'a connector with a key');
is(connector('wrong', { shared_key => { account_name => $account, account_key => encode_base64('wrong' x 12, '') } }), '', 'one with a wrong key, in snake_case');
is(connector('sas', { sasToken => '?' . sas('rcw', 1) }), '', 'one with a signature');
is(connector('expired', { sasToken => sas('rcw', -1) }), '', 'one with a signature that has expired');
is(connector('writer', { sasToken => sas('cw', 1) }), '', 'one that may only write');
is(connector('client', { clientSecretCredential => \%client }, authorityHost => "http://127.0.0.1:$port"), '', 'one with a secret');
is(connector('other', { clientSecretCredential => { %client, clientSecret => 'not-the-secret' } }, authorityHost => "http://127.0.0.1:$port/"), '', 'one with another');
is(connector('nowhere', { sharedKey => { accountName => $account, accountKey => $key } }, containerName => 'nobox'), '', 'one of a container that is not there');
my $faults = connector('faults', { sharedKey => { accountName => $account, accountKey => '?' }, sasToken => 'https://x/?sig=1' }, containerName => 'No', foo => 1,
	storageAccountUri => 'http://example.com', clientSecretCredential => \%client);
like($faults, $_, "faults: $_") for qr/unknown member "foo"/, qr/storageAccountUri must be an https/, qr/containerName is not the name/,
	qr/clientSecretCredential belongs into credentials/, qr/exactly one of/, qr/accountKey is not base64/, qr/sasToken is not a SAS token|sasToken has a character/;
unlike($faults, qr/\Q$secret\E|sig=1/, 'none shows a secret');

# --- jobs ---
# Equal groups have equal keys, so equal inputs equal outputs, byte for byte.
my $group = '11111111-2222-3333-4444-555555555555';
sub place { my ($connector, $file, %more) = @_; return { data_connector_ref => { name => $connector }, file_name => $file, %more } }
sub job
{
	my ($from, $to, %more) = @_;
	$from->{data_type} = { csv => {} };
	my $job = $json->encode({ source_data => $from, data_contract_ref => 'acme/person/1.0.0', consent => { consent_level_extractor => { field => 'consent' } },
		encryption => { timestamp_config => { field => 'at', format => 'yyyy-MM-dd HH:mm:ss' }, batch_job_group_id => $group }, encrypted_data => { target => $to }, %more });
	my ($out, $err);
	$node->psql('postgres', "CALL strm.run_batch_job(\$job\$$job\$job\$)", stderr => \$err, stdout => \$out, extra_params => ['--set=VERBOSITY=verbose']);
	return $err =~ /^(psql:[^\n]*ERROR:.*?)(?=\nLOCATION|\nCONTEXT|\z)/ms ? $1 : '';
}
my $small = "id,filler,consent,at\r\n" . join '', map { "\"p$_\",\"f\",\"1\",\"2024-05-01 10:00:00\"\r\n" } 1 .. 20;
my $big = "id,filler,consent,at\r\n" . join '', map { my $n = $_ % 50; "\"p$n\",\"" . ("$_ " x 60) . "\",\"1\",\"2024-05-01 10:00:00\"\r\n" } 1 .. 40000;
append_to_file("$root/d/small.csv", $small);
append_to_file("$root/d/big.csv", $big);
is(put_blob('in/small.csv', $small) . put_blob('in/big.csv', $big), '201201', 'the inputs are in the store');
is(job(place('files', 'small.csv'), place('files', 'small.out')), '', 'small, in files');
is(job(place('files', 'big.csv'), place('files', 'big.out')), '', 'big, in files');
my %expected = map { $_ => slurp_file("$root/d/$_.out") } qw(small big);
cmp_ok(length $expected{big}, '>', 10 * 1024 * 1024, 'big is more than two blocks');
sub same { my ($path, $which, $name) = @_; is(md5_hex(get_blob($path)), md5_hex($expected{$which}), $name); return }

is(job(place('key', 'in/small.csv'), place('key', 'out/small')), '', 'from blob to blob');
same('out/small', 'small', 'as from file to file');
mode();
is(job(place('key', 'in/big.csv'), place('key', 'out/big')), '', 'big');
same('out/big', 'big', 'big is the same');
cmp_ok(requests('^PUT \S*out/big\?comp=block$'), '>=', 3, 'it was sent in blocks');
is(requests('^PUT \S*out/big\?comp=blocklist$'), 1, 'which were put together once');

my $error = job(place('files', 'small.csv'), place('key', 'out/small'));
like($error, qr/22023.*"out\/small" exists in data connector "key"/s, 'a blob that is there');
is(job(place('files', 'big.csv'), place('key', 'out/small', overwrite => JSON::PP::true)), '', 'is replaced with overwrite');
same('out/small', 'big', 'by the new one');

# what refuses
like(job(place('files', 'small.csv'), place('wrong', 'x')), qr/22023.*data connector "wrong": the store answered 403/s, 'a wrong key');
like(job(place('files', 'small.csv'), place('expired', 'x')), qr/22023.*data connector "expired": the store answered 403/s, 'an expired signature');
like(job(place('files', 'small.csv'), place('nowhere', 'x')), qr/22023.*data connector "nowhere": the store answered 404 ContainerNotFound/s, 'no container');
like(job(place('wrong', 'in/small.csv'), place('files', 'x')), qr/22023.*"in\/small\.csv" of data connector "wrong": the store answered 403/s, 'a wrong key for a source');
like(job(place('key', 'in/nothing.csv'), place('files', 'x')), qr/22023.*there is no "in\/nothing\.csv" in data connector "key"/s, 'no blob');
is(job(place('sas', 'in/small.csv'), place('sas', 'out/sas')), '', 'a signature');
same('out/sas', 'small', 'does');
is(job(place('files', 'small.csv'), place('writer', 'out/writer')), '', 'writing needs no right to read');
same('out/writer', 'small', 'nor to delete');
like(job(place('files', 'big.csv'), place('writer', 'out/writer')), qr/42710.*"out\/writer" of data connector "writer": the store answered 409 BlobAlreadyExists/s,
	'but then a blob that is there is only noticed at the end');
same('out/writer', 'small', 'and left alone');

# what breaks on the way
mode('cut_answer GET\s\S*in/big 1');
is(job(place('key', 'in/big.csv'), place('key', 'out/cut-answer')), '', 'reading breaks in the middle');
same('out/cut-answer', 'big', 'and goes on where it broke');
is(requests('^GET \S*in/big\.csv bytes=[1-9]'), 1, 'with a range');
mode('cut_body PUT\s\S*out/cut-body\?blockid 2');
is(job(place('files', 'big.csv'), place('key', 'out/cut-body')), '', 'sending a block breaks, twice');
same('out/cut-body', 'big', 'and is done again');
mode('busy PUT\s\S*out/busy 3');
is(job(place('files', 'big.csv'), place('key', 'out/busy')), '', 'the store is busy, three times');
same('out/busy', 'big', 'and was asked again');
mode('lose_answer PUT\s\S*out/lost\?comp=blocklist 1');
is(job(place('files', 'big.csv'), place('key', 'out/lost')), '', 'the answer to the last request gets lost');
same('out/lost', 'big', 'but the blob is known to be the own one');
mode('lose_answer PUT\s\S*out/one 1');
is(job(place('files', 'small.csv'), place('key', 'out/one')), '', 'the answer to the only one, too');
same('out/one', 'small', 'likewise');
mode('damage PUT\s\S*out/damaged 99');
like(job(place('files', 'big.csv'), place('key', 'out/damaged')), qr/400 Md5Mismatch/, 'a body that is damaged');
is(get_blob('out/damaged'), 404, 'does not become a blob');

# all or nothing: the last row is at fault, when blocks have been sent
append_to_file("$root/d/bad.csv", $big . "\"p1\",\"x\",\"1\",\"yesterday\"\r\n");
mode();
isnt(job(place('files', 'bad.csv'), place('key', 'out/bad')), '', 'a job that fails');
cmp_ok(requests('^PUT \S*out/bad\?comp=block$'), '>=', 1, 'after blocks were sent');
is(get_blob('out/bad'), 404, 'leaves no blob');

# --- tokens ---
mode();
is(job(place('client', 'in/big.csv'), place('client', 'out/client')), '', 'a secret gives tokens');
same('out/client', 'big', 'with which blobs are written');
cmp_ok(requests('^POST /tenant-1/oauth2/v2.0/token$'), '>=', 2, 'a token that is no longer taken is renewed');
my $other = job(place('files', 'small.csv'), place('other', 'x'));
like($other, qr/22023.*could not log in to data connector "other": the server answered 401 invalid_client/s, 'another secret does not');
unlike($other, qr/not-the-secret/, 'and is not shown');

# --- nothing of all that is in the log ---
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/secret-token-|Bearer|SharedKey|sig=(?!1\b)/, 'the log has no token and no signature');
my @grants = grep { /\Q$key\E|\Q$secret\E|not-the-secret/ } split /\n/, $log;
is(scalar @grants, 0, 'and no key and no secret');
done_testing();
