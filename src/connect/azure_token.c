/*
 * azure_token.c
 *	  Tokens of Microsoft Entra ID for a client's secret (OAuth 2.0's client credentials).
 *	  https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 */
#include "postgres.h"

#include "connect/azure.h"

#define STRM_AZURE_SCOPE "https://storage.azure.com/.default"

/* The request's body. */
static char *
strm_azure_token_form(const StrmAzureCredentials *credentials)
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

const char *
strm_azure_current_token(StrmAzureStore *store)
{
	if (strm_oauth_needs_token(&store->token))
	{
		StrmOAuthLogin login = {
			.connector = store->base.connector->name,
			.url = psprintf("%s/%s/oauth2/v2.0/token", store->authority, store->credentials.tenant_id),
			.form = strm_azure_token_form(&store->credentials),
			.hint = "Check tenantId, clientId and clientSecret, and whether the secret has expired.",
		};

		strm_oauth_fetch(store->http, &login, store->cxt, &store->token);
	}
	return store->token.text;
}
