# What the tests of batch exporters share: a server that can decode, with a stream and a directory, and the files in it.
package StrmBatchExport;
use strict;
use warnings;
use Exporter 'import';
use File::Find;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Time::HiRes qw(usleep);

our @EXPORT = qw(strm_export_node strm_export_tick strm_export_files strm_export_lines strm_export_numbers);

# A node with stream clicks (session: personal; n: a number that tells events apart), derived stream clicks_1, and the
# connector files, a directory; returns both.
sub strm_export_node
{
	my ($name, %option) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	chmod 0700, $dir;
	my $node = strm_node($name, conf => <<CONF . ($option{conf} // ''));
fsync = off
wal_level = logical
max_worker_processes = 24
max_prepared_transactions = 5
log_statement = none
strm_privacy.connector_directory = '$dir'
CONF
	$node->safe_psql('postgres', "CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'Analytics')");
	strm_contract($node, 'acme/clicks/1.0.0', [ [ 'session', 'STRING', 1 ], [ 'n', 'INTEGER', undef ] ], '"dataSubjectField": "session"');
	$node->safe_psql('postgres', <<'SQL');
SELECT strm.create_stream('clicks', contract => 'acme/clicks/1.0.0');
SELECT strm.create_derived_stream('clicks', purposes => '{1}');
SELECT strm.create_data_connector('files', 'directory', '{}');
SQL
	return ($node, $dir);
}

# Lets these exporters run, and waits until everything that is committed now is in files; whether it is, in time.
sub strm_export_tick
{
	my ($node, @names) = @_;
	my $list = join ', ', map { "'$_'" } @names;
	my $ids = "(SELECT id FROM strm.batch_exporter WHERE name IN ($list))";
	my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my ($rc, $behind) = $node->psql('postgres', <<SQL);
UPDATE strm.batch_exporter_state SET next_at = now() WHERE exporter_id IN $ids AND next_at > now() AND (done_lsn IS NULL OR done_lsn < '$lsn');
SELECT count(*) FROM strm.batch_exporter e LEFT JOIN strm.batch_exporter_state s ON s.exporter_id = e.id
 WHERE e.name IN ($list) AND NOT coalesce(s.done_lsn >= '$lsn', false);
SQL
		return 1 if $rc == 0 && $behind eq '0';
		usleep(100_000);
	}
	return 0;
}

# Paths of an exporter's files below a directory, in their order; of all exporters without a name.
sub strm_export_files
{
	my ($dir, $name) = @_;
	my @files;
	find({ no_chdir => 1, wanted => sub { push @files, $File::Find::name if -f } }, $dir);
	@files = grep { m{-(?:stream|keys)-\Q$name\E---} } @files if defined $name;
	my %order = map { $_ => /^(.*---)(\d+)(.*)$/s ? sprintf('%s%09d%s', $1, $2, $3) : $_ } @files;
	@files = sort { $order{$a} cmp $order{$b} } @files;
	return @files;
}

# All lines of an exporter's files, in their order.
sub strm_export_lines
{
	my ($dir, $name) = @_;
	my @lines;
	for my $file (strm_export_files($dir, $name))
	{
		my $text = slurp_file($file);
		if ($file =~ /\.gz$/)
		{
			my $plain;
			gunzip(\$text => \$plain) or die $GunzipError;
			$text = $plain;
		}
		push @lines, split /\n/, $text;
	}
	return @lines;
}

# The numbers n of an exporter's events, in their order.
sub strm_export_numbers { return map { /"n": ?(\d+)/ ? $1 : die $_ } strm_export_lines(@_) }

1;
