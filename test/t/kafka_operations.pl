# Kafka exporters when something goes wrong: one of them alone (its topic, its rights, its stream), or the brokers. Others go on,
# what waits costs no memory and no time, and when it is over each event is in its topic once, in order.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;
use Time::HiRes qw(sleep time);

strm_kafka_skip('KAFKA39');
my $node = strm_node('main', conf => "fsync = off\nwal_level = logical\nmax_worker_processes = 16\n");
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
my %plain = strm_kafka_login('KAFKA39', '');
my %login = strm_kafka_login('KAFKA39', 'SASL', user => $ENV{STRM_KAFKA_NOBODY});
my $kafka = strm_kafka(%plain);
# Rows of the huge transaction, and of those that wait for a broker.
my $huge = $ENV{STRM_KAFKA_ROWS} // 60_000;
my $waiting = 60_000;
my $limit = 64 * 1024;    # kB
my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub of { my ($name, $columns) = @_; return sql("SELECT $columns FROM strm.kafka_exporters WHERE name = '$name'") }
sub error { my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$_[0]"); return $err }

# Inserts events, numbered through the whole test: in one transaction, of so many sessions (each a data subject). The first number.
sub insert
{
	my ($count, %option) = @_;
	my $sessions = $option{sessions} // 7;
	my $prefix = $option{prefix} // 's';
	my $stream = $option{stream} // 'clicks';
	my $level = $option{level} // "'{1}'";
	my $from = $n + 1;
	$n += $count;
	sql("INSERT INTO $stream (strm_consent_levels, session, customer, email, n) SELECT $level, '$prefix' || i % $sessions, '$prefix' || i % $sessions, "
		  . ($option{email} // "'e' || i") . ", i FROM generate_series($from, $n) AS i");
	return $from;
}

# Waits until the exporter shows what is asked for.
sub becomes
{
	my ($name, $condition, $what) = @_;
	my $done = $node->poll_query_until('postgres', "SELECT $condition FROM strm.kafka_exporters WHERE name = '$name'");
	ok($done, $what) or diag of($name, 'state, sqlstate, last_error, hint, sent, withheld, filtered, errors, lag_bytes, queued_bytes');
	return;
}

# All that was inserted so far is published or counted.
sub catches_up
{
	my ($name, $what) = @_;
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	my $done = $node->poll_query_until('postgres', "SELECT e.state = 'RUNNING' AND e.queued_bytes = 0 AND s.confirmed_flush_lsn >= '$lsn' FROM strm.kafka_exporters e"
		  . " JOIN strm.kafka_clusters c ON c.name = e.cluster JOIN pg_replication_slots s ON s.slot_name = c.slot_name WHERE e.name = '$name'");
	ok($done, $what) or diag of($name, 'state, sqlstate, last_error, hint, sent, lag_bytes, queued_bytes');
	return;
}

# The numbers in a topic from $least on, as "1-5,7-9"; one that is there twice shows twice. Complains of keys whose order is wrong.
sub numbers
{
	my ($topic, $least) = @_;
	my (@numbers, %last, @disorder);
	$kafka->consume($topic, each => sub {
		my ($record) = @_;
		my $number = $record->{value} =~ /"n": ?(\d+)/ ? $1 : die "no number in $record->{value}";
		push @disorder, $number if ($last{ $record->{key} } // 0) >= $number;
		$last{ $record->{key} } = $number;
		push @numbers, $number if $number >= ($least // 0);
	});
	my @ranges;
	for my $number (sort { $a <=> $b } @numbers)
	{
		if (@ranges && $ranges[-1][1] + 1 == $number) { $ranges[-1][1] = $number }
		else { push @ranges, [ $number, $number ] }
	}
	return join(',', map { "$_->[0]-$_->[1]" } @ranges) . (@disorder ? ' out of order: ' . join(',', @disorder[ 0 .. ($#disorder > 9 ? 9 : $#disorder) ]) : '');
}

sub worker { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'strm_privacy Kafka worker'" . ($_[0] ? " AND pid IN (SELECT worker_pid FROM strm.kafka_clusters WHERE name = '$_[0]')" : '')) }
sub anonymous { return slurp_file("/proc/$_[0]/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die }
# Seconds of a process (PID), or of one thread of it (PID/task/THREAD), on a CPU
sub cpu { my @stat = split / /, slurp_file("/proc/$_[0]/stat") =~ s/.*\) //sr; return ($stat[11] + $stat[12]) / 100 }

# Most memory (kB) that the process needs until that holds.
sub watch
{
	my ($pid, $condition) = @_;
	my $most = 0;
	my $start = time;
	while (time - $start < 600)
	{
		for (1 .. 5) { my $now = anonymous($pid); $most = $now if $now > $most; sleep 0.05 }
		return $most if sql("SELECT $condition") eq 't';
	}
	diag "not in time: $condition; " . sql('SELECT name, state, sent, lag_bytes, last_error FROM strm.kafka_exporters');
	return $most;
}

sql('CREATE EXTENSION strm_privacy');
sql("SELECT strm.create_purpose(1, 'Analytics'), strm.create_purpose(2, 'Marketing')");
strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'email', 'STRING', 2 ], [ 'n', 'LONG', undef ] ], '"dataSubjectField": "customer"');
sql("SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0')");
sql("SELECT strm.create_derived_stream('clicks', purposes => '{1}', name => 'shown')");
sql("SELECT strm.create_derived_stream('clicks', purposes => '{1,2}', name => 'masked', masked_fields => '{email}', mask_seed => 'seed')");

# --- one topic ---
my ($bad, $good) = map { $kafka->create($_, partitions => 2) } 'bad', 'good';
for my $topic ($bad, $good) { $kafka->do('allow', $ENV{STRM_KAFKA_NOBODY}, $_, 'topic', $topic) for 'READ', 'WRITE', 'DESCRIBE' }
my $config = join ', ', map { qq("$_": "$login{$_}") } grep { $_ ne 'bootstrap.servers' } sort keys %login;
sql("SELECT strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}', '{$config}')");
sql("SELECT strm.create_kafka_exporter('clicks', 'k', '$bad', 'bad'), strm.create_kafka_exporter('clicks', 'k', '$good', 'good')");
insert(100);
catches_up($_, "$_ publishes") for 'bad', 'good';

# One of the topics takes nothing: by what $break does until $repair.
sub only_one
{
	my ($name, $break, $message, $repair, $resume) = @_;
	$break->();
	my $from = insert(50, email => "repeat('x', 3000)");
	becomes('bad', "state IN ('ERROR', 'RETRYING') AND last_error ~ '$message'", "$name: one exporter fails, and says why");
	note of('bad', 'state, sqlstate, last_error, hint');
	becomes('good', "state = 'RUNNING' AND sent >= $n", "$name: the other one goes on");
	insert(50);
	becomes('good', "state = 'RUNNING' AND sent >= $n", "$name: and on");
	isnt(of('bad', 'state'), 'RUNNING', "$name: while the one does not");
	becomes('good', "lag_bytes < 5000 AND lag_seconds = 0", "$name: nothing waits");
	cmp_ok(of('bad', 'lag_bytes'), '>', 8000, "$name: which shows in its lag");
	cmp_ok(of('bad', 'lag_seconds'), '>', 0, "$name: in seconds, too");
	$repair->();
	sql("SELECT strm.resume_kafka_exporter('bad')") if of('bad', 'state') eq 'ERROR';
	catches_up('bad', "$name: when it is repaired it goes on");
	insert(10);
	catches_up($_, "$name: $_ publishes") for 'bad', 'good';
	is(numbers($good), "1-$n", "$name: the other one has all");
	return $from;
}

only_one('no right to write', sub { $kafka->do('forbid', $ENV{STRM_KAFKA_NOBODY}, 'WRITE', 'topic', $bad) }, 'authoriz',
	sub { $kafka->do('allow', $ENV{STRM_KAFKA_NOBODY}, 'WRITE', 'topic', $bad) });
is(numbers($bad), "1-$n", 'nothing is lost, doubled or out of order');
only_one('small messages', sub { $kafka->do('configure', $bad, 'max.message.bytes=2000') }, 'too large', sub { $kafka->do('configure', $bad, 'max.message.bytes=1048588') });
is(numbers($bad), "1-$n", 'nothing is lost, doubled or out of order');
my $from = only_one('no topic', sub { $kafka->do('delete', $bad) }, 'topic',
	sub { $kafka->do('create', $bad, 2, -1); $kafka->do('allow', $ENV{STRM_KAFKA_NOBODY}, $_, 'topic', $bad) for 'READ', 'WRITE', 'DESCRIBE' });
is(numbers($bad), "$from-$n", 'a new topic has what the old one did not get');

# --- one exporter and the database ---
# TRUNCATE and DELETE
sql('DELETE FROM clicks WHERE n = 1');
my $sent = of('good', 'sent');
sql("SELECT strm.create_stream('other', contract => 'acme/clicks/1.0.0'), strm.create_derived_stream('other', purposes => '{1}', name => 'other_shown')");
my ($other, $derived) = map { $kafka->name($_) } 'other', 'derived';
sql("SELECT strm.create_kafka_exporter('other', 'k2', '$other', 'other'), strm.create_kafka_exporter('other_shown', 'k2', '$derived', 'derived')")
  if sql("SELECT strm.create_kafka_cluster('k2', '$plain{'bootstrap.servers'}')");
my $first = insert(20, stream => 'other');
catches_up($_, "$_ publishes") for 'other', 'derived';
sql("DELETE FROM other WHERE n % 2 = 0; TRUNCATE other");
my $after = insert(20, stream => 'other');
catches_up('good', 'and good does');
catches_up($_, "$_ publishes") for 'other', 'derived';
is(numbers($_), "$first-$n", 'DELETE and TRUNCATE publish nothing') for $other, $derived;
is(of('good', 'sent'), $sent, 'nor does DELETE in a stream that keeps its rows');

# rights of the owner
sql('CREATE ROLE ann IN ROLE strm_member, strm_approver; GRANT SELECT ON other, other_shown TO ann');
sql("SELECT strm.grant_kafka_cluster('k2', 'ann')");
sql("SELECT strm.alter_kafka_exporter('$_', new_owner => 'ann')") for 'other', 'derived';

sub without
{
	my ($take, $give, $exporter, $message) = @_;
	sql($take);
	insert(5, stream => 'other');
	becomes($exporter, "state = 'ERROR' AND sqlstate = '42501' AND last_error ~ '$message'", "$take: the exporter stops, and says why");
	my $there = of($exporter, 'sent');
	becomes($exporter eq 'other' ? 'derived' : 'other', "state = 'RUNNING' AND sent >= " . ($n - $first + 1), 'the other one goes on');
	is(of($exporter, 'sent'), $there, 'nothing more is published');
	sql($give);
	sql("SELECT strm.resume_kafka_exporter('$exporter')");
	catches_up($exporter, "$give: it goes on");
	is(numbers($exporter eq 'other' ? $other : $derived), "$first-$n", 'and has all');
	return;
}
# what the count of the other one goes by is without what $good has of clicks
without('REVOKE SELECT ON other FROM ann', 'GRANT SELECT ON other TO ann', 'other', 'role "ann" has no SELECT on');
without('REVOKE strm_approver FROM ann', 'GRANT strm_approver TO ann', 'derived', 'role "ann" needs role strm_approver');
without('REVOKE SELECT ON other_shown FROM ann', 'GRANT SELECT ON other_shown TO ann', 'derived', 'role "ann" has no SELECT on');
sql('DROP OWNED BY ann');
like(error("SELECT strm.revoke_kafka_cluster('k2', 'ann')"), qr/^$/, 'a cluster is taken away, too');
insert(5, stream => 'other');
becomes($_, "state = 'ERROR' AND sqlstate = '42501'", "$_ has stopped") for 'other', 'derived';
sql('DROP ROLE ann');
sql("SELECT strm.resume_kafka_exporter('other')");
becomes('other', "state = 'ERROR' AND last_error ~ 'its owner was dropped'", 'a dropped owner is told of');
sql("SELECT strm.alter_kafka_exporter('$_', new_owner => CURRENT_USER::regrole), strm.resume_kafka_exporter('$_')") for 'other', 'derived';
catches_up($_, 'with another owner it goes on') for 'other', 'derived';
is(numbers($_), "$first-$n", 'from its place') for $other, $derived;

# the table
like(error('ALTER TABLE other ADD COLUMN more text'), qr/ERROR|WARNING/, 'a column more is refused, or warned of');
insert(5, stream => 'other');
catches_up($_, 'it goes on') for 'other', 'derived';
is(numbers($_), "$first-$n", 'with the same events') for $other, $derived;
# drop and create again
sql("SELECT strm.drop_kafka_exporter('other')");
my $before = $n;
insert(5, stream => 'other');
sql("SELECT strm.create_kafka_exporter('other', 'k2', '$other', 'other')");
insert(5, stream => 'other');
catches_up('other', 'another exporter publishes to the same topic');
is(numbers($other), "$first-$before," . ($before + 6) . "-$n", 'what is inserted from then on');
like(error('DROP VIEW other_shown'), qr/NOTICE: .*derived/, 'a derived stream takes its exporter with it, which is told');
like(error('DROP TABLE other'), qr/NOTICE: .*other/, 'a stream, too');
is(sql("SELECT string_agg(name, ',' ORDER BY name) FROM strm.kafka_exporters"), 'bad,good', 'they are gone');
my $gone = insert(5);
catches_up($_, "$_ goes on") for 'bad', 'good';
sql("SELECT strm.drop_kafka_exporter('bad'), strm.drop_kafka_exporter('good'), strm.drop_kafka_cluster('k')");

# --- consent ---
my %topic = map { $_ => $kafka->name($_) } 'stored', 'shown', 'masked';
sql("SELECT strm.create_kafka_exporter('" . ($_ eq 'stored' ? 'clicks' : $_) . "', 'k2', '$topic{$_}', '$_')") for sort keys %topic;
$sent = 'SELECT count(*) FROM clicks';
my $old = sql('SELECT max(n) FROM clicks');
insert(400, sessions => 400, prefix => 'c', level => "CASE i % 4 WHEN 0 THEN '{}' WHEN 1 THEN '{1}' WHEN 2 THEN '{2}' ELSE '{1,2}' END::int[]");
catches_up($_, "$_ publishes") for sort keys %topic;
# Events as JSON of the topic, and of the database
for my $name (sort keys %topic)
{
	my @topic = sort map { $_->{value} } $kafka->consume($topic{$name});
	my $stream = $name eq 'stored' ? 'clicks' : $name;
	my @table = sort grep { /"n": ?(\d+)/ && $1 > $gone + 4 } split /\n/, sql("SELECT strm.events('$stream', NULL, 1000)");
	is(scalar @topic, { stored => 400, shown => 200, masked => 100 }->{$name}, "$name: as many events as consent covers");
	is_deeply(\@topic, \@table, "$name: exactly what the database shows");
}
is(of('shown', 'filtered') . ' ' . of('masked', 'filtered') . ' ' . of('stored', 'filtered'), '200 300 0', 'others are counted');

# --- brokers that are down ---
my $worker = worker('k2');
$first = $n + 1;
strm_kafka_control('stop', 'kafka39');
insert(40, prefix => 'gone', sessions => 1);
becomes('shown', "state = 'RETRYING' AND last_error ~ 'brokers' AND sqlstate = '08006'", 'an exporter says that there are no brokers');
becomes('stored', "state = 'RETRYING'", 'the other one, too');
# many transactions: lag is what was written since the commit of the first
sql("DO \$\$ BEGIN FOR t IN 1 .. 100 LOOP INSERT INTO clicks (strm_consent_levels, session, customer, email, n) SELECT '{1}', 'b' || i % 1000, 'b' || i % 1000, 'e' || i, i"
	  . " FROM generate_series($n + (t - 1) * $waiting / 100 + 1, $n + t * $waiting / 100) AS i; COMMIT; END LOOP; END \$\$");
$n += $waiting;
cmp_ok(watch($worker, "bool_and(lag_bytes > 100 * $waiting) FROM strm.kafka_exporters WHERE name <> 'masked'"), '<', $limit, 'memory while much waits');
is(sql("SELECT strm.delete_data_subjects('gone0')"), 1, 'a key is destroyed meanwhile');
sleep 1;
my $used = cpu($worker);
sleep 5;
$used = cpu($worker) - $used;
note "CPU time of 5 s: $used";
cmp_ok($used, '<', 0.3, 'waiting takes no time');
cmp_ok(anonymous($worker), '<', $limit, 'and no memory');
is(worker('k2'), $worker, 'the worker is the same');
cmp_ok(of('shown', 'lag_seconds'), '>', 5, 'lag in seconds');
cmp_ok(sql("SELECT lag_bytes FROM strm.kafka_clusters WHERE name = 'k2'"), '>', 100 * $waiting, 'lag of the cluster');
strm_kafka_control('start', 'kafka39');
cmp_ok(watch($worker, "bool_and(state = 'RUNNING' AND lag_bytes < 100000 AND queued_bytes = 0) FROM strm.kafka_exporters"), '<', $limit, 'memory while it is published');
catches_up($_, "$_ goes on by itself") for sort keys %topic;
is(of('shown', 'withheld'), 40, 'events whose key was destroyed are counted');
is(numbers($topic{shown}, $first), ($first + 40) . "-$n", 'and not published, all others are once');
is(numbers($topic{stored}, $first), "$first-$n", 'encrypted they are published');

# a network that swallows everything
strm_kafka_control('pause', 'kafka39');
insert(1000);
becomes('stored', "lag_seconds > 2 AND lag_bytes > 0 AND queued_bytes > 0", 'records wait for brokers that do not answer');
sleep 1;
# librdkafka's own thread spins when it has more to send than may be under way, until the request times out
my $thread = "$worker/task/$worker";
$used = cpu($thread);
sleep 3;
cmp_ok(cpu($thread) - $used, '<', 0.3, 'which takes our thread no time');
strm_kafka_control('continue', 'kafka39');
catches_up($_, "$_ goes on") for sort keys %topic;
is(numbers($topic{stored}, $first), "$first-$n", 'each event is there once');

# --- a huge transaction ---
insert($huge, sessions => 1000);
cmp_ok(watch($worker, "bool_and(state = 'RUNNING' AND lag_bytes < 100000 AND queued_bytes = 0) AND max(sent) > $n - 1000 FROM strm.kafka_exporters"), '<', $limit, 'memory in a huge transaction');
catches_up($_, "$_ has published it") for sort keys %topic;
is(numbers($topic{$_}, $first + 40), ($first + 40) . "-$n", "$_: each event is there once") for 'stored', 'shown';
is(worker('k2'), $worker, 'the worker is the same');
unlike(slurp_file($node->logfile), qr/TRAP|was terminated by signal/, 'nothing crashed');

$node->stop;
done_testing();
