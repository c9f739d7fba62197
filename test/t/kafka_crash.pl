# Faults at random moments under load: processes of the server and brokers are killed or stopped, the network fails, exporters
# are paused and added, keys are destroyed. Every topic then has each committed event once, in commit order per key link, and no
# other one.
#
# STRM_KAFKA_ROUNDS (default 5): faults, one after another; the first six are of six kinds, others are drawn by lot (STRM_KAFKA_SEED).
# STRM_KAFKA_SECONDS: no further round begins then.
# STRM_KAFKA_FAULTS: names of faults (see %faults), instead of the lot.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmProxy;
use StrmTest;
use Test::More;
use Time::HiRes qw(time sleep);

strm_kafka_skip('KAFKA39', 'KAFKA_THREE');
my $rounds = $ENV{STRM_KAFKA_ROUNDS} // 5;
my $seed = srand($ENV{STRM_KAFKA_SEED} // time);
my $clients = 6;
my $extra = 3;    # exporters that are added, at most
my $scratch = PostgreSQL::Test::Utils::tempdir();
my $began = time;

my $node = strm_node('main', conf => <<CONF);
wal_level = logical
max_worker_processes = 16
restart_after_crash = on
log_statement = none
autovacuum_naptime = 1s
checkpoint_timeout = 30s
max_wal_size = 4GB
CONF
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
my $port = $ENV{STRM_KAFKA39_PROXY} =~ /:(\d+)$/ ? $1 : die 'no port for a proxy';
my $proxy = strm_proxy($port, $ENV{STRM_KAFKA39_PROXY_TARGET});
my %login = (one => { 'bootstrap.servers' => $ENV{STRM_KAFKA39_BOOTSTRAP} }, three => { strm_kafka_login('KAFKA_THREE') });
my %kafka = map { $_ => strm_kafka(%{ $login{$_} }) } keys %login;

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
# Runs a statement, however often the server is away meanwhile.
sub insist
{
	my ($sql, $ok) = @_;
	for (1 .. 600)
	{
		my ($rc, $out, $err) = $node->psql('postgres', $sql);
		return $out if $rc == 0 || ($ok && $err =~ $ok);
		die "$sql: $err" if $err =~ /ERROR/ && $err !~ /terminat|crash|shutdown|connection|recovery/;
		sleep 0.1;
	}
	die "$sql: no server";
}

# --- streams and exporters ---
sql("CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One')");
strm_contract($node, 'acme/crash/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'email', 'STRING', 1 ], [ 'number', 'STRING', undef, 'required' ] ],
	'"dataSubjectField": "customer"');
sql("SELECT strm.create_stream('clicks', contract => 'acme/crash/1.0.0'), strm.create_stream('visits', contract => 'acme/crash/1.0.0', partition_by => '1 hour')");
sql("SELECT strm.create_derived_stream('clicks', '{1}'), strm.create_derived_stream('visits', '{1}'), strm.create_partitions('visits', 1)");
sql("SELECT strm.create_kafka_cluster('one', '$ENV{STRM_KAFKA39_PROXY}'), strm.create_kafka_cluster('three', '$login{three}{'bootstrap.servers'}')");

my @exporters;
sub add_exporter
{
	my ($stream, $cluster, %option) = @_;
	my $name = 'e' . @exporters;
	my $topic = $kafka{$cluster}->name("crash-$stream");
	push @exporters, { name => $name, topic => $topic, cluster => $cluster, table => $stream =~ s/_1$//r, derived => scalar($stream =~ /_1$/), %option };
	insist("SELECT strm.create_kafka_exporter('$stream', '$cluster', '$topic', '$name', partitions => 4"
		  . join('', map { ", $_ => true" } keys %option) . ')', qr/already exists/);
	return $name;
}
add_exporter('clicks', 'one');
add_exporter('clicks_1', 'one');
add_exporter('visits', 'one', transactional => 1);
add_exporter('visits', 'three');
add_exporter('visits_1', 'three');
add_exporter('clicks', 'three', transactional => 1);

# --- load ---
# Each client numbers its rows, and has key values of its own: so the commit order of a key link is that of its numbers.
sub rows
{
	my ($table, $from, $to, $mark) = @_;
	$mark //= '';
	return "INSERT INTO $table (strm_consent_levels, session, customer, email, number) SELECT '{1}', 's-:run-:client_id-:chunk', 'c-:run-:client_id-:chunk', "
	  . "'e-:run-:client_id-' || i || '\@x', '$mark:run-:client_id-' || i FROM generate_series($from, $to) AS i;\n";
}
my $next = "\\set n :n + 1\n\\set chunk :n / 100\n";
my $more = "\\set m :n + 1\n\\set n :n + 4\n\\set chunk :n / 100\n";
my %scripts = (
	'one@8' => $next . rows('clicks', ':n', ':n'),
	'other@4' => $next . rows('visits', ':n', ':n'),
	'both@1' => $more . "BEGIN;\n" . rows('clicks', ':m', ':n') . rows('visits', ':m', ':n') . "COMMIT;\n",
	'undone@1' => "BEGIN;\n" . rows('clicks', ':n', ':n + 1', 'undone-') . rows('visits', ':n', ':n + 1', 'undone-') . "ROLLBACK;\n",
	'savepoint@1' => $more . "BEGIN;\n" . rows('clicks', ':m', ':m + 1') . "SAVEPOINT a;\n" . rows('clicks', 0, 2, 'undone-') . rows('visits', 0, 2, 'undone-')
	  . "ROLLBACK TO a;\n" . rows('clicks', ':m + 2', ':n') . rows('visits', ':m', ':n') . "COMMIT;\n");
append_to_file("$scratch/" . s/\@.*//r . '.sql', $scripts{$_}) for keys %scripts;

my $load;
sub start_load
{
	my ($run) = @_;
	local $ENV{PGOPTIONS} = '-c synchronous_commit=' . ($run % 3 ? 'on' : 'off');
	my ($out, $err) = ('', '');
	$load = { run => $run, out => \$out, err => \$err };
	$load->{process} = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-T', 3600, '-D', "run=$run", '-D', 'n=0', '-D', 'chunk=0',
		(map { my ($name, $weight) = split /\@/; ('-f', "$scratch/$name.sql\@$weight") } sort keys %scripts), $node->connstr('postgres') ], '>', \$out, '2>', \$err);
	return;
}
my $errors = '';
sub stop_load
{
	$load->{process}->signal('TERM');
	$load->{process}->finish;
	$errors .= join '', grep { /ERROR/ && !/shutdown|terminat|crash/ } map { "run $load->{run}: $_\n" } split /\n/, ${ $load->{err} };
	return;
}

# Waits until the clients have written that much WAL.
sub work
{
	my ($bytes) = @_;
	my $lsn = insist('SELECT pg_current_wal_insert_lsn()');
	for (1 .. 600)
	{
		my ($rc, $out) = $node->psql('postgres', "SELECT pg_current_wal_insert_lsn() - '$lsn' > $bytes");
		return if $rc != 0 || $out eq 't';
		$load->{process}->pump_nb;
		return if !$load->{process}->pumpable;
		sleep 0.02;
	}
	die 'the load does not get on: ' . ${ $load->{err} };
}

# --- faults ---
sub any { return $_[ int rand @_ ] }
sub moment { sleep rand($_[0] // 1) }
sub wait_until
{
	my ($check, $what) = @_;
	for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $check->();
		sleep 0.02;
	}
	die "timed out: $what";
}
sub up { $node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back'; return }
sub worker
{
	my ($cluster) = @_;
	my $pid;
	wait_until(sub { $pid = insist("SELECT w.pid FROM strm.workers w JOIN strm.kafka_clusters c ON w.what LIKE '%' || c.id WHERE w.kind = 'kafka' AND c.name = '$cluster' LIMIT 1") },
		"worker of $cluster");
	return $pid;
}
sub kill_worker { my ($cluster) = @_; kill 'KILL', worker($cluster); sleep 0.1; up(); return }
sub kill_postmaster
{
	my ($all) = @_;
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	my @children = split ' ', slurp_file("/proc/$pid/task/$pid/children");
	kill 'KILL', $pid, @children if $all;
	$node->kill9;
	wait_until(sub { !grep { kill 0, $_ } $pid, @children }, 'end of all processes');
	$node->start;
	return;
}
# On a busy machine a broker may need longer than kafka_control waits: then it goes on starting, and further tries do nothing.
sub revive { my ($broker) = @_; for (1 .. 3) { last if eval { strm_kafka_control('start', $broker); 1 } } return }

my %faults = (
	worker => sub { kill_worker(any('one', 'three')) },
	workers => sub { for (1 .. 3) { kill_worker(any('one', 'three')); moment(0.5) } },
	terminate => sub { for (1 .. 3) { insist('SELECT pg_terminate_backend(' . worker(any('one', 'three')) . ')'); moment() } },
	postmaster => sub { kill_postmaster(0) },
	all => sub { kill_postmaster(1) },
	immediate => sub { $node->stop('immediate'); $node->start },
	restart => sub { stop_load(); $node->restart; start_load($load->{run} + 0.5) },
	broker => sub { my $broker = any(1, 2, 3); strm_kafka_control('kill', $broker); moment(4); revive($broker) },
	single => sub { strm_kafka_control('kill', 'kafka39'); moment(2); revive('kafka39') },
	# the brokers and the server at once
	both => sub
	{
		my $broker = any('kafka39', 1, 2, 3);
		strm_kafka_control('kill', $broker);
		moment(0.3);
		kill_worker($broker eq 'kafka39' ? 'one' : 'three');
		revive($broker);
	},
	hang => sub { my $broker = any('kafka39', 1, 2, 3); strm_kafka_control('pause', $broker); moment(6); strm_kafka_control('continue', $broker) },
	# requests of a worker that is dead lie in the broker's socket; replicas do not have yet what their leader has
	late => sub
	{
		my $broker = any('kafka39', 1, 2, 3);
		strm_kafka_control('pause', $broker);
		moment(0.5);
		kill_worker($broker eq 'kafka39' ? 'one' : 'three');
		moment(3);
		strm_kafka_control('continue', $broker);
	},
	cut => sub { for (1 .. 3) { $proxy->do('cut'); moment(0.5); $proxy->do('open'); moment() } },
	hole => sub { $proxy->do('hole'); moment(3); $proxy->do('open') },
	delayed => sub { $proxy->do('hole'); moment(0.3); kill_worker('one'); moment(2); $proxy->do('open') },
	scheduler => sub
	{
		insist("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type ~ '^strm_privacy (scheduler|launcher)'" . any('', " OR backend_type = 'strm_privacy Kafka worker'"));
	},
	pause => sub
	{
		for (1 .. 3)
		{
			my $name = $exporters[ rand @exporters ]{name};
			insist("SELECT strm.pause_kafka_exporter('$name')");
			moment();
			insist("SELECT strm.resume_kafka_exporter('$name')");
		}
	},
	# existing events are read while the worker is killed
	add => sub
	{
		if ($extra-- > 0)
		{
			my ($cluster, $stream) = @{ any([ 'one', 'clicks' ], [ 'three', 'clicks_1' ], [ 'one', 'visits_1' ], [ 'three', 'visits' ]) };
			add_exporter($stream, $cluster, include_existing_events => 1);
			moment();
			kill_worker($cluster);
		}
		else { kill_worker('one') }
		moment();
		insist('SELECT pg_terminate_backend(' . worker(any('one', 'three')) . ')');
	},
	destroy => sub
	{
		for (1 .. 3)
		{
			my $subject = 'c-' . $load->{run} . '-' . int(rand $clients) . '-' . int rand 3;
			insist("SELECT strm.delete_data_subjects('$subject')");
			moment(0.5);
		}
		insist('SELECT pg_terminate_backend(' . worker(any('one', 'three')) . ')');
	});

# --- rounds ---
my @first = qw(late add postmaster delayed destroy broker);
my @chosen = split /[, ]+/, $ENV{STRM_KAFKA_FAULTS} // '';
my %done;
diag("seed $seed, $rounds rounds") if $rounds > 6;
for my $round (1 .. $rounds)
{
	my $name = @chosen ? $chosen[ ($round - 1) % @chosen ] : $round <= @first ? $first[ $round - 1 ] : any(sort keys %faults);
	my $start = time;
	last if $start - $began > ($ENV{STRM_KAFKA_SECONDS} // 1e9);
	start_load($round);
	work(100_000 + int rand 1_000_000);
	$faults{$name}->();
	work(100_000);
	stop_load();
	up();
	$done{$name}++;
	note(sprintf 'round %d, %s: %.1f s, %d s in all', $round, $name, time - $start, time - $began);
}
is($errors, '', 'no client had an error but the crashes');

# --- what the topics have ---
sub drained
{
	my $lsn = insist('SELECT pg_current_wal_insert_lsn()');
	my $ok = $node->poll_query_until('postgres', "SELECT bool_and(COALESCE(p.position >= '$lsn' AND p.hold >= '$lsn', false) AND e.state = 'RUNNING')
		FROM strm.kafka_exporters e LEFT JOIN strm.kafka_exporter_progress() p USING (id)");
	return $ok || diag(sql('SELECT name, state, lag_bytes, last_error FROM strm.kafka_exporters')) && 0;
}
ok(drained(), 'all exporters come to an end');

my %rows;
for my $table (qw(clicks visits))
{
	for (split /\n/, sql("SELECT number, EXISTS (SELECT FROM strm.data_key_tombstone t WHERE t.key_link = strm_key_link) FROM $table"))
	{
		my ($number, $destroyed) = split /\|/;
		$rows{$table}{$number} = $destroyed eq 't';
	}
}

# Compares a topic with its table.
sub compare
{
	my ($exporter) = @_;
	my (%seen, %last, %existing, %position, $first);
	my %n = map { $_ => 0 } qw(lost phantom twice disorder wrong back);
	my $rows = $rows{ $exporter->{table} };
	my @examples;
	my $fault = sub { my ($kind, $what) = @_; $n{$kind}++; push @examples, "$kind: $what" if @examples < 10 };
	$kafka{ $exporter->{cluster} }->consume($exporter->{topic}, isolation => $exporter->{transactional} ? 'read_committed' : 'read_uncommitted', each => sub
	{
		my ($record) = @_;
		my ($number) = $record->{value} =~ /"number": ?"([^"]+)"/;
		my ($position) = map { $_->[1] } grep { $_->[0] eq 'strm-position' } @{ $record->{headers} };
		my ($epoch, $timeline, $lsn, $sequence) = $position =~ m{^[^/]+/(\d+)/(\d+)/([0-9a-fA-F]{16})/(\d+)$};
		my $where = "$number, partition $record->{partition}, offset $record->{offset}, $position";
		my ($client, $n) = $number =~ /^(.*)-(\d+)$/;
		return $fault->('phantom', $where) if !exists $rows->{$number};
		return $fault->('twice', "$where and $seen{$number}") if $seen{$number};
		$seen{$number} = "$record->{offset}, $position";
		$fault->('wrong', $where) if $exporter->{derived} && $record->{value} !~ /"email": ?"e-\Q$number\E\@x"/;
		# existing events come in the order of the table, and before all others
		my $place = sprintf '%s %020d', $lsn, $sequence;
		$fault->('back', $where) if $place le ($position{ $record->{partition} } // '');
		$position{ $record->{partition} } = $place;
		$first = $lsn if $exporter->{include_existing_events} && !defined $first;
		if (defined $first && $lsn eq $first) { $existing{ $record->{key} } = $n if $n > ($existing{ $record->{key} } // -1); return }
		$fault->('disorder', $where) if $n <= ($last{ $record->{key} } // -1) || $n <= ($existing{ $record->{key} } // -1);
		$last{ $record->{key} } = $n;
	});
	for my $number (keys %$rows)
	{
		$fault->('lost', $number) if !$seen{$number} && !($exporter->{derived} && $rows->{$number});
	}
	my $name = "$exporter->{name}, $exporter->{table}" . ($exporter->{derived} ? ' derived' : '') . " on $exporter->{cluster}"
	  . join '', map { $exporter->{$_} ? ", $_" : '' } qw(transactional include_existing_events);
	is(join(', ', map { "$n{$_} $_" } sort keys %n), '0 back, 0 disorder, 0 lost, 0 phantom, 0 twice, 0 wrong', $name) or diag join "\n", @examples;
	return scalar keys %seen;
}
my $events = 0;
$events += compare($_) for @exporters;
cmp_ok($events, '>', 1000, 'there was something to compare');
my ($log) = slurp_file($node->logfile);
is(join("\n", $log =~ /^.*(?:PANIC|TRAP:|signal 11|signal 6|is ERROR).*$/mg), '', 'the log tells of nothing else');
(($rounds > 6) ? \&diag : \&note)->(sprintf '%s, %d rows, %d records compared, %d s', join(', ', map { "$_ $done{$_}" } sort keys %done),
	keys(%{ $rows{clicks} }) + keys %{ $rows{visits} }, $events, time - $began);
$node->stop;
done_testing();
