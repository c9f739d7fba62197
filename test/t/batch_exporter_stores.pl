# Batch exporters to object stores: one that misbehaves in all ways we know of (test/partners/bad_store.py), one that is cut off or
# hangs (a proxy), a full or forbidden directory beside them, and real stores where there are any (moto, Azurite).
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmBatchExport;
use StrmPartners;
use StrmProxy;
use StrmTest;
use Test::More;

plan(skip_all => 'there is no python3') if !defined $python;

my $json = JSON::PP->new->utf8->canonical;
my $http = HTTP::Tiny->new(timeout => 30);
my $root = PostgreSQL::Test::Utils::tempdir();
my ($node, $dir) = strm_export_node('stores', conf => "strm_privacy.connector_timeout = 2\n");
my ($pem, $public) = strm_rsa_key($root, 'account');
my ($store, $port) = strm_bad_store($root, 'store', $public);
my $control = "http://127.0.0.1:$port/-";
my $proxy_port = PostgreSQL::Test::Cluster::get_free_port();
my $proxy = strm_proxy($proxy_port, $port);

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub insert { my ($from, $to) = @_; sql("INSERT INTO clicks (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 50, i FROM generate_series($from, $to) AS i"); return }
sub list { my ($from, $to) = @_; return join ' ', $from .. $to }
sub tick { my (@names) = @_; ok(strm_export_tick($node, @names), 'exported: ' . join(', ', @names)); return }
sub connector { my ($name, $kind, $location, $credentials) = @_; sql("SELECT strm.create_data_connector('$name', '$kind', \$j\$" . $json->encode($location) . '$j$, $j$' . $json->encode($credentials) . '$j$)'); return }
sub exporter { my ($name, $connector, $prefix, $more) = @_; sql("SELECT strm.create_batch_exporter('clicks', '$connector', name => '$name', path_prefix => '$prefix'" . ($more // '') . ')'); return }
sub value { my ($name, $what) = @_; return sql("SELECT $what FROM strm.batch_exporters WHERE name = '$name'") }
sub wait_for { my ($name, $what, $text) = @_; ok($node->poll_query_until('postgres', "SELECT $what FROM strm.batch_exporters WHERE name = '$name'"), $text); return }
# Each path that a file of an exporter was given, as the state told, one after another.
sql(q{CREATE TABLE files (name text, file text, PRIMARY KEY (name, file));
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.files SELECT e.name, NEW.last_file FROM strm.batch_exporter e WHERE e.id = NEW.exporter_id ON CONFLICT DO NOTHING; RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON strm.batch_exporter_state FOR EACH ROW WHEN (NEW.last_file IS NOT NULL) EXECUTE FUNCTION note()});
sub numbers_of { my (@texts) = @_; return join ' ', sort { $a <=> $b } map { /"n": ?(\d+)/ ? $1 : die $_ } map { split /\n/ } @texts }
sub stored { my ($bucket, $name) = @_; return numbers_of(map { my $r = $http->get("$control/object/$bucket/$_"); $r->{success} ? $r->{content} : die "$_: $r->{status}" } split /\n/, sql("SELECT file FROM files WHERE name = '$name'")) }
sub uploads { return 0 + $http->get("$control/uploads")->{content} }

my $key = { AccessKey => { AccessKeyId => 'KEY', SecretAccessKey => 'planted-secret' } };
connector('bad', 's3', { bucketName => 'cold', endpoint => "http://127.0.0.1:$port" }, $key);
connector('cut', 's3', { bucketName => 'cold', endpoint => "http://127.0.0.1:$proxy_port" }, $key);

# --- what a store does wrong ---
my @mischief = qw(good 503 500 later cutput lostput lostcomplete error200 unconditional);
exporter("m_$_", 'bad', $_) for @mischief;
exporter('beside', 'files', 'beside');
my @all = ((map { "m_$_" } @mischief), 'beside');
tick(@all);
insert(1, 500);
tick(@all);
is(stored('cold', "m_$_"), list(1, 500), "$_: every event once") for @mischief;
my @parts = ('lostcomplete', 'error200');
sql("SELECT strm.drop_batch_exporter(name) FROM strm.batch_exporters WHERE name ~ '^m_' AND name !~ '" . join('|', @parts) . "'");
insert(501, 30500);
tick((map { "m_$_" } @parts), 'beside');
is(stored('cold', "m_$_"), list(1, 30500), "$_: of parts, too") for @parts;
cmp_ok(scalar(() = $http->get("$control/requests")->{content} =~ /lostcomplete[^"]*partNumber=2/g), '>=', 1, 'there were several');
is(uploads(), 0, 'no upload is left open');
sql("SELECT strm.drop_batch_exporter(name) FROM strm.batch_exporters WHERE name ~ '^m_'");

# --- Google's ---
connector('google', 'gcs', { bucketName => 'google', endpoint => "http://127.0.0.1:$port" },
	{ type => 'service_account', project_id => 'p', private_key_id => 'k', client_email => 'test@example.invalid', token_uri => "http://127.0.0.1:$port/token", private_key => $pem });
exporter('google', 'google', 'p', ', include_existing_events => true');
tick('google');
is(stored('google', 'google'), list(1, 30500), 'gcs: every event once');
sql("SELECT strm.drop_batch_exporter('google')");

# --- a store that is away ---
exporter('away', 'cut', 'p');
exporter('gzip', 'cut', 'g', ", compression => 'gzip'");
tick('away', 'gzip', 'beside');
for my $way ('cut', 'hole')
{
	my $from = 31001 + ($way eq 'hole' ? 1000 : 0);
	$proxy->do($way);
	insert($from, $from + 999);
	my $lsn = sql('SELECT pg_current_wal_insert_lsn()');
	sql("UPDATE strm.batch_exporter_state SET next_at = now()");
	wait_for('away', "state = 'RETRYING' AND tries >= 1 AND sqlstate = '08006'", "$way: it will be tried again");
	tick('beside');
	is(join(' ', sort { $a <=> $b } grep { $_ >= $from } strm_export_numbers($dir, 'beside')), list($from, $from + 999), "$way: others go on");
	is(value('away', "next_at <= now() + interval '5 min' AND lag_bytes > 0"), 't', "$way: with a back-off, and its WAL is kept");
	unlike(value('away', "last_error || coalesce(hint, '')"), qr/planted-secret|Signature/, "$way: what is told is no secret");
	is(sql("SELECT count(*) > 0 FROM strm.entity_log WHERE entity = 'batch_exporter' AND name = 'away' AND sqlstate = '08006'"), 't', "$way: it is in the log of entities");
	$proxy->do('open');
	tick('away', 'gzip');
	is(stored('cold', 'away'), list(31001, $from + 999), "$way: nothing is lost, nothing doubled");
	wait_for('away', "state = 'RUNNING' AND tries = 0 AND last_error IS NULL", "$way: all is well again");
}

# --- it goes away in the middle of a file of parts, with the worker ---
insert(40001, 60000);
my $long = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', 'UPDATE strm.batch_exporter_state SET next_at = now()' ]);
$long->finish;
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM strm.batch_job_intent i JOIN strm.batch_exporter e ON e.id = i.job_id WHERE e.name = 'away'"), 'a file is begun');
$proxy->do('cut');
sql("SELECT pg_terminate_backend(pid) FROM strm.workers WHERE kind = 'batch export'");
$proxy->do('open');
tick('away', 'gzip');
is(stored('cold', 'away'), join(' ', 31001 .. 33000, 40001 .. 60000), 'every event once');
is(uploads(), 0, 'no upload is left open');
is(sql('SELECT count(*) FROM strm.batch_job_intent'), 0, 'nor an intent');

# --- a directory that may not be written ---
chmod 0500, "$dir/beside";
insert(70001, 70010);
sql("UPDATE strm.batch_exporter_state SET next_at = now()");
wait_for('beside', "state = 'RETRYING' AND sqlstate = '42501'", 'a directory that refuses is tried again');
chmod 0700, "$dir/beside";
tick('beside');
is(join(' ', sort { $a <=> $b } grep { $_ > 70000 } strm_export_numbers($dir, 'beside')), list(70001, 70010), 'and nothing is lost');

# --- real stores ---
SKIP:
{
	skip('moto does not run here', 1) if !$ENV{STRM_MOTO};
	my ($id, $secret) = @ENV{qw(STRM_MOTO_ALL_KEY STRM_MOTO_ALL_SECRET)};
	connector('moto', 's3', { bucketName => 'cold', endpoint => $ENV{STRM_MOTO} }, { AccessKey => { AccessKeyId => $id, SecretAccessKey => $secret } });
	exporter('moto', 'moto', "bex-$$");
	insert(80001, 80100);
	tick('moto');
	is(numbers_of(map { strm_s3_request($ENV{STRM_MOTO}, $id, $secret, 'GET', "cold/$_")->{content} } split /\n/, sql("SELECT file FROM files WHERE name = 'moto'")), list(80001, 80100), 'moto: every event once');
}
SKIP:
{
	my $azurite = strm_azurite($root);
	skip('there is no Azurite, and no npm that could install it', 1) if !defined $azurite;
	connector('azure', 'azure', { storageAccountUri => "http://127.0.0.1:$azurite/$azure_account", containerName => 'box' }, { sharedKey => { accountName => $azure_account, accountKey => $azure_key } });
	exporter('azure', 'azure', 'a');
	insert(90001, 90100);
	tick('azure');
	is(numbers_of(map { strm_azure_request($azurite, 'GET', "box/$_", '')->{content} } split /\n/, sql("SELECT file FROM files WHERE name = 'azure'")), list(90001, 90100), 'Azurite: every event once');
}
my $log = slurp_file($node->logfile);
ok($log !~ /planted-secret|Signature=|BEGIN (RSA )?PRIVATE/, 'no secret or signature is in the server log');
$node->stop;
done_testing();
