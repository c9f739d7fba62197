/*
 * http_source.c
 *	  The body of a GET as a source of bytes, resumed where a connection broke.
 *
 *	  Bytes of two versions of an object are never mixed: what is resumed is asked for with If-Match and the first
 *	  answer's ETag. How many bytes there are must be known (libcurl then tells a cut body from a whole one).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "connect/http_transfer.h"
#include "strm_privacy.h"

typedef struct StrmHttpSource
{
	StrmByteSource base;
	StrmHttp   *http;
	StrmHttpRequest *request;
	StrmHttpTransfer *transfer;
	MemoryContext cxt;			/* the source's own */
	MemoryContext scratch;		/* reset at each opening */
	char	   *etag;			/* of what is being read; NULL: cannot be resumed */
	uint64		offset;			/* bytes given away so far */
	int			failures;		/* since bytes came last */
	bool		ended;
} StrmHttpSource;

pg_noreturn static void
strm_http_source_changed(const StrmHttpSource *source)
{
	ereport(ERROR, errcode(STRM_ERR_STATE),
			errmsg("\"%s\" of %s \"%s\" was changed while it was read",
				   source->request->path, source->http->peer.kind, source->http->peer.name));
}

/* Does an answer to a range say that it starts at offset? */
static bool
strm_http_source_starts_at(const StrmHttpResponse *response, uint64 offset)
{
	const char *range = strm_http_header(response, "content-range");

	return range != NULL && pg_strncasecmp(range, "bytes ", 6) == 0 && strtoull(range + 6, NULL, 10) == offset;
}

/* Starts to read, or goes on at offset. */
static void
strm_http_source_start(StrmHttpSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(source->scratch);
	StrmHttpRequest *request = source->request;
	List	   *original = request->headers;
	StrmHttpResponse *response;

	if (source->offset > 0)
	{
		request->headers = list_copy(original);
		strm_http_add_header(&request->headers, "range", "bytes=" UINT64_FORMAT "-", source->offset);
		strm_http_add_header(&request->headers, "if-match", "%s", source->etag);
	}
	response = strm_http_exchange(source->http, source->transfer, request, true);
	request->headers = original;
	if (source->offset > 0)
	{
		if (response->status == 412 || response->status == 416 || response->status == 200)
			strm_http_source_changed(source);
		if (response->status == 206 && !strm_http_source_starts_at(response, source->offset))
			ereport(ERROR, errcode(STRM_ERR_STORE),
					errmsg("could not read \"%s\" of %s \"%s\": the store answered another range than it was asked for",
						   request->path, source->http->peer.kind, source->http->peer.name));
	}
	if (!strm_http_succeeded(response))
		strm_http_raise(source->http, request, response);
	if (strm_http_header(response, "content-length") == NULL && strm_http_header(response, "transfer-encoding") == NULL)
		ereport(ERROR, errcode(STRM_ERR_STORE),
				errmsg("could not read \"%s\" of %s \"%s\": the store does not say how long it is",
					   request->path, source->http->peer.kind, source->http->peer.name));
	if (source->offset == 0)
	{
		const char *etag = strm_http_header(response, "etag");

		source->etag = etag != NULL && etag[0] != '\0' ? MemoryContextStrdup(source->cxt, etag) : NULL;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(source->scratch);
}

static Size
strm_http_source_read(StrmByteSource *self, char *buffer, Size size)
{
	StrmHttpSource *source = (StrmHttpSource *) self;

	if (source->ended || size == 0)
		return 0;
	for (;;)
	{
		ssize_t		n = strm_http_transfer_read(source->transfer, buffer, size);

		if (n >= 0)
		{
			source->failures = 0;
			source->offset += n;
			source->ended = n == 0;
			if (source->ended)
				strm_http_transfer_stop(source->transfer);
			return n;
		}
		strm_http_transfer_stop(source->transfer);
		source->failures++;
		if (source->failures >= STRM_HTTP_ATTEMPTS || !strm_http_transfer_retryable(source->transfer) ||
			(source->offset > 0 && source->etag == NULL))
			strm_http_raise_failure(source->transfer, source->request);
		strm_http_pause(source->http, source->failures, NULL);
		strm_http_source_start(source);
	}
}

static void
strm_http_source_close(StrmByteSource *self)
{
	StrmHttpSource *source = (StrmHttpSource *) self;

	source->ended = true;
	strm_http_transfer_release(source->transfer);
}

StrmByteSource *
strm_http_source(StrmHttp *http, StrmHttpRequest *request)
{
	StrmHttpSource *source = palloc0(sizeof(StrmHttpSource));

	source->base.read = strm_http_source_read;
	source->base.close = strm_http_source_close;
	source->http = http;
	source->request = request;
	source->cxt = CurrentMemoryContext;
	source->scratch = AllocSetContextCreate(CurrentMemoryContext, "strm http source", ALLOCSET_SMALL_SIZES);
	source->transfer = strm_http_transfer_create(http);
	strm_http_source_start(source);
	return &source->base;
}
