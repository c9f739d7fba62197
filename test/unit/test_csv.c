/*
 * test_csv.c
 *	  The scanner of CSV: quotes, line ends, faults and what follows them, whatever pieces the data come in; csv-spectrum
 *	  and the torture set.
 *
 *	  Both sets are looked for in $STRM_SHARED/data. The outcomes of the torture set are ours: a comma or the delimiter
 *	  that is named, no other dialect.
 */
#include <glob.h>
#include <jansson.h>
#include <unistd.h>

#include "format/csv_scan.h"
#include "tap.h"

#define MAX_FIELDS 64
#define MAX_SIZE 65536

static StrmCsvField fields[MAX_FIELDS];
static char got[4 * MAX_SIZE];

/*
 * What is in data, read in pieces of chunk bytes: [x] a field, - a bare empty one, ; the end of a record, ?1 a fault.
 * Each piece is in memory of exactly its size, so that the sanitizer sees one byte too many.
 */
static const char *
scanned(const char *data, size_t size, size_t chunk, char delimiter, uint64_t *lines)
{
	StrmCsvScan scan;
	size_t		begin = 0;
	size_t		seen = 0;
	char	   *out = got;

	strm_csv_scan_init(&scan, delimiter);
	scan.fields = fields;
	scan.max_fields = MAX_FIELDS;
	*lines = 0;
	for (;;)
	{
		StrmCsvStatus status;
		char	   *record;

		strm_csv_scan_begin(&scan);
		do
		{
			seen = seen + chunk < size ? seen + chunk : size;
			record = malloc(seen - begin > 0 ? seen - begin : 1);
			memcpy(record, data + begin, seen - begin);
			status = strm_csv_scan(&scan, record, seen - begin, seen == size);
			if (status == STRM_CSV_PARTIAL)
				free(record);
		} while (status == STRM_CSV_PARTIAL);
		if (status == STRM_CSV_END)
		{
			free(record);
			break;
		}
		for (int i = 0; i < scan.nfields && i < MAX_FIELDS; i++)
		{
			char	   *text = record + fields[i].start;
			size_t		n = fields[i].doubled ? strm_csv_unquote(text, fields[i].size) : fields[i].size;

			if (n == 0 && !fields[i].quoted)
				*out++ = '-';
			else
				out += sprintf(out, "[%.*s]", (int) n, text);
		}
		if (scan.fault != STRM_CSV_SOUND)
			out += sprintf(out, "?%d", scan.fault);
		*out++ = ';';
		*lines += scan.lines;
		begin += scan.position;
		free(record);
	}
	*out = '\0';
	return got;
}

/* One test: is data read as expected, in pieces of any size? */
static void
reads(const char *data, size_t size, char delimiter, const char *expected, uint64_t expected_lines, const char *name)
{
	uint64_t	lines;

	for (size_t chunk = 1; chunk <= size + 1; chunk++)
		if (strcmp(scanned(data, size, chunk, delimiter, &lines), expected) != 0 || lines != expected_lines)
		{
			ok(false, "%s, in pieces of %zu", name, chunk);
			printf("# got      %s %llu lines\n# expected %s\n", got, (unsigned long long) lines, expected);
			return;
		}
	ok(true, "%s", name);
}

static const struct
{
	const char *csv;
	const char *expected;
	int			lines;
	const char *name;
}			cases[] = {
	{"", "", 0, "nothing"},
	{"a,b\r\n1,2\r\n", "[a][b];[1][2];", 2, "CRLF"},
	{"a,b\n1,2\n", "[a][b];[1][2];", 2, "LF"},
	{"a,b\r1,2\r", "[a][b];[1][2];", 2, "CR"},
	{"a,b\r\n1,2\n3,4\r5,6", "[a][b];[1][2];[3][4];[5][6];", 3, "line ends mixed, none at the end"},
	{"a\n\r\n\r\rb", "[a];-;-;-;[b];", 4, "empty lines"},
	{",\n\"\",\n,\"\"", "--;[]-;-[];", 2, "bare and quoted empty fields"},
	{"a,", "[a]-;", 0, "a delimiter at the end"},
	{" a ,\tb\t\n", "[ a ][\tb\t];", 1, "blanks are kept"},
	{"\"a,b\",\"c\r\nd\ne\rf\"\n1", "[a,b][c\r\nd\ne\rf];[1];", 4, "delimiters and line ends in quotes"},
	{"\"\"\"\",\"a\"\"b\"\"\",\"\"\"\"\"\"", "[\"][a\"b\"][\"\"];", 0, "doubled quotes"},
	{"\"a\"", "[a];", 0, "a quote at the end"},
	{"\"a\"\r", "[a];", 1, "a quote and CR at the end"},
	{"a\"b,c\"d\ne,f\n", "[a\"b][c\"d];[e][f];", 2, "quotes in a field that does not begin with one"},
	{" \"a\",b\n", "[ \"a\"][b];", 1, "a blank before a quote"},
	{"\"a\" ,b\nc", "[a\" ][b]?1;[c];", 1, "a blank after a quote"},
	{"\"a\"b\"c,d\"\ne", "[a\"b\"c][d\"]?1;[e];", 1, "quotes after a fault are ordinary"},
	{"a,\"b\nc,d\n", "[a][b\nc,d\n]?2;", 2, "a quote that is never closed"},
	{"a,\"", "[a][]?2;", 0, "a lone quote at the end"},
	{"a,\"b\"\"", "[a][b\"]?2;", 0, "a doubled quote at the end"},
	{"\xc3\xa9;\xff,\n", "[\xc3\xa9;\xff]-;", 1, "bytes above ASCII are ordinary"},
};

/* A record that is dropped while it is read leaves the ones around it. */
static void
skips(void)
{
	static const char data[] = "\"x\"\"y\r\nz\"b,c\"\r\n\"n\"\n";
	bool		good = true;

	for (size_t chunk = 1; chunk <= sizeof(data) && good; chunk++)
	{
		StrmCsvScan scan;
		size_t		begin = 0;
		size_t		seen = 0;
		size_t		end = sizeof(data) - 1;
		StrmCsvStatus status;

		strm_csv_scan_init(&scan, ',');
		scan.fields = fields;
		scan.max_fields = MAX_FIELDS;
		strm_csv_scan_begin(&scan);
		scan.skip = true;
		for (;;)
		{
			seen = seen + chunk < end ? seen + chunk : end;
			status = strm_csv_scan(&scan, data + begin, seen - begin, seen == end);
			if (status != STRM_CSV_PARTIAL)
				break;
			begin += scan.position;
			scan.position = 0;
		}
		good = status == STRM_CSV_RECORD && scan.nfields == 2 && scan.lines == 2 &&
			scan.fault == STRM_CSV_AFTER_QUOTE && strcmp(data + begin + scan.position, "\"n\"\n") == 0;
		begin += scan.position;
		memset(fields, 0xee, sizeof(fields));
		strm_csv_scan_begin(&scan);
		good = good && strm_csv_scan(&scan, data + begin, end - begin, true) == STRM_CSV_RECORD &&
			scan.nfields == 1 && fields[0].start == 1 && fields[0].size == 1;
	}
	ok(good, "a record that is dropped while it is read");
}

/* More fields than there is room for are counted. */
static void
counts(void)
{
	StrmCsvScan scan;

	strm_csv_scan_init(&scan, ',');
	scan.fields = fields;
	scan.max_fields = 2;
	memset(fields, 0xee, sizeof(fields));
	strm_csv_scan_begin(&scan);
	ok(strm_csv_scan(&scan, "a,b,c,d\n", 8, true) == STRM_CSV_RECORD && scan.nfields == 4 && fields[1].start == 2 &&
	   fields[2].start == 0xeeeeeeee, "fields beyond the room are only counted");
}

/* A file; NULL when there is none. */
static char *
slurp(const char *path, size_t *size)
{
	static char data[MAX_SIZE];
	FILE	   *file = fopen(path, "rb");

	if (file == NULL)
		return NULL;
	*size = fread(data, 1, sizeof(data), file);
	fclose(file);
	return data;
}

/* The JSON of csv-spectrum in the notation of scanned(), for fields that are not empty; "" is - as in the files. */
static void
expect_spectrum(const json_t *rows, char *out)
{
	const json_t *row;
	size_t		i;

	*out = '\0';
	json_array_foreach(rows, i, row)
	{
		const char *name;
		json_t	   *value;

		if (i == 0)
		{
			json_object_foreach((json_t *) row, name, value)
				out += sprintf(out, "[%s]", name);
			out += sprintf(out, ";");
		}
		json_object_foreach((json_t *) row, name, value)
			out += sprintf(out, json_string_length(value) > 0 ? "[%s]" : "-", json_string_value(value));
		out += sprintf(out, ";");
	}
}

static void
spectrum(const char *shared)
{
	static char expected[4 * MAX_SIZE];
	static char plain[4 * MAX_SIZE];
	char		path[1024];
	glob_t		found;

	snprintf(path, sizeof(path), "%s/data/csv-spectrum/csvs/*.csv", shared);
	if (glob(path, 0, NULL, &found) != 0)
	{
		ok(true, "csv-spectrum # SKIP no %s", path);
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
	{
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;
		size_t		size = 0;
		char	   *data = slurp(found.gl_pathv[i], &size);
		uint64_t	lines;
		json_t	   *rows;
		char	   *to = plain;

		snprintf(path, sizeof(path), "%s/data/csv-spectrum/json/%.*s.json", shared, (int) strlen(name) - 4, name);
		rows = json_load_file(path, 0, NULL);
		if (rows == NULL || data == NULL)
			bail_out(path);
		if (json_is_object(rows))
		{
			/* one field of location_coordinates.json is not that of the CSV */
			const char *place = json_string_value(json_object_get(rows, "Location Coordinates"));

			ok(strstr(scanned(data, size, 3, ',', &lines), place) != NULL, "csv-spectrum %s", name);
			json_decref(rows);
			continue;
		}
		expect_spectrum(rows, expected);
		json_decref(rows);
		/* JSON does not tell bare from quoted empty fields */
		for (const char *from = scanned(data, size, 3, ',', &lines); *from != '\0'; from++)
		{
			if (from[0] == '[' && from[1] == ']')
				from++, *to++ = '-';
			else
				*to++ = *from;
		}
		*to = '\0';
		if (!ok(strcmp(plain, expected) == 0, "csv-spectrum %s", name))
			printf("# got      %s\n# expected %s\n", plain, expected);
	}
	globfree(&found);
}

/* Our outcomes of the torture set: rows of blanks left out; ragged ones have another number of fields than the first. */
static const struct
{
	const char *name;
	char		delimiter;
	int			columns;
	int			good;
	int			ragged;
	int			faults;
}			torture_cases[] = {
	{"accounting_parentheses", ',', 2, 5, 0, 0},
	{"ambiguous_delimiter", ',', 2, 1, 0, 0},
	{"backslash_escape", ',', 2, 0, 1, 1},
	{"backslash_in_quoted_rfc", ',', 2, 2, 0, 0},
	{"basic_new", ',', 2, 2, 0, 0},
	{"basic_old", ',', 2, 2, 0, 0},
	{"blank_lines_before_header", ',', 2, 2, 0, 0},
	{"blank_only", ',', 0, 0, 0, 0},
	{"blank_records", ',', 2, 2, 0, 0},
	{"blank_records_between", ',', 2, 4, 0, 0},
	{"bom_no_trailing_newline", ',', 2, 2, 0, 0},
	{"caret_basic", '^', 2, 2, 0, 0},
	{"caret_delimiter", '^', 3, 2, 0, 0},
	{"caret_quoted", '^', 3, 2, 0, 0},
	{"control_byte_header", '\x01', 2, 2, 0, 0},
	{"crlf_line_endings", ',', 2, 2, 0, 0},
	{"currency_values", ',', 2, 3, 0, 0},
	{"delim_0x1f", '\x1f', 2, 2, 0, 0},
	{"duplicate_headers", ',', 2, 1, 0, 0},
	{"empty_fields", ',', 3, 3, 0, 0},
	{"empty_file", ',', 0, 0, 0, 0},
	{"empty_header_names", ',', 3, 1, 0, 0},
	{"empty_headers", ',', 4, 1, 0, 0},
	{"excel_quoted_commas", ',', 3, 3, 0, 0},
	{"extra_fields_empty", ',', 2, 0, 2, 0},
	{"extra_fields_non_empty", ',', 2, 1, 1, 0},
	{"extra_trailing_empty_fields", ',', 2, 0, 2, 0},
	{"extra_trailing_nonempty", ',', 2, 1, 1, 0},
	{"header_only", ',', 3, 0, 0, 0},
	{"header_with_spaces", ',', 2, 3, 0, 0},
	{"hex_prefix_header", ',', 2, 2, 0, 0},
	{"invalid_quote", ',', 2, 0, 0, 1},
	{"leading_blank_lines", ',', 2, 2, 0, 0},
	{"leading_tabs_header", ',', 2, 3, 0, 0},
	{"locale_decimal", ',', 2, 2, 0, 0},
	{"missing_tokens", ',', 3, 5, 0, 0},
	{"missingness_numeric_vs_missing", ',', 2, 4, 0, 0},
	{"mixed_line_endings", ',', 2, 2, 0, 0},
	{"mixed_types_numeric_text", ',', 2, 3, 0, 0},
	{"multiline_quoted", ',', 2, 3, 0, 0},
	{"no_trailing_newline", ',', 2, 2, 0, 0},
	{"non_ascii_header", ',', 3, 2, 0, 0},
	{"nul_in_8k", ',', 2, 0, 1, 0},
	{"numeric_thousands", ',', 2, 2, 0, 0},
	{"only_blank_lines", ',', 0, 0, 0, 0},
	{"only_header", ',', 3, 0, 0, 0},
	{"percent_values", ',', 2, 2, 0, 0},
	{"pipe_delimiter", '|', 3, 2, 0, 0},
	{"pipe_quoted", '|', 3, 2, 0, 0},
	{"pipe_with_spaces", '|', 3, 2, 0, 0},
	{"plus_sign_numbers", ',', 2, 3, 0, 0},
	{"quoted_empty_fields", ',', 3, 2, 0, 0},
	{"ragged_rows_long_empty", ',', 2, 0, 2, 0},
	{"ragged_rows_short", ',', 3, 1, 2, 0},
	{"rfc4180_quotes", ',', 2, 2, 0, 0},
	{"rfc_quote_escape", ',', 2, 0, 2, 0},
	{"scientific_notation", ',', 2, 2, 0, 0},
	{"semicolon_delimiter", ';', 3, 2, 0, 0},
	{"semicolon_quoted", ';', 3, 2, 0, 0},
	{"semicolon_with_spaces", ';', 3, 2, 0, 0},
	{"sep_caret", '^', 2, 3, 0, 0},
	{"sep_equal", '=', 3, 3, 0, 0},
	{"sep_equals", '=', 3, 3, 0, 0},
	{"sep_only", ',', 2, 0, 0, 0},
	{"sep_pipe", '|', 2, 0, 3, 0},
	{"sep_semicolon", ';', 2, 0, 3, 0},
	{"sep_tab", '\t', 2, 0, 3, 0},
	{"single_column", ',', 1, 1, 0, 0},
	{"tab_basic", '\t', 2, 2, 0, 0},
	{"tab_delimiter", '\t', 3, 2, 0, 0},
	{"tab_quoted", '\t', 3, 2, 0, 0},
	{"tab_with_spaces", '\t', 3, 2, 0, 0},
	{"trailing_blank_lines", ',', 2, 2, 0, 0},
	{"trailing_spaces_fields", ',', 2, 2, 0, 0},
	{"u8_prefix_header", ',', 2, 2, 0, 0},
	{"unterminated_quote", ',', 2, 0, 0, 1},
	{"utf8_accented", ',', 2, 2, 0, 0},
	{"utf8_bom", ',', 2, 2, 0, 0},
	{"utf8_bom_blank_lines", ',', 2, 2, 0, 0},
	{"utf8_bom_sep_pipe", '|', 2, 0, 2, 0},
	{"wide_row_extra_empty", ',', 2, 0, 1, 0},
	{"wide_row_extra_non_empty", ',', 2, 1, 1, 0},
	{"windows_crlf", ',', 2, 2, 0, 0},
	{"windows_quotes_crlf", ',', 2, 2, 0, 0},
};

static void
torture(const char *shared)
{
	char		path[1024];

	snprintf(path, sizeof(path), "%s/data/csv-torture", shared);
	if (access(path, R_OK) != 0)
	{
		ok(true, "torture set # SKIP no %s", path);
		return;
	}
	for (size_t i = 0; i < sizeof(torture_cases) / sizeof(torture_cases[0]); i++)
	{
		StrmCsvScan scan;
		int			columns = 0;
		int			counted[3] = {0, 0, 0};
		size_t		size = 0;
		size_t		begin = 0;
		char	   *data;

		snprintf(path, sizeof(path), "%s/data/csv-torture/%s.csv", shared, torture_cases[i].name);
		data = slurp(path, &size);
		if (data == NULL)
			bail_out(path);
		if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
			begin = 3;			/* the reader skips it */
		strm_csv_scan_init(&scan, torture_cases[i].delimiter);
		scan.fields = fields;
		scan.max_fields = MAX_FIELDS;
		for (;;)
		{
			strm_csv_scan_begin(&scan);
			if (strm_csv_scan(&scan, data + begin, size - begin, true) != STRM_CSV_RECORD)
				break;
			if (!strm_csv_scan_blank(&scan, data + begin) || columns == 1)
			{
				if (columns == 0)
					columns = scan.nfields;
				else
					counted[scan.fault != STRM_CSV_SOUND ? 2 : scan.nfields != columns]++;
			}
			begin += scan.position;
		}
		if (!ok(columns == torture_cases[i].columns && counted[0] == torture_cases[i].good &&
				counted[1] == torture_cases[i].ragged && counted[2] == torture_cases[i].faults,
				"torture %s", torture_cases[i].name))
			printf("# got %d columns, %d good, %d ragged, %d faults\n", columns, counted[0], counted[1], counted[2]);
	}
}

int
main(void)
{
	const char *shared = getenv("STRM_SHARED");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		reads(cases[i].csv, strlen(cases[i].csv), ',', cases[i].expected, (uint64_t) cases[i].lines, cases[i].name);
	reads("a|\"|\"|,\n", 8, '|', "[a][|][,];", 1, "another delimiter");
	skips();
	counts();
	spectrum(shared != NULL ? shared : "");
	torture(shared != NULL ? shared : "");
	return tap_done();
}
