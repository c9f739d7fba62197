/*
 * azure_sink.c
 *	  Writing blobs: in one request when all fits the buffer, else as blocks. Neither can be seen before publish; blocks
 *	  that are never put together vanish by themselves, after a week.
 *
 *	  Memory: one block. The first ones have 4 MiB, later ones 8, so that 50,000, the most there can be, hold 350 GB.
 *
 *	  Every blob carries its intent in its metadata. So an answer that got lost is no riddle (is the blob that exists
 *	  ours?), and nothing is ever deleted that another one wrote. Blocks carry it in their ids.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "connect/azure.h"
#include "crypto/base64.h"

#define STRM_AZURE_MAX_BLOCKS 50000
#define STRM_AZURE_SMALL_BLOCKS 10000
#define STRM_AZURE_FIRST_BUFFER (64 * 1024)
#define STRM_AZURE_INTENT "x-ms-meta-strmintent"
#define STRM_AZURE_BLOCK_ID_BYTES (UUID_LEN + 5)
#define STRM_MIB (1024 * 1024)

typedef struct StrmAzureSink
{
	StrmByteSink base;
	StrmAzureStore *store;
	char	   *path;
	StrmSinkOptions options;
	char	   *intent;
	char	   *buffer;
	Size		used;
	Size		allocated;
	int			nblocks;
	bool		publishing;		/* asked for: the blob may be there */
} StrmAzureSink;

/* The size of block number block, from 0. */
static Size
strm_azure_block_size(int block)
{
	return (block < STRM_AZURE_SMALL_BLOCKS ? 4 : 8) * STRM_MIB;
}

/* The id of a block, from 0: all are equally long, and base64. In the current context. */
static char *
strm_azure_block_id(const StrmAzureSink *sink, int block)
{
	unsigned char id[STRM_AZURE_BLOCK_ID_BYTES + 1];
	char	   *encoded = palloc(STRM_BASE64_SIZE(STRM_AZURE_BLOCK_ID_BYTES) + 1);

	memcpy(id, sink->options.intent.data, UUID_LEN);
	snprintf((char *) id + UUID_LEN, sizeof(id) - UUID_LEN, "%05d", block);
	strm_base64_encode(id, STRM_AZURE_BLOCK_ID_BYTES, encoded);
	encoded[STRM_BASE64_SIZE(STRM_AZURE_BLOCK_ID_BYTES)] = '\0';
	return encoded;
}

/* Sends the buffer as the next block. */
static void
strm_azure_sink_put_block(StrmAzureSink *sink)
{
	StrmAzureStore *store = sink->store;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	StrmAzureRequest *request;
	StrmHttpResponse *response;

	MemoryContextReset(store->scratch);
	if (sink->nblocks == STRM_AZURE_MAX_BLOCKS)
		ereport(ERROR, errcode(STRM_ERR_LIMIT),
				errmsg("\"%s\" of data connector \"%s\" gets too large", sink->path, store->base.connector->name),
				errdetail("A blob has at most %d blocks.", STRM_AZURE_MAX_BLOCKS));
	request = strm_azure_request(store, "write", "PUT", sink->path);
	strm_azure_request_parameter(request, "blockid", strm_azure_block_id(sink, sink->nblocks));
	strm_azure_request_parameter(request, "comp", "block");
	strm_azure_request_body(request, sink->buffer, sink->used);
	response = strm_http_call(store->http, &request->http);
	if (!strm_http_succeeded(response))
		strm_http_raise(store->http, &request->http, response);
	sink->nblocks++;
	sink->used = 0;
	MemoryContextSwitchTo(old);
}

/* A full buffer is sent when more comes: what fits into one needs no blocks. */
static void
strm_azure_sink_write(StrmByteSink *self, const char *data, Size size)
{
	StrmAzureSink *sink = (StrmAzureSink *) self;

	while (size > 0)
	{
		Size		block_size = strm_azure_block_size(sink->nblocks);
		Size		n;

		if (sink->used == block_size)
		{
			strm_azure_sink_put_block(sink);
			continue;
		}
		if (sink->used == sink->allocated)
		{
			sink->allocated = Min(sink->allocated * 2, block_size);
			sink->buffer = repalloc(sink->buffer, sink->allocated);
		}
		n = Min(size, Min(sink->allocated, block_size) - sink->used);
		memcpy(sink->buffer + sink->used, data, n);
		sink->used += n;
		data += n;
		size -= n;
	}
}

static void
strm_azure_sink_finish(StrmByteSink *self)
{
	StrmAzureSink *sink = (StrmAzureSink *) self;

	if (sink->nblocks > 0 && sink->used > 0)
		strm_azure_sink_put_block(sink);
}

/* Is the blob that is there ours? Asks quietly. status, when not NULL, gets the answer's, or 0. */
static bool
strm_azure_is_ours(StrmAzureStore *store, const char *path, const char *intent, int *status)
{
	StrmAzureRequest *request = strm_azure_request(store, "look for", "HEAD", path);
	StrmHttpResponse *response = strm_http_try(store->http, &request->http);
	const char *found;

	if (status != NULL)
		*status = response != NULL ? response->status : 0;
	if (response == NULL || !strm_http_succeeded(response))
		return false;
	found = strm_http_header(response, STRM_AZURE_INTENT);
	return found != NULL && strcmp(found, intent) == 0;
}

/* The request that makes the blob, of its blocks or of all there is. */
static StrmAzureRequest *
strm_azure_sink_publication(const StrmAzureSink *sink)
{
	StrmAzureRequest *request = strm_azure_request(sink->store, "write", "PUT", sink->path);

	if (sink->nblocks > 0)
	{
		StringInfoData list;

		initStringInfo(&list);
		appendStringInfoString(&list, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
		for (int i = 0; i < sink->nblocks; i++)
		{
			char	   *id = strm_azure_block_id(sink, i);

			appendStringInfo(&list, "<Uncommitted>%s</Uncommitted>", id);
			pfree(id);
		}
		appendStringInfoString(&list, "</BlockList>");
		strm_azure_request_parameter(request, "comp", "blocklist");
		strm_azure_request_body(request, list.data, list.len);
		strm_http_add_header(&request->http.headers, "x-ms-blob-content-type", "application/octet-stream");
	}
	else
	{
		strm_azure_request_body(request, sink->buffer, sink->used);
		strm_http_add_header(&request->http.headers, "x-ms-blob-type", "BlockBlob");
	}
	strm_http_add_header(&request->http.headers, STRM_AZURE_INTENT, "%s", sink->intent);
	if (!sink->options.overwrite)
		strm_http_add_header(&request->http.headers, "if-none-match", "*");
	return request;
}

static void
strm_azure_sink_publish(StrmByteSink *self)
{
	StrmAzureSink *sink = (StrmAzureSink *) self;
	StrmAzureStore *store = sink->store;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	StrmAzureRequest *request;
	StrmHttpResponse *response;

	MemoryContextReset(store->scratch);
	request = strm_azure_sink_publication(sink);
	sink->publishing = true;
	response = strm_http_call(store->http, &request->http);
	/* Refused because of its own predecessor, whose answer got lost? libcurl, too, may have sent it twice. */
	if (!strm_http_succeeded(response) &&
		!((response->status == 409 || response->status == 412 || response->status == 400) &&
		  strm_azure_is_ours(store, sink->path, sink->intent, NULL)))
		strm_http_raise(store->http, &request->http, response);
	MemoryContextSwitchTo(old);
}

/*
 * Deletes the blob if it carries that intent, quietly. True when there is nothing more to do about it: a refusal is
 * what the least rights give.
 */
static bool
strm_azure_delete_ours(StrmAzureStore *store, const char *path, const char *intent, bool *left_behind)
{
	int			status;
	StrmAzureRequest *request;
	StrmHttpResponse *response;

	if (!strm_azure_is_ours(store, path, intent, &status))
		return status == 404 || status == 403 || (status >= 200 && status < 300);
	request = strm_azure_request(store, "delete", "DELETE", path);
	response = strm_http_try(store->http, &request->http);
	if (response != NULL && (strm_http_succeeded(response) || response->status == 404))
		return true;
	*left_behind = true;
	return response != NULL && response->status == 403;
}

static bool
strm_azure_sink_discard(StrmByteSink *self)
{
	StrmAzureSink *sink = (StrmAzureSink *) self;
	StrmAzureStore *store = sink->store;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	bool		left_behind = false;
	bool		done = true;

	MemoryContextReset(store->scratch);
	if (sink->publishing)
	{
		done = strm_azure_delete_ours(store, sink->path, sink->intent, &left_behind);
		sink->publishing = !done || left_behind;
	}
	sink->used = sink->nblocks = 0;
	MemoryContextSwitchTo(old);
	return done && !left_behind;
}

/* Looks first whether there is a blob: the refusal at the end would come late. */
StrmByteSink *
strm_azure_write(StrmStore *base, const char *path, const StrmSinkOptions *options)
{
	StrmAzureSink *sink = palloc0(sizeof(StrmAzureSink));

	if (!options->overwrite && strm_azure_exists(base, path))
		ereport(ERROR, errcode(STRM_ERR_DUPLICATE),
				errmsg("\"%s\" of data connector \"%s\" already exists", path, base->connector->name),
				errhint("\"overwrite\": true in the target replaces it."));
	sink->base.write = strm_azure_sink_write;
	sink->base.finish = strm_azure_sink_finish;
	sink->base.publish = strm_azure_sink_publish;
	sink->base.discard = strm_azure_sink_discard;
	sink->store = (StrmAzureStore *) base;
	sink->path = pstrdup(path);
	sink->options = *options;
	sink->intent = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&options->intent)));
	sink->allocated = STRM_AZURE_FIRST_BUFFER;
	sink->buffer = palloc(sink->allocated);
	/* Whatever is left behind: its intent tells that it is ours. */
	if (options->note != NULL)
		options->note(options->note_arg, NULL);
	return &sink->base;
}

bool
strm_azure_clean_up(StrmStore *base, const char *path, const pg_uuid_t *intent, const char *detail)
{
	StrmAzureStore *store = (StrmAzureStore *) base;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	bool		left_behind = false;
	bool		done;

	MemoryContextReset(store->scratch);
	done = strm_azure_delete_ours(store, path, DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(intent))),
								  &left_behind);
	MemoryContextSwitchTo(old);
	return done;
}
