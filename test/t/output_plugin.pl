# The output plugin is for the export workers of the extension only: whoever else names it, by whichever way, gets an
# error and leaves nothing behind, also where the server's administrator permits it to users with REPLICATION.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $node = strm_node('main', init => [ allows_streaming => 'logical' ]);
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
CREATE ROLE replicator LOGIN REPLICATION;
CREATE TABLE plain (a int);
SELECT pg_create_logical_replication_slot('other', 'test_decoding');
SQL
my $restricts = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'});

# All slots, on disk and as they are shown.
sub slots
{
	my @directories = sort grep { !/^\./ } slurp_dir($node->data_dir . '/pg_replslot');
	return join(' ', @directories) . ' / '
		. $node->safe_psql('postgres', q{SELECT string_agg(slot_name || ' ' || plugin || ' ' || confirmed_flush_lsn || ' ' || active, ', ') FROM pg_replication_slots});
}

# Each way to name the plugin is refused with that message.
sub refused
{
	my ($user, $message, $when) = @_;
	my $before = slots();
	my %sql = (
		'a slot made in SQL' => q{SELECT pg_create_logical_replication_slot('ours', 'strm_privacy')},
		'a temporary slot' => q{SELECT pg_create_logical_replication_slot('ours', 'strm_privacy', true)},
		'a slot for prepared transactions' => q{SELECT pg_create_logical_replication_slot('ours', 'strm_privacy', false, true)},
		"a copy of another plugin's slot" => q{SELECT pg_copy_logical_replication_slot('other', 'ours', false, 'strm_privacy')});
	for my $way (sort keys %sql)
	{
		my ($status, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql{$way};", extra_params => [ '-U', $user ]);
		isnt($status, 0, "$way, as $user, $when");
		like($error, qr/ERROR:  42501: $message/, 'is refused');
	}
	for my $kind ('', 'TEMPORARY ')
	{
		my ($status, undef, $error) = $node->psql('postgres', "CREATE_REPLICATION_SLOT ours ${kind}LOGICAL strm_privacy",
			replication => 'database', extra_params => [ '-U', $user ]);
		isnt($status, 0, lc("${kind}slot made by the replication protocol, as $user, $when"));
		like($error, qr/ERROR:  $message/, 'is refused');
	}
	$node->command_fails_like(
		[ 'pg_recvlogical', '-d', $node->connstr('postgres'), '-U', $user, '--slot', 'ours', '-P', 'strm_privacy', '--create-slot' ],
		qr/ERROR:  $message/, "pg_recvlogical, as $user, $when");
	is(slots(), $before, 'and left nothing behind');
}

my $ours = qr/output plugin "strm_privacy" works for the export workers of the extension only/;
my @users = ('replicator', $node->safe_psql('postgres', 'SELECT current_user'));
refused($_, $restricts ? qr/library "strm_privacy" may not be used as an output plugin/ : $ours, 'as the server comes') for @users;
SKIP:
{
	skip 'the server does not restrict output plugins', 1 if !$restricts;
	$node->safe_psql('postgres', 'ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, strm_privacy');
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT current_setting('output_plugin_libraries') ~ 'strm_privacy'});
	refused($_, $ours, 'though the plugin is permitted') for @users;
}

# other plugins work as before
$node->safe_psql('postgres', 'INSERT INTO plain VALUES (1)');
like($node->safe_psql('postgres', q{SELECT data FROM pg_logical_slot_get_changes('other', NULL, NULL)}), qr/table public\.plain: INSERT: a\[integer\]:1/,
	'another plugin works');

$node->stop;
done_testing();
