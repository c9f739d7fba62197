# Processes are killed while several clients insert: every row that was acknowledged is there, every row that is there can be
# read, with the key of its value and window, and under the data subject it belongs to.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my @rounds = qw(backend all postmaster backend all postmaster all backend);
my $writers = 4;
my $scratch = PostgreSQL::Test::Utils::tempdir();
my $node = strm_node('main', conf => <<CONF);
log_statement = none
log_error_verbosity = verbose
restart_after_crash = on
max_prepared_transactions = 4
checkpoint_timeout = 30s
autovacuum_naptime = 1s
CONF
$node->safe_psql('postgres', "CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One')");
strm_contract($node, 'acme/crash/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'email', 'STRING', 1 ], [ 'id', 'STRING', undef, 'required' ] ],
	'"dataSubjectField": "customer"');
# windows that end while the clients work
$node->safe_psql('postgres', "SELECT strm.create_stream('clicks', contract => 'acme/crash/1.0.0', key_rotation => '1 second'), strm.create_derived_stream('clicks', '{1}')");

# One client's work: single rows, transactions with savepoints, COPY. Prints the id of each row once it is committed.
sub writer_script
{
	my ($client) = @_;
	my ($script, $n) = ('', 0);
	my $work = 'SELECT pg_sleep(0.005)';    # so that others meet what this transaction has not committed
	# values: some that all clients use, some of this client alone
	my $row = sub {
		my $session = rand() < 0.7 ? int rand 15 : "$client-" . int rand 500;
		my $id = "$client-" . ++$n;
		return ($id, "s-$session", 'c-' . ord($session), "e-$id\@x");
	};
	my $values = sub { my ($id, @personal) = @_; return "('{1}', '" . join("', '", @personal, $id) . "')" };
	my $columns = 'clicks (strm_consent_levels, session, customer, email, id)';
	for (1 .. 2000)
	{
		my @rows = map { [ $row->() ] } 1 .. 5;
		my $kind = int rand 3;
		if ($kind == 0)
		{
			$script .= "INSERT INTO $columns VALUES " . $values->(@$_) . ";\n\\echo $_->[0]\n" for @rows;
		}
		elsif ($kind == 1)
		{
			my ($undone, @kept) = @rows;
			$script .= "BEGIN;\nINSERT INTO $columns VALUES " . $values->(@{ $kept[0] }) . ";\nSAVEPOINT a;\n"
			  . "INSERT INTO $columns VALUES " . $values->(@$undone) . ";\n$work;\nROLLBACK TO a;\n"
			  . "INSERT INTO $columns VALUES " . join(', ', map { $values->(@$_) } @kept[ 1 .. $#kept ]) . ";\n$work;\nCOMMIT;\n";
			$script .= "\\echo $_->[0]\n" for @kept;
		}
		else
		{
			$script .= "COPY $columns FROM STDIN;\n" . join('', map { join("\t", '{1}', @$_[ 1 .. 3 ], $_->[0]) . "\n" } @rows) . "\\.\n";
			$script .= "\\echo $_->[0]\n" for @rows;
		}
	}
	return $script;
}

# Starts psql with a script; its output goes to files.
sub start_client
{
	my ($name, $script) = @_;
	append_to_file("$scratch/$name.sql", $script);
	append_to_file("$scratch/$name.$_", '') for qw(out err);
	return IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
		'<', "$scratch/$name.sql", '>', "$scratch/$name.out", '2>', "$scratch/$name.err");
}
sub acknowledged { my ($name) = @_; return grep { /^\d+-\d+-\d+$/ } slurp_file("$scratch/$name.out") =~ /^(.*)\n/mg }

# Returns once the check is true.
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

my $wrong = q{SELECT count(*) FROM clicks_1 WHERE email IS DISTINCT FROM 'e-' || id || '@x' OR session IS NULL OR customer IS NULL};
my $postmaster = sub { (slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/)[0] };

# Kills a client's server process, or the postmaster, or the postmaster and all its processes, and gets the server back.
sub crash
{
	my ($kind) = @_;
	my $pid = $postmaster->();
	my @children = children_of($pid);
	if ($kind eq 'backend')
	{
		my @backends = split /\n/, $node->safe_psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY state <> 'active', random()");
		kill(9, $backends[0]) == 1 or die 'no client is there to be killed';
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

# a transaction that is prepared when the server crashes, and one that uses its key
sub prepare
{
	my ($name) = @_;
	my $insert = "INSERT INTO clicks (strm_consent_levels, session, customer, email, id) VALUES ('{1}', '$name', 'c-1'";
	$node->safe_psql('postgres', "BEGIN; $insert, 'e-$name-1\@x', '$name-1'); PREPARE TRANSACTION '$name'");
	$node->safe_psql('postgres', "$insert, 'e-$name-2\@x', '$name-2')");
	return;
}
prepare($_) for 'p-commit', 'p-rollback';

my %acknowledged;
my ($errors, $rows) = ('', 0);
for my $round (0 .. $#rounds)
{
	my %clients = map { my $name = "$round-$_"; $name => start_client($name, writer_script($name)) } 1 .. $writers;
	my $reader = start_client("$round-reader", "$wrong;\n" x 5000);
	# each has begun, all together have done some work
	my $enough = 100 + int rand 600;
	wait_until(sub {
		return 1 if grep { -s "$scratch/$_.err" } keys %clients, "$round-reader";    # an error, reported below
		my @n = map { scalar(acknowledged($_)) } keys %clients;
		my $sum = 0;
		$sum += $_ for @n;
		return $sum >= $enough && !(grep { $_ < 5 } @n) && -s "$scratch/$round-reader.out";
	}, 'clients at work');
	$node->safe_psql('postgres', 'CHECKPOINT') if $round % 3 == 1;
	crash($rounds[$round]);
	for my $name (sort keys %clients)
	{
		$clients{$name}->finish;
		$acknowledged{$_} = 1 for acknowledged($name);
		$errors .= join '', grep { /ERROR/ } map { "$name: $_\n" } split /\n/, slurp_file("$scratch/$name.err");
	}
	$reader->finish;
	$errors .= join '', grep { /ERROR/ } map { "reader: $_\n" } split /\n/, slurp_file("$scratch/$round-reader.err");
	unlike(slurp_file("$scratch/$round-reader.out"), qr/^[1-9]/m, "round $round, $rounds[$round]: readers saw no wrong value");

	my %stored = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT id FROM clicks');
	is(scalar(grep { !$stored{$_} } keys %acknowledged), 0, "round $round, $rounds[$round]: no acknowledged row is lost");
	is($node->safe_psql('postgres', $wrong), 0, "round $round, $rounds[$round]: every row can be read");
	cmp_ok(scalar keys %stored, '>', $rows, "round $round, $rounds[$round]: rows were added");
	$rows = keys %stored;
}
is($errors, '', 'no client had an error but the crashes');
$node->safe_psql('postgres', "COMMIT PREPARED 'p-commit'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'p-rollback'");
is($node->safe_psql('postgres', "SELECT string_agg(email, ' ' ORDER BY email) FROM clicks_1 WHERE session LIKE 'p-%'"),
	'e-p-commit-1@x e-p-commit-2@x e-p-rollback-2@x', 'rows of transactions that were prepared before the crashes');

# many clients that need a new key at the same moment, again and again: each value is new every few milliseconds
append_to_file("$scratch/race.sql", "INSERT INTO clicks (strm_consent_levels, session, customer, email, id)\n"
	  . "SELECT '{1}', 'r-' || t, 'c-' || t % 10, 'e-' || i || '\@x', i FROM (SELECT (extract(epoch FROM clock_timestamp()) * 100)::bigint AS t, gen_random_uuid()::text AS i) AS now;\n");
command_like([ 'pgbench', '-n', '-c', '8', '-T', '4', '-f', "$scratch/race.sql", $node->connstr('postgres') ], qr/number of failed transactions: 0 /,
	'clients that need the same new keys');

note($rows . ' rows, ' . $node->safe_psql('postgres', "SELECT count(DISTINCT key_link) || ' keys, ' || count(*) || ' key rows' FROM strm.data_key"));

is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT id) FROM clicks'), 0, 'no row is there twice');
is($node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM clicks) - (SELECT count(*) FROM clicks_1)'), 0, 'the derived stream has all rows');
is($node->safe_psql('postgres', $wrong), 0, 'every row can be read');
is($node->safe_psql('postgres', 'SELECT count(*) FROM clicks c WHERE NOT EXISTS (SELECT FROM strm.data_key k WHERE k.key_link = c.strm_key_link)'), 0,
	'every key link has a key');
is($node->safe_psql('postgres', <<'SQL'), 0, 'one key for a value and a window');
SELECT count(*) FROM strm.data_key a JOIN strm.data_key b ON a.owner = b.owner AND a.lookup = b.lookup AND a.key_link < b.key_link
 WHERE a.window_start < b.window_end AND b.window_start < a.window_end
SQL
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT strm_key_link FROM clicks_1 GROUP BY 1 HAVING count(DISTINCT session) > 1) x'), 0,
	'no key serves two values');
is($node->safe_psql('postgres', <<'SQL'), 0, 'every data subject is registered with its keys');
SELECT count(*) FROM (
  SELECT DISTINCT customer, strm_key_link FROM clicks_1
  EXCEPT SELECT subject, key_link FROM strm.data_subject_key_links(VARIADIC (SELECT array_agg(DISTINCT customer) FROM clicks_1))) x
SQL
# the indexes agree with the tables
my ($rc, $out, $err) = $node->psql('postgres', <<'SQL');
CREATE EXTENSION amcheck;
SELECT bt_index_check(indexrelid, true) FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = 'strm'::regnamespace AND relkind = 'r'
SQL
is($err, '', 'indexes of the key tables are sound');
$node->stop;
done_testing();
