# Kinds s3 and gcs of data connectors, through batch jobs: against real stores where there are any (test/partners/object_stores
# starts them), and against one that misbehaves in every way that we know of (test/partners/bad_store.py).
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmPartners;
use StrmTest;
use Test::More;

plan(skip_all => 'there is no python3') if !defined $python;

my $json = JSON::PP->new->utf8->canonical;
my $http = HTTP::Tiny->new(timeout => 30);
my $root = PostgreSQL::Test::Utils::tempdir();
my $dir = "$root/d";
mkdir $dir or die $!;
my $node = strm_node('s3', conf => <<"EOC");
fsync = off
log_statement = none
restart_after_crash = on
strm_privacy.connector_directory = '$root'
strm_privacy.connector_timeout = 1
EOC
$node->safe_psql('postgres', q{CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One');
SELECT strm.create_data_connector('files', 'directory', '{"path": "d"}')});
strm_contract($node, 'acme/visit/1.0.0', [ [ 'id', 'STRING', 1 ], [ 'at', 'STRING' ], [ 'page', 'STRING' ] ]);

# --- what the tests are made of ---

my ($pem, $public) = strm_rsa_key($root, 'account');
my ($other_pem) = strm_rsa_key($root, 'other');
my ($store, $port) = strm_bad_store($root, 'store', $public);
my $control = "http://127.0.0.1:$port/-";

sub put_object { my ($path, $content) = @_; my $r = $http->put("$control/object/$path", { content => $content }); die $r->{status} if !$r->{success}; return }
sub get_object { my ($path) = @_; my $r = $http->get("$control/object/$path"); return $r->{success} ? $r->{content} : undef }
sub headers_of { my ($path) = @_; my $h = $json->decode($http->get("$control/headers/$path")->{content}); return join ' ', map { lc($_) . "=$h->{$_}" } sort grep { /server.side/i } keys %$h }
sub uploads { return 0 + $http->get("$control/uploads")->{content} }
sub requests { my ($pattern) = @_; return scalar grep { /$pattern/ } split /\n/, $http->get("$control/requests")->{content} }

sub connector
{
	my ($name, $kind, $location, $credentials, $role) = @_;
	my ($l, $c) = map { $json->encode($_) } $location, $credentials;
	my $sql = ($role ? "SET ROLE $role; " : '') . "SELECT strm.create_data_connector('$name', '$kind', \$j\$$l\$j\$, \$j\$$c\$j\$)";
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 0);
	return $err;
}
sub key { my ($id, $secret, %more) = @_; return { AccessKey => { AccessKeyId => $id, SecretAccessKey => $secret, %more } } }
sub place
{
	my ($connector, $path, %more) = @_;
	my ($folder, $name) = $path =~ m{^(?:(.*)/)?(.*)$};
	return { data_connector_ref => { name => $connector }, defined $folder ? (path_prefix => $folder) : (), file_name => $name, %more };
}

# A job that copies source to a derived output, in one group, so with the same key links each time; and how it ends: '' or the
# error.
sub job
{
	my ($source, $target, %more) = @_;
	return { source_data => $source, data_contract_ref => 'acme/visit/1.0.0', consent => { default_consent_levels => [1] },
		encryption => { batch_job_group_id => '35ced9a7-413f-49e8-9320-d17ebbc7e2d2', timestamp_config => { field => 'at', format => 'yyyy-MM-dd HH:mm:ss', default_time_zone => { id => 'UTC' } } },
		derived_data => [ { target => $target, consent_levels => [1] } ], %more };
}
sub run_job
{
	my ($job, $before) = @_;
	my $text = $json->encode($job);
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n" . ($before // '') . "CALL strm.run_batch_job(\$job\$$text\$job\$)", on_error_stop => 0);
	my ($error) = $err =~ /ERROR:  (.*?)(?=\nLOCATION|\nCONTEXT|\z)/s;
	return $error // '';
}
sub succeeds { my ($what, @job) = @_; return is(run_job(job(@job)), '', $what) }
sub fails { my ($what, $pattern, @job) = @_; return like(run_job(job(@job)), $pattern, $what) }

# Two files: one that fits into one request, and one of three parts.
sub rows { my ($n) = @_; return "at,id,page\r\n" . join('', map { sprintf "2024-01-01 00:%02d:00,visitor-%d,%s\r\n", $_ % 60, $_ % 7, "page $_ " . 'x' x 250 } 1 .. $n) }
append_to_file("$dir/small.csv", rows(10));
append_to_file("$dir/big.csv", rows(40_000));
my ($small, $big) = (place('files', 'small.csv'), place('files', 'big.csv'));
my %expected;
for my $name (qw(small big))
{
	succeeds("$name: from directory to directory", place('files', "$name.csv"), place('files', "$name.out"));
	$expected{$name} = slurp_file("$dir/$name.out");
}
cmp_ok(length $expected{big}, '>', 11 * 1024 * 1024, 'the big one takes three parts');

sub same_file { my ($name, $what) = @_; my $same = slurp_file("$dir/$name") eq $expected{ $name =~ /small/ ? 'small' : 'big' }; return ok($same, $what) }
sub same_object { my ($path, $which, $what) = @_; my $got = get_object($path); return ok(defined $got && $got eq $expected{$which}, $what) }

# --- a store that misbehaves: what is overcome ---

is(connector('bad', 's3', { bucketName => 'cold', endpoint => "http://127.0.0.1:$port" }, key('KEY', 'planted-secret')), '', 'a connector to the store that misbehaves');
for my $mischief (qw(good 503 500 later cutput lostput region unconditional))
{
	succeeds("$mischief: one request", $small, place('bad', "$mischief/small.csv"));
	same_object("cold/$mischief/small.csv", 'small', "$mischief: the object is what it should be");
	fails("$mischief: it is not replaced", qr/^22023: .*"$mischief\/small.csv" exists in data connector "bad"/s, $small, place('bad', "$mischief/small.csv"));
}
for my $mischief (qw(good 503 500 cutput lostput lostcomplete error200 region unconditional))
{
	succeeds("$mischief: parts", $big, place('bad', "$mischief/big.csv"));
	same_object("cold/$mischief/big.csv", 'big', "$mischief: the object of parts is what it should be");
}
is(uploads(), 0, 'no upload is left open');
is(headers_of('cold/good/big.csv'), '', 'nothing is said about encryption at rest when nobody asks for it');
is(connector('sse', 's3', { bucketName => 'sealed', endpoint => "http://127.0.0.1:$port", serverSideEncryption => 'AES256' }, key('KEY', 'planted-secret')), '', 'a connector that asks for encryption at rest');
is(connector('kms', 's3', { bucketName => 'sealed', endpoint => "http://127.0.0.1:$port", serverSideEncryption => 'aws:kms', kmsKeyId => 'alias/ours' }, key('KEY', 'planted-secret')), '', 'and one with a key');
for my $case ([ $small, 'small' ], [ $big, 'big' ])
{
	my ($source, $size) = @$case;
	succeeds("$size: written with encryption at rest", $source, place($_, "good/$_-$size.csv")) for 'sse', 'kms';
	is(headers_of("sealed/good/sse-$size.csv"), 'x_amz_server_side_encryption=AES256', "$size: it is asked of the store");
	is(headers_of("sealed/good/kms-$size.csv"), 'x_amz_server_side_encryption=aws:kms x_amz_server_side_encryption_aws_kms_key_id=alias/ours', "$size: with the key");
}
succeeds('an object is replaced when that is asked for', $small, place('bad', 'good/big.csv', overwrite => JSON::PP::true));
same_object('cold/good/big.csv', 'small', 'and then it is the new one');
cmp_ok(requests(qr/"PUT", "\/cold\/cutput\/big.csv\?partNumber=1/), '==', 2, 'only the part that broke is sent again');

for my $mischief (qw(good 503 cutget stallget region))
{
	put_object("cold/$mischief/in.csv", rows(40_000));
	succeeds("$mischief: reading", place('bad', "$mischief/in.csv"), place('files', "$mischief.big"));
	same_file("$mischief.big", "$mischief: every byte is read once");
}
cmp_ok(requests(qr/"GET", "\/cold\/cutget\/in.csv", 206/), '>', 3, 'by going on where it broke');

# --- a store that misbehaves: what is an error, and leaves nothing ---

sub leaves_nothing
{
	my ($what, $path) = @_;
	return is_deeply([ get_object("cold/$path"), uploads() ], [ undef, 0 ], "$what: nothing is left");
}
my %errors = (
	redirect => qr/the store answered 307, and redirects are not followed/,
	headers => qr/the headers of the answer are too large/,
	hugeerror => qr/could not look for "hugeerror\/small.csv" of data connector "bad": the answer is too large$/m,
	garbage => qr/could not look for "garbage\/small.csv" of data connector "bad": .*HTTP/,
	down => qr/the store answered 503( ServiceUnavailable)?$/m,
	leak => qr/the store answered 403\. Check the data connector's credentials, and what they are allowed\.$/m,
	stall => qr/the server does not answer any more/,
);
for my $mischief (sort keys %errors)
{
	fails("$mischief is an error", $errors{$mischief}, $small, place('bad', "$mischief/small.csv"));
	leaves_nothing($mischief, "$mischief/small.csv");
}
for my $size (qw(small big))
{
	fails("$size: an object that another one wrote meanwhile is not replaced", qr/^42710: could not write "race\/$size.csv" .*the store answered 412 PreconditionFailed$/m,
		place('files', "$size.csv"), place('bad', "race/$size.csv"));
	is_deeply([ get_object("cold/race/$size.csv"), uploads() ], [ "another's", 0 ], "$size: and not deleted");
}
fails('a completion that fails in spite of 200', qr/^58030: .*the store answered 200 InternalError/, $big, place('bad', 'errors200/big.csv'));
leaves_nothing('a completion that fails', 'errors200/big.csv');

put_object("cold/$_/in.csv", rows(40_000)) for qw(cutchanged cutgone tooshort stall);
fails('an object that changes while it is read', qr/^55000: "cutchanged\/in.csv" of data connector "bad" was changed while it was read/,
	place('bad', 'cutchanged/in.csv'), place('bad', 'good/changed.csv'));
leaves_nothing('an object that changes', 'good/changed.csv');
fails('an object that vanishes while it is read', qr/^58P01: could not read "cutgone\/in.csv" .*404 NoSuchKey/s, place('bad', 'cutgone/in.csv'), place('bad', 'good/gone.csv'));
leaves_nothing('an object that vanishes', 'good/gone.csv');
fails('an object that is not there', qr/there is no "good\/nothing.csv" in data connector "bad"/, place('bad', 'good/nothing.csv'), place('bad', 'good/nothing.out'));
like(run_job(job(place('bad', 'stall/in.csv'), place('files', 'canceled.csv')), "SET statement_timeout = '500ms';\n"), qr/^57014: /, 'waiting for a store can be canceled');
ok(!-e "$dir/canceled.csv", 'and leaves nothing');

# --- a process that dies ---

# An upload is open while the source stalls: the one who wrote it cannot take it away any more.
put_object('cold/stallget/long.csv', rows(90_000));
my $queued = $json->encode(job(place('bad', 'stallget/long.csv'), place('bad', 'good/died.csv')));
my $id = $node->safe_psql('postgres', "SELECT strm.create_batch_job(\$job\$$queued\$job\$)");
strm_wait(sub { uploads() });
is(uploads(), 1, 'an upload is open');
kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM strm.workers WHERE kind = 'job' AND what LIKE '%$id'");
strm_wait(sub { !uploads() });
leaves_nothing('a worker that was killed', 'good/died.csv');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM strm.batch_job_intent"), 'and nothing is left to be done');
is($node->safe_psql('postgres', "SELECT state FROM strm.batch_job WHERE id = '$id'"), 'ERROR', 'the job has failed');

# --- what is never reached ---

$node->safe_psql('postgres', 'CREATE ROLE member IN ROLE strm_member, strm_approver');
is(connector('metadata', 's3', { bucketName => 'cold', endpoint => 'https://169.254.169.254' }, key('K', 'S')), '', 'a connector to a metadata service');
fails('a link-local address is refused, even to a superuser', qr/its address is link-local/s, $small, place('metadata', 'x.csv'));
is(connector('agent', 's3', { bucketName => 'cold', endpoint => 'https://100.100.100.200' }, key('K', 'S')), '', "a connector to a cloud's agent");
fails('nor are metadata services at other addresses', qr/its address is that of a metadata service/s, $small, place('agent', 'x.csv'));
is(connector('local', 's3', { bucketName => 'cold', endpoint => "https://localhost:$port" }, key('K', 'S'), 'member'), '', "a member's connector to this machine");
fails('the own machine is refused to a connector of a member', qr/its address is this machine's own/s, $small, place('local', 'x.csv'));
like(connector('plain', 's3', { bucketName => 'cold', endpoint => "http://localhost:$port" }, key('K', 'S'), 'member'), qr/22023: .*plain http/s, 'plain http is refused to a member');
like(connector('plain', 's3', { bucketName => 'cold', endpoint => 'http://10.0.0.1' }, key('K', 'S')), qr/22023: .*plain http/s, 'and to everybody, for another machine');
like(connector('faults', 's3', { bucketName => 'C', region => 'a b', serverSideEncryption => 'x', kmsKeyId => 'k', assumeRoleArn => 'r', more => 1 }, { AccessKey => { AccessKeyId => '' } }),
	qr/unknown member "more".*bucketName.*region.*serverSideEncryption.*kmsKeyId.*assumeRoleArn.*AccessKeyId.*SecretAccessKey/s, 'all faults of a definition are reported at once');

# --- TLS ---

system("cd $root && openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out ca.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null && cat ca.pem tls.key >tls.pem") == 0 or die 'openssl';
my ($tls, $tls_port) = strm_bad_store($root, 'tls', '', "$root/tls.pem");
connector('tls', 's3', { bucketName => 'cold', endpoint => "https://localhost:$tls_port" }, key('K', 'S'));
connector('tls-name', 's3', { bucketName => 'cold', endpoint => "https://127.0.0.1:$tls_port" }, key('K', 'S'));
fails('a certificate that nobody vouches for is refused', qr/certificate/is, $small, place('tls', 'x.csv'));
$node->append_conf('postgresql.conf', "strm_privacy.connector_ca_file = '$root/ca.pem'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('strm_privacy.connector_ca_file') <> ''");
succeeds('connector_ca_file vouches for it', $small, place('tls', 'x.csv'));
fails('but not under another name', qr/certificate/is, $small, place('tls-name', 'y.csv'));

# --- gcs ---

my %account = (type => 'service_account', project_id => 'p', private_key_id => 'k', client_email => 'test@example.invalid', token_uri => "http://127.0.0.1:$port/token");
my %google = (bucketName => 'google', endpoint => "http://127.0.0.1:$port");
is(connector('account', 'gcs', \%google, { %account, private_key => $pem }), '', "a service account's file");
connector('account-key', 'gcs', \%google, { %account, private_key => $other_pem });
connector('account-name', 'gcs', \%google, { %account, private_key => $pem, client_email => 'other@example.invalid' });
connector('hmac', 'gcs', { %google, bucketName => 'cold' }, key('GOOG1', 'planted-secret'));
for my $name (qw(account hmac))
{
	succeeds("$name: one request", $small, place($name, "$name/small.csv"));
	succeeds("$name: parts", $big, place($name, "$name/big.csv"));
	fails("$name: it is not replaced", qr/^22023: .*exists in data connector/s, $small, place($name, "$name/big.csv"));
	succeeds("$name: reading", place($name, "$name/big.csv"), place('files', "$name.big"));
	same_file("$name.big", "$name: every byte is read");
}
cmp_ok(requests(qr/"\/token", 200/) * 2, '<', requests(qr/"\/google\//), 'a token is used more than once');
succeeds('a token that expires early is fetched again', $big, place('account', 'expired/big.csv'));
same_object('google/expired/big.csv', 'big', 'and the object is what it should be');
fails('another private key is refused', qr/could not log in to data connector "account-key": the server answered 400 invalid_grant/, $small, place('account-key', 'x.csv'));
fails('another account, too', qr/could not log in to data connector "account-name"/, $small, place('account-name', 'x.csv'));
like(connector('faults', 'gcs', { endpoint => 'ftp://x' }, { type => 'user', private_key => 'x' }), qr/bucketName.*endpoint.*type.*clientEmail.*privateKey/s, 'all faults of a definition');

# --- stores that check signatures ---

sub round_trip
{
	my ($connector, $folder, @sizes) = @_;
	$folder .= "/$$";	# the stores may have served another run
	for my $size (@sizes)
	{
		succeeds("$connector: $size, writing", place('files', "$size.csv"), place($connector, "$folder/$size.out"));
		fails("$connector: $size, it is not replaced", qr/^22023: .*exists in data connector/s, $small, place($connector, "$folder/$size.out"));
		succeeds("$connector: $size, reading", place($connector, "$folder/$size.out"), place('files', "$connector.$size", overwrite => JSON::PP::true));
		same_file("$connector.$size", "$connector: $size, it comes back as it was");
	}
	return;
}
SKIP:
{
	skip('radosgw does not run here', 1) if !$ENV{STRM_RADOSGW};
	my %location = (bucketName => 'cold', endpoint => $ENV{STRM_RADOSGW});
	my @key = @ENV{qw(STRM_RADOSGW_KEY STRM_RADOSGW_SECRET)};
	connector('radosgw', 's3', \%location, key(@key));
	connector('radosgw-secret', 's3', \%location, key($key[0], "$key[1]x"));
	connector('radosgw-key', 's3', \%location, key('nobody', $key[1]));
	connector('radosgw-bucket', 's3', { %location, bucketName => 'nowhere' }, key(@key));
	round_trip('radosgw', 'a~b-c.d_e', 'small');
	fails('radosgw: a wrong secret', qr/403 SignatureDoesNotMatch/s, $small, place('radosgw-secret', 'x.csv'));
	fails('radosgw: an unknown key', qr/403 InvalidAccessKeyId/s, $small, place('radosgw-key', 'x.csv'));
	fails('radosgw: an unknown bucket', qr/404 NoSuchBucket/s, $small, place('radosgw-bucket', 'x.csv'));
}
SKIP:
{
	skip('moto does not run here', 1) if !$ENV{STRM_MOTO};
	my %location = (bucketName => 'cold', endpoint => $ENV{STRM_MOTO});
	my @all = @ENV{qw(STRM_MOTO_ALL_KEY STRM_MOTO_ALL_SECRET)};
	my @least = @ENV{qw(STRM_MOTO_LEAST_KEY STRM_MOTO_LEAST_SECRET)};
	connector('moto', 's3', { %location, serverSideEncryption => 'AES256' }, key(@all));
	connector('moto-secret', 's3', \%location, key($all[0], 'planted-secret'));
	connector('moto-token', 's3', \%location, key(@all, SessionToken => 'expired'));
	connector('moto-least', 's3', \%location, key(@least));
	connector('moto-role', 's3', { %location, assumeRoleArn => $ENV{STRM_MOTO_ROLE}, stsEndpoint => $ENV{STRM_MOTO} }, key(@all));
	connector('moto-norole', 's3', { %location, assumeRoleArn => $ENV{STRM_MOTO_ROLE}, stsEndpoint => $ENV{STRM_MOTO} }, key($all[0], 'planted-secret'));
	round_trip('moto', 'm', 'small', 'big');
	round_trip('moto-role', 'role', 'small');
	round_trip('moto-least', 'least', 'small', 'big');
	fails('moto: a wrong secret', qr/403 SignatureDoesNotMatch/s, $small, place('moto-secret', 'x.csv'));
	fails('moto: a token that is not valid', qr/400 InvalidToken/s, $small, place('moto-token', 'x.csv'));
	fails('moto: outside of what is allowed', qr/403 AccessDenied/s, $small, place('moto-least', 'elsewhere/x.csv'));
	fails('moto: a role that is refused', qr/could not assume the role of data connector "moto-norole"/, $small, place('moto-norole', 'x.csv'));
}

my $log = slurp_file($node->logfile);
ok($log !~ /planted-secret|Signature=|ya29\.|BEGIN (RSA )?PRIVATE/, 'no secret, signature or token is in the server log');
done_testing();
