/*
 * azure_request.c
 *	  Requests for blobs: their URLs, and what shows who asks.
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <time.h>

#include "connect/azure.h"
#include "crypto/base64.h"

#define STRM_AZURE_VERSION "2021-12-02"
#define STRM_AZURE_AUTHORIZATION_SIZE 512
#define STRM_AZURE_MAX_HEADERS 32
#define STRM_AZURE_MD5_SIZE 16

/* Appends URL's query: the parameters, and a SAS token. */
static void
strm_azure_append_query(const StrmAzureRequest *request, StringInfo url)
{
	char		separator = '?';

	for (int i = 0; i < request->nparameters; i++)
	{
		appendStringInfo(url, "%c%s=", separator, request->parameters[i].name);
		strm_http_encode(url, request->parameters[i].value, false);
		separator = '&';
	}
	if (request->store->credentials.sas != NULL)
		appendStringInfo(url, "%c%s", separator, request->store->credentials.sas);
}

static int
strm_azure_compare_headers(const void *a, const void *b)
{
	return strcmp(((const StrmAzureField *) a)->name, ((const StrmAzureField *) b)->name);
}

/* Appends the Authorization header of a shared key. path: as sent. */
static void
strm_azure_sign(const StrmAzureRequest *request, const char *path, List **headers)
{
	const StrmAzureCredentials *credentials = &request->store->credentials;
	StrmAzureField sorted[STRM_AZURE_MAX_HEADERS];
	StrmAzureToSign to_sign = {
		.account = credentials->account_name, .method = request->http.method, .path = path,
		.parameters = request->parameters, .nparameters = request->nparameters, .headers = sorted,
		.body_size = request->http.body_size
	};
	char		authorization[STRM_AZURE_AUTHORIZATION_SIZE];
	ListCell   *lc;

	foreach(lc, *headers)
	{
		const StrmHttpHeader *header = lfirst(lc);

		if (to_sign.nheaders == STRM_AZURE_MAX_HEADERS)
			ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("too many headers to sign"));
		sorted[to_sign.nheaders].name = header->name;
		sorted[to_sign.nheaders++].value = header->value;
	}
	qsort(sorted, to_sign.nheaders, sizeof(sorted[0]), strm_azure_compare_headers);
	if (!strm_azure_authorization(&to_sign, credentials->account_key, credentials->account_key_size, authorization,
								  sizeof(authorization)))
		ereport(ERROR, errcode(STRM_ERR_LIMIT),
				errmsg("the account's name or the path of a data connector is too long"));
	strm_http_add_header(headers, "authorization", "%s", authorization);
}

/* Before each attempt: the URL, and what shows who asks, as of now. */
static void
strm_azure_prepare(StrmHttpRequest *http, List **headers)
{
	StrmAzureRequest *request = http->arg;
	StrmAzureStore *store = request->store;
	const char *host = strstr(store->uri, "://") + 3;
	StringInfoData path;
	StringInfoData url;
	char		date[64];
	time_t		now = time(NULL);
	struct tm	utc;

	initStringInfo(&path);
	appendStringInfo(&path, "%s/%s/", host + strcspn(host, "/"), store->container);
	strm_http_encode(&path, request->key, true);
	initStringInfo(&url);
	appendStringInfo(&url, "%.*s%s", (int) (host + strcspn(host, "/") - store->uri), store->uri, path.data);
	strm_azure_append_query(request, &url);
	http->url = url.data;

	/* in English whatever the server's locale is: %a and %b of strftime() are not */
	gmtime_r(&now, &utc);
	snprintf(date, sizeof(date), "%.3s, %02d %.3s %d %02d:%02d:%02d GMT", &"SunMonTueWedThuFriSat"[utc.tm_wday * 3],
			 utc.tm_mday, &"JanFebMarAprMayJunJulAugSepOctNovDec"[utc.tm_mon * 3], utc.tm_year + 1900, utc.tm_hour,
			 utc.tm_min, utc.tm_sec);
	strm_http_add_header(headers, "x-ms-date", "%s", date);
	strm_http_add_header(headers, "x-ms-version", "%s", STRM_AZURE_VERSION);
	if (store->credentials.account_key != NULL)
		strm_azure_sign(request, path.data, headers);
	else if (store->credentials.client_secret != NULL)
		strm_http_add_header(headers, "authorization", "Bearer %s", strm_azure_current_token(store));
}

/* After an answer that is no success: a token that is no longer accepted is renewed, once. */
static bool
strm_azure_renew(StrmHttpRequest *http, const StrmHttpResponse *response)
{
	StrmAzureRequest *request = http->arg;

	if (response->status != 401 || request->store->credentials.client_secret == NULL || request->renewed)
		return false;
	request->renewed = true;
	request->store->token.until = 0;
	return true;
}

StrmAzureRequest *
strm_azure_request(StrmAzureStore *store, const char *verb, const char *method, const char *key)
{
	StrmAzureRequest *request = palloc0(sizeof(StrmAzureRequest));

	request->http.verb = verb;
	request->http.path = key;
	request->http.method = method;
	request->http.prepare = strm_azure_prepare;
	request->http.again = strm_azure_renew;
	request->http.arg = request;
	request->store = store;
	request->key = key;
	return request;
}

void
strm_azure_request_parameter(StrmAzureRequest *request, const char *name, const char *value)
{
	Assert(request->nparameters < STRM_AZURE_PARAMETERS);
	request->parameters[request->nparameters].name = name;
	request->parameters[request->nparameters++].value = value;
}

/* A server that allows only FIPS's algorithms has no MD5: then there is none to send. */
void
strm_azure_request_body(StrmAzureRequest *request, const char *body, Size size)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char		encoded[STRM_BASE64_SIZE(STRM_AZURE_MD5_SIZE) + 1];
	unsigned int hash_size = 0;

	request->http.body = body;
	request->http.body_size = size;
	/* always set, as libcurl would make one up that is not signed */
	strm_http_add_header(&request->http.headers, "content-type", "application/octet-stream");
	if (EVP_Digest(body, size, hash, &hash_size, EVP_md5(), NULL) == 1 && hash_size == STRM_AZURE_MD5_SIZE)
	{
		strm_base64_encode(hash, STRM_AZURE_MD5_SIZE, encoded);
		encoded[STRM_BASE64_SIZE(STRM_AZURE_MD5_SIZE)] = '\0';
		strm_http_add_header(&request->http.headers, "content-md5", "%s", encoded);
	}
	ERR_clear_error();
}
