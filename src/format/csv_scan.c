/*
 * csv_scan.c
 *	  The scanner of CSV: one pass, one look at each byte, no copy.
 *
 *	  It can stop at any byte and go on with more data. A quote inside quotes and a CR are left unread until the byte
 *	  after them is known, so the state is one of four and nothing looks back. In a field that does not begin with a
 *	  quote quotes are ordinary characters. Text after a closing quote is a fault; the rest of the field is then read as
 *	  if it had not begun with one, so the records after a bad one are found.
 */
#include <string.h>

#include "format/csv_scan.h"

/* What a byte ends, bits of stops[] */
#define STOP_PLAIN 1
#define STOP_QUOTED 2

enum
{
	AT_FIELD,					/* before a field's first byte */
	IN_PLAIN,					/* in a field without quotes */
	IN_QUOTES,					/* after the opening quote */
	AFTER_QUOTES				/* right after the closing quote */
};

void
strm_csv_scan_init(StrmCsvScan *scan, char delimiter)
{
	memset(scan, 0, sizeof(*scan));
	scan->delimiter = delimiter;
	scan->stops[(unsigned char) delimiter] = STOP_PLAIN;
	scan->stops['"'] = STOP_QUOTED;
	scan->stops['\n'] = STOP_PLAIN | STOP_QUOTED;
	scan->stops['\r'] = STOP_PLAIN | STOP_QUOTED;
}

void
strm_csv_scan_begin(StrmCsvScan *scan)
{
	scan->skip = false;
	scan->nfields = 0;
	scan->fault = STRM_CSV_SOUND;
	scan->lines = 0;
	scan->position = 0;
	scan->state = AT_FIELD;
}

/* Notes a field that ends at end. */
static inline void
strm_csv_add(StrmCsvScan *scan, size_t end, bool quoted)
{
	if (scan->nfields < scan->max_fields && !scan->skip)
	{
		StrmCsvField *field = &scan->fields[scan->nfields];

		field->start = (uint32_t) scan->field;
		field->size = (uint32_t) (end - scan->field);
		field->quoted = quoted;
		field->doubled = quoted && scan->doubled;
	}
	scan->nfields++;
}

/* Notes a fault, unless there is one already. */
static inline void
strm_csv_fault(StrmCsvScan *scan, StrmCsvFault fault)
{
	if (scan->fault == STRM_CSV_SOUND)
		scan->fault = fault;
}

/* The size of the line end at p; 0 when it takes another byte to tell. */
static inline size_t
strm_csv_line_end(const char *p, const char *end, bool whole)
{
	if (*p == '\n')
		return 1;
	if (p + 1 == end)
		return whole ? 1 : 0;
	return p[1] == '\n' ? 2 : 1;
}

/*
 * Reads inside quotes from p on. Where it stopped: after the closing quote (then the state is AFTER_QUOTES), at the
 * end, or at a byte whose meaning depends on the next one.
 */
static const char *
strm_csv_scan_quoted(StrmCsvScan *scan, const char *p, const char *end, bool whole)
{
	const unsigned char *stops = scan->stops;

	for (;;)
	{
		while (p < end && (stops[(unsigned char) *p] & STOP_QUOTED) == 0)
			p++;
		if (p == end)
			return p;
		if (*p != '"')
		{
			size_t		size = strm_csv_line_end(p, end, whole);

			if (size == 0)
				return p;
			scan->lines++;
			p += size;
		}
		else if (p + 1 == end && !whole)
			return p;
		else if (p + 1 < end && p[1] == '"')
		{
			scan->doubled = true;
			p += 2;
		}
		else
		{
			scan->state = AFTER_QUOTES;
			return p + 1;
		}
	}
}

/* A record that ends at the end of the data; p is there. */
static StrmCsvStatus
strm_csv_scan_end(StrmCsvScan *scan, size_t size)
{
	switch (scan->state)
	{
		case AT_FIELD:
			if (scan->nfields == 0)
				return STRM_CSV_END;
			scan->field = size;
			strm_csv_add(scan, size, false);
			break;
		case IN_PLAIN:
			strm_csv_add(scan, size, false);
			break;
		case IN_QUOTES:
			strm_csv_fault(scan, STRM_CSV_UNTERMINATED);
			strm_csv_add(scan, size, true);
			break;
		case AFTER_QUOTES:
			strm_csv_add(scan, size - 1, true);
			break;
	}
	return STRM_CSV_RECORD;
}

/* The begin of a field at p, which is before the end: what follows its opening quote, if there is one. */
static inline const char *
strm_csv_scan_field(StrmCsvScan *scan, const char *data, const char *p)
{
	scan->doubled = false;
	if (*p == '"')
	{
		scan->state = IN_QUOTES;
		p++;
	}
	else
		scan->state = IN_PLAIN;
	scan->field = (size_t) (p - data);
	return p;
}

StrmCsvStatus
strm_csv_scan(StrmCsvScan *scan, const char *data, size_t size, bool whole)
{
	const unsigned char *stops = scan->stops;
	const char *p = data + scan->position;
	const char *end = data + size;

	for (;;)
	{
		size_t		line_end;
		bool		quoted;

		if (scan->state == AT_FIELD && p < end)
			p = strm_csv_scan_field(scan, data, p);
		if (scan->state == IN_QUOTES)
			p = strm_csv_scan_quoted(scan, p, end, whole);
		else if (scan->state == IN_PLAIN)
		{
			while (p < end && (stops[(unsigned char) *p] & STOP_PLAIN) == 0)
				p++;
		}
		if (p == end || scan->state == IN_QUOTES)
			break;

		quoted = scan->state == AFTER_QUOTES;
		if (*p == scan->delimiter)
		{
			strm_csv_add(scan, (size_t) (p - data) - quoted, quoted);
			scan->state = AT_FIELD;
			p++;
		}
		else if (*p == '\n' || *p == '\r')
		{
			line_end = strm_csv_line_end(p, end, whole);
			if (line_end == 0)
				break;
			strm_csv_add(scan, (size_t) (p - data) - quoted, quoted);
			scan->lines++;
			scan->position = (size_t) (p - data) + line_end;
			return STRM_CSV_RECORD;
		}
		else
		{
			strm_csv_fault(scan, STRM_CSV_AFTER_QUOTE);
			scan->state = IN_PLAIN;
			p++;
		}
	}

	scan->position = (size_t) (p - data);
	return whole ? strm_csv_scan_end(scan, size) : STRM_CSV_PARTIAL;
}

bool
strm_csv_scan_blank(const StrmCsvScan *scan, const char *data)
{
	const StrmCsvField *field = scan->fields;

	if (scan->nfields != 1 || scan->skip || field->quoted)
		return false;
	for (uint32_t i = 0; i < field->size; i++)
		if (data[field->start + i] != ' ' && data[field->start + i] != '\t')
			return false;
	return true;
}

size_t
strm_csv_unquote(char *text, size_t size)
{
	char	   *end = text + size;
	char	   *to = text;
	char	   *quote;

	while (text < end && (quote = memchr(text, '"', (size_t) (end - text))) != NULL)
	{
		size_t		run = (size_t) (quote + 1 - text);

		if (to != text)
			memmove(to, text, run);
		to += run;
		text = quote + 2;
	}
	if (text < end)
	{
		memmove(to, text, (size_t) (end - text));
		to += end - text;
	}
	size -= (size_t) (end - to);
	return size;
}
