# Real input: the Online Retail data set (541,909 rows of invoices) as a stream, by COPY. What derived streams show is compared
# with the same file in a plain table. Skipped where the data set is not there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $file = strm_shared_file('online_retail.csv.xz');
plan skip_all => 'there is no shared/data/online_retail.csv.xz' if !defined $file;

# The file with two more columns: the row's number, which tells duplicate rows apart, and its consent.
my $csv = PostgreSQL::Test::Utils::tempdir() . '/retail.csv';
my @consent = ('{}', '{1}', '"{1,2}"');
my $header = 'InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country';
open my $in, '-|', 'xz', '-dc', $file or die "xz: $!";
open my $out, '>', $csv or die "$csv: $!";
my $rows = -1;
while (my $line = <$in>)
{
	$line =~ s/\r?\n\z//;
	if (++$rows == 0)
	{
		is($line, $header, 'the file is the one that this test is about');
		next;
	}
	print $out "$rows,", $consent[ $rows % 3 ], ",$line\n";
}
close $in or die 'xz failed';
close $out or die "$csv: $!";
is($rows, 541909, 'the file has all its rows');

my $node = strm_node('retail', conf => "fsync = off\nmax_wal_size = 4GB\nwork_mem = '256MB'\nlog_statement = none\nmax_parallel_workers_per_gather = 0\n");
$node->safe_psql('postgres', 'CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, $$Sales$$), strm.create_purpose(2, $$Regions$$)');
strm_contract($node, 'acme/retail/1.0.0',
	[ [ 'InvoiceNo', 'STRING', 1, 'required' ], [ 'Row', 'LONG' ], [ 'StockCode', 'STRING' ], [ 'Description', 'STRING' ], [ 'Quantity', 'INTEGER' ],
	  [ 'InvoiceDate', 'STRING' ], [ 'UnitPrice', 'FLOAT' ], [ 'CustomerID', 'STRING', 1 ], [ 'Country', 'STRING', 2 ] ],
	'"dataSubjectField": "CustomerID"');

my $columns = 'invoice_no, stock_code, description, quantity, invoice_date, unit_price, customer_id, country';
my $copy = "(row, strm_consent_levels, $columns) FROM '$csv' (FORMAT csv, FORCE_NOT_NULL (customer_id))";
$node->safe_psql('postgres', qq{
CREATE TABLE plain (row int8 PRIMARY KEY, strm_consent_levels int4[], invoice_no text, stock_code text, description text, quantity int4,
                    invoice_date text, unit_price float8, customer_id text, country text);
COPY plain $copy;
SELECT strm.create_stream('retail', contract => 'acme/retail/1.0.0', index_key_link => false);
COPY retail $copy;
SELECT strm.create_derived_stream('retail', '{1}'), strm.create_derived_stream('retail', '{2}'), strm.create_derived_stream('retail', '{1,2}'),
       strm.create_derived_stream('retail', '{1}', name => 'up_to_1', consent_level_type => 'CUMULATIVE'),
       strm.create_derived_stream('retail', '{2}', name => 'up_to_2', consent_level_type => 'CUMULATIVE');
ANALYZE plain; ANALYZE retail});

sub value { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

is(value('SELECT count(*) FROM retail'), $rows, 'every row is stored');
is(value(q{SELECT count(*) FROM retail WHERE invoice_no !~ '^[A-Za-z0-9+/]{28,}=*$' OR customer_id !~ '^[A-Za-z0-9+/]{28,}=*$' OR country !~ '^[A-Za-z0-9+/]{28,}=*$'}),
	0, 'no personal value in clear');
is(value(q{SELECT count(*) FROM retail s JOIN plain p USING (row) WHERE (s.strm_consent_levels, s.stock_code, s.description, s.quantity, s.invoice_date, s.unit_price)
	IS DISTINCT FROM (p.strm_consent_levels, p.stock_code, p.description, p.quantity, p.invoice_date, p.unit_price)}), 0, 'the rest is as it was');

# derived stream, rows that it shows, fields that it decrypts
my %fields = (1 => [ 'invoice_no', 'customer_id' ], 2 => ['country']);
for my $case ([ 'retail_1', q{strm_consent_levels @> '{1}'}, 1 ], [ 'retail_2', q{strm_consent_levels @> '{2}'}, 2 ], [ 'retail_1_2', q{strm_consent_levels @> '{1,2}'}, 1, 2 ],
	[ 'up_to_1', q{1 <= ANY (strm_consent_levels)}, 1 ], [ 'up_to_2', q{2 <= ANY (strm_consent_levels)}, 1, 2 ])
{
	my ($derived, $filter, @purposes) = @$case;
	my @clear = map { @{ $fields{$_} } } @purposes;
	my %clear = map { $_ => 1 } @clear;
	# columns that must be as in the file, and those that must not
	my @same = ((map { s/^\s+//r } grep { !/invoice_no|customer_id|country/ } split /,/, $columns), @clear);
	my @hidden = grep { !$clear{$_} } qw(invoice_no customer_id country);
	my ($count, $differ, $shown) = split /\|/, value(qq{
SELECT count(d.row), count(*) FILTER (WHERE d.row IS NULL OR p.row IS NULL OR ROW(} . join(', ', map { "d.$_" } @same) . q{) IS DISTINCT FROM ROW(} . join(', ', map { "p.$_" } @same) . qq{)),
       count(*) FILTER (WHERE } . join(' OR ', 'false', map { "d.$_ = p.$_ OR d.$_ !~ '^[A-Za-z0-9+/]{28,}=*\$'" } @hidden) . qq{)
  FROM $derived AS d FULL JOIN (SELECT * FROM plain WHERE $filter) AS p USING (row)});
	is($count, value("SELECT count(*) FROM plain WHERE $filter"), "$derived: as many rows as consented");
	cmp_ok($count, '>', 180000, "$derived: which are many");
	is($differ, 0, "$derived: each of them the file's row, with " . join(', ', @clear) . ' decrypted');
	is($shown, 0, "$derived: " . (join(', ', @hidden) || 'nothing') . ' stays ciphertext');
}

# --- ciphertexts ---
for my $field (qw(invoice_no customer_id country))
{
	my ($plain, $cipher, $both, $across) = split /\|/, value(qq{
SELECT count(DISTINCT (strm_key_link, p.$field)), count(DISTINCT (strm_key_link, s.$field)), count(DISTINCT (strm_key_link, p.$field, s.$field)), count(DISTINCT s.$field)
  FROM retail s JOIN plain p USING (row)});
	is("$cipher $both", "$plain $plain", "$field: equal values under one key link have equal ciphertexts, others not");
	is($across, $cipher, "$field: no two key links have a ciphertext in common");
}
my ($invoices, $links, $pairs) = split /\|/, value('SELECT count(DISTINCT p.invoice_no), count(DISTINCT strm_key_link), count(DISTINCT (p.invoice_no, strm_key_link)) FROM retail s JOIN plain p USING (row)');
is("$links $pairs", "$invoices $invoices", "one key link for each of $invoices invoices");
is(value('SELECT count(DISTINCT key_link) FROM strm.data_keys'), $links, 'one key for each key link');
is(value(q{SELECT count(*) FROM retail WHERE customer_id IS NULL}), 0, 'an empty customer number is a value');
is(value(q{SELECT count(*) FROM retail_1 WHERE customer_id = ''}), value(q{SELECT count(*) FROM plain WHERE customer_id = '' AND strm_consent_levels @> '{1}'}), 'and reads as one');

# --- data subjects ---
is(value(q{SELECT count(*) FROM strm.data_subjects(max_rows => 100000)}), value(q{SELECT count(DISTINCT customer_id) FROM plain WHERE customer_id <> ''}), 'each customer is a data subject, the empty number is none');
is(value(q{SELECT count(*) FROM strm.data_subject_key_links('17850')}), value(q{SELECT count(DISTINCT invoice_no) FROM plain WHERE customer_id = '17850'}), 'with a key link for each invoice');

$node->stop;
done_testing();
