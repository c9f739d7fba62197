/*
 * record.c
 *	  Readers and writers of records: what lies between the bytes of a file and its format.
 *
 *	  Source, gzip, encoding, format, in this order; to a sink the other way round. Parsers see UTF-8 only.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "common/errors.h"
#include "format/csv.h"
#include "format/encoding.h"
#include "format/gzip.h"
#include "format/jsonl.h"
#include "strm_privacy.h"

/* Counts what a reader takes from its source. */
typedef struct StrmCountedSource
{
	StrmByteSource base;
	StrmByteSource *source;
	uint64		bytes;
	StrmRecordReader *reader;	/* NULL until it is made */
} StrmCountedSource;

/* A writer whose gzip stream ends with it, so that callers finish only their own sink. */
typedef struct StrmGzipWriter
{
	StrmRecordWriter base;
	StrmRecordWriter *writer;
	StrmByteSink *gzip;
} StrmGzipWriter;

static Size
strm_counted_read(StrmByteSource *base, char *buffer, Size size)
{
	StrmCountedSource *self = (StrmCountedSource *) base;
	Size		n = strm_bytes_read(self->source, buffer, size);

	self->bytes += n;
	if (self->reader != NULL)
		self->reader->bytes = self->bytes;
	return n;
}

static void
strm_counted_close(StrmByteSource *base)
{
	strm_bytes_close(((StrmCountedSource *) base)->source);
}

/* Is a file in another encoding than UTF-8? Refuses what is no encoding or no delimiter. */
static bool
strm_record_converts(const StrmRecordFormat *format)
{
	if (!PG_VALID_ENCODING(format->encoding))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("there is no encoding number %d", format->encoding));
	if (IS_HIGHBIT_SET(format->delimiter) || format->delimiter == '"' || format->delimiter == '\r' ||
		format->delimiter == '\n')
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the delimiter of a CSV file must be one ASCII character, and neither a quote nor a line end"));
	return format->encoding != PG_SQL_ASCII && format->encoding != PG_UTF8;
}

StrmRecordReader *
strm_record_reader(StrmByteSource *source, const StrmRecordFormat *format, const char *const *wanted, int nwanted)
{
	StrmCountedSource *counted = palloc0(sizeof(*counted));
	StrmByteSource *plain = &counted->base;
	bool		converts = strm_record_converts(format);

	counted->base.read = strm_counted_read;
	counted->base.close = strm_counted_close;
	counted->source = source;
	if (format->gzip)
		plain = strm_gzip_source(plain);
	if (converts)
		plain = strm_encoding_source(plain, format->encoding);

	switch (format->kind)
	{
		case STRM_RECORD_CSV:
			counted->reader = strm_csv_reader(plain, format, wanted, nwanted);
			break;
		case STRM_RECORD_JSONL:
			counted->reader = strm_jsonl_reader(plain, format, wanted, nwanted);
			break;
	}
	counted->reader->bytes = counted->bytes;
	return counted->reader;
}

static void
strm_gzip_writer_write(StrmRecordWriter *base, const StrmRecordValue *values)
{
	StrmGzipWriter *self = (StrmGzipWriter *) base;

	self->writer->write(self->writer, values);
	base->bytes = self->writer->bytes;
}

static void
strm_gzip_writer_flush(StrmRecordWriter *base)
{
	StrmGzipWriter *self = (StrmGzipWriter *) base;

	self->writer->flush(self->writer);
	strm_gzip_sink_end(self->gzip);
	base->bytes = self->writer->bytes;
}

/* Makes flush end the gzip stream. */
static StrmRecordWriter *
strm_gzip_writer(StrmRecordWriter *writer, StrmByteSink *gzip)
{
	StrmGzipWriter *self = palloc0(sizeof(*self));

	self->base.write = strm_gzip_writer_write;
	self->base.flush = strm_gzip_writer_flush;
	self->base.bytes = writer->bytes;
	self->writer = writer;
	self->gzip = gzip;
	return &self->base;
}

StrmRecordWriter *
strm_record_writer(StrmByteSink *sink, const StrmRecordFormat *format, const StrmRecordColumn *columns, int ncolumns)
{
	StrmByteSink *gzip = format->gzip ? strm_gzip_sink(sink) : NULL;
	StrmByteSink *plain = gzip != NULL ? gzip : sink;
	StrmRecordWriter *writer = NULL;

	if (strm_record_converts(format))
		plain = strm_encoding_sink(plain, format->encoding);
	switch (format->kind)
	{
		case STRM_RECORD_CSV:
			writer = strm_csv_writer(plain, format, columns, ncolumns);
			break;
		case STRM_RECORD_JSONL:
			writer = strm_jsonl_writer(plain, columns, ncolumns);
			break;
	}
	return gzip != NULL ? strm_gzip_writer(writer, gzip) : writer;
}
