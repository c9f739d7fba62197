# Timestamps against the JDK: every case of the oracle (shared/data/java-datetime, made by OpenJDK 17) gives the same instant or
# the same message. Skipped where the oracle is not there.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;

my $file = strm_shared_file('java-datetime/java_datetime_parse_golden.csv');
plan skip_all => 'there is no shared/data/java-datetime' if !defined $file;

# Patterns that are bad here, although the JDK takes them: it would read the date only, or no row at all.
my %refused = (
	'MM/dd/yyyy hh:mm' => qr/hour of half a day \(h, K\) but not the half/,
	'%Y-%m-%d' => qr/has percent signs, as strftime's formats have/);

my $node = strm_node('timestamp');
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION strm_privacy;
CREATE TABLE oracle (number int GENERATED ALWAYS AS IDENTITY, pattern text, input text, default_zone text, kind text, epoch_ms bigint, error text);
CREATE FUNCTION try(value text, format text, default_zone text, OUT epoch_ms bigint, OUT state text, OUT message text, OUT detail text) LANGUAGE plpgsql AS $$
BEGIN
  epoch_ms := extract(epoch FROM strm.parse_timestamp(value, format, default_zone)) * 1000;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state := RETURNED_SQLSTATE, message := MESSAGE_TEXT, detail := PG_EXCEPTION_DETAIL;
END $$;
SQL
# unquoted nothing is NULL; the empty zone, pattern and input are quoted
$node->safe_psql('postgres',
	"\\copy oracle (pattern, input, default_zone, kind, epoch_ms, error) FROM '$file' WITH (FORMAT csv, HEADER, ENCODING 'UTF8')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM oracle'), 167, 'the oracle has all its cases');

# What the local time is by the server's own time zone database: it and the JDK's differ in the time before 1970.
my $own_zone = q{CASE WHEN o.epoch_ms < 0 AND o.default_zone ~ '/' THEN
	(extract(epoch FROM (to_timestamp(o.epoch_ms / 1000) AT TIME ZONE 'Europe/Brussels') AT TIME ZONE 'Europe/Amsterdam') * 1000)::bigint END};
my @rows = split /\n/, $node->safe_psql('postgres', <<"SQL");
SELECT concat_ws(E'\\x1f', number, pattern, input, kind, coalesce(o.epoch_ms::text, '-'), coalesce(error, '-'),
                 coalesce(t.epoch_ms::text, '-'), coalesce(t.state, '-'), coalesce(t.message, '-'), coalesce(t.detail, '-'), coalesce(($own_zone)::text, '-'))
  FROM oracle o, try(input, pattern, nullif(default_zone, '')) AS t ORDER BY number
SQL
for (@rows)
{
	my ($number, $pattern, $input, $kind, $epoch_ms, $error, $our_ms, $state, $message, $detail, $own_ms) = split /\x1f/;
	my $name = "$number: $pattern | $input: $kind";
	if ($refused{$pattern})
	{
		like("$state $detail", qr/^22023 .*$refused{$pattern}/, "$name, but refused here");
	}
	elsif ($kind eq 'badpattern') { is("$state $detail", "22023 $error", $name) }
	elsif ($kind eq 'error') { is("$state $message", "22007 $error", $name) }
	elsif ($kind eq 'nozone') { isnt($our_ms, '-', "$name: UTC is the default here") }
	elsif ($our_ms ne $epoch_ms && $own_ms ne '-') { is($our_ms, $own_ms, "$name, by the server's time zones") }
	else { is("$our_ms $message", "$epoch_ms -", $name) }
}
is(scalar @rows, 167, 'every case was tried');
is(scalar(grep { my @f = split /\x1f/; $f[6] ne '-' } @rows), $node->safe_psql('postgres', "SELECT count(*) FROM oracle WHERE kind ~ '^(nozone|Local|Zoned)'") - 1,
	'as many are timestamps as the JDK says, without the one refused');
done_testing();
