# What batch jobs make of bad and odd files: each file gives a defined outcome or a clear error, never a crash, a half output
# or a value in a message. Two sets of odd CSV files, encodings, gzip, headers, huge records, bad timestamps, JSON Lines, and
# strings that programs stumble over. (Links, pipes, full disks and changing files: connector_directory.pl.)
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StrmTest;
use Test::More;
use Time::HiRes qw(usleep);

my $root = PostgreSQL::Test::Utils::tempdir();
my $dir = "$root/d";
mkdir $dir or die $!;
my $node = strm_node('input', conf => "fsync = off\nmax_wal_size = 4GB\nstrm_privacy.connector_directory = '$root'\n");
my $json = JSON::PP->new->ascii->canonical;
my $secret = 'S3cretValue';
my @half;    # jobs that failed and left something

sub value { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub files { opendir my $d, $dir or die $!; return join ' ', sort grep { !/^\.\.?$/ } readdir $d }
sub get { my ($name) = @_; return -e "$dir/$name" ? slurp_file("$dir/$name") : undef }
sub put { my ($name, $content) = @_; open my $out, '>:raw', "$dir/$name" or die $!; print $out $content; close $out or die $!; return $name }
sub place { my ($name, $type, %more) = @_; return { data_connector_ref => { name => 'files' }, file_name => $name, $type ? (data_type => $type) : (), %more } }
sub csv { return { csv => {@_} } }
sub jsonl { return { jsonl => {} } }

value(q{CREATE EXTENSION strm_privacy; SELECT strm.create_purpose(1, 'One'), strm.create_data_connector('files', 'directory', '{"path": "d"}')});
# all columns of the sets that a field can be named as
my @names = qw(a b c first last address city zip key val Contact_Phone_Number Location_Coordinates Cities Counties id value comment name note notes
	amount rate only h1);
strm_contract($node, 'acme/any/1.0.0', [ [ 'at', 'STRING' ], map { [ $_, 'STRING', 1 ] } @names ]);
strm_contract($node, 'acme/typed/1.0.0', [ [ 'id', 'STRING', 1, 'required' ], [ 's', 'STRING', 1 ], [ 'i', 'INTEGER', 1 ], [ 'l', 'LONG', 1 ], [ 'f', 'FLOAT', 1 ],
	[ 'b', 'BOOLEAN', 1 ], [ 'ss', 'STRING', 1, 'repeated' ], [ 'ls', 'LONG', 1, 'repeated' ], [ 'x', 'INTEGER' ] ]);
strm_contract($node, 'acme/wide/1.0.0', [ [ 'id', 'STRING' ], map { [ "v$_", 'STRING', 1 ] } 1 .. 12 ]);

# A job from the file to enc, out (derived with all levels) and rej, each .csv unless said otherwise.
sub configuration
{
	my ($source, %more) = @_;
	my $end = $more{end} // 'csv';
	my $type = $more{target_type} // ($end =~ /^jsonl/ ? jsonl() : undef);
	my %levels = $more{consent} ? %{ $more{consent} } : (default_consent_levels => [1]);
	return { source_data => place($source, $more{type}), data_contract_ref => $more{contract} // 'acme/any/1.0.0', consent => \%levels,
		encryption => { timestamp_config => { field => $more{at} // 'at', format => $more{format} // 'EPOCH_MILLIS' } },
		encrypted_data => { target => place("enc.$end", $type) }, derived_data => [ { target => place("out.$end", $type), consent_levels => [1] } ],
		rejects => { target => place('rej.csv') }, max_rejects => $more{max_rejects} // 1000, %{ $more{job} // {} } };
}

# Runs it: error (empty when there was none), notices, enc, out and rej.
sub run_job
{
	my ($source, %more) = @_;
	my $end = $more{end} // 'csv';
	my ($out, $err);
	unlink map { "$dir/$_" } "enc.$end", "out.$end", 'rej.csv';
	my $before = files();
	$node->psql('postgres', 'CALL strm.run_batch_job($job$' . $json->encode(configuration($source, %more)) . '$job$)', stderr => \$err, stdout => \$out,
		extra_params => ['--set=VERBOSITY=verbose']);
	my ($error) = $err =~ /^psql:[^\n]*ERROR:  (.*?)(?=\nLOCATION|\nCONTEXT|\z)/ms;
	push @half, "$source: " . files() if $error && files() ne $before;
	push @half, "$source tells a value" if $err =~ /$secret/;
	return { error => $error // '', notices => $err, enc => get("enc.$end"), out => get("out.$end"), rej => get('rej.csv') };
}

# A CSV file of ours: everything in quotes or bare and empty, CRLF. Rows as hashes; undef is null.
sub parsed
{
	my ($text) = @_;
	my @rows = ([]);
	return [] if !defined $text;
	while ($text =~ /\G("[^"]*(?:""[^"]*)*")?(,|\r\n)/gc)
	{
		my ($field, $end) = ($1, $2);
		$field = $field =~ s/^"|"$//gr =~ s/""/"/gr if defined $field;
		push @{ $rows[-1] }, $field;
		push @rows, [] if $end ne ',';
	}
	return 'not as it is to be written' if !@{ $rows[0] } || @{ $rows[-1] } || pos($text) != length $text;
	pop @rows;
	my $names = shift @rows;
	return [ map { my %row; @row{@$names} = @$_; \%row } @rows ];
}

# Columns of the derived rows: [value], - for null, ; after a row. What it has, the encrypted file has as ciphertext.
sub shown
{
	my ($result, @columns) = @_;
	my ($out, $enc) = map { parsed($_) } @$result{qw(out enc)};
	return "$out/$enc" if !ref $out || !ref $enc || @$out != @$enc;
	my $text = '';
	for my $i (0 .. $#$out)
	{
		for (grep { exists $out->[$i]{$_} } @columns)
		{
			my ($clear, $cipher) = ($out->[$i]{$_}, $enc->[$i]{$_});
			$text .= defined $clear ? "[$clear]" : '-';
			$text .= '?' if defined $clear ? $cipher !~ m{^A[Q-f][A-Za-z0-9+/]{26,}=*$} : defined $cipher;
		}
		$text .= ';';
	}
	return $text;
}

sub rejects { my ($result) = @_; my @lines = split /\r\n/, $result->{rej} // ''; shift @lines; return join("\n", @lines) =~ s/"//gr }

# The file with a column of times in front of each record.
sub with_time
{
	my ($text, $delimiter) = @_;
	my ($mark, $out, $quotes, $first) = ($text =~ s/^\xef\xbb\xbf// ? "\xef\xbb\xbf" : '', '', 0, 1);
	for my $line (split /(?<=\n)/, $text)
	{
		if ($quotes % 2 == 0 && $line !~ /^[ \t]*\r?\n?\z/) { $out .= ($first ? 'at' : '0') . $delimiter; $first = 0 }
		$out .= $line;
		$quotes += $line =~ tr/"//;
	}
	return $mark . $out;
}

# --- csv-spectrum ------------------------------------------------------------------------------------------------------

SKIP:
{
	my $any = strm_shared_file('csv-spectrum/package.json') or skip 'there is no shared/data/csv-spectrum', 13;
	my @files = glob($any =~ s/package\.json$//r . 'csvs/*.csv');
	is(scalar @files, 12, 'twelve files of csv-spectrum');
	for my $file (@files)
	{
		my ($name) = $file =~ m{([^/]*)\.csv$};
		my $text = slurp_file($file);
		my $expected = JSON::PP->new->utf8->decode(slurp_file($file =~ s{csvs/}{json/}r =~ s{csv$}{json}r));
		$expected = [$expected] if ref $expected ne 'ARRAY';
		# names that no field can have; and a number that the set's JSON has wrong
		if ($name eq 'location_coordinates')
		{
			$text =~ s/^[^\n]*/Contact_Phone_Number,Location_Coordinates,Cities,Counties/;
			$expected = [ { map { s/ /_/gr => $expected->[0]{$_} } keys %{ $expected->[0] } } ];
			$expected->[0]{Contact_Phone_Number} = '2095257564';
		}
		my @columns = sort keys %{ $expected->[0] };
		my $result = run_job(put("spectrum-$name.csv", with_time($text, ',')));
		my $rows = join '', map { my $row = $_; join('', map { "[$row->{$_}]" } @columns) . ';' } @$expected;
		utf8::encode($rows);
		is($result->{error} . shown($result, @columns), $rows, "csv-spectrum $name");
	}
}

# --- the torture set: our outcomes -------------------------------------------------------------------------------------

my $unusable = qr/^22023: the names of columns in the header of the CSV file are not usable/;
my $no_header = qr/^22023: the CSV file is empty: it does not even have a header/;
my $lacks = qr/^22023: the source of the batch job lacks columns that it needs: "at"/;
my $utf16 = qr/^22023: the file is in UTF-16, which PostgreSQL has no conversion from/;
my $utf32 = qr/^22023: the file is in UTF-32, which PostgreSQL has no conversion from/;
# Per file: delimiter (without one the file is read as it is, with a comma), rows or error, rejects. "sep=," is no header.
my %torture = (
	accounting_parentheses => [ ',', '[A][(1,234.56)];[B][($1,234.56)];[C][($-1,234.56)];[D][(-1,234.56)];[E][$1,234.56];' ],
	ambiguous_delimiter => [ ',', '[1];' ],
	backslash_escape => [ undef, $unusable ],
	backslash_in_quoted_rfc => [ ',', '[1][path C:\temp\file];[2][literal \\\\ backslash];' ],
	basic_new => [ ',', '[A][1];[B][3];' ],
	basic_old => [ ',', '[A][1];[B][2];' ],
	blank_lines_before_header => [ ',', '[A][1];[B][2];' ],
	blank_only => [ undef, $no_header ],
	blank_records => [ ',', '[A][1];[B][2];' ],
	blank_records_between => [ undef, $unusable ],
	bom_no_trailing_newline => [ ',', '[1][10];[2][20];' ],
	caret_basic => [ '^', '[A][1];[B][2];' ],
	caret_delimiter => [ '^', '[1][alpha][10];[2][beta][20];' ],
	caret_quoted => [ '^', '[1][alpha^beta][caret inside];[2][gamma][ok];' ],
	control_byte_header => [ "\x01", '[A][1];[B][2];' ],
	crlf_line_endings => [ ',', '[1][10];[2][20];' ],
	currency_values => [ ',', '[1][$1,234.56];[2][($7,890.00)];[3][-$12.34];' ],
	delim_0x1f => [ "\x1f", '[A][1];[B][2];' ],
	duplicate_headers => [ undef, $unusable ],
	empty_fields => [ ',', '[1][][missing value];[2][][];[3][30][];' ],
	empty_file => [ undef, $no_header ],
	empty_header_names => [ undef, $unusable ],
	empty_headers => [ undef, $unusable ],
	encoding_nul_first8k => [ undef, qr/^22023: the header of the CSV file has a NUL byte/ ],
	encoding_utf16le => [ undef, $utf16 ],
	encoding_utf32be => [ undef, $utf32 ],
	excel_quoted_commas => [ ',', '[1][Smith, John][He said "hello"];[2][Doe, Jane][Multi, comma];[3][O"Brien, Tim][Quote "" inside];' ],
	extra_fields_empty => [ ',', '', "2,1,,has 4 values, but there are 3 columns\n3,2,,has 5 values, but there are 3 columns" ],
	extra_fields_non_empty => [ undef, $unusable ],
	extra_trailing_empty_fields => [ ',', '', "2,1,,has 4 values, but there are 3 columns\n3,2,,has 5 values, but there are 3 columns" ],
	extra_trailing_nonempty => [ undef, $unusable ],
	header_only => [ ',', '' ],
	header_with_spaces => [ undef, $unusable ],
	hex_prefix_header => [ ',', '[1];[2];' ],
	invalid_quote => [ ',', '', '2,1,,has text after a closing quote' ],
	leading_blank_lines => [ ',', '[1][10];[2][20];' ],
	leading_tabs_header => [ undef, $unusable ],
	locale_decimal => [ ',', '[A][1.234,56];[B][12.345,00];' ],
	missing_tokens => [ ',', '[1][NA][missing];[2][n/a][missing];[3][NULL][missing];[4][-][dash];[5][NONE][missing];' ],
	missingness_numeric_vs_missing => [ ',', '[A][];[B][100];[C][NA];[D][200];' ],
	mixed_line_endings => [ ',', '[1][10];[2][20];' ],
	mixed_types_numeric_text => [ ',', '[A][100];[B][foo];[C][200];' ],
	multiline_quoted => [ undef, $unusable ],
	no_trailing_newline => [ ',', '[1][10];[2][20];' ],
	non_ascii_header => [ ',', '[10];[20];' ],
	nul_in_8k => [ ',', '', '2,1,,has a NUL byte' ],
	numeric_thousands => [ ',', '[1][1,234];[2][12,345.67];' ],
	only_blank_lines => [ undef, $no_header ],
	only_header => [ ',', '' ],
	percent_values => [ ',', '[A][10%];[B][3.5%];' ],
	pipe_delimiter => [ '|', '[1][alpha][10];[2][beta][20];' ],
	pipe_quoted => [ '|', '[1][alpha|beta][has | inside];[2][gamma][plain];' ],
	pipe_with_spaces => [ '|', '[1][ alpha ][ 10];[2][ beta ][ 20];' ],
	plus_sign_numbers => [ ',', '[1][+10];[2][+1,234];[3][+1.23e2];' ],
	quoted_empty_fields => [ ',', '[1][][];[2][  ][];' ],
	ragged_rows_long_empty => [ ',', '', "2,1,,has 5 values, but there are 3 columns\n3,2,,has 5 values, but there are 3 columns" ],
	ragged_rows_short => [ ',', '[2][20][ok];', "2,1,,has 3 values, but there are 4 columns\n4,3,,has 2 values, but there are 4 columns" ],
	rfc4180_quotes => [ ',', '[1][comma, inside];[2][quote "inside"];' ],
	rfc_quote_escape => [ undef, $unusable ],
	scientific_notation => [ ',', '[1][1e3];[2][-2.5E-4];' ],
	semicolon_delimiter => [ ';', '[1][alpha][10];[2][beta][20];' ],
	semicolon_quoted => [ ';', '[1][Doe; Jane][semi; inside];[2][Smith][ok];' ],
	semicolon_with_spaces => [ ';', '[1][ alpha ][ 10];[2][ beta ][ 20];' ],
	sep_caret => [ undef, $lacks ],
	sep_equal => [ undef, $lacks ],
	sep_equals => [ undef, $lacks ],
	sep_only => [ undef, $unusable ],
	sep_pipe => [ undef, $lacks ],
	sep_semicolon => [ undef, $lacks ],
	sep_tab => [ undef, $lacks ],
	single_column => [ ',', '[1];' ],
	tab_basic => [ "\t", '[A][1];[B][2];' ],
	tab_delimiter => [ "\t", '[1][alpha][10];[2][beta][20];' ],
	tab_quoted => [ "\t", "[1][alpha\tbeta][tab inside];[2][gamma][ok];" ],
	tab_with_spaces => [ "\t", '[1][ alpha ][ 10];[2][ beta ][ 20];' ],
	trailing_blank_lines => [ ',', '[A][1];[B][2];' ],
	trailing_spaces_fields => [ ',', '[1][ 10 ];[2][20  ];' ],
	u8_prefix_header => [ ',', '[1];[2];' ],
	unterminated_quote => [ ',', qr/^22023: record 1 of the CSV file, which begins on line 2, has a quote that is never closed/ ],
	utf16le_bom => [ undef, $utf16 ],
	utf32be_bom => [ undef, $utf32 ],
	utf8_accented => [ ',', "[1][caf\xc3\xa9];[2][na\xc3\xafve];" ],
	utf8_bom => [ ',', '[1][10];[2][20];' ],
	utf8_bom_blank_lines => [ ',', '[1][10];[2][20];' ],
	utf8_bom_sep_pipe => [ undef, $lacks ],
	wide_row_extra_empty => [ ',', '', '2,1,,has 5 values, but there are 3 columns' ],
	wide_row_extra_non_empty => [ undef, $unusable ],
	windows_crlf => [ ',', '[A][1];[B][2];' ],
	windows_quotes_crlf => [ ',', '[1][line one];[2][line two];' ]);

SKIP:
{
	my $any = strm_shared_file('csv-torture/README.md') or skip 'there is no shared/data/csv-torture', 1 + keys %torture;
	my @files = glob($any =~ s/README\.md$/*.csv/r);
	is(join(' ', map { m{([^/]*)\.csv$} } @files), join(' ', sort keys %torture), 'the files of the torture set are those with an outcome here');
	for my $file (@files)
	{
		my ($name) = $file =~ m{([^/]*)\.csv$};
		my ($delimiter, $expected, $rejects) = @{ $torture{$name} };
		my $text = slurp_file($file);
		my ($header) = $text =~ /^(?:\xef\xbb\xbf)?\s*(.*)/;
		my $result = run_job(put("torture-$name.csv", defined $delimiter ? with_time($text, $delimiter) : $text), type => csv(delimiter => $delimiter // ','));
		if (ref $expected) { like($result->{error}, $expected, "torture set: $name"); next }
		my @columns = split /\Q$delimiter\E/, $header =~ s/\r//r;
		is($result->{error} . shown($result, @columns) . '|' . rejects($result), "$expected|" . ($rejects // ''), "torture set: $name");
	}
}

# --- encodings ---------------------------------------------------------------------------------------------------------

for my $case ([ 'ISO-8859-1', "caf\xe9", "caf\xc3\xa9" ], [ 'windows-1252', "\x80 caf\xe9", "\xe2\x82\xac caf\xc3\xa9" ], [ 'Shift_JIS', "\x83\x5c\x82\xcc", "\xe3\x82\xbd\xe3\x81\xae" ],
	[ 'GB18030', "\xd6\xd0\x81\x30\x84\x36", "\xe4\xb8\xad\xc2\xa5" ], [ 'GBK', "\x81\x5c\xd6\xd0", "\xe4\xb9\x97\xe4\xb8\xad" ], [ 'KOI8-R', "\xc1", "\xd0\xb0" ], [ 'UTF-8', "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" ])
{
	my ($charset, $bytes, $utf8) = @$case;
	my $result = run_job(put("encoding.csv", "at,id,value\n0,\"$bytes\",\"x\n\"\"$bytes\"\n0,b,last\n"), type => csv(charset => $charset));
	is($result->{error} . shown($result, qw(id value)), "[$utf8][x\n\"$utf8];[b][last];", "$charset is read");
}
for my $case ([ 'ISO-8859-1', "\xc3\xa9", "\xe9" ], [ 'windows-1252', "\xe2\x82\xac", "\x80" ], [ 'Shift_JIS', "\xe3\x82\xbd", "\x83\x5c" ], [ 'UTF-8', "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" ], [ 'EUC_JP', "\xe3\x82\xbd", "\xa5\xbd" ])
{
	my ($charset, $utf8, $bytes) = @$case;
	my $result = run_job(put("encoding.csv", "at,id,value\n0,a,$utf8\n"), target_type => csv(charset => $charset));
	like($result->{out} // $result->{error}, qr/^"0",(?:,|"a",|"\Q$bytes\E",)*"acme/m, "$charset is written");
}
my $result = run_job(put('encoding.csv', "at,id,value\n0,a,ok\n0,b,$secret\xe6\xbc\xa2\n"), target_type => csv(charset => 'ISO-8859-1'));
like($result->{error}, qr/^22P05: a value has a character that encoding "LATIN1" does not have/, 'a character that the encoding of a target lacks');
$result = run_job(put('encoding.csv', "at,id,value\n0,a,ok\n0,b,$secret\xff\n0,c,$secret\x00\n0,\"d\xc3\",\"\xed\xa0\x80\"\n0,e,\xc0\xaf\n0,f,ok\n"));
is(shown($result, qw(id value)) . rejects($result), "[a][ok];[f][ok];3,2,,is not valid UTF-8\n4,3,,has a NUL byte\n5,4,,is not valid UTF-8\n6,5,,is not valid UTF-8", 'bytes that are no UTF-8 are one reject each');
$result = run_job(put('encoding.csv', "at,id,value\n0,a,\x83\x5c\n0,b,$secret\xfd\xfd\n0,c,\x82\n0,d,ok\n"), type => csv(charset => 'Shift_JIS'));
is(shown($result, qw(id)) . rejects($result), "[a];[d];3,2,,is not valid SJIS\n4,3,,is not valid SJIS", 'bytes that are no Shift_JIS, too');
$result = run_job(put('encoding.csv', "at,id,value\n0,a,\x81\n"), type => csv(charset => 'windows-1252'));
is(rejects($result), '2,1,,is not valid WIN1252', 'a byte that windows-1252 does not have');
$result = run_job(put('encoding.csv', "\xef\xbb\xbfat,id\n0,a\n"), type => csv(charset => 'windows-1252'));
like($result->{error}, qr/^22023: the file begins with the byte order mark of UTF-8, but is to be read in encoding "WIN1252"/, 'a mark of UTF-8 in another encoding');
$result = run_job(put('encoding.csv', "a\0t\0,\0i\0d\0\n\0"));
like($result->{error}, qr/^22023: the header of the CSV file has a NUL byte/, 'UTF-16 without a mark');
$result = run_job('encoding.csv', type => csv(charset => 'UTF-16'));
like($result->{error}, qr/^22023: .*no conversion from charset "UTF-16"/s, 'UTF-16 is refused');
$result = run_job(put('encoding.csv', "\xef\xbb\xbf\"at\",\"id\"\n0,a\n"));
is(shown($result, 'id'), '[a];', 'a mark before a quoted name');

# values that cross the borders of all buffers
srand(7);
my @letters = ('"', '""', ',', "\r\n", "\n", ' ', 'a' .. 'z', '}', "\x83\x5c", "\x83\x5c", "\x82\xa0", "\x95\x5c", "\x83\x7d", "\xb1");
my @long = map { join '', map { $letters[ rand @letters ] } 1 .. rand 400 } 1 .. 8000;
put('long.csv', "at,id,value\n" . join '', map { '0,' . $_ % 10 . ',"' . ($long[$_] =~ s/"/""/gr) . "\"\n" } 0 .. $#long);
system("gzip -nf '$dir/long.csv'") == 0 or die;
$result = run_job('long.csv.gz', type => csv(charset => 'Shift_JIS'), target_type => csv(charset => 'Shift_JIS', delimiter => ';'), end => 'csv.gz');
is($result->{error} . rejects($result), '', 'two megabytes of Shift_JIS');
my $unpacked = `gzip -dc '$dir/out.csv.gz'`;
my @came = map { $_->{value} } @{ parsed($unpacked =~ tr/;/,/r) };
is(scalar(@came) . ' ' . (grep { $came[$_] ne $long[$_] } 0 .. $#came), '8000 0', 'come as they were');

# --- gzip --------------------------------------------------------------------------------------------------------------

sub gzip { my ($text) = @_; put('gzip.tmp', $text); my $data = `gzip -nc '$dir/gzip.tmp'`; unlink "$dir/gzip.tmp"; return $data }
my $plain = "at,id,value\n" . join '', map { "0,k$_,$_\n" } 1 .. 3000;
my $zipped = gzip($plain);
$result = run_job(put('in.csv.gz', $zipped), end => 'csv.gz');
is($result->{error}, '', 'gzip in and out');
my $unzipped = `gzip -dc '$dir/out.csv.gz'`;
is($? . (() = $unzipped =~ /^"0",/mg), '03000', 'what is written is gzip, too');
$result = run_job(put('in.csv.gz', gzip("at,id,value\n0,a,1\n") . gzip("0,b,2\n")));
is(shown($result, qw(id value)), '[a][1];[b][2];', 'two members are one file');
for my $case ([ 'cut off', substr($zipped, 0, -5), qr/^22023: the file cannot be decompressed: it is cut off/ ], [ 'cut off in the middle', substr($zipped, 0, length($zipped) / 2), qr/it is cut off/ ],
	[ 'cut off in its head', substr($zipped, 0, 5), qr/it is cut off/ ], [ 'damaged', substr($zipped, 0, 2000) . "\0\xff\0\xff" . substr($zipped, 2004), qr/^22023: .*it is damaged/ ],
	[ 'with a wrong checksum', substr($zipped, 0, -8) . "\0\0\0\0" . substr($zipped, -4), qr/^22023: .*it is damaged/ ], [ 'followed by something else', $zipped . 'x' x 20, qr/^22023: .*damaged/ ],
	[ 'not gzip', $plain, qr/^22023: .*it is not gzip, or damaged/ ], [ 'empty', '', qr/^22023: .*it is empty, which no gzip file is/ ])
{
	my ($what, $data, $expected) = @$case;
	$result = run_job(put('in.csv.gz', $data));
	like($result->{error}, $expected, "gzip that is $what");
}
$result = run_job(put('in.csv', $zipped));
like($result->{error}, qr/^22023: the file is compressed with gzip, but its name does not say so/, 'gzip under another name');

# --- headers -----------------------------------------------------------------------------------------------------------

$result = run_job(put('header.csv', "id,id,,value,value,value,\n"));
like($result->{error}, qr/^22023: .*not usable\nDETAIL:  (?=.*Column 3 has no name\.)(?=.*Column 7 has no name\.)(?=.*Column "id" occurs 2 times\.)(?=.*Column "value" occurs 3 times\.)/s,
	'all faults of a header are in one error');
$result = run_job(put('header.csv', "At,ID,s,value\n"), contract => 'acme/typed/1.0.0', at => 'when', consent => { consent_level_extractor => { field => 'agreed' } });
like($result->{error}, qr/^22023: the source of the batch job lacks columns that it needs: "id", "when", "agreed"\nDETAIL:  It has columns that the data contract does not know: "At", "ID", "value"\./,
	'all differences from the contract, too');
# a first line that is none: values are not told
$result = run_job(put('header.csv', "1,$secret,x\n2,$secret,y\n"));
like($result->{error}, qr/^22023: the source of the batch job lacks columns that it needs: "at"\nDETAIL:  It has no column at all that the data contract knows\./, 'a file without a header');
$result = run_job(put('header.csv', "1,$secret,$secret,,3\n"));
like($result->{error}, qr/^22023: .*not usable\nDETAIL:  (?=.*Column 4 has no name\.)(?=.*Columns 2 and 3 have the same name\.)/s, 'nor one with values that occur twice');
$result = run_job(put('header.csv', "at;id;$secret\n"));
like($result->{error}, qr/^22023: .*DETAIL:  It has no column at all/s, 'another delimiter');
$result = run_job(put('header.csv', ''));
like($result->{error}, $no_header, 'an empty file');
$result = run_job(put('header.csv', "\n \r\n\t\n"));
like($result->{error}, $no_header, 'empty lines');
$result = run_job(put('header.csv', 'value,id,at'));
is($result->{error} . (() = $result->{out} =~ /\r\n/g) . (() = $result->{enc} =~ /\r\n/g), '11', 'a header only: outputs with a header only');
$result = run_job(put('header.csv', "0,a\n0,b\n"), type => csv(header => JSON::PP::false), contract => 'acme/any/1.0.0');
is(rejects($result), "1,1,,has 2 values, but there are @{[ 1 + @names ]} columns\n2,2,,has 2 values, but there are @{[ 1 + @names ]} columns", 'without a header');
$result = run_job(put('header.csv', '"at,id,value' . "\n0,a,b\n"));
like($result->{error}, qr/^22023: the header of the CSV file has a quote that is never closed/, 'a header with a quote that is never closed');
my $many = join(',', 'at', 'id', map { "c$_" } 1 .. 9997) . ",value\n";
$result = run_job(put('header.csv', $many . ('0,a,' . 'x,' x 9997 . "y\n") x 3 . "0,b\n"));
is(shown($result, qw(id value)) . rejects($result), '[a][y];[a][y];[a][y];5,4,,has 2 values, but there are 10000 columns', '10,000 columns');
like($result->{notices}, qr/does not know are left out: "c1",.*"c20", and others$/m, 'of which some are told');
$result = run_job(put('header.csv', join(',', 'at', map { "c$_" } 1 .. 65536) . "\n"));
like($result->{error}, qr/^54000: the header of the CSV file has 65537 columns, more than 65536/, 'too many columns');

# --- rejects -----------------------------------------------------------------------------------------------------------

my $typed_head = "at,id,s,i,l,f,b,ss,ls,x\n";
put('bad.csv', $typed_head . "0,a,$secret,1,1,1,t,,,1\n0,b,$secret,$secret,$secret,$secret,$secret,$secret,\"[1,\"\"$secret\"\"]\",$secret\n0,c,\"two\nlines $secret\",,,,,,,\n"
	. "0,d,$secret\n0,e,\"$secret\"x,,,,,,,\n$secret,f,,,,,,,,\n,,,,,,,,,\n0,\"\",,\"\",\" 7 \",,,,,\n0,h,,,,,,,,,$secret\n0,i,,2147483648,9223372036854775808,1e400,,,,\n0,z,,,,,,,,\n");
$result = run_job('bad.csv', contract => 'acme/typed/1.0.0');
is($result->{rej}, join('', map { join(',', map { $_ eq '' ? '' : "\"$_\"" } @$_) . "\r\n" } [qw(line record field rule)],
	(map { [ 3, 2, $_->[0], "is not a valid $_->[1]" ] } [ 'i', 'INTEGER' ], [ 'l', 'LONG' ], [ 'f', 'FLOAT' ], [ 'b', 'BOOLEAN' ], [ 'ss', 'STRING' ], [ 'ls', 'LONG' ], [ 'x', 'INTEGER' ]),
	[ 6, 4, '', 'has 3 values, but there are 10 columns' ], [ 7, 5, '', 'has text after a closing quote' ], [ 8, 6, 'at', 'Invalid timestamp: could not be parsed at index 0' ], [ 9, 7, 'at', 'is the timestamp and must not be null' ],
	[ 10, 8, 'i', 'is not a valid INTEGER' ], [ 11, 9, '', 'has 11 values, but there are 10 columns' ], [ 12, 10, 'i', 'is not a valid INTEGER' ], [ 12, 10, 'l', 'is not a valid LONG' ],
	[ 12, 10, 'f', 'is not a valid FLOAT' ]), 'the rejects, byte for byte');
is(shown($result, 'id', 's'), "[a][$secret];[c][two\nlines $secret];[z][];", 'the others are there');
$result = run_job('bad.csv', contract => 'acme/typed/1.0.0', max_rejects => 0);
like($result->{error}, qr/^23514: the batch job rejected 1 of 2 records, and max_rejects allows 0\nDETAIL:  The first one is record 2 on line 3: field "i": is not a valid INTEGER; field "l": is not/, 'none is allowed');
$result = run_job('bad.csv', contract => 'acme/typed/1.0.0', max_rejects => 7);
like($result->{error}, qr/^23514: the batch job rejected 8 of 10 records, and max_rejects allows 7/, 'one less than there are');
$result = run_job('bad.csv', contract => 'acme/typed/1.0.0', max_rejects => 8);
is($result->{error}, '', 'as many as there are');

# a quote that is never closed takes records with it that nobody counts: never just one reject
put('open.csv', "at,id,value\n0,a,1\n0,b,\"$secret\n" . join '', map { "0,k$_,$secret\n" } 1 .. 1000);
$result = run_job('open.csv');
like($result->{error}, qr/^22023: record 2 of the CSV file, which begins on line 3, has a quote that is never closed, so that all the rest of the file is in it: 1001 lines/, 'a quote that is never closed');
$result = run_job(put('open.csv', "at,id,value\n0,a,1\n0,b,\""));
like($result->{error}, qr/^22023: record 2 of the CSV file, which begins on line 3, has a quote that is never closed/, 'the last byte is a quote');

# one that is closed by a later one takes them, too, but the reader finds its way again: how many lines there are is told
$result = run_job(put('open.csv', "at,id,value\n0,a,1\n0,b,\"$secret\n" . "0,k,$secret\n" x 10 . "0,c,\"2\"\n0,d,3\n0,e,\"x\n\",\n"));
is(shown($result, qw(id value)) . rejects($result), "[a][1];[d][3];3,2,,has text after a closing quote, and takes 12 lines\n16,4,,has 4 values, but there are 3 columns, and takes 2 lines", 'a quote that another one closes');

# --- timestamps --------------------------------------------------------------------------------------------------------

put('times.csv', "id,at\na,2024-02-30 10:00\nb,2024-13-01 10:00\nc,$secret\nd,2024-05-01 10:00 $secret\ne,\nf,\"\"\ng, 2024-05-01 10:00\nh,0000-01-01 00:00\n");
$result = run_job('times.csv', format => 'yyyy-MM-dd HH:mm');
is($result->{error} . rejects($result), join("\n", '3,2,at,Invalid timestamp', '4,3,at,Invalid timestamp: could not be parsed at index 0', '5,4,at,Invalid timestamp: could not be parsed at index 16',
	'6,5,at,is the timestamp and must not be null', '7,6,at,Invalid timestamp: could not be parsed at index 0', '8,7,at,Invalid timestamp: could not be parsed at index 0', '9,8,at,Invalid timestamp'), 'timestamps that are none, without their text');
$result = run_job('times.csv', format => 'yyyy-MM-dd HH:mm', max_rejects => 0);
like($result->{error}, qr/^23514: .*\nDETAIL:  The first one is record 2 on line 3: field "at": Invalid timestamp\./, 'the first one is told');
for my $format ('ISO_8601', 'EPOCH_SECONDS', 'EPOCH_MILLIS')
{
	$result = run_job(put('times.csv', join("\n", 'id,at', (map { "x,$_" } $secret, '2024-02-30', '1e5', '99999999999999999999', '-', '0x10', '1.5.5', "1 $secret"), '')), format => $format);
	is($result->{error} . (() = rejects($result) =~ /,at,Invalid timestamp/g), '8', "bad timestamps of format $format");
}

# --- places ------------------------------------------------------------------------------------------------------------

put('in.csv', "at,id,value\n0,a,1\n");
for my $path ('../x.csv', '/etc/passwd', 'a/../../x.csv', 'a//b.csv', './x.csv', 'x.csv/', 'x y.csv', "x\ny.csv", '%2e%2e/x.csv', '..\\x.csv', '~/../x', '')
{
	my @faults;
	for my $job ({ source_data => place($path) }, { encrypted_data => { target => place($path) } }, { rejects => { target => place($path) } }, { source_data => place('in.csv', undef, path_prefix => $path || '..') })
	{
		$result = run_job('in.csv', job => $job);
		push @faults, $result->{error} if $result->{error} !~ /^22023: the batch job is not valid/;
	}
	is("@faults", '', 'not a path: ' . $json->encode([$path]));
}
is(join(' ', glob("$root/*")), $dir, 'nothing is outside');
for my $target (qw(enc out rej))
{
	put('taken.csv', 'mine');
	my %job = (enc => { encrypted_data => { target => place('taken.csv') } }, out => { derived_data => [ { target => place('taken.csv'), consent_levels => [1] } ] }, rej => { rejects => { target => place('taken.csv') } });
	$result = run_job('in.csv', job => $job{$target});
	like($result->{error}, qr/^(?:42710|22023): .*taken\.csv.* exists/s, "$target: a target that exists is refused");
	is(get('taken.csv'), 'mine', 'and left as it is');
	($target eq 'out' ? $job{$target}{derived_data}[0] : (values %{ $job{$target} })[0])->{target}{overwrite} = JSON::PP::true;
	$result = run_job('in.csv', job => $job{$target});
	is($result->{error} . (get('taken.csv') eq 'mine'), '', 'unless it may be overwritten');
	put('taken.csv', 'mine');
	$result = run_job(put('open.csv', "at,id,value\n0,a,\"1\n"), job => $job{$target});
	is((length $result->{error} > 0) . get('taken.csv'), '1mine', 'a job that fails leaves it, too');
	unlink "$dir/taken.csv";
}

# --- null and empty, byte for byte -------------------------------------------------------------------------------------

sub links { my ($text, %seen) = @_; $text =~ s/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/$seen{$&} = 'L' . (1 + keys %seen) if !$seen{$&}; $seen{$&}/ge; return $text }
my $head = '"id","s","i","l","f","b","ss","ls","x","strmMeta.eventContractRef","strmMeta.nonce","strmMeta.timestamp","strmMeta.keyLink","strmMeta.billingId","strmMeta.consentLevels"';
put('nulls.csv', $typed_head . "0,,,,,,,,,\n0,\"\",\"\",,,,,\"[]\",\"[null]\",\n86399999,\" \",\"\"\"\",,,,,,,\n86400000,,,,,,,,,\n");
$result = run_job('nulls.csv', contract => 'acme/typed/1.0.0');
is(links($result->{out} // $result->{error}), join('', map { "$_\r\n" } $head, '"","",,,,,,,,"acme/typed/1.0.0","0","0","L1",,"[1]"', '"","",,,,,"[]","[null]",,"acme/typed/1.0.0","0","0","L1",,"[1]"',
	'" ","""",,,,,,,,"acme/typed/1.0.0","0","86399999","L2",,"[1]"', '"","",,,,,,,,"acme/typed/1.0.0","0","86400000","L3",,"[1]"'), 'null and empty in CSV');
$result = run_job('nulls.csv', contract => 'acme/typed/1.0.0', end => 'jsonl');
my @events = map { my $event = $json->decode($_); delete $event->{strmMeta}; $json->encode($event) } split /\n/, $result->{out};
is($events[1], '{"b":null,"f":null,"i":null,"id":"","l":null,"ls":[null],"s":"","ss":[],"x":null}', 'from CSV to JSON Lines');
put('nulls.jsonl', qq({"at":0,"id":"","s":null,"ss":[],"ls":null}\n{"at":0,"id":"a","s":"","i":null}\n));
$result = run_job('nulls.jsonl', type => jsonl(), contract => 'acme/typed/1.0.0');
is(links($result->{out} // $result->{error}), join('', map { "$_\r\n" } $head, '"",,,,,,"[]",,,"acme/typed/1.0.0","0","0","L1",,"[1]"', '"a","",,,,,,,,"acme/typed/1.0.0","0","0","L2",,"[1]"'), 'from JSON Lines to CSV');

# --- JSON Lines --------------------------------------------------------------------------------------------------------

my @good = ('{"id":"a","s":"\ud83d\ude00\u00e9\n\"\\\\\/\b\f\r\t\u2028","i":-2147483648,"l":9223372036854775807,"f":1e-5,"b":false,"ss":["x",null,"",",","]\""],"ls":[1,-0,9007199254740993]}',
	'{"id":"b","i":5.0,"l":5e0,"f":12345678901234567890,"b":true,"ss":[],"ls":[]}', '{"id":"c","i":-0,"l":0,"f":"NaN","other":{"deep":[{"id":1}]}}', '{"id":"d","f":"-Infinity","s":" "}', '{"s":null,"\u0069d":"e"}');
put('good.jsonl', join("\r\n", '', map { s/^\{/{"meta":{"at":0,"levels":[1],"at2":{}},/r } @good));
$result = run_job('good.jsonl', type => jsonl(), contract => 'acme/typed/1.0.0', end => 'jsonl', at => 'meta.at', consent => { consent_level_extractor => { field => 'meta.levels' } });
@events = map { s/^\{"strmMeta":\{"eventContractRef":"acme\/typed\/1\.0\.0","nonce":0,"timestamp":0,"keyLink":"[0-9a-f-]{36}","consentLevels":\[1\]\},/{/r } split /\n/, $result->{out} // $result->{error};
is_deeply(\@events, [ '{"id":"a","s":"' . "\xf0\x9f\x98\x80\xc3\xa9" . '\n\"\\\\/\b\f\r\t' . "\xe2\x80\xa8" . '","i":-2147483648,"l":9223372036854775807,"f":1e-05,"b":false,"ss":["x",null,"",",","]\""],"ls":[1,-0,9007199254740993],"x":null}',
	'{"id":"b","s":null,"i":5,"l":5,"f":1.2345678901234567e+19,"b":true,"ss":[],"ls":[],"x":null}', '{"id":"c","s":null,"i":0,"l":0,"f":"NaN","b":null,"ss":null,"ls":null,"x":null}',
	'{"id":"d","s":" ","i":null,"l":null,"f":"-Infinity","b":null,"ss":null,"ls":null,"x":null}', '{"id":"e","s":null,"i":null,"l":null,"f":null,"b":null,"ss":null,"ls":null,"x":null}' ], 'JSON Lines: types, nested members, CRLF, no end of the last line');
is(rejects($result), '', 'nothing is rejected');

my $deep = '[' x 1001 . ']' x 1001;
my @bad = ([ '"id":"b"', 'has member id twice' ], [ '"s":"' . $secret . '\u0000"', qr/u0000|NUL/ ], [ '"s":"' . $secret . '\ud800"', qr/surrogate/ ], [ '"s":"\udc00\ud800"', qr/surrogate/ ], [ '"i":"1"', 'i,is not a valid INTEGER' ],
	[ '"i":1.5', 'i,is not a valid INTEGER' ], [ '"i":2147483648', 'i,is not a valid INTEGER' ], [ '"i":true', 'i,is not a valid INTEGER' ], [ '"l":9223372036854775808', 'l,is not a valid LONG' ], [ '"l":1e400', 'l,is not a valid LONG' ],
	[ '"l":1' . '0' x 400, 'l,is not a valid LONG' ], [ '"f":1e400', 'f,is not a valid FLOAT' ], [ '"f":1' . '0' x 400, 'f,is not a valid FLOAT' ], [ '"f":"1"', 'f,is not a valid FLOAT' ], [ '"f":"nan"', 'f,is not a valid FLOAT' ], [ '"b":"true"', 'b,is not a valid BOOLEAN' ],
	[ '"b":1', 'b,is not a valid BOOLEAN' ], [ '"s":1', 's,is not a valid STRING' ], [ '"s":["x"]', 's,is not a valid STRING' ], [ '"s":{}', 's,is not a valid STRING' ], [ '"ss":"x"', 'ss,is not a valid STRING' ], [ '"ss":["x",1]', 'ss,is not a valid STRING' ],
	[ '"ss":[["x"]]', 'ss,is not a valid STRING' ], [ '"ls":["1"]', 'ls,is not a valid LONG' ], [ '"ls":{}', 'ls,is not a valid LONG' ], [ '"ls":[1,]', qr/at byte/ ], [ '"more":' . $deep, qr/more than 1,?000|deep/ ], [ '"i":01', qr/at byte/ ], [ '"i":+1', qr/at byte/ ], [ '"i":.5', qr/at byte/ ],
	[ '"f":NaN', qr/at byte/ ], [ '"s":"' . "\t" . '"', qr/at byte/ ], [ '"s":"\x"', qr/at byte/ ], [ "\"s\":'x'", qr/at byte/ ], [ '"s":"' . $secret, qr/at byte/ ], [ '"s"', qr/colon/ ], [ 's:1', qr/at byte/ ], [ '"i":1,', qr/at byte/ ], [ '"meta":5', qr/meta/ ], [ qq("s:"$secret","$secret":1), qr/at byte/ ], [ qq("$secret":1,), qr/at byte/ ], [ '"other":1,"s":5', 's,is not a valid STRING' ],
	[ '"s":"' . "\xff" . '"', 'is not valid UTF-8' ], [ '"i":1}{', qr/more after/ ], [ '"i":1}]', qr/more after/ ], [ '"i":1 /* */', qr/at byte/ ]);
put('bad.jsonl', join "\n", (map { '{"at":0,"id":"a",' . $_->[0] . '}' } @bad), '[{"at":0}]', '"x"', '5', 'null', $secret, "{\"at\":0,\"id\":\"\x00\"}", '{"at":0}', '{"at":null,"id":"a"}', '{"id":"a"}', '{"at":[0],"id":"a"}', '{"at":0,"id":"z"}');
$result = run_job('bad.jsonl', type => jsonl(), contract => 'acme/typed/1.0.0', consent => { default_consent_levels => [1], consent_level_extractor => { field => 'meta.levels' } });
my %rule;
push @{ $rule{ $_->[0] } }, $_->[1] for map { [/^\d+,(\d+),(.*)$/] } split /\n/, rejects($result);
my $n = 0;
for my $case (@bad, (map { [ $_, 'is not a JSON object' ] } qw([] "" 5 null text)), [ 'NUL', 'has a NUL byte' ], [ 'no key field', 'id,is required' ], [ 'no time', 'at,is the timestamp and must not be null' ], [ 'no time', 'at,is the timestamp and must not be null' ], [ 'an array', qr/^at,Invalid timestamp/ ])
{
	my ($what, $expected) = @$case;
	my $got = join '; ', map { s/^,//r } @{ $rule{ ++$n } // ['none'] };
	$what = substr $what, 0, 40;
	if (ref $expected) { like($got, $expected, "JSON: " . $json->encode([$what])) } else { is($got, $expected, "JSON: " . $json->encode([$what])) }
}
is(shown($result, 'id'), '[z];', 'the record behind them is read');
like($result->{notices}, qr/left out: "other"$/m, 'members that are not known are told, but not of what is no JSON');
$result = run_job(put('bom.jsonl', "\xef\xbb\xbf{\"at\":0,\"id\":\"a\"}\n\n  \n{\"at\":0,\"id\":\"b\"}"), type => jsonl(), contract => 'acme/typed/1.0.0');
is($result->{error} . shown($result, 'id'), '[a];[b];', 'JSON Lines with a mark and empty lines');
$result = run_job(put('empty.jsonl', ''), type => jsonl(), contract => 'acme/typed/1.0.0', end => 'jsonl');
is($result->{error} . $result->{out}, '', 'an empty file of JSON Lines has no records');

# --- naughty strings ---------------------------------------------------------------------------------------------------

SKIP:
{
	my $file = strm_shared_file('blns/blns.json') or skip 'there is no shared/data/blns', 4;
	my $strings = JSON::PP->new->utf8->decode(slurp_file($file));
	is(scalar @$strings, 515, '515 naughty strings');
	my @bytes = map { my $bytes = $_; utf8::encode($bytes); $bytes } @$strings;
	put('blns.csv', "at,id,value\r\n" . join '', map { '0,"' . ($_ =~ s/"/""/gr) . '","' . ($_ =~ s/"/""/gr) . "\"\r\n" } @bytes);
	put('blns.jsonl', join '', map { '{"at":"0","id":' . JSON::PP->new->utf8->allow_nonref->encode($_) . ',"value":' . JSON::PP->new->ascii->allow_nonref->encode($_) . "}\n" } @$strings);
	for my $source ('csv', 'jsonl')
	{
		$result = run_job("blns.$source", $source eq 'jsonl' ? (type => jsonl()) : ());
		is($result->{error} . shown($result, 'id', 'value'), join('', map { "[$_][$_];" } @bytes), "from $source to CSV");
		$result = run_job("blns.$source", $source eq 'jsonl' ? (type => jsonl()) : (), end => 'jsonl');
		is_deeply([ map { my $event = JSON::PP->new->utf8->decode($_); [ @$event{qw(id value)} ] } split /\n/, $result->{out} // '' ], [ map { [ $_, $_ ] } @$strings ], "from $source to JSON Lines");
	}
}

# --- huge files: memory of the worker ----------------------------------------------------------------------------------

# The process of the job that runs, found without a query: it may be short.
sub job_worker
{
	my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	for my $dir (glob '/proc/[0-9]*')
	{
		my ($command, $status) = map { my $in; open($in, '<', "$dir/$_") ? join('', <$in>) : '' } 'cmdline', 'status';
		return $dir =~ s{.*/}{}r if $command =~ /strm_privacy batch job/ && $status =~ /^PPid:\s+$postmaster$/m;
	}
	return 0;
}

# Runs a queued job; its state, error, rejected records, and the most memory that its process had, in MiB.
sub run_queued
{
	my ($source, %more) = @_;
	unlink map { "$dir/$_" } 'enc.csv', 'out.csv', 'rej.csv';
	my $id = value('SELECT strm.create_batch_job($job$' . $json->encode(configuration($source, %more)) . '$job$)');
	my ($over, $most) = ('f', 0);
	while ($over eq 'f')
	{
		my $pid = job_worker();
		while ($pid && open my $status, '<', "/proc/$pid/status")
		{
			my ($peak) = join('', <$status>) =~ /VmHWM:\s+(\d+)/ or last;
			$most = $peak if $peak > $most;
			usleep(2000);
		}
		$over = value("SELECT state IN ('FINISHED', 'ERROR') FROM strm.batch_job WHERE id = '$id'");
	}
	my $error = value("SELECT state || ' ' || coalesce((SELECT message FROM strm.batch_job_state WHERE job_id = j.id AND message IS NOT NULL LIMIT 1), '') FROM strm.batch_job AS j WHERE id = '$id'");
	return ($error, int($most / 1024));
}
sub sparse { my ($name, $head, $size, $tail) = @_; open my $out, '>:raw', "$dir/$name" or die $!; print $out $head; seek $out, length($head) + $size, 0; print $out $tail; close $out or die $!; return $name }

my $limit = 100;    # MiB: 64 and what any process of a server has
my $gib = 1024 * 1024 * 1024;
my ($ended, $memory);
my @figures;
sub bounded { my ($what) = @_; push @figures, "$what $memory"; cmp_ok($memory, '<', $limit, "memory: $what"); cmp_ok($memory, '>', 5, 'it was measured'); return }

($ended, $memory) = run_queued(sparse('huge.csv', "at,id,value\n0,a,1\n0,b,", $gib, "\n0,c,3\n"));
is($ended . shown({ out => get('out.csv'), enc => get('enc.csv') }, qw(id value)) . rejects({ rej => get('rej.csv') }), 'FINISHED [a][1];[c][3];3,2,,is longer than 8 MiB', 'one field of 1 GiB');
bounded('one field of 1 GiB');
($ended, $memory) = run_queued(sparse('huge.csv', "at,id,value\n0,a,1\n0,b,\"", $gib / 8, "\"\n0,c,3\n"), max_rejects => 0);
like($ended, qr/^ERROR .*rejected 1 of 2 records/, 'one quoted field');
($ended, $memory) = run_queued(sparse('huge.csv', "at,id,value\n0,a,1\n0,b,\"", $gib / 4, "\n0,c,3\n"));
like($ended, qr/^ERROR .*record 2 .* quote that is never closed/, 'and one that is never closed');
bounded('a quote that is never closed before 256 MiB');
($ended, $memory) = run_queued(sparse('huge.csv', 'at,id,', $gib / 8, "\n0,a,1\n"));
like($ended, qr/^ERROR the header of the CSV file is longer than 8 MiB/, 'a header of 128 MiB');
($ended, $memory) = run_queued(sparse('huge.jsonl', '{"at":"0","id":"a","value":"', $gib, "\"}\n{\"at\":\"0\",\"id\":\"b\"}\n"), type => jsonl());
is($ended . rejects({ rej => get('rej.csv') }), 'FINISHED 1,1,,is longer than 8 MiB', 'one line of 1 GiB of JSON Lines');
bounded('one line of 1 GiB of JSON Lines');
unlink "$dir/huge.csv", "$dir/huge.jsonl";

# 256 MiB in 256 kB
put('bomb.csv.gz', gzip("at,id,value\n0,a,") . gzip('x' x (16 * 1024 * 1024)) x 16 . gzip("\n0,b,x\n"));
($ended, $memory) = run_queued('bomb.csv.gz');
is($ended . rejects({ rej => get('rej.csv') }), 'FINISHED 2,1,,is longer than 8 MiB', 'a gzip bomb: one huge record');
bounded('a gzip bomb');

# records that are as long as may be, in other columns each
put('long.jsonl', join '', map { "{\"at\":0,\"id\":\"a\",\"v$_\":\"" . 'y' x (8 * 1024 * 1024 - 100) . "\"}\n" } 1 .. 12);
($ended, $memory) = run_queued('long.jsonl', type => jsonl(), contract => 'acme/wide/1.0.0', consent => {});
cmp_ok((-s "$dir/enc.csv") / (12 * 10 * 1024 * 1024), '>', 1, "records of 8 MiB $ended");
bounded('records of 8 MiB');
unlink "$dir/long.jsonl";
# arrays of as many elements as fit
put('array.jsonl', join '', map { '{"at":0,"id":"a","' . ($_ ? 'ss":[' . '"",' x 2500000 . '""' : 'ls":[' . '1,' x 4000000 . '1') . "]}\n" } 0 .. 1);
($ended, $memory) = run_queued('array.jsonl', type => jsonl(), contract => 'acme/typed/1.0.0');
bounded('arrays of millions of elements');
is($ended . rejects({ rej => get('rej.csv') }), "FINISHED 1,1,ls,has too many elements\n2,2,ss,has too many elements", 'arrays of millions of elements');
note('MiB: ' . join ', ', @figures);

# --- the end -----------------------------------------------------------------------------------------------------------

is(join("\n", @half), '', 'no job that failed left anything, or told a value');
is(value('SELECT count(*) FROM strm.batch_job_intent'), 0, 'no intent is left');
$node->stop;
my $log = slurp_file($node->logfile);
is(join(' ', $log =~ /PANIC|was terminated by signal|TRAP/g), '', 'no process crashed');
is(scalar(() = $log =~ /$secret/g), 0, 'no value is in the log');
is((() = glob("$dir/.*.tmp")) + 0, 0, 'no temporary file is left');
done_testing();
