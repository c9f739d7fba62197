# No plaintext of a personal field is on disk or in a log: markers are inserted as personal values by every path, accepted or
# refused, and looked for in the bytes of all files of the cluster, of a base backup, and in what logical decoding gives.
# The same scan finds markers in fields that are not personal, in each of the forms it looks for.
use strict;
use warnings;
use File::Find;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $personal = 'Plantd7Secret';    # begins each personal value
my $open = 'Opened4Visible';       # is in values that are not personal
my $jobs = PostgreSQL::Test::Utils::tempdir();
my $node = strm_node('main', init => [ allows_streaming => 'logical' ], conf => <<CONF);
wal_compression = off
wal_keep_size = 2GB
max_wal_size = 1GB
max_prepared_transactions = 4
max_connections = 20
log_statement = none
log_replication_commands = off
restart_after_crash = on
remove_temp_files_after_crash = off
autovacuum_naptime = 1s
work_mem = 64kB
strm_privacy.connector_directory = '$jobs'
CONF
my $scratch = PostgreSQL::Test::Utils::tempdir();

# --- the scan ---

# The byte strings a text may be found by: as it is, in hexadecimal, and the middle of its base64 at each of three alignments.
sub forms_of
{
	my ($text) = @_;
	my %forms = (text => $text, 'hexadecimal' => unpack('H*', $text), 'HEXADECIMAL' => uc unpack('H*', $text));
	for my $before (0 .. 2)
	{
		my $bits = 8 * (length($text) + $before);
		my $first = int((8 * $before + 5) / 6);
		$forms{"base64 at $before"} = substr encode_base64(("\0" x $before) . $text, ''), $first, int($bits / 6) - $first;
	}
	return %forms;
}

# "form in file" => what follows the hit, for each form of the text in any of the files below the directories.
sub scan
{
	my ($text, @where) = @_;
	my %forms = forms_of($text);
	my %hits;
	find({ no_chdir => 1, wanted => sub {
		return if !-f $_;
		my $bytes = slurp_file($_);
		for my $form (keys %forms)
		{
			my $at = index $bytes, $forms{$form};
			$hits{"$form in $_"} = substr($bytes, $at, 60) =~ s/[^ -~]/./gr if $at >= 0;
		}
	} }, @where);
	return %hits;
}

sub finds_nothing
{
	my ($name, @where) = @_;
	my %hits = scan($personal, @where);
	is(scalar(keys %hits), 0, $name);
	diag("$_: $hits{$_}") for sort keys %hits;
}

sub finds
{
	my ($form, $file, $name, @where) = @_;
	my %hits = scan($open, @where);
	ok(scalar(grep { /^\Q$form\E in .*$file/ } keys %hits), $name);
}

# --- the stream ---

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One');
SELECT pg_create_logical_replication_slot('scan', 'test_decoding');
SQL
strm_contract($node, 'acme/scan/1.0.0',
	[ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'email', 'STRING', 1 ], [ 'words', 'STRING', 1, 'repeated' ],
		[ 'yes', 'BOOLEAN', 1 ], [ 'n', 'INTEGER', 1 ], [ 'url', 'STRING', undef, 'required' ], [ 'ref', 'STRING' ], [ 'conversion', 'INTEGER' ] ],
	'"dataSubjectField": "customer", "validations": [{"field": "url", "type": "regex", "value": "^https?://"}, {"field": "email", "type": "regex", "value": "@"}]');
strm_contract($node, 'acme/gone/1.0.0', [ [ 'session', 'STRING', 1 ] ]);
$node->safe_psql('postgres', "SELECT strm.create_stream('gone', contract => 'acme/gone/1.0.0'), strm.archive_data_contract('acme/gone/1.0.0')");
$node->safe_psql('postgres', <<'SQL');
SELECT strm.create_stream('parts', contract => 'acme/scan/1.0.0', partition_by => '1 day'), strm.create_derived_stream('parts', '{1}');
SELECT strm.create_stream('clicks', contract => 'acme/scan/1.0.0', key_rotation => '1 second'),
       strm.create_stream('other', contract => 'acme/scan/1.0.0'), strm.create_derived_stream('clicks', purposes => '{1}');
CREATE UNIQUE INDEX clicks_ref ON clicks (ref);
ALTER TABLE clicks ADD CONSTRAINT small CHECK (conversion < 1000);
CREATE VIEW entry AS SELECT strm_consent_levels, session, customer, email, words, yes, n, url, ref, conversion FROM clicks;
CREATE FUNCTION take(s text, c text, e text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO clicks (strm_consent_levels, session, customer, email, url) VALUES ('{1}', s, c, e, 'https://x');
END $$;
CREATE FUNCTION take_and_fail(s text, c text, e text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM take(s, c, e);
  RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN NULL;
END $$;
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.conversion = -1 THEN RAISE EXCEPTION 'refused'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON clicks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
-- keeps the statement's new rows in a temporary file for as long as somebody holds the lock
CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM fresh) > 1000 THEN PERFORM pg_advisory_xact_lock_shared(7); END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER linger AFTER INSERT ON clicks REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION linger();
CREATE ROLE producer LOGIN;
GRANT INSERT ON clicks TO producer;
SQL

# --- the paths ---

my $columns = 'strm_consent_levels, session, customer, email, words, url';
sub mark { my ($name, $what) = @_; return "$personal-$name-$what" }
# A row of literals for $columns; %change replaces some
sub row
{
	my ($name, %change) = @_;
	my %value = (levels => "'{1}'", session => "'" . mark($name, 's') . "'", customer => "'" . mark($name, 'c') . "'",
		email => "'" . mark($name, 'e') . "\@x'", words => "'{" . mark($name, 'w') . "}'", url => "'https://$open-$name'", %change);
	return '(' . join(', ', @value{qw(levels session customer email words url)}) . ')';
}
sub tsv
{
	my ($name, %change) = @_;
	my %value = (levels => '{1}', session => mark($name, 's'), customer => mark($name, 'c'), email => mark($name, 'e') . '@x',
		words => '{' . mark($name, 'w') . '}', url => "https://$open-$name", %change);
	return join("\t", @value{qw(levels session customer email words url)}) . "\n";
}
sub insert { my ($name, %change) = @_; return "INSERT INTO clicks ($columns) VALUES " . row($name, %change) }
sub event
{
	my ($name, %change) = @_;
	my %value = (session => mark($name, 's'), customer => mark($name, 'c'), email => mark($name, 'e') . '@x', url => "https://$open", %change);
	return '{"strmMeta": {"eventContractRef": "acme/scan/1.0.0", "consentLevels": [1]}, ' . join(', ', map { qq("$_": "$value{$_}") } sort keys %value) . '}';
}
# Text that pglz cannot compress, so that what is in it is found
sub noise { my ($n) = @_; return join '', map { ('A' .. 'Z', 'a' .. 'z', 0 .. 9)[ rand 62 ] } 1 .. $n }
sub file
{
	my ($name, $text) = @_;
	append_to_file("$scratch/$name", $text);
	return "$scratch/$name";
}
# Binary COPY of one row of (strm_consent_levels, session, customer, email, url)
sub binary
{
	my ($name) = @_;
	my @fields = (pack('N*', 1, 0, 23, 1, 1, 4, 1), mark($name, 's'), mark($name, 'c'), mark($name, 'e') . '@x', "https://$open-$name");
	return "PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0) . pack('n', scalar @fields) . join('', map { pack('N/a*', $_) } @fields) . pack('n', 65535);
}

my $long = noise(2000);
# name => script that stores a row with the markers of that name
my @stored = (
	[ simple => insert('simple') ],
	[ multi => "INSERT INTO clicks ($columns) VALUES " . join(', ', row('multi'), row('multi'), row('multi-2')) ],
	[ values => "INSERT INTO clicks ($columns) SELECT l::int[], s, c, e, w::text[], u FROM (VALUES " . join(', ', map { row('values') } 1 .. 3) . ") v (l, s, c, e, w, u)" ],
	[ prepared => "PREPARE p (text, text, text) AS INSERT INTO clicks (strm_consent_levels, session, customer, email, url) VALUES ('{1}', \$1, \$2, \$3, 'https://x');\n"
		  . "EXECUTE p ('" . join("', '", mark('prepared', 's'), mark('prepared', 'c'), mark('prepared', 'e') . '@x') . "')" ],
	[ returning => insert('returning') . ' RETURNING *' ],
	[ cte => 'WITH i AS (' . insert('cte') . ' RETURNING session) SELECT count(*) FROM i' ],
	[ merge => "MERGE INTO clicks USING (VALUES " . row('merge') . ") v (l, s, c, e, w, u) ON false WHEN NOT MATCHED THEN INSERT ($columns) VALUES (l::int[], s, c, e, w::text[], u)" ],
	[ view => insert('view') =~ s/clicks/entry/r ],
	[ function => "SELECT take('" . join("', '", mark('function', 's'), mark('function', 'c'), mark('function', 'e') . '@x') . "')" ],
	[ block => 'DO $$ BEGIN ' . insert('block') . '; END $$' ],
	[ select => "INSERT INTO clicks (strm_consent_levels, session, customer, email, url) SELECT '{1}', e ->> 's', e ->> 'c', e ->> 'e', 'https://x' FROM jsonb_array_elements('[{\"s\": \""
		  . mark('select', 's') . '", "c": "' . mark('select', 'c') . '", "e": "' . mark('select', 'e') . "\@x\"}]') e" ],
	[ ingest => "SELECT strm.ingest('clicks', '" . event('ingest') . "')" ],
	[ savepoint => "BEGIN; SAVEPOINT a; " . insert('savepoint-undone') . '; ROLLBACK TO a; ' . insert('savepoint') . '; COMMIT' ],
	[ twophase => 'BEGIN; ' . insert('twophase') . "; PREPARE TRANSACTION 'kept'; COMMIT PREPARED 'kept'" ],
	[ copytext => "COPY clicks ($columns) FROM STDIN;\n" . tsv('copytext') . tsv('copytext') . "\\.\n" ],
	[ copycsv => "COPY clicks ($columns) FROM STDIN (FORMAT csv);\n" . (tsv('copycsv') =~ s/\t/,/gr) . "\\.\n" ],
	[ copyfile => "COPY clicks ($columns) FROM '" . file('copyfile', tsv('copyfile')) . "'" ],
	[ copybinary => "COPY clicks (strm_consent_levels, session, customer, email, url) FROM '" . file('copybinary', binary('copybinary')) . "' (FORMAT binary)" ],
	[ copyclient => "\\copy clicks ($columns) FROM '" . file('copyclient', tsv('copyclient')) . "'" ],
	[ long => insert('long', email => "'" . mark('long', 'e') . '@' . noise(300_000) . mark('long', 'end') . "'", words => "'{" . mark('long', 'w') . noise(100_000) . "}'") ],
	[ longkey => insert('longkey', session => "'" . mark('longkey', 's') . noise(50_000) . "'", customer => "'" . mark('longkey', 'c') . noise(900) . "'") ],
	[ longcopy => "COPY clicks ($columns) FROM STDIN;\n" . tsv('longcopy', email => mark('longcopy', 'e') . '@' . noise(200_000)) . "\\.\n" ],
	[ producer => 'SET ROLE producer; ' . insert('producer') ],
	[ conflictfree => insert('conflictfree') =~ s/\(strm_/(ref, strm_/r =~ s/VALUES \(/VALUES ('taken', /r . ' ON CONFLICT DO NOTHING' ],
	[ unlogged => insert('unlogged') . "; ANALYZE clicks; VACUUM clicks" ]);

# name => script that stores nothing; those in which the extension itself finds the fault say nothing of a value to the client either
my @refused = (
	[ validation => 1, insert('validation', url => "'ftp'") ],
	[ 'validation of a personal field' => 1, insert('validation2', email => "'" . mark('validation2', 'e') . "'") ],
	[ 'validation, long' => 1, insert('validation3', email => "'" . mark('validation3', 'e') . noise(100_000) . "'") ],
	[ 'validation in COPY' => 1, "COPY clicks ($columns) FROM STDIN;\n" . tsv('validation4') . tsv('validation4', email => mark('validation4', 'bad')) . "\\.\n" ],
	[ required => 1, insert('required', url => 'NULL') ],
	[ 'no key field' => 1, insert('nokey', session => 'NULL') ],
	[ 'empty key field' => 1, insert('emptykey', session => "''") ],
	[ 'boolean' => 1, insert('boolean') =~ s/\(strm_/(yes, strm_/r =~ s/VALUES \(/"VALUES ('" . mark('boolean', 'y') . "', "/er ],
	[ 'integer' => 1, insert('integer') =~ s/\(strm_/(n, strm_/r =~ s/VALUES \(/"VALUES ('" . mark('integer', 'n') . "', "/er ],
	[ 'integer in COPY' => 1, "COPY clicks (session, n) FROM STDIN;\n" . mark('integer2', 's') . "\t" . mark('integer2', 'n') . "\n\\.\n" ],
	[ 'long data subject' => 1, insert('subject', customer => "'" . mark('subject', 'c') . noise(2000) . "'") ],
	[ 'bad consent' => 1, insert('consent', levels => "'{-1}'") ],
	[ 'bad consent in COPY' => 1, "COPY clicks ($columns) FROM STDIN;\n" . tsv('consent2', levels => '{-1}') . "\\.\n" ],
	[ 'archived contract' => 1, "INSERT INTO gone (session) VALUES ('" . mark('gone', 's') . "')" ],
	[ 'archived contract in COPY' => 1, "COPY gone (session) FROM STDIN;\n" . mark('gone2', 's') . "\n\\.\n" ],
	[ 'forged seal' => 1, insert('seal') =~ s/\(strm_/(strm_seal, strm_/r =~ s/VALUES \(/VALUES ('x', /r ],
	[ 'two-dimensional' => 1, insert('dimensions', words => "'{{" . mark('dimensions', 'w') . "}}'") ],
	[ update => 1, "UPDATE clicks SET email = '" . mark('update', 'e') . "'" ],
	[ 'on conflict do update' => 1, insert('upsert') =~ s/\(strm_/(ref, strm_/r =~ s/VALUES \(/VALUES ('taken', /r
		  . " ON CONFLICT (ref) DO UPDATE SET email = EXCLUDED.email, session = '" . mark('upsert', 'u') . "'" ],
	[ 'into a derived stream' => 1, 'INSERT INTO clicks_1 (session, email) VALUES (' . join(', ', map { "'" . mark('derived', $_) . "'" } 's', 'e') . ')' ],
	[ 'update of a derived stream' => 1, "UPDATE clicks_1 SET email = '" . mark('derived2', 'e') . "'" ],
	[ 'statement timeout' => 0, "SET statement_timeout = '50ms'; INSERT INTO clicks (session, email, url) SELECT '" . mark('timeout', 's')
		  . "', '" . mark('timeout', 'e') . "\@', 'https://' || pg_sleep(100)" ],
	[ 'failed cast of a column' => 0, insert('cast') =~ s/\(strm_/(conversion, strm_/r =~ s/VALUES \(/"VALUES ('" . mark('cast', 'n') . "', "/er ],
	[ 'failed cast' => 0, insert('cast2', session => "'" . mark('cast2', 's') . "'::int") ],
	[ 'failed cast of consent' => 0, insert('cast3', levels => "'{" . mark('cast3', 'l') . "}'") ],
	[ 'failed cast in COPY' => 0, "COPY clicks (session, conversion) FROM STDIN;\n" . mark('cast4', 's') . "\t" . mark('cast4', 'n') . "\n\\.\n" ],
	[ 'bad array' => 0, insert('array', words => "'{" . mark('array', 'w') . "'") ],
	[ 'too many columns in COPY' => 0, "COPY clicks (session) FROM STDIN;\n" . tsv('columns') . "\\.\n" ],
	[ 'check constraint of a user' => 1, insert('check') =~ s/\(strm_/(conversion, strm_/r =~ s/VALUES \(/VALUES (1000, /r ],
	[ 'unique index of a user' => 1, insert('unique') =~ s/\(strm_/(ref, strm_/r =~ s/VALUES \(/VALUES ('taken', /r ],
	[ 'unique index of a user, in COPY' => 0, "COPY clicks (ref, session, customer, url) FROM STDIN;\ntaken\t" . mark('unique2', 's') . "\t" . mark('unique2', 'c') . "\thttps://x\n\\.\n" ],
	[ 'deferred trigger' => 1, insert('deferred') =~ s/\(strm_/(conversion, strm_/r =~ s/VALUES \(/VALUES (-1, /r ],
	[ 'runtime error' => 0, insert('runtime', words => "ARRAY['" . mark('runtime', 'w') . "', (1/(random()*0)::int)::text]") ],
	[ 'ingest: validation' => 1, "SELECT strm.ingest('clicks', '" . event('ingest2', email => mark('ingest2', 'e')) . "')" ],
	[ 'ingest: unknown field' => 1, "SELECT strm.ingest('clicks', '" . event('ingest3', nope => mark('ingest3', 'x')) . "')" ],
	[ 'ingest: type' => 1, "SELECT strm.ingest('clicks', '" . event('ingest4', n => mark('ingest4', 'n')) . "')" ],
	[ 'ingest: not json' => 0, "SELECT strm.ingest('clicks', '{" . mark('ingest5', 's') . "')" ],
	[ 'rolled back' => 0, 'BEGIN; ' . insert('rollback') . '; ' . insert('rollback2', email => "'" . mark('rollback2', 'e') . '@' . noise(100_000) . "'") . '; ROLLBACK; SELECT 1/0' ],
	[ 'rolled back subtransaction' => 0, "SELECT take_and_fail('" . join("', '", mark('sub', 's'), mark('sub', 'c'), mark('sub', 'e') . '@x') . "'), 1/0" ],
	[ 'rolled back two-phase' => 0, 'BEGIN; ' . insert('twophase2') . "; PREPARE TRANSACTION 'undone'; ROLLBACK PREPARED 'undone'; SELECT 1/0" ],
	[ 'replica role' => 1, 'SET session_replication_role = replica; ' . insert('replica') =~ s/\(strm_/(strm_contract_version, strm_nonce, strm_key_link, strm_seal, strm_/r
		  =~ s/VALUES \(/VALUES ('1.0.0', 1, gen_random_uuid(), 'x', /r ],
	[ 'replica role, COPY' => 1, "SET session_replication_role = replica;\nCOPY clicks (strm_contract_version, strm_nonce, strm_key_link, strm_seal, session, customer, email, url) FROM STDIN;\n"
		  . "1.0.0\t1\t00000000-0000-0000-0000-000000000001\tx\t" . mark('replica2', 's') . "\t" . mark('replica2', 'c') . "\t" . mark('replica2', 'e') . "\thttps://x\n\\.\n" ],
	[ 'triggers disabled' => 1, 'BEGIN; ALTER TABLE clicks DISABLE TRIGGER ALL; ' . insert('disabled') =~ s/\(strm_/(strm_contract_version, strm_nonce, strm_key_link, strm_seal, strm_/r
		  =~ s/VALUES \(/VALUES ('1.0.0', 1, gen_random_uuid(), 'x', /r . '; COMMIT' ],
	[ 'two streams, the second refuses' => 1, 'BEGIN; ' . insert('streams') . '; ' . (insert('streams', url => "''") =~ s/clicks/other/r) . '; COMMIT' ]);
my @ignored = (
	[ 'on conflict' => insert('conflict') =~ s/\(strm_/(ref, strm_/r =~ s/VALUES \(/VALUES ('taken', /r . ' ON CONFLICT DO NOTHING' ],
	[ 'on conflict with a target' => insert('conflict2') =~ s/\(strm_/(ref, strm_/r =~ s/VALUES \(/VALUES ('taken', /r . ' ON CONFLICT (ref) DO NOTHING' ],
	[ 'on conflict within the statement' => "INSERT INTO clicks (ref, $columns) VALUES " . join(', ', map { row('conflict3') =~ s/\(/('taken', /r } 1 .. 2) . ' ON CONFLICT DO NOTHING' ]);

my $rows = sub { $node->safe_psql('postgres', 'SELECT count(*) FROM clicks') };
for my $case (@stored)
{
	my ($rc, $out, $err) = $node->psql('postgres', "$case->[1];", on_error_stop => 1);
	is($err, '', "$case->[0]: stored");
	unlike($out, qr/$personal/, "$case->[0]: no value is returned");
}
my $before = $rows->();
for my $case (@refused)
{
	my ($name, $ours, $script) = @$case;
	my ($rc, $out, $err) = $node->psql('postgres', "$script;", on_error_stop => 0);
	like($err, qr/ERROR/, "$name: fails");
	unlike($err, qr/$personal/, "$name: the message has no value") if $ours;
}
for my $case (@ignored)
{
	my ($rc, $out, $err) = $node->psql('postgres', "$case->[1];");
	is($err, '', "$case->[0]: no error");
}
is($rows->(), $before, 'what was refused stored nothing');

# partitions: the rows of the present, then, with its partition detached, the default one, from where they are moved
my $today = $node->safe_psql('postgres', insert('part') =~ s/clicks/parts/r . ' RETURNING tableoid::regclass');
$node->safe_psql('postgres', insert('direct') =~ s/clicks/$today/r);
my $plain = "(strm_contract_version, strm_nonce, strm_timestamp, strm_key_link, strm_seal, session, url) VALUES ('1.0.0', 1, now(), gen_random_uuid(), 'x', '%s', 'https://x')";
for my $case ([ 'partition: validation' => insert('part2', url => "'ftp'") =~ s/clicks/parts/r ],
	[ 'partition: validation, directly' => insert('part3', url => "'ftp'") =~ s/clicks/$today/r ],
	[ 'partition: triggers disabled' => "BEGIN; ALTER TABLE $today DISABLE TRIGGER ALL; INSERT INTO $today " . sprintf($plain, mark('part4', 's')) . '; COMMIT' ],
	[ 'partition: detached' => "ALTER TABLE parts DETACH PARTITION $today; INSERT INTO $today " . sprintf($plain, mark('part5', 's')) ])
{
	my ($rc, $out, $err) = $node->psql('postgres', $case->[1]);
	like($err, qr/ERROR/, "$case->[0]: fails");
	unlike($err, qr/$personal/, "$case->[0]: the message has no value");
}
my $default = $node->safe_psql('postgres', insert('default') =~ s/clicks/parts/r . ' RETURNING tableoid::regclass');
isnt($default, $today, 'a row went to another partition');
$node->safe_psql('postgres', "DROP TABLE $today; SELECT strm.create_partitions('parts')");
is($node->safe_psql('postgres', 'SELECT d.session, p.tableoid::regclass FROM parts_1 d JOIN parts p USING (strm_key_link)'), "$personal-default-s|$today", 'it was moved');

# bind parameters of the extended protocol
my $script = file('extended.sql', "\\set url random(1, 2)\nINSERT INTO clicks (strm_consent_levels, session, customer, email, url) VALUES ('{1}', :s, :s, :e, :u);\n");
for my $mode (qw(extended prepared))
{
	for my $url ('https://x', mark($mode, 'u'))
	{
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'pgbench', '-n', '-t', '2', '-M', $mode, '-D', 's=' . mark($mode, 's'), '-D', 'e=' . mark($mode, 'e') . '@x', '-D', "u=$url",
			'-f', $script, $node->connstr('postgres') ], '>', \$out, '2>', \$err);
		like($out . $err, $url eq 'https://x' ? qr/transactions actually processed: 2/ : qr/ERROR/, "$mode protocol, url $url");
	}
	push @stored, [$mode];
}

# what was stored can be read, so the markers went the whole way
my $readable = $node->safe_psql('postgres', 'SELECT session, email FROM clicks_1');
ok($readable =~ /\Q$personal-$_->[0]-e\E/, "$_->[0]: can be read") for @stored;
ok($readable !~ /\Q$personal-$_-e\E/, "$_: is not there") for qw(rollback sub twophase2 savepoint-undone conflict streams replica disabled);

# data subjects: listed, found, one erased; a mask's seed is a secret as well
like($node->safe_psql('postgres', 'SELECT subject FROM strm.data_subjects(NULL, 1000)'), qr/$personal-simple-c/, 'data subjects are listed');
is($node->safe_psql('postgres', "SELECT count(*) FROM strm.data_subject_key_links('$personal-simple-c')"), 1, 'a data subject is found');
is($node->safe_psql('postgres', "SELECT strm.delete_data_subjects('$personal-prepared-c')"), 1, 'a data subject is erased');
$node->safe_psql('postgres', "SELECT strm.create_derived_stream('clicks', '{1}', name => 'masked', masked_fields => '{email,url}', mask_seed => '$personal-seed')");
$node->safe_psql('postgres', 'SELECT count(email), count(url) FROM masked; SELECT count(*) FROM strm.events(\'clicks_1\', NULL, 100000)');
$node->safe_psql('postgres', 'CREATE INDEX ON clicks (left(email, 200), left(customer, 200)); VACUUM FULL clicks; ANALYZE');

# each form in which a marker is looked for, in a field that is not personal
my %forms = forms_of($open);
$node->safe_psql('postgres', "INSERT INTO clicks (session, url) VALUES " . join(', ', map { "('s', 'https://$forms{$_}')" } keys %forms));
$node->safe_psql('postgres', "INSERT INTO clicks (session, url) VALUES ('s', 'https://$open-long" . noise(20_000) . "')");

# temporary files: the new rows of a statement whose trigger does not end, a held cursor over the stream
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(7)');
my $cursor = $node->background_psql('postgres');
$cursor->query_safe("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT c.*, g FROM clicks c, generate_series(1, 20) g; COMMIT");
my $writer = $node->background_psql('postgres');
my $writer_pid = $writer->query('SELECT pg_backend_pid()');
$writer->query_until(qr/writing/, "\\echo writing\nINSERT INTO clicks (strm_consent_levels, session, customer, email, url)\n"
	  . "SELECT '{1}', '$personal-temp-s' || i % 50, '$personal-temp-c', '$personal-temp-e\@' || i, 'https://$open-temp' FROM generate_series(1, 5000) i;\n");
$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $writer_pid") or die 'the trigger does not wait';
my @spilled = glob($node->data_dir . '/base/pgsql_tmp/*');
ok(scalar(grep { /pgsql_tmp$writer_pid\./ } @spilled), 'there is a temporary file of an INSERT');
ok(@spilled > 1, 'there is a temporary file of a cursor');
$node->safe_psql('postgres', 'CHECKPOINT');
finds('text', 'base/pgsql_tmp', 'the scan finds a temporary file', $node->data_dir . '/base/pgsql_tmp');
finds_nothing('temporary files', $node->data_dir . '/base/pgsql_tmp');

# --- batch jobs: files in, encrypted and derived data, keys and rejected records out; and what fails ---
my $place = '"data_connector_ref": {"name": "files"}';
my $csv = '"data_type": {"csv": {"charset": "UTF-8"}}';
$node->safe_psql('postgres', q{SELECT strm.create_data_connector('files', 'directory', '{}'), strm.create_data_connector('here', 'database', '{}')});

# Runs a job from a file with that content to outputs; its error.
sub batch_job
{
	my ($name, $content, $outputs, $more) = @_;
	my $type = $name =~ /jsonl$/ ? '"data_type": {"jsonl": {}}' : $csv;
	append_to_file("$jobs/$name", $content);
	my ($rc, $out, $err) = $node->psql('postgres', qq(CALL strm.run_batch_job(\$\${"source_data": {$place, "file_name": "$name", $type},
		"data_contract_ref": {"handle": "acme", "name": "scan", "version": "1.0.0"}, "consent": {"default_consent_levels": [1]},
		"encryption": {"timestamp_config": {"field": "at", "format": "yyyy-MM-dd HH:mm", "default_time_zone": {"id": "UTC"}}}, $outputs} \$\$)));
	return join "\n", grep { !/NOTICE/ } split /\n/, $err;
}

sub target { my ($name) = @_; return qq({"target": {$place, "file_name": "$name", $csv}}) }

my $head = "session,customer,email,n,url,at";
my @good = map { join ',', mark('job', "session$_"), mark('job', "customer$_"), mark('job', "e$_\@x"), $_, "$open://x", '2026-01-01 10:00' } 1 .. 3000;
s/\Q$open\E:/https:/ for @good;
my @bad = (join(',', mark('reject', 'session'), mark('reject', 'customer'), mark('reject', 'no address'), 1, 'https://x', '2026-01-01 10:00'),
	join(',', mark('reject', 'session'), mark('reject', 'customer'), mark('reject', 'e@x'), mark('reject', 'number'), 'https://x', '2026-01-01 10:00'),
	join(',', mark('reject', 'session'), mark('reject', 'customer'), mark('reject', 'e@x'), 1, 'https://x', mark('reject', 'time')));
my $derived = '"derived_data": [{"consent_levels": [1], "target": {' . "$place, \"file_name\": \"derived.csv\", $csv}}]";
is(batch_job('all.csv', join("\n", $head, @good, @bad), join(', ', '"encrypted_data": ' . target('encrypted.csv'), $derived, '"encryption_keys_data": ' . target('keys.csv'),
	'"max_rejects": 10, "rejects": ' . target('rejects.csv'))), '', 'a job to files');
like(slurp_file("$jobs/derived.csv"), qr/\Q$personal\E-job-customer2999/, 'its derived data is outside, in clear');
is(batch_job('stream.csv', join("\n", $head, @good), '"encrypted_data": {"target": {"stream": "public.clicks"}}'), '', 'a job to a stream');
is(batch_job('table.csv', join("\n", $head, @good), qq("encrypted_data": {"target": {"data_connector_ref": {"name": "here"}, "table": "public.encrypted"}})), '', 'a job to a table');
my $n = 0;
for my $content (join("\n", $head, @bad), join("\n", @good), join("\n", $head, $good[0], "\"" . mark('job', 'quote')), join("\n", $head, mark('job', 'short')),
	join("\n", $head, mark('job', "\xff\xfe") . $good[0]), join("\n", mark('job', 'bare') . ',' . mark('job', 'bare'), $good[0]))
{
	$n++;
	like(batch_job("bad$n.csv", $content, '"max_rejects": 0, "encrypted_data": ' . target("out$n.csv")), qr/ERROR/, "a job that fails, $n");
}
for my $content ('{"session": "' . mark('job', 'json') . '", ', '{"session": "' . mark('job', 'json') . '", "session": 1}', '["' . mark('job', 'json') . '"]', '{"' . mark('job', 'member') . '": 1}')
{
	$n++;
	like(batch_job("bad$n.jsonl", $content, '"max_rejects": 0, "encrypted_data": {"target": {"stream": "public.clicks"}}'), qr/ERROR/, "a job that fails, $n");
}

# the session that is in the middle of it crashes, and its temporary file stays
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
kill 9, $writer_pid;
eval { $_->quit } for $writer, $cursor, $holder;
$node->poll_query_until('postgres', 'SELECT true') or die 'no recovery';
like(slurp_file($node->logfile), qr/\(PID $writer_pid\) was terminated by signal 9/, 'the server crashed and recovered');
ok(scalar(glob($node->data_dir . "/base/pgsql_tmp/pgsql_tmp$writer_pid.*")), 'the temporary file is still there');
$node->safe_psql('postgres', insert('afterwards'));

# --- what is on disk ---

$node->backup('copy');
$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT');
my $decoded = $node->safe_psql('postgres', "SELECT data FROM pg_logical_slot_get_changes('scan', NULL, NULL)");
append_to_file("$scratch/decoded", $decoded);
like($decoded, qr/table strm\.data_key: INSERT/, 'logical decoding shows the key tables');
finds('text', 'decoded', 'the scan finds what logical decoding gives', "$scratch/decoded");
finds_nothing('logical decoding', "$scratch/decoded");

my $data = $node->data_dir;
my $copy = $node->backup_dir . '/copy';
my $heap = $node->safe_psql('postgres', "SELECT pg_relation_filepath('clicks')");
my $toast = $node->safe_psql('postgres', "SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE oid = 'clicks'::regclass");
for my $form (sort keys %forms)
{
	finds($form, "/$heap", "the scan finds $form in the heap", "$data/base");
	finds($form, 'pg_wal/', "the scan finds $form in the WAL", "$data/pg_wal");
}
finds('text', "/$toast", 'the scan finds text out of line', "$data/base");
finds('text', "/$heap", 'the scan finds the heap of a base backup', $copy);
$node->stop;
finds_nothing('data directory, WAL and statistics', $data);
finds_nothing('base backup', $copy);
finds_nothing('the server log', $node->logfile);
like(slurp_file($node->logfile), qr/row does not fit data contract/, 'the server log has the errors');
done_testing();
