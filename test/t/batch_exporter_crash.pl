# Batch exporters and queued ingestion, and what can kill them: workers, the scheduler and the whole server at any moment, while
# others write. Then every event that was acknowledged is in its stream exactly once, and in exactly one file of each exporter. Also
# what is made again of a file of which nobody knows whether it was published.
#
# STRM_BATCH_EXPORT_ROUNDS (default 4): how often something dies.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmBatchExport;
use StrmTest;
use Test::More;
use Time::HiRes qw(usleep);

my $rounds = $ENV{STRM_BATCH_EXPORT_ROUNDS} // 4;
my ($node, $dir) = strm_export_node('main', conf => <<CONF);
restart_after_crash = on
checkpoint_timeout = 30s
strm_privacy.ingest_workers = 2
strm_privacy.batch_export_file_size = 1MB
CONF
my $scratch = PostgreSQL::Test::Utils::tempdir();

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub numbers { my ($name) = @_; return join ' ', sort { $a <=> $b } strm_export_numbers($dir, $name) }
sub worker { my ($rc, $out) = $node->psql('postgres', "SELECT pid FROM strm.workers WHERE kind = 'batch export'"); return $rc == 0 && $out =~ /^\d+$/ ? $out : 0 }
sub leftovers { return join ' ', grep { /\.tmp$/ } strm_export_files($dir) }

# --- a file that may have been published, and WAL that is still there, or is not ---
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'holder')");
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'again')");
ok(strm_export_tick($node, 'holder', 'again'), 'both run');
sql("SELECT strm.pause_batch_exporter('holder')");
sql(q{CREATE TABLE seen (LIKE strm.batch_exporter_state);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS 'BEGIN INSERT INTO seen SELECT NEW.*; RETURN NULL; END';
CREATE TRIGGER see AFTER UPDATE ON strm.batch_exporter_state FOR EACH ROW WHEN (NEW.file IS NOT NULL) EXECUTE FUNCTION see()});
my $n = 0;
for my $way ('from the WAL', 'from the table')
{
	my $from = $n + 1;
	$n += 8000;
	sql("TRUNCATE seen; INSERT INTO clicks (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 10, i FROM generate_series($from, $n) AS i");
	ok(strm_export_tick($node, 'again'), "exported, to be made again $way");
	my @files = strm_export_files($dir, 'again');
	my %inode = map { $_ => (stat $_)[1] } @files;
	cmp_ok(sql('SELECT count(*) FROM seen'), '>=', 2, 'its state was noted before each file was published');
	# as if the worker had died when the first file was published, and the others were not
	my $pid = worker();
	sql("SELECT strm.drop_batch_exporter('holder')") if $way eq 'from the table';
	sql("SELECT pg_terminate_backend($pid)");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"), 'the worker is gone');
	sql(q{DELETE FROM strm.batch_exporter_state WHERE exporter_id IN (SELECT exporter_id FROM seen);
		INSERT INTO strm.batch_exporter_state SELECT * FROM seen ORDER BY part LIMIT 1; UPDATE strm.batch_exporter_state SET next_at = now()});
	my ($first) = split /\n/, sql('SELECT file FROM seen ORDER BY part LIMIT 1');
	unlink grep { $_ ne "$dir/$first" && $_ gt "$dir/$first" } @files;
	ok(strm_export_tick($node, 'again'), 'it has gone on');
	is(numbers('again'), join(' ', 1 .. $n), 'everything is in the files once');
	is(join(' ', strm_export_files($dir, 'again')), join(' ', @files), 'which have the same names');
	isnt((stat "$dir/$first")[1], $inode{"$dir/$first"}, 'the first was made again');
	is(sql('SELECT count(*) FROM strm.batch_job_intent') . leftovers(), '0', 'nothing is left behind');
}
sql('DROP TRIGGER see ON strm.batch_exporter_state');

# --- anything dies ---
# Producers write numbers down that were acknowledged: into a stream, and into the inbox of another. A number is its client's
# and then counts up, and session - the key field - is the client and one of five values. From $undone on nothing is committed.
my $undone = 1_000_000_000;
my %acknowledged = (clicks => {}, queued => {});
my $clients = 0;
sql(q{SELECT strm.create_stream('queued', contract => 'acme/clicks/1.0.0', ingest => 'queued', key_rotation => '3 seconds'), strm.create_derived_stream('queued', '{1}')});
sql(<<'SQL');
CREATE TABLE came (id bigserial PRIMARY KEY, n int);
CREATE FUNCTION come() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO came (n) VALUES (NEW.n); RETURN NULL; END';
CREATE TRIGGER come AFTER INSERT ON queued FOR EACH ROW EXECUTE FUNCTION come();
SQL
my %exporters = (again => 'clicks', all => 'clicks', derived => 'clicks', q_all => 'queued', q_derived => 'queued', q_new => 'queued');
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'all', include_existing_events => true, compression => 'gzip')");
sql("SELECT strm.create_batch_exporter('clicks_1', 'files', name => 'derived', include_existing_events => true, path_prefix => 'p')");
sql("SELECT strm.create_batch_exporter('queued', 'files', name => 'q_all', include_existing_events => true, compression => 'gzip')");
sql("SELECT strm.create_batch_exporter('queued_1', 'files', name => 'q_derived', path_prefix => 'p')");
sql("SELECT strm.create_batch_exporter('queued', 'files', name => 'q_new')");
sql("SELECT strm.create_batch_exporter('queued', 'files', name => 'q_keys', export_keys => true, include_existing_events => true)");

# What one client sends: rows one by one, several at once, COPY, savepoints, transactions that take long or are rolled back. Writes
# each number that is committed, after it is.
sub client_script
{
	my ($table, $client) = @_;
	my ($script, $n, $lost) = ('', 0, $undone);
	my $into = "$table (strm_consent_levels, session, n)";
	my $values = sub { return join ', ', map { "('{1}', 'c$client-" . $_ % 5 . "', $_)" } @_ };
	for my $step (1 .. 3000)
	{
		my @n = map { 100_000 * $client + ++$n } 1 .. ($step % 100 == 50 ? 1500 : 4);
		my $kind = int rand 6;
		if ($kind == 0) { $script .= "INSERT INTO $into VALUES " . $values->($_) . ";\n\\echo $_\n" for @n; next }
		if ($kind == 1) { $script .= "COPY $into FROM STDIN;\n" . join('', map { "{1}\tc$client-" . $_ % 5 . "\t$_\n" } @n) . "\\.\n" }
		elsif ($kind == 2)
		{
			my $wait = $step % 4 == 0 ? 0.5 : 0.01;
			my ($first, @others) = @n;
			$script .= "BEGIN;\nINSERT INTO $into VALUES " . $values->($first) . ";\nSELECT pg_sleep($wait) \\g /dev/null\nINSERT INTO $into VALUES " . $values->(@others) . ";\nCOMMIT;\n";
		}
		elsif ($kind == 3)
		{
			$script .= "BEGIN;\nSAVEPOINT s;\nINSERT INTO $into VALUES " . $values->(++$lost) . ";\nROLLBACK TO s;\nINSERT INTO $into VALUES " . $values->(@n) . ";\nCOMMIT;\n";
		}
		else { $script .= "BEGIN;\nINSERT INTO $into VALUES " . $values->(++$lost) . ";\nROLLBACK;\nINSERT INTO $into VALUES " . $values->(@n) . ";\n" }
		$script .= join '', map { "\\echo $_\n" } @n;
	}
	return $script;
}
sub start_client
{
	my ($table) = @_;
	my $client = { stream => $table =~ s/_inbox$//r, out => "$scratch/" . ++$clients . '.out' };
	append_to_file("$scratch/$clients.sql", client_script($table, $clients));
	append_to_file($client->{out}, '');
	$client->{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
		'<', "$scratch/$clients.sql", '>', $client->{out}, '2>', "$scratch/err");
	return $client;
}
sub lines_of { my ($client) = @_; return slurp_file($client->{out}) =~ /^(\d+)\n/mg }

# A transaction that is prepared in one round, and ends in the next one: what lasts longer than a crash.
sub prepare
{
	my ($round) = @_;
	my @n = (900_000_000 + $round, $undone + $round);
	for my $table ('clicks', 'queued_inbox')
	{
		sql("BEGIN; INSERT INTO $table (strm_consent_levels, session, n) VALUES ('{1}', 'prepared', $n[$_]); PREPARE TRANSACTION '$table $_'") for 0, 1;
	}
	return;
}
sub end_prepared
{
	my ($round) = @_;
	for my $table ('clicks', 'queued_inbox')
	{
		sql("COMMIT PREPARED '$table 0'");
		sql("ROLLBACK PREPARED '$table 1'");
		$acknowledged{ $table =~ s/_inbox//r }{ 900_000_000 + $round } = 1;
	}
	return;
}

sub send_due { return $node->psql('postgres', 'UPDATE strm.batch_exporter_state SET next_at = now() WHERE next_at > now()') }
sub wait_until
{
	my ($check, $what) = @_;
	for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $result = $check->();
		return $result if $result;
		usleep(20_000);
	}
	die "timed out: $what";
}
my %types = (ingest => 'strm_privacy ingest worker', export => 'strm_privacy batch export', scheduler => 'strm_privacy scheduler');
sub victim_of
{
	my ($type) = @_;
	my ($rc, $out) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' ORDER BY random() LIMIT 1");
	return $rc == 0 && $out =~ /^\d+$/ ? $out : 0;
}
# Kills, and gets the server back.
sub crash
{
	my ($kind) = @_;
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my $victim = $types{$kind} ? wait_until(sub { victim_of($types{$kind}) }, "a process to be killed: $kind") : 0;
	my @processes = split ' ', slurp_file("/proc/$pid/task/$pid/children");
	send_due();
	usleep(1000 * rand 500);
	if ($kind eq 'terminate')
	{
		sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type IN ('$types{ingest}', '$types{export}')");
		usleep(500_000);
		sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
		return;
	}
	if ($kind eq 'immediate') { $node->stop('immediate') }
	elsif ($kind eq 'all') { kill 'KILL', $pid, @processes; $node->kill9 }
	elsif ($kind eq 'postmaster') { $node->kill9 }
	else { kill 'KILL', $victim }
	wait_until(sub { !grep { kill 0, $_ } @processes }, 'end of all processes');
	$node->start unless $victim;
	$node->poll_query_until('postgres', 'SELECT true') or die 'no recovery';
	return;
}

my @kinds = qw(ingest postmaster export immediate scheduler terminate all);
for my $round (1 .. $rounds)
{
	my $kind = $kinds[ ($round - 1) % @kinds ];
	my @running = map { start_client($_) } 'clicks', ('queued_inbox') x 3;
	prepare($round);
	my $enough = 200 + int rand 1500;
	wait_until(sub { send_due(); my $n = 0; $n += () = lines_of($_) for @running; $n >= $enough }, 'acknowledged events');
	crash($kind);
	for my $client (@running)
	{
		eval { $client->{run}->finish };
		$acknowledged{ $client->{stream} }{$_} = 1 for lines_of($client);
	}
	end_prepared($round);
	ok(1, "round $round, $kind: " . join(', ', map { scalar(keys %{ $acknowledged{$_} }) . " acknowledged in $_" } sort keys %acknowledged));
}
sql("SELECT strm.wait_for_ingest('queued', '120 s')");
ok(strm_export_tick($node, sort keys %exporters, 'q_keys'), 'everything is exported');

# How often each number is there; lost, doubled, never committed
sub compare
{
	my ($wanted, $found) = @_;
	my %times;
	$times{$_}++ for @$found;
	my %known = map { $_ => 1 } @$wanted;
	return join ' ', scalar(grep { !$times{$_} } @$wanted), scalar(grep { $_ > 1 } values %times), scalar(grep { !$known{$_} } keys %times);
}
sub disorder
{
	my %last;
	my $wrong = 0;
	for (grep { $_ > 100_000 && $_ < 900_000_000 } @_)
	{
		my $key = int($_ / 100_000) . '-' . $_ % 5;
		$wrong++ if defined $last{$key} && $last{$key} >= $_;
		$last{$key} = $_;
	}
	return $wrong;
}
my %rows;
for my $stream ('clicks', 'queued')
{
	my @committed = keys %{ $acknowledged{$stream} };
	$rows{$stream} = [ split /\n/, sql("SELECT n FROM $stream ORDER BY n") ];
	my @tried = grep { $_ < $undone } @{ $rows{$stream} };
	like(compare(\@committed, $rows{$stream}), qr/^0 0 /, "$stream: of " . @committed . ' acknowledged events each is there, and each of ' . @{ $rows{$stream} } . ' once');
	is(@{ $rows{$stream} } - @tried, 0, "$stream: none that was rolled back");
}
is(disorder(split /\n/, sql('SELECT n FROM came ORDER BY id')), 0, 'queued: in order, key by key');
is(sql('SELECT count(*) FROM queued') - sql('SELECT count(*) FROM came'), 0, 'queued: what triggers did is as whole');
is(sql("SELECT count(*) FILTER (WHERE strm_fault IS NULL), count(*) FROM queued_inbox"), '0|0', 'queued: nothing is left in the inbox');
is(sql("SELECT count(*) FROM queued_1 WHERE session IS DISTINCT FROM 'c' || n / 100000 || '-' || n % 5 AND session IS DISTINCT FROM 'prepared'"), 0, 'queued: all can be read');
for my $name (sort keys %exporters)
{
	my @numbers = strm_export_numbers($dir, $name);
	is(compare($rows{ $exporters{$name} }, \@numbers), '0 0 0', "$name: of " . @numbers . ' exported events none is lost, none doubled, none was not committed');
}
is(disorder(strm_export_numbers($dir, 'q_new')), 0, 'files are in order, key by key');
my @keys = map { /^"?([0-9a-f-]{36})/ ? $1 : () } strm_export_lines($dir, 'q_keys');
is(compare([ split /\n/, sql("SELECT key_link FROM strm.export_keys('queued')") ], \@keys), '0 0 0', 'q_keys: each of ' . @keys . ' keys once');
is(sql('SELECT count(*) FROM strm.batch_job_intent') . leftovers(), '0', 'nothing is left behind');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?!9)/, 'nothing has crashed by itself');
$node->stop;
done_testing();
