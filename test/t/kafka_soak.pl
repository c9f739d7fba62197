# Everything at once for a while: events into a stream and into the queue of another one, derived streams of both, an exporter
# to Kafka, exporters to files, and deletions of data subjects. Then all have counted the same, and nothing has grown.
#
# STRM_SOAK_SECONDS (default 20): how long. With 120 or more, memory and sizes are compared as well: below, caches still fill.
# STRM_SOAK_RATE (default 300): transactions a second, of two events, into each stream.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmKafka;
use StrmTest;
use Test::More;
use Time::HiRes qw(time sleep);

strm_kafka_skip('KAFKA39');
my $seconds = $ENV{STRM_SOAK_SECONDS} // 20;
my $rate = $ENV{STRM_SOAK_RATE} // 300;
my $files = PostgreSQL::Test::Utils::tempdir();
my $scratch = PostgreSQL::Test::Utils::tempdir();

my $node = strm_node('soak', conf => <<CONF);
wal_level = logical
max_worker_processes = 16
log_statement = none
checkpoint_timeout = 30s
max_wal_size = 512MB
strm_privacy.connector_directory = '$files'
CONF
plan skip_all => 'strm_privacy_kafka is not installed' if !-e $node->config_data('--pkglibdir') . '/strm_privacy_kafka.so';
my %login = strm_kafka_login('KAFKA39');
my $kafka = strm_kafka(%login);
sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# --- streams, derived streams, exporters ---
sql("CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One')");
strm_contract($node, 'acme/soak/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'customer', 'STRING', 1 ], [ 'email', 'STRING', 1 ], [ 'number', 'STRING', undef, 'required' ] ],
	'"dataSubjectField": "customer"');
sql("SELECT strm.create_stream('direct', contract => 'acme/soak/1.0.0'), strm.create_stream('queued', contract => 'acme/soak/1.0.0', ingest => 'queued')");
sql("SELECT strm.create_derived_stream('direct', '{1}'), strm.create_derived_stream('queued', '{1}')");
my $topic = $kafka->name('soak');
sql("SELECT strm.create_kafka_cluster('k', '$login{'bootstrap.servers'}'), strm.create_data_connector('files', 'directory', '{}')");
sql("SELECT strm.create_kafka_exporter('direct', 'k', '$topic', 'topic')");
my @exporters = qw(direct queued direct_1 queued_1);
sql("SELECT strm.create_batch_exporter('$_', 'files', name => '$_', every => '30 s', path_prefix => '$_')") for @exporters;
ok($node->poll_query_until('postgres', "SELECT count(*) = 5 FROM (SELECT state FROM strm.batch_exporters UNION ALL SELECT state FROM strm.kafka_exporters) AS e WHERE state = 'RUNNING'"),
	'all exporters run');

# --- load ---
# Of a session, and of its data subject, are some 200 events, in each stream.
sub load
{
	my ($table, $client) = @_;
	my $script = "$scratch/$table.sql";
	append_to_file($script, "\\set n random(1, 1000000000)\n\\set g :n / 100000\nINSERT INTO $table (strm_consent_levels, session, customer, email, number) SELECT '{1}', "
		  . "'s' || g, 'c' || g, 'e' || :n || '\@example.com', i::text FROM generate_series(1, 2) AS i, (SELECT (extract(epoch FROM now()) * $rate / 200)::bigint + :n % 20) AS x(g);\n");
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-c', 2, '-j', 1, '-T', $seconds, '-R', $rate, '-f', $script, $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	return { run => $run, out => \$out, err => \$err };
}
my %load = (direct => load('direct'), queued => load('queued_inbox'));

# What may not grow: memory of the workers (kB), WAL, what slots keep back, pages of the inbox.
sub sample
{
	my %now = (at => time);
	for (split /\n/, sql("SELECT pid, backend_type FROM pg_stat_activity WHERE backend_type LIKE 'strm_privacy %'"))
	{
		my ($pid, $type) = split /\|/;
		my $status = eval { slurp_file("/proc/$pid/status") } // next;
		$now{"$type, memory"} = $1 if $status =~ /^RssAnon:\s+(\d+) kB/m;
	}
	@now{ 'WAL', 'kept by slots', 'inbox' } = split /\|/, sql("SELECT (SELECT sum(size) / 1024 FROM pg_ls_waldir())::bigint, (SELECT max(pg_current_wal_lsn() - restart_lsn) / 1024 FROM pg_replication_slots)::bigint, pg_relation_size('queued_inbox') / 1024");
	return \%now;
}
my (@samples, $deleted);
my $began = time;
while ($load{direct}{run}->pumpable || $load{queued}{run}->pumpable)
{
	$_->{run}->pump_nb for grep { $_->{run}->pumpable } values %load;
	if (time - $began > 10 * @samples)
	{
		push @samples, sample();
		note join ', ', sprintf('%d s', time - $began), map { "$_ $samples[-1]{$_}" } sort keys %{ $samples[-1] };
	}
	my $subject = sql("SELECT 'c' || (extract(epoch FROM now()) * $rate / 200)::bigint - 30");
	$deleted += sql("SELECT strm.delete_data_subjects('$subject')");
	sleep 1;
}
$_->{run}->finish for values %load;
my %acknowledged = map { $_ => ${ $load{$_}{out} } =~ /transactions actually processed: (\d+)/ ? 2 * $1 : die ${ $load{$_}{err} } } keys %load;
note "acknowledged: $acknowledged{direct} into the stream, $acknowledged{queued} into the queue; data subjects deleted: $deleted";
cmp_ok($acknowledged{$_}, '>', 0.5 * $seconds * $rate, "$_: there was load") for sort keys %load;
cmp_ok($deleted, '>', 0, 'data subjects were deleted');

# --- everything counts the same ---
sql("SELECT strm.wait_for_ingest('queued')");
is(sql("SELECT count(*) FROM $_"), $acknowledged{$_}, "$_: each acknowledged event is in the stream") for sort keys %load;
is(sql("SELECT count(*) FROM ${_}_1"), $acknowledged{$_}, "$_: and in its derived stream") for sort keys %load;
is(sql('SELECT count(*) FROM queued_inbox'), 0, 'the queue is empty');
my $end = sql('SELECT pg_current_wal_insert_lsn()');
ok($node->poll_query_until('postgres', "SELECT bool_and(lag_bytes < 100000 AND queued_bytes = 0) AND max(sent) = $acknowledged{direct} FROM strm.kafka_exporters"), 'the exporter to Kafka has caught up');
my %records;
$kafka->consume($topic, each => sub { my ($record) = @_; $records{ join ' ', map { $_ // '' } $record->{partition}, $record->{offset} }++ });
is(scalar keys %records, $acknowledged{direct}, 'the topic has as many records');
for my $exporter (@exporters)
{
	my $table = $exporter =~ s/_1$//r;
	ok($node->poll_query_until('postgres', "SELECT rows + withheld = $acknowledged{$table} FROM strm.batch_exporters WHERE name = '$exporter'"), "$exporter: all is exported to files")
	  or diag(sql("SELECT to_jsonb(e) FROM strm.batch_exporters AS e WHERE name = '$exporter'"));
	my ($lines, %seen) = (0);
	for my $file (glob("$files/$exporter/*.jsonl"))
	{
		open(my $in, '<', $file) or die $!;
		while (<$in>) { $lines++; $seen{"$1 $2"}++ if /"nonce":\s*(\d+).*"keyLink":\s*"([^"]+)"/ }
		close $in;
	}
	is($lines, sql("SELECT rows FROM strm.batch_exporters WHERE name = '$exporter'"), "$exporter: as many lines");
	# two events of one key may have the same nonce by chance
	cmp_ok($lines - keys %seen, '<=', 2 + $lines / 100_000, "$exporter: each event once");
}
is(sql("SELECT count(*) FROM strm.batch_exporters WHERE withheld > 0 AND NOT derived"), 0, 'encrypted, nothing is withheld');
is(sql("SELECT coalesce(sum(errors), 0) FROM (SELECT errors FROM strm.batch_exporters UNION ALL SELECT errors FROM strm.kafka_exporters) AS e"), 0, 'nothing went wrong');
unlike(slurp_file($node->logfile), qr/TRAP|was terminated by signal|PANIC/, 'nothing crashed');

# --- nothing has grown ---
SKIP:
{
	skip 'too short a time to say what grows', 1 if $seconds < 120;
	for my $what (grep { $_ ne 'at' } sort keys %{ $samples[-1] })
	{
		my @values = map { $_->{$what} // () } @samples;
		my $third = int(@values / 3);
		my ($early, $late) = map { (sort { $a <=> $b } @$_)[ @$_ / 2 ] } [ @values[ $third .. 2 * $third - 1 ] ], [ @values[ 2 * $third .. $#values ] ];
		cmp_ok($late, '<', 1.2 * $early + 8192, "$what does not grow: median of the second third $early kB, of the last $late kB");
	}
}

$node->stop;
done_testing();
