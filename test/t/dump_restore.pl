# pg_dump, pg_restore and pg_dumpall: whatever way a database with streams is taken to a cluster with the same master key,
# its rows are there byte for byte (encrypted once), derived streams read them, definitions and privileges are kept, and
# new rows can be inserted, under the keys that were there. Exporters do not begin to export from the copy.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $files = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $files;
my $source = strm_node('source', conf => "wal_level = logical\nstrm_privacy.connector_directory = '$files'\n");
my $key_file = strm_master_key_file($source);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $roles = 'CREATE ROLE shop IN ROLE strm_member, strm_approver; CREATE ROLE producer; CREATE ROLE analyst';

$source->safe_psql('postgres', 'CREATE DATABASE shop');
$source->safe_psql('shop', "CREATE EXTENSION strm_privacy; $roles;" . q{
SELECT strm.create_purpose(1, 'One'), strm.create_purpose(2, 'Two', 'the second'), strm.create_purpose(7, 'Seven');
SELECT strm.create_policy('short', interval '30 days', 'a policy', 'consent', 'destroy');
SELECT strm.activate_policy('short')});
strm_contract($source, 'acme/click/1.0.0',
	[ [ 'session', 'STRING', 1, 'required' ], [ 'customerId', 'STRING', 2 ], [ 'age', 'INTEGER', 1 ], [ 'ratio', 'FLOAT', 2 ],
	  [ 'tags', 'STRING', 2, 'repeated' ], [ 'url', 'STRING' ], [ 'clicks', 'LONG' ] ],
	'"dataSubjectField": "customerId"', 'shop');
strm_contract($source, 'acme/other/1.0.0', [ [ 'id', 'STRING' ] ], undef, 'shop');
$source->safe_psql('shop', q{
CREATE SCHEMA "Läden" AUTHORIZATION shop;
GRANT USAGE ON SCHEMA "Läden" TO PUBLIC;
SET ROLE shop;
SET search_path = "Läden";
SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0', policy => 'short', key_rotation => '2 days');
SELECT strm.create_stream('Über "alles"', contract => 'acme/click/1.0.0');
SELECT strm.create_stream('parted', contract => 'acme/click/1.0.0', partition_by => '1 day');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}', name => 'masked', masked_fields => '{customerId,url}', mask_seed => 'a seed');
SELECT strm.create_derived_stream('"Über ""alles"""', purposes => '{7}', name => '"up to 7"', consent_level_type => 'CUMULATIVE');
SELECT strm.create_derived_stream('parted', purposes => '{1}');
GRANT INSERT ON clicks TO producer;
GRANT INSERT (session, url, strm_consent_levels), SELECT (url) ON parted TO producer;
GRANT SELECT ON clicks_1_2, masked TO analyst WITH GRANT OPTION;
INSERT INTO clicks (strm_consent_levels, session, customer_id, age, ratio, tags, url, clicks)
SELECT ARRAY[1,2,7], 's' || i % 7, 'c' || i % 5, i, i / 3.0, ARRAY['x' || i, NULL, ''], 'u' || i, i FROM generate_series(1, 60) AS i;
INSERT INTO clicks (strm_consent_levels, session, customer_id, url) VALUES ('{1}', E'tab\t, newline\n, quote " \' and \\ backslash', '', E'\\.\n\\N'), ('{}', 'ünï', NULL, '');
INSERT INTO "Über ""alles""" (strm_consent_levels, session, customer_id, age) SELECT ARRAY[i % 8], 's' || i, 'c' || i, i FROM generate_series(1, 20) AS i;
INSERT INTO parted (strm_consent_levels, session, customer_id) SELECT '{1}', 's' || i, 'c' || i % 3 FROM generate_series(1, 20) AS i;
SELECT strm.delete_data_subjects('c19');});
$source->safe_psql('shop', q{SELECT strm.create_data_connector('files', 'directory', '{}'), strm.grant_data_connector('files', 'shop');
SET ROLE shop;
SELECT strm.create_batch_exporter('"Läden".clicks_1_2', 'files', 'click files', '5 min', 'a/b', compression => 'gzip')});

# Keys of a batch job group: those of a stream that is dropped, whose id the group gets.
my $group = $source->safe_psql('shop', q{
SET search_path = "Läden";
SELECT strm.create_stream('files', contract => 'acme/click/1.0.0') \g /dev/null
INSERT INTO files (session, customer_id) SELECT 's' || i, 'grouped' || i % 3 FROM generate_series(1, 9) AS i;
SELECT id FROM strm.streams WHERE stream = 'files'::regclass;
DROP TABLE files;});
$source->safe_psql('shop', qq{INSERT INTO strm.batch_job_group (id, owner, policy_id)
SELECT '$group', 'shop', id FROM strm.policies WHERE name = 'short'});

my @tables = ('clicks', '"Über ""alles"""', 'parted');
my @views = ('clicks_1_2', 'masked', '"up to 7"', 'parted_1');
my %definitions = (
	purposes => 'SELECT * FROM strm.purposes', policies => 'SELECT * FROM strm.policies', contracts => 'SELECT * FROM strm.data_contracts',
	streams => 'SELECT * FROM strm.streams', derived => 'SELECT * FROM strm.derived_streams',
	connectors => 'SELECT * FROM strm.data_connector', exporters => 'SELECT * FROM strm.batch_exporter',
	groups => 'SELECT * FROM strm.batch_job_group', 'exported keys' => "SELECT * FROM strm.export_keys('$group'::uuid)",
	keys => 'SELECT * FROM strm.data_key', tombstones => 'SELECT * FROM strm.data_key_tombstone', subjects => 'SELECT * FROM strm.data_subject_link',
	relations => q{SELECT oid::regclass, relkind, relowner::regrole, relreplident, reloptions, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid),
		(SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(relacl) AS a) FROM pg_class WHERE relnamespace = '"Läden"'::regnamespace AND relkind IN ('r', 'p', 'v', 'i', 'I')},
	columns => q{SELECT attrelid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull, attcollation, pg_get_expr(adbin, adrelid), attacl
		FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = '"Läden"'::regnamespace)},
	triggers => q{SELECT tgrelid::regclass, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = '"Läden"'::regnamespace)},
	constraints => q{SELECT conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN (SELECT oid FROM pg_class WHERE relnamespace = '"Läden"'::regnamespace)},
	'view definitions' => q{SELECT viewname, definition FROM pg_views WHERE schemaname = 'Läden'});

sub sql
{
	my ($node, $database, $sql, %option) = @_;
	return $node->safe_psql($database, qq{SET search_path = "Läden";\n} . ($option{role} ? "SET ROLE $option{role};\n" : '') . $sql);
}
# name => hash of its rows
sub state_of
{
	my ($node, $database) = @_;
	my %query = (%definitions, map { $_ => "SELECT * FROM $_" } @tables, @views);
	my @names = sort keys %query;
	my $rows = sql($node, $database, join ";\n", map {
		"SELECT count(*) || ' ' || md5(coalesce(string_agg(r, E'\\n' ORDER BY r COLLATE \"C\"), '')) FROM (SELECT q::text AS r FROM ($query{$_}) AS q) AS rows" } @names);
	my %state;
	@state{@names} = split /\n/, $rows;
	return \%state;
}

my $expected = state_of($source, 'shop');
is(sql($source, 'shop', 'SELECT count(*) FROM clicks'), 62, 'the source has rows');
is(sql($source, 'shop', q{SELECT count(*) FROM clicks_1_2 WHERE age = clicks AND ratio = clicks / 3.0::float8 AND tags = ARRAY['x' || clicks, NULL, ''] AND session = 's' || clicks % 7}), 60,
	'that derived streams show');

is($source->safe_psql('shop', q{SELECT count(*) > 0 FROM strm.entity_log WHERE name = 'click files'}), 't', 'an exporter has a state');

# What the restored database must be: the same, and alive
sub is_restored
{
	my ($node, $database, $name) = @_;
	is_deeply(state_of($node, $database), $expected, "$name: rows, definitions and privileges are the same");
	my $added = sql($node, $database, <<'SQL');
SET ROLE producer;
INSERT INTO clicks (strm_consent_levels, session, customer_id, age) VALUES ('{1,2}', 's1', 'new', 1000);
INSERT INTO parted (strm_consent_levels, session) VALUES ('{1}', 'snew');
RESET ROLE;
INSERT INTO "Über ""alles""" (strm_consent_levels, session) VALUES ('{7}', 's1');
SET ROLE analyst;
SELECT session, customer_id FROM clicks_1_2 WHERE age = 1000;
SELECT count(DISTINCT strm_key_link) FROM clicks_1_2 WHERE session = 's1';
RESET ROLE;
SELECT count(*) FROM parted_1 WHERE session = 'snew';
SELECT strm.create_data_contract('acme/new/1.0.0', '{"nodes": [{"type": "STRING", "name": "id"}]}', '{"keyField": "id"}') > (SELECT max(id) FROM strm.data_contracts WHERE name <> 'new');
SELECT count(*) FROM strm.data_subject_key_links('new');
SQL
	is($added, "s1|new\n1\n1\nt\n1", "$name: new rows, under the keys that were there; new definitions");
	is(sql($node, $database, "SELECT count(*) FROM strm.export_keys('$group'); SELECT strm.delete_data_subjects('grouped0');
		SELECT count(*) FROM strm.export_keys('$group'); SELECT count(*) FROM strm.data_keys WHERE batch_job_group = '$group' AND destroyed_at IS NOT NULL"),
		"9\n3\n6\n3", "$name: keys of a batch job group can be exported and erased");
	my ($rc, $out, $err) = $node->psql($database, q{UPDATE "Läden".clicks SET url = 'x'});
	like($err, qr/rows of stream "clicks" cannot be updated/, "$name: the triggers are in force");
	is($node->safe_psql($database, q{SELECT name, state, sqlstate, files, next_at, last_error FROM strm.batch_exporters; SELECT count(*) FROM strm.batch_exporter_state; SELECT count(*) FROM strm.entity_log}),
		"click files|ERROR|55000|0||the exporter belongs to another server or database, of which this one is a copy\n0\n0", "$name: nothing is exported from the copy");
}

my $same = strm_node('same', key_file => $key_file);
$same->safe_psql('postgres', "CREATE EXTENSION strm_privacy; $roles; DROP EXTENSION strm_privacy");
my $n = 0;
sub new_database { my ($node) = @_; my $name = 'copy_' . ++$n; $node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0"); return $name }
# A dump; fails the test when it warns
sub dump_ok
{
	my ($name, @options) = @_;
	my $file = "$dir/" . ++$n . '.dump';
	my ($out, $err) = ('', '');
	ok(IPC::Run::run([ 'pg_dump', @options, '-f', $file, '-d', $source->connstr('shop') ], '>', \$out, '2>', \$err), "$name: pg_dump");
	is($err, '', "$name: without a warning");
	return $file;
}
sub psql_ok
{
	my ($node, $database, $file, $name) = @_;
	my ($out, $err) = ('', '');
	ok(IPC::Run::run([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', $file ], '>', \$out, '2>', \$err), "$name: restored") or diag($err);
	return $err;
}
sub pg_restore_ok
{
	my ($node, $database, $file, $name, @options) = @_;
	my ($out, $err) = ('', '');
	ok(IPC::Run::run([ 'pg_restore', @options, '-d', $node->connstr($database), $file ], '>', \$out, '2>', \$err), "$name: restored") or diag($err);
	is($err, '', "$name: without a warning");
}

# --- whole ---
my $plain = dump_ok('plain SQL');
ok(slurp_file($plain) !~ /newline|backslash/, 'a dump holds no plaintext');
my $copy = new_database($same);
psql_ok($same, $copy, $plain, 'plain SQL');
is_restored($same, $copy, 'plain SQL');

my $clean = dump_ok('--clean', '--clean', '--if-exists');
psql_ok($same, $copy, $clean, '--clean over an older copy');
is_restored($same, $copy, '--clean over an older copy');

my $custom = dump_ok('custom format', '-Fc');
$copy = new_database($same);
pg_restore_ok($same, $copy, $custom, 'custom format, two jobs', '-j2');
is_restored($same, $copy, 'custom format, two jobs');
pg_restore_ok($same, $copy, $custom, 'custom format, --clean', '--clean', '--if-exists');
is_restored($same, $copy, 'custom format, --clean');
$copy = new_database($source);
pg_restore_ok($source, $copy, $custom, 'same cluster, one transaction', '--single-transaction');
is_restored($source, $copy, 'same cluster, one transaction');
$source->safe_psql($copy, q{SET ROLE shop; SELECT strm.resume_batch_exporter('click files')});
$source->poll_query_until($copy, q{SELECT state IN ('CREATING', 'RUNNING') FROM strm.batch_exporters}) or die;
is($source->safe_psql($copy, 'SELECT count(*) FROM strm.batch_exporter WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())'), 1, 'an exporter is taken over when that is asked for');
$source->safe_psql($copy, q{SELECT strm.drop_batch_exporter('click files')});
$source->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = '$copy')") or die;

# --- schema and data apart: the triggers are there when the rows come ---
my $schema = dump_ok('--schema-only', '--schema-only');
for my $case ([], ['--inserts'], ['--disable-triggers'], ['--load-via-partition-root'])
{
	my $name = join ' ', '--data-only', @$case;
	my $data = dump_ok($name, '--data-only', @$case);
	$copy = new_database($same);
	psql_ok($same, $copy, $schema, "$name: schema");
	psql_ok($same, $copy, $data, $name);
	is_restored($same, $copy, $name);
}

# --- one table ---
my $table = dump_ok('rows of one table', '--data-only', '-t', '"Läden".clicks');
$copy = new_database($same);
psql_ok($same, $copy, $plain, 'rows of one table: base');
sql($same, $copy, 'DELETE FROM clicks');
psql_ok($same, $copy, $table, 'rows of one table');
is_restored($same, $copy, 'rows of one table');

# a stream without its registry row: takes nothing in clear, can be read as ciphertext
$table = dump_ok('one table', '-t', '"Läden".clicks');
$copy = new_database($same);
$same->safe_psql($copy, 'CREATE EXTENSION strm_privacy; CREATE SCHEMA "Läden"');
psql_ok($same, $copy, $table, 'one table');
is(strm_row_hash($same, '"Läden".clicks', $copy), $expected->{clicks}, 'one table: the rows are the same');
my ($rc, $out, $err) = $same->psql($copy, q{INSERT INTO "Läden".clicks (session) VALUES ('planted7marker')});
like($err, qr/table "clicks" is not registered as a stream.*\n.*restore the tables of schema strm/, 'one table: INSERT is refused');
unlike($err, qr/planted7marker/, 'without the value');

# --- the whole cluster ---
my $cluster = strm_node('cluster', key_file => $key_file);
my $all = "$dir/all.sql";
$source->safe_psql('postgres', "DROP DATABASE $_") for grep /^copy/, split /\n/, $source->safe_psql('postgres', 'SELECT datname FROM pg_database');
command_ok([ 'pg_dumpall', '-f', $all, '-d', $source->connstr('postgres') ], 'pg_dumpall');
{
	my ($o, $e) = ('', '');
	IPC::Run::run([ 'psql', '-Xq', '-d', $cluster->connstr('postgres'), '-f', $all ], '>', \$o, '2>', \$e);
	is(join("\n", grep { /ERROR|WARNING/ && !/role "\w+" already exists/ } split /\n/, $e), '', 'pg_dumpall: restored');
}
is_restored($cluster, 'shop', 'pg_dumpall');

# --- a cluster with another master key: sealed rows and definitions arrive, and that the key is wrong is said ---
my $wrong = strm_node('wrong');
$wrong->safe_psql('postgres', "CREATE EXTENSION strm_privacy; $roles; DROP EXTENSION strm_privacy; CREATE DATABASE copy");
psql_ok($wrong, 'copy', $plain, 'another master key');
is(strm_row_hash($wrong, '"Läden".clicks', 'copy'), $expected->{clicks}, 'another master key: the rows are the same');
for my $statement (q{SELECT session FROM "Läden".clicks_1_2}, q{INSERT INTO "Läden".clicks (session) VALUES ('s1')})
{
	($rc, $out, $err) = $wrong->psql('copy', "\\set VERBOSITY verbose\n$statement");
	like($err, qr/ERROR:  (?:55000|XX001): .*(?:master key|key)/, "another master key: refused: $statement");
	is($out, '', 'and nothing shown');
}

# --- who may restore rows ---
my $sealed = sql($source, 'shop', q{COPY clicks TO STDOUT});
sql($source, 'shop', 'DELETE FROM clicks');
sub copy_in
{
	my ($role, $rows) = @_;
	my ($rc, $out, $err) = $source->psql('shop', qq{\\set VERBOSITY verbose\nSET search_path = "Läden"; SET ROLE $role;\nCOPY clicks FROM STDIN;\n$rows\n\\.\n}, on_error_stop => 0);
	return $err;
}
my $refused = copy_in('producer', $sealed);
like($refused, qr/ERROR:  42501: only the owner of a stream may insert rows that are sealed already/, 'a producer may not restore rows');
unlike($refused, qr/CONTEXT:  (?!COPY clicks, line 1$)/m, 'the message shows no row');
(my $forged = $sealed) =~ s/\{1,2,7\}/{1,2}/;
isnt($forged, $sealed, 'a row is changed');
like(copy_in('shop', $forged), qr/ERROR:  XX001: the seal of a row is not authentic/, 'nor may the owner bring back a row with other consent');
is(sql($source, 'shop', 'SELECT count(*) FROM clicks'), 0, 'nothing was stored');
is(copy_in('shop', $sealed), '', 'the owner may bring back the rows as they were');
is(strm_row_hash($source, '"Läden".clicks', 'shop'), $expected->{clicks}, 'and they are the same');

$_->stop for $source, $same, $cluster, $wrong;
done_testing();
