/*
 * s3_role.c
 *	  The key that requests are signed with: the connector's own, or, with assumeRoleArn, one that lasts an hour and is
 *	  fetched with it from the Security Token Service.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "common/secret.h"
#include "connect/s3.h"

#define STRM_S3_ROLE_SECONDS 3600
#define STRM_S3_ROLE_SPARE 300	/* seconds before its end that a key is not used any more */

/* One request to the service, signed with the connector's own key. */
typedef struct StrmS3RoleRequest
{
	StrmHttpRequest http;
	StrmS3Store *store;
	const char *host;
	char		payload_hash[STRM_SIGV4_HASH_SIZE];
} StrmS3RoleRequest;

static void
strm_s3_role_prepare(StrmHttpRequest *http, List **headers)
{
	StrmS3RoleRequest *request = http->arg;

	strm_http_add_header(headers, "host", "%s", request->host);
	strm_s3_sign(&request->store->key, request->store->region, "sts", false, http, request->host, "/", "",
				 request->payload_hash, headers);
}

/* A copy of text that is wiped with the store. */
static char *
strm_s3_keep(StrmS3Store *store, char *text)
{
	Size		size = strlen(text);
	char	   *copy = memcpy(strm_secret_alloc(store->cxt, size + 1), text, size);

	strm_secret_wipe(text, size);
	return copy;
}

static void
strm_s3_role_assume(StrmS3Store *store)
{
	const char *suffix = strncmp(store->region, "cn-", 3) == 0 ? ".cn" : "";
	char	   *url = store->sts_endpoint != NULL ? pstrdup(store->sts_endpoint) :
		psprintf("https://sts.%s.amazonaws.com%s", store->region, suffix);
	StrmS3RoleRequest request = {0};
	StringInfoData body;
	StrmHttpResponse *response;
	char	   *access_key;
	char	   *secret_key;
	char	   *token;

	initStringInfo(&body);
	appendStringInfoString(&body, "Action=AssumeRole&RoleArn=");
	strm_http_encode(&body, store->role, false);
	appendStringInfo(&body, "&RoleSessionName=strm_privacy&DurationSeconds=%d&Version=2011-06-15",
					 STRM_S3_ROLE_SECONDS);

	while (url[strlen(url) - 1] == '/')
		url[strlen(url) - 1] = '\0';
	request.host = strstr(url, "://") + 3;
	request.store = store;
	request.http.verb = "assume the role of";
	request.http.method = "POST";
	request.http.url = psprintf("%s/", url);
	request.http.body = body.data;
	request.http.body_size = body.len;
	request.http.prepare = strm_s3_role_prepare;
	request.http.arg = &request;
	strm_http_add_header(&request.http.headers, "content-type", "application/x-www-form-urlencoded");
	if (!strm_sigv4_hash(body.data, body.len, request.payload_hash))
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not compute a hash"));

	response = strm_http_call(store->http, &request.http);
	if (response == NULL)
		ereport(ERROR, errcode(STRM_ERR_CONNECT),
				errmsg("could not assume the role of data connector \"%s\"", store->base.connector->name));
	if (!strm_http_succeeded(response))
		strm_http_raise(store->http, &request.http, response);
	access_key = strm_http_xml_text(response->body, "AccessKeyId");
	secret_key = strm_http_xml_text(response->body, "SecretAccessKey");
	token = strm_http_xml_text(response->body, "SessionToken");
	strm_secret_wipe(response->body, response->body_size);
	if (access_key == NULL || secret_key == NULL || token == NULL)
		ereport(ERROR, errcode(STRM_ERR_STORE),
				errmsg("could not assume the role of data connector \"%s\": the answer has no access key",
					   store->base.connector->name));
	store->role_key.access_key = strm_s3_keep(store, access_key);
	store->role_key.secret_key = strm_s3_keep(store, secret_key);
	store->role_key.session_token = strm_s3_keep(store, token);
	store->role_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													(STRM_S3_ROLE_SECONDS - STRM_S3_ROLE_SPARE) * INT64CONST(1000));
}

const StrmS3Key *
strm_s3_current_key(StrmS3Store *store)
{
	if (store->role == NULL)
		return &store->key;
	if (store->role_until <= GetCurrentTimestamp())
		strm_s3_role_assume(store);
	return &store->role_key;
}
