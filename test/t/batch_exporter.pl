# Batch exporters to a directory: what is in the files is what strm.events() shows, each event once, whatever transactions do.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmBatchExport;
use StrmTest;
use Test::More;

my ($node, $dir) = strm_export_node('main', conf => "strm_privacy.batch_export_file_size = 1MB\n");

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub insert { my ($from, $to, $more) = @_; sql("INSERT INTO clicks (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 50, i FROM generate_series($from, $to) AS i"); return }
sub numbers { my ($name) = @_; return join ' ', sort { $a <=> $b } strm_export_numbers($dir, $name) }
sub list { my ($from, $to) = @_; return join ' ', $from .. $to }
sub tick { my (@names) = @_; ok(strm_export_tick($node, @names), 'exported: ' . join(', ', @names)); return }
sub name_of { my ($path) = @_; return $path =~ s{^\Q$dir\E/}{}r }
sub state { my ($name, $what) = @_; return sql("SELECT $what FROM strm.batch_exporters WHERE name = '$name'") }

# --- what is in the files ---
insert(1, 100);
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'new one', path_prefix => 'a/b', every => '30 s')");
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'all', include_existing_events => true, compression => 'gzip')");
sql("SELECT strm.create_batch_exporter('clicks_1', 'files', name => 'derived', include_existing_events => true)");
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'keys', include_existing_events => true, export_keys => true)");
my @names = ('new one', 'all', 'derived', 'keys');
ok($node->poll_query_until('postgres', "SELECT count(*) = 4 FROM strm.batch_exporters WHERE state = 'RUNNING'"), 'all run');
is(numbers('all'), list(1, 100), 'existing events are exported where they are wanted');
is(scalar(strm_export_files($dir, 'new_one')), 0, 'and not where not: no empty file');
insert(101, 150);
tick(@names);
is(numbers('new_one'), list(101, 150), 'events since the definition');
is(numbers('all'), list(1, 150), 'existing ones and later ones, each once');
is(join("\n", sort(strm_export_lines($dir, 'all'))), join("\n", sort split /\n/, sql("SELECT strm.events('clicks', max_rows => 1000)")),
	'events as strm.events() shows them');
is(join("\n", sort(strm_export_lines($dir, 'derived'))), join("\n", sort split /\n/, sql("SELECT strm.events('clicks_1', max_rows => 1000)")),
	'and of the derived stream');
sql('CREATE TABLE key_file (link uuid, keyset jsonb, policy text, expires bigint)');
sub key_rows
{
	sql("TRUNCATE key_file; " . join ' ', map { "COPY key_file FROM '$_' (FORMAT csv, HEADER);" } strm_export_files($dir, 'keys'));
	return sql(q{SELECT count(*), count(DISTINCT link), (SELECT count(*) FROM strm.export_keys('clicks')),
		(SELECT count(*) FROM (SELECT link, keyset, policy, expires FROM key_file EXCEPT SELECT k.key_link, k.encryption_key::jsonb, k.policy_id::text, k.expires_at FROM strm.export_keys('clicks') AS k) d) FROM key_file});
}
is(key_rows(), '50|50|50|0', 'keys as strm.export_keys() gives them');
like(slurp_file((strm_export_files($dir, 'keys'))[0]), qr/^"keyLink","encryptionKey","policyId","expiresAt"\r?\n/, 'with a header');
my @files = map { name_of($_) } strm_export_files($dir);
is(scalar(grep { !m{^(?:a/b/)?\d{4}-\d\d-\d\dT\d{6}Z-(?:stream-(?:new_one|derived)---0\.jsonl|stream-all---0\.jsonl\.gz|keys-keys---0\.csv)$} && !m{/?\.strm_privacy$} } @files), 0,
	'names are as documented') or diag(join "\n", @files);
is(scalar(grep { -z "$dir/$_" } @files), 0, 'no file is empty');
like(state('new one', 'last_file'), qr{^a/b/\d{4}-\d\d-\d\dT\d{6}Z-stream-new_one---0\.jsonl$}, 'last_file tells the last one');
is(state('all', "files || ' ' || rows || ' ' || withheld || ' ' || filtered || ' ' || errors"), '2 150 0 0 0', 'what was exported is counted');
is(state('all', 'bytes'), eval { my $sum = 0; $sum += -s $_ for strm_export_files($dir, 'all'); $sum }, 'bytes as stored');
is(sql("SELECT count(*) FROM strm.workers WHERE kind = 'batch export'"), 1, 'one worker for all of them');
is(sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'strm_batch_' || (SELECT oid FROM pg_database WHERE datname = current_database())"), 1, 'and one slot');
is(sql('SELECT count(*) FROM strm.batch_job_intent'), 0, 'no intent is left');

# --- nothing new ---
my $before = strm_export_files($dir);
tick(@names);
is(scalar(strm_export_files($dir)), $before, 'no file without events');

# --- transactions ---
sql("BEGIN; INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 'late', 1000); PREPARE TRANSACTION 'late'");
sql(<<'SQL');
BEGIN; INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 'a', 9000); ROLLBACK;
BEGIN;
INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 'a', 151);
SAVEPOINT s; INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 'a', 9001); ROLLBACK TO s;
SAVEPOINT t; INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 'a', 152); RELEASE t;
INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{}', 'a', 153);
COMMIT;
SQL
tick(@names);
is(numbers('all'), list(1, 153), 'what was rolled back is not exported; a transaction that is not committed yet keeps none');
is(numbers('derived'), list(1, 152), 'consent is looked at');
is(state('derived', 'filtered'), 1, 'and what it does not cover is counted');
insert(154, 160);
tick(@names);
sql("COMMIT PREPARED 'late'");
tick(@names);
is(numbers('all'), list(1, 160) . ' 1000', 'a transaction that commits late is exported then, once');
is(numbers('new_one'), list(101, 160) . ' 1000', 'by all');
is(key_rows(), '52|52|52|0', 'keys, too, each once');

# --- parts ---
insert(2001, 12000);
tick('all', 'derived');
my ($derived) = reverse grep { /---0\.jsonl$/ } strm_export_files($dir, 'derived');
(my $second = $derived) =~ s/---0/---1/;
ok(-e $second && -s $derived >= 1024 * 1024 && -s $derived < 1.1 * 1024 * 1024, 'a file that is large enough is ended, and the next part begun');
is(numbers('derived'), join(' ', 1 .. 152, 154 .. 160, 1000, 2001 .. 12000), 'parts hold all events, each once');
is(numbers('all'), list(1, 160) . ' 1000 ' . list(2001, 12000), 'of the other, too');

# --- pausing ---
sql("SELECT strm.pause_batch_exporter('new one')");
ok($node->poll_query_until('postgres', "SELECT state = 'PAUSED' FROM strm.batch_exporter_state s JOIN strm.batch_exporter e ON e.id = s.exporter_id WHERE name = 'new one'"), 'it is paused');
insert(12001, 12010);
tick('all');
is((grep { $_ > 12000 } strm_export_numbers($dir, 'new_one')), 0, 'one that is paused exports nothing');
sql("SELECT strm.resume_batch_exporter('new one')");
tick('new one');
is(join(' ', sort { $a <=> $b } grep { $_ > 12000 } strm_export_numbers($dir, 'new_one')), list(12001, 12010), 'and goes on where it stood');

# --- deleting ---
insert(13001, 13010);
sql('DELETE FROM clicks WHERE n = 13001');
tick('all');
is(join(' ', sort { $a <=> $b } grep { $_ > 13000 } strm_export_numbers($dir, 'all')), list(13001, 13010), 'what was only deleted is exported');
sql("INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 'erased', 13011); SELECT strm.delete_data_subjects('erased')");
insert(13012, 13012);
tick('derived', 'all');
is(join(' ', grep { $_ > 13010 } strm_export_numbers($dir, 'derived')), '13012', 'an event whose key was destroyed is withheld from files of a derived stream');
is(state('derived', 'withheld'), 1, 'and counted');
sql('TRUNCATE clicks');
insert(14001, 14002);
tick('derived', 'all', 'new one');
is(join(' ', sort { $a <=> $b } grep { $_ > 14000 } strm_export_numbers($dir, 'all')), '14001 14002', 'after TRUNCATE it goes on');

# --- the slot is dropped behind our back ---
insert(15001, 15100);
sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE 'strm_batch%'");
ok($node->poll_query_until('postgres', "SELECT count(pg_drop_replication_slot(slot_name)) >= 0 FROM pg_replication_slots WHERE slot_name LIKE 'strm_batch%' AND NOT active"), 'the slot is dropped');
insert(15101, 15200);
tick('derived', 'all', 'new one');
is(join(' ', sort { $a <=> $b } grep { $_ > 15000 } strm_export_numbers($dir, $_)), list(15001, 15200), "nothing is missing, nothing doubled: $_") for 'all', 'derived', 'new_one';
insert(15201, 15210);
tick('derived', 'all', 'new one');
is(join(' ', sort { $a <=> $b } grep { $_ > 15200 } strm_export_numbers($dir, 'all')), list(15201, 15210), 'and it goes on with a slot of its own');

# --- existing events, while others write ---
sql("CREATE PROCEDURE writes(a int, b int) LANGUAGE plpgsql AS \$\$ BEGIN FOR i IN a..b LOOP INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 's' || i % 20, i); IF i % 3 = 0 THEN COMMIT; END IF; END LOOP; END \$\$");
my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', 'CALL writes(20001, 24000)' ]);
ok($node->poll_query_until('postgres', 'SELECT count(*) > 100 FROM clicks WHERE n > 20000'), 'somebody writes');
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'joined', include_existing_events => true)");
strm_export_tick($node, 'joined') for 1 .. 3;
$writer->finish;
tick('joined', 'all');
is(numbers('joined'), join(' ', split /\n/, sql('SELECT n FROM clicks ORDER BY n')), 'no gap and no double between existing and later events');
is(join(' ', sort { $a <=> $b } grep { $_ > 20000 } strm_export_numbers($dir, 'all')), list(20001, 24000), 'nor in files of one that was there');

# --- due at different times: what one has read for itself is read again for the others, and is not exported twice ---
for my $from (map { 30_000 + 30 * $_ } 0 .. 3)
{
	insert($from + 1, $from + 10);
	tick('all');
	insert($from + 11, $from + 20);
	tick('derived');
	insert($from + 21, $from + 30);
	tick($from % 60 ? ('new one', 'all') : ('new one', 'all', 'derived'));
}
tick('derived');
is(join(' ', sort { $a <=> $b } grep { $_ > 30_000 } strm_export_numbers($dir, $_)), list(30_001, 30_120), "$_: each event once") for 'all', 'derived', 'new_one';

# --- who writes for long, and who commits while snapshots are taken, before the WAL is flushed ---
sql(<<'SQL');
CREATE TABLE step (n int);
CREATE PROCEDURE await(wanted int) LANGUAGE plpgsql AS $$ BEGIN WHILE NOT EXISTS (SELECT FROM step WHERE n = wanted) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$;
CREATE PROCEDURE write_on(i int) LANGUAGE plpgsql AS $$
BEGIN
	WHILE NOT EXISTS (SELECT FROM step WHERE n = 3) LOOP
		INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 's' || i % 20, i);
		COMMIT;
		PERFORM pg_sleep(0.001);
		i := i + 1;
	END LOOP;
END $$;
SQL
my $event = "INSERT INTO clicks (strm_consent_levels, session, n) VALUES ('{1}', 'long',";
my $long = "BEGIN; $event 40001); CALL await(1); $event 40002); CALL await(2); $event 40003); COMMIT;";
my @writers = map { IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), map { ('-c', $_) } @$_ ], '<', \undef) } [$long], [ 'SET synchronous_commit = off', 'CALL write_on(50001)' ];
ok($node->poll_query_until('postgres', "SELECT (SELECT count(*) > 100 FROM clicks WHERE n > 50000) AND EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'BEGIN;%CALL await(1)%')"), 'one writes for long, another commits fast');
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'beside', include_existing_events => true)");
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'since')");
for my $step (1 .. 3)
{
	tick('beside', 'all') for 1 .. 2;
	sql("INSERT INTO step VALUES ($step)");
	tick('beside', 'since');
}
$_->finish for @writers;
tick('beside', 'all', 'since');
is(numbers('beside'), join(' ', split /\n/, sql('SELECT n FROM clicks ORDER BY n')), 'existing and later ones: no gap, no double');
is(join(' ', sort { $a <=> $b } grep { $_ > 40_000 } strm_export_numbers($dir, 'all')), join(' ', split /\n/, sql('SELECT n FROM clicks WHERE n > 40000 ORDER BY n')), 'nor in files of one that was there');
my @since = sort { $a <=> $b } strm_export_numbers($dir, 'since');
is("@since", join(' ', 40_001 .. 40_003, $since[3] .. sql('SELECT max(n) FROM clicks')), 'of those since the definition none is missing, nor of a transaction that was under way then');

# --- partitions ---
sql(q{SELECT strm.create_stream('parted', contract => 'acme/clicks/1.0.0', partition_by => '1 day')});
sql(q{INSERT INTO parted (strm_consent_levels, session, n) SELECT '{1}', 's', i FROM generate_series(1, 10) i});
sql("SELECT strm.create_batch_exporter('parted', 'files', name => 'parted', include_existing_events => true)");
tick('parted');
sql(q{INSERT INTO parted (strm_consent_levels, session, n) SELECT '{1}', 's', i FROM generate_series(11, 20) i});
tick('parted');
is(numbers('parted'), list(1, 20), 'partitioned streams');

# --- rights ---
sql("CREATE ROLE member LOGIN IN ROLE strm_member; GRANT SELECT ON clicks TO member; GRANT CREATE ON SCHEMA public TO member");
sql("SELECT strm.grant_data_connector('files', 'member')");
sql("SET ROLE member; SELECT strm.create_batch_exporter('clicks', 'files', name => 'members')");
insert(25001, 25001);
tick('members');
sql('REVOKE SELECT ON clicks FROM member');
insert(25002, 25002);
sql("UPDATE strm.batch_exporter_state SET next_at = now()");
ok($node->poll_query_until('postgres', "SELECT state = 'ERROR' FROM strm.batch_exporters WHERE name = 'members'"), 'rights are looked at again');
like(state('members', 'last_error'), qr/role "member" has no SELECT on (?:public\.)?clicks/, 'what is missing is told');
is(join(' ', grep { $_ > 25000 } strm_export_numbers($dir, 'members')), '25001', 'nothing is exported then');
sql("GRANT SELECT ON clicks TO member; SELECT strm.resume_batch_exporter('members')");
tick('members');
is(join(' ', grep { $_ > 25000 } strm_export_numbers($dir, 'members')), '25001 25002', 'and nothing is lost');

# --- the end ---
sql("SELECT strm.drop_batch_exporter(name) FROM strm.batch_exporters");
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_replication_slots"), 'the slot goes with the last exporter');
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM strm.batch_exporter_state"), 'and so do the states');
is(sql('SELECT count(*) FROM strm.batch_job_intent'), 0, 'no intent is left');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing has crashed');
$node->stop;
done_testing();
