# The keys that seal queued rows: replaced in time, and forgotten when no row is left under them and none can come, whatever
# transactions were open meanwhile. No row becomes unreadable.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $node = strm_node('main', conf => <<CONF);
max_worker_processes = 16
max_prepared_transactions = 4
strm_privacy.ingest_workers = 2
autovacuum = off
CONF
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One');
CREATE ROLE maker LOGIN IN ROLE strm_member, strm_approver;
GRANT ALL ON SCHEMA public TO maker;
SQL
strm_contract($node, 'acme/queue/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'INTEGER', undef, 'required' ] ]);

sub sql { return $node->safe_psql('postgres', @_) }
sub as_maker { return sql("SET ROLE maker; $_[0]") }
sub reaches { my ($query, $value, $name) = @_; return ok($node->poll_query_until('postgres', $query, $value), $name) }
my $row = sub { "INSERT INTO qs_inbox (strm_consent_levels, session, n) VALUES ('{1}', 's', $_[0])" };
my $keys = "SELECT string_agg(id::text, ',' ORDER BY id) FROM strm.inbox_key";
my $moved = "SELECT string_agg(n::text, ',' ORDER BY n) FROM qs_1";
# keys under which rows wait
my $under = "SELECT string_agg(DISTINCT get_byte(strm_sealed, 3)::text, ',') FROM qs_inbox";
my $n = 1000;
# the worker looks when rows come, and every second at most; three looks, of which each moved a row
sub look { for (1 .. 3) { sleep 1.1; sql($row->($n++)); sql("SELECT strm.wait_for_ingest('qs', '60 s')") } return }
# a day passes: the key is replaced; half a day: it can be forgotten
sub pass { my ($hours) = @_; return sql("UPDATE strm.inbox_key SET created_at = created_at - interval '$hours hours'") }
sub age
{
	my $last = sql('SELECT max(id) FROM strm.inbox_key');
	pass(25);
	for (1 .. 15) { look(); last if sql('SELECT max(id) FROM strm.inbox_key') > $last }
	return pass(13);
}
# while there are rows under keys that could go, the worker looks less often
sub keys_become { my ($ids, $name) = @_; for (1 .. 15) { last if sql($keys) eq $ids; look() } return is(sql($keys), $ids, $name) }

# a session that runs one command at a time
my %session;
sub start { my ($name) = @_; my $s = $session{$name} = { in => '', out => '' }; $s->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$s->{in}, '>', \$s->{out}, '2>&1'); return }
sub say_to
{
	my ($name, $sql) = @_;
	my $s = $session{$name};
	$s->{out} = '';
	$s->{in} .= "$sql;\n\\echo done\n";
	$s->{run}->pump until $s->{out} =~ /^(.*)done\n/s;
	my $answer = $1 // '';
	chomp $answer;
	return $answer;
}

as_maker("SELECT strm.create_stream('qs', contract => 'acme/queue/1.0.0', ingest => 'queued', key_rotation => '30 days')");
as_maker("SELECT strm.create_derived_stream('qs', '{1}')");
reaches("SELECT count(*) FROM strm.workers WHERE kind = 'ingest' AND state = 'running'", 2, 'workers');
look();
is(sql($keys), '1', 'a key that is not old stays');
my $first = sql('SELECT md5(key) FROM strm.inbox_key');

is(sql("BEGIN; INSERT INTO strm.inbox_key (stream_id, id, key, created_at) VALUES (gen_random_uuid(), 1, '', '2001-01-01') RETURNING created_at = now(); ROLLBACK"), 't', 'a key is new where it is restored');

# --- nobody has the old key ---
pass(25);
look();
is(sql($keys), '1,2', 'an old key is replaced');
pass(11);
look();
is(sql($keys), '1,2', 'and kept for half a day: a restore may not have brought all rows yet');
pass(2);
keys_become('2', 'then it is forgotten');
isnt(sql('SELECT md5(key) FROM strm.inbox_key'), $first, 'by another one');

# --- transactions that know the old one ---
start($_) for qw(early idle prepared bystander);
say_to('idle', $row->(1));
sql("SELECT strm.wait_for_ingest('qs', '60 s')");
say_to('early', 'BEGIN; ' . $row->(2));
# it has the lock, and queued under the old key before
say_to('idle', 'BEGIN; LOCK TABLE qs_inbox IN ROW EXCLUSIVE MODE');
say_to('prepared', 'BEGIN; ' . $row->(3) . "; PREPARE TRANSACTION 'r'");
age();
look();
is(sql($keys), '2,3', 'it is kept as long as transactions may queue rows under it');
is(say_to('early', $under), '2', 'as one has');
sql('BEGIN; ' . $row->(4) . '; COMMIT');
is(say_to('bystander', 'BEGIN; ' . $row->(5) . "; $under; ROLLBACK"), '3', 'who begins to queue later takes the new one');
say_to('early', $row->(6));
say_to('idle', $row->(7));
say_to('early', 'COMMIT');
look();
is(sql($keys), '2,3', 'when one of them has ended, too');
say_to('idle', 'COMMIT');
look();
is(sql($keys), '2,3', 'and a prepared one');
age();
look();
is(sql($keys), '2,3,4', 'while more keys follow');
sql("COMMIT PREPARED 'r'");
keys_become('4', 'until all have ended');
is(sql("$moved WHERE n < 1000"), '1,2,3,4,6,7', 'all of their rows are moved');
is(sql('SELECT count(*) FROM qs_inbox'), 0, 'none was set aside');

# --- rows that are left ---
as_maker('ALTER TABLE qs ADD CONSTRAINT small CHECK (n <> 666)');
sql($row->(666));
$node->psql('postgres', "SELECT strm.wait_for_ingest('qs', '60 s')");
as_maker('CREATE TABLE kept AS SELECT * FROM qs_inbox');
age();
look();
is(sql($keys), '4,5', 'the key of a row that was set aside is kept');
# the owner takes it out, and stores it again while the key is about to be forgotten
say_to('early', 'SET ROLE maker; BEGIN; INSERT INTO qs_inbox SELECT * FROM kept');
as_maker('DELETE FROM qs_inbox');
look() for 1 .. 4;
is(sql($keys), '4,5', 'nor is it forgotten when the row is stored as it was');
say_to('early', 'COMMIT');
as_maker('ALTER TABLE qs DROP CONSTRAINT small');
as_maker("SELECT strm.retry_inbox('qs')");
sql("SELECT strm.wait_for_ingest('qs', '60 s')");
is(sql("$moved WHERE n = 666"), '666', 'it can be moved');
keys_become('5', 'and then the key goes');
like(($node->psql('postgres', 'SET ROLE maker; INSERT INTO qs_inbox SELECT * FROM kept'))[2], qr/a queued row is not authentic/, 'a copy of the row is of no use any more');

# --- a crash ---
say_to('prepared', 'BEGIN; ' . $row->(8) . "; PREPARE TRANSACTION 'r'");
age();
look();
is(sql($keys), '5,6', 'a key is replaced');
$_->{run}->kill_kill for values %session;
$node->stop('immediate');
$node->start;
sql("COMMIT PREPARED 'r'");
sql("SELECT strm.wait_for_ingest('qs', '60 s')");
is(sql("$moved WHERE n = 8"), '8', 'a transaction that was prepared before a crash');
keys_become('6', 'is no obstacle, either');
is(sql('SELECT count(*) FROM qs_inbox'), 0, 'nothing is left');
as_maker('DROP TABLE qs CASCADE');
is(sql($keys), '', 'the keys go with the stream');
$node->stop;
done_testing();
