/*
 * encoding.c
 *	  Conversion between UTF-8 and a file's encoding.
 *
 *	  Everything is converted before it is parsed, so that parsers know UTF-8 only: in client-only encodings (SJIS,
 *	  BIG5, GBK, UHC, GB18030, JOHAB) ASCII bytes occur inside characters. The server's conversion functions are looked
 *	  up once; they are C functions that use no catalog, so they can be called in any transaction, and outside one.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"

#include "common/errors.h"
#include "format/encoding.h"
#include "strm_privacy.h"

#define CHUNK (16 * 1024)
#define NO_CHARACTER ((char) 0xff)	/* occurs nowhere in UTF-8 */

typedef struct StrmConversion
{
	FmgrInfo	function;
	int			from;
	int			to;
} StrmConversion;

typedef struct StrmEncodingSource
{
	StrmByteSource base;
	StrmByteSource *source;
	StrmConversion conversion;
	bool		whole;			/* the source has no more */
	bool		begun;			/* its head was checked */
	Size		raw_size;
	Size		text_begin;		/* of what was not yet given away */
	Size		text_end;
	char		raw[CHUNK];
	char		text[CHUNK * MAX_CONVERSION_GROWTH + 1];
} StrmEncodingSource;

typedef struct StrmEncodingSink
{
	StrmByteSink base;
	StrmByteSink *sink;
	StrmConversion conversion;
	char		text[CHUNK * MAX_CONVERSION_GROWTH + 1];
} StrmEncodingSink;

static const struct
{
	const char *name;
	const char *bytes;
	Size		size;
}			foreign_heads[] = {
	{"UTF-32", "\x00\x00\xfe\xff", 4},
	{"UTF-32", "\xff\xfe\x00\x00", 4},
	{"UTF-16", "\xfe\xff", 2},
	{"UTF-16", "\xff\xfe", 2},
};

void
strm_encoding_check_head(const char *data, Size size)
{
	for (int i = 0; i < lengthof(foreign_heads); i++)
		if (size >= foreign_heads[i].size && memcmp(data, foreign_heads[i].bytes, foreign_heads[i].size) == 0)
			ereport(ERROR,
					errcode(STRM_ERR_ARGUMENT),
					errmsg("the file is in %s, which PostgreSQL has no conversion from", foreign_heads[i].name),
					errhint("Save it in UTF-8."));
	if (size >= 2 && memcmp(data, "\x1f\x8b", 2) == 0)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the file is compressed with gzip, but its name does not say so"),
				errhint("Let its name end in \".gz\"."));
}

/* Looks a conversion up. */
static void
strm_conversion_init(StrmConversion *conversion, int from, int to)
{
	Oid			function = FindDefaultConversionProc(from, to);

	if (!OidIsValid(function))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("there is no conversion from encoding \"%s\" to \"%s\"",
					   pg_encoding_to_char(from), pg_encoding_to_char(to)));
	fmgr_info_cxt(function, &conversion->function, CurrentMemoryContext);
	conversion->from = from;
	conversion->to = to;
}

/*
 * Converts up to size bytes, not more than CHUNK, into text, NUL-terminated; how many of them: it stops at what has no
 * counterpart, at NUL, and at a character that is cut off.
 */
static Size
strm_conversion_run(StrmConversion *conversion, const char *data, Size size, char *text)
{
	text[0] = '\0';
	return DatumGetInt32(FunctionCall6(&conversion->function,
									   Int32GetDatum(conversion->from), Int32GetDatum(conversion->to),
									   CStringGetDatum(data), CStringGetDatum(text),
									   Int32GetDatum((int32) size), BoolGetDatum(true)));
}

/* Checks the first bytes of a file that is not in UTF-8. */
static void
strm_encoding_source_head(const StrmEncodingSource *self)
{
	strm_encoding_check_head(self->raw, self->raw_size);
	if (self->raw_size >= 3 && memcmp(self->raw, "\xef\xbb\xbf", 3) == 0)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the file begins with the byte order mark of UTF-8, but is to be read in encoding \"%s\"",
					   pg_encoding_to_char(self->conversion.from)));
}

/* Reads once from the source and converts what there is, but for a character that may be cut off. */
static void
strm_encoding_source_fill(StrmEncodingSource *self)
{
	StrmConversion *conversion = &self->conversion;
	Size		n = strm_bytes_read(self->source, self->raw + self->raw_size, CHUNK - self->raw_size);
	Size		done = 0;

	self->whole = n == 0;
	self->raw_size += n;
	self->text_begin = 0;
	self->text_end = 0;

	/* a mark that takes several reads is found, too */
	if (!self->begun && self->raw_size < 4 && !self->whole)
		return;
	if (!self->begun)
		strm_encoding_source_head(self);
	self->begun = true;

	while (done < self->raw_size)
	{
		char	   *text = self->text + self->text_end;
		const char *raw;
		Size		rest;
		int			bad;

		done += strm_conversion_run(conversion, self->raw + done, self->raw_size - done, text);
		self->text_end += strlen(text);
		raw = self->raw + done;
		rest = self->raw_size - done;
		if (rest == 0 || (rest < MAX_MULTIBYTE_CHAR_LEN && !self->whole && *raw != '\0'))
			break;
		bad = *raw == '\0' ? 1 : pg_encoding_verifymbchar(conversion->from, raw, (int) rest);
		self->text[self->text_end++] = *raw == '\0' ? '\0' : NO_CHARACTER;
		done += Max(bad, 1);
	}
	memmove(self->raw, self->raw + done, self->raw_size - done);
	self->raw_size -= done;
}

static Size
strm_encoding_source_read(StrmByteSource *base, char *buffer, Size size)
{
	StrmEncodingSource *self = (StrmEncodingSource *) base;

	while (self->text_begin == self->text_end)
	{
		if (self->whole)
			return 0;
		strm_encoding_source_fill(self);
	}
	size = Min(size, self->text_end - self->text_begin);
	memcpy(buffer, self->text + self->text_begin, size);
	self->text_begin += size;
	return size;
}

static void
strm_encoding_source_close(StrmByteSource *base)
{
	strm_bytes_close(((StrmEncodingSource *) base)->source);
}

StrmByteSource *
strm_encoding_source(StrmByteSource *source, int encoding)
{
	StrmEncodingSource *self = palloc(sizeof(*self));

	memset(self, 0, offsetof(StrmEncodingSource, raw));
	self->base.read = strm_encoding_source_read;
	self->base.close = strm_encoding_source_close;
	self->source = source;
	strm_conversion_init(&self->conversion, encoding, PG_UTF8);
	return &self->base;
}

static void
strm_encoding_sink_write(StrmByteSink *base, const char *data, Size size)
{
	StrmEncodingSink *self = (StrmEncodingSink *) base;

	while (size > 0)
	{
		Size		n = Min(size, CHUNK);
		Size		done;

		/* cut between characters */
		while (n < size && n > 0 && ((unsigned char) data[n] & 0xc0) == 0x80)
			n--;
		done = strm_conversion_run(&self->conversion, data, n, self->text);
		if (done != n || n == 0)
			strm_ereport_private(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
								 errmsg("a value has a character that encoding \"%s\" does not have",
										pg_encoding_to_char(self->conversion.to)));
		strm_bytes_write(self->sink, self->text, strlen(self->text));
		data += n;
		size -= n;
	}
}

static void
strm_encoding_sink_finish(StrmByteSink *base)
{
	strm_bytes_finish(((StrmEncodingSink *) base)->sink);
}

static void
strm_encoding_sink_publish(StrmByteSink *base)
{
	strm_bytes_publish(((StrmEncodingSink *) base)->sink);
}

static bool
strm_encoding_sink_discard(StrmByteSink *base)
{
	return strm_bytes_discard(((StrmEncodingSink *) base)->sink);
}

StrmByteSink *
strm_encoding_sink(StrmByteSink *sink, int encoding)
{
	StrmEncodingSink *self = palloc(sizeof(*self));

	memset(self, 0, offsetof(StrmEncodingSink, text));
	self->base.write = strm_encoding_sink_write;
	self->base.finish = strm_encoding_sink_finish;
	self->base.publish = strm_encoding_sink_publish;
	self->base.discard = strm_encoding_sink_discard;
	self->sink = sink;
	strm_conversion_init(&self->conversion, PG_UTF8, encoding);
	return &self->base;
}
