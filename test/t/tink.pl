# Exported keys in a real Tink library (test/clients/tink): it decrypts what streams hold, and encrypts it to the same bytes.
# And what the server's log says of exports.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $cache = PostgreSQL::Test::Utils::tempdir();
$ENV{STRM_CLIENTS_CACHE} //= $cache;

# Gives lines of keyset, tab, ciphertext to Tink. Its answers, one per line; undef and the reason where there is no Tink.
sub tink
{
	my ($input) = @_;
	my ($in, $out, $err) = ("$cache/in", "$cache/out", "$cache/err");
	append_to_file($in, $input);
	my $status = system("\"$FindBin::Bin/../clients/tink\" <\"$in\" >\"$out\" 2>\"$err\"") >> 8;
	my ($answers, $reason) = (slurp_file($out), slurp_file($err));
	unlink $in, $out, $err;
	return (undef, $reason =~ s/\s+/ /gr) if $status == 77;
	die "tink: $reason" if $status != 0;
	return split /\n/, $answers;
}

my $node = strm_node('tink');
sub value { return $node->safe_psql('postgres', $_[0]) }

value('CREATE EXTENSION strm_privacy');
value("SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($node, 'tink/event/1.0.0',
	[ [ 'session', 'STRING', 1, 'required' ], [ 'note', 'STRING', 1 ], [ 'age', 'INTEGER', 1 ], [ 'total', 'LONG', 1 ],
		[ 'price', 'FLOAT', 1 ], [ 'member', 'BOOLEAN', 1 ], [ 'tags', 'STRING', 1, 'repeated' ] ]);
value("SELECT strm.create_stream('events', contract => 'tink/event/1.0.0')");
value("SELECT strm.create_derived_stream('events', purposes => '{1}', name => 'clear')");
value(<<'SQL');
INSERT INTO events (strm_consent_levels, session, note, age, total, price, member, tags)
SELECT '{1}', 'session ' || n / 5, repeat('ä€𝄞', n % 40), n - 100, n * 10000000000, n / 7.0::float8, n % 2 = 0, ARRAY['', 't' || n, repeat('x', 300)]
  FROM generate_series(1, 200) AS n
SQL

# every personal value: keyset, ciphertext, and the plaintext in base64
my $rows = value(<<'SQL');
SELECT k.encryption_key || E'\t' || v.cipher || E'\t' || translate(encode(convert_to(v.plain, 'UTF8'), 'base64'), E'\n', '')
  FROM events AS e JOIN clear AS c USING (strm_key_link, strm_nonce) JOIN strm.export_keys('events') AS k ON k.key_link = strm_key_link,
       LATERAL (VALUES (e.session, c.session), (e.note, c.note), (e.age, c.age::text), (e.total, c.total::text), (e.price, c.price::text),
                       (e.member, c.member::text), (e.tags[1], c.tags[1]), (e.tags[2], c.tags[2]), (e.tags[3], c.tags[3])) AS v (cipher, plain)
SQL
my @rows = map { [ split /\t/, $_, -1 ] } split /\n/, $rows;
is(scalar(@rows), 9 * 200, 'there is a key for every value');

# Tests that Tink decrypts each of rows (keyset, ciphertext, plaintext in base64) and encrypts it to the same bytes again.
sub decrypts
{
	my ($what, @rows) = @_;
  SKIP:
	{
		my ($first, @answers) = tink(join('', map { "$_->[0]\t$_->[1]\n" } @rows));
		skip("no Tink library: $answers[0]", 2) if !defined $first;
		unshift @answers, $first;
		my @plain = grep { $answers[$_] =~ /^\Q$rows[$_][2]\E\t/ } 0 .. $#rows;
		my @again = grep { $answers[$_] =~ /\t\Q$rows[$_][1]\E$/ } 0 .. $#rows;
		is(scalar(@plain), scalar(@rows), "Tink decrypts $what");
		is(scalar(@again), scalar(@rows), "Tink encrypts $what to the same bytes");
	}
	return;
}

decrypts('a stream', @rows);

SKIP:
{
	my ($keyset, $cipher) = @{ $rows[0] };
	my ($other) = grep { $_->[0] ne $keyset } @rows;
	my $bytes = decode_base64($cipher);
	substr($bytes, -1) ^= "\x01";
	my ($first, $second) = tink("$other->[0]\t$cipher\n$keyset\t" . encode_base64($bytes, '') . "\n");
	skip("no Tink library: $second", 1) if !defined $first;
	is("$first $second", 'refused refused', 'another key or another ciphertext is refused');
}

# The line in the server's log, however the call ends.
sub logs
{
	my ($sql, $like, $what) = @_;
	my $from = -s $node->logfile;
	$node->psql('postgres', $sql);
	my $log = slurp_file($node->logfile, $from);
	like($log, $like, $what);
	unlike($log, qr/Ek[A-Za-z0-9+\/]{86}/, "$what: no key in it");
	return;
}

value('CREATE ROLE exporter LOGIN IN ROLE strm_key_exporter');
my $user = value('SELECT current_user');
my $export = "FROM strm.export_keys('events')";
logs("SET ROLE exporter; SELECT * $export", qr/LOG:  role "exporter" exported 41 data keys of stream public\.events\n.*DETAIL:  The session is of role "$user"\./, 'an export is logged');
logs("SELECT * $export LIMIT 3", qr/LOG:  role "$user" exported 3 data keys of stream public\.events\n/, 'one that stops early');
logs("SELECT encryption_key::int $export", qr/LOG:  role "$user" exported 1 data keys/, 'one that fails, with an error that quotes a key');
logs("SELECT strm.export_keys('events', now() + interval '1 day')", qr/LOG:  role "$user" exported 0 data keys/, 'one without keys');

$node->stop;
done_testing();
