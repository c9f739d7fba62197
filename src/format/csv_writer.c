/*
 * csv_writer.c
 *	  Records as CSV, the way STRM Privacy wrote them: CRLF, every value in quotes, NULL as nothing at all.
 */
#include "postgres.h"

#include "format/csv.h"
#include "format/output.h"
#include "strm_privacy.h"

typedef struct StrmCsvWriter
{
	StrmRecordWriter base;
	int			ncolumns;
	char		delimiter;
	StrmOutput	output;
} StrmCsvWriter;

/* Appends a value in quotes, those in it doubled. */
static inline void
strm_csv_writer_quoted(StrmOutput *output, const char *text, Size size)
{
	const char *quote;

	strm_output_char(output, '"');
	while (size > 0 && (quote = memchr(text, '"', size)) != NULL)
	{
		Size		run = quote + 1 - text;

		strm_output_append(output, text, run);
		strm_output_char(output, '"');
		text += run;
		size -= run;
	}
	strm_output_append(output, text, size);
	strm_output_char(output, '"');
}

static void
strm_csv_writer_write(StrmRecordWriter *base, const StrmRecordValue *values)
{
	StrmCsvWriter *self = (StrmCsvWriter *) base;
	StrmOutput *output = &self->output;

	for (int i = 0; i < self->ncolumns; i++)
	{
		if (i > 0)
			strm_output_char(output, self->delimiter);
		if (values[i].kind != STRM_RECORD_NULL)
			strm_csv_writer_quoted(output, values[i].text, values[i].size);
	}
	strm_output_append(output, "\r\n", 2);
	base->bytes = strm_output_bytes(output);
}

static void
strm_csv_writer_flush(StrmRecordWriter *base)
{
	strm_output_flush(&((StrmCsvWriter *) base)->output);
}

StrmRecordWriter *
strm_csv_writer(StrmByteSink *sink, const StrmRecordFormat *format, const StrmRecordColumn *columns, int ncolumns)
{
	StrmCsvWriter *self = palloc(sizeof(*self));

	memset(self, 0, offsetof(StrmCsvWriter, output.buffer));
	self->base.write = strm_csv_writer_write;
	self->base.flush = strm_csv_writer_flush;
	self->ncolumns = ncolumns;
	self->delimiter = format->delimiter != '\0' ? format->delimiter : ',';
	self->output.sink = sink;

	if (!format->no_header)
	{
		StrmRecordValue *names = palloc(ncolumns * sizeof(StrmRecordValue));

		for (int i = 0; i < ncolumns; i++)
		{
			names[i].kind = STRM_RECORD_TEXT;
			names[i].text = columns[i].name;
			names[i].size = strlen(columns[i].name);
		}
		strm_csv_writer_write(&self->base, names);
		pfree(names);
	}
	return &self->base;
}
