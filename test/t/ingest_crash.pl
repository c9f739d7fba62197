# Ingest workers, producers and the postmaster are killed under load: each event that was acknowledged is in the stream exactly
# once, in order key by key, and what was not acknowledged is there once or not at all. STRM_INGEST_ROUNDS sets the number of rounds.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $rounds = $ENV{STRM_INGEST_ROUNDS} // 4;
my @kinds = qw(worker postmaster scheduler all);
my $writers = 4;
my $scratch = PostgreSQL::Test::Utils::tempdir();
my $node = strm_node('main', conf => <<CONF);
restart_after_crash = on
max_worker_processes = 16
strm_privacy.ingest_workers = 3
log_statement = none
checkpoint_timeout = 30s
CONF
$node->safe_psql('postgres', "CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One')");
strm_contract($node, 'acme/crash/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'client', 'STRING', undef, 'required' ], [ 'n', 'INTEGER', undef, 'required' ] ],
	'"dataSubjectField": "customer"');
# windows that end while the clients work; a trigger that notes the order
$node->safe_psql('postgres', <<'SQL');
SELECT strm.create_stream('qs', contract => 'acme/crash/1.0.0', key_rotation => '2 seconds', ingest => 'queued'), strm.create_derived_stream('qs', '{1}');
CREATE TABLE seen (id bigserial PRIMARY KEY, client text, k int, n int);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen (client, k, n) VALUES (NEW.client, NEW.n % 5, NEW.n); RETURN NULL; END';
CREATE TRIGGER see AFTER INSERT ON qs FOR EACH ROW EXECUTE FUNCTION see();
SQL

# One client's work: single rows, small transactions, COPY. Prints the number of each row once it is committed.
sub writer_script
{
	my ($client) = @_;
	my ($script, $n) = ('', 0);
	my $values = sub { return "('{1}', '$client-" . $_[0] % 5 . "', 'c-$client', '$client', $_[0])" };
	my $columns = 'qs_inbox (strm_consent_levels, session, customer, client, n)';
	for (1 .. 1500)
	{
		my @n = map { ++$n } 1 .. 6;
		my $kind = int rand 3;
		if ($kind == 0) { $script .= "INSERT INTO $columns VALUES " . $values->($_) . ";\n\\echo $_\n" for @n }
		elsif ($kind == 1) { $script .= "INSERT INTO $columns VALUES " . join(', ', map { $values->($_) } @n) . ";\n" . join('', map { "\\echo $_\n" } @n) }
		else
		{
			$script .= "COPY $columns FROM STDIN;\n" . join('', map { join("\t", '{1}', "$client-" . $_ % 5, "c-$client", $client, $_) . "\n" } @n) . "\\.\n";
			$script .= join('', map { "\\echo $_\n" } @n);
		}
	}
	return $script;
}
sub start_client
{
	my ($name) = @_;
	append_to_file("$scratch/$name.sql", writer_script($name));
	append_to_file("$scratch/$name.$_", '') for qw(out err);
	return IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
		'<', "$scratch/$name.sql", '>', "$scratch/$name.out", '2>', "$scratch/$name.err");
}
sub acknowledged { my ($name) = @_; return slurp_file("$scratch/$name.out") =~ /^(\d+)\n/mg }
sub wait_until
{
	my ($check, $what) = @_;
	for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $check->();
		select undef, undef, undef, 0.02;
	}
	die "timed out: $what";
}
sub children_of { my ($pid) = @_; return split ' ', slurp_file("/proc/$pid/task/$pid/children") }
my $postmaster = sub { (slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/)[0] };

# Kills and gets the server back.
sub crash
{
	my ($kind) = @_;
	my $pid = $postmaster->();
	my @children = children_of($pid);
	if ($kind eq 'worker' || $kind eq 'scheduler')
	{
		my $type = $kind eq 'worker' ? 'strm_privacy ingest worker' : 'strm_privacy scheduler';
		my ($victim) = split /\n/, $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' ORDER BY state = 'active' DESC, random()");
		kill(9, $victim) == 1 or die "there is no $kind to be killed";
		wait_until(sub { my @left = grep { kill 0, $_ } @children; return !@left }, 'end of all processes but the first');
		$node->poll_query_until('postgres', 'SELECT true') or die 'no recovery';
		return;
	}
	if ($kind eq 'all') { kill 9, $pid, @children; $node->kill9 }
	else { $node->kill9 }
	wait_until(sub { my @left = grep { kill 0, $_ } $pid, @children; return !@left }, 'end of all processes');
	$node->start;
	return;
}

my %acknowledged;
for my $round (1 .. $rounds)
{
	my $kind = $kinds[ ($round - 1) % @kinds ];
	my @names = map { "r${round}w$_" } 1 .. $writers;
	my @clients = map { start_client($_) } @names;
	my $enough = 100 + int rand 600;
	wait_until(sub { my $n = 0; $n += () = acknowledged($_) for @names; return $n >= $enough }, 'rows');
	$node->poll_query_until('postgres', "SELECT count(*) = 3 FROM strm.workers WHERE kind = 'ingest' AND state = 'running'") or die 'workers';
	crash($kind);
	for (@clients) { eval { $_->finish } }
	$acknowledged{$_} = [ acknowledged($_) ] for @names;
	my $n = 0;
	$n += @{ $acknowledged{$_} } for @names;
	ok($n >= $enough, "round $round, $kind: $n rows were acknowledged");
}
$node->safe_psql('postgres', "SELECT strm.wait_for_ingest('qs', '120 s')");

my (%there, $doubles);
for (split /\n/, $node->safe_psql('postgres', "SELECT client, n, count(*) FROM qs GROUP BY 1, 2"))
{
	my ($client, $n, $count) = split /\|/;
	$there{"$client $n"} = $count;
	$doubles++ if $count > 1;
}
my $lost = 0;
for my $client (keys %acknowledged) { for (@{ $acknowledged{$client} }) { $lost++ if !$there{"$client $_"} } }
is($lost, 0, 'each row that was acknowledged is in the stream');
is($doubles // 0, 0, 'none is there twice');
is($node->safe_psql('postgres', 'SELECT count(*) FROM qs_inbox'), 0, 'none is left in the inbox');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY client, k ORDER BY id) AS before FROM seen) AS s WHERE before >= n'), 0,
	'in order, key by key');
is($node->safe_psql('postgres', "SELECT count(*) FROM qs_1 WHERE session IS DISTINCT FROM client || '-' || n % 5 OR customer IS DISTINCT FROM 'c-' || client"), 0,
	'all can be read');
is($node->safe_psql('postgres', 'SELECT count(*) FROM qs') - $node->safe_psql('postgres', 'SELECT count(*) FROM seen'), 0, 'what triggers did is as whole');
$node->stop;
done_testing();
