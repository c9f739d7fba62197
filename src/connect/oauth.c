/*
 * oauth.c
 *	  Asking for access tokens (RFC 6749, sections 4.4 and 5).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "common/secret.h"
#include "connect/oauth.h"
#include "contract/document.h"

#define STRM_OAUTH_TOKEN_MAX 86400	/* seconds that a token is used for at most */
#define STRM_OAUTH_TOKEN_SPARE 300	/* seconds before its end that a token is not used any more */

bool
strm_oauth_needs_token(const StrmOAuthToken *token)
{
	return token->text == NULL || token->until <= GetCurrentTimestamp();
}

/* Takes token and expiry from the answer; false when they are not there. */
static bool
strm_oauth_take_token(const StrmHttpResponse *response, MemoryContext cxt, StrmOAuthToken *token)
{
	StrmFaults	faults;
	Jsonb	   *answer;
	JsonbValue	text;
	JsonbValue	seconds;
	float8		valid;

	strm_faults_init(&faults);
	answer = strm_document_parse(&faults, response->body, "the answer");
	if (answer == NULL || !JsonContainerIsObject(&answer->root) ||
		getKeyJsonValueFromContainer(&answer->root, "access_token", strlen("access_token"), &text) == NULL ||
		text.type != jbvString || text.val.string.len == 0 ||
		getKeyJsonValueFromContainer(&answer->root, "expires_in", strlen("expires_in"), &seconds) == NULL ||
		seconds.type != jbvNumeric)
		return false;
	for (int i = 0; i < text.val.string.len; i++)
		if (text.val.string.val[i] <= ' ' || text.val.string.val[i] > '~')
			return false;
	token->text = memcpy(strm_secret_alloc(cxt, text.val.string.len + 1), text.val.string.val, text.val.string.len);
	valid = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(seconds.val.numeric)));
	valid = Max(Min(valid, STRM_OAUTH_TOKEN_MAX) - STRM_OAUTH_TOKEN_SPARE, 0);
	token->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) (valid * 1000));
	return true;
}

void
strm_oauth_fetch(StrmHttp *http, const StrmOAuthLogin *login, MemoryContext cxt, StrmOAuthToken *token)
{
	StrmHttpRequest request = {.verb = "log in to", .method = "POST"};
	StrmHttpResponse *response;

	request.url = login->url;
	request.body = login->form;
	request.body_size = strlen(login->form);
	strm_http_add_header(&request.headers, "content-type", "application/x-www-form-urlencoded");
	response = strm_http_call(http, &request);
	strm_secret_wipe(login->form, request.body_size);
	if (response == NULL)
		ereport(ERROR, errcode(STRM_ERR_CONNECT),
				errmsg("could not log in to data connector \"%s\"", login->connector));
	/* invalid_client, unauthorized_client, invalid_grant, invalid_request */
	if (response->status == 400 || response->status == 401)
		ereport(ERROR, errcode(STRM_ERR_REFUSED),
				errmsg("could not log in to data connector \"%s\": the server answered %d %s", login->connector,
					   response->status, strm_http_error_code(response)),
				errhint("%s", login->hint));
	if (!strm_http_succeeded(response))
		strm_http_raise(http, &request, response);
	if (!strm_oauth_take_token(response, cxt, token))
		ereport(ERROR, errcode(STRM_ERR_STORE),
				errmsg("could not log in to data connector \"%s\": the answer has no token", login->connector));
	strm_secret_wipe(response->body, response->body_size);
}
