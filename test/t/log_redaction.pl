# The server log holds no value of a failed statement on a stream, whichever way it fails, in each log format; and holds
# them when redaction is off, which shows that this test can fail.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $marker = 'planted7marker';
my $node = strm_node('main', conf => <<CONF);
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_filename = 'server.log'
log_line_prefix = '%p %e '
log_statement = none
log_min_messages = notice
log_parameter_max_length_on_error = -1
deadlock_timeout = 50ms
restart_after_crash = on
CONF

# like and unlike for texts too long to show
sub has { my ($text, $regex, $name) = @_; ok($text =~ $regex, $name) }
sub has_not
{
	my ($text, $regex, $name) = @_;
	ok($text !~ $regex, $name);
	diag($_) for grep { /$regex/ } split /\n/, $text;
}

my $log_dir = $node->data_dir . '/log';
# Text of all server logs together; waits until the logging collector has written a line that is sent now.
my $line = 0;
sub server_log
{
	my $end = 'end of log part ' . ++$line;
	$node->safe_psql('other', "DO \$\$ BEGIN RAISE LOG '$end'; END \$\$");
	for my $file ("$log_dir/server.log", "$log_dir/server.csv", "$log_dir/server.json")
	{
		for (1 .. 1800)
		{
			last if -e $file && slurp_file($file) =~ /\Q$end\E/;
			select undef, undef, undef, 0.1;
		}
	}
	return join '', map { slurp_file($_) } "$log_dir/server.log", "$log_dir/server.csv", "$log_dir/server.json";
}

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One'), strm.create_purpose(2, 'Two');
SELECT strm.create_data_contract('acme/click/1.0.0',
  schema => '{"name": "Click", "nodes": [{"type": "STRING", "name": "session", "required": true},
     {"type": "STRING", "name": "email"}, {"type": "BOOLEAN", "name": "yes"}, {"type": "INTEGER", "name": "conversion"}]}',
  contract => '{"keyField": "session", "piiFields": {"session": 1, "email": 2, "yes": 2},
     "validations": [{"field": "email", "type": "regex", "value": "@"}]}');
SELECT strm.activate_data_contract('acme/click/1.0.0');
SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0');
SELECT strm.create_stream('My Clicks', contract => 'acme/click/1.0.0');
SELECT strm.create_derived_stream('clicks', purposes => '{1,2}');
CREATE VIEW wrapped AS SELECT session, email, conversion FROM clicks;
CREATE FUNCTION take_click(s text, n text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO clicks (session, conversion) VALUES (s, n::int);
END $$;
CREATE FUNCTION take_early(s text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := s;
BEGIN
  INSERT INTO clicks (session) VALUES (s); RETURN n;
END $$;
CREATE FUNCTION quietly(tab text, s text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I (session) VALUES ($1)', tab || 'cks') USING s;
  PERFORM s::int;
END $$;
CREATE FUNCTION badly(tab text, s text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I (session) VALUES (%L, no_such_function(%L))', tab || 'cks', s, s);
END $$;
CREATE TABLE queue (n int, s text);
CREATE FUNCTION forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO clicks (session) VALUES (new.s);
  RETURN new;
END $$;
CREATE FUNCTION gossip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'it was %', TG_ARGV[0] USING DETAIL = TG_ARGV[0], HINT = TG_ARGV[0];
END $$;
SQL
$node->safe_psql('postgres', "INSERT INTO clicks (strm_consent_levels, session, email) VALUES ('{1,2}', 's', 'someone\@example')");
$node->safe_psql('postgres', "CREATE TRIGGER gossip AFTER INSERT ON \"My Clicks\" FOR EACH ROW EXECUTE FUNCTION gossip('$marker')");

# name => statements; the last fails
my $m = $marker;
my @cases = (
	[ 'bad value of a personal field' => "INSERT INTO clicks (session, yes) VALUES ('s', '$m')" ],
	[ 'validation' => "INSERT INTO clicks (session, email) VALUES ('s', '$m')" ],
	[ 'missing key field' => "INSERT INTO clicks (email) VALUES ('$m\@x')" ],
	[ 'cast in VALUES' => "INSERT INTO clicks (session, conversion) VALUES ('$m', '$m')" ],
	[ 'explicit cast' => "INSERT INTO clicks (session, conversion) VALUES ('s', '$m'::int)" ],
	[ 'upper case' => "INSERT INTO CLICKS (session, conversion) VALUES ('$m', 'x')" ],
	[ 'name in quotes' => "INSERT INTO \"My Clicks\" (session, conversion) VALUES ('$m', 'x')" ],
	[ 'table that got a trigger in this session' => "SELECT 1",
	  'CREATE TRIGGER forward AFTER INSERT ON queue FOR EACH ROW EXECUTE FUNCTION forward()', 'SELECT 1', "INSERT INTO queue VALUES ('x', '$m')" ],
	[ 'error of a user trigger' => "INSERT INTO \"My Clicks\" (session) VALUES ('s')" ],
	[ 'name with escapes' => "INSERT INTO U&\"\\0063licks\" (session, conversion) VALUES ('$m', 'x')" ],
	[ 'syntax error' => "INSERT INTO clicks (session) VALUES ('$m' '$m')" ],
	[ 'unknown type' => "INSERT INTO clicks (session) VALUES ($m '$m')" ],
	[ 'syntax error at a value' => "INSERT INTO clicks (session) VALUES ('s') '$m'" ],
	[ 'wrong quotes' => "INSERT INTO clicks (session) VALUES (\"$m\")" ],
	[ 'no quotes' => "INSERT INTO clicks (session) VALUES (a\@$m.example)" ],
	[ 'missing column' => "INSERT INTO clicks (session, nope) VALUES ('$m', 1)" ],
	[ 'too many values' => "INSERT INTO clicks (session) VALUES ('$m', '$m')" ],
	[ 'division by zero' => "INSERT INTO clicks (session, conversion) VALUES ('$m', 1/0)" ],
	[ 'through a view' => "INSERT INTO wrapped (session, conversion) VALUES ('$m', '$m')" ],
	[ 'through a function' => "SELECT take_click('$m', '$m')" ],
	[ 'function, before it reaches the stream' => "SELECT take_early('$m')" ],
	[ 'function that makes up the name' => "SELECT quietly('cli', '$m')" ],
	[ 'function that puts a statement together that cannot be parsed' => "SELECT badly('cli', '$m')" ],
	[ 'anonymous block' => "DO \$\$ BEGIN INSERT INTO clicks (session, conversion) VALUES ('$m', '$m'); END \$\$" ],
	[ 'prepared statement' => "PREPARE p (text, int) AS INSERT INTO clicks (session, conversion) VALUES (\$1, \$2)", "EXECUTE p ('$m', '$m')" ],
	[ 'prepared statement, at run time' => "PREPARE p (text) AS INSERT INTO clicks (session, yes) VALUES ('s', \$1)", "EXECUTE p ('$m')" ],
	[ 'derived stream' => "SELECT email::int FROM clicks_1_2 WHERE email <> '$m'" ],
	[ 'cursor' => 'BEGIN', "DECLARE c CURSOR FOR SELECT ('$m' || email)::int FROM clicks_1_2", 'FETCH 1 FROM c' ],
	[ 'cursor that is kept' => 'BEGIN', "DECLARE c CURSOR WITH HOLD FOR SELECT ('$m' || email)::int FROM clicks_1_2", 'COMMIT' ],
	[ 'parallel worker' => "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')",
		"SELECT count(('$m' || email)::int) FROM clicks_1_2" ],
	[ 'in a failed transaction' => 'BEGIN', 'SELECT 1/0', "INSERT INTO clicks (session) VALUES ('$m')" ],
	[ 'strm.ingest, bad json' => "SELECT strm.ingest('clicks', '{\"session\": $m}')" ],
	[ 'secret of a derived stream' => "SELECT strm.create_derived_stream('nope', '{1}', mask_seed => '$m')" ],
	[ 'WARNING' => "DO \$\$ BEGIN RAISE WARNING 'clicks: $m'; END \$\$; SELECT 1/0" ],
	[ 'COPY, bad value' => "COPY clicks (session, conversion) FROM STDIN;\ns\t$m\n\\.\n" ],
	[ 'COPY, bad personal value' => "COPY clicks (session, yes) FROM STDIN;\ns\t$m\n\\.\n" ],
	[ 'COPY, missing data' => "COPY clicks (session, email, conversion) FROM STDIN;\n$m\t$m\n\\.\n" ],
	[ 'COPY, extra data' => "COPY clicks (session) FROM STDIN;\n$m\t$m\n\\.\n" ],
	[ 'COPY, bad line end' => "COPY clicks (session) FROM STDIN;\n$m\\.$m\n\\.\n" ]);

# Runs all cases, each in a session of its own; with one statement before that lets the session read the names.
sub run_cases
{
	my ($setting) = @_;
	my %stderr;
	for my $case (@cases)
	{
		my ($name, @statements) = @$case;
		my $script = join '', map { s/;\n/;\n/ ? $_ : "$_;\n" } "SET strm_privacy.log_redaction = $setting", @statements;
		my ($rc, $out, $err) = $node->psql('postgres', $script, on_error_stop => 0);
		$stderr{$name} = $err;
		like($err, qr/ERROR/, "redaction $setting, $name: fails");
	}
	return \%stderr;
}

my $stderr = run_cases('on');
my $log = server_log();
has_not($log, qr/$marker/, 'no value in any server log');
has_not($log, qr/someone/, 'no decrypted value in any server log');
has_not(slurp_file("$log_dir/server.log"), qr/STATEMENT:.*clicks/i, 'no statement that names a stream');
has($log, qr/22P02 ERROR:  invalid input syntax for type %s/, 'what kind of error it was can be read');
has($log, qr/Values and statement are withheld/, 'that something is withheld can be read');
like($stderr->{'cast in VALUES'}, qr/invalid input syntax for type integer: "$marker"/, 'the client gets the value back');
like($stderr->{'cast in VALUES'}, qr/LINE 1/, 'the client gets the position');
like($stderr->{'COPY, bad value'}, qr/COPY clicks, line 1, column conversion: "$marker"/, 'the client gets the context');

# parameters of the extended protocol: pgbench sends them
my $script = PostgreSQL::Test::Utils::tempdir() . '/insert.sql';
append_to_file($script, "\\set n random(1, 1)\nINSERT INTO clicks (session, conversion) VALUES (:v, :v);\n");
for my $mode (qw(extended prepared))
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pgbench', '-n', '-t', '1', '-M', $mode, '-D', "v=$marker", '-f', $script, $node->connstr('postgres') ], '>', \$out, '2>', \$err);
	like($err, qr/$marker/, "$mode protocol: fails");
}
has_not(server_log(), qr/$marker/, 'no bind parameter in any server log');

# a syntax error in the first statement of a session, before any name could be read
my ($rc, $out, $err) = $node->psql('postgres', "INSERT INTO clicks (session) VALUES ('$marker' '$marker')");
like($err, qr/syntax error/, 'first statement fails');
has_not(server_log(), qr/$marker/, 'first statement with a syntax error: nothing in the log');

# an unrelated statement is logged in full, here and in a database without the extension
$node->psql('postgres', "SELECT 'unrelated one'::int");
$node->psql('other', "SELECT 'unrelated two'::int");
$node->psql('other', 'SELECT 1 FROM unrelated_table');
$log = slurp_file("$log_dir/server.log") . server_log();
has($log, qr/ERROR:  invalid input syntax for type integer: "unrelated one"/, 'unrelated error: message');
has($log, qr/STATEMENT:  SELECT 'unrelated one'::int/, 'unrelated error: statement');
has($log, qr/STATEMENT:  SELECT 'unrelated two'::int/, 'unrelated error in another database: statement');

has($log, qr/STATEMENT:  SELECT 1 FROM unrelated_table/, 'unrelated error in the first statement of a session: statement');

# a function and a stream made by another session are known at once
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query('SELECT 1');
$node->safe_psql('postgres', "CREATE FUNCTION newcomer(t text) RETURNS int LANGUAGE sql AS 'SELECT t::int FROM clicks'");
$session->query("SELECT newcomer('$marker')");
$node->safe_psql('postgres', "SELECT strm.create_stream('later', contract => 'acme/click/1.0.0')");
$session->query("INSERT INTO later (session, conversion) VALUES ('$marker', 'x')");
$session->quit;
has_not(server_log(), qr/$marker/, 'new streams and functions of other sessions');

# a deadlock's report quotes the other session
$node->safe_psql('postgres', 'CREATE TABLE a (i int); CREATE TABLE b (i int)');
my ($one, $two) = map { $node->background_psql('postgres', on_error_stop => 0) } 1, 2;
# the second finds the deadlock, so that its report quotes the first
$one->query(q{SET deadlock_timeout = 1000000; BEGIN; LOCK a});
$two->query('BEGIN; LOCK b');
$one->query_until(qr/waiting/, "\\echo waiting\nWITH c AS (INSERT INTO clicks (session) VALUES ('$marker') RETURNING 1) SELECT (SELECT count(*) FROM c), count(*) FROM b;\n");
$two->query('SELECT count(*) FROM a');
$two->quit;
$one->query('ROLLBACK');
$one->quit;
$log = server_log();
has($log, qr/deadlock detected/, 'there was a deadlock');
has_not($log, qr/$marker/, 'deadlock report: no statement');

# a killed session
$one = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $one->query('SELECT pg_backend_pid()');
$one->query_until(qr/sleeping/, "\\echo sleeping\nWITH c AS (INSERT INTO clicks (session) VALUES ('$marker') RETURNING 1) SELECT pg_sleep(100) FROM c;\n");
$node->poll_query_until('other', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $pid") or die 'it does not sleep';
kill 9, $pid;
eval { $one->quit };
$node->poll_query_until('other', 'SELECT true') or die 'no recovery';
$log = server_log();
has($log, qr/\(PID $pid\) was terminated by signal 9/, 'a session was killed');
has_not($log, qr/$marker/, 'crash report: no statement');

# redaction off: each way would leak
$stderr = run_cases('off');
$log = server_log();
has($log, qr/STATEMENT:  INSERT INTO clicks \(session, conversion\) VALUES \('s', '$marker'::int\)/, 'redaction off: statement');
has($log, qr/CONTEXT:  COPY clicks, line 1, column conversion: "$marker"/, 'redaction off: context of COPY');
has($log, qr/invalid input syntax for type integer: "$marker"/, 'redaction off: message');
has(slurp_file("$log_dir/server.csv"), qr/$marker/, 'redaction off: csvlog');
has(slurp_file("$log_dir/server.json"), qr/$marker/, 'redaction off: jsonlog');
my $found = () = $log =~ /$marker/g;
cmp_ok($found, '>', 3 * @cases - 20, 'redaction off: nearly every case leaks');

# only a superuser switches it off
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
($rc, $out, $err) = $node->psql('postgres', 'SET strm_privacy.log_redaction = off', extra_params => [ '-U', 'nobody' ]);
like($err, qr/permission denied to set parameter/, 'only superusers switch redaction off');

$node->stop;
done_testing();
