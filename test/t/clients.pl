# Runs test/clients/run, the tests with real client libraries, on a server of its own that listens on TCP for JDBC too.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

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
my $status = system("$FindBin::Bin/../clients/run");
$node->stop;
exit($status ? 1 : 0);
