# Kafka exporters in format avro: what consumers read with the schema that the registry has is what strm.events() shows, Apache's own
# Avro for Python writes the same bytes, and a registry that is away, refuses or answers nonsense stops nobody else. The broker is
# the embedded one, the registry test/partners/schema_registry.py.
use strict;
use warnings;
use Encode qw(encode);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmPartners;
use StrmTest;
use Test::More;

plan(skip_all => 'there is no python3') if !defined $python;
plan(skip_all => 'there is no kcat') if system('kcat -V >/dev/null 2>&1') != 0;

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $dir = PostgreSQL::Test::Utils::tempdir();
my ($registry, $port) = strm_schema_registry($dir, 'plain', 'strm:pass:word');
my $http = HTTP::Tiny->new(timeout => 30, default_headers => { authorization => 'Basic ' . encode_base64('reader:pass:word', '') });
sub registered { my ($path) = @_; my $r = $http->get("http://127.0.0.1:$port$path"); return $r->{success} ? $r->{content} : undef }
sub requests { my ($pattern) = @_; return scalar grep { /$pattern/ } split /\n/, registered('/-/requests') }

my $node = strm_node('avro', conf => <<'EOC');
fsync = off
wal_level = logical
max_replication_slots = 5
strm_privacy.connector_timeout = 2
EOC
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub error { my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]", on_error_stop => 0); return $err }
# Waits until an exporter is in a state.
sub reaches
{
	my ($name, $state) = @_;
	return 1 if $node->poll_query_until('postgres', "SELECT state = '$state' FROM strm.kafka_exporters WHERE name = '$name'");
	diag(sql("SELECT state, sqlstate, last_error FROM strm.kafka_exporters WHERE name = '$name'"));
	return 0;
}
sub cluster
{
	my ($name, %config) = @_;
	sql("SELECT strm.create_kafka_cluster('$name', 'embedded', \$j\$" . $json->encode(\%config) . '$j$)');
	return;
}
sub login { my ($cluster) = @_; return { 'bootstrap.servers' => sql("SELECT address FROM strm.kafka_clusters WHERE name = '$cluster'") } }

# --- reading Avro, by its specification ---

sub read_long { my ($in) = @_; my ($n, $shift) = (0, 0); for (;;) { my $byte = ord substr $$in, 0, 1, ''; $n |= ($byte & 0x7f) << $shift; $shift += 7; last if $byte < 0x80 } return ($n & 1) ? -($n >> 1) - 1 : $n >> 1 }
sub read_array
{
	my ($in, $items) = @_;
	my @all;
	while (my $n = read_long($in)) { push @all, map { read_avro($in, $items) } 1 .. $n }
	return \@all;
}
sub read_avro
{
	my ($in, $schema) = @_;
	return read_avro($in, $schema->[ read_long($in) ]) if ref $schema eq 'ARRAY';
	my $type = ref $schema ? $schema->{type} : $schema;
	return undef if $type eq 'null';
	return ord(substr $$in, 0, 1, '') ? JSON::PP::true : JSON::PP::false if $type eq 'boolean';
	return read_long($in) if $type eq 'int' || $type eq 'long';
	return [ 'double', substr $$in, 0, 8, '' ] if $type eq 'double';
	return read_array($in, $schema->{items}) if $type eq 'array';
	return { map { $_->{name} => read_avro($in, $_->{type}) } @{ $schema->{fields} } } if $type eq 'record';
	die $type if $type ne 'string';
	my $length = read_long($in);
	my $text = substr $$in, 0, $length, '';
	utf8::decode($text) or die 'not UTF-8';
	return $text;
}
# Numbers as text, for those of 64 bits are no numbers to JSON::PP.
sub plain
{
	my ($value) = @_;
	return [ map { plain($_) } @$value ] if ref $value eq 'ARRAY';
	return { map { $_ => plain($value->{$_}) } keys %$value } if ref $value eq 'HASH';
	return ref $value || !defined $value ? $value : "$value";
}
# Event JSON has shortest numbers and strings for what is none: eight bytes, as Avro has, once the schema says double.
sub double
{
	my ($n) = @_;
	my %special = (NaN => "\0\0\0\0\0\0\xf8\x7f", Infinity => "\0\0\0\0\0\0\xf0\x7f", '-Infinity' => "\0\0\0\0\0\0\xf0\xff");
	return !defined $n ? undef : [ 'double', $special{$n} // pack 'd<', $n ];
}
sub with_doubles
{
	my ($event, $schema) = @_;
	for my $field (@{ $schema->{fields} })
	{
		my ($type, $value) = ($field->{type}, $event->{ $field->{name} });
		next if !defined $value || ref $type ne 'ARRAY';
		if    ($type->[1] eq 'double')                                    { $event->{ $field->{name} } = double($value) }
		elsif (ref $type->[1] && $type->[1]{items}[1] eq 'double')        { $event->{ $field->{name} } = [ map { double($_) } @$value ] }
	}
	return $event;
}

# --- what consumers read is what strm.events() shows ---

sql(q{CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One'), strm.create_purpose(2, 'Two')});
my @types = ([ 's', 'STRING' ], [ 'b', 'BOOLEAN' ], [ 'i', 'INTEGER' ], [ 'l', 'LONG' ], [ 'f', 'FLOAT' ]);
strm_contract($node, 'acme/every/1.0.0', [ [ 'id', 'STRING', undef, 'required' ],
	(map { my ($name, $type) = @$_; ([ $name, $type, 1 ], [ "$name$name", $type, 1, 'repeated' ], [ "plain_$name", $type ], [ "plain_$name$name", $type, undef, 'repeated' ]) } @types),
	[ 'two', 'LONG', 2 ] ]);
sql(q{SELECT strm.create_stream('every', contract => 'acme/every/1.0.0');
SELECT strm.create_derived_stream('every', ARRAY[1], name => 'every_1', masked_fields => ARRAY['plain_s', 'll'], mask_seed => 'seed')});
cluster('k', 'schema.registry.url' => "http://127.0.0.1:$port/", 'schema.registry.basic.auth.user.info' => 'strm:pass:word');
sql(qq{SELECT strm.create_kafka_exporter('$_', 'k', topic => '$_', name => '$_', format => 'avro')}) for 'every', 'every_1';
ok(reaches($_, 'RUNNING'), "$_ is exported") for 'every', 'every_1';

sql(<<'EOC');
INSERT INTO every (id, s, b, i, l, f, ss, bb, ii, ll, ff, two, plain_s, plain_b, plain_i, plain_l, plain_f, plain_ss, plain_bb, plain_ii, plain_ll, plain_ff, strm_consent_levels)
VALUES ('1', '', 'true', '2147483647', '9223372036854775807', 'NaN', '{a,NULL,""}', '{t,f,NULL}', '{-2147483648,0}', '{-9223372036854775808}', '{NaN,Infinity,0.1}', '-1',
  '', false, -2147483648, -9223372036854775808, '-Infinity', '{}', '{t,NULL,f}', '{63,64,-64,-65,NULL,8191,8192,2147483647,-2147483648}', '{NULL}', '{1e-308,4.9e-324,1.7976931348623157e308,NaN,-Infinity,Infinity,0}', '{1,2}'),
 ('né漢😀', repeat('é', 5000), 'false', '0', '-1', '0.1', '{}', '{}', '{}', '{}', '{}', NULL,
  repeat('漢😀', 30000), true, 64, 9223372036854775807, 0.1, ARRAY[repeat('x', 70000), '', E'\n\t"\\'], '{}', '{}', '{0,-1,1}', '{}', '{1}'),
 ('m', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{{a,b},{c,NULL}}', NULL, NULL, NULL, NULL, '{}');
INSERT INTO every (id, s, ii, plain_ii, plain_ss, plain_f, strm_consent_levels)
  SELECT 'g' || g % 7, 's' || g, ARRAY[g, NULL], (SELECT array_agg(x) FROM generate_series(1, g) x), (SELECT array_agg('v' || x) FROM generate_series(1, g % 90) x), g / 7.0, '{1,2}'
    FROM generate_series(1, 200) g;
EOC
for my $stream ('every', 'every_1')
{
	my $expected = sql("SELECT count(*) FROM $stream");
	ok($node->poll_query_until('postgres', "SELECT sent >= $expected FROM strm.kafka_exporters WHERE name = '$stream'"), "$stream: sent");
	my @records = strm_kcat_consume(login('k'), $stream);
	is(scalar(@records), $expected, "$stream: all is there");

	my %headers = map { unpack('H10', $_->{value}) => 1 } @records;
	is(scalar(keys %headers), 1, 'with one schema');
	my ($id) = map { hex substr $_, 2 } keys %headers;
	my $text = $json->decode(registered("/schemas/ids/$id"))->{schema};
	is(encode('UTF-8', $text), $node->safe_psql('postgres', "SELECT strm.avro_schema('$stream')"), 'which is the one that strm.avro_schema() shows');
	my $schema = JSON::PP->new->decode($text);

	my (%read, @rest);
	for my $record (@records)
	{
		my $in = substr $record->{value}, 5;
		my $event = read_avro(\$in, $schema);
		push @rest, $in if $in ne '';
		$read{"$event->{strmMeta}{keyLink}/$event->{strmMeta}{nonce}"} = $json->encode(plain($event));
		is($record->{key}, $event->{strmMeta}{keyLink}, 'the key') if @records < 10;
	}
	is(scalar(@rest), 0, 'nothing lies behind an event');
	my %shown = map { my $e = with_doubles(JSON::PP->new->utf8->decode($_), $schema); ("$e->{strmMeta}{keyLink}/$e->{strmMeta}{nonce}" => $json->encode(plain($e))) }
	  split /\n/, sql("SELECT strm.events('$stream', max_rows => NULL)");
	my @different = grep { ($read{$_} // '') ne $shown{$_} } sort keys %shown;
	is(scalar(@different), 0, 'and all events are those of strm.events()') or diag(join "\n", map { $_->{ $different[0] } // '' } \%read, \%shown);

  SKIP:
	{
		skip('there is no python3-avro', 1) if system(qq('$python' -c 'import avro.io' >/dev/null 2>&1)) != 0;
		append_to_file("$dir/$stream.avsc", encode('UTF-8', $text));
		append_to_file("$dir/$stream.values", join '', map { encode_base64($_->{value}, '') . "\n" } @records);
		my $said = '';
		IPC::Run::run([ $python, "$FindBin::Bin/../clients/avro_reader.py", "$dir/$stream.avsc", "$dir/$stream.values" ], '>&', \$said);
		is($said, "$expected\n", "Apache's Avro for Python reads and writes the same bytes");
	}
}

# --- what has no Avro form, or no registry ---

cluster('bare');
like(error(q{SELECT strm.create_kafka_exporter('every', 'bare', format => 'avro')}), qr/22023.*schema\.registry\.url/s, 'a cluster without registry');
strm_contract($node, 'acme/strm-meta/1.0.0', [ [ 'id', 'STRING' ] ]);
sql(q{SELECT strm.create_stream('meta', contract => 'acme/strm-meta/1.0.0')});
like(error(q{SELECT strm.create_kafka_exporter('meta', 'k', format => 'avro')}), qr/22023.*StrmMeta/s, 'a contract without Avro form');

# --- the registry's moods ---

# An exporter of the cluster to a topic whose subject the registry treats so.
sub exporter { my ($topic, $cluster) = @_; sql("SELECT strm.create_kafka_exporter('every', '" . ($cluster // 'k') . "', topic => '$topic', name => '$topic', format => 'avro')"); return $topic }
sub told { my ($name) = @_; return sql("SELECT concat_ws(' ', sqlstate, last_error, hint) FROM strm.kafka_exporters WHERE name = '$name'") }

ok(reaches(exporter('once'), 'RUNNING'), 'a registry that is busy for a moment');
my $put = HTTP::Tiny->new->post("http://127.0.0.1:$port/subjects/taken-value/versions", { content => '{"schema": "\"int\""}',
	headers => { 'content-type' => 'application/json', authorization => 'Basic ' . encode_base64('strm:pass:word', '') } });
is($put->{status}, 200, 'a subject of somebody else');
ok(reaches(exporter('taken'), 'ERROR'), 'stops the exporter');
like(told('taken'), qr/^22023 the Schema Registry of Kafka cluster "k" finds the schema of subject "taken-value" incompatible: the registry answered 409, error code 409 .*another topic/, 'and says why');
for my $mood ('down', 'stall', 'redirect', 'garbage', 'noid', 'hugeid', 'leak')
{
	exporter($mood);
	ok($node->poll_query_until('postgres', "SELECT sqlstate IS NOT NULL FROM strm.kafka_exporters WHERE name = '$mood'"), "$mood: is told");
	my $told = told($mood);
	like($told, $mood eq 'stall' ? qr/^08006 could not reach the Schema Registry/ : qr/^58030 .*Schema Registry/, "$mood: $told");
	unlike($told, qr/pass|authorization|169\.254/i, "$mood: nothing of what was sent or answered is shown");
}
sql(q{INSERT INTO every (id, strm_consent_levels) VALUES ('last', '{1}')});
my $all = sql('SELECT count(*) FROM every');
ok($node->poll_query_until('postgres', "SELECT sent = $all FROM strm.kafka_exporters WHERE name = 'every'"), 'others of the cluster go on meanwhile');
sql("SELECT strm.drop_kafka_exporter('$_')") for 'down', 'stall', 'redirect', 'garbage', 'noid', 'hugeid', 'leak', 'taken';

# --- TLS of a private authority, and passwords ---

SKIP:
{
	skip('there is no openssl', 5) if system("openssl req -x509 -newkey rsa:2048 -nodes -keyout $dir/tls.key -out $dir/tls.crt -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost >/dev/null 2>&1") != 0;
	append_to_file("$dir/tls.pem", slurp_file("$dir/tls.key") . slurp_file("$dir/tls.crt"));
	my (undef, $tls) = strm_schema_registry($dir, 'tls', 'strm:secret', "$dir/tls.pem");
	my %url = ('schema.registry.url' => "https://localhost:$tls");
	cluster('unknown', %url, 'schema.registry.basic.auth.user.info' => 'strm:secret');
	exporter('unknown', 'unknown');
	ok($node->poll_query_until('postgres', q{SELECT sqlstate IS NOT NULL FROM strm.kafka_exporters WHERE name = 'unknown'}), 'a certificate that nobody knows');
	like(told('unknown'), qr/^08006 .*certificate/, 'is refused');
	cluster('tls', %url, 'schema.registry.ssl.ca.pem' => slurp_file("$dir/tls.crt"), 'schema.registry.basic.auth.user.info' => 'reader:secret');
	exporter('tls', 'tls');
	ok($node->poll_query_until('postgres', q{SELECT sqlstate IS NOT NULL FROM strm.kafka_exporters WHERE name = 'tls'}), 'a user who may only read');
	like(told('tls'), qr/^08004 .*403, error code 40301 .*user\.info/, 'is refused');
	sql(q{SELECT strm.alter_kafka_cluster('tls', config => '{"schema.registry.basic.auth.user.info": "strm:secret"}')});
	ok(reaches('tls', 'RUNNING'), 'one who may write, by a private authority');
}

# --- the same definitions: the same schema ---

my $asked = requests('POST.*every-value.*200');
$node->restart;
ok(strm_wait(sub { requests('POST.*every-value.*200') > $asked }), 'a new worker asks the registry again');
is_deeply($json->decode(registered('/subjects')), [ 'every-value', 'every_1-value', 'once-value', 'taken-value' ], 'and nothing was registered that need not be');

# --- a registry that is gone ---

ok(reaches('every', 'RUNNING'), 'it publishes');
kill 'KILL', $registry;
waitpid $registry, 0;
sql(q{SELECT strm.pause_kafka_exporter('every')});
ok(reaches('every', 'PAUSED'), 'paused');
sql(q{SELECT strm.resume_kafka_exporter('every'); INSERT INTO every (id, strm_consent_levels) VALUES ('later', '{1}')});
ok($node->poll_query_until('postgres', q{SELECT sent = (SELECT count(*) FROM every) FROM strm.kafka_exporters WHERE name = 'every'}), 'a known schema needs it no more');

done_testing();
