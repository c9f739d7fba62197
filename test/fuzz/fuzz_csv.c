/*
 * fuzz_csv.c
 *	  Arbitrary bytes as CSV, whole and in pieces.
 *
 *	  The records are the same in whatever pieces the data come, and when a record is dropped while it is read; all
 *	  bytes belong to a record; records without a fault, written with every field in quotes, are read as they were.
 */
#include "format/csv_scan.h"
#include "fuzz.h"

#define MAX_FIELDS 32

static StrmCsvField fields[MAX_FIELDS];
static StrmCsvField again[MAX_FIELDS];

/* One record at data, in pieces of chunk bytes; what strm_csv_scan() says at last. */
static StrmCsvStatus
scan_record(StrmCsvScan *scan, const char *data, size_t size, size_t chunk, bool skip)
{
	size_t		begin = 0;
	size_t		seen = 0;
	StrmCsvStatus status;

	strm_csv_scan_begin(scan);
	scan->skip = skip;
	do
	{
		char	   *piece;

		FUZZ_CHECK(begin + scan->position <= seen);
		if (skip)
		{
			begin += scan->position;
			scan->position = 0;
		}
		seen = size - seen < chunk ? size : seen + chunk;
		piece = fuzz_alloc(seen - begin);
		memcpy(piece, data + begin, seen - begin);
		status = strm_csv_scan(scan, piece, seen - begin, seen == size);
		free(piece);
		FUZZ_CHECK(status != STRM_CSV_PARTIAL || seen < size);
	} while (status == STRM_CSV_PARTIAL);
	scan->position += begin;
	return status;
}

/* The record at data, written with every field in quotes, is read as it was. */
static void
round_trip(const StrmCsvScan *scan, const char *data, char delimiter)
{
	char	   *text = fuzz_alloc(2 * scan->position + 3 * MAX_FIELDS + 1);
	char	   *to = text;
	StrmCsvScan other;

	for (int i = 0; i < scan->nfields; i++)
	{
		char	   *field = fuzz_alloc(fields[i].size);
		size_t		size = fields[i].size;

		memcpy(field, data + fields[i].start, size);
		if (fields[i].doubled)
			size = strm_csv_unquote(field, size);
		FUZZ_CHECK(fields[i].doubled == (size < fields[i].size));
		if (i > 0)
			*to++ = delimiter;
		*to++ = '"';
		for (size_t k = 0; k < size; k++)
		{
			if (field[k] == '"')
				*to++ = '"';
			*to++ = field[k];
		}
		*to++ = '"';
		free(field);
	}
	*to++ = '\n';

	strm_csv_scan_init(&other, delimiter);
	other.fields = again;
	other.max_fields = MAX_FIELDS;
	strm_csv_scan_begin(&other);
	FUZZ_CHECK(strm_csv_scan(&other, text, (size_t) (to - text), true) == STRM_CSV_RECORD);
	FUZZ_CHECK(other.fault == STRM_CSV_SOUND && other.position == (size_t) (to - text) && other.nfields == scan->nfields);
	for (int i = 0; i < scan->nfields; i++)
	{
		FUZZ_CHECK(again[i].quoted);
		if (fields[i].quoted)
			FUZZ_CHECK(again[i].size == fields[i].size &&
					   memcmp(text + again[i].start, data + fields[i].start, fields[i].size) == 0);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data + 1;
	char		delimiter;
	size_t		chunk;
	StrmCsvScan whole;
	StrmCsvScan pieces;

	if (size == 0)
		return 0;
	delimiter = (data[0] & 0x80) != 0 ? ';' : ',';
	chunk = (size_t) (data[0] & 0x0f) + 1;
	size--;
	strm_csv_scan_init(&whole, delimiter);
	strm_csv_scan_init(&pieces, delimiter);
	whole.fields = fields;
	pieces.fields = again;
	whole.max_fields = pieces.max_fields = MAX_FIELDS;

	for (;;)
	{
		StrmCsvStatus status = scan_record(&whole, text, size, size + 1, false);

		for (int skip = 0; skip < 2; skip++)
		{
			memset(again, 0, sizeof(again));
			FUZZ_CHECK(scan_record(&pieces, text, size, chunk, skip == 1) == status);
			FUZZ_CHECK(whole.nfields == pieces.nfields && whole.fault == pieces.fault && whole.lines == pieces.lines);
			FUZZ_CHECK(whole.position == pieces.position);
			for (int i = 0; skip == 0 && i < whole.nfields && i < MAX_FIELDS; i++)
				FUZZ_CHECK(fields[i].start == again[i].start && fields[i].size == again[i].size &&
						   fields[i].quoted == again[i].quoted && fields[i].doubled == again[i].doubled);
		}
		if (status == STRM_CSV_END)
			break;
		FUZZ_CHECK(whole.position > 0 && whole.position <= size);
		if (whole.fault == STRM_CSV_SOUND && whole.nfields <= MAX_FIELDS)
			round_trip(&whole, text, delimiter);
		text += whole.position;
		size -= whole.position;
	}
	FUZZ_CHECK(size == 0);
	return 0;
}
