/*
 * jsonl_writer.c
 *	  Records as JSON Lines: one compact object a line, ended by LF.
 *
 *	  A dot in a column's name makes an object: "strmMeta.nonce" is member nonce of object strmMeta. The columns of one
 *	  object are gathered where its first one is, those of strmMeta at the very beginning. All that lies between values
 *	  is the same in every line and made once.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "format/jsonl.h"
#include "format/output.h"
#include "strm_privacy.h"

#define META "strmMeta."

typedef struct StrmJsonlColumn
{
	int			column;			/* its value's position */
	char	   *label;			/* what precedes the value: {"strmMeta":{"nonce": */
	Size		label_size;
} StrmJsonlColumn;

typedef struct StrmJsonlWriter
{
	StrmRecordWriter base;
	int			ncolumns;
	StrmJsonlColumn *columns;	/* in the order they are written */
	char	   *tail;			/* what ends a line */
	Size		tail_size;
	StrmOutput	output;
} StrmJsonlWriter;

/* How a byte is written inside a string: as it is (0), as \u00xx ('u'), or as a backslash and this letter */
static const char escapes[256] = {
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
	['"'] = '"',
	['\\'] = '\\',
};

/* Appends text as a JSON string. */
static void
strm_jsonl_string(StrmOutput *output, const char *text, Size size)
{
	const char *end = text + size;

	strm_output_char(output, '"');
	for (;;)
	{
		const char *run = text;
		char		escape;

		while (text < end && escapes[(unsigned char) *text] == '\0')
			text++;
		strm_output_append(output, run, text - run);
		if (text == end)
			break;
		escape = escapes[(unsigned char) *text];
		strm_output_char(output, '\\');
		strm_output_char(output, escape);
		if (escape == 'u')
		{
			char		digits[5];

			snprintf(digits, sizeof(digits), "%04x", (unsigned char) *text);
			strm_output_append(output, digits, 4);
		}
		text++;
	}
	strm_output_char(output, '"');
}

/* Appends JSON as it is, but in one line: line ends in it stand between tokens, where blanks may, too. */
static void
strm_jsonl_json(StrmOutput *output, const char *text, Size size)
{
	const char *end;

	while (size > 0 && (end = memchr(text, '\n', size)) != NULL)
	{
		Size		run = end - text;

		strm_output_append(output, text, run);
		strm_output_char(output, ' ');
		text += run + 1;
		size -= run + 1;
	}
	strm_output_append(output, text, size);
}

static void
strm_jsonl_writer_write(StrmRecordWriter *base, const StrmRecordValue *values)
{
	StrmJsonlWriter *self = (StrmJsonlWriter *) base;
	StrmOutput *output = &self->output;

	for (int i = 0; i < self->ncolumns; i++)
	{
		const StrmJsonlColumn *column = &self->columns[i];
		const StrmRecordValue *value = &values[column->column];

		strm_output_append(output, column->label, column->label_size);
		switch (value->kind)
		{
			case STRM_RECORD_NULL:
				strm_output_append(output, "null", 4);
				break;
			case STRM_RECORD_TEXT:
				strm_jsonl_string(output, value->text, value->size);
				break;
			case STRM_RECORD_NUMBER:
			case STRM_RECORD_BOOLEAN:
				strm_output_append(output, value->text, value->size);
				break;
			case STRM_RECORD_JSON:
				strm_jsonl_json(output, value->text, value->size);
				break;
		}
	}
	strm_output_append(output, self->tail, self->tail_size);
	base->bytes = strm_output_bytes(output);
}

static void
strm_jsonl_writer_flush(StrmRecordWriter *base)
{
	strm_output_flush(&((StrmJsonlWriter *) base)->output);
}

/* Appends size bytes of a name as a JSON string. */
static void
strm_jsonl_name(StringInfo out, const char *name, Size size)
{
	appendStringInfoChar(out, '"');
	for (Size i = 0; i < size; i++)
	{
		char		escape = escapes[(unsigned char) name[i]];

		if (escape == 'u')
			appendStringInfo(out, "\\u%04x", (unsigned char) name[i]);
		else if (escape != '\0')
			appendStringInfo(out, "\\%c", escape);
		else
			appendStringInfoChar(out, name[i]);
	}
	appendStringInfoChar(out, '"');
}

/* How long is what both names have in common, up to and with a dot? The objects that both are in. */
static Size
strm_jsonl_common(const char *a, const char *b)
{
	Size		common = 0;

	for (Size i = 0; a[i] != '\0' && a[i] == b[i]; i++)
		if (a[i] == '.')
			common = i + 1;
	return common;
}

/*
 * Puts the columns of one object next to one another, at the place of the first; order[from ..] is what is left to be
 * ordered, all of it in the same objects of depth bytes of name.
 */
static void
strm_jsonl_gather(const StrmRecordColumn *columns, int *order, int from, int to, Size depth)
{
	while (from < to)
	{
		const char *name = columns[order[from]].name;
		const char *dot = strchr(name + depth, '.');
		Size		size = dot != NULL ? dot + 1 - name : 0;
		int			next = from + 1;

		for (int i = next; dot != NULL && i < to; i++)
		{
			int			column = order[i];

			if (strncmp(columns[column].name, name, size) != 0)
				continue;
			memmove(order + next + 1, order + next, (i - next) * sizeof(int));
			order[next++] = column;
		}
		if (dot != NULL)
			strm_jsonl_gather(columns, order, from, next, size);
		from = next;
	}
}

/* The labels of columns, which are in order. */
static void
strm_jsonl_labels(StrmJsonlWriter *self, const StrmRecordColumn *columns)
{
	const char *last = "";
	StringInfoData label;

	for (int i = 0; i <= self->ncolumns; i++)
	{
		const char *name = i < self->ncolumns ? columns[self->columns[i].column].name : "";
		Size		common = strm_jsonl_common(last, name);
		const char *dot;

		initStringInfo(&label);
		if (i == 0)
			appendStringInfoChar(&label, '{');
		for (last += common; (last = strchr(last, '.')) != NULL; last++)
			appendStringInfoChar(&label, '}');
		if (i == self->ncolumns)
			break;
		if (i > 0)
			appendStringInfoChar(&label, ',');
		last = name;
		for (name += common; (dot = strchr(name, '.')) != NULL; name = dot + 1)
		{
			strm_jsonl_name(&label, name, dot - name);
			appendStringInfoString(&label, ":{");
		}
		strm_jsonl_name(&label, name, strlen(name));
		appendStringInfoChar(&label, ':');
		self->columns[i].label = label.data;
		self->columns[i].label_size = label.len;
	}
	appendStringInfoString(&label, "}\n");
	self->tail = label.data;
	self->tail_size = label.len;
}

StrmRecordWriter *
strm_jsonl_writer(StrmByteSink *sink, const StrmRecordColumn *columns, int ncolumns)
{
	StrmJsonlWriter *self = palloc(sizeof(*self));
	int		   *order = palloc(ncolumns * sizeof(int));
	int			n = 0;

	memset(self, 0, offsetof(StrmJsonlWriter, output.buffer));
	self->base.write = strm_jsonl_writer_write;
	self->base.flush = strm_jsonl_writer_flush;
	self->ncolumns = ncolumns;
	self->columns = palloc(ncolumns * sizeof(StrmJsonlColumn));
	self->output.sink = sink;

	for (int i = 0; i < ncolumns; i++)
		if (strncmp(columns[i].name, META, strlen(META)) == 0)
			order[n++] = i;
	for (int i = 0; i < ncolumns; i++)
		if (strncmp(columns[i].name, META, strlen(META)) != 0)
			order[n++] = i;
	strm_jsonl_gather(columns, order, 0, ncolumns, 0);
	for (int i = 0; i < ncolumns; i++)
		self->columns[i].column = order[i];
	pfree(order);
	strm_jsonl_labels(self, columns);
	return &self->base;
}
