/*
 * azure_token.c
 *	  Tokens of Microsoft Entra ID for a client's secret (OAuth 2.0's client credentials).
 *	  https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "common/secret.h"
#include "connect/azure.h"

#define STRM_AZURE_SCOPE "https://storage.azure.com/.default"
#define STRM_AZURE_TOKEN_MAX 86400	/* seconds that a token is used for at most */
#define STRM_AZURE_TOKEN_SPARE 300	/* seconds before its end that a token is not used any more */

/* The request's body; the caller wipes it. */
static char *
strm_azure_token_body(const StrmAzureCredentials *credentials)
{
	StringInfoData body;

	initStringInfo(&body);
	/* at once as large as it gets, so that no half of it is left behind */
	enlargeStringInfo(&body, 256 + 3 * (strlen(credentials->client_id) + strlen(credentials->client_secret)));
	appendStringInfoString(&body, "grant_type=client_credentials&client_id=");
	strm_http_encode(&body, credentials->client_id, false);
	appendStringInfoString(&body, "&scope=");
	strm_http_encode(&body, STRM_AZURE_SCOPE, false);
	appendStringInfoString(&body, "&client_secret=");
	strm_http_encode(&body, credentials->client_secret, false);
	return body.data;
}

/* Takes token and expiry from the answer; false when they are not there. */
static bool
strm_azure_take_token(StrmAzureStore *store, const StrmHttpResponse *response)
{
	StrmFaults	faults;
	Jsonb	   *answer;
	JsonbValue	token;
	JsonbValue	seconds;
	float8		valid;

	strm_faults_init(&faults);
	answer = strm_document_parse(&faults, response->body, "the answer");
	if (answer == NULL || !JsonContainerIsObject(&answer->root) ||
		getKeyJsonValueFromContainer(&answer->root, "access_token", strlen("access_token"), &token) == NULL ||
		token.type != jbvString || token.val.string.len == 0 ||
		getKeyJsonValueFromContainer(&answer->root, "expires_in", strlen("expires_in"), &seconds) == NULL ||
		seconds.type != jbvNumeric)
		return false;
	for (int i = 0; i < token.val.string.len; i++)
		if (token.val.string.val[i] <= ' ' || token.val.string.val[i] > '~')
			return false;
	store->token = memcpy(strm_secret_alloc(store->cxt, token.val.string.len + 1), token.val.string.val,
						  token.val.string.len);
	valid = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(seconds.val.numeric)));
	valid = Max(Min(valid, STRM_AZURE_TOKEN_MAX) - STRM_AZURE_TOKEN_SPARE, 0);
	store->token_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) (valid * 1000));
	return true;
}

static void
strm_azure_fetch_token(StrmAzureStore *store)
{
	const char *name = store->base.connector->name;
	char	   *body = strm_azure_token_body(&store->credentials);
	StrmHttpRequest request = {.verb = "log in to", .method = "POST"};
	StrmHttpResponse *response;

	request.url = psprintf("%s/%s/oauth2/v2.0/token", store->authority, store->credentials.tenant_id);
	request.body = body;
	request.body_size = strlen(body);
	strm_http_add_header(&request.headers, "content-type", "application/x-www-form-urlencoded");
	response = strm_http_call(store->http, &request);
	strm_secret_wipe(body, strlen(body));
	if (response == NULL)
		ereport(ERROR, errcode(STRM_ERR_CONNECT), errmsg("could not log in to data connector \"%s\"", name));
	/* invalid_client, unauthorized_client, invalid_request (no such tenant) */
	if (response->status == 400 || response->status == 401)
		ereport(ERROR, errcode(STRM_ERR_REFUSED),
				errmsg("could not log in to data connector \"%s\": the server answered %d %s", name, response->status,
					   strm_http_error_code(response)),
				errhint("Check tenantId, clientId and clientSecret, and whether the secret has expired."));
	if (!strm_http_succeeded(response))
		strm_http_raise(store->http, &request, response);
	if (!strm_azure_take_token(store, response))
		ereport(ERROR, errcode(STRM_ERR_STORE),
				errmsg("could not log in to data connector \"%s\": the answer has no token", name));
	strm_secret_wipe(response->body, response->body_size);
}

const char *
strm_azure_current_token(StrmAzureStore *store)
{
	if (store->token == NULL || store->token_until <= GetCurrentTimestamp())
		strm_azure_fetch_token(store);
	return store->token;
}
