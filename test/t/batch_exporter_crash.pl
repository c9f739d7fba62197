# Batch exporters and what can kill them: the worker and the whole server at any moment, while others write. Then every event is in
# exactly one file of each exporter. Also what is made again of a file of which nobody knows whether it was published.
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
my ($node, $dir) = strm_export_node('main', conf => "restart_after_crash = on\nstrm_privacy.batch_export_file_size = 1MB\n");

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
sql(<<'SQL');
CREATE SEQUENCE number START 100001;
CREATE PROCEDURE write(seconds float) LANGUAGE plpgsql AS $$
DECLARE until timestamptz := clock_timestamp() + seconds * interval '1 s'; i int := 0;
BEGIN
	WHILE clock_timestamp() < until LOOP
		i := i + 1;
		INSERT INTO clicks (strm_consent_levels, session, n) SELECT '{1}', 's' || j % 20, nextval('number') FROM generate_series(1, CASE WHEN i % 40 = 0 THEN 2000 ELSE 3 END) AS j;
		IF i % 13 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
	END LOOP;
END $$
SQL
sql("SELECT strm.create_batch_exporter('clicks', 'files', name => 'all', include_existing_events => true, compression => 'gzip')");
sql("SELECT strm.create_batch_exporter('clicks_1', 'files', name => 'derived', include_existing_events => true, path_prefix => 'p')");
for my $round (1 .. $rounds)
{
	my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', 'CALL write(3)' ], '2>', \my $ignored);
	my $deaths = 0;
	for (1 .. 200)
	{
		last if $deaths;
		$node->psql('postgres', 'UPDATE strm.batch_exporter_state SET next_at = now()');
		usleep(1000 * rand 600);
		my $pid = worker() or next;
		if ($round % 4 == 0) { $node->stop('immediate'); $node->start; $deaths++ }
		elsif ($round % 4 == 1) { $node->psql('postgres', "SELECT pg_terminate_backend($pid)"); $deaths++ }
		else { $deaths += kill 'KILL', $pid }
	}
	is($deaths, 1, "round $round: it dies");
	eval { $writer->finish };
	ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is there');
}
ok(strm_export_tick($node, 'again', 'all', 'derived'), 'everything is exported');
my @rows = split /\n/, sql('SELECT n FROM clicks ORDER BY n');
cmp_ok(scalar(@rows), '>', $n, 'of ' . @rows . ' events');
for my $name ('again', 'all', 'derived')
{
	my %times;
	$times{$_}++ for strm_export_numbers($dir, $name);
	my %row = map { $_ => 1 } @rows;
	is(join(' ', scalar(grep { !$times{$_} } @rows), scalar(grep { $_ > 1 } values %times), scalar(grep { !$row{$_} } keys %times)), '0 0 0',
		"$name: none lost, none doubled, none that was not committed");
}
is(sql('SELECT count(*) FROM strm.batch_job_intent') . leftovers(), '0', 'nothing is left behind');
$node->stop;
done_testing();
