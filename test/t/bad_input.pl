# What no application should send and some will: bytes that are no text, NUL, huge values, and 515 naughty strings. Each is
# either stored and read back as it was, or refused with a clear error; nothing is stored half, and the server goes on.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $node = strm_node('main', conf => "log_statement = none\nfsync = off\nmax_wal_size = 4GB\n");
$node->safe_psql('postgres', 'CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, $$One$$)');
strm_contract($node, 'acme/any/1.0.0', [ [ 'id', 'STRING', 1 ], [ 'value', 'STRING', 1 ], [ 'list', 'STRING', 1, 'repeated' ], [ 'n', 'INTEGER' ] ],
	'"dataSubjectField": "value"');
strm_contract($node, 'acme/big/1.0.0', [ [ 'id', 'STRING' ], [ 'value', 'STRING', 1 ], [ 'other', 'STRING', 1 ] ]);
$node->safe_psql('postgres', q{
SELECT strm.create_stream('anything', contract => 'acme/any/1.0.0'); SELECT strm.create_derived_stream('anything', '{1}');
SELECT strm.create_stream('big', contract => 'acme/big/1.0.0'); SELECT strm.create_derived_stream('big', '{1}');
ALTER TABLE big ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE TABLE expected (n int4 PRIMARY KEY, value text)});

sub refused
{
	my ($statements, $error, $name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statements", on_error_stop => 0);
	like($err, qr/^(?:psql:\S+ )?ERROR:  $error/m, $name);
	return $err;
}

# --- bytes that are no text ---
my %bytes = ('overlong' => "\xc0\xaf", 'surrogate' => "\xed\xa0\x80", 'lone continuation' => "\x80", 'cut off' => "\xe2\x82", 'beyond Unicode' => "\xf4\x90\x80\x80", 'latin 1' => "caf\xe9");
for my $name (sort keys %bytes)
{
	my $err = refused("INSERT INTO anything (id, value) VALUES ('bytes', 'planted$bytes{$name}')", '22021: invalid byte sequence', "$name: INSERT is refused");
	unlike($err, qr/planted/, "$name: without the value");
	refused("COPY anything (id, value) FROM STDIN;\nbytes\t$bytes{$name}\n\\.\n", '22021: invalid byte sequence', "$name: COPY is refused");
	(my $escape = $bytes{$name}) =~ s/(.)/sprintf '\\x%02x', ord $1/sge;
	refused("COPY anything (id, value) FROM STDIN;\nbytes\t$escape\n\\.\n", '22021: invalid byte sequence', "$name: COPY with escapes is refused");
}
refused("INSERT INTO anything (id, value) VALUES ('bytes', E'\\u0000')", '42601', 'NUL: INSERT is refused');
refused("INSERT INTO anything (id, value) VALUES ('bytes', E'\\000')", '22021', 'NUL: INSERT with an octal escape is refused');
refused("INSERT INTO anything (id, value) VALUES ('bytes', chr(0))", '54000', 'NUL: chr(0) is refused');
refused("COPY anything (id, value) FROM STDIN;\nbytes\tx\\000y\n\\.\n", '22021', 'NUL: COPY is refused');
refused(q{SELECT strm.ingest('anything', '{"id": "bytes", "value": "\u0000"}')}, '22P05', 'NUL: an event is refused');
is($node->safe_psql('postgres', 'SELECT count(*) FROM anything'), 0, 'nothing of it is stored');
# another client encoding is converted
$node->safe_psql('postgres', "SET client_encoding = latin1; INSERT INTO anything (strm_consent_levels, id, value) VALUES ('{1}', 'latin', 'caf\xe9')");
is($node->safe_psql('postgres', q{SELECT value = U&'caf\00E9' FROM anything_1 WHERE id = 'latin'}), 't', 'LATIN1 is converted');
# one bad row of a COPY: none is stored
refused("COPY anything (id, value, n) FROM STDIN;\na\tb\t1\n\tb\t2\nc\td\t3\n\\.\n", '23502', 'a COPY with one bad row is refused');
is($node->safe_psql('postgres', 'SELECT count(*) FROM anything WHERE n IN (1, 2, 3)'), 0, 'as a whole');

# --- naughty strings ---
SKIP:
{
	my $file = strm_shared_file('blns/blns.json');
	skip('there is no shared/data/blns', 8) if !defined $file;
	my $strings = JSON::PP->new->utf8->decode(slurp_file($file));
	is(scalar @$strings, 515, '515 naughty strings');

	my @bytes = map { my $copy = $_; utf8::encode($copy); $copy } @$strings;
	# as data of COPY, whose escapes are few
	my @data = map { s/([\\\n\r\t])/{ "\\" => "\\\\", "\n" => "\\n", "\r" => "\\r", "\t" => "\\t" }->{$1}/ger } @bytes;
	my $copy = join '', map { "$_\t$data[$_]\n" } 0 .. $#data;
	$node->safe_psql('postgres', "COPY expected FROM STDIN;\n$copy\\.\n");
	# in a statement, as text and in an array
	my $values = join ",\n", map { (my $quoted = $bytes[$_]) =~ s/'/''/g; "('{1}', 'insert', '$quoted', ARRAY['$quoted', NULL, '$quoted'], $_)" } 0 .. $#bytes;
	$node->safe_psql('postgres', "SET standard_conforming_strings = on;\nINSERT INTO anything (strm_consent_levels, id, value, list, n) VALUES $values");
	$node->safe_psql('postgres', "COPY anything (strm_consent_levels, id, value, n) FROM STDIN;\n" . join('', map { "{1}\tcopy\t$data[$_]\t$_\n" } 0 .. $#data) . "\\.\n");
	# as events, in JSON
	$node->safe_psql('postgres', q{SELECT count(strm.ingest('anything', jsonb_build_object('strmMeta', '{"eventContractRef": "acme/any/1.0.0", "consentLevels": [1]}'::jsonb, 'id', 'event', 'value', value, 'n', n))) FROM expected});
	# as key field values: each string but the empty one
	$node->safe_psql('postgres', q{INSERT INTO anything (strm_consent_levels, id, list, n) SELECT '{1}', value, '{key}', n FROM expected WHERE value <> ''});

	for my $way (qw(insert copy event))
	{
		is($node->safe_psql('postgres', "SELECT count(*), count(*) FILTER (WHERE a.value = e.value COLLATE \"C\") FROM expected e JOIN anything_1 a USING (n) WHERE a.id = '$way'"), '515|515', "$way: each reads back as it was");
	}
	is($node->safe_psql('postgres', q{SELECT count(*) FROM expected e JOIN anything_1 a USING (n) WHERE id = 'insert' AND list = ARRAY[e.value, NULL, e.value]}), 515, 'and in an array');
	is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE id = e.value) FROM expected e JOIN anything_1 a USING (n) WHERE list = '{key}'}), '515|515' =~ s/515/$node->safe_psql('postgres', q{SELECT count(*) FROM expected WHERE value <> ''})/ger, 'and as key field value');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM anything a JOIN expected e USING (n) WHERE position(e.value IN a.value) > 0 AND length(e.value) > 4}), 0, 'none is stored in clear');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT value FROM expected WHERE value <> '' EXCEPT SELECT subject FROM strm.data_subjects(max_rows => 10000)) AS missing}), 0, 'each is a data subject');
}

# --- large values ---
# what fits is encrypted; limits are errors of ours, before memory runs out
sub big
{
	my ($megabytes) = @_;
	return "INSERT INTO big (strm_consent_levels, id, value) VALUES ('{1}', '$megabytes', repeat('x', $megabytes * 1000000))";
}
$node->safe_psql('postgres', big(100));
is($node->safe_psql('postgres', q{SELECT length(value) || ' ' || (value = repeat('x', 100000000)) FROM big_1 WHERE id = '100'}), '100000000 true', '100 MB: stored, and read back as it was');
my ($memory) = slurp_file('/proc/meminfo') =~ /^MemAvailable:\s+(\d+) kB/m;
SKIP:
{
	skip('less than 6 GB of memory is available', 4) if $memory < 6 * 1024 * 1024;
	my $err = refused(big(810), '54000: a personal value is too long to be encrypted', '810 MB: refused');
	unlike($err, qr/memory|alloc|xxxx/, '810 MB: by a limit of ours');
	$err = refused(q{INSERT INTO big (id, value, other) SELECT 'two', v, v FROM repeat('x', 405000000) AS v}, '54000: ', 'two values of 405 MB: refused');
	unlike($err, qr/memory|alloc|xxxx/, 'two values of 405 MB: by a limit of ours');
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM big'), 1, 'nothing of what was refused is stored');
refused(q{INSERT INTO big (strm_consent_levels, id, value) SELECT array_agg(i), 'levels', NULL FROM generate_series(-1, 1000000) AS i}, '22023', 'a million consent levels with a negative one: refused');
refused(q{INSERT INTO big (strm_consent_levels, id, value) SELECT array_agg(i), 'levels', NULL FROM generate_series(1, 65536) AS i}, '54000: too many consent levels', 'more than 65535 consent levels: refused');
$node->safe_psql('postgres', q{INSERT INTO big (strm_consent_levels, id, value) SELECT array_agg(i % 65535), 'levels', 'v' FROM generate_series(0, 999999) AS i});
is($node->safe_psql('postgres', q{SELECT cardinality(strm_consent_levels) || value FROM big_1 WHERE id = 'levels'}), '65535v', '65535, often repeated: stored');
refused(q{INSERT INTO anything (id, list) SELECT 'long', array_fill(''::text, ARRAY[40000000])}, '54000: row does not fit', 'forty million elements: refused');

is($node->safe_psql('postgres', q{INSERT INTO anything (id) VALUES ('still alive') RETURNING 1}), 1, 'the server goes on');
my $log = slurp_file($node->logfile);
ok($log !~ /planted|\x80|caf\xe9/, 'no value in the log');
ok($log !~ /was terminated by signal|TRAP|invalid memory alloc|out of memory/, 'no crash, no allocation failed');
$node->stop;
done_testing();
