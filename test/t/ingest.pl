# Queued ingestion: rows come into the stream exactly once and in order per key, whatever happens to the workers meanwhile;
# what the stream refuses is set aside; waiting for it; commands that want the tables or the database for themselves.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $scratch = PostgreSQL::Test::Utils::tempdir();
my $node = strm_node('main', init => [ allows_streaming => 1 ], conf => <<CONF);
max_worker_processes = 16
max_prepared_transactions = 4
strm_privacy.ingest_workers = 3
autovacuum = off
log_statement = none
log_error_verbosity = verbose
CONF
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One');
CREATE ROLE maker LOGIN IN ROLE strm_member, strm_approver;
CREATE ROLE producer LOGIN;
GRANT ALL ON SCHEMA public TO maker;
SQL
strm_contract($node, 'acme/queue/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'n', 'INTEGER', undef, 'required' ] ],
	'"dataSubjectField": "customer"');
my $workers = "SELECT count(*) FROM strm.workers WHERE kind = 'ingest' AND state = 'running'";

sub sql { return $node->safe_psql('postgres', @_) }
sub as_maker { return sql("SET ROLE maker; $_[0]") }
sub error_of { my ($rc, $out, $err) = $node->psql('postgres', $_[0]); return $err }
sub reaches { my ($query, $value, $name) = @_; return ok($node->poll_query_until('postgres', $query, $value), $name) }
sub set_workers
{
	my ($n) = @_;
	sql("ALTER SYSTEM SET strm_privacy.ingest_workers = $n");
	sql('SELECT pg_reload_conf()');
	return reaches("$workers", $n, "$n workers");
}
sub create
{
	my ($name, $more) = @_;
	as_maker("SELECT strm.create_stream('$name', contract => 'acme/queue/1.0.0', ingest => 'queued'" . ($more // '') . "); GRANT INSERT ON ${name}_inbox TO producer");
	as_maker("SELECT strm.create_derived_stream('$name', '{1}')");
	return;
}
sub queue
{
	my ($name, $rows) = @_;
	return sql("INSERT INTO ${name}_inbox (strm_consent_levels, session, customer, n) SELECT '{1}', s, c, n FROM ($rows) AS r (s, c, n)");
}
my $wait = sub { sql("SELECT strm.wait_for_ingest('$_[0]', '60 s')") };

# --- workers come with the first inbox ---
is(sql("SELECT count(*) FROM strm.workers WHERE kind = 'ingest'"), 0, 'without an inbox no worker');
create('qs');
reaches($workers, 3, 'with an inbox as many as are set');
is(sql("SELECT string_agg(what, ', ' ORDER BY what) FROM strm.workers WHERE kind = 'ingest'"),
	'ingest worker 1 of 3, ingest worker 2 of 3, ingest worker 3 of 3', 'each has its share');

# --- one row ---
queue('qs', "VALUES ('s-1', 'c-1', 1)");
$wait->('qs');
is(sql('SELECT session, customer, n, strm_consent_levels FROM qs_1'), 's-1|c-1|1|{1}', 'a row is moved and can be read');
is(sql('SELECT count(*) FROM qs_inbox'), 0, 'and is in the inbox no more');
is(sql("SELECT ingest, inbox::text, inbox_rows, inbox_age, inbox_faults FROM strm.streams"), 'queued|qs_inbox|0||0', 'strm.streams shows an empty queue');

# --- timestamps are those of the transaction that queued ---
sql("CREATE TABLE queued_at AS SELECT now() AS t LIMIT 0");
sql("BEGIN; INSERT INTO queued_at SELECT now(); INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) VALUES ('{1}', 's-t', 'c-t', 2); COMMIT");
$wait->('qs');
is(sql('SELECT count(*) FROM qs, queued_at WHERE n = 2 AND strm_timestamp = t::timestamptz(3)'), 1, 'a row has the timestamp of the transaction that queued it');

# --- order and exactly once: producers at the same time, workers whose number changes ---
# the owner's trigger notes in which order rows come
as_maker(<<'SQL');
CREATE TABLE seen (id bigserial, link uuid, n int);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen (link, n) VALUES (NEW.strm_key_link, NEW.n); RETURN NULL; END';
CREATE TRIGGER see AFTER INSERT ON qs FOR EACH ROW EXECUTE FUNCTION see();
SQL
my $disorder = 'SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY link ORDER BY id) AS before FROM seen) AS s WHERE before >= n';
my ($producers, $rows) = (4, 3000);
my @producers;
for my $p (1 .. $producers)
{
	my $script = "SET ROLE producer;\n";
	for (my $n = 1; $n <= $rows;)
	{
		if ($n % 3 == 0)
		{
			$script .= "COPY qs_inbox (strm_consent_levels, session, customer, n) FROM STDIN;\n";
			for (1 .. 50) { $script .= join("\t", '{1}', "p-$p-" . $n % 7, "c-$p", $n) . "\n"; $n++ }
			$script .= "\\.\n";
		}
		else { $script .= "INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) VALUES ('{1}', 'p-$p-" . $n % 7 . "', 'c-$p', $n);\n"; $n++ }
		$script .= "BEGIN; INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) VALUES ('{1}', 'undone', 'c', 0); ROLLBACK;\n" if $n % 100 == 1;
	}
	append_to_file("$scratch/$p.sql", $script);
	push @producers, IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', "$scratch/$p.sql", '2>', "$scratch/$p.err");
}
set_workers($_) for 1, 4, 0, 3;
for my $p (1 .. $producers)
{
	$producers[ $p - 1 ]->finish;
	is(slurp_file("$scratch/$p.err"), '', "producer $p has no error");
}
$wait->('qs');
is(sql("SELECT count(*), count(DISTINCT (session, n)), count(DISTINCT strm_key_link) FROM qs_1 WHERE session LIKE 'p-%'"),
	join('|', (sql("SELECT count(*) FROM qs WHERE n > 0 AND strm_key_link IN (SELECT link FROM seen)")) x 2, $producers * 7), 'each row is there once, each value has one key');
is(sql("SELECT min(c) = max(c) AND min(m) >= $rows FROM (SELECT split_part(session, '-', 2) AS p, count(*) AS c, max(n) AS m FROM qs_1 WHERE session LIKE 'p-%' GROUP BY 1) AS s"), 't', 'all that was acknowledged');
is(sql("SELECT count(*) FROM qs_1 WHERE session = 'undone'"), 0, 'nothing that was rolled back');
is(sql($disorder), 0, 'in order, key by key');
is(sql('SELECT count(*) FROM qs_inbox'), 0, 'and the inbox is empty');

# --- no worker: rows wait ---
set_workers(0);
queue('qs', "SELECT 'w-' || i % 3, 'c-w', i FROM generate_series(1, 100) i");
like(error_of("SELECT strm.wait_for_ingest('qs', '100 ms')"), qr/ERROR:  rows of inbox "qs_inbox" are not in the stream yet\nDETAIL:  Rows that wait: 100\.\nHINT:  No worker moves them/,
	'waiting without a worker ends with the timeout, and says why');
is(sql("SELECT inbox_rows, inbox_age > '0', inbox_faults FROM strm.streams"), '100|t|0', 'strm.streams shows how many wait, and that they do');
is(sql("SET ROLE strm_monitor; SELECT inbox_rows FROM strm.streams"), 100, 'also to a role that may not read the inbox');
is(sql("SELECT string_agg(x::text, '') FROM qs_inbox x") =~ /w-|c-w/, '', 'what waits is not readable');
like(error_of("SET ROLE producer; SELECT strm.wait_for_ingest('qs')"), qr/permission denied/, 'who has no role of ours may not wait');
like(error_of("SELECT strm.wait_for_ingest('qs', '-1 s')"), qr/timeout must not be negative/, 'a negative timeout is refused');
is(sql("BEGIN; INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) VALUES ('{1}', 'x', 'y', 1); DELETE FROM qs_inbox; ROLLBACK; SELECT count(*) FROM qs_inbox"), 100, 'a DELETE that is rolled back');
$node->restart;
set_workers(2);
$wait->('qs');
is(sql("SELECT count(*), count(DISTINCT n) FROM qs_1 WHERE session LIKE 'w-%'"), '100|100', 'after a restart, workers move what waited');
# rows of one's own transaction cannot be moved: they are not waited for
is(sql("BEGIN; INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) VALUES ('{1}', 'own', 'c', 1); SELECT strm.wait_for_ingest('qs', '20 s'); ROLLBACK; SELECT 1"), "\n1",
	'a transaction does not wait for its own rows');

# --- faults ---
create('qf');
as_maker("CREATE UNIQUE INDEX ON qf (n); ALTER TABLE qf ADD CONSTRAINT small CHECK (n < 1000000)");
as_maker(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.n % 100 = 13 THEN RAISE ''secret %'', NEW.n; END IF; RETURN NULL; END'});
as_maker('CREATE TRIGGER refuse AFTER INSERT ON qf FOR EACH ROW EXECUTE FUNCTION refuse()');
my $log = -s $node->logfile;
queue('qf', "SELECT 's-' || i % 20, 'c-' || i % 20, i FROM generate_series(1, 300) i UNION ALL VALUES ('s-7', 'twice', 7), ('s-big', 'c-big', 2000000)");
my ($rc, $out, $err) = $node->psql('postgres', "SELECT strm.wait_for_ingest('qf', '60 s')");
like($err, qr/^psql:.*WARNING:  rows of inbox "qf_inbox" were set aside: 5$/m, 'waiting ends, with a warning');
is(sql('SELECT strm_fault, count(*) FROM qf_inbox GROUP BY 1 ORDER BY 1'), "23505|1\n23514|1\nP0001|3", 'what the stream refuses is set aside, with its SQLSTATE');
is(sql('SELECT count(*), count(DISTINCT n) FROM qf'), '297|297', 'and all other rows are there');
is(sql("SELECT inbox_rows, inbox_faults FROM strm.streams WHERE stream = 'qf'::regclass"), '5|5', 'strm.streams counts them');
my $logged = slurp_file($node->logfile, $log);
like($logged, qr/rows of inbox "qf_inbox" were set aside/, 'it is logged');
like(sql(q{SELECT level, sqlstate, message FROM strm.entity_log WHERE entity = 'stream' AND name = 'qf' ORDER BY at LIMIT 1}), qr/^WARNING\|(23505|23514|P0001)\|queued rows were set aside: [^\n]+$/, 'and a message of the stream');
unlike($logged, qr/secret \d|twice|c-big|2000000/, 'without values');
as_maker('DROP TRIGGER refuse ON qf; ALTER TABLE qf DROP CONSTRAINT small');
like(error_of("SET ROLE producer; SELECT strm.retry_inbox('qf')"), qr/permission denied/, 'not everybody may have them tried again');
is(as_maker("SELECT strm.retry_inbox('qf')"), 5, 'the owner may');
$node->psql('postgres', "SELECT strm.wait_for_ingest('qf', '60 s')");
is(sql('SELECT string_agg(strm_fault, $$,$$) FROM qf_inbox'), '23505', 'what is mended goes through');
is(sql('SELECT count(*), count(*) FILTER (WHERE customer = $$twice$$) FROM qf_1'), '301|0', 'once');
as_maker('DELETE FROM qf_inbox');

# --- an archived contract: rows wait, they are not at fault ---
$log = -s $node->logfile;
set_workers(0);
queue('qs', "SELECT 'a-' || i % 3, 'c-a', i FROM generate_series(1, 10) i");
sql("SELECT strm.archive_data_contract('acme/queue/1.0.0')");
set_workers(2);
ok($node->wait_for_log(qr/rows of inbox "qs_inbox" wait: data contract "acme\/queue\/1\.0\.0" is not active/, $log), 'an archived contract is reported');
like(error_of("SELECT strm.wait_for_ingest('qs', '2 s')"), qr/Rows that wait: 10\.\nHINT:  What keeps them .* the server log/, 'and rows wait');
is(sql('SELECT count(*) FROM qs_inbox WHERE strm_fault IS NOT NULL'), 0, 'without a fault');
cmp_ok(() = slurp_file($node->logfile, $log) =~ /rows of inbox "qs_inbox" wait/g, '<=', 2, 'each worker says so once');
like(sql(q{SELECT DISTINCT level, sqlstate, message FROM strm.entity_log WHERE entity = 'stream' AND name = 'qs' AND message ~ 'archived|active'}), qr/^WARNING\|55000\|queued rows wait: data contract "acme\/queue\/1\.0\.0" is not active$/, 'also in messages of the stream');
sql("SELECT strm.activate_data_contract('acme/queue/1.0.0')");
$wait->('qs');
is(sql("SELECT count(*) FROM qs_1 WHERE session LIKE 'a-%'"), 10, 'when it is active again they are moved');

# --- back-pressure ---
set_workers(0);
sql("ALTER SYSTEM SET strm_privacy.inbox_max_rows = 100");
sql('SELECT pg_reload_conf()');
my $late = "INSERT INTO qs_inbox (strm_consent_levels, session, customer, n)";
my $copy = "COPY qs_inbox (strm_consent_levels, session, customer, n) FROM PROGRAM 'echo {1},b-copied,c-b,1' (DELIMITER ',')";
# a transaction is not held up by rows of its own: nobody could move them
is(sql("SET statement_timeout = '60s'; BEGIN; INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) SELECT '{1}', 'b-' || i % 3, 'c-b', i FROM generate_series(1, 150) i; $late VALUES ('{1}', 'b-0', 'c-b', 151); COMMIT; SELECT count(*) FROM qs_inbox"),
	151, 'a transaction is not held up by its own rows');
my $full = qr/ERROR:  54000: inbox "qs_inbox" is full\nDETAIL:  It has 100 rows or more that are not in the stream yet\.\nHINT:  Try again later\..*strm_privacy\.inbox_max_rows/;
for my $statement ("$late VALUES ('{1}', 'b-refused', 'c-b', 1)", $copy)
{
	like(error_of("\\set VERBOSITY verbose\nSET strm_privacy.inbox_full = 'error';\n$statement"), $full, 'a full inbox refuses rows, if that is set');
}
is(sql('SELECT count(*) FROM qs_inbox'), 151, 'and has those that it had');
like(error_of("SET statement_timeout = '500ms'; $late VALUES ('{1}', 'b-refused', 'c-b', 1)"), qr/canceling statement due to statement timeout/, 'it has producers wait; who waits can be cancelled');
my @waiting = map { IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $_ ], '<', \undef) } "$late VALUES ('{1}', 'b-late', 'c-b', 152)", $copy;
my $held = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^(INSERT INTO|COPY) qs_inbox' AND state = 'active' AND wait_event_type = 'Extension'";
reaches($held, 2, 'INSERT and COPY wait');
sql('SELECT pg_sleep(1.5)');
is(sql($held), 2, 'as long as no row is moved');
set_workers(2);
ok($_->finish, 'when there is room they go on, without an error') for @waiting;
$wait->('qs');
is(sql("SELECT string_agg(session || ' ' || c, ', ' ORDER BY session) FROM (SELECT session, count(*) AS c FROM qs_1 WHERE session LIKE 'b-%' GROUP BY 1) AS s"),
	'b-0 51, b-1 50, b-2 50, b-copied 1, b-late 1', 'all are moved that were taken, and none that was refused');
# more than fits goes through, while it is moved
for my $i (1 .. 20) { queue('qs', "SELECT 'bb-' || i % 3, 'c-b', $i * 100 + i FROM generate_series(1, 90) i") }
$wait->('qs');
is(sql("SELECT count(*), count(DISTINCT n) FROM qs_1 WHERE session LIKE 'bb-%'"), '1800|1800', 'more than fits at once goes through');
# the number of rows that wait is not exact: whom it holds up has the workers count, and does not wait for their next look
my $slow = sub { my ($since) = @_; return sql("SELECT extract(epoch FROM clock_timestamp() - '$since')") };
my $now = sub { return sql('SELECT clock_timestamp()') };
my $another = sub { sql("INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) VALUES ('{1}', 'b-more', 'c-b', $_[0])") };
my $refused = "INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) SELECT '{1}', 'b-0', 'c-b', 1 FROM generate_series(1, 200)";
$wait->('qs');
sleep 1;
my $since = $now->();
sql("DO \$\$ BEGIN BEGIN $refused; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END \$\$");
$another->(2);
cmp_ok($slow->($since), '<', 5, 'rows of a subtransaction that was rolled back hold nobody up for long');
as_maker('ALTER TABLE qs ADD CONSTRAINT never CHECK (n <> 1) NOT VALID');
sql($refused);
$wait->('qs');
like(error_of("SET strm_privacy.inbox_full = 'error'; $late VALUES ('{1}', 'b-late', 'c-b', 151)"), qr/ full/, 'rows that were set aside count');
$since = $now->();
as_maker('DELETE FROM qs_inbox; ALTER TABLE qs DROP CONSTRAINT never');
$another->(3);
cmp_ok($slow->($since), '<', 5, 'nor do rows that were deleted from the inbox');
sql("ALTER SYSTEM RESET strm_privacy.inbox_max_rows");
sql('SELECT pg_reload_conf()');

# --- a table that somebody has locked holds up its own rows only ---
create('ql');
$wait->('qs');
my $locker = $node->background_psql('postgres');
$locker->query_safe('SET ROLE maker; BEGIN; LOCK TABLE ql');
queue('ql', "VALUES ('l-1', 'c-l', 1)");
queue('qs', "VALUES ('l-1', 'c-l', 1)");
$since = $now->();
sql("SELECT strm.wait_for_ingest('qs', '20 s')");
cmp_ok($slow->($since), '<', 15, 'rows of others are moved while a stream is locked');
reaches("SELECT count(*) > 0 FROM strm.entity_log WHERE entity = 'stream' AND name ~ 'ql' AND message ~ 'lock timeout'", 't', 'why its rows wait is told');
$locker->query_safe('COMMIT');
$locker->quit;
$since = $now->();
$wait->('ql');
cmp_ok($slow->($since), '<', 15, 'and it goes on soon after');
is(sql('SELECT count(*) FROM ql_1'), 1, 'with its rows');
as_maker('DROP TABLE ql CASCADE');

# --- triggers that queue rows, or wait for them: the worker is not held up by what only it can change ---
create('qt');
as_maker(q{CREATE FUNCTION requeue() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) SELECT ''{1}'', ''t-1'', ''c-t'', i FROM generate_series(1, 30) AS i; RETURN NULL; END'});
as_maker('CREATE TRIGGER requeue AFTER INSERT ON qt FOR EACH STATEMENT EXECUTE FUNCTION requeue()');
sql("ALTER SYSTEM SET strm_privacy.inbox_max_rows = 10");
sql('SELECT pg_reload_conf()');
as_maker('ALTER TABLE qs ADD CONSTRAINT never CHECK (n < 100000) NOT VALID');
queue('qs', "SELECT 't-2', 'c-t', 100000 + i FROM generate_series(1, 20) i");
$wait->('qs');
queue('qt', "VALUES ('t-3', 'c-t', 1)");
sql("SELECT strm.wait_for_ingest('qt', '20 s')");
is(sql('SELECT count(*) FROM qt_1'), 1, 'a trigger queues rows in an inbox that is full');
as_maker('DELETE FROM qs_inbox WHERE strm_fault IS NOT NULL; ALTER TABLE qs DROP CONSTRAINT never');
$wait->('qs');
is(sql("SELECT count(*) FROM qs_1 WHERE session = 't-1'"), 30, 'which are moved, too');
sql("ALTER SYSTEM RESET strm_privacy.inbox_max_rows");
sql('SELECT pg_reload_conf()');
as_maker(q{CREATE OR REPLACE FUNCTION requeue() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM strm.wait_for_ingest(''qt''); RETURN NULL; END'});
queue('qt', "VALUES ('t-3', 'c-t', 2)");
reaches("SELECT count(*) > 0 FROM strm.entity_log WHERE entity = 'stream' AND name ~ 'qt' AND message ~ 'cannot wait'", 't', 'a trigger that waits for queued rows fails');
as_maker('DROP TRIGGER requeue ON qt');
$wait->('qt');
is(sql('SELECT count(*) FROM qt_1'), 2, 'and no row is lost');
as_maker('DROP TABLE qt CASCADE');

# --- a partitioned stream, other columns, transition tables ---
create('qp', ", partition_by => '1 day'");
as_maker('CREATE INDEX ON qp (n)');
as_maker(q{CREATE TABLE sums (s bigint); CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO sums SELECT sum(n) FROM new_rows; RETURN NULL; END'});
as_maker('CREATE TRIGGER add_up AFTER INSERT ON qp REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION add_up()');
# only a superuser can add one
sql("SET client_min_messages = error; ALTER TABLE qp ADD COLUMN note text DEFAULT 'def' || 'ault'");
queue('qp', "SELECT 's-' || i % 20, 'c-' || i % 20, i FROM generate_series(1, 3000) i");
$wait->('qp');
is(sql('SELECT count(*), count(DISTINCT n), min(note), max(note) FROM qp'), '3000|3000|default|default', 'a partitioned stream, with a column of its own');
is(sql('SELECT count(*) FROM qp, LATERAL (SELECT 1 WHERE qp.tableoid::regclass::text LIKE $$qp%$$) x'), 3000, 'rows are in partitions');
is(sql('SET enable_seqscan = off; SELECT count(*) FROM qp WHERE n BETWEEN 1 AND 3000'), 3000, 'and in their indexes');
is(sql('SELECT sum(s) FROM sums'), 3000 * 3001 / 2, 'triggers of statements see them');

# --- erasure waits for what is queued ---
queue('qs', "VALUES ('e-1', 'erased', 1), ('e-1', 'erased', 2)");
is(sql("SELECT strm.delete_data_subjects('erased')"), 1, 'a data subject whose events are queued is erased');
is(sql("SELECT count(*) FROM qs_1 WHERE customer = 'erased'"), 0, 'and cannot be read');
is(sql("SELECT count(*) FROM qs_inbox"), 0, 'nothing of it is left in the inbox');

# rows that the stream refused have no key: they are deleted where they are
$node->psql('postgres', "SELECT strm.wait_for_ingest('qf', '60 s')");
queue('qf', "VALUES ('s-1', 'aside', 1), ('s-1', 'aside', 2), ('s-1', 'aside-2', 3), ('s-1', 'kept', 4), ('s-2', NULL, 5)");
$node->psql('postgres', "SELECT strm.wait_for_ingest('qf', '60 s')");
is(sql("SELECT count(*) FROM qf_inbox WHERE strm_fault = '23505'"), 5, 'rows of data subjects that were set aside');
($rc, $out, $err) = $node->psql('postgres', "SET ROLE maker; BEGIN; SELECT strm.delete_data_subjects('asid', 'aside', NULL, ''); SELECT count(*) FROM qf_inbox; ROLLBACK");
is($out, "0\n3", 'are deleted when the data subjects are');
like($err, qr/NOTICE:  rows of the data subjects that were set aside in inboxes were deleted: 2$/m, 'and reported');
is(sql('SELECT count(*) FROM qf_inbox'), 5, 'with the transaction');
# who may erase needs no rights on the inbox
sql("CREATE ROLE eraser LOGIN IN ROLE strm_approver; SET ROLE eraser; SELECT strm.delete_data_subjects('aside', 'aside-2')");
as_maker("BEGIN; SELECT strm.retry_inbox('qf'); SELECT strm.delete_data_subjects('kept'); COMMIT");
$node->psql('postgres', "SELECT strm.wait_for_ingest('qf', '60 s')");
is(sql("SELECT count(*) FROM qf_inbox"), 1, 'also when they are to be tried again by the same transaction');
is(sql("SELECT count(*) FROM qf_1 WHERE customer IN ('aside', 'aside-2', 'kept')"), 0, 'and nowhere else');
# another session has them tried again between the last look whether any row waits and the deletion
queue('qf', "VALUES ('s-1', 'again', 1)");
$node->psql('postgres', "SELECT strm.wait_for_ingest('qf', '60 s')");
set_workers(0);
my $retrier = $node->background_psql('postgres');
$retrier->query_safe("BEGIN; LOCK TABLE qf_inbox IN SHARE MODE; SELECT strm.retry_inbox('qf')");
my $eraser = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT strm.delete_data_subjects('again')" ], '<', \undef);
reaches("SELECT count(*) = 1 FROM pg_locks WHERE relation = 'qf_inbox'::regclass AND NOT granted", 't', 'an erasure comes between');
$retrier->query_safe('COMMIT');
$retrier->quit;
ok($eraser->finish, 'and succeeds');
is(sql("SELECT count(*) FROM qf_inbox"), 1, 'rows that are tried again meanwhile are found');
set_workers(2);
as_maker('DELETE FROM qf_inbox');

# --- prepared transactions ---
sql("BEGIN; INSERT INTO qs_inbox (strm_consent_levels, session, customer, n) VALUES ('{1}', 'prep', 'c', 1); PREPARE TRANSACTION 'p'");
is(sql("SELECT strm.wait_for_ingest('qs', '20 s'); SELECT count(*) FROM qs_1 WHERE session = 'prep'"), "\n0", 'a prepared transaction is not waited for');
sql("COMMIT PREPARED 'p'");
$wait->('qs');
is(sql("SELECT count(*) FROM qs_1 WHERE session = 'prep'"), 1, 'when it is committed its rows are moved');

# --- TRUNCATE and VACUUM FULL of an inbox, between which rows come ---
for my $i (1 .. 4)
{
	queue('qs', "SELECT 'w-' || i % 3, 'c-w', $i * 20000 + i FROM generate_series(1, 15000) i");
	as_maker('TRUNCATE qs_inbox');
}
$wait->('qs');
is(sql("SELECT count(*) FROM strm.entity_log WHERE entity = 'stream' AND name ~ 'qs' AND message ~ 'read'"), 0, 'what was found before TRUNCATE is not looked for afterwards');
queue('qs', "SELECT 'v-' || i % 3, 'c-v', i FROM generate_series(1, 20000) i");
sql('VACUUM FULL qs_inbox');
$wait->('qs');
is(sql("SELECT count(*), count(DISTINCT n) FROM qs_1 WHERE session LIKE 'v-%'"), '20000|20000', 'VACUUM FULL meanwhile loses nothing');
is(sql($disorder), 0, 'and keeps the order');

# --- the inbox does not grow ---
for my $round (1 .. 12)
{
	queue('qs', "SELECT 'g-' || i % 300, 'c-g', i FROM generate_series(1, 4000) i");
	$wait->('qs');
}
cmp_ok(sql("SELECT pg_relation_size('qs_inbox')"), '<', 8 * 1024 * 1024, 'space of an inbox is used again') or diag(sql("SELECT pg_relation_size('qs_inbox')"));

# --- after a backlog it is made shorter ---
set_workers(0);
queue('qs', "SELECT 'h-' || i % 300, 'c-h', i FROM generate_series(1, 120000) i");
cmp_ok(sql("SELECT pg_relation_size('qs_inbox')"), '>', 8 * 1024 * 1024, 'a backlog is large');
set_workers(2);
$wait->('qs');
reaches("SELECT pg_relation_size('qs_inbox') < 1024 * 1024", 't', 'and afterwards the inbox is small again');

# --- commands that want the table ---
queue('qp', "SELECT 's-' || i, 'c', i FROM generate_series(1, 5000) i");
sql('DROP TABLE qp CASCADE');
is(sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'qp%'"), 0, 'DROP TABLE of a stream with queued rows takes the inbox along');
queue('qs', "VALUES ('after', 'c', 1)");
$wait->('qs');
is(sql("SELECT count(*) FROM qs_1 WHERE session = 'after'"), 1, 'and the workers go on');

# --- a standby ---
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'strm%'"), 0, 'a standby has no worker');
is($standby->safe_psql('postgres', "SELECT inbox_rows FROM strm.streams WHERE stream = 'qs'::regclass"), 0, 'strm.streams works there');
like(($standby->psql('postgres', "SELECT strm.wait_for_ingest('qs')"))[2], qr/on the primary only/, 'waiting does not');
set_workers(0);
queue('qs', "SELECT 'st-' || i % 3, 'c', i FROM generate_series(1, 50) i");
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT inbox_rows FROM strm.streams WHERE stream = 'qs'::regclass"), 50, 'rows that wait are there');
$node->stop;
$standby->promote;
$standby->safe_psql('postgres', 'ALTER SYSTEM SET strm_privacy.ingest_workers = 2');
$standby->safe_psql('postgres', 'SELECT pg_reload_conf()');
$standby->safe_psql('postgres', "SELECT strm.wait_for_ingest('qs', '60 s')");
is($standby->safe_psql('postgres', "SELECT count(*), count(DISTINCT n) FROM qs_1 WHERE session LIKE 'st-%'"), '50|50', 'after promotion they are moved');
$standby->stop;
$node->start;

# --- commands on the database, and DROP EXTENSION ---
set_workers(3);
is(($node->psql('postgres', 'CREATE DATABASE copy'))[2], '', 'another database');
$node->safe_psql('postgres', 'ALTER DATABASE postgres CONNECTION LIMIT -1');
$node->safe_psql('template1', 'ALTER DATABASE postgres RENAME TO moved');
$node->safe_psql('template1', 'ALTER DATABASE moved RENAME TO postgres');
$wait->('qs');
is(sql("SELECT count(*), count(DISTINCT n) FROM qs_1 WHERE session LIKE 'st-%'"), '50|50', 'ALTER DATABASE while workers run: they come back');
sql('DROP TABLE qs, qf CASCADE');
reaches("SELECT count(*) FROM strm.workers WHERE kind = 'ingest'", 0, 'with the last inbox the workers go');
sql('DROP EXTENSION strm_privacy');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'strm_privacy ingest worker'"), 0, 'DROP EXTENSION');
$node->stop;
done_testing();
