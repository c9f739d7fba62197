/*
 * http_transfer.h
 *	  One transfer of libcurl's at a time, without any policy: for the other files of http*.c only.
 */
#ifndef STRM_CONNECT_HTTP_TRANSFER_H
#define STRM_CONNECT_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "connect/http.h"

#define STRM_HTTP_BUFFER_SIZE (256 * 1024)	/* of a body that is not read yet */
#define STRM_HTTP_HEADERS_SIZE (64 * 1024)	/* of an answer, all together */

/*
 * An easy handle and where its bytes go. The callbacks run inside libcurl, where nothing may raise: they only fill what
 * is allocated.
 */
typedef struct StrmHttpTransfer
{
	dlist_node	node;			/* of the session's transfers, while easy is there */
	StrmHttp   *http;
	CURL	   *easy;
	bool		attached;		/* part of the session's multi handle */
	bool		done;
	CURLcode	result;			/* once done */
	bool		timed_out;
	const char *refused;		/* why an address was not connected to */
	const char *fault;			/* what is wrong with the answer, so that another one would not help */
	char		message[CURL_ERROR_SIZE];
	struct curl_slist *lines;	/* request headers */
	const char *body;			/* of the request */
	Size		body_size;
	Size		body_sent;
	char	   *headers;		/* of the answer, as received */
	Size		headers_size;
	bool		headers_complete;
	char	   *buffer;			/* of the answer's body: start .. end is not read yet */
	Size		start;
	Size		end;
	bool		paused;
	bool		local_only;		/* plain http */
	uint64		progress;		/* grows whenever bytes move */
	MemoryContextCallback callback;
} StrmHttpTransfer;

struct StrmHttp
{
	StrmHttpPeer peer;
	MemoryContext cxt;
	CURLM	   *multi;
	dlist_head	transfers;
	StrmHttpTransfer *call;		/* for strm_http_call() */
	TimestampTz deadline;		/* of everything, while not 0 */
	bool		trying;			/* within strm_http_try() */
	TimestampTz silent_since;	/* strm_http_try() had no answer; 0: it had one */
	MemoryContextCallback callback;
};

/* In the current memory context, and released with it. */
extern StrmHttpTransfer *strm_http_transfer_create(StrmHttp *http);

/* Ends what it is doing. It can be started again. */
extern void strm_http_transfer_stop(StrmHttpTransfer *transfer);

/* Stops and releases the handle; idempotent. */
extern void strm_http_transfer_release(StrmHttpTransfer *transfer);

/* Starts a request and waits for the headers of its answer. Returns the status, or 0 when there is no answer. */
extern int	strm_http_transfer_start(StrmHttpTransfer *transfer, const StrmHttpRequest *request, List *headers);

/* Up to size bytes of the body, at least one; 0 at its end; -1 when it broke. */
extern ssize_t strm_http_transfer_read(StrmHttpTransfer *transfer, char *buffer, Size size);

/* Why there is no answer, or no more of it: for a detail line. */
extern const char *strm_http_transfer_failure(const StrmHttpTransfer *transfer);

/* Could another attempt help, and was surely nothing done by this one? */
extern bool strm_http_transfer_retryable(const StrmHttpTransfer *transfer);
extern bool strm_http_transfer_unsent(const StrmHttpTransfer *transfer);

/* How http_call.c's attempts end: with an answer, whose body is not read when streaming succeeds, or raising. */
extern StrmHttpResponse *strm_http_exchange(StrmHttp *http, StrmHttpTransfer *transfer, StrmHttpRequest *request,
											bool streaming);
pg_noreturn extern void strm_http_raise_failure(const StrmHttpTransfer *transfer, const StrmHttpRequest *request);

/* Waits, interruptibly, before attempt number attempt + 1. */
extern void strm_http_pause(StrmHttp *http, int attempt, const StrmHttpResponse *response);

#define STRM_HTTP_ATTEMPTS 5

#endif							/* STRM_CONNECT_HTTP_TRANSFER_H */
