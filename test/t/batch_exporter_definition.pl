# Batch exporters, connectors and streams that sessions create, alter and drop at once: whoever comes second sees what the first one did.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $files = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $files;
my $node = strm_node('definition', conf => "wal_level = logical\nstrm_privacy.connector_directory = '$files'\n");
$node->safe_psql('postgres', q{CREATE EXTENSION strm_privacy; CREATE ROLE approver IN ROLE strm_approver, strm_member; CREATE ROLE admin IN ROLE strm_admin;
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC; SELECT strm.create_purpose(1, 'One')});
strm_contract($node, 'acme/click/1.0.0', [ [ 'session', 'STRING', 1, 'required' ], [ 'url', 'STRING' ] ]);
$node->safe_psql('postgres', q{SET ROLE approver;
SELECT strm.create_stream(name, contract => 'acme/click/1.0.0') FROM unnest('{clicks,doomed,gone}'::text[]) AS name;
SELECT strm.create_derived_stream('clicks', purposes => '{1}');
RESET ROLE; SET ROLE admin;
SELECT strm.create_data_connector(name, 'directory', '{}'), strm.grant_data_connector(name, 'approver') FROM unnest('{files,more}'::text[]) AS name});

# A session whose statements are given one after another
sub session
{
	my $self = { in => '', out => '', err => '', n => 0 };
	$self->{handle} = IPC::Run::start([ 'psql', '-XqAt', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') ], '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $self;
}
# Gives statements; with wait until they are over
sub give
{
	my ($session, $sql, $wait) = @_;
	$session->{n}++;
	$session->{in} .= "$sql;\n\\echo over $session->{n}\n";
	if ($wait) { $session->{handle}->pump until $session->{out} =~ /^over $session->{n}$/m }
	else { $session->{handle}->pump_nb }
}

# What becomes of a statement of the second role that comes while the first one's is not committed yet: its error's first line
sub second_of
{
	my ($first, $second) = @_;
	my ($a, $b) = (session(), session());
	give($a, "SET ROLE $first->[0]; BEGIN; $first->[1]", 1);
	is($a->{err}, '', "first: $first->[1]");
	give($b, "SET ROLE $second->[0]; SET application_name = 'second'; $second->[1]", 0);
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'second' AND wait_event_type = 'Lock')}) or die;
	give($a, 'COMMIT', 1);
	$b->{handle}->pump until $b->{out} =~ /^over 1$/m;
	for ($a, $b) { $_->{in} .= "\\q\n"; $_->{handle}->finish }
	return (grep { !/NOTICE|LOCATION/ } split /\n/, $b->{err})[0] // '';
}

my @approver = ('approver');
like(second_of([ @approver, q{SELECT strm.create_batch_exporter('clicks', 'files', 'a b')} ], [ @approver, q{SELECT strm.create_batch_exporter('clicks', 'more', 'a_b')} ]),
	qr/ERROR:  22023: the batch exporter is not valid/, 'files of the same names');
like(second_of([ @approver, q{SELECT strm.create_batch_exporter('clicks', 'files', 'same')} ], [ @approver, q{SELECT strm.create_batch_exporter('clicks', 'files', 'same', path_prefix => 'x')} ]),
	qr/ERROR:  42710: batch exporter "same" already exists/, 'the same name');
like(second_of([ @approver, q{SELECT strm.create_batch_exporter('clicks', 'files', 'third')} ], [ @approver, q{SELECT strm.alter_batch_exporter('same', 'third')} ]),
	qr/ERROR:  22023: batch exporter "same" is not valid/, 'a name that is changed to one that is taken meanwhile');
is($node->safe_psql('postgres', 'SELECT string_agg(name, \',\' ORDER BY name) FROM strm.batch_exporters'), 'a b,same,third', 'there are those that came first');
like(second_of([ @approver, q{SELECT strm.create_batch_exporter('doomed', 'more', 'on more', path_prefix => 'more')} ], [ 'admin', q{SELECT strm.drop_data_connector('more')} ]),
	qr/ERROR:  55000: data connector "more" cannot be dropped/, 'a connector that gets an exporter is not dropped');
like(second_of([ @approver, q{SELECT strm.create_batch_exporter('clicks_1', 'more', 'decrypted', path_prefix => 'more')} ], [ 'admin', q{SELECT strm.alter_data_connector('more', '{"path": "elsewhere"}')} ]),
	qr/ERROR:  42501: permission denied to change where data connector "more" leads/, 'nor altered, when decrypted values go there');
is(second_of([ @approver, q{SELECT strm.create_batch_exporter('doomed', 'files', 'too late', path_prefix => 'late')} ], [ @approver, 'DROP TABLE doomed' ]), '', 'a stream that gets an exporter is dropped');
is($node->safe_psql('postgres', q{SELECT count(*) FROM strm.batch_exporter WHERE name IN ('too late', 'on more')}), 0, 'with all its exporters');
like(second_of([ @approver, 'DROP TABLE gone' ], [ @approver, q{SELECT strm.create_batch_exporter('gone', 'files', 'never', path_prefix => 'never')} ]), qr/ERROR:  42704/, 'a stream that is dropped gets no exporter');

$node->stop;
done_testing();
