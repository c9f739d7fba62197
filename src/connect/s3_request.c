/*
 * s3_request.c
 *	  Requests of S3's protocol: their URLs, their signatures, and buckets that turn out to be in another region.
 */
#include "postgres.h"

#include <time.h>

#include "connect/s3.h"

#define STRM_S3_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define STRM_S3_AUTHORIZATION_SIZE 2048
#define STRM_S3_REGION_MAX 40
#define STRM_S3_MAX_SIGNED 32
#define STRM_S3_MAX_RENEWAL 2	/* attempts after which an expired token is fetched again */

/* Scheme and host of a URL (https://host:port), and its path without a slash at the end. */
static void
strm_s3_split_url(const char *url, char **scheme, char **host, char **path)
{
	const char *start = strstr(url, "://") + 3;
	const char *end = start + strcspn(start, "/");
	int			size;

	*scheme = pnstrdup(url, start - url);
	*host = pnstrdup(start, end - start);
	for (size = strlen(end); size > 0 && end[size - 1] == '/'; size--)
		;
	*path = pnstrdup(end, size);
}

/* Where Amazon has the bucket's region. */
static char *
strm_s3_amazon_url(const StrmS3Store *store)
{
	return psprintf("https://s3.%s.amazonaws.com%s", store->region, strncmp(store->region, "cn-", 3) == 0 ? ".cn" : "");
}

/* Before each attempt: URL and signature, as the store knows its region and its key now. */
static void
strm_s3_prepare(StrmHttpRequest *http, List **headers)
{
	StrmS3Request *request = http->arg;
	StrmS3Store *store = request->store;
	char	   *scheme;
	char	   *host;
	char	   *base;
	StringInfoData path;

	strm_s3_split_url(store->endpoint != NULL ? store->endpoint : strm_s3_amazon_url(store), &scheme, &host, &base);
	initStringInfo(&path);
	appendStringInfoString(&path, base);
	if (store->path_style)
		appendStringInfo(&path, "/%s", store->bucket);
	else
		host = psprintf("%s.%s", store->bucket, host);
	if (request->key[0] != '\0' || !store->path_style)
		appendStringInfoChar(&path, '/');
	strm_http_encode(&path, request->key, true);

	http->url = psprintf("%s%s%s%s%s", scheme, host, path.data, request->query[0] != '\0' ? "?" : "", request->query);
	strm_http_add_header(headers, "host", "%s", host);
	store->dialect->authorize(store, request, host, path.data, headers);
}

/*
 * After an answer that is no success: is the bucket in another region? Redirects as such are never followed; a new
 * region changes Amazon's host name, and what is signed.
 */
static bool
strm_s3_other_region(StrmS3Store *store, const StrmHttpResponse *response)
{
	const char *region = strm_http_header(response, "x-amz-bucket-region");

	if (region == NULL && response->status == 400)
		region = strm_http_xml_text(response->body, "Region");
	if (region == NULL || response->status >= 500 || strcmp(region, store->region) == 0)
		return false;
	if (region[0] == '\0' || strlen(region) > STRM_S3_REGION_MAX ||
		strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region))
		return false;
	store->region = MemoryContextStrdup(store->cxt, region);
	return true;
}

/* Does an answer that is no success lead elsewhere, or ask for another token? */
static bool
strm_s3_again(StrmHttpRequest *http, const StrmHttpResponse *response)
{
	StrmS3Store *store = ((StrmS3Request *) http->arg)->store;

	if (strm_s3_other_region(store, response))
		return true;
	return (response->status == 401 || strcmp(strm_http_error_code(response), "ExpiredToken") == 0) &&
		http->attempts <= STRM_S3_MAX_RENEWAL && store->dialect->forget != NULL && store->dialect->forget(store);
}

StrmS3Request *
strm_s3_request(StrmS3Store *store, const char *verb, const char *method, const char *key, const char *query)
{
	StrmS3Request *request = palloc0(sizeof(StrmS3Request));

	request->http.verb = verb;
	request->http.path = key[0] != '\0' ? key : NULL;
	request->http.method = method;
	request->http.prepare = strm_s3_prepare;
	request->http.again = strm_s3_again;
	request->http.arg = request;
	request->store = store;
	request->key = key;
	request->query = query;
	strlcpy(request->payload_hash, STRM_S3_EMPTY_HASH, sizeof(request->payload_hash));
	return request;
}

void
strm_s3_request_body(StrmS3Request *request, const char *body, Size size)
{
	request->http.body = body;
	request->http.body_size = size;
	if (!strm_sigv4_hash(body, size, request->payload_hash))
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not compute a hash"));
	strm_http_add_header(&request->http.headers, "content-type", "application/octet-stream");
}

void
strm_s3_request_header(StrmS3Request *request, const char *name, const char *value)
{
	strm_http_add_header(&request->http.headers, psprintf("%s%s", request->store->dialect->prefix, name), "%s", value);
}

StrmHttpResponse *
strm_s3_call(StrmS3Request *request)
{
	StrmHttpResponse *response = strm_http_call(request->store->http, &request->http);

	if (!strm_http_succeeded(response))
		strm_http_raise(request->store->http, &request->http, response);
	return response;
}

static int
strm_s3_compare_headers(const void *a, const void *b)
{
	return strcmp(((const StrmSigv4Header *) a)->name, ((const StrmSigv4Header *) b)->name);
}

void
strm_s3_sign(const StrmS3Key *key, const char *region, const char *service, bool google, const StrmHttpRequest *request,
			 const char *host, const char *path, const char *query, const char *payload_hash, List **headers)
{
	const char *prefix = google ? "x-goog-" : "x-amz-";
	StrmSigv4Header sorted[STRM_S3_MAX_SIGNED];
	char		date[STRM_SIGV4_DATE_SIZE];
	time_t		now = time(NULL);
	struct tm	utc;
	char	   *authorization = palloc(STRM_S3_AUTHORIZATION_SIZE);
	StrmSigv4	to_sign = {
		.google = google, .access_key = key->access_key, .secret_key = key->secret_key, .region = region,
		.service = service, .date = date, .method = request->method, .path = path, .query = query,
		.headers = sorted, .payload_hash = payload_hash
	};
	ListCell   *lc;

	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
	strm_http_add_header(headers, psprintf("%sdate", prefix), "%s", date);
	strm_http_add_header(headers, psprintf("%scontent-sha256", prefix), "%s", payload_hash);
	if (key->session_token != NULL)
		strm_http_add_header(headers, "x-amz-security-token", "%s", key->session_token);

	foreach(lc, *headers)
	{
		StrmHttpHeader *header = lfirst(lc);

		if (to_sign.nheaders == STRM_S3_MAX_SIGNED)
			ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("too many headers to sign"));
		sorted[to_sign.nheaders].name = header->name;
		sorted[to_sign.nheaders++].value = header->value;
	}
	qsort(sorted, to_sign.nheaders, sizeof(sorted[0]), strm_s3_compare_headers);
	if (!strm_sigv4_authorization(&to_sign, authorization, STRM_S3_AUTHORIZATION_SIZE))
		ereport(ERROR, errcode(STRM_ERR_LIMIT), errmsg("the access key or the region of a data connector is too long"));
	strm_http_add_header(headers, "authorization", "%s", authorization);
}
