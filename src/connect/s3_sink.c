/*
 * s3_sink.c
 *	  Writing objects: in one request when all fits the buffer, else as a multipart upload. Neither can be seen before
 *	  publish.
 *
 *	  Memory: one part. The first parts are small; they grow so that 10,000 of them, the most there can be, hold 240 GB
 *	  with at most 32 MiB in memory.
 *
 *	  Every object carries its intent in its metadata. So an answer that got lost is no riddle (is the object that
 *	  exists ours?), and nothing is ever deleted that another one wrote.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "connect/s3.h"

#define STRM_S3_MAX_PARTS 10000
#define STRM_S3_FIRST_BUFFER (64 * 1024)
#define STRM_S3_COMPLETE_TRIES 3
#define STRM_S3_INTENT "meta-strm-intent"
#define STRM_MIB (1024 * 1024)

typedef struct StrmS3Sink
{
	StrmByteSink base;
	StrmS3Store *store;
	MemoryContext cxt;
	char	   *path;
	StrmSinkOptions options;
	char	   *intent;
	char	   *buffer;
	Size		used;
	Size		allocated;
	bool		upload_unknown;	/* there may be an upload whose id got lost */
	char	   *upload_id;		/* NULL: none, or not known */
	StringInfoData parts;		/* of the request that completes it */
	int			nparts;
	bool		publishing;		/* asked for: the object may be there */
	bool		published;
} StrmS3Sink;

/* The size of part number part, from 0. */
static Size
strm_s3_part_size(int part)
{
	if (part < 1000)
		return 5 * STRM_MIB;
	if (part < 2000)
		return 10 * STRM_MIB;
	if (part < 4000)
		return 20 * STRM_MIB;
	return 32 * STRM_MIB;
}

/* What belongs to the object: for the request that begins it. */
static void
strm_s3_sink_describe(const StrmS3Sink *sink, StrmS3Request *request)
{
	const StrmS3Store *store = sink->store;

	strm_s3_request_header(request, STRM_S3_INTENT, sink->intent);
	if (store->encryption != NULL)
		strm_s3_request_header(request, "server-side-encryption", store->encryption);
	if (store->kms_key != NULL)
		strm_s3_request_header(request, "server-side-encryption-aws-kms-key-id", store->kms_key);
}

static void
strm_s3_sink_make_absence_a_condition(const StrmS3Sink *sink, StrmS3Request *request)
{
	const StrmS3Dialect *dialect = sink->store->dialect;

	if (!sink->options.overwrite)
		strm_http_add_header(&request->http.headers, dialect->absent_name, "%s", dialect->absent_value);
}

static char *
strm_s3_upload_query(const char *upload_id, int part)
{
	StringInfoData query;

	initStringInfo(&query);
	if (part > 0)
		appendStringInfo(&query, "partNumber=%d&", part);
	appendStringInfoString(&query, "uploadId=");
	strm_http_encode(&query, upload_id, false);
	return query.data;
}

/* Begins the multipart upload. */
static void
strm_s3_sink_begin_upload(StrmS3Sink *sink)
{
	StrmS3Request *request;
	StrmHttpResponse *response;
	char	   *id;

	request = strm_s3_request(sink->store, "write", "POST", sink->path, "uploads=");
	strm_http_add_header(&request->http.headers, "content-type", "application/octet-stream");
	strm_s3_sink_describe(sink, request);
	sink->upload_unknown = true;
	response = strm_s3_call(request);
	id = strm_http_xml_text(response->body, "UploadId");
	if (id == NULL || id[0] == '\0')
		ereport(ERROR, errcode(STRM_ERR_STORE),
				errmsg("could not write \"%s\" of data connector \"%s\": the answer has no upload id",
					   sink->path, sink->store->base.connector->name));
	sink->upload_id = MemoryContextStrdup(sink->cxt, id);
	sink->upload_unknown = request->http.attempts > 1;
	if (sink->options.note != NULL)
		sink->options.note(sink->options.note_arg, sink->upload_id);
}

/* Uploads the buffer as the next part. */
static void
strm_s3_sink_upload_part(StrmS3Sink *sink)
{
	MemoryContext old = MemoryContextSwitchTo(sink->store->scratch);
	StrmS3Request *request;
	StrmHttpResponse *response;
	const char *etag;

	MemoryContextReset(sink->store->scratch);
	if (sink->nparts == STRM_S3_MAX_PARTS)
		ereport(ERROR, errcode(STRM_ERR_LIMIT),
				errmsg("\"%s\" of data connector \"%s\" gets too large", sink->path, sink->store->base.connector->name),
				errdetail("An object has at most %d parts.", STRM_S3_MAX_PARTS));
	if (sink->upload_id == NULL)
		strm_s3_sink_begin_upload(sink);
	request = strm_s3_request(sink->store, "write", "PUT", sink->path,
							  strm_s3_upload_query(sink->upload_id, sink->nparts + 1));
	strm_s3_request_body(request, sink->buffer, sink->used);
	response = strm_s3_call(request);
	etag = strm_http_header(response, "etag");
	if (etag == NULL || etag[0] == '\0' || strpbrk(etag, "<>&") != NULL)
		ereport(ERROR, errcode(STRM_ERR_STORE),
				errmsg("could not write \"%s\" of data connector \"%s\": the answer has no ETag",
					   sink->path, sink->store->base.connector->name));
	sink->nparts++;
	appendStringInfo(&sink->parts, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", sink->nparts, etag);
	sink->used = 0;
	MemoryContextSwitchTo(old);
}

/* Makes room in the buffer: it doubles up to the part's size. */
static void
strm_s3_sink_grow(StrmS3Sink *sink, Size part_size)
{
	sink->allocated = Min(sink->allocated * 2, part_size);
	sink->buffer = repalloc_huge(sink->buffer, sink->allocated);
}

/* A full buffer is sent when more comes: what fits into one needs no upload of parts. */
static void
strm_s3_sink_write(StrmByteSink *self, const char *data, Size size)
{
	StrmS3Sink *sink = (StrmS3Sink *) self;

	while (size > 0)
	{
		Size		part_size = strm_s3_part_size(sink->nparts);
		Size		n;

		if (sink->used == part_size)
		{
			strm_s3_sink_upload_part(sink);
			continue;
		}
		if (sink->used == sink->allocated)
			strm_s3_sink_grow(sink, part_size);
		n = Min(size, Min(sink->allocated, part_size) - sink->used);
		memcpy(sink->buffer + sink->used, data, n);
		sink->used += n;
		data += n;
		size -= n;
	}
}

static void
strm_s3_sink_finish(StrmByteSink *self)
{
	StrmS3Sink *sink = (StrmS3Sink *) self;

	if (sink->nparts > 0 && sink->used > 0)
		strm_s3_sink_upload_part(sink);
}

/* Is the object that is there ours? Asks quietly. status, when not NULL, gets the answer's, or 0. */
static bool
strm_s3_is_ours(StrmS3Store *store, const char *path, const char *intent, int *status)
{
	StrmS3Request *request = strm_s3_request(store, "look for", "HEAD", path, "");
	StrmHttpResponse *response = strm_http_try(store->http, &request->http);
	const char *name = psprintf("%s%s", store->dialect->prefix, STRM_S3_INTENT);
	const char *found;

	if (status != NULL)
		*status = response != NULL ? response->status : 0;
	if (response == NULL || !strm_http_succeeded(response))
		return false;
	found = strm_http_header(response, name);
	return found != NULL && strcmp(found, intent) == 0;
}

/* The whole object in one request. */
static void
strm_s3_sink_put(StrmS3Sink *sink)
{
	StrmS3Request *request = strm_s3_request(sink->store, "write", "PUT", sink->path, "");
	StrmHttpResponse *response;

	strm_s3_request_body(request, sink->buffer, sink->used);
	strm_s3_sink_describe(sink, request);
	strm_s3_sink_make_absence_a_condition(sink, request);
	response = strm_http_call(sink->store->http, &request->http);
	if (strm_http_succeeded(response))
		return;
	/* Refused by its own predecessor, whose answer got lost? libcurl, too, may have sent it twice. */
	if (response->status == 412 && strm_s3_is_ours(sink->store, sink->path, sink->intent, NULL))
		return;
	strm_http_raise(sink->store->http, &request->http, response);
}

/* Makes the object of its parts. An answer 200 can hold an error: it begins before the work is done. */
static void
strm_s3_sink_complete(StrmS3Sink *sink)
{
	StrmS3Store *store = sink->store;
	StringInfoData body;

	initStringInfo(&body);
	appendStringInfo(&body, "<CompleteMultipartUpload>%s</CompleteMultipartUpload>", sink->parts.data);
	for (int tries = 1;; tries++)
	{
		StrmS3Request *request = strm_s3_request(store, "write", "POST", sink->path,
												 strm_s3_upload_query(sink->upload_id, 0));
		StrmHttpResponse *response;

		strm_s3_request_body(request, body.data, body.len);
		strm_s3_sink_make_absence_a_condition(sink, request);
		response = strm_http_call(store->http, &request->http);
		if (strm_http_succeeded(response) && strstr(response->body, "CompleteMultipartUploadResult") != NULL)
			return;
		/* An upload that is gone: an earlier attempt may have completed it. */
		if ((response->status == 404 || response->status == 412) &&
			strm_s3_is_ours(store, sink->path, sink->intent, NULL))
			return;
		if (!strm_http_succeeded(response) || tries == STRM_S3_COMPLETE_TRIES)
			strm_http_raise(store->http, &request->http, response);
	}
}

/* Gives up one upload, quietly. A refusal is what the least rights give: true unless it may help to try again. */
static bool
strm_s3_abort(StrmS3Store *store, const char *path, const char *upload_id, bool *left_behind)
{
	StrmS3Request *request = strm_s3_request(store, "give up", "DELETE", path, strm_s3_upload_query(upload_id, 0));
	StrmHttpResponse *response = strm_http_try(store->http, &request->http);
	bool		gone = response != NULL && (strm_http_succeeded(response) || response->status == 404);

	if (!gone)
		*left_behind = true;
	return gone || (response != NULL && response->status == 403);
}

/* Gives up all uploads of that object, quietly: of one whose id got lost. The list is at most a thousand long. */
static bool
strm_s3_abort_all(StrmS3Store *store, const char *path, bool *left_behind)
{
	StringInfoData query;
	StrmS3Request *request;
	StrmHttpResponse *response;
	bool		all = true;

	initStringInfo(&query);
	appendStringInfoString(&query, "prefix=");
	strm_http_encode(&query, path, false);
	appendStringInfoString(&query, "&uploads=");
	request = strm_s3_request(store, "list uploads of", "GET", "", query.data);
	response = strm_http_try(store->http, &request->http);
	if (response == NULL || !strm_http_succeeded(response))
	{
		*left_behind = true;
		return response != NULL && (response->status == 403 || response->status == 404);
	}
	for (char *upload = strstr(response->body, "<Upload>"); upload != NULL; upload = strstr(upload + 1, "<Upload>"))
	{
		char	   *key = strm_http_xml_text(upload, "Key");
		char	   *id = strm_http_xml_text(upload, "UploadId");

		if (key != NULL && id != NULL && strcmp(key, path) == 0)
			all &= strm_s3_abort(store, path, id, left_behind);
	}
	return all;
}

/* Deletes the object if it carries that intent, quietly. */
static bool
strm_s3_delete_ours(StrmS3Store *store, const char *path, const char *intent, bool *left_behind)
{
	int			status;
	StrmS3Request *request;
	StrmHttpResponse *response;

	if (!strm_s3_is_ours(store, path, intent, &status))
		return status == 404 || status == 403 || (status >= 200 && status < 300);
	request = strm_s3_request(store, "delete", "DELETE", path, "");
	response = strm_http_try(store->http, &request->http);
	if (response != NULL && (strm_http_succeeded(response) || response->status == 404))
		return true;
	*left_behind = true;
	return response != NULL && response->status == 403;
}

static void
strm_s3_sink_publish(StrmByteSink *self)
{
	StrmS3Sink *sink = (StrmS3Sink *) self;
	MemoryContext old = MemoryContextSwitchTo(sink->store->scratch);
	bool		left_behind;

	MemoryContextReset(sink->store->scratch);
	sink->publishing = true;
	if (sink->upload_id == NULL)
		strm_s3_sink_put(sink);
	else
		strm_s3_sink_complete(sink);
	sink->published = true;
	if (sink->upload_unknown)
		sink->upload_unknown = !strm_s3_abort_all(sink->store, sink->path, &left_behind);
	MemoryContextSwitchTo(old);
}

static void
strm_s3_sink_forget_uploads(StrmS3Sink *sink)
{
	if (sink->upload_id != NULL)
		pfree(sink->upload_id);
	sink->upload_id = NULL;
	sink->upload_unknown = false;
}

static bool
strm_s3_sink_discard(StrmByteSink *self)
{
	StrmS3Sink *sink = (StrmS3Sink *) self;
	StrmS3Store *store = sink->store;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	bool		left_behind = false;
	bool		done = true;

	MemoryContextReset(store->scratch);
	if (sink->upload_id != NULL && !sink->published)
		done &= strm_s3_abort(store, sink->path, sink->upload_id, &left_behind);
	if (sink->upload_unknown)
		done &= strm_s3_abort_all(store, sink->path, &left_behind);
	if (done && !left_behind)
		strm_s3_sink_forget_uploads(sink);
	if (sink->publishing)
	{
		done &= strm_s3_delete_ours(store, sink->path, sink->intent, &left_behind);
		sink->publishing = sink->published = !done || left_behind;
	}
	sink->used = sink->nparts = 0;
	MemoryContextSwitchTo(old);
	return done && !left_behind;
}

/*
 * Looks first whether there is an object: not every store knows the condition, and its rejection at the end would come
 * late.
 */
StrmByteSink *
strm_s3_write(StrmStore *base, const char *path, const StrmSinkOptions *options)
{
	StrmS3Store *store = (StrmS3Store *) base;
	StrmS3Sink *sink = palloc0(sizeof(StrmS3Sink));

	if (!options->overwrite && strm_s3_exists(base, path))
		ereport(ERROR, errcode(STRM_ERR_DUPLICATE),
				errmsg("\"%s\" of data connector \"%s\" already exists", path, base->connector->name),
				errhint("\"overwrite\": true in the target replaces it."));
	sink->base.write = strm_s3_sink_write;
	sink->base.finish = strm_s3_sink_finish;
	sink->base.publish = strm_s3_sink_publish;
	sink->base.discard = strm_s3_sink_discard;
	sink->store = store;
	sink->cxt = CurrentMemoryContext;
	sink->path = pstrdup(path);
	sink->options = *options;
	sink->intent = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&options->intent)));
	initStringInfo(&sink->parts);
	sink->allocated = STRM_S3_FIRST_BUFFER;
	sink->buffer = palloc(sink->allocated);
	/* Whatever is left behind: its intent tells that it is ours. */
	if (options->note != NULL)
		options->note(options->note_arg, NULL);
	return &sink->base;
}

bool
strm_s3_clean_up(StrmStore *base, const char *path, const pg_uuid_t *intent, const char *detail)
{
	StrmS3Store *store = (StrmS3Store *) base;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	bool		left_behind = false;
	bool		done;

	MemoryContextReset(store->scratch);
	if (detail != NULL)
		done = strm_s3_abort(store, path, detail, &left_behind);
	else
		done = strm_s3_abort_all(store, path, &left_behind);
	done &= strm_s3_delete_ours(store, path, DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(intent))),
								&left_behind);
	MemoryContextSwitchTo(old);
	return done;
}
