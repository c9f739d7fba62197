# What derived streams need a whole server for: mask seeds stay out of the server log; they are as they were after a dump
# and restore, and in a new session; and without the master key nothing is revealed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $seed = 'planted8seed';
my $node = strm_node('main', conf => <<CONF);
# redaction of the log, which would hide most of this as well, has a test of its own
strm_privacy.log_redaction = off
log_statement = none
log_min_messages = notice
log_parameter_max_length_on_error = 0
CONF

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'One'), strm.create_purpose(2, 'Two');
SELECT strm.create_data_contract('acme/derived/1.0.0',
  schema => '{"name": "Click", "nodes": [{"type": "STRING", "name": "session", "required": true}, {"type": "STRING", "name": "customer"}, {"type": "STRING", "name": "url"}]}',
  contract => '{"keyField": "session", "fieldMetadata": [{"fieldName": "session", "personalDataConfig": {"isPii": true, "purposeLevel": 1}},
     {"fieldName": "customer", "personalDataConfig": {"isPii": true, "purposeLevel": 2}}]}');
SELECT strm.activate_data_contract('acme/derived/1.0.0');
SELECT strm.create_stream('clicks', contract => 'acme/derived/1.0.0');
SELECT strm.create_derived_stream('clicks', '{1,2}');
CREATE ROLE dpo IN ROLE strm_approver;
GRANT SELECT ON clicks TO dpo;
CREATE TYPE taken AS (x int);
INSERT INTO clicks (strm_consent_levels, session, customer, url) VALUES ('{1,2}', 's-1', 'c-1', 'u-1'), ('{1,2}', 's-2', 'c-1', 'u-2'), ('{1}', 's-3', 'c-3', 'u-3');
SQL

# Each of these fails, in our own code or in the DDL below it, and would be logged with its STATEMENT and CONTEXT.
my %failing = (
	'a fault of ours' => "SELECT strm.create_derived_stream('clicks', '{7}', masked_fields => '{customer}', mask_seed => '$seed')",
	'a fault of the seed' => "SELECT strm.create_derived_stream('clicks', '{1,2}', masked_fields => '{customer}', mask_seed => E'$seed\\n')",
	'a fault inside PL/pgSQL' =>
	  "DO \$\$ BEGIN PERFORM strm.create_derived_stream('clicks', '{7}', masked_fields => '{customer}', mask_seed => '$seed'); END \$\$",
	'no privilege on the schema' =>
	  "SET ROLE dpo; SELECT strm.create_derived_stream('clicks', '{1,2}', masked_fields => '{customer}', mask_seed => '$seed')",
	'an error of CREATE VIEW' => "SET default_transaction_read_only = on;\n"
	  . "SELECT strm.create_derived_stream('clicks', '{1,2}', name => 'x', masked_fields => '{customer}', mask_seed => '$seed')",
	'a fault of a batch job' => "SELECT strm.create_batch_job('{\"derived_data\": [{\"masked_fields\": {\"seed\": \"$seed\"}}]}')",
	'a batch job with a misspelt member' => "SELECT strm.create_batch_job('{\"derived_data\": {\"masked_field\": {\"seed\": \"$seed\"}}}')",
	'a bound seed' => "SELECT strm.create_derived_stream('clicks', '{7}', masked_fields => '{customer}', mask_seed => \$1) \\bind $seed \\g");
delete $failing{'a bound seed'} if $node->pg_version < 16;    # psql's \bind
for my $what (sort keys %failing)
{
	my $offset = -s $node->logfile;
	my ($status, $out, $err) = $node->psql('postgres', $failing{$what});
	isnt($status, 0, "$what is an error");
	unlike($err, qr/\Q$seed\E/, "$what: the client's message is without the seed") if $what !~ /seed$/ || $err !~ /LINE 1/;
	unlike(slurp_file($node->logfile, $offset), qr/\Q$seed\E/, "$what: the log is without the seed");
}
my $offset = -s $node->logfile;
$node->psql('postgres', "SELECT strm.no_such_function('$seed')");
like(slurp_file($node->logfile, $offset), qr/\Q$seed\E/, 'which a failed statement that is not ours shows');

# Creating it works, leaves the seed nowhere in the data directory, and masks are the same ever after.
$node->safe_psql('postgres', "SELECT strm.create_derived_stream('clicks', '{1,2}', name => 'masked', masked_fields => '{customer,url}', mask_seed => '$seed')");
my $query = 'SELECT session, customer, url FROM masked ORDER BY session';
my $masked = $node->safe_psql('postgres', $query);
like($masked, qr/\As-1\|([0-9a-f]{32})\|[0-9a-f]{32}\ns-2\|\1\|[0-9a-f]{32}\z/, 'masks');
$node->safe_psql('postgres', 'CHECKPOINT');
my $found = 0;
for my $file (glob($node->data_dir . '/base/*/* ' . $node->data_dir . '/pg_wal/0*'))
{
	$found++ if -f $file && slurp_file($file) =~ /\Q$seed\E/;
}
is($found, 0, 'the seed is in no file of the server');

$node->safe_psql('postgres', 'CREATE DATABASE restored');
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'restore');
is($node->safe_psql('restored', $query), $masked, 'a restored derived stream shows what it showed');
is($node->safe_psql('restored', 'SELECT derived_stream, source, masked_fields FROM strm.derived_streams ORDER BY 1::text'),
	"clicks_1_2|clicks|{}\nmasked|clicks|{customer,url}", 'and is registered');
my ($status, $out, $err) = $node->psql('restored', 'DELETE FROM masked');
like($err, qr/derived stream is read-only/, 'and is read-only');

# Sealed
$node->stop;
my $key_file = strm_master_key_file($node);
rename $key_file, "$key_file.hidden" or die;
$node->start;
for my $column ('session FROM clicks_1_2', 'customer FROM masked', 'url FROM masked')
{
	($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT $column");
	is($out, '', "sealed: no $column");
	like($err, qr/ERROR:  55000/, "sealed: an error for $column");
}
is($node->safe_psql('postgres', 'SELECT count(*), count(url) FROM clicks_1_2'), '2|2', 'sealed: what is not revealed can be read');
is($node->safe_psql('postgres', "SELECT strm.create_derived_stream('clicks', '{1}')"), 'clicks_1', 'sealed: a derived stream without masks can be created');
($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT strm.create_derived_stream('clicks', '{1}', name => 'x', masked_fields => '{url}')");
like($err, qr/ERROR:  55000/, 'sealed: one with masks cannot');
is($node->safe_psql('postgres', "SELECT to_regclass('x') IS NULL"), 't', 'and is not made half');
$node->stop;
rename "$key_file.hidden", $key_file or die;
$node->start;
is($node->safe_psql('postgres', $query), $masked, 'unsealed again');

$node->stop;
done_testing();
