# Runs test/clients/run, the tests with real client libraries, on a server of its own that listens on TCP for JDBC too.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('clients');
my $keys = PostgreSQL::Test::Utils::tempdir();
$node->init;
$node->append_conf('postgresql.conf', <<"EOC");
listen_addresses = '127.0.0.1'
shared_preload_libraries = 'strm_privacy'
strm_privacy.master_key_file = '$keys/master.key'
EOC
$node->start;

$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGUSER} = $node->safe_psql('postgres', 'SELECT current_user');
my $output = `"$FindBin::Bin/../clients/run" 2>&1`;

# This framework keeps what programs print in its log: each result is reported again.
for (split /\n/, $output)
{
	if (/^ok \d+ - (.*) # SKIP (.*)/)
	{
	  SKIP: { skip("$1: $2", 1) }
	}
	elsif (/^(not )?ok \d+ - (.*)/) { ok(!$1, $2) }
	elsif (!/^1\.\.\d+$/) { note($_) }
}
like($output, qr/^1\.\.[1-9]\d*\n?\z/m, 'the clients ran');
$node->stop;
done_testing();
