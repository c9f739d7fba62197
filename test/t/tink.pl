# Exported keys in a real Tink library (test/clients/tink): it decrypts what streams and files of batch jobs hold, and encrypts
# it to the same bytes. What the server's log says of exports. Keys of batch job groups, from the first job to the erasure.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmPartners;
use StrmTest;
use Test::More;

my $files = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $files;
my $node = strm_node('tink', conf => "strm_privacy.connector_directory = '$files'\n");
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
		my ($first, @answers) = strm_tink(join('', map { "$_->[0]\t$_->[1]\n" } @rows));
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
	my ($first, $second) = strm_tink("$other->[0]\t$cipher\n$keyset\t" . encode_base64($bytes, '') . "\n");
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

# --- batch jobs ---
strm_contract($node, 'tink/visit/1.0.0', [ [ 'session', 'STRING', 1, 'required' ], [ 'who', 'STRING', 1 ], [ 'age', 'INTEGER', 1 ] ],
	'"dataSubjectField": "who"');
value("SELECT strm.create_data_connector('files', 'directory', '{}')");
my $group = '7b0c0000-0000-4000-8000-00000000000a';

# A place in the connector
sub place { return qq({"dataConnectorRef": {"name": "files"}, "fileName": "$_[0]", "dataType": {"csv": {"charset": "UTF-8"}}, "overwrite": true}) }

# The statement for a job of the group over rows of [session, who, age, time]; the names of its files begin with name.
sub job
{
	my ($name, $id, @rows) = @_;
	append_to_file("$files/$name.csv", join("\n", 'session,who,age,at', map { join ',', @$_ } @rows) . "\n");
	my $source = place("$name.csv") =~ s/, "overwrite": true//r;
	return 'CALL strm.run_batch_job($$' . qq({"sourceData": $source, "dataContractRef": {"handle": "tink", "name": "visit", "version": "1.0.0"},
		"consent": {"defaultConsentLevels": [1]},
		"encryption": {"batchJobGroupId": "$id", "timestampConfig": {"field": "at", "format": "yyyy-MM-dd HH:mm", "defaultTimeZone": {"id": "UTC"}}},
		"encryptedData": {"target": ${\place("$name-out.csv")}}, "encryptionKeysData": {"target": ${\place("$name-keys.csv")}}}) . '$$)';
}

# Runs it; the records of its encrypted file as hashes.
sub run_job
{
	my ($name) = @_;
	value(job(@_));
	return csv("$name-out.csv");
}

# Records of a file as hashes. None of its values has a line end.
sub csv
{
	my ($head, @lines) = split /\r?\n/, slurp_file("$files/$_[0]");
	my $values = sub { map { s/^"//r =~ s/"$//r =~ s/""/"/gr } $_[0] =~ /((?:"(?:[^"]|"")*"|[^",]*))(?:,|$)/g };
	my @names = $values->($head);
	return map { my %record; @record{@names} = $values->($_); \%record } @lines;
}

my @visits = map { [ 's' . $_ % 4, 'who' . $_ % 4, $_, sprintf('2026-0%d-0%d 12:00', 1 + $_ % 2, 1 + $_ % 3) ] } 1 .. 48;
my $from = -s $node->logfile;
my @encrypted = run_job('all', $group, @visits);
like(slurp_file($node->logfile, $from), qr/LOG:  role "$user" exported 12 data keys of batch job group $group\n/, 'the keys file of a job is logged');
my %keyset = map { $_->{keyLink} => $_->{encryptionKey} } csv('all-keys.csv');
is(keys %keyset, 12, 'a key for each session and day');
decrypts("a batch job's file", map {
	my ($record, $visit) = ($encrypted[$_], $visits[$_]);
	map { [ $keyset{ $record->{'strmMeta.keyLink'} }, $record->{ (qw(session who age))[$_] }, encode_base64($visit->[$_], '') ] } 0 .. 2;
} 0 .. 47);

# the same keys from SQL, and with the same ends
my %exported = map { (split /\|/)[0] => $_ } split /\n/, value("SELECT key_link, encryption_key, policy_id, expires_at FROM strm.export_keys('$group')");
is_deeply(\%exported, { map { $_->{keyLink} => join '|', @$_{qw(keyLink encryptionKey policyId expiresAt)} } csv('all-keys.csv') },
	'strm.export_keys() gives what the keys file has');
is(value("SELECT count(*) FROM strm.data_keys WHERE batch_job_group = '$group' AND window_start = date_trunc('day', window_start, 'UTC') AND window_end = window_start + interval '24 hours'"),
	12, 'their windows are UTC days');

# in two jobs: the same key links, and each has the keys that it used
my @halves = (run_job('first', $group, @visits[ 0 .. 5 ]), run_job('second', $group, @visits[ 6 .. 47 ]));
is_deeply([ map { $_->{'strmMeta.keyLink'} } @halves ], [ map { $_->{'strmMeta.keyLink'} } @encrypted ], 'two jobs of a group have the key links of one');
is(scalar(csv('first-keys.csv')), 6, 'a keys file has only keys that the job used');
my @other = run_job('other', '7b0c0000-0000-4000-8000-00000000000b', @visits[ 0 .. 5 ]);
is(scalar(grep { defined $keyset{ $_->{'strmMeta.keyLink'} } } @other), 0, 'another group has other keys');

# two jobs at the same time make the same new keys, whichever comes first to which
my @many = map { [ 's' . $_ % 997, 'who' . $_ % 997, $_, sprintf('2026-05-%02d 12:00', 1 + $_ % 2) ] } 1 .. 4000;
my @sessions = map { IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', job($_, '7b0c0000-0000-4000-8000-00000000000c', @many) ], '2>', \my $ignored) } 'left', 'right';
is(join(' ', map { $_->finish ? 'done' : 'failed' } @sessions), 'done done', 'two jobs of a group at once');
is(slurp_file("$files/left-$_.csv"), slurp_file("$files/right-$_.csv"), "with the same $_") for 'out', 'keys';
is(value("SELECT count(*) FROM strm.export_keys('7b0c0000-0000-4000-8000-00000000000c')"), 2 * 997, 'which are exported once each');

# erasure
is(value("SELECT strm.delete_data_subjects('who1')"), 7, 'a data subject is erased from all groups');
is(value("SELECT count(*) FROM strm.export_keys('$group')"), 9, 'destroyed keys are not exported');
my $session = $node->background_psql('postgres');
my $counting = "SELECT count(*) FROM strm.export_keys('$group')";
$session->query_safe('BEGIN');
is($session->query_safe($counting), 9, 'a transaction exports keys');
is(value("SELECT strm.delete_data_subjects('who2')"), 7, 'of which some are destroyed');
is($session->query_safe($counting), 6, 'and then they are absent there, too');
$session->quit;
my @after = run_job('after', $group, @visits);
my @changed = grep { $after[$_]{'strmMeta.keyLink'} ne $encrypted[$_]{'strmMeta.keyLink'} } 0 .. 47;
is_deeply([ map { $visits[$_][1] } @changed ], [ map { ('who1', 'who2') } 1 .. 12 ], 'later records of the same days have new keys');
is(scalar(grep { $keyset{ $_->{keyLink} } } csv('after-keys.csv')), 6, 'and no destroyed key is written');

# ids that have keys already
value("SELECT strm.create_stream('gone', contract => 'tink/visit/1.0.0'); INSERT INTO gone (session) VALUES ('s')");
my $gone = value("SELECT id FROM strm.streams WHERE stream = 'gone'::regclass");
value('DROP TABLE gone');
for my $id ($gone, '00000000-0000-0000-0000-000000000000')
{
	eval { run_job('taken', $id, @visits) };
	like($@, qr/encryption\.batch_job_group_id: there are keys of that id, which is no group's/, 'a group cannot take over keys of something else');
}

$node->stop;
done_testing();
