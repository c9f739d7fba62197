/*
 * oauth.h
 *	  Access tokens of OAuth 2.0, which a store takes instead of credentials for some time.
 */
#ifndef STRM_CONNECT_OAUTH_H
#define STRM_CONNECT_OAUTH_H

#include "datatype/timestamp.h"

#include "connect/http.h"

typedef struct StrmOAuthToken
{
	char	   *text;			/* NULL: none yet */
	TimestampTz until;			/* it is not used any longer than this; 0: it is to be renewed */
} StrmOAuthToken;

/* What is needed to ask a server for a token. */
typedef struct StrmOAuthLogin
{
	const char *connector;		/* its name, for messages */
	const char *url;			/* the server's token endpoint */
	char	   *form;			/* the request's body; wiped */
	const char *hint;			/* of the error when the server refuses */
} StrmOAuthLogin;

/* Is there no token that could be used now? */
extern bool strm_oauth_needs_token(const StrmOAuthToken *token);

/*
 * Fetches a token, its text in cxt and wiped with that. Raises STRM_ERR_REFUSED when the server refuses the login, else
 * as strm_http_call() and strm_http_raise() do.
 */
extern void strm_oauth_fetch(StrmHttp *http, const StrmOAuthLogin *login, MemoryContext cxt, StrmOAuthToken *token);

#endif							/* STRM_CONNECT_OAUTH_H */
