# Batch jobs whose processes die at the worst moments: between publishing and the end of the transaction, between that and
# the removal of what was overwritten, in the pass. A job is held where it shall die by a lock that its worker waits for.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Fcntl qw(O_WRONLY O_DIRECTORY);
use Test::More;
use Time::HiRes qw(usleep);

my $files = PostgreSQL::Test::Utils::tempdir();
my $node = strm_node('crash', conf => <<CONF);
fsync = off
strm_privacy.connector_directory = '$files'
strm_privacy.batch_max_workers = 2
max_worker_processes = 16
restart_after_crash = on
CONF
$node->safe_psql('postgres', q{CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One'), strm.create_data_connector('files', 'directory', '{}')});
strm_contract($node, 'acme/visits/1.0.0', [ [ 'session', 'STRING', undef ], [ 'name', 'STRING', 1 ] ]);
$node->safe_psql('postgres', q{SELECT strm.create_stream('visits', contract => 'acme/visits/1.0.0')});

sub value { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub wait_for { my ($sql, $what) = @_; ok($node->poll_query_until('postgres', $sql), $what); return }
sub put { my ($name, $content) = @_; append_to_file("$files/$name.new", $content); rename "$files/$name.new", "$files/$name" or die $!; return }
sub get { my ($name) = @_; return -e "$files/$name" ? slurp_file("$files/$name") : 'nothing' }
sub names { opendir(my $dir, $files) or die $!; return join ' ', sort grep { !/^\.\.?$/ } readdir $dir }
sub file { my ($name, $more) = @_; return qq({"target": {"data_connector_ref": {"name": "files"}, "file_name": "$name") . ($more // '') . '}}' }
my $over = ', "overwrite": true';

# A job of a thousand records over ten days, which begin when nobody holds the lock 42.
sub job
{
	my (%outputs) = @_;
	my $outputs = join '', map { qq(, "$_": $outputs{$_}) } sort keys %outputs;
	return qq(\$j\${"source_data": {"query": "SELECT 's' || i % 7 AS session, 'n' || i AS name, date '2024-03-01' + i % 10 || ' 12:00:00' AS at, '[1]' AS consent )
		. qq(FROM pg_advisory_lock_shared(42), generate_series(1, 1000) AS i"},
		"consent": {"consent_level_extractor": {"field": "consent"}}, "event_contract_ref": "acme/visits/1.0.0",
		"encryption": {"timestamp_config": {"field": "at", "format": "yyyy-MM-dd HH:mm:ss", "default_time_zone": {"id": "UTC"}}}$outputs}\$j\$);
}
sub derived { my ($name, $more) = @_; return '[' . file($name, $more) =~ s/\}$/, "consent_levels": [1]}/r . ']' }
sub queue { my (%outputs) = @_; return value('SELECT strm.create_batch_job(' . job(%outputs) . ')') }
sub outcome { my ($id) = @_; return value("SELECT state, sqlstate FROM strm.batch_jobs WHERE id = '$id'") }
sub worker { my ($id) = @_; return value("SELECT pid FROM strm.workers WHERE kind = 'job' AND what LIKE '%$id'") }

my $gate = $node->background_psql('postgres');
$gate->query_safe('SELECT pg_advisory_lock(42)');

# Queues a job, and lets it go up to where it waits for a lock on rows of the registry, which a session has that is returned.
sub queue_and_hold
{
	my ($rows, %outputs) = @_;
	my $id = queue(%outputs);
	wait_for("SELECT state = 'RUNNING' FROM strm.batch_jobs WHERE id = '$id'", 'a job runs');
	my $holder = $node->background_psql('postgres');
	$holder->query_safe("BEGIN; SELECT FROM strm.$rows = '$id' FOR UPDATE");
	$gate->query_safe('SELECT pg_advisory_unlock(42)');
	wait_for("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = " . worker($id), 'and is held');
	return ($id, $holder);
}

# The process dies, and with it all sessions.
sub crash
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	$gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(42)');
	return;
}

# The postmaster dies, its children after it; then the server is started again.
sub kill_server
{
	my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my @children = split ' ', slurp_file("/proc/$postmaster/task/$postmaster/children");
	$node->kill9;
	while (grep { kill 0, $_ } @children) { usleep(20_000) }
	$node->start;
	$gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(42)');
	return;
}
sub is_undone
{
	my ($id) = @_;
	wait_for("SELECT state = 'ERROR' AND sqlstate = '57P02' FROM strm.batch_jobs WHERE id = '$id'", 'the job is in error');
	wait_for("SELECT count(*) = 0 FROM strm.batch_job_intent WHERE job_id = '$id'", 'what it left is taken away');
	return;
}
sub lines { my ($name) = @_; return scalar(() = get($name) =~ /\r\n/g) }
sub key_links { my ($name) = @_; my %seen = map { $_ => 1 } get($name) =~ /"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"/g; return sort keys %seen }
sub known { return value("SELECT count(DISTINCT key_link) FROM strm.data_key WHERE key_link IN ('" . join("', '", @_) . "')") }

# --- published, not finished: files ------------------------------------------------------------------------------------

put('old.csv', "precious\n");
my ($id, $holder) = queue_and_hold('batch_job WHERE id', encrypted_data => file('old.csv', $over), encryption_keys_data => file('keys.csv'), derived_data => derived('derived.csv'));
is(join(' ', map { lines($_) } 'old.csv', 'keys.csv', 'derived.csv'), '1001 71 1001', 'its outputs have appeared, whole');
my @links = key_links('old.csv');
is_deeply([ key_links('keys.csv') ], \@links, 'the keys file has the keys of what is encrypted');
is(known(@links), 70, 'the keys were committed before');
crash(worker($id));
is_undone($id);
is(names(), 'old.csv', 'nothing new is left');
is(get('old.csv'), "precious\n", 'what was overwritten is back');
is(known(@links), 70, 'the keys stay');

# --- published, not finished: one transaction --------------------------------------------------------------------------

my $nkeys = value('SELECT count(*) FROM strm.data_key');
($id, $holder) = queue_and_hold('batch_job WHERE id', encrypted_data => '{"target": {"stream": "visits"}}', encryption_keys_data => file('keys.csv'), derived_data => derived('old.csv', $over));
is(join(' ', map { lines($_) } 'old.csv', 'keys.csv'), '1001 71', 'the outputs of a job into a stream have appeared');
kill_server();
is_undone($id);
is(names() . ' ' . get('old.csv'), "old.csv precious\n", 'nothing new is left by a dead server, and what was overwritten is back');
is(value('SELECT count(*) FROM visits'), 0, 'the stream has no rows');
is(value('SELECT count(*) FROM strm.data_key'), $nkeys, 'and there are no keys of them');

# --- a server that dies in the pass ------------------------------------------------------------------------------------

my @ids = (queue(encrypted_data => file('a.csv')), queue(encrypted_data => file('old.csv', $over), encryption_keys_data => file('b.csv')), queue(encrypted_data => file('c.csv')));
wait_for("SELECT count(*) = 2 FROM strm.batch_jobs WHERE state = 'RUNNING'", 'two jobs run');
is(scalar(() = names() =~ /\.tmp\b/g), 3, 'there are temporary files');
is(outcome($ids[2]), 'PENDING|', 'the third one waits');
kill_server();
is_undone($_) for @ids[ 0, 1 ];
$gate->query_safe('SELECT pg_advisory_unlock(42)');
wait_for("SELECT state = 'FINISHED' FROM strm.batch_jobs WHERE id = '$ids[2]'", 'the one that waited runs');
is(names(), 'c.csv old.csv', 'its output is all there is');
is(lines('c.csv'), 1001, 'whole');
unlink "$files/c.csv";

# --- finished, but what was overwritten is still there -----------------------------------------------------------------

$gate->query_safe('SELECT pg_advisory_lock(42)');
($id, $holder) = queue_and_hold('batch_job_intent WHERE job_id', encrypted_data => file('old.csv', $over));
is(outcome($id), 'FINISHED|', 'a job has finished');
is(names(), 'old.csv', 'and removed what it had overwritten, but not yet its note of that');
put('.old.csv.' . value('SELECT id FROM strm.batch_job_intent') . '.tmp', 'as if it had not');
crash(worker($id));
wait_for('SELECT count(*) = 0 FROM strm.batch_job_intent', 'the note is worked off');
is(names() . ' ' . lines('old.csv'), 'old.csv 1001', 'the output stays, and nothing else');
is(outcome($id), 'FINISHED|', 'so does the state');

# --- an output that cannot be published after one that has overwritten -------------------------------------------------

put('old.csv', "precious\n");
$id = queue(encrypted_data => file('old.csv', $over), derived_data => derived('taken.csv'));
wait_for("SELECT state = 'RUNNING' FROM strm.batch_jobs WHERE id = '$id'", 'a job runs');
put('taken.csv', 'of others');
$gate->query_safe('SELECT pg_advisory_unlock(42)');
wait_for("SELECT state = 'ERROR' FROM strm.batch_jobs WHERE id = '$id'", 'and fails, as a name was taken meanwhile');
is(outcome($id), 'ERROR|42710', 'it says so');
wait_for('SELECT count(*) = 0 FROM strm.batch_job_intent', 'its intents are gone');
is(names() . ' ' . get('taken.csv') . ' ' . get('old.csv'), "old.csv taken.csv of others precious\n", 'what it had overwritten is back');

$id = queue(encrypted_data => file('old.csv', $over));
wait_for("SELECT state = 'FINISHED' FROM strm.batch_jobs WHERE id = '$id'", 'without that it overwrites');
wait_for('SELECT count(*) = 0 FROM strm.batch_job_intent', 'and forgets the old file');
is(names() . ' ' . lines('old.csv'), 'old.csv taken.csv 1001', 'which is gone');

# --- a process that dies while it checks a job ---------------------------------------------------------------------------

SKIP:
{
	mkdir "$files/sub" or die $!;
	sysopen(my $nameless, "$files/sub", O_WRONLY | O_DIRECTORY | 020000000) or skip 'the file system has no files without names', 1;
	utime 1_000_000_000, 1_000_000_000, "$files/sub" or die $!;
	value('BEGIN; SELECT strm.create_batch_job(' . job(encrypted_data => file('sub/a.csv')) . '); ROLLBACK');
	value('BEGIN; SELECT strm.create_batch_job(' . job(encrypted_data => file('a.csv', ', "path_prefix": "sub"')) . '); ROLLBACK');
	is((stat "$files/sub")[9], 1_000_000_000, 'a check whether files can be written makes none that could be left behind');
	rmdir "$files/sub" or die $!;
}

# --- a client that dies ------------------------------------------------------------------------------------------------

$gate->query_safe('SELECT pg_advisory_lock(42)');
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_until(qr/ready/, "\\echo ready\nCALL strm.run_batch_job(" . job(encrypted_data => file('d.csv')) . ");\n");
wait_for("SELECT count(*) = 1 FROM strm.batch_jobs WHERE state = 'RUNNING'", 'a session runs a job');
$id = value("SELECT id FROM strm.batch_jobs WHERE state = 'RUNNING'");
my $since = value('SELECT now()');
$session->{run}->signal('KILL');
wait_for("SELECT state = 'ERROR' FROM strm.batch_jobs WHERE id = '$id'", 'the death of its client is the end of the job');
is(outcome($id), 'ERROR|57014', 'which counts as cancelled');
is(value("SELECT finished_at - '$since' < '6 s' FROM strm.batch_jobs WHERE id = '$id'"), 't', 'soon');
is(names(), 'old.csv taken.csv', 'nothing is left of it');
eval { $session->{run}->finish };

$gate->quit;
$node->stop;
done_testing();
