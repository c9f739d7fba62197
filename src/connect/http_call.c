/*
 * http_call.c
 *	  Requests with their repetitions, what answers say, and what errors they become.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "connect/http_transfer.h"
#include "strm_privacy.h"

#define STRM_HTTP_BODY_MAX (1024 * 1024)
#define STRM_HTTP_FIRST_PAUSE 250	/* milliseconds; each is twice the one before, and up to half of it more */
#define STRM_HTTP_MAX_PAUSE 30000
#define STRM_HTTP_TRY_TIME 10000
#define STRM_HTTP_TRY_ATTEMPTS 2
#define STRM_HTTP_TRY_SILENCE 30000 /* milliseconds after a failure in which nothing is tried */
#define STRM_HTTP_MAX_AGAIN 3
#define STRM_HTTP_CODE_SIZE 64
#define STRM_HTTP_URL_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:[]"

/* Can a URL's host (host .. end) be this machine? The address itself is checked when it is reached. */
static bool
strm_http_is_local_host(const char *host, const char *end)
{
	const char *colon = host[0] == '[' ? memchr(host, ']', end - host) : memchr(host, ':', end - host);
	int			size = (int) ((colon != NULL ? colon : end) - host);

	if (host[0] == '[')
		return size == 4 && strncmp(host, "[::1", 4) == 0;
	return (size == 9 && pg_strncasecmp(host, "localhost", 9) == 0) || (size > 4 && strncmp(host, "127.", 4) == 0);
}

bool
strm_http_check_url(const StrmConnector *connector, const char *url, const char *what, StrmFaults *faults)
{
	bool		plain = pg_strncasecmp(url, "http://", 7) == 0;
	const char *host = url + (plain ? 7 : 8);
	const char *end;

	if (!plain && pg_strncasecmp(url, "https://", 8) != 0)
	{
		strm_faults_add(faults, "%s must be an https:// URL", what);
		return false;
	}
	end = host + strcspn(host, "/");
	if (end == host || strspn(url, STRM_HTTP_URL_CHARACTERS) != strlen(url))
	{
		strm_faults_add(faults, "%s must be a URL of a host, and a path if need be, and nothing else", what);
		return false;
	}
	if (plain && !(connector->trusted && strm_http_is_local_host(host, end)))
	{
		strm_faults_add(faults,
						"%s must be an https:// URL: plain http is for connectors of administrators to this machine itself",
						what);
		return false;
	}
	return true;
}

void
strm_http_add_header(List **headers, const char *name, const char *fmt,...)
{
	StrmHttpHeader *header = palloc(sizeof(StrmHttpHeader));
	StringInfoData value;

	initStringInfo(&value);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&value, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&value, needed);
	}
	header->name = pstrdup(name);
	header->value = value.data;
	*headers = lappend(*headers, header);
}

void
strm_http_encode(StringInfo out, const char *text, bool keep_slash)
{
	for (; *text != '\0'; text++)
	{
		unsigned char c = *text;

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-._~", c) != NULL ||
			(c == '/' && keep_slash))
			appendStringInfoCharMacro(out, c);
		else
			appendStringInfo(out, "%%%02X", c);
	}
}

/* The answer's headers, from their lines. */
static List *
strm_http_parse_headers(const StrmHttpTransfer *transfer)
{
	List	   *headers = NIL;
	const char *line = transfer->headers;

	while (*line != '\0')
	{
		const char *end = line + strcspn(line, "\r\n");
		const char *colon = memchr(line, ':', end - line);

		if (colon != NULL)
		{
			char	   *name = pnstrdup(line, colon - line);
			const char *value = colon + 1 + strspn(colon + 1, " \t");

			for (char *p = name; *p != '\0'; p++)
				*p = pg_ascii_tolower(*p);
			strm_http_add_header(&headers, name, "%.*s", (int) (end - Min(value, end)), value);
		}
		line = end + strspn(end, "\r\n");
	}
	return headers;
}

/* Reads the rest of the answer into memory; false when it breaks off or is too large. */
static bool
strm_http_collect(StrmHttpTransfer *transfer, StrmHttpResponse *response)
{
	Size		allocated = 8192;
	ssize_t		n;

	response->body = palloc(allocated + 1);
	while ((n = strm_http_transfer_read(transfer, response->body + response->body_size,
										allocated - response->body_size)) > 0)
	{
		response->body_size += n;
		if (response->body_size < allocated)
			continue;
		if (allocated >= STRM_HTTP_BODY_MAX)
		{
			transfer->fault = "the answer is too large";
			return false;
		}
		allocated *= 2;
		response->body = repalloc(response->body, allocated + 1);
	}
	response->body[response->body_size] = '\0';
	return n == 0;
}

const char *
strm_http_header(const StrmHttpResponse *response, const char *name)
{
	ListCell   *lc;

	foreach(lc, response->headers)
	{
		const StrmHttpHeader *header = lfirst(lc);

		if (strcmp(header->name, name) == 0)
			return header->value;
	}
	return NULL;
}

/* Appends n bytes of XML text with the five predefined entities replaced. */
static void
strm_http_xml_unescape(StringInfo out, const char *text, Size n)
{
	static const struct
	{
		const char *entity;
		char		c;
	}			entities[] = {
		{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&#34;", '"'}
	};

	for (const char *end = text + n; text < end;)
	{
		int			i = 0;

		while (i < lengthof(entities) && strncmp(text, entities[i].entity, strlen(entities[i].entity)) != 0)
			i++;
		appendStringInfoChar(out, i < lengthof(entities) ? entities[i].c : *text);
		text += i < lengthof(entities) ? strlen(entities[i].entity) : 1;
	}
}

char *
strm_http_xml_text(const char *xml, const char *tag)
{
	char	   *opening = psprintf("<%s>", tag);
	char	   *closing = psprintf("</%s>", tag);
	const char *start = strstr(xml, opening);
	const char *end = start != NULL ? strstr(start, closing) : NULL;
	StringInfoData text;

	if (end == NULL)
		return NULL;
	start += strlen(opening);
	initStringInfo(&text);
	strm_http_xml_unescape(&text, start, end - start);
	return text.data;
}

/*
 * S3 and Azure say <Code>, Azure also in a header (HEAD has no body), OAuth {"error": "invalid_grant"}. A code comes
 * from outside: only what looks like one is shown.
 */
const char *
strm_http_error_code(const StrmHttpResponse *response)
{
	const char *code = strm_http_header(response, "x-ms-error-code");
	const char *json;

	if (code == NULL && response->body != NULL)
		code = strm_http_xml_text(response->body, "Code");
	if (code == NULL && response->body != NULL && (json = strstr(response->body, "\"error\"")) != NULL)
	{
		json += strlen("\"error\"");
		json += strspn(json, " \t\r\n:");
		if (*json == '"')
			code = pnstrdup(json + 1, strcspn(json + 1, "\""));
	}
	if (code == NULL || code[0] == '\0' || strlen(code) > STRM_HTTP_CODE_SIZE)
		return "";
	for (const char *p = code; *p != '\0'; p++)
		if (!isalnum((unsigned char) *p) && strchr("._-", *p) == NULL)
			return "";
	return code;
}

/* Milliseconds that the answer asks to wait, at most STRM_HTTP_MAX_PAUSE; 0 without a wish. */
static long
strm_http_retry_after(const StrmHttpResponse *response)
{
	const char *text = response != NULL ? strm_http_header(response, "retry-after") : NULL;
	long		seconds = text != NULL && isdigit((unsigned char) text[0]) ? strtol(text, NULL, 10) : 0;

	return Min(seconds, STRM_HTTP_MAX_PAUSE / 1000) * 1000;
}

void
strm_http_pause(StrmHttp *http, int attempt, const StrmHttpResponse *response)
{
	double		jitter = pg_prng_double(&pg_global_prng_state);
	long		pause;
	TimestampTz end;

	pause = (long) (STRM_HTTP_FIRST_PAUSE * (1 << (attempt - 1)) * (1 + jitter / 2));
	pause = Max(pause, strm_http_retry_after(response));
	if (http->trying)
		pause = Min(pause, STRM_HTTP_FIRST_PAUSE);
	end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause);
	if (http->deadline != 0)
		end = Min(end, http->deadline);
	while ((pause = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end)) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Is it an answer that another attempt may better? */
static bool
strm_http_is_transient(const StrmHttpResponse *response, bool once)
{
	int			status = response->status;

	if (status == 429 || status == 503)
		return true;
	if (once)
		return false;
	return status == 408 || status == 500 || status == 502 || status == 504 ||
		(status == 400 && strcmp(strm_http_error_code(response), "RequestTimeout") == 0);
}

/*
 * One attempt. NULL when there was no answer, or not all of it: transfer knows why. With streaming, the body of a
 * success is left to be read.
 */
static StrmHttpResponse *
strm_http_attempt(StrmHttpTransfer *transfer, StrmHttpRequest *request, bool streaming)
{
	StrmHttpResponse *response;
	List	   *headers = list_copy(request->headers);
	int			status;

	request->attempts++;
	if (request->prepare != NULL)
		request->prepare(request, &headers);
	status = strm_http_transfer_start(transfer, request, headers);
	if (status == 0)
	{
		strm_http_transfer_stop(transfer);
		return NULL;
	}
	response = palloc0(sizeof(StrmHttpResponse));
	response->status = status;
	response->headers = strm_http_parse_headers(transfer);
	if (streaming && strm_http_succeeded(response))
		return response;
	if (!strm_http_collect(transfer, response))
		response = NULL;
	strm_http_transfer_stop(transfer);
	return response;
}

void
strm_http_raise_failure(const StrmHttpTransfer *transfer, const StrmHttpRequest *request)
{
	const StrmHttpPeer *peer = &transfer->http->peer;
	int			sqlstate = transfer->refused != NULL ? STRM_ERR_PRIVILEGE :
		transfer->fault != NULL ? STRM_ERR_STORE : STRM_ERR_CONNECT;

	if (request->path != NULL)
		ereport(ERROR, errcode(sqlstate),
				errmsg("could not %s \"%s\" of %s \"%s\": %s",
					   request->verb, request->path, peer->kind, peer->name, strm_http_transfer_failure(transfer)));
	ereport(ERROR, errcode(sqlstate),
			errmsg("could not %s %s \"%s\": %s",
				   request->verb, peer->kind, peer->name, strm_http_transfer_failure(transfer)));
}

/* Has the time that everything may take passed? */
static bool
strm_http_is_late(const StrmHttp *http)
{
	return http->deadline != 0 && GetCurrentTimestamp() >= http->deadline;
}

StrmHttpResponse *
strm_http_exchange(StrmHttp *http, StrmHttpTransfer *transfer, StrmHttpRequest *request, bool streaming)
{
	int			attempts = http->trying ? STRM_HTTP_TRY_ATTEMPTS : STRM_HTTP_ATTEMPTS;
	int			again = 0;
	int			failures = 0;
	bool		final;

	request->attempts = 0;
	for (;;)
	{
		StrmHttpResponse *response = strm_http_attempt(transfer, request, streaming);

		if (response != NULL && strm_http_succeeded(response))
			return response;
		if (response != NULL && !strm_http_is_transient(response, request->once))
		{
			if (request->again == NULL || again++ == STRM_HTTP_MAX_AGAIN || !request->again(request, response))
				return response;
			continue;
		}
		failures++;
		final = failures >= attempts || strm_http_is_late(http);
		if (response == NULL)
			final = final || !strm_http_transfer_retryable(transfer) ||
				(request->once && !strm_http_transfer_unsent(transfer));
		if (!final)
		{
			strm_http_pause(http, failures, response);
			final = strm_http_is_late(http);
		}
		if (final && response == NULL && !http->trying)
			strm_http_raise_failure(transfer, request);
		if (final)
			return response;
	}
}

StrmHttpResponse *
strm_http_call(StrmHttp *http, StrmHttpRequest *request)
{
	StrmHttpResponse *response;

	if (http->peer.limit == 0 || http->trying)
		return strm_http_exchange(http, http->call, request, false);
	http->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), http->peer.limit);
	response = strm_http_exchange(http, http->call, request, false);
	http->deadline = 0;
	return response;
}

/*
 * Failures of the connection do not raise here, so that an error that is being handled stays what it is. What signs may
 * still raise.
 */
StrmHttpResponse *
strm_http_try(StrmHttp *http, StrmHttpRequest *request)
{
	MemoryContext cxt = CurrentMemoryContext;
	StrmHttpResponse *volatile response = NULL;
	TimestampTz saved_deadline = http->deadline;
	bool		saved_trying = http->trying;
	uint32		holdoff = InterruptHoldoffCount;

	if (http->silent_since != 0 &&
		!TimestampDifferenceExceeds(http->silent_since, GetCurrentTimestamp(), STRM_HTTP_TRY_SILENCE))
		return NULL;
	HOLD_INTERRUPTS();
	if (!http->trying)
		http->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STRM_HTTP_TRY_TIME);
	http->trying = true;
	PG_TRY();
	{
		response = strm_http_exchange(http, http->call, request, false);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cxt);
		FlushErrorState();
	}
	PG_END_TRY();
	http->deadline = saved_deadline;
	http->trying = saved_trying;
	http->silent_since = response == NULL ? GetCurrentTimestamp() : 0;
	InterruptHoldoffCount = holdoff;
	return response;
}

/* Does the store refuse credentials? S3 answers 400 for tokens that have expired. */
static bool
strm_http_is_refusal(int status, const char *code)
{
	return status == 401 || status == 403 ||
		(status == 400 && (strcmp(code, "ExpiredToken") == 0 || strcmp(code, "InvalidToken") == 0 ||
						   strcmp(code, "TokenRefreshRequired") == 0));
}

void
strm_http_raise(StrmHttp *http, const StrmHttpRequest *request, const StrmHttpResponse *response)
{
	const StrmHttpPeer *peer = &http->peer;
	const char *code = strm_http_error_code(response);
	int			status = response->status;
	bool		refused = strm_http_is_refusal(status, code);
	int			sqlstate = refused ? STRM_ERR_REFUSED : status == 404 ? STRM_ERR_MISSING :
		status == 409 || status == 412 ? STRM_ERR_DUPLICATE : STRM_ERR_STORE;
	char	   *why = psprintf("the store answered %d%s%s%s", status, code[0] != '\0' ? " " : "", code,
							   status >= 300 && status < 400 ? ", and redirects are not followed" : "");

	if (request->path != NULL)
		ereport(ERROR, errcode(sqlstate),
				errmsg("could not %s \"%s\" of %s \"%s\": %s", request->verb, request->path, peer->kind, peer->name, why),
				refused ? errhint("Check the %s's credentials, and what they are allowed.", peer->kind) : 0);
	ereport(ERROR, errcode(sqlstate),
			errmsg("could not %s %s \"%s\": %s", request->verb, peer->kind, peer->name, why),
			refused ? errhint("Check the %s's credentials, and what they are allowed.", peer->kind) : 0);
}
