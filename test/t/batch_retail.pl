# Real input: the Online Retail data set (541,909 rows of invoices) through batch jobs of one group, with an encrypted, a keys and
# two derived outputs on every kind of data connector. The outputs of kind directory are compared with the source, row by row and
# ciphertext by ciphertext, in a table and by Tink; those of all others with the ones of kind directory. Skipped where the data
# set is not there; a store that does not run here is skipped by name.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmPartners;
use StrmTest;
use Test::More;
use Time::HiRes qw(time usleep);

my $data = strm_shared_file('online_retail.csv.xz');
plan skip_all => 'there is no shared/data/online_retail.csv.xz' if !defined $data;

my ($rows, $keys) = (541909, 19573);
my $root = PostgreSQL::Test::Utils::tempdir();
my $dir = "$root/d";
mkdir $dir or die $!;
system("xz -dc '$data' > '$dir/retail.csv'") == 0 or die 'xz';
my $source = slurp_file("$dir/retail.csv");
my $node = strm_node('retail', conf => "fsync = off\nmax_wal_size = 4GB\nwork_mem = '256MB'\nlog_statement = none\nmax_parallel_workers_per_gather = 0\nenable_nestloop = off\n"
	. "strm_privacy.connector_directory = '$root'\nstrm_privacy.connector_timeout = 60\n");
sub value { return $node->safe_psql('postgres', $_[0]) }

value(q{CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'Sales'), strm.create_purpose(2, 'Regions');
SELECT strm.create_data_connector('files', 'directory', '{"path": "d"}')});
my @fields = ([ 'CustomerID', 'STRING', 1, 'required' ], [ 'InvoiceNo', 'STRING' ], [ 'StockCode', 'STRING' ], [ 'Description', 'STRING' ], [ 'Quantity', 'INTEGER' ],
	[ 'InvoiceDate', 'STRING' ], [ 'UnitPrice', 'FLOAT' ], [ 'Country', 'STRING', 2 ]);
strm_contract($node, 'acme/online-retail/1.0.0', \@fields, '"dataSubjectField": "CustomerID"');

# --- jobs ---

# Consent as Country has it: nobody in Germany consented, those in the United Kingdom to both purposes, all others to the first one.
my $group = '3a0f6ad8-34a1-4a4c-9a3e-5b7c90d6a001';
my $json = JSON::PP->new->utf8->canonical;
my $seed = 'hi-there';
my @outputs = qw(encrypted keys sales regions);

# A job from a place to the places of its outputs.
sub job
{
	my ($from, %to) = @_;
	return { source_data => $from, data_contract_ref => 'acme/online-retail/1.0.0',
		consent => { default_consent_levels => [1], consent_level_extractor => { field => 'Country',
			field_patterns => { 'United Kingdom' => { consent_levels => [ 1, 2 ] }, Germany => { consent_levels => [] } } } },
		encryption => { batch_job_group_id => $group, timestamp_config => { field => 'InvoiceDate', format => 'yyyy-MM-dd HH:mm:ss', default_time_zone => { id => 'Europe/Amsterdam' } } },
		encrypted_data => { target => $to{encrypted} }, encryption_keys_data => { target => $to{keys} },
		derived_data => [ { target => $to{sales}, consent_levels => [1] },
			{ target => $to{regions}, consent_levels => [2], consent_level_type => 'CUMULATIVE',
				masked_fields => { hash_type => 'MURMUR3', seed => $seed, field_patterns => { 'acme/online-retail/1.0.0' => { field_patterns => ['CustomerID'] } } } } ] };
}
sub place { my ($connector, $file) = @_; return { data_connector_ref => { name => $connector }, path_prefix => $connector, file_name => $file } }
sub places { my ($connector) = @_; return map { $_ => place($connector, "$_.csv") } @outputs }

# Bytes that process pid has for itself; undef when it has ended.
sub own_memory
{
	my ($pid) = @_;
	open my $in, '<', "/proc/$pid/status" or return undef;
	local $/;
	return (<$in> // '') =~ /^RssAnon:\s+(\d+) kB/m ? 1024 * $1 : undef;
}

# Runs the job to its end, and tells how long that took and how much memory the job worker had at most.
sub succeeds
{
	my ($what, $job, $small) = @_;
	my ($pid, $peak, $start) = (undef, 0, time);
	append_to_file("$root/job.sql", 'CALL strm.run_batch_job($job$' . $json->encode($job) . '$job$)');
	my $client = strm_start("$root/job.log", 'psql', '-Xqv', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$root/job.sql");
	while (waitpid($client, WNOHANG) == 0)
	{
		my $memory = $pid ? own_memory($pid) : undef;
		$pid = value(q{SELECT pid FROM strm.workers WHERE kind = 'job' LIMIT 1}) if !defined $memory;
		$peak = $memory if defined $memory && $memory > $peak;
		usleep(10_000);
	}
	my ($good, $err) = ($? == 0, slurp_file("$root/job.log"));
	unlink "$root/job.sql";
	my $seconds = time - $start;
	ok($good, "$what: the job succeeds") or diag($err);
	note(sprintf '%s: %.1f s, %.1f MiB', $what, $seconds, $peak / 1048576);
	return $good if $small;
	ok($peak > 0 && $peak <= 64 * 1048576 + 300 * $keys, "$what: with no more than 64 MiB and its cache of keys") or diag(sprintf '%.1f MiB', $peak / 1048576);
	return $good;
}

# Compares the outputs in a store with those of kind directory, byte for byte; get gives the answer to a request for one.
my %sha;
sub same_outputs
{
	my ($what, $get, %expected) = @_;
	%expected = %sha if !%expected;
	for my $output (@outputs)
	{
		next if !defined $expected{$output};
		my $answer = $get->("$output.csv");
		ok($answer->{success} && sha256_hex($answer->{content}) eq $expected{$output}, "$what: $output, byte for byte") or diag("$answer->{status} " . length $answer->{content});
	}
	return;
}

# Loads a file into a new table of text columns, whose names are those of its first line in lower case, and n, the number of the row;
# a view shows it without n, and with the names as they are.
sub load
{
	my ($server, $database, $table, $file, $more) = @_;
	my ($header) = slurp_file($file) =~ /^([^\r\n]*)/;
	my @names = map { s/"//gr } split /,/, $header;
	my @columns = map { '"' . lc($_) . '"' } @names;
	my $columns = join ', ', @columns;
	my $definitions = join ', ', map { "$_ text" } @columns;
	my $shown = join ', ', map { "$columns[$_] AS \"$names[$_]\"" } 0 .. $#names;
	$server->safe_psql($database, "CREATE TABLE $table ($definitions, n bigserial); CREATE VIEW ${table}_rows AS SELECT $shown FROM $table;
		COPY $table ($columns) FROM '$file' (FORMAT csv, HEADER" . ($more // '') . ')');
	return;
}

# What a table has, in whatever order.
sub content
{
	my ($server, $database, $table) = @_;
	return $server->safe_psql($database, "SELECT count(*) || ' ' || sum(hashtextextended(t::text, 0)) FROM $table AS t");
}

# Rows of the output, and how many of them are not as the consenting rows of the source in the same order, compared by the expressions.
sub compared
{
	my ($output, $consenting, @expressions) = @_;
	my ($of_source, $of_output) = map { my $side = $_; join ', ', map { s/\$/$side/gr } @expressions } 's', 'o';
	return value("SELECT count(o.n) || ' ' || count(*) FILTER (WHERE s.n IS NULL OR o.n IS NULL OR ROW($of_source) IS DISTINCT FROM ROW($of_output))
		FROM (SELECT row_number() OVER (ORDER BY n) AS place, * FROM retail WHERE $consenting) AS s
		FULL JOIN out_$output AS o ON o.n = s.place");
}

# --- kind directory, and that its outputs are right ---

succeeds('directory', job({ data_connector_ref => { name => 'files' }, file_name => 'retail.csv' }, places('files')));
%sha = map { $_ => sha256_hex(slurp_file("$dir/files/$_.csv")) } @outputs;
load($node, 'postgres', 'retail', "$dir/retail.csv", ', FORCE_NOT_NULL (customerid, description)');
load($node, 'postgres', "out_$_", "$dir/files/$_.csv") for @outputs;
value('ANALYZE');

my @same = map { "\$.$_" } qw(invoiceno stockcode description quantity invoicedate unitprice);
my $levels = q{CASE country WHEN 'United Kingdom' THEN '[1,2]' WHEN 'Germany' THEN '[]' ELSE '[1]' END};
is(value('SELECT count(*) FROM retail'), $rows, 'the file is the one that this test is about');
is(compared('encrypted', 'true', @same), "$rows 0", 'encrypted: every row, what is not personal as in the source');
is(value(qq{SELECT count(*) FROM retail AS s JOIN out_encrypted AS o USING (n)
	WHERE o."strmmeta.consentlevels" IS DISTINCT FROM } . $levels =~ s/country/s.country/r . q{ OR o."strmmeta.timestamp" IS DISTINCT FROM
	(1000 * extract(epoch FROM s.invoicedate::timestamp AT TIME ZONE 'Europe/Amsterdam'))::int8::text OR o."strmmeta.eventcontractref" <> 'acme/online-retail/1.0.0'}),
	0, 'encrypted: with their consent and times');
is(value(q{SELECT count(*) FROM out_encrypted WHERE customerid !~ '^A[Q-f][A-Za-z0-9+/]{26,}=*$' OR country !~ '^A[Q-f][A-Za-z0-9+/]{26,}=*$'}), 0, 'encrypted: no personal value in clear');
is(value('SELECT count(DISTINCT "strmmeta.keylink") FROM out_encrypted'), $keys, "encrypted: $keys key links");
is(value('SELECT count(*), count(DISTINCT keylink), count(DISTINCT encryptionkey) FROM out_keys'), "$keys|$keys|$keys", 'keys: one for each');
is(value('SELECT count(*) FROM out_keys AS k WHERE NOT EXISTS (SELECT FROM out_encrypted WHERE "strmmeta.keylink" = k.keylink)'), 0, 'keys: of these links');
is(value(q{SELECT count(*) FROM (SELECT "strmmeta.keylink" FROM retail AS s
	JOIN out_encrypted AS o USING (n)
	GROUP BY 1 HAVING count(DISTINCT (s.customerid, (s.invoicedate::timestamp AT TIME ZONE 'Europe/Amsterdam' AT TIME ZONE 'UTC')::date)) <> 1) AS l}), 0, 'keys: each of one customer and day');

my ($to_one, $to_two) = (q{country <> 'Germany'}, q{country = 'United Kingdom'});
my ($one, $two) = map { value("SELECT count(*) FROM retail WHERE $_") } $to_one, $to_two;
cmp_ok($one, '<', $rows, 'not everybody consents');
is(compared('sales', $to_one, '$.customerid', @same), "$one 0", 'GRANULAR: the consenting rows, as in the source');
is(value(qq{SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY n) AS place, country FROM out_encrypted WHERE "strmmeta.consentlevels" <> '[]') AS e
	FULL JOIN out_sales AS o ON o.n = e.place WHERE e.country IS DISTINCT FROM o.country}), 0, 'GRANULAR: other fields stay encrypted');
is(compared('regions', $to_two, '$.country', @same), "$two 0", 'CUMULATIVE: the consenting rows, as in the source');

# --- masks ---

# MurmurHash3 for x64 with 128 bits of the seed and the value, as two numbers in hex without leading zeroes.
sub mask
{
	my ($seed, $value) = @_;
	use integer;
	no warnings 'portable';
	my ($c1, $c2, $h1, $h2) = (0x87c37b91114253d5, 0x4cf5ad432745937f, 0, 0);
	my $text = $seed . $value;
	my $rotate = sub { my ($x, $n) = @_; return ($x << $n) | (($x >> (64 - $n)) & ((1 << $n) - 1)) };
	my $end = sub {
		my ($x) = @_;
		for my $factor (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53, 1) { $x ^= ($x >> 33) & 0x7fffffff; $x *= $factor }
		return $x;
	};
	for (my $at = 0; $at < length $text; $at += 16)
	{
		my ($k1, $k2) = unpack 'q<2', substr($text, $at, 16) . "\0" x 16;
		$h1 ^= $rotate->($k1 * $c1, 31) * $c2;
		$h2 ^= $rotate->($k2 * $c2, 33) * $c1, last if $at + 16 > length $text;
		$h1 = ($rotate->($h1, 27) + $h2) * 5 + 0x52dce729;
		$h2 ^= $rotate->($k2 * $c2, 33) * $c1;
		$h2 = ($rotate->($h2, 31) + $h1) * 5 + 0x38495ab5;
	}
	$_ ^= length $text for $h1, $h2;
	$h1 += $h2;
	$h2 += $h1;
	($h1, $h2) = map { $end->($_) } $h1, $h2;
	$h1 += $h2;
	$h2 += $h1;
	no integer;
	return sprintf '%x%x', $h1, $h2;
}
# what STRM's documentation shows
is(join(' ', map { mask($seed, $_) } qw(unique-5 session-273 sensitive-0 not-sensitive-6)),
	'1083e8169d7138e990cc30095578452 7cc66d130664caa9efacda1026c1c44 e49bd309eed4a5094437a71ac2bc1cad 538ad30b2aa2781e855c4eb059cf68a3', 'masks as documented');
my @customers = split /\n/, value('SELECT DISTINCT customerid FROM retail'), -1;
append_to_file("$root/masks.csv", join '', map { "\"$_\"," . mask($seed, $_) . "\n" } @customers);
value("CREATE TABLE mask (customerid text PRIMARY KEY, mask text); COPY mask FROM '$root/masks.csv' (FORMAT csv)");
is(value(qq{SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY n) AS place, mask FROM retail JOIN mask USING (customerid) WHERE $to_two) AS s
	JOIN out_regions AS o ON o.n = s.place WHERE mask = o.customerid}), $two, 'masked values are the masks of the values');

# --- every ciphertext in Tink: once for each key and ciphertext, as equal ones are decrypted alike ---

SKIP:
{
	my $pairs = value(q{SELECT encryptionkey || E'\t' || c FROM (SELECT DISTINCT "strmmeta.keylink" AS keylink, c FROM out_encrypted, LATERAL (VALUES (customerid), (country)) AS v (c)) AS d
		JOIN out_keys USING (keylink)});
	my $start = time;
	my ($first, @answers) = strm_tink("$pairs\n");
	skip("no Tink library: $answers[0]", 3) if !defined $first;
	unshift @answers, $first;
	my @pairs = split /\n/, $pairs;
	note(sprintf 'Tink: %.1f s, %d ciphertexts', time - $start, scalar @pairs);
	is(scalar @answers, scalar @pairs, 'Tink answers');
	is(scalar(grep { $answers[$_] !~ /\t\Q${\ ($pairs[$_] =~ s{.*\t}{}r)}\E\z/ } 0 .. $#pairs), 0, 'Tink encrypts to the same bytes');
	append_to_file("$root/tink", join '', map { "$pairs[$_]\t" . ($answers[$_] =~ s/\t.*//r) . "\n" } 0 .. $#pairs);
	value("CREATE TABLE tink (encryptionkey text, cipher text, plain text); COPY tink FROM '$root/tink' (FORMAT csv, DELIMITER E'\\t', QUOTE E'\\b', FORCE_NOT_NULL (plain));
		CREATE TABLE decrypted AS SELECT keylink, cipher, convert_from(decode(plain, 'base64'), 'UTF8') AS plain FROM tink JOIN out_keys USING (encryptionkey);
		ANALYZE decrypted");
	is(value(q{SELECT count(*) FROM retail AS s JOIN out_encrypted AS o USING (n)
		JOIN decrypted AS c ON c.keylink = o."strmmeta.keylink" AND c.cipher = o.customerid JOIN decrypted AS d ON d.keylink = o."strmmeta.keylink" AND d.cipher = o.country
		WHERE c.plain = s.customerid AND d.plain = s.country}), $rows, 'Tink decrypts all of them to what is in the source');
}

# --- stores ---

sub connector
{
	my ($name, $kind, $location, $credentials) = @_;
	my ($l, $c) = map { $json->encode($_) } $location, $credentials;
	value("SELECT strm.create_data_connector('$name', '$kind', \$j\$$l\$j\$, \$j\$$c\$j\$)");
	return;
}

SKIP:
{
	skip('moto does not run here', 6) if !$ENV{STRM_MOTO};
	my @key = @ENV{qw(STRM_MOTO_ALL_KEY STRM_MOTO_ALL_SECRET)};
	my $folder = "moto-$$";		# it may have served another run
	connector($folder, 's3', { bucketName => 'cold', endpoint => $ENV{STRM_MOTO} }, { AccessKey => { AccessKeyId => $key[0], SecretAccessKey => $key[1] } });
	my $answer = strm_s3_request($ENV{STRM_MOTO}, @key, 'PUT', "cold/$folder/retail.csv", $source);
	die $answer->{status} if !$answer->{success};
	succeeds('moto', job(place($folder, 'retail.csv'), places($folder)));
	same_outputs('moto', sub { strm_s3_request($ENV{STRM_MOTO}, @key, 'GET', "cold/$folder/$_[0]") });
	strm_s3_request($ENV{STRM_MOTO}, @key, 'DELETE', "cold/$folder/$_.csv") for 'retail', @outputs;
}

# radosgw takes single requests only with the storage that it has here (see test/partners/object_stores), so each output must be of one part:
# the first rows, whose outputs are the beginnings of those of all rows.
SKIP:
{
	skip('radosgw does not run here', 6) if !$ENV{STRM_RADOSGW};
	my @key = @ENV{qw(STRM_RADOSGW_KEY STRM_RADOSGW_SECRET)};
	my $folder = "radosgw-$$";
	my $head = sub { my ($text, $lines) = @_; return $text =~ /\A((?:[^\n]*\n){$lines})/ ? $1 : die "not $lines lines" };
	my $first = $head->($source, 12001);
	connector($folder, 's3', { bucketName => 'cold', endpoint => $ENV{STRM_RADOSGW} }, { AccessKey => { AccessKeyId => $key[0], SecretAccessKey => $key[1] } });
	my $answer = strm_s3_request($ENV{STRM_RADOSGW}, @key, 'PUT', "cold/$folder/retail.csv", $first);
	die $answer->{status} if !$answer->{success};
	succeeds('radosgw', job(place($folder, 'retail.csv'), places($folder)), 'small');
	my %lines = map { my ($output, $consenting) = @$_; $output => value("SELECT count(*) FROM (SELECT country FROM retail ORDER BY n LIMIT 12000) AS r WHERE $consenting") }
		[ 'encrypted', 'true' ], [ 'sales', $to_one ], [ 'regions', $to_two ];
	my %begin = map { $_ => $head->(slurp_file("$dir/files/$_.csv"), 1 + $lines{$_}) } keys %lines;
	is(scalar(grep { length > 5 * 1024 * 1024 } values %begin), 0, 'radosgw: no output has several parts');
	same_outputs('radosgw', sub { strm_s3_request($ENV{STRM_RADOSGW}, @key, 'GET', "cold/$folder/$_[0]") }, map { $_ => sha256_hex($begin{$_}) } keys %begin);
	my $links = value('SELECT count(DISTINCT "strmmeta.keylink") FROM (SELECT "strmmeta.keylink" FROM out_encrypted ORDER BY n LIMIT 12000) AS o');
	is(scalar(() = strm_s3_request($ENV{STRM_RADOSGW}, @key, 'GET', "cold/$folder/keys.csv")->{content} =~ /\n/g), 1 + $links, 'radosgw: keys of these rows only');
}

SKIP:
{
	my $port = strm_azurite($root);
	skip('there is no Azurite, and no npm that could install it', 6) if !defined $port;
	connector('azure', 'azure', { storageAccountUri => "http://127.0.0.1:$port/$azure_account", containerName => 'box' }, { sharedKey => { accountName => $azure_account, accountKey => $azure_key } });
	my $answer = strm_azure_request($port, 'PUT', 'box/azure/retail.csv', '', $source, 'x-ms-blob-type' => 'BlockBlob');
	die $answer->{status} if !$answer->{success};
	succeeds('azure', job(place('azure', 'retail.csv'), places('azure')));
	same_outputs('azure', sub { strm_azure_request($port, 'GET', "box/azure/$_[0]", '') });
}

SKIP:
{
	skip('there is no python3 for a store', 6) if !defined $python;
	my ($pem, $public) = strm_rsa_key($root, 'account');
	my ($store, $port) = strm_bad_store($root, 'store', $public);
	my $http = HTTP::Tiny->new(timeout => 120);
	connector('gcs', 'gcs', { bucketName => 'google', endpoint => "http://127.0.0.1:$port" }, { type => 'service_account', project_id => 'p', private_key_id => 'k',
		client_email => 'test@example.invalid', token_uri => "http://127.0.0.1:$port/token", private_key => $pem });
	die if !$http->put("http://127.0.0.1:$port/-/object/google/gcs/retail.csv", { content => $source })->{success};
	succeeds('gcs', job(place('gcs', 'retail.csv'), places('gcs')));
	same_outputs('gcs', sub { $http->get("http://127.0.0.1:$port/-/object/google/gcs/$_[0]") });
}

# --- databases ---

my %content = map { $_ => content($node, 'postgres', "out_${_}_rows") } @outputs;

# keys are not written into this database
succeeds('this database', job({ table => 'retail_rows' }, (map { $_ => { table => "own_$_" } } @outputs), keys => place('files', 'own_keys.csv')));
is(content($node, 'postgres', "own_$_"), $content{$_}, "this database: $_, row by row") for grep { $_ ne 'keys' } @outputs;
is(sha256_hex(slurp_file("$dir/files/own_keys.csv")), $sha{keys}, 'this database: the keys beside it');

my ($shop, $tls) = strm_password_server('shop', $root);
SKIP:
{
	skip('there is no openssl', 6) if !$tls;
	$shop->safe_psql('postgres', $_) for "CREATE ROLE app LOGIN PASSWORD 'open sesame'", 'CREATE DATABASE shop OWNER app', 'ALTER SYSTEM SET max_wal_size = 4096', 'SELECT pg_reload_conf()';
	load($shop, 'shop', 'retail', "$dir/retail.csv", ', FORCE_NOT_NULL (customerid, description)');
	$shop->safe_psql('shop', 'GRANT SELECT ON retail_rows TO app');
	$node->append_conf('postgresql.conf', "strm_privacy.connector_ca_file = '$root/ca.crt'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('strm_privacy.connector_ca_file') <> ''") or die;
	connector('shop', 'database', { uri => 'postgresql://localhost:' . $shop->port . '/shop?sslmode=verify-full' }, { username => 'app', password => 'open sesame' });
	succeeds('another database', job({ data_connector_ref => { name => 'shop' }, table => 'retail_rows' }, map { $_ => { data_connector_ref => { name => 'shop' }, table => "far_$_" } } @outputs));
	is(content($shop, 'shop', "far_$_"), $content{$_}, "another database: $_, row by row") for @outputs;
}

is(value('SELECT count(*) FROM strm.data_keys'), $keys, 'all jobs of the group had the same keys');
is(value('SELECT count(*) FROM strm.batch_job_intent'), 0, 'nothing is left to be taken away');

$shop->stop;
$node->stop;
done_testing();
