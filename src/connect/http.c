/*
 * http.c
 *	  Sessions and transfers: the one place of this library that calls libcurl. The one that talks to brokers asks for
 *	  tokens in threads where nothing of the server's may be called (kafka/token.c).
 *
 *	  libcurl resolves names in threads of its own. All signals are blocked around the calls that may start one, so that
 *	  no thread but the server's ever handles a signal. While a transfer waits, signals are open and interrupts are
 *	  served at least every STRM_HTTP_SLICE. An error may leave a transfer attached whose request body is gone: whatever
 *	  drives the session next stops it first.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/secret.h"
#include "connect/address.h"
#include "connect/http_transfer.h"
#include "guc/guc.h"
#include "strm_privacy.h"

#define STRM_HTTP_SLICE 200		/* milliseconds */

/* Is libcurl initialised? Once per process, and never in the postmaster, whose children would share its state. */
static bool strm_http_initialised = false;

static void
strm_http_block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	(void) sigprocmask(SIG_BLOCK, &all, saved);
}

static void
strm_http_restore_signals(const sigset_t *saved)
{
	(void) sigprocmask(SIG_SETMASK, saved, NULL);
}

/* Callback: the next bytes of the request's body. */
static size_t
strm_http_on_read(char *out, size_t size, size_t count, void *arg)
{
	StrmHttpTransfer *transfer = arg;
	Size		n = Min(size * count, transfer->body_size - transfer->body_sent);

	if (n > 0)
		memcpy(out, transfer->body + transfer->body_sent, n);
	transfer->body_sent += n;
	transfer->progress++;
	return n;
}

/* Callback: the request's body once more, when a kept connection turned out to be closed. */
static int
strm_http_on_seek(void *arg, curl_off_t offset, int origin)
{
	StrmHttpTransfer *transfer = arg;

	if (origin != SEEK_SET || offset < 0 || offset > (curl_off_t) transfer->body_size)
		return CURL_SEEKFUNC_FAIL;
	transfer->body_sent = offset;
	return CURL_SEEKFUNC_OK;
}

/* Callback: one line of the answer's headers. A status line starts anew: 1xx answers come before the real one. */
static size_t
strm_http_on_header(char *line, size_t size, size_t count, void *arg)
{
	StrmHttpTransfer *transfer = arg;
	Size		n = size * count;
	long		status = 0;

	transfer->progress++;
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
		transfer->headers_size = 0;
	if (transfer->headers_size + n >= STRM_HTTP_HEADERS_SIZE)
	{
		transfer->fault = "the headers of the answer are too large";
		return 0;
	}
	memcpy(transfer->headers + transfer->headers_size, line, n);
	transfer->headers_size += n;
	transfer->headers[transfer->headers_size] = '\0';
	if (n <= 2 && (line[0] == '\r' || line[0] == '\n'))
	{
		(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status >= 200)
			transfer->headers_complete = true;
	}
	return n;
}

/* Callback: bytes of the answer's body; pauses the transfer when there is no room for them. */
static size_t
strm_http_on_body(char *data, size_t size, size_t count, void *arg)
{
	StrmHttpTransfer *transfer = arg;
	Size		n = size * count;

	transfer->progress++;
	if (transfer->start > 0)
	{
		memmove(transfer->buffer, transfer->buffer + transfer->start, transfer->end - transfer->start);
		transfer->end -= transfer->start;
		transfer->start = 0;
	}
	if (n > STRM_HTTP_BUFFER_SIZE - transfer->end)
	{
		transfer->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	memcpy(transfer->buffer + transfer->end, data, n);
	transfer->end += n;
	return n;
}

/* Callback: makes the socket for a resolved address, unless that must not be reached. */
static curl_socket_t
strm_http_on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	StrmHttpTransfer *transfer = arg;

	transfer->refused = strm_address_refuse(&to->addr, transfer->http->peer.trusted, transfer->local_only);
	if (transfer->refused != NULL)
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void
strm_http_reset(void *arg)
{
	strm_http_close(arg);
}

StrmHttp *
strm_http_open(const StrmConnector *connector)
{
	StrmHttpPeer peer = {.kind = "data connector", .name = connector->name, .trusted = connector->trusted};

	return strm_http_open_peer(&peer);
}

StrmHttp *
strm_http_open_peer(const StrmHttpPeer *peer)
{
	StrmHttp   *http = palloc0(sizeof(StrmHttp));
	sigset_t	saved;

	Assert(IsUnderPostmaster || !IsPostmasterEnvironment);
	http->peer = *peer;
	http->cxt = CurrentMemoryContext;
	strm_http_block_signals(&saved);
	if (!strm_http_initialised)
		strm_http_initialised = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	if (strm_http_initialised)
		http->multi = curl_multi_init();
	strm_http_restore_signals(&saved);
	if (http->multi == NULL)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not initialize libcurl"));

	dlist_init(&http->transfers);
	http->callback.func = strm_http_reset;
	http->callback.arg = http;
	MemoryContextRegisterResetCallback(http->cxt, &http->callback);
	http->call = strm_http_transfer_create(http);
	return http;
}

void
strm_http_close(StrmHttp *http)
{
	if (http->multi == NULL)
		return;
	while (!dlist_is_empty(&http->transfers))
		strm_http_transfer_release(dlist_head_element(StrmHttpTransfer, node, &http->transfers));
	(void) curl_multi_cleanup(http->multi);
	http->multi = NULL;
}

static void
strm_http_transfer_reset(void *arg)
{
	strm_http_transfer_release(arg);
}

StrmHttpTransfer *
strm_http_transfer_create(StrmHttp *http)
{
	StrmHttpTransfer *transfer = palloc0(sizeof(StrmHttpTransfer));

	transfer->http = http;
	transfer->headers = palloc(STRM_HTTP_HEADERS_SIZE);
	transfer->buffer = palloc(STRM_HTTP_BUFFER_SIZE);
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not initialize libcurl"));
	dlist_push_tail(&http->transfers, &transfer->node);
	transfer->callback.func = strm_http_transfer_reset;
	transfer->callback.arg = transfer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &transfer->callback);
	return transfer;
}

void
strm_http_transfer_stop(StrmHttpTransfer *transfer)
{
	sigset_t	saved;

	if (transfer->attached)
	{
		strm_http_block_signals(&saved);
		(void) curl_multi_remove_handle(transfer->http->multi, transfer->easy);
		strm_http_restore_signals(&saved);
		transfer->attached = false;
	}
	for (struct curl_slist *line = transfer->lines; line != NULL; line = line->next)
		strm_secret_wipe(line->data, strlen(line->data));
	curl_slist_free_all(transfer->lines);
	transfer->lines = NULL;
	transfer->body = NULL;
	transfer->body_size = transfer->body_sent = 0;
}

/* Closing the session releases its transfers, so that none outlives it: contexts end in no order that we chose. */
void
strm_http_transfer_release(StrmHttpTransfer *transfer)
{
	if (transfer->easy == NULL)
		return;
	strm_http_transfer_stop(transfer);
	dlist_delete(&transfer->node);
	curl_easy_cleanup(transfer->easy);
	transfer->easy = NULL;
}

/* Whose certificates are trusted. */
static void
strm_http_set_authorities(StrmHttpTransfer *transfer)
{
	const char *ca = transfer->http->peer.ca;

	if (ca != NULL)
	{
		struct curl_blob blob = {.data = unconstify(char *, ca), .len = strlen(ca), .flags = CURL_BLOB_NOCOPY};

		curl_easy_setopt(transfer->easy, CURLOPT_CAINFO_BLOB, &blob);
		curl_easy_setopt(transfer->easy, CURLOPT_CAPATH, NULL);
	}
	else if (strm_connector_ca_file != NULL && strm_connector_ca_file[0] != '\0')
		curl_easy_setopt(transfer->easy, CURLOPT_CAINFO, strm_connector_ca_file);
}

/* Options that are the same for every request, and how it is to be reached. */
static void
strm_http_set_policy(StrmHttpTransfer *transfer)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->message);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, transfer->local_only ? "http" : "https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	strm_http_set_authorities(transfer);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long) Min(strm_connector_timeout, 30));
	curl_easy_setopt(easy, CURLOPT_USERAGENT, STRM_EXTENSION_NAME);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, strm_http_on_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, strm_http_on_read);
	curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, strm_http_on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, strm_http_on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, strm_http_on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

/* Appends one request header. libcurl sends one without a value only when it ends in a semicolon. */
static void
strm_http_add_line(StrmHttpTransfer *transfer, const char *name, const char *value)
{
	char	   *line = value[0] == '\0' ? psprintf("%s;", name) : psprintf("%s: %s", name, value);
	struct curl_slist *lines = curl_slist_append(transfer->lines, line);

	strm_secret_wipe(line, strlen(line));
	if (lines == NULL)
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	transfer->lines = lines;
}

/* Options of this request. */
static void
strm_http_set_request(StrmHttpTransfer *transfer, const StrmHttpRequest *request, List *headers)
{
	CURL	   *easy = transfer->easy;
	bool		has_body = request->body_size > 0 || strcmp(request->method, "PUT") == 0 ||
		strcmp(request->method, "POST") == 0;
	struct curl_slist *none;
	ListCell   *lc;

	curl_easy_setopt(easy, CURLOPT_URL, request->url);
	if (strcmp(request->method, "HEAD") == 0)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	if (has_body)
	{
		transfer->body = request->body;
		transfer->body_size = request->body_size;
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) request->body_size);
	}
	foreach(lc, headers)
	{
		StrmHttpHeader *header = lfirst(lc);

		strm_http_add_line(transfer, header->name, header->value);
	}
	/* On a connection that was kept libcurl may send a request a second time by itself. */
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->once ? 1L : 0L);
	/* A line that ends in a colon removes a header that libcurl would add. */
	none = curl_slist_append(transfer->lines, "Expect:");
	if (none == NULL)
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	transfer->lines = none;
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->lines);
}

/* Moves bytes of all transfers of the session, and notes which of them are done. Does not wait. */
static void
strm_http_drive(StrmHttp *http)
{
	sigset_t	saved;
	int			running;
	int			left;
	CURLMsg    *message;
	CURLMcode	result;

	strm_http_block_signals(&saved);
	result = curl_multi_perform(http->multi, &running);
	strm_http_restore_signals(&saved);
	if (result != CURLM_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("libcurl failed: %s", curl_multi_strerror(result)));

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		StrmHttpTransfer *transfer;

		if (message->msg != CURLMSG_DONE ||
			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer) != CURLE_OK)
			continue;
		transfer->result = message->data.result;
		transfer->done = true;
	}
}

/*
 * Drives the session until the transfer is done, or has headers (while it has none), or bytes of its body. Gives up
 * when nothing moves for strm_connector_timeout.
 */
static void
strm_http_wait(StrmHttpTransfer *transfer, bool for_headers)
{
	StrmHttp   *http = transfer->http;
	TimestampTz moved = GetCurrentTimestamp();
	uint64		progress = transfer->progress;

	if (http->call != transfer)
		strm_http_transfer_stop(http->call);
	for (;;)
	{
		TimestampTz now;

		strm_http_drive(http);
		if (transfer->done || (for_headers ? transfer->headers_complete : transfer->end > transfer->start))
			return;
		(void) curl_multi_poll(http->multi, NULL, 0, STRM_HTTP_SLICE, NULL);
		CHECK_FOR_INTERRUPTS();
		if (IsUnderPostmaster && !PostmasterIsAlive())
			proc_exit(1);
		now = GetCurrentTimestamp();
		if (transfer->progress != progress)
		{
			progress = transfer->progress;
			moved = now;
		}
		if (TimestampDifferenceExceeds(moved, now, strm_connector_timeout * 1000) ||
			(http->deadline != 0 && now > http->deadline))
		{
			transfer->timed_out = transfer->done = true;
			return;
		}
	}
}

int
strm_http_transfer_start(StrmHttpTransfer *transfer, const StrmHttpRequest *request, List *headers)
{
	StrmHttp   *http = transfer->http;
	CURLMcode	result;
	sigset_t	saved;
	long		status = 0;

	if (transfer->easy == NULL)
		ereport(ERROR, errcode(STRM_ERR_STATE),
				errmsg("%s \"%s\" is not open any more", http->peer.kind, http->peer.name));
	strm_http_transfer_stop(transfer);
	curl_easy_reset(transfer->easy);
	transfer->done = transfer->timed_out = transfer->headers_complete = transfer->paused = false;
	transfer->result = CURLE_OK;
	transfer->refused = transfer->fault = NULL;
	transfer->message[0] = '\0';
	transfer->headers_size = transfer->start = transfer->end = 0;
	transfer->headers[0] = '\0';
	transfer->local_only = pg_strncasecmp(request->url, "http:", 5) == 0;
	strm_http_set_policy(transfer);
	strm_http_set_request(transfer, request, headers);

	strm_http_block_signals(&saved);
	result = curl_multi_add_handle(http->multi, transfer->easy);
	strm_http_restore_signals(&saved);
	if (result != CURLM_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("libcurl failed: %s", curl_multi_strerror(result)));
	transfer->attached = true;
	strm_http_wait(transfer, true);
	if (transfer->headers_complete)
		(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int) status;
}

ssize_t
strm_http_transfer_read(StrmHttpTransfer *transfer, char *buffer, Size size)
{
	Size		n;

	if (transfer->start == transfer->end && !transfer->done)
		strm_http_wait(transfer, false);
	n = Min(size, transfer->end - transfer->start);
	if (n == 0)
		return transfer->result == CURLE_OK && !transfer->timed_out ? 0 : -1;
	memcpy(buffer, transfer->buffer + transfer->start, n);
	transfer->start += n;
	if (transfer->paused && transfer->end - transfer->start < STRM_HTTP_BUFFER_SIZE / 2)
	{
		sigset_t	saved;

		transfer->paused = false;
		strm_http_block_signals(&saved);
		(void) curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
		strm_http_restore_signals(&saved);
	}
	return n;
}

const char *
strm_http_transfer_failure(const StrmHttpTransfer *transfer)
{
	if (transfer->refused != NULL)
		return transfer->refused;
	if (transfer->fault != NULL)
		return transfer->fault;
	if (transfer->timed_out)
		return "the server does not answer any more";
	return transfer->message[0] != '\0' ? transfer->message : curl_easy_strerror(transfer->result);
}

bool
strm_http_transfer_retryable(const StrmHttpTransfer *transfer)
{
	if (transfer->refused != NULL || transfer->fault != NULL)
		return false;
	switch (transfer->result)
	{
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_OUT_OF_MEMORY:
			return false;
		default:
			return true;
	}
}

bool
strm_http_transfer_unsent(const StrmHttpTransfer *transfer)
{
	return transfer->result == CURLE_COULDNT_CONNECT || transfer->result == CURLE_COULDNT_RESOLVE_HOST;
}
