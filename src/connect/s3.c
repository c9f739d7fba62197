/*
 * s3.c
 *	  Kind s3: objects in a bucket of Amazon S3, or of a store that speaks its protocol.
 *
 *	  location: {"bucketName", "region" (us-east-1 until the store names another one), "endpoint" (Amazon's without
 *	  one), "pathStyle", "serverSideEncryption" (AES256 or aws:kms), "kmsKeyId", "assumeRoleArn", "stsEndpoint"}.
 *	  credentials: {"AccessKey": {"AccessKeyId", "SecretAccessKey", "SessionToken"}}.
 *
 *	  No more rights are needed than to put and get objects below a prefix: a refusal to list, delete or abort is no
 *	  error.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "common/secret.h"
#include "connect/s3.h"

#define STRM_S3_CHECK_FILE ".strm_privacy"
#define STRM_S3_CHECK_BODY "This file shows that strm_privacy can write here.\n"
#define STRM_S3_DEFAULT_REGION "us-east-1"
#define STRM_S3_ARN_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/_-"
#define STRM_S3_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

typedef struct StrmS3Location
{
	char	   *bucket;
	char	   *region;
	char	   *endpoint;
	bool		path_style;
	bool		path_style_given;
	char	   *encryption;
	char	   *kms_key;
	char	   *role;
	char	   *sts_endpoint;
} StrmS3Location;

void
strm_s3_check_bucket(const char *bucket, StrmFaults *faults)
{
	Size		size = strlen(bucket);

	if (size < 3 || size > 63 || strspn(bucket, STRM_S3_NAME_CHARACTERS "._") != size || bucket[0] == '.' ||
		bucket[0] == '-' || strstr(bucket, "..") != NULL)
		strm_faults_add(faults, "location: bucketName is not the name of a bucket: 3 to 63 of a-z, 0-9, -, . and _");
}

/* Faults of single members of a location. */
static void
strm_s3_check_location(const StrmConnector *connector, const StrmS3Location *location, StrmFaults *faults)
{
	if (location->bucket == NULL)
		strm_faults_add(faults, "location: bucketName is missing");
	else
		strm_s3_check_bucket(location->bucket, faults);
	if (location->region != NULL &&
		(location->region[0] == '\0' || strspn(location->region, STRM_S3_NAME_CHARACTERS) != strlen(location->region) ||
		 strlen(location->region) > 40))
		strm_faults_add(faults, "location: region is not the name of a region");
	if (location->endpoint != NULL)
		(void) strm_http_check_url(connector, location->endpoint, "location: endpoint", faults);
	if (location->sts_endpoint != NULL &&
		strm_http_check_url(connector, location->sts_endpoint, "location: stsEndpoint", faults) &&
		strchr(strstr(location->sts_endpoint, "://") + 3, '/') != NULL &&
		strchr(strstr(location->sts_endpoint, "://") + 3, '/')[1] != '\0')
		strm_faults_add(faults, "location: stsEndpoint must not have a path");
	if (location->encryption != NULL && strcmp(location->encryption, "AES256") != 0 &&
		strcmp(location->encryption, "aws:kms") != 0)
		strm_faults_add(faults, "location: serverSideEncryption must be AES256 or aws:kms");
	if (location->kms_key != NULL && (location->encryption == NULL || strcmp(location->encryption, "aws:kms") != 0))
		strm_faults_add(faults, "location: kmsKeyId needs serverSideEncryption aws:kms");
	if (location->kms_key != NULL &&
		strspn(location->kms_key, STRM_S3_ARN_CHARACTERS) != strlen(location->kms_key))
		strm_faults_add(faults, "location: kmsKeyId is not the id, alias or ARN of a key");
	if (location->role != NULL && strncmp(location->role, "arn:", 4) != 0)
		strm_faults_add(faults, "location: assumeRoleArn is not an ARN");
}

static void
strm_s3_read_location(const StrmConnector *connector, StrmDocument *document, StrmS3Location *location)
{
	StrmMember	members[] = {
		{"bucketName"}, {"region"}, {"endpoint"}, {"pathStyle"}, {"serverSideEncryption"}, {"kmsKeyId"},
		{"assumeRoleArn"}, {"stsEndpoint"}
	};

	memset(location, 0, sizeof(*location));
	if (!JsonContainerIsObject(&connector->location->root))
	{
		strm_faults_add(document->faults, "location must be an object");
		return;
	}
	strm_document_members(document, &connector->location->root, "location", members, lengthof(members));
	location->bucket = strm_document_string(document, &members[0], "location");
	location->region = strm_document_string(document, &members[1], "location");
	location->endpoint = strm_document_string(document, &members[2], "location");
	location->path_style = strm_document_bool(document, &members[3], "location");
	location->path_style_given = members[3].present;
	location->encryption = strm_document_string(document, &members[4], "location");
	location->kms_key = strm_document_string(document, &members[5], "location");
	location->role = strm_document_string(document, &members[6], "location");
	location->sts_endpoint = strm_document_string(document, &members[7], "location");
	strm_s3_check_location(connector, location, document->faults);
}

/* A string member that must be there and not empty, in memory that is wiped; it must be printable ASCII. */
static char *
strm_s3_secret_member(StrmDocument *document, StrmMember *member, bool required)
{
	Size		size;
	char	   *text;

	if (!member->present)
	{
		if (required)
			strm_faults_add(document->faults, "credentials: %s is missing", member->name);
		return NULL;
	}
	if (member->value.type != jbvString || member->value.val.string.len == 0)
	{
		strm_faults_add(document->faults, "credentials: %s must be a string that is not empty", member->name);
		return NULL;
	}
	size = member->value.val.string.len;
	for (Size i = 0; i < size; i++)
	{
		if (member->value.val.string.val[i] <= ' ' || member->value.val.string.val[i] > '~')
		{
			strm_faults_add(document->faults, "credentials: %s has a character that such a value cannot have",
							member->name);
			return NULL;
		}
	}
	text = strm_secret_alloc(CurrentMemoryContext, size + 1);
	return memcpy(text, member->value.val.string.val, size);
}

void
strm_s3_read_key(StrmDocument *document, Jsonb *credentials, StrmS3Key *key)
{
	/* Amazon's tools write members with a capital letter. */
	StrmMember	outer[] = {{"AccessKey"}, {"accessKey"}, {"Credentials"}, {"credentials"}};
	StrmMember	members[] = {
		{"AccessKeyId"}, {"accessKeyId"}, {"SecretAccessKey"}, {"secretAccessKey"}, {"SessionToken"}, {"sessionToken"},
		{"UserName", true}, {"Status", true}, {"CreateDate", true}, {"Expiration", true}
	};
	JsonbContainer *object;
	StrmFaults	unknown;
	StrmDocument wrapper = {&unknown};

	memset(key, 0, sizeof(*key));
	if (credentials == NULL || !JsonContainerIsObject(&credentials->root))
	{
		strm_faults_add(document->faults, "credentials must be an object with the member AccessKey");
		return;
	}
	object = &credentials->root;
	strm_faults_init(&unknown);
	initStringInfo(&wrapper.ignored);
	strm_document_members(&wrapper, object, "credentials", outer, lengthof(outer));
	for (int i = 0; i < lengthof(outer) && unknown.count == 0; i++)
	{
		if (!outer[i].present)
			continue;
		object = strm_document_object(document, &outer[i], "credentials");
		if (object == NULL)
			return;
	}
	strm_document_members(document, object, "credentials", members, lengthof(members));
	for (int i = 0; i < 6; i += 2)
		if (members[i + 1].present)
			members[i] = members[i + 1];
	key->access_key = strm_s3_secret_member(document, &members[0], true);
	key->secret_key = strm_s3_secret_member(document, &members[2], true);
	key->session_token = strm_s3_secret_member(document, &members[4], false);
}

static void
strm_s3_check_definition(const StrmConnector *connector, StrmFaults *faults)
{
	StrmDocument document = {faults};
	StrmS3Location location;
	StrmS3Key	key;

	initStringInfo(&document.ignored);
	strm_s3_read_location(connector, &document, &location);
	strm_s3_read_key(&document, connector->credentials, &key);
}

static void
strm_s3_authorize(StrmS3Store *store, StrmS3Request *request, const char *host, const char *path, List **headers)
{
	strm_s3_sign(strm_s3_current_key(store), store->region, "s3", false, &request->http, host, path, request->query,
				 request->payload_hash, headers);
}

static bool
strm_s3_forget(StrmS3Store *store)
{
	store->role_until = 0;
	return store->role != NULL;
}

static const StrmS3Dialect strm_s3_amazon = {
	.prefix = "x-amz-",
	.absent_name = "if-none-match",
	.absent_value = "*",
	.authorize = strm_s3_authorize,
	.forget = strm_s3_forget,
};

StrmS3Store *
strm_s3_store_create(const StrmConnector *connector, const StrmS3Dialect *dialect)
{
	StrmS3Store *store = palloc0(sizeof(StrmS3Store));

	store->base.connector = connector;
	store->dialect = dialect;
	store->cxt = CurrentMemoryContext;
	store->scratch = AllocSetContextCreate(CurrentMemoryContext, "strm s3 store", ALLOCSET_DEFAULT_SIZES);
	store->http = strm_http_open(connector);
	return store;
}

static StrmStore *
strm_s3_open(const StrmConnector *connector)
{
	StrmS3Store *store = strm_s3_store_create(connector, &strm_s3_amazon);
	StrmFaults	faults;
	StrmDocument document = {&faults};
	StrmS3Location location;

	strm_faults_init(&faults);
	initStringInfo(&document.ignored);
	strm_s3_read_location(connector, &document, &location);
	strm_s3_read_key(&document, connector->credentials, &store->key);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT,
					  psprintf("data connector \"%s\" is not valid", connector->name), NULL);

	store->bucket = location.bucket;
	store->region = location.region != NULL ? location.region : pstrdup(STRM_S3_DEFAULT_REGION);
	store->endpoint = location.endpoint;
	/* A certificate for *.s3.amazonaws.com does not cover names with dots. */
	store->path_style = location.path_style_given ? location.path_style :
		location.endpoint != NULL || strpbrk(location.bucket, "._") != NULL;
	store->encryption = location.encryption;
	store->kms_key = location.kms_key;
	store->role = location.role;
	store->sts_endpoint = location.sts_endpoint;
	return &store->base;
}

void
strm_s3_close(StrmStore *store)
{
	strm_http_close(((StrmS3Store *) store)->http);
}

/*
 * HEAD was refused, and its answer has no body to say why: GET of the first byte tells. Without the right to list, a
 * store answers AccessDenied for an object that is not there; what else is refused raises.
 */
static bool
strm_s3_exists_by_get(StrmS3Store *store, const char *path)
{
	StrmS3Request *request = strm_s3_request(store, "look for", "GET", path, "");
	StrmHttpResponse *response;

	strm_http_add_header(&request->http.headers, "range", "bytes=0-0");
	response = strm_http_call(store->http, &request->http);
	if (strm_http_succeeded(response) || response->status == 416)
		return true;
	if (response->status != 404 &&
		(response->status != 403 || strcmp(strm_http_error_code(response), "AccessDenied") != 0))
		strm_http_raise(store->http, &request->http, response);
	return false;
}

bool
strm_s3_exists(StrmStore *base, const char *path)
{
	StrmS3Store *store = (StrmS3Store *) base;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	StrmS3Request *request;
	StrmHttpResponse *response;
	bool		found;

	MemoryContextReset(store->scratch);
	request = strm_s3_request(store, "look for", "HEAD", path, "");
	response = strm_http_call(store->http, &request->http);
	found = strm_http_succeeded(response);
	if (response->status == 400 || response->status == 403)
		found = strm_s3_exists_by_get(store, path);
	else if (!found && response->status != 404)
		strm_http_raise(store->http, &request->http, response);
	MemoryContextSwitchTo(old);
	return found;
}

StrmByteSource *
strm_s3_read(StrmStore *base, const char *path)
{
	StrmS3Request *request = strm_s3_request((StrmS3Store *) base, "read", "GET", pstrdup(path), "");

	return strm_http_source(((StrmS3Store *) base)->http, &request->http);
}

void
strm_s3_check(StrmStore *base, const char *prefix)
{
	StrmS3Store *store = (StrmS3Store *) base;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	StrmS3Request *request;

	MemoryContextReset(store->scratch);
	request = strm_s3_request(store, "write", "PUT",
							  psprintf("%s%s" STRM_S3_CHECK_FILE, prefix, prefix[0] != '\0' ? "/" : ""), "");
	strm_s3_request_body(request, STRM_S3_CHECK_BODY, strlen(STRM_S3_CHECK_BODY));
	if (store->encryption != NULL)
		strm_s3_request_header(request, "server-side-encryption", store->encryption);
	if (store->kms_key != NULL)
		strm_s3_request_header(request, "server-side-encryption-aws-kms-key-id", store->kms_key);
	(void) strm_s3_call(request);
	MemoryContextSwitchTo(old);
}

const StrmConnectorKind strm_s3_kind = {
	.name = "s3",
	.check_definition = strm_s3_check_definition,
	.open = strm_s3_open,
	.close = strm_s3_close,
	.exists = strm_s3_exists,
	.read = strm_s3_read,
	.write = strm_s3_write,
	.check = strm_s3_check,
	.clean_up = strm_s3_clean_up,
};
