# What the tests of whole servers share: servers with the extension preloaded and a master key outside the data directory.
package StrmTest;
use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

# While a server restarts, psql can end before it has read the query from its standard input, of which polling dies
# (Broken pipe): that is one more try that did not succeed.
{
	no warnings 'redefine';
	my $poll = \&PostgreSQL::Test::Cluster::poll_query_until;
	*PostgreSQL::Test::Cluster::poll_query_until = sub {
		my @arguments = @_;
		for (1 .. 100)
		{
			my $result = eval { $poll->(@arguments) };
			return $result if $@ eq '';
			die $@ if $@ !~ /^ack Broken pipe/;
			usleep(100_000);
		}
		die $@;
	};
}

our @EXPORT = qw(strm_node strm_master_key_file strm_contract strm_shared_file strm_row_hash);

# A node that is initialised and runs. Options:
#   key_file    the master key file (default: one that CREATE EXTENSION makes in a directory of its own)
#   init        list of arguments of init()
#   conf        more lines for postgresql.conf
#   start       0 leaves it stopped
sub strm_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $key_file = $option{key_file};
	if (!defined $key_file)
	{
		my $directory = PostgreSQL::Test::Utils::tempdir();
		chmod 0700, $directory;
		$key_file = "$directory/master.key";
	}
	my %init = @{ $option{init} // [] };
	# whatever the environment's locale is
	$init{extra} = [ '--encoding=UTF8', '--locale=C.UTF-8', @{ $init{extra} // [] } ];
	$node->init(%init);
	$node->append_conf('postgresql.conf', <<CONF . ($option{conf} // ''));
shared_preload_libraries = 'strm_privacy'
strm_privacy.master_key_file = '$key_file'
CONF
	$node->start unless defined $option{start} && !$option{start};
	return $node;
}

# Where the node's master key is.
sub strm_master_key_file
{
	my ($node) = @_;
	my @lines = slurp_file($node->data_dir . '/postgresql.conf') =~ /^strm_privacy\.master_key_file = '(.*)'/mg;
	return $lines[-1];
}

# Creates and activates a data contract. fields: list of [name, type, level or undef, 'required' or 'repeated'...]; other
# members of the contract document as text in JSON, such as '"dataSubjectField": "customer"'. The first field is the key field.
sub strm_contract
{
	my ($node, $ref, $fields, $more, $database) = @_;
	my @nodes = map {
		my ($name, $type, undef, @flags) = @$_;
		qq({"type": "$type", "name": "$name") . join('', map { qq(, "$_": true) } @flags) . '}'
	} @$fields;
	my @personal = map { defined $_->[2] ? qq("$_->[0]": $_->[2]) : () } @$fields;
	my $schema = '{"nodes": [' . join(', ', @nodes) . ']}';
	my $contract = qq({"keyField": "$fields->[0][0]", "piiFields": {) . join(', ', @personal) . '}' . ($more ? ", $more" : '') . '}';
	$node->safe_psql($database // 'postgres',
		"SELECT strm.create_data_contract('$ref', schema => \$j\$$schema\$j\$, contract => \$j\$$contract\$j\$), strm.activate_data_contract('$ref')");
	return;
}

# A file of the data sets that lie beside the repository; undef where they do not.
sub strm_shared_file
{
	my ($name) = @_;
	return undef if !defined $ENV{STRM_SHARED};
	my $file = "$ENV{STRM_SHARED}/data/$name";
	return -r $file ? $file : undef;
}

# One hash of all rows of a table, in whatever order they are: two tables with equal hashes have the same rows, byte for byte.
sub strm_row_hash
{
	my ($node, $table, $database) = @_;
	return $node->safe_psql($database // 'postgres',
		"SELECT count(*) || ' ' || md5(coalesce(string_agg(r, E'\\n' ORDER BY r COLLATE \"C\"), '')) FROM (SELECT t::text AS r FROM $table AS t) AS rows");
}

1;
