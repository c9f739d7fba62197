/*
 * http.h
 *	  HTTPS to object stores and other servers: one session per open store, requests with bodies from memory, answers in
 *	  memory or streamed.
 *
 *	  TLS is always verified. Plain http is for this machine's own addresses, and those only for trusted peers;
 *	  link-local addresses (metadata services) are never reached, whatever a name resolves to. No proxy, cookie,
 *	  password file or redirect is used. Requests are repeated with growing pauses where that can help. All waiting can
 *	  be interrupted. Sessions live outside transactions, see common/bytes.h.
 *
 *	  No message has a URL, a header or a body in it: those carry signatures, tokens and data.
 */
#ifndef STRM_CONNECT_HTTP_H
#define STRM_CONNECT_HTTP_H

#include "nodes/pg_list.h"

#include "connect/connector.h"
#include "strm_privacy.h"

/* One session: connections that are kept open for the next request. */
typedef struct StrmHttp StrmHttp;

/* Whom a session speaks to. Messages say: could not <verb> <kind> "<name>". */
typedef struct StrmHttpPeer
{
	const char *kind;			/* "data connector" */
	const char *name;
	bool		trusted;		/* an administrator vouches for it: it may be this machine itself */
	const char *ca;				/* certificates in PEM, the only ones that are trusted; NULL: those of the server */
	int			limit;			/* milliseconds that a call takes at most, repetitions included; 0: any time */
} StrmHttpPeer;

typedef struct StrmHttpHeader
{
	char	   *name;			/* lower case in answers */
	char	   *value;
} StrmHttpHeader;

typedef struct StrmHttpResponse StrmHttpResponse;

/*
 * One request; initialise with {0}. With a path, messages say: could not <verb> "<path>" of data connector "...".
 */
typedef struct StrmHttpRequest
{
	const char *verb;			/* "read" */
	const char *path;
	const char *method;			/* "GET", "HEAD", "PUT", "POST", "DELETE" */
	const char *url;			/* complete and percent-encoded */
	List	   *headers;		/* of StrmHttpHeader: strm_http_add_header() */
	const char *body;			/* stays where it is until the call returns */
	Size		body_size;
	/* Repeating could do harm: then only what surely was not done is repeated. */
	bool		once;
	/*
	 * Called before each attempt, when set: signs. Appends to *headers, which start as a copy of the request's, and may
	 * set url. May itself call over the same session.
	 */
	void		(*prepare) (struct StrmHttpRequest *request, List **headers);
	/*
	 * Called with a final answer that is no success, when set: true repeats the request at once, for a redirect to a
	 * server that prepare will use now. At most three times.
	 */
	bool		(*again) (struct StrmHttpRequest *request, const StrmHttpResponse *response);
	void	   *arg;			/* for prepare and again */
	int			attempts;		/* set during a call: attempts so far, the first is 1 */
} StrmHttpRequest;

struct StrmHttpResponse
{
	int			status;			/* 200 */
	List	   *headers;		/* of StrmHttpHeader */
	char	   *body;			/* at most 1 MiB, and a zero behind it */
	Size		body_size;
};

/* A session in the current memory context; ends with it, at the latest. What peer points to lives as long. */
extern StrmHttp *strm_http_open(const StrmConnector *connector);
extern StrmHttp *strm_http_open_peer(const StrmHttpPeer *peer);
extern void strm_http_close(StrmHttp *http);

/*
 * A fault unless url is an https:// URL with a host, without user, query and fragment; or an http:// one, for
 * connectors that are trusted, to a host that can be this machine. what: "location.endpoint".
 */
extern bool strm_http_check_url(const StrmConnector *connector, const char *url, const char *what, StrmFaults *faults);

/* Appends a header to a list of them, in the current memory context. */
extern void strm_http_add_header(List **headers, const char *name, const char *fmt,...) pg_attribute_printf(3, 4);

/* Appends text percent-encoded: all but A-Za-z0-9-._~, and / too when keep_slash. */
extern void strm_http_encode(StringInfo out, const char *text, bool keep_slash);

/*
 * Makes a request, as often as needed, and returns the last answer, whatever its status, in the current memory context.
 * Raises STRM_ERR_CONNECT when none came; but NULL when prepare calls it on behalf of strm_http_try().
 */
extern StrmHttpResponse *strm_http_call(StrmHttp *http, StrmHttpRequest *request);

/*
 * The same, but never raises, cannot be interrupted, and takes 10 seconds at most: for taking things away after an
 * error. NULL when there was no answer, and then at once for some time: a store that is gone costs 10 seconds once.
 */
extern StrmHttpResponse *strm_http_try(StrmHttp *http, StrmHttpRequest *request);

/*
 * A source of the body that a GET answers, streamed. Raises when the answer is no success. A broken connection is
 * resumed where it broke, if the object is still the same (by its ETag). request and what it points to must live as
 * long as the source.
 */
extern StrmByteSource *strm_http_source(StrmHttp *http, StrmHttpRequest *request);

/* The value of a header (name in lower case) of an answer, or NULL. */
extern const char *strm_http_header(const StrmHttpResponse *response, const char *name);

/* The text of the first element <tag> of an XML body, unescaped, in the current memory context; NULL without one. */
extern char *strm_http_xml_text(const char *xml, const char *tag);

/* The store's own code for an error ("AccessDenied"), or "". Nothing but letters, digits, . _ and -. */
extern const char *strm_http_error_code(const StrmHttpResponse *response);

/* Is it an answer to a request that was done? */
#define strm_http_succeeded(response) ((response)->status >= 200 && (response)->status < 300)

/*
 * Raises the error that an answer means: STRM_ERR_REFUSED for 401, 403 and expired tokens, STRM_ERR_MISSING for 404,
 * STRM_ERR_DUPLICATE for 409 and 412, else STRM_ERR_STORE.
 */
pg_noreturn extern void strm_http_raise(StrmHttp *http, const StrmHttpRequest *request,
										const StrmHttpResponse *response);

#endif							/* STRM_CONNECT_HTTP_H */
