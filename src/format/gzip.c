/*
 * gzip.c
 *	  gzip by zlib, streaming: whatever a file expands to, memory stays the same.
 *
 *	  zlib allocates through palloc in the context of the source or sink, so resetting that context releases it.
 */
#include "postgres.h"

#include <zlib.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "format/gzip.h"
#include "strm_privacy.h"

#define CHUNK (32 * 1024)
#define GZIP_WINDOW (MAX_WBITS + 16)	/* zlib's way to ask for gzip */

typedef struct StrmGzipSource
{
	StrmByteSource base;
	StrmByteSource *source;
	z_stream	stream;
	bool		inside;			/* a member has begun and not ended */
	bool		any;			/* a member has ended */
	bool		end;
	char		chunk[CHUNK];
} StrmGzipSource;

typedef struct StrmGzipSink
{
	StrmByteSink base;
	StrmByteSink *sink;
	z_stream	stream;
	bool		inside;			/* a member has begun and not ended */
	char		chunk[CHUNK];
} StrmGzipSink;

/* zlib must not be left by an error, so there is none. */
static void *
strm_gzip_alloc(void *cxt, unsigned int items, unsigned int size)
{
	return MemoryContextAllocExtended(cxt, (Size) items * size, MCXT_ALLOC_NO_OOM);
}

static void
strm_gzip_free(void *cxt, void *p)
{
	pfree(p);
}

/* zlib's allocators */
static void
strm_gzip_stream_init(z_stream *stream)
{
	memset(stream, 0, sizeof(*stream));
	stream->zalloc = strm_gzip_alloc;
	stream->zfree = strm_gzip_free;
	stream->opaque = CurrentMemoryContext;
}

/* What zlib can only say when memory is exhausted or it is misused */
pg_noreturn static void
strm_gzip_failed(int status)
{
	ereport(ERROR,
			errcode(status == Z_MEM_ERROR ? ERRCODE_OUT_OF_MEMORY : STRM_ERR_INTERNAL),
			errmsg("zlib failed with status %d", status));
}

pg_noreturn static void
strm_gzip_damaged(const char *what)
{
	ereport(ERROR,
			errcode(STRM_ERR_ARGUMENT),
			errmsg("the file cannot be decompressed: %s", what));
}

/* More input, or the end, which is only right between members. */
static void
strm_gzip_source_fill(StrmGzipSource *self)
{
	CHECK_FOR_INTERRUPTS();
	self->stream.next_in = (Bytef *) self->chunk;
	self->stream.avail_in = (uInt) strm_bytes_read(self->source, self->chunk, CHUNK);
	if (self->stream.avail_in > 0)
		return;
	if (self->inside || !self->any)
		strm_gzip_damaged(self->any || self->inside ? "it is cut off" : "it is empty, which no gzip file is");
	self->end = true;
}

static Size
strm_gzip_source_read(StrmByteSource *base, char *buffer, Size size)
{
	StrmGzipSource *self = (StrmGzipSource *) base;
	uInt		room = (uInt) Min(size, CHUNK * 8);
	int			status;

	self->stream.next_out = (Bytef *) buffer;
	self->stream.avail_out = room;
	while (!self->end && self->stream.avail_out == room)
	{
		if (self->stream.avail_in == 0)
		{
			strm_gzip_source_fill(self);
			continue;
		}
		self->inside = true;
		status = inflate(&self->stream, Z_NO_FLUSH);
		if (status == Z_STREAM_END)
		{
			self->inside = false;
			self->any = true;
			status = inflateReset(&self->stream);
		}
		if (status == Z_DATA_ERROR || status == Z_NEED_DICT)
			strm_gzip_damaged(self->any || self->stream.total_out > 0 ? "it is damaged" : "it is not gzip, or damaged");
		if (status != Z_OK && status != Z_BUF_ERROR)
			strm_gzip_failed(status);
	}
	return room - self->stream.avail_out;
}

static void
strm_gzip_source_close(StrmByteSource *base)
{
	strm_bytes_close(((StrmGzipSource *) base)->source);
}

StrmByteSource *
strm_gzip_source(StrmByteSource *source)
{
	StrmGzipSource *self = palloc(sizeof(*self));
	int			status;

	memset(self, 0, offsetof(StrmGzipSource, chunk));
	self->base.read = strm_gzip_source_read;
	self->base.close = strm_gzip_source_close;
	self->source = source;
	strm_gzip_stream_init(&self->stream);
	status = inflateInit2(&self->stream, GZIP_WINDOW);
	if (status != Z_OK)
		strm_gzip_failed(status);
	return &self->base;
}

/* Compresses what the stream was given; with Z_FINISH all of it. */
static void
strm_gzip_sink_deflate(StrmGzipSink *self, int flush)
{
	int			status;

	do
	{
		CHECK_FOR_INTERRUPTS();
		self->stream.next_out = (Bytef *) self->chunk;
		self->stream.avail_out = CHUNK;
		status = deflate(&self->stream, flush);
		if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
			strm_gzip_failed(status);
		if (self->stream.avail_out < CHUNK)
			strm_bytes_write(self->sink, self->chunk, CHUNK - self->stream.avail_out);
	} while (flush == Z_FINISH ? status != Z_STREAM_END : self->stream.avail_in > 0);
}

static void
strm_gzip_sink_write(StrmByteSink *base, const char *data, Size size)
{
	StrmGzipSink *self = (StrmGzipSink *) base;

	self->inside = true;
	while (size > 0)
	{
		Size		n = Min(size, MaxAllocSize);

		self->stream.next_in = (Bytef *) unconstify(char *, data);
		self->stream.avail_in = (uInt) n;
		strm_gzip_sink_deflate(self, Z_NO_FLUSH);
		data += n;
		size -= n;
	}
}

void
strm_gzip_sink_end(StrmByteSink *base)
{
	StrmGzipSink *self = (StrmGzipSink *) base;
	int			status;

	if (!self->inside)
		return;
	self->stream.next_in = NULL;
	self->stream.avail_in = 0;
	strm_gzip_sink_deflate(self, Z_FINISH);
	self->inside = false;
	status = deflateReset(&self->stream);
	if (status != Z_OK)
		strm_gzip_failed(status);
}

static void
strm_gzip_sink_finish(StrmByteSink *base)
{
	strm_gzip_sink_end(base);
	strm_bytes_finish(((StrmGzipSink *) base)->sink);
}

static void
strm_gzip_sink_publish(StrmByteSink *base)
{
	strm_bytes_publish(((StrmGzipSink *) base)->sink);
}

static bool
strm_gzip_sink_discard(StrmByteSink *base)
{
	return strm_bytes_discard(((StrmGzipSink *) base)->sink);
}

StrmByteSink *
strm_gzip_sink(StrmByteSink *sink)
{
	StrmGzipSink *self = palloc(sizeof(*self));
	int			status;

	memset(self, 0, offsetof(StrmGzipSink, chunk));
	self->base.write = strm_gzip_sink_write;
	self->base.finish = strm_gzip_sink_finish;
	self->base.publish = strm_gzip_sink_publish;
	self->base.discard = strm_gzip_sink_discard;
	self->sink = sink;
	self->inside = true;		/* a file of nothing has a member, too */
	strm_gzip_stream_init(&self->stream);
	status = deflateInit2(&self->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MAX_MEM_LEVEL - 1,
						  Z_DEFAULT_STRATEGY);
	if (status != Z_OK)
		strm_gzip_failed(status);
	return &self->base;
}

bool
strm_gzip_by_name(const char *file_name)
{
	Size		size = strlen(file_name);

	return size > 3 && strcmp(file_name + size - 3, ".gz") == 0;
}
