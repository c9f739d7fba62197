# Batch jobs as processes: states, cancelling, servers that stop and crash, rights, and what errors tell to whom.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $files = PostgreSQL::Test::Utils::tempdir();
my $node = strm_node('main', conf => <<CONF);
strm_privacy.connector_directory = '$files'
max_worker_processes = 16
restart_after_crash = on
CONF
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
CREATE ROLE alice LOGIN IN ROLE strm_member;
CREATE ROLE bob LOGIN IN ROLE strm_member;
CREATE ROLE carol LOGIN IN ROLE strm_admin;
SELECT strm.create_data_connector('files', 'directory', '{}'), strm.grant_data_connector('files', 'alice');
GRANT CREATE ON SCHEMA public TO alice;
SQL
strm_contract($node, 'acme/visits/1.0.0', [ [ 'session', 'STRING', undef ] ]);

# A configuration: records of a query, one column session, to a file (or another target as JSON).
my $nfile = 0;
sub job
{
	my ($query, $target, $more) = @_;
	$target //= '{"data_connector_ref": {"name": "files"}, "file_name": "out' . ++$nfile . '.csv"}';
	$more //= '';
	return qq(\$j\${"source_data": {"query": "SELECT s.*, '2024-03-01 12:00:00' AS at FROM ($query) AS s"},
		"encryption": {"timestamp_config": {"field": "at", "format": "yyyy-MM-dd HH:mm:ss", "default_time_zone": {"id": "UTC"}}},
		"event_contract_ref": "acme/visits/1.0.0", "encrypted_data": {"target": $target} $more}\$j\$);
}
my $blocked = "SELECT 's' AS session FROM pg_advisory_lock_shared(42)";    # until the test lets go of that lock

sub psql_as
{
	my ($role, $sql, %option) = @_;
	return $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ], %option);
}

# Queues a job and returns its id.
sub queue
{
	my ($role, $job) = @_;
	my ($rc, $id, $err) = psql_as($role, "SELECT strm.create_batch_job($job)");
	is($err, '', 'a job is queued') or BAIL_OUT($err);
	return $id;
}
sub states
{
	my ($id) = @_;
	return $node->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY n) FROM (SELECT state, min(number) AS n FROM strm.batch_job_states WHERE job_id = '$id' GROUP BY state) AS s");
}
sub reaches
{
	my ($id, $state, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT state = '$state' FROM strm.batch_jobs WHERE id = '$id'"), $name)
	  or diag $node->safe_psql('postgres', "SELECT state, sqlstate, message, detail FROM strm.batch_jobs WHERE id = '$id'");
}
sub outcome { my ($id) = @_; return $node->safe_psql('postgres', "SELECT state, sqlstate, message FROM strm.batch_jobs WHERE id = '$id'") }
sub files { opendir(my $dir, $files); return join ' ', sort grep { !/^\.\.?$/ } readdir $dir }

# A session that holds the lock that blocked jobs wait for.
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(42)');

# --- at once ---
(my $rc, my $out, my $err) = psql_as('alice', 'LISTEN strm_privacy; CALL strm.run_batch_job(' . job("SELECT current_user || ' ' || session_user AS session") . '); SELECT 1');
is($rc, 0, 'CALL runs a job') or diag $err;
my ($id) = $err =~ /NOTICE:  00000: batch job ([0-9a-f-]{36})\n/;
like($err, qr/batch job $id finished: 1 records read, 0 rejected/, 'and says so');
is(states($id), 'PENDING STARTED RUNNING FINISHED', 'its states');
like($out, qr/payload "\{"entity": "batch_job", "id": "$id", "name": null, "status": "FINISHED"\}"/, 'its end is notified');
like(slurp_file("$files/out1.csv"), qr/^"alice postgres"/m, 'it ran as its owner');
is($node->safe_psql('postgres', "SELECT owner, contract, row_count, rejected_count, finished_at >= started_at, group_id = id FROM strm.batch_jobs WHERE id = '$id'"),
	'alice|acme/visits/1.0.0|1|0|t|t', 'strm.batch_jobs tells of it');

($rc, $out, $err) = psql_as('alice', 'BEGIN; CALL strm.run_batch_job(' . job("SELECT 'x' AS session") . ')');
like($err, qr/ERROR:  25001: .*transaction block.*\nHINT:  \S/, 'not inside a transaction block');
($rc, $out, $err) = psql_as('alice', 'CALL strm.run_batch_job(' . job("SELECT 'x' AS session", '{"data_connector_ref": {"name": "files"}, "file_name": "out1.csv"}') . ')');
like($err, qr/ERROR:  22023: the batch job is not valid/, 'a target that exists is refused');
is($node->safe_psql('postgres', 'SELECT count(*) FROM strm.batch_jobs'), 1, 'a job that is not valid leaves nothing');

# --- queued ---
$id = queue('alice', job("SELECT 's' || i AS session FROM generate_series(1, 1000) AS i"));
reaches($id, 'FINISHED', 'a queued job is run');
is(states($id), 'PENDING STARTED RUNNING FINISHED', 'its states');
($rc, $out, $err) = psql_as('alice', 'BEGIN; SELECT strm.create_batch_job(' . job("SELECT 'x' AS session") . '); ROLLBACK');
is($node->safe_psql('postgres', 'SELECT count(*) FROM strm.batch_jobs'), 2, 'nothing is left of one that is rolled back');

# --- errors, and who learns what ---
$id = queue('alice', job("SELECT ('Jan Jansen' || i)::int::text AS session FROM generate_series(1, 3) AS i"));
reaches($id, 'ERROR', 'a query that fails');
like(outcome($id), qr/^ERROR\|22P02\|./, 'there is a message');
is($node->safe_psql('postgres', "SELECT count(*) FROM strm.batch_job_state WHERE batch_job_state::text LIKE '%Jansen%'"), 0, 'no value is stored');
unlike(slurp_file($node->logfile) =~ s/.*STATEMENT.*//gr =~ s/.*statement: .*(?:\n\t.*)*//gr, qr/Jan Jansen[123]/, 'nor logged');
my $look = "SELECT state, sqlstate, message IS NOT NULL FROM strm.batch_jobs WHERE id = '$id'";
is((psql_as('alice', $look))[1], 'ERROR|22P02|t', 'the owner sees the message');
is((psql_as('carol', $look))[1], 'ERROR|22P02|t', 'so does strm_admin');
is((psql_as('bob', $look))[1], 'ERROR|22P02|f', 'others do not');
is((psql_as('bob', "SELECT count(message), count(detail) FROM strm.batch_job_states WHERE job_id = '$id'"))[1], '0|0', 'nor in its states');
($rc, $out, $err) = psql_as('alice', 'CALL strm.run_batch_job(' . job('SELECT (1 / (i - 2))::text AS session FROM generate_series(1, 3) AS i') . ')');
like($err, qr/ERROR:  22012: /, "CALL raises the job's error");
is(files(), 'out1.csv out3.csv', 'what failed left no file');

# --- cancelling ---
$id = queue('alice', job($blocked));
reaches($id, 'RUNNING', 'a job runs');
($rc, $out, $err) = psql_as('bob', "SELECT strm.cancel_batch_job('$id')");
like($err, qr/ERROR:  42501: permission denied/, 'not everybody may cancel it');
($rc, $out, $err) = psql_as('alice', "SELECT strm.cancel_batch_job('$id')");
is($rc, 0, 'its owner may');
reaches($id, 'ERROR', 'it ends');
is(outcome($id), 'ERROR|57014|the batch job was cancelled', 'as cancelled');
($rc, $out, $err) = psql_as('alice', "SELECT strm.cancel_batch_job('$id')");
like($err, qr/ERROR:  55000: .*has ended/, 'once');
($rc, $out, $err) = psql_as('alice', "SELECT strm.cancel_batch_job('00000000-0000-0000-0000-000000000001')");
like($err, qr/ERROR:  42704: /, 'an unknown one');

sub call_in_background
{
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_until(qr/ready/, "\\echo ready\nCALL strm.run_batch_job(" . job($blocked) . ");\n");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM strm.batch_jobs WHERE state = 'RUNNING'"), 'CALL is at it');
	return ($session, $node->safe_psql('postgres', "SELECT id FROM strm.batch_jobs WHERE state = 'RUNNING'"));
}
for my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	(my $session, $id) = call_in_background();
	is($node->safe_psql('postgres', "SELECT $how(pid) FROM pg_stat_activity WHERE query LIKE 'CALL %' AND state = 'active'"), 't', $how);
	reaches($id, 'ERROR', "$how of the session ends the job");
	is(outcome($id), 'ERROR|57014|the batch job was cancelled', 'as cancelled');
	$session->{run}->finish;
}
(my $session, $id) = call_in_background();
$node->safe_psql('postgres', "SELECT strm.cancel_batch_job('$id')");
reaches($id, 'ERROR', 'a job of CALL can be cancelled like others');
$session->{run}->finish;
$id = queue('alice', job($blocked));
reaches($id, 'RUNNING', 'a job runs');
is($node->safe_psql('postgres', "SELECT what FROM strm.workers WHERE kind = 'job'"), "batch job $id", 'strm.workers shows its worker');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM strm.workers WHERE kind = 'job'");
reaches($id, 'ERROR', 'the end of the worker is its end');
is(outcome($id), 'ERROR|57P01|the batch job was ended by an administrator or the end of the server', 'as what it is');

# --- how many at once ---
$node->append_conf('postgresql.conf', 'strm_privacy.batch_max_workers = 1');
$node->reload;
my @ids = map { queue('alice', job($blocked)) } 1 .. 2;
reaches($ids[0], 'RUNNING', 'the first of two runs');
is((outcome($ids[1]) =~ /^(\w+)/)[0], 'PENDING', 'the second one waits');
$node->safe_psql('postgres', "SELECT strm.cancel_batch_job('$ids[1]')");
is(outcome($ids[1]), 'ERROR|57014|the batch job was cancelled', 'a waiting job is cancelled at once');
$ids[1] = queue('alice', job($blocked));
$node->append_conf('postgresql.conf', 'strm_privacy.batch_max_workers = 2');
$node->reload;
reaches($ids[1], 'RUNNING', 'with room for two it runs');

# --- progress, and three tries to start ---
append_to_file("$files/in.csv", "session,at\n1,2024-03-01 12:00:00\n");
$node->append_conf('postgresql.conf', 'strm_privacy.batch_max_workers = 3');
$node->reload;
my $from_file = '$j${"source_data": {"data_connector_ref": {"name": "files"}, "file_name": "in.csv"},
	"encryption": {"timestamp_config": {"field": "at", "format": "yyyy-MM-dd HH:mm:ss", "default_time_zone": {"id": "UTC"}}}, "event_contract_ref": "acme/visits/1.0.0",
	"encrypted_data": {"target": {"data_connector_ref": {"name": "files"}, "file_name": "late.csv"}}}$j$';
($rc, $id, $err) = psql_as('alice', "BEGIN; SELECT strm.create_batch_job($from_file);\n\\! rm $files/in.csv\nCOMMIT");
reaches($id, 'ERROR_STARTING', 'a job whose source has vanished');
ok($node->poll_query_until('postgres', "SELECT finished_at IS NOT NULL FROM strm.batch_jobs WHERE id = '$id'"), 'ends');
is($node->safe_psql('postgres', "SELECT string_agg(state, ' ' ORDER BY number), max(tries) FROM strm.batch_job_states s JOIN (SELECT id, tries FROM strm.batch_jobs) AS j ON j.id = s.job_id WHERE id = '$id'"),
	'PENDING STARTED ERROR_STARTING STARTED ERROR_STARTING STARTED ERROR_STARTING|3', 'after three tries');
ok($node->poll_query_until('postgres', "SELECT count(*) >= 2 FROM strm.batch_job_states WHERE job_id = '$ids[0]' AND state = 'RUNNING'"),
	'progress is written down while a job runs');
is($node->safe_psql('postgres', "SELECT max(since - previous) < '11 s' FROM (SELECT since, lag(since) OVER (ORDER BY number) AS previous FROM strm.batch_job_states WHERE job_id = '$ids[0]' AND state = 'RUNNING') AS s"),
	't', 'at least every ten seconds');

# --- copies, stops, crashes ---
($rc, $out, $err) = $node->psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
like($err, qr/being accessed by other users/, 'a database in which a job runs is in use');
$node->safe_psql('postgres', "SELECT strm.cancel_batch_job('$_')") for @ids;
reaches($_, 'ERROR', 'cancelled') for @ids;
$node->append_conf('postgresql.conf', 'strm_privacy.batch_max_workers = 0');
$node->reload;
$id = queue('alice', job("SELECT 'once' AS session"));
$holder->quit;
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
ok($node->poll_query_until('copy', "SELECT state = 'ERROR' AND sqlstate = '55000' FROM strm.batch_jobs WHERE id = '$id'"),
	'a copy of the database does not run the job again');
$node->append_conf('postgresql.conf', 'strm_privacy.batch_max_workers = 2');
$node->reload;
reaches($id, 'FINISHED', 'the original does');

$holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(42)');
my $before = files();
$id = queue('alice', job($blocked));
reaches($id, 'RUNNING', 'a job runs');
$node->stop('fast');
is(files(), $before, 'the stop of the server takes the temporary file away');
$node->start;
is((outcome($id) =~ /^(\w+\|\w+)/)[0], 'ERROR|57P01', 'the job ended with the server');

$holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(42)');
$id = queue('alice', job($blocked));
my $waiting = queue('alice', job("SELECT 'patient' AS session FROM pg_advisory_lock_shared(43)"));
reaches($id, 'RUNNING', 'a job runs');
isnt(files(), $before, 'there is a temporary file');
kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM strm.workers WHERE kind = 'job' AND what LIKE '%$id'");
$node->poll_query_until('postgres', 'SELECT true');
reaches($id, 'ERROR', 'after a crash the job is in error');
like(outcome($id), qr/^ERROR\|57P02\|the process that ran the batch job is gone$/, 'and says why');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM strm.batch_job_intent'), 'what it left is taken away');
unlike(files(), qr/\.tmp/, 'there is no temporary file any more');

# --- users' code has its owner's rights only ---
psql_as('alice', <<'SQL');
CREATE TABLE visits (session text, "strmMeta.eventContractRef" text, "strmMeta.nonce" text, "strmMeta.timestamp" text,
	"strmMeta.keyLink" text, "strmMeta.billingId" text, "strmMeta.consentLevels" text);
CREATE TABLE seen (role text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (current_user); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER see AFTER INSERT ON visits DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
CREATE FUNCTION postpone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NEW; END';
SQL
($rc, $out, $err) = psql_as('alice', 'CALL strm.run_batch_job(' . job("SELECT 's' AS session", '{"table": "public.visits"}') . ')');
is($rc, 0, 'a table with a deferred trigger as target') or diag $err;
is($node->safe_psql('postgres', 'SELECT * FROM seen'), 'alice', "the trigger ran with its owner's rights");
psql_as('alice', 'TRUNCATE visits; CREATE TRIGGER postpone BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION postpone()');
($rc, $out, $err) = psql_as('alice', 'CALL strm.run_batch_job(' . job("SELECT 's' AS session", '{"table": "public.visits"}') . ')');
like($err, qr/ERROR:  42501: cannot fire deferred trigger/, 'one that postpones itself to the commit is refused');
is($node->safe_psql('postgres', "SELECT count(*) FROM seen WHERE role <> 'alice'"), 0, 'and ran as nobody else');

# a trigger of the target that quotes the row
psql_as('alice', <<'SQL');
DROP TRIGGER postpone ON visits;
CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RAISE WARNING ''warns of %'', NEW.session; RAISE EXCEPTION ''refuses %'', NEW.session USING DETAIL = NEW.session; END';
CREATE TRIGGER quote BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION quote();
SQL
$id = queue('alice', job("SELECT 'Jan ' || 'Pietersen' AS session", '{"table": "public.visits"}'));
reaches($id, 'ERROR', 'a trigger that quotes the row in its error');
like(outcome($id), qr/^ERROR\|P0001\|./, 'the error is kept');
is($node->safe_psql('postgres', "SELECT count(*) FROM strm.batch_job_state s WHERE s::text LIKE '%Pietersen%'"), 0, 'the value is not');
unlike(slurp_file($node->logfile), qr/Jan Pietersen/, 'nor is it in the log');

# --- DROP EXTENSION while a job runs that commits as it goes ---
$before = files();
append_to_file("$files/long.csv", "session,at\n" . join('', map { "$_,2024-03-01 12:00:00\n" } 1 .. 400_000));
$node->safe_psql('postgres', 'CREATE DATABASE dropped');
$node->safe_psql('dropped', q{CREATE EXTENSION strm_privacy; SELECT strm.create_data_connector('files', 'directory', '{}')});
strm_contract($node, 'acme/visits/1.0.0', [ [ 'session', 'STRING', undef ] ], undef, 'dropped');
my $long = $node->safe_psql('dropped', 'SELECT strm.create_batch_job(' . ($from_file =~ s/in\.csv/long.csv/r) . ')');
ok($node->poll_query_until('dropped', "SELECT row_count > 0 FROM strm.batch_jobs WHERE id = '$long'"), 'a job runs');
like(files(), qr/\.late\.csv\.\S*tmp/, 'there is a temporary file');
$node->safe_psql('dropped', 'DROP EXTENSION strm_privacy');
ok($node->poll_query_until('dropped', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'strm_privacy%' AND datname = 'dropped'"),
	'DROP EXTENSION ends it');
unlink "$files/long.csv";
is(files(), $before, 'it takes away what it had written');
like(slurp_file($node->logfile), qr/batch job $long failed: the extension was dropped while the batch job ran/, 'the log says so');

# --- how long jobs are kept ---
my $kept = $node->safe_psql('postgres', "SELECT count(*) - 2 FROM strm.batch_jobs");
$node->safe_psql('postgres', <<SQL);
UPDATE strm.batch_job_state SET since = since - interval '2557 days' WHERE job_id = '$id';
INSERT INTO strm.policy (id, name, retention, on_expiry, state, created_by)
  VALUES ('00000000-0000-0000-0000-000000000007', 'A week', '7 days', 'retain', 'active', 'postgres');
UPDATE strm.batch_job_group SET policy_id = '00000000-0000-0000-0000-000000000007' WHERE id = '$ids[0]';
UPDATE strm.batch_job_state SET since = since - interval '8 days' WHERE job_id IN ('$ids[0]', '$ids[1]');
SELECT pg_terminate_backend(pid) FROM strm.workers WHERE kind = 'scheduler';
SQL
ok($node->poll_query_until('postgres', "SELECT count(*) = $kept FROM strm.batch_jobs"), 'jobs are forgotten in the end');
is($node->safe_psql('postgres', "SELECT string_agg(id::text, ' ') FROM strm.batch_jobs WHERE id IN ('$id', '$ids[0]', '$ids[1]')"), $ids[1],
	'those that are older than the retention of the policy');
is($node->safe_psql('postgres', "SELECT count(*) FROM strm.batch_job_state WHERE job_id IN ('$id', '$ids[0]')"), 0, 'with their states');
is($node->safe_psql('postgres', "SELECT count(*) FROM strm.batch_job_group WHERE id = '$ids[0]'"), 1, 'their groups, which own keys, are not');

$node->stop;
done_testing();
