# pg_upgrade: it creates each object of the extension by itself, with its OID, and takes the tables' files along. Streams, keys,
# derived streams, queued rows, their protection and the master key's mark are there afterwards. From a version to itself: that takes the same way.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $old = strm_node('old', conf => "strm_privacy.ingest_workers = 0\n");
my $key_file = strm_master_key_file($old);
$old->safe_psql('postgres', 'CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, $$One$$)');
strm_contract($old, 'acme/click/1.0.0', [ [ 'session', 'STRING', 1, 'required' ], [ 'customer', 'STRING', 1 ], [ 'url', 'STRING' ] ],
	'"dataSubjectField": "customer"');
$old->safe_psql('postgres', <<'SQL');
SELECT strm.create_stream('clicks', contract => 'acme/click/1.0.0');
SELECT strm.create_stream('days', contract => 'acme/click/1.0.0', partition_by => '1 day');
SELECT strm.create_derived_stream('clicks', purposes => '{1}');
SELECT strm.create_derived_stream('clicks', purposes => '{1}', masked_fields => '{customer,url}', mask_seed => 'a secret');
INSERT INTO clicks (strm_consent_levels, session, customer, url) SELECT '{1}', 's' || i % 5, 'c' || i % 5, 'u' || i FROM generate_series(1, 50) AS i;
INSERT INTO days (strm_consent_levels, session) VALUES ('{1}', 's');
SELECT strm.create_stream('visits', contract => 'acme/click/1.0.0', ingest => 'queued');
SELECT strm.create_derived_stream('visits', purposes => '{1}');
INSERT INTO visits_inbox (strm_consent_levels, session, url) SELECT '{1}', 's' || i % 5, 'u' || i FROM generate_series(1, 50) AS i;
SQL
my $stored = strm_row_hash($old, 'clicks');
my $revealed = strm_row_hash($old, 'clicks_1');
my $masked = strm_row_hash($old, 'clicks_m_1');
my $exported = strm_row_hash($old, "strm.export_keys('clicks')");
$old->stop;

my $new = strm_node('new', key_file => $key_file, start => 0);
chdir PostgreSQL::Test::Utils::tempdir();
$new->command_ok(
	[
		'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old->config_data('--bindir'),
		'-B', $new->config_data('--bindir'), '-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
$new->start;
is(strm_row_hash($new, 'clicks'), $stored, 'rows as they were sealed');
is(strm_row_hash($new, 'clicks_1'), $revealed, 'and revealed as before');
is(strm_row_hash($new, 'clicks_m_1'), $masked, 'and masked as before');
is(strm_row_hash($new, "strm.export_keys('clicks')"), $exported, 'keys are exported as before');
$new->safe_psql('postgres', q{INSERT INTO clicks (strm_consent_levels, session, customer, url) VALUES ('{1}', 's1', 'c1', 'new')});
is($new->safe_psql('postgres', q{SELECT count(*), count(DISTINCT strm_key_link) FROM clicks_1 WHERE session = 's1'}), '11|1',
	'a new row has the key of its session');
$new->safe_psql('postgres', q{INSERT INTO days (strm_consent_levels, session) VALUES ('{1}', 's')});
is($new->safe_psql('postgres', 'SELECT count(*), count(DISTINCT strm_key_link) FROM days'), '2|1', 'partitions, too');
is($new->safe_psql('postgres', q{SELECT strm.delete_data_subjects('c2')}), '1', 'a data subject is found and erased');
is($new->safe_psql('postgres', 'SELECT count(*), count(session) FROM clicks_1'), '51|41', 'its values read as NULL');
$new->safe_psql('postgres', q{INSERT INTO visits_inbox (strm_consent_levels, session, url) VALUES ('{1}', 's1', 'new')});
$new->safe_psql('postgres', q{SELECT strm.wait_for_ingest('visits', '60 s')});
is($new->safe_psql('postgres', 'SELECT count(*), count(DISTINCT session), count(DISTINCT url), (SELECT count(*) FROM visits_inbox) FROM visits_1'), '51|5|51|0',
	'rows that were queued arrive, and others behind them');
my (undef, undef, $error) = $new->psql('postgres', 'DROP EXTENSION strm_privacy CASCADE');
like($error, qr/cannot be dropped while streams exist/, 'the extension is guarded');
$new->stop;

done_testing();
