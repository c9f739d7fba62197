# The replication slot of a Kafka cluster: it lets write-ahead log go when nothing happens in the streams, it is given up where the
# administrator wants that rather than a full disk, and what was missed then is published once. What is committed but not visible
# yet, and existing events while others write and the worker is killed.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;
use Time::HiRes qw(sleep time);

strm_kafka_skip('KAFKA39');
my $node = strm_node('main', conf => <<CONF);
fsync = off
wal_level = logical
max_worker_processes = 16
max_prepared_transactions = 10
max_wal_senders = 4
synchronous_commit = local
autovacuum = off
checkpoint_timeout = 1h
min_wal_size = 32MB
max_wal_size = 64MB
restart_after_crash = on
CONF
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
my %login = strm_kafka_login('KAFKA39', '');
my $kafka = strm_kafka(%login);
my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub of { my ($name, $columns) = @_; return sql("SELECT $columns FROM strm.kafka_exporters WHERE name = '$name'") }

# Inserts events, numbered through the whole test.
sub insert
{
	my ($count, $stream) = @_;
	my $from = $n + 1;
	$n += $count;
	sql("INSERT INTO $stream (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 7, i FROM generate_series($from, $n) AS i");
	return;
}

sub becomes
{
	my ($name, $condition, $what) = @_;
	my $done = $node->poll_query_until('postgres', "SELECT $condition FROM strm.kafka_exporters WHERE name = '$name'");
	ok($done, $what) or diag of($name, 'state, sqlstate, last_error, hint, sent, lag_bytes, queued_bytes');
	return;
}

sub catches_up
{
	my ($name, $what) = @_;
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	becomes($name, "state = 'RUNNING' AND queued_bytes = 0 AND (SELECT s.confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots s JOIN strm.kafka_clusters c USING (slot_name) WHERE c.name = cluster)", $what);
	return;
}

# The numbers in a topic, as "1-5,7-9"; one that is there twice shows twice.
sub numbers
{
	my ($topic) = @_;
	my (@numbers, @ranges);
	$kafka->consume($topic, each => sub { push @numbers, $_[0]{value} =~ /"n": ?(\d+)/ ? $1 : die "no number in $_[0]{value}" });
	for my $number (sort { $a <=> $b } @numbers)
	{
		if (@ranges && $ranges[-1][1] + 1 == $number) { $ranges[-1][1] = $number }
		else { push @ranges, [ $number, $number ] }
	}
	return join ',', map { "$_->[0]-$_->[1]" } @ranges;
}

# A session of its own that runs statements.
sub session
{
	my ($name, $statements) = @_;
	my $file = $node->basedir . "/$name.sql";
	append_to_file($file, $statements);
	return IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-f', $file ], '>&', \my $said, IPC::Run::timeout(300));
}

sql('CREATE EXTENSION strm_privacy');
sql("SELECT strm.create_purpose(1, 'Analytics')");
strm_contract($node, 'acme/events/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'LONG', undef ] ]);
sql("SELECT strm.create_stream('events', contract => 'acme/events/1.0.0'), strm.create_stream('quiet', contract => 'acme/events/1.0.0')");
sql("SELECT strm.create_derived_stream('events', purposes => '{1}', name => 'shown')");
sql("CREATE TABLE elsewhere (a text)");
sql("SELECT strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}', '{\"socket.timeout.ms\": 2000}')");
# Brokers that are away, or there again.
sub brokers { my ($servers) = @_; sql("SELECT strm.alter_kafka_cluster('k', '$servers')"); return }

# --- a month of idle ---
my %topic = map { $_ => $kafka->name($_) } qw(events shown existing many late async);
sql("SELECT strm.create_kafka_exporter('events', 'k', '$topic{events}', 'events', partitions => 2)");
insert(10, 'events');
catches_up('events', 'an exporter publishes');
my $slot = sql("SELECT slot_name FROM strm.kafka_clusters WHERE name = 'k'");
my $oldest = sql('SELECT min(name) FROM pg_ls_waldir()');
my $restart = sql("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '$slot'");
for (1 .. 6)
{
	sql("INSERT INTO elsewhere SELECT repeat(md5(i::text), 50) FROM generate_series(1, 8000) AS i");
	sql('TRUNCATE elsewhere; SELECT pg_switch_wal()');
}
my $end = sql('SELECT pg_current_wal_insert_lsn()');
cmp_ok(sql("SELECT pg_wal_lsn_diff('$end', '$restart')"), '>', 90e6, 'much was written to other tables');
ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = '$slot'"), 'the confirmed position follows');
# what running transactions are is in the log twice in 15 s at most: a checkpoint tells it, too
sql('CHECKPOINT');
sleep 0.5;
sql('CHECKPOINT');
ok($node->poll_query_until('postgres', "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) < 33000000 FROM pg_replication_slots WHERE slot_name = '$slot'"), 'so does what is kept')
  or diag sql("SELECT *, pg_current_wal_lsn() FROM pg_replication_slots");
sql('CHECKPOINT');
cmp_ok(sql('SELECT min(name) FROM pg_ls_waldir()'), 'gt', $oldest, 'old log is removed');
cmp_ok(sql("SELECT count(*) FROM pg_ls_waldir()"), '<', 6, 'little is left');
is(numbers($topic{events}), '1-10', 'nothing was published');

# the worker writes nothing itself. What running transactions are is written by another process, once after there was something
my ($before, $now) = ('', '');
for (1 .. 6)
{
	$before = sql('SELECT pg_current_wal_insert_lsn()');
	sleep 16;
	$now = sql('SELECT pg_current_wal_insert_lsn()');
	last if $now eq $before;
}
is($now, $before, 'a worker that has nothing to do writes no log');

# --- export_max_lag ---
sql("SELECT strm.create_kafka_exporter('shown', 'k', '$topic{shown}', 'shown', partitions => 2)");
my $from = $n + 1;
insert(10, 'events');
catches_up($_, "$_ publishes") for 'events', 'shown';
# let a checkpoint of the exporter be, so that not all has to be read again
sql("SELECT strm.pause_kafka_exporter('shown')");
becomes('shown', "state = 'PAUSED'", 'it is paused');
insert(100, 'events');
sql("INSERT INTO elsewhere SELECT repeat(md5(i::text), 50) FROM generate_series(1, 3000) AS i");
cmp_ok(of('shown', 'lag_bytes'), '>', 2e6, 'an exporter that is paused is behind');
cmp_ok(of('shown', 'lag_seconds'), '>', 0, 'in seconds, too');
my $held = sql("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '$slot'");
sql("ALTER SYSTEM SET strm_privacy.export_max_lag = '2MB'; SELECT pg_reload_conf()");
becomes('shown', "state = 'BROKEN' AND last_error ~ 'export_max_lag' AND hint ~ 'rebuild_kafka_exporter'", 'the one that is too far behind is given up');
catches_up('events', 'the other one goes on');
ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn > '$held' FROM pg_replication_slots WHERE slot_name = '$slot'"), 'and the slot moves');
insert(20, 'events');
catches_up('events', 'the other one publishes');
is(of('shown', 'state'), 'BROKEN', 'what is broken stays so');
sql("ALTER SYSTEM RESET strm_privacy.export_max_lag; SELECT pg_reload_conf()");
sql("SELECT strm.rebuild_kafka_exporter('shown'), strm.resume_kafka_exporter('shown')");
insert(20, 'events');
catches_up('shown', 'it is rebuilt');
is(numbers($topic{shown}), "$from-$n", 'exactly what was missed is published');
is(numbers($topic{events}), "1-$n", 'and what the other one has is as it was');

# brokers that are down while a large transaction is published: all have to wait in the midst of it
strm_kafka_control('pause', 'kafka39');
insert(20000, 'events');
becomes($_, "state = 'RETRYING' AND queued_bytes > 0", "$_ waits for the brokers") for 'events', 'shown';
sql("INSERT INTO elsewhere SELECT repeat(md5(i::text), 50) FROM generate_series(1, 3000) AS i");
sql("ALTER SYSTEM SET strm_privacy.export_max_lag = '2MB'; SELECT pg_reload_conf()");
becomes($_, "state = 'BROKEN' AND last_error ~ 'export_max_lag'", "$_ is given up") for 'events', 'shown';
$end = sql('SELECT pg_current_wal_insert_lsn()');
ok($node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = '$slot'"), 'and the slot moves');
sql("ALTER SYSTEM RESET strm_privacy.export_max_lag; SELECT pg_reload_conf()");
strm_kafka_control('continue', 'kafka39');
# what was on its way to the brokers reaches one partition or another
my $part = numbers($topic{events});
ok($part =~ /^1-/ && $part ne "1-$n", 'the topic has a part');
sql("SELECT strm.rebuild_kafka_exporter('$_')") for 'events', 'shown';
catches_up($_, "$_ is rebuilt") for 'events', 'shown';
is(numbers($topic{events}), "1-$n", 'exactly what was missed is published');
is(numbers($topic{shown}), "$from-$n", 'of the other one, too');

# --- max_slot_wal_keep_size ---
brokers('127.0.0.1:1');
insert(50, 'events');
becomes($_, "state = 'RETRYING'", "$_ waits for the brokers") for 'events', 'shown';
sql("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'; SELECT pg_reload_conf()");
for (1 .. 5)
{
	sql("INSERT INTO elsewhere SELECT repeat(md5(i::text), 50) FROM generate_series(1, 8000) AS i");
	sql('SELECT pg_switch_wal(); CHECKPOINT');
}
ok($node->poll_query_until('postgres', "SELECT wal_status = 'lost' FROM strm.kafka_clusters WHERE name = 'k'"), 'the slot is lost, which shows');
becomes($_, "state = 'BROKEN' AND last_error ~ 'has been removed' AND hint ~ 'rebuild_kafka_exporter'", "$_ is broken, and says what to do") for 'events', 'shown';
my %pids;
for (1 .. 30) { $pids{ sql("SELECT coalesce(string_agg(pid::text, ','), '') FROM pg_stat_activity WHERE backend_type = 'strm_privacy Kafka worker'") }++; sleep 0.1 }
cmp_ok(scalar(keys %pids), '<=', 2, 'no worker is started again and again');
insert(50, 'events');
sql("ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_reload_conf()");
brokers($login{'bootstrap.servers'});
sql("SELECT strm.rebuild_kafka_exporter('$_')") for 'events', 'shown';
catches_up($_, "$_ is rebuilt") for 'events', 'shown';
insert(20, 'events');
catches_up($_, "$_ publishes") for 'events', 'shown';
is(numbers($topic{events}), "1-$n", 'exactly what was missed is published');
is(numbers($topic{shown}), "$from-$n", 'of the other one, too');

# --- commits that are not on disk, or wait for a standby ---
sql("SET synchronous_commit = off; INSERT INTO events (strm_consent_levels, session, n) SELECT '{1}', 'async', i FROM generate_series($n + 1, $n + 5) AS i");
$n += 5;
catches_up('shown', 'what was committed asynchronously is published');
is(numbers($topic{shown}), "$from-$n", 'all of it');
sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
$node->reload;
my $waits = session('waits', "SET synchronous_commit = on;\nINSERT INTO events (strm_consent_levels, session, n) VALUES ('{1}', 'waits', $n + 1);\n");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 'a commit waits for a standby');
$n++;
sleep 1.5;
is(sql("SELECT count(*) FROM events WHERE n = $n"), 0, 'nobody sees it');
is(numbers($topic{$_}), ($_ eq 'events' ? 1 : $from) . '-' . ($n - 1), 'nor is it published') for 'events', 'shown';
sql("SELECT strm.create_kafka_exporter('events', 'k', '$topic{late}', 'late', partitions => 2)");
sql('ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
IPC::Run::finish($waits);
insert(5, 'events');
catches_up($_, "when it is visible, $_ publishes it") for 'events', 'shown', 'late';
is(numbers($topic{$_}), ($_ eq 'events' ? 1 : $from) . "-$n", 'once') for 'events', 'shown';
like(numbers($topic{late}), qr/^(?:${\($n - 5)}|${\($n - 4)})-$n$/, 'an exporter that was created meanwhile has all that was inserted after it');
sql("SELECT strm.drop_kafka_exporter('$_')") for 'events', 'shown', 'late';

# --- existing events, while others write ---
my $rows = $ENV{STRM_KAFKA_ROWS} // 60_000;
sql("SELECT strm.create_stream('many', contract => 'acme/events/1.0.0', partition_by => '1 day')");
sql("SELECT strm.create_derived_stream('many', purposes => '{1}', name => 'many_shown')");
my $start = $n;
sql("INSERT INTO many (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 1000, i FROM generate_series($n + 1, $n + $rows) AS i");
sql('CREATE INDEX ON many (n)');
my $insert = "INSERT INTO many (strm_consent_levels, session, n) VALUES ('{1}', 'w' || :i, nextval('number'));";
sql('CREATE SEQUENCE number START 10000001; CREATE TABLE deleted (n bigint)');
my $prepared = "INSERT INTO many (strm_consent_levels, session, n) SELECT '{1}', 'p', nextval('number') FROM generate_series(1, 50);";
sql("BEGIN; $prepared PREPARE TRANSACTION 'before'; BEGIN; $prepared PREPARE TRANSACTION 'never'");
my $script = $node->basedir . '/write.sql';
append_to_file($script, <<SQL);
\\set i random(1, 100)
\\set nap random(0, 20)
\\set old random($start, $start + $rows)
BEGIN;
$insert
SAVEPOINT kept;
$insert
RELEASE kept;
SAVEPOINT gone;
$insert
SELECT pg_sleep(:nap / 1000.0);
ROLLBACK TO gone;
$insert
WITH d AS (DELETE FROM many WHERE ctid IN (SELECT ctid FROM many WHERE n = :old) RETURNING n) INSERT INTO deleted SELECT n FROM d;
COMMIT;
SQL
my $long = session('long', "BEGIN; $prepared\nSELECT pg_sleep(8); $prepared\nCOMMIT;\n");
my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', 10, '-f', $script, $node->connstr('postgres') ], '>', \my $said, '2>', \my $errors, IPC::Run::timeout(300));
ok($node->poll_query_until('postgres', "SELECT count(*) > 100 FROM many WHERE n > 10000000"), 'others write');
sql("SELECT strm.create_kafka_exporter('many_shown', 'k', '$topic{existing}', 'existing', include_existing_events => true, partitions => 3)");
sql("BEGIN; $prepared PREPARE TRANSACTION 'after'");
sql("SELECT strm.create_kafka_exporter('many', 'k', '$topic{many}', 'many', include_existing_events => true, partitions => 3)");
# its slot waits for transactions that run, and for those that are prepared
sleep 3;
sql("COMMIT PREPARED 'before'; ROLLBACK PREPARED 'never'");
my $kills = 0;
for my $share (0.1, 0.3, 0.6)
{
	$node->poll_query_until('postgres', "SELECT sent > $share * $rows FROM strm.kafka_exporters WHERE name = 'existing'") or diag of('existing', 'state, sent, last_error');
	sql("COMMIT PREPARED 'after'") if $share == 0.3;
	$node->poll_query_until('postgres', "SELECT worker_pid IS NOT NULL FROM strm.kafka_clusters WHERE name = 'k'");
	my $pid = sql("SELECT worker_pid FROM strm.kafka_clusters WHERE name = 'k'");
	# a crash takes the writers along
	if ($share == 0.6 && !$writers->pumpable) { kill 'KILL', $pid; sleep 1; $node->poll_query_until('postgres', 'SELECT true') }
	else { sql("SELECT pg_terminate_backend($pid)") }
	$kills++;
}
is($kills, 3, 'the worker was ended meanwhile');
IPC::Run::finish($long);
ok(IPC::Run::finish($writers), 'writers end') or diag $errors;
my $pid = sql("SELECT worker_pid FROM strm.kafka_clusters WHERE name = 'k'");
kill 'KILL', $pid if $pid ne '';
sleep 1;
$node->poll_query_until('postgres', 'SELECT true');
for my $name ('existing', 'many')
{
	catches_up($name, "$name: all is read");
	my (%seen, $twice);
	$kafka->consume($topic{$name}, each => sub { my ($number) = $_[0]{value} =~ /"n": ?(\d+)/; $twice++ if $seen{$number}++ });
	my %table = map { $_ => 1 } split /\n/, sql('SELECT n FROM many');
	my %deleted = map { $_ => 1 } split /\n/, sql('SELECT n FROM deleted');
	is($twice // 0, 0, "$name: no event comes twice");
	is(scalar(grep { !$seen{$_} } keys %table), 0, "$name: none is lost");
	is(scalar(grep { !$table{$_} && !$deleted{$_} } keys %seen), 0, "$name: none comes of what was rolled back");
	cmp_ok(scalar(grep { $_ > 10000000 } keys %seen), '>', 500, "$name: of those that came meanwhile, too");
}
unlike(slurp_file($node->logfile), qr/TRAP|was terminated by signal (?!9)/, 'nothing crashed');
$node->stop;
done_testing();
