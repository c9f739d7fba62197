/*
 * input.c
 *	  The buffer that readers find their records in.
 *
 *	  It starts small, doubles while a record does not fit, and is never larger than STRM_RECORD_LIMIT.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "format/encoding.h"
#include "format/input.h"
#include "format/record.h"
#include "strm_privacy.h"

#define INPUT_CAPACITY (128 * 1024)
#define HEAD_SIZE 4				/* the longest byte order mark */

static const char utf8_mark[] = {(char) 0xef, (char) 0xbb, (char) 0xbf};

/* Reads once, into the room behind the data. */
static void
strm_input_read(StrmInput *input)
{
	char	   *to = input->data + input->size;
	Size		n;

	CHECK_FOR_INTERRUPTS();
	n = strm_bytes_read(input->source, to, input->capacity - (Size) (to - input->buffer));
	if (n == 0)
		input->whole = true;
	input->size += n;
}

void
strm_input_init(StrmInput *input, StrmByteSource *source, int encoding)
{
	input->encoding = encoding == PG_SQL_ASCII || encoding == PG_UTF8 ? "UTF-8" : pg_encoding_to_char(encoding);
	input->source = source;
	input->capacity = INPUT_CAPACITY;
	input->buffer = palloc(input->capacity);
	input->data = input->buffer;
	input->size = 0;
	input->whole = false;

	while (input->size < HEAD_SIZE && !input->whole)
		strm_input_read(input);
	strm_encoding_check_head(input->data, input->size);
	if (input->size >= sizeof(utf8_mark) && memcmp(input->data, utf8_mark, sizeof(utf8_mark)) == 0)
		strm_input_drop(input, sizeof(utf8_mark));
}

bool
strm_input_more(StrmInput *input)
{
	if (input->size >= STRM_RECORD_LIMIT)
		return false;

	if (input->data != input->buffer)
	{
		memmove(input->buffer, input->data, input->size);
		input->data = input->buffer;
	}
	else if (input->size == input->capacity)
	{
		input->capacity = Min(input->capacity * 2, STRM_RECORD_LIMIT);
		input->buffer = repalloc(input->buffer, input->capacity);
		input->data = input->buffer;
	}
	strm_input_read(input);
	return true;
}

const char *
strm_input_fault(StrmInput *input, const char *text, Size size)
{
	Size		valid = pg_encoding_verifymbstr(PG_UTF8, text, (int) size);

	if (likely(valid == size))
		return NULL;
	if (text[valid] == '\0')
		return "has a NUL byte";
	snprintf(input->fault, sizeof(input->fault), "is not valid %s", input->encoding);
	return input->fault;
}
