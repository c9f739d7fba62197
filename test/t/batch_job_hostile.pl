# Batch jobs among hostile neighbours: messages that quote rows, another database that is told more than one statement, a
# connector that leads back here, and contracts that a job would approve.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $root = PostgreSQL::Test::Utils::tempdir();
my $node = strm_node('hostile', conf => "fsync = off\nlisten_addresses = '127.0.0.1'\nstrm_privacy.connector_directory = '$root'\n");
my $port = $node->port;
my $marker = 'mrs.marker@example.com';

sub value { my ($sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql) }

value(q{CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'Analytics')});
strm_contract($node, 'acme/visit/1.0.0', [ [ 'session', 'STRING', 1, 'required' ], [ 'who', 'STRING', 1 ] ]);
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
$node->reload;
value("CREATE ROLE other LOGIN PASSWORD 'pass'");
value('CREATE DATABASE other OWNER other');
value(<<SQL);
CREATE ROLE mallory LOGIN; CREATE ROLE second NOLOGIN IN ROLE strm_approver; CREATE ROLE author LOGIN IN ROLE strm_member, second;
GRANT strm_member, strm_approver TO mallory;
GRANT CREATE ON SCHEMA public TO mallory;
SELECT strm.create_data_connector('other', 'database', '{"uri": "postgresql://127.0.0.1:$port/other"}', '{"username": "other", "password": "pass"}'),
       strm.create_data_connector('here', 'database', '{}'), strm.create_data_connector('files', 'directory', '{}');
SELECT strm.grant_data_connector(c, 'mallory') FROM unnest('{other,here,files}'::text[]) AS c;
CREATE TABLE public.plain (session text, who text, at text);
GRANT SELECT ON public.plain TO PUBLIC;
INSERT INTO public.plain VALUES ('s', '$marker', '2026-01-01 10:00');
SQL

my $file = '"data_connector_ref": {"name": "files"}, "data_type": {"csv": {"charset": "UTF-8"}}';

# Runs a job as role; its error. set: statements before.
sub job
{
	my ($role, $source, $outputs, $set) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', qq(SET SESSION AUTHORIZATION $role; ) . ($set // '') . qq(CALL strm.run_batch_job(\$job\${"source_data": {$source},
		"data_contract_ref": {"handle": "acme", "name": "visit", "version": "1.0.0"}, "consent": {"default_consent_levels": [1]},
		"encryption": {"timestamp_config": {"field": "at", "format": "yyyy-MM-dd HH:mm", "default_time_zone": {"id": "UTC"}}},
		$outputs}\$job\$)), extra_params => ['--set=VERBOSITY=verbose']);
	return join "\n", grep { !/NOTICE|^LOCATION/ } split /\n/, $err;
}

# --- what a trigger raises quotes the row, under whatever SQLSTATE ---
sub trigger
{
	my ($code) = @_;
	return qq{CREATE OR REPLACE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'I saw %', NEW.who USING ERRCODE = '$code'; END \$\$;};
}
my $create = 'CREATE TABLE target (session text, who text);';
my $attach = 'CREATE TRIGGER quote BEFORE INSERT ON target FOR EACH ROW EXECUTE FUNCTION quote();';
my $derived = '"encrypted_data": {"target": {' . $file . ', "file_name": "out.csv", "overwrite": true}}, "derived_data": [{"consent_levels": [1], "target":';
value("SET SESSION AUTHORIZATION mallory; $create" . trigger('23505') . $attach);
value('CREATE TABLE target (session text, who text, "strmMeta.eventContractRef" text, "strmMeta.nonce" text, "strmMeta.timestamp" text, "strmMeta.keyLink" text, "strmMeta.billingId" text, "strmMeta.consentLevels" text);
	ALTER TABLE target OWNER TO other;' . trigger('23505') . $attach, 'other');
value('ALTER TABLE target ADD "strmMeta.eventContractRef" text, ADD "strmMeta.nonce" text, ADD "strmMeta.timestamp" text, ADD "strmMeta.keyLink" text,
	ADD "strmMeta.billingId" text, ADD "strmMeta.consentLevels" text');
for my $code (qw(23505 22023 P0001 55000 42501 XX001 57014))
{
	value(trigger($code));
	value(trigger($code), 'other');
	my $error = job('mallory', '"table": "public.plain"', $derived . '{"table": "public.target"}}]');
	like($error, $code eq '57014' ? qr/ERROR:/ : qr/ERROR:  $code: /, "a trigger here raises $code");
	unlike($error, qr/saw|marker/, 'and its message is not passed on');
	$error = job('mallory', '"table": "public.plain"', $derived . '{"data_connector_ref": {"name": "other"}, "table": "target"}}]');
	like($error, qr/ERROR:  ...../, "a trigger in another database raises $code");
	unlike($error, qr/saw|marker/, 'and its message is not passed on');
}
is(value("SELECT count(*) FROM strm.batch_job_state WHERE concat(message, detail, hint) ~ 'saw|marker'"), 0, 'no message of theirs is stored');
value('DROP FUNCTION quote() CASCADE');
value('DROP FUNCTION quote() CASCADE; ALTER TABLE target ADD CHECK (false)', 'other');
like(job('mallory', '"table": "public.plain"', $derived . '{"data_connector_ref": {"name": "other"}, "table": "target"}}]'),
	qr/ERROR:  23514: table "target": new row for relation "target" violates check constraint "target_check"/, 'what a constraint says is passed on');

# --- settings that the owner's code makes are not the worker's, which goes on after the commit before files appear ---
value(q{SET SESSION AUTHORIZATION mallory; CREATE FUNCTION public.settle() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
	PERFORM set_config('default_transaction_read_only', 'on', false), set_config('search_path', 'public', false), set_config('lock_timeout', '1', false); RETURN 's'; END $$});
is(job('mallory', q{"query": "SELECT public.settle() AS session, 'w' AS who, '2026-01-01 10:00' AS at"}, '"encrypted_data": {"target": {' . $file . ', "file_name": "settled.csv"}}'), '',
	'a job whose source makes settings');

# --- the connectors' directory has nothing of the server's ---
my $space = PostgreSQL::Test::Utils::tempdir();
value("CREATE TABLESPACE space LOCATION '$space'");
for my $case ([ $space, qr/is, holds or is inside a tablespace/ ], [ "$space/PG_15", qr/is not an existing directory/ ], [ $node->data_dir . '/base', qr/is inside the data directory/ ])
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET strm_privacy.connector_directory = '$case->[0]'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('strm_privacy.connector_directory') = '$case->[0]'");
	like(job('mallory', "$file, \"file_name\": \"x.csv\"", '"encrypted_data": {"target": {"table": "public.never"}}'), $case->[1], "not in $case->[1]");
}
value('ALTER SYSTEM RESET strm_privacy.connector_directory');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('strm_privacy.connector_directory') = '$root'");

# --- one statement here, many there ---
my $query = q{SELECT 's' AS session, 'w' AS who, '2026-01-01 10:00' AS at, '\\\\') AS x; COMMIT; CREATE TABLE pwned (); SELECT FROM (SELECT 1 --' AS z};
like(job('mallory', qq("data_connector_ref": {"name": "other"}, "query": "$query"), '"encrypted_data": {"target": {' . $file . ', "file_name": "out.csv", "overwrite": true}}',
	'SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = on; '), qr/cannot insert multiple commands|ERROR/, 'a query that is several statements there');
is(value("SELECT to_regclass('pwned') IS NULL", 'other'), 't', 'is not run there');

# --- a connector that leads to this database is no other one: its rows appear with all the rest, or not at all ---
value(<<SQL);
CREATE FUNCTION public.intrude() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$ BEGIN COPY (SELECT 1) TO '$root/taken.csv'; RETURN NULL; END \$\$;
TRUNCATE target;
CREATE TRIGGER intrude AFTER INSERT ON target FOR EACH STATEMENT EXECUTE FUNCTION public.intrude();
SQL
for my $here ('', '"data_connector_ref": {"name": "here"}, ')
{
	unlink "$root/taken.csv";
	like(job('mallory', '"table": "public.plain"', '"encrypted_data": {"target": {' . $file . ', "file_name": "taken.csv"}}, "derived_data": [{"consent_levels": [1], "target": {' . $here . '"table": "public.target"}}]'),
		qr/ERROR:  42710: file "taken.csv" of the data connector already exists/, 'a file that cannot be published' . ($here ? ', beside a connector to this database' : ''));
	is(value('SELECT count(*) FROM target'), 0, 'leaves no row behind');
}

# --- a job's owner is nobody who logged in: it cannot hide who the author of a contract is ---
value(q{SET SESSION AUTHORIZATION author; SELECT strm.create_data_contract('acme/mine/1.0.0', schema => '{"nodes": [{"type": "STRING", "name": "id", "required": true}]}', contract => '{"keyField": "id", "piiFields": {"id": 1}}'),
	strm.review_data_contract('acme/mine/1.0.0')});
like(($node->psql('postgres', q{SET SESSION AUTHORIZATION author; SET ROLE second; SELECT strm.approve_data_contract('acme/mine/1.0.0')}))[2], qr/cannot be approved by the author/, 'the author cannot approve as another role');
value(q{GRANT second TO author; CREATE FUNCTION public.approve() RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM strm.approve_data_contract('acme/mine/1.0.0'); RETURN 's'; END $$; SELECT strm.grant_data_connector('files', 'second')});
like(job('author', q{"query": "SELECT public.approve() AS session, 'w' AS who, '2026-01-01 10:00' AS at"}, '"encrypted_data": {"target": {' . $file . ', "file_name": "out.csv", "overwrite": true}}', 'SET ROLE second; '),
	qr/ERROR:  42501: data contract "acme\/mine\/1.0.0" cannot be approved within a security-restricted operation/, 'nor have a job do it');
is(value("SELECT state FROM strm.data_contracts WHERE ref = 'acme/mine/1.0.0'"), 'IN_REVIEW', 'it is not approved');

$node->stop;
# what other databases and users log themselves is theirs
my @ours = grep { /LOG:  batch job|(?:pl|\]) (?:ERROR|DETAIL|WARNING):/ } split /\n/, slurp_file($node->logfile);
cmp_ok(scalar(@ours), '>', 10, 'the log has the errors');
is(join("\n", grep { /saw|marker/ } @ours), '', 'and no value of a row');
done_testing();
