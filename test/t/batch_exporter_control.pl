# Batch exporters that are altered, fail and go on, and those of copies: states, messages, and that each event is in one file all along.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmBatchExport;
use StrmTest;
use Test::More;

my ($node, $dir) = strm_export_node('control');
sub sql { my ($sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql) }
sub insert { my ($from, $to, $database) = @_; sql("INSERT INTO clicks (strm_consent_levels, session, n) SELECT '{1}', 's' || i % 50, i FROM generate_series($from, $to) AS i", $database); return }
sub numbers { my (@names) = @_; return join ' ', sort { $a <=> $b } map { strm_export_numbers($dir, $_) } @names }
sub list { my ($from, $to) = @_; return join ' ', $from .. $to }
sub tick { my (@names) = @_; ok(strm_export_tick($node, @names), 'exported: ' . join(', ', @names)); return }
sub is_in_state { my ($name, $state, $test) = @_; ok($node->poll_query_until('postgres', "SELECT state = '$state' FROM strm.batch_exporters WHERE name = '$name'"), $test); return }
sub messages { my ($name) = @_; return sql("SELECT level, sqlstate, message FROM strm.entity_log WHERE name = '$name' AND entity = 'batch_exporter'") }
sub now { my ($name) = @_; sql("UPDATE strm.batch_exporter_state SET next_at = now() WHERE exporter_id = (SELECT id FROM strm.batch_exporter WHERE name = '$name')"); return }

# --- altering ---
sql("CREATE ROLE member IN ROLE strm_member; GRANT SELECT ON clicks TO member; SELECT strm.grant_data_connector('files', 'member')");
sql("SET ROLE member; SELECT strm.create_batch_exporter('clicks', 'files', 'first', path_prefix => 'x')");
sql("SELECT strm.create_batch_exporter('clicks', 'files', 'other', include_existing_events => true)");
insert(1, 10);
tick('first', 'other');
sql("SELECT strm.alter_batch_exporter('first', 'second', path_prefix => 'y/z', every => '30 s')");
insert(11, 20);
tick('second', 'other');
is(numbers('first'), list(1, 10), 'files have the name that the exporter had then');
is(numbers('second'), list(11, 20), 'and those that it has now');
is(scalar(grep { m{^\Q$dir\E/y/z/} } strm_export_files($dir, 'second')), 1, 'below the prefix that it has now');

# --- a store that fails: messages, tries, other exporters ---
sql("SELECT strm.alter_batch_exporter('second', path_prefix => 'broken')");
chmod 0500, "$dir/broken";
insert(21, 30);
now('second');
is_in_state('second', 'RETRYING', 'a store that fails');
tick('other');
is(numbers('other'), list(1, 30), 'does not hold up others');
my $tries = sql("SELECT tries FROM strm.batch_exporters WHERE name = 'second'");
for (1 .. 3)
{
	now('second');
	ok($node->poll_query_until('postgres', "SELECT tries > $tries FROM strm.batch_exporters WHERE name = 'second'"), 'it tries again');
	$tries = sql("SELECT tries FROM strm.batch_exporters WHERE name = 'second'");
}
my @messages = split /\n/, messages('second');
is(join("\n", map { s/\|[^|]*$//r } @messages), "LOG|\nLOG|\nWARNING|" . sql("SELECT sqlstate FROM strm.batch_exporters WHERE name = 'second'"), 'one message of a failure that stays the same') or diag(join "\n", @messages);
chmod 0700, "$dir/broken";
now('second');
is_in_state('second', 'RUNNING', 'it goes on by itself');
tick('second');
is(numbers('first', 'second'), list(1, 30), 'nothing is missing, nothing doubled');
is((split /\n/, messages('second'))[-1], 'LOG||is now RUNNING', 'which is a message, too');
is(sql("SELECT tries, sqlstate, last_error FROM strm.batch_exporters WHERE name = 'second'"), '0||', 'and the error is forgotten');

# --- the right to use the connector, taken and given back ---
sql("SELECT strm.revoke_data_connector('files', 'member')");
insert(31, 40);
now('second');
is_in_state('second', 'ERROR', 'the connector was taken away');
is((split /\n/, messages('second'))[-1], 'ERROR|42501|role "member" may not use data connector "files" any more', 'it says so');
is(sql("SELECT last_error IS NOT NULL FROM strm.entity_states e JOIN strm.batch_exporters b ON b.id::text = e.id AND b.last_error = e.message WHERE b.name = 'second'"), 't', 'in the states of entities, too');
sql("SELECT strm.grant_data_connector('files', 'member'); SELECT strm.resume_batch_exporter('second')");
tick('second');
is(numbers('first', 'second'), list(1, 40), 'and it goes on where it was');

# --- lag ---
insert(41, 41);
is(sql("SELECT bool_and(lag_seconds >= 0 AND lag_seconds < 600 AND lag_bytes > 0) FROM strm.batch_exporters"), 't', 'how far behind they are');
tick('second', 'other');

# --- notifications ---
my ($rc, $out, $err) = $node->psql('postgres', "LISTEN strm_privacy; SELECT strm.create_batch_exporter('clicks', 'files', 'short'); SELECT strm.drop_batch_exporter('short')");
like($out, qr/"entity": "batch_exporter", "id": "[0-9a-f-]{36}", "name": "short", "status": "CREATING"/, 'a new one is notified');
like($out, qr/"entity": "batch_exporter", "id": "[0-9a-f-]{36}", "name": "short", "status": "DROPPED"/, 'and its end');

# --- after pg_upgrade the server has another identifier, and its slot: the exporters are its own ---
sql('UPDATE strm.batch_exporter SET system_identifier = 1');
insert(42, 50);
tick('second', 'other');
is(sql('SELECT count(*) FROM strm.batch_exporter WHERE system_identifier = 1'), '2', 'they run');
sql("SELECT pg_terminate_backend(pid) FROM strm.workers WHERE kind = 'batch export'");
ok($node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM strm.batch_exporter WHERE system_identifier = 1)'), 'and are noted as its own');
insert(51, 60);
tick('second', 'other');
is(numbers('first', 'second'), list(1, 60), 'each event is in one file');
# the same of a copy that has made an exporter of its own: the others are not
sql("UPDATE strm.batch_exporter SET system_identifier = 1 WHERE name = 'other'");
is_in_state('other', 'ERROR', 'one of another server beside one of this');
sql("SELECT strm.resume_batch_exporter('other')");
tick('other');
is(numbers('other'), list(1, 60), 'which is taken over, and knows where it was');

# --- a copy of the database ---
sql('CREATE DATABASE copy TEMPLATE postgres', 'template1');
insert(61, 70);
insert(61, 80, 'copy');
tick('second', 'other');
is(sql('SELECT name, state, sqlstate FROM strm.batch_exporters ORDER BY 1', 'copy'), "other|ERROR|55000\nsecond|ERROR|55000", 'exporters of a copy do nothing');
is(sql("SELECT count(*) FROM pg_replication_slots WHERE database = 'copy'"), 0, 'and have no slot');
sql("SELECT strm.pause_batch_exporter('second')");
sql("SELECT strm.alter_batch_exporter('second', 'taken', path_prefix => 'copy')", 'copy');
sql("SELECT strm.resume_batch_exporter('taken')", 'copy');
ok($node->poll_query_until('copy', "SELECT state = 'RUNNING' AND last_file ~ '^copy/' FROM strm.batch_exporters WHERE name = 'taken'"), 'one that was taken over runs');
is(numbers('taken'), list(61, 80), 'and goes on where it was when the copy was made');
is(sql("SELECT state FROM strm.batch_exporters WHERE name = 'other'", 'copy'), 'ERROR', 'the other one does not');
sql("SELECT strm.drop_batch_exporter(name) FROM strm.batch_exporters", 'copy');
ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = 'copy')"), 'its slot goes with it');

# --- dropping the stream ---
my $dropped = $node->psql('postgres', 'DROP TABLE clicks CASCADE', stderr => \$err);
like($err, qr/NOTICE:  batch exporter "(?:second|other)" is dropped, too/, 'exporters go with their stream');
ok($node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM strm.batch_exporter_state) AND NOT EXISTS (SELECT FROM strm.entity_message)'), 'with their states and messages')
	or diag(sql('SELECT exporter_id, state, tries FROM strm.batch_exporter_state; SELECT id, entity, message FROM strm.entity_message; SELECT entity, name, status FROM strm.entity_states'));
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing has crashed');
$node->stop;
done_testing();
