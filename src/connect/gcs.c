/*
 * gcs.c
 *	  Kind gcs: objects in a bucket of Google Cloud Storage, through its XML API, which is S3's with names of its own.
 *
 *	  location: {"bucketName", "endpoint" (https://storage.googleapis.com without one)}.
 *	  credentials: the JSON file of a service account, or the HMAC key of one as {"AccessKey": {"AccessKeyId",
 *	  "SecretAccessKey"}}.
 *
 *	  Of a service account a token is fetched with a signed assertion (RFC 7523), and fetched again shortly before it
 *	  expires. https://cloud.google.com/storage/docs/xml-api/overview
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <time.h>

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "common/secret.h"
#include "connect/oauth.h"
#include "connect/s3.h"
#include "crypto/base64.h"

#define STRM_GCS_ENDPOINT "https://storage.googleapis.com"
#define STRM_GCS_SCOPE "https://www.googleapis.com/auth/devstorage.read_write"
#define STRM_GCS_TOKEN_URI "https://oauth2.googleapis.com/token"
#define STRM_GCS_GRANT_TYPE "urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer"
#define STRM_GCS_ASSERTION_SECONDS 3600

typedef struct StrmGcsAccount
{
	char	   *email;
	char	   *key_id;			/* may be NULL */
	char	   *private_key;	/* PEM, in memory that is wiped */
	char	   *token_uri;
	StrmOAuthToken token;
} StrmGcsAccount;

/* The members of a service account's file. */
static bool
strm_gcs_is_account(Jsonb *credentials)
{
	static const char *const names[] = {"private_key", "privateKey", "type"};
	JsonbValue	value;

	if (credentials == NULL || !JsonContainerIsObject(&credentials->root))
		return false;
	for (int i = 0; i < lengthof(names); i++)
		if (getKeyJsonValueFromContainer(&credentials->root, names[i], strlen(names[i]), &value) != NULL)
			return true;
	return false;
}

/* The private key of a PEM text; NULL when it is none. The caller frees it. */
static EVP_PKEY *
strm_gcs_parse_key(const char *pem)
{
	BIO		   *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY   *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *) "") : NULL;

	BIO_free(bio);
	ERR_clear_error();
	if (key != NULL && EVP_PKEY_base_id(key) != EVP_PKEY_RSA)
	{
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

static void
strm_gcs_read_account(const StrmConnector *connector, StrmDocument *document, StrmGcsAccount *account)
{
	StrmMember	members[] = {
		{"clientEmail"}, {"privateKeyId"}, {"privateKey"}, {"tokenUri"}, {"type"},
		{"projectId", true}, {"clientId", true}, {"authUri", true}, {"authProviderX509CertUrl", true},
		{"clientX509CertUrl", true}, {"universeDomain", true}
	};
	char	   *type;
	char	   *pem;
	EVP_PKEY   *key;

	strm_document_members(document, &connector->credentials->root, "credentials", members, lengthof(members));
	account->email = strm_document_string(document, &members[0], "credentials");
	account->key_id = strm_document_string(document, &members[1], "credentials");
	account->token_uri = strm_document_string(document, &members[3], "credentials");
	type = strm_document_string(document, &members[4], "credentials");
	if (type != NULL && strcmp(type, "service_account") != 0)
		strm_faults_add(document->faults, "credentials: type must be service_account");
	if (account->email == NULL)
		strm_faults_add(document->faults, "credentials: clientEmail is missing");
	if (account->token_uri == NULL)
		account->token_uri = pstrdup(STRM_GCS_TOKEN_URI);
	(void) strm_http_check_url(connector, account->token_uri, "credentials: tokenUri", document->faults);
	pem = strm_document_string(document, &members[2], "credentials");
	if (pem == NULL)
	{
		strm_faults_add(document->faults, "credentials: privateKey is missing");
		return;
	}
	account->private_key = memcpy(strm_secret_alloc(CurrentMemoryContext, strlen(pem) + 1), pem, strlen(pem));
	strm_secret_wipe(pem, strlen(pem));
	key = strm_gcs_parse_key(account->private_key);
	if (key == NULL)
		strm_faults_add(document->faults, "credentials: privateKey is not an RSA key in PEM form");
	EVP_PKEY_free(key);
}

static void
strm_gcs_read_location(const StrmConnector *connector, StrmDocument *document, char **bucket, char **endpoint)
{
	StrmMember	members[] = {{"bucketName"}, {"endpoint"}};

	*bucket = *endpoint = NULL;
	if (!JsonContainerIsObject(&connector->location->root))
	{
		strm_faults_add(document->faults, "location must be an object");
		return;
	}
	strm_document_members(document, &connector->location->root, "location", members, lengthof(members));
	*bucket = strm_document_string(document, &members[0], "location");
	*endpoint = strm_document_string(document, &members[1], "location");
	if (*bucket == NULL)
		strm_faults_add(document->faults, "location: bucketName is missing");
	else
		strm_s3_check_bucket(*bucket, document->faults);
	if (*endpoint == NULL)
		*endpoint = pstrdup(STRM_GCS_ENDPOINT);
	(void) strm_http_check_url(connector, *endpoint, "location: endpoint", document->faults);
}

/* Reads a definition: exactly one of account and key gets something. */
static void
strm_gcs_read_definition(const StrmConnector *connector, StrmFaults *faults, char **bucket, char **endpoint,
						 StrmGcsAccount *account, StrmS3Key *key)
{
	StrmDocument document = {faults};

	initStringInfo(&document.ignored);
	strm_gcs_read_location(connector, &document, bucket, endpoint);
	if (strm_gcs_is_account(connector->credentials))
		strm_gcs_read_account(connector, &document, account);
	else
		strm_s3_read_key(&document, connector->credentials, key);
}

static void
strm_gcs_check_definition(const StrmConnector *connector, StrmFaults *faults)
{
	char	   *bucket;
	char	   *endpoint;
	StrmGcsAccount account = {0};
	StrmS3Key	key;

	strm_gcs_read_definition(connector, faults, &bucket, &endpoint, &account, &key);
}

/* Appends base64url without padding. */
static void
strm_gcs_append_base64url(StringInfo out, const void *data, Size size)
{
	int			start = out->len;

	enlargeStringInfo(out, STRM_BASE64_SIZE(size) + 1);
	strm_base64_encode(data, size, out->data + out->len);
	out->len += STRM_BASE64_SIZE(size);
	while (out->len > start && out->data[out->len - 1] == '=')
		out->len--;
	out->data[out->len] = '\0';
	for (char *p = out->data + start; *p != '\0'; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

/* Appends the RS256 signature of text. */
static void
strm_gcs_append_signature(StringInfo out, const char *pem, const char *text, Size size)
{
	EVP_PKEY   *key = strm_gcs_parse_key(pem);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char signature[1024];
	size_t		signature_size = sizeof(signature);
	bool		done = key != NULL && md != NULL && EVP_PKEY_size(key) <= (int) sizeof(signature) &&
		EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestSign(md, signature, &signature_size, (const unsigned char *) text, size) == 1;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (!done)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not sign with the private key of a data connector"));
	strm_gcs_append_base64url(out, signature, signature_size);
}

/* The signed claim to be that account: header.claims.signature. */
static char *
strm_gcs_assertion(const StrmGcsAccount *account)
{
	StringInfoData header;
	StringInfoData claims;
	StringInfoData assertion;
	int64		now = (int64) time(NULL);

	initStringInfo(&header);
	appendStringInfoString(&header, "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
	if (account->key_id != NULL)
	{
		appendStringInfoString(&header, ",\"kid\":");
		escape_json(&header, account->key_id);
	}
	appendStringInfoChar(&header, '}');
	initStringInfo(&claims);
	appendStringInfoString(&claims, "{\"iss\":");
	escape_json(&claims, account->email);
	appendStringInfoString(&claims, ",\"scope\":\"" STRM_GCS_SCOPE "\",\"aud\":");
	escape_json(&claims, account->token_uri);
	appendStringInfo(&claims, ",\"iat\":" INT64_FORMAT ",\"exp\":" INT64_FORMAT "}",
					 now, now + STRM_GCS_ASSERTION_SECONDS);

	initStringInfo(&assertion);
	strm_gcs_append_base64url(&assertion, header.data, header.len);
	appendStringInfoChar(&assertion, '.');
	strm_gcs_append_base64url(&assertion, claims.data, claims.len);
	header.len = 0;
	strm_gcs_append_signature(&header, account->private_key, assertion.data, assertion.len);
	appendStringInfo(&assertion, ".%s", header.data);
	return assertion.data;
}

static void
strm_gcs_fetch_token(StrmS3Store *store)
{
	StrmGcsAccount *account = store->dialect_state;
	char	   *assertion = strm_gcs_assertion(account);
	StrmOAuthLogin login = {
		.connector = store->base.connector->name,
		.url = account->token_uri,
		.form = psprintf("grant_type=" STRM_GCS_GRANT_TYPE "&assertion=%s", assertion),
		.hint = "Check the service account and its key.",
	};

	strm_secret_wipe(assertion, strlen(assertion));
	strm_oauth_fetch(store->http, &login, store->cxt, &account->token);
}

static void
strm_gcs_authorize_account(StrmS3Store *store, StrmS3Request *request, const char *host, const char *path,
						   List **headers)
{
	StrmGcsAccount *account = store->dialect_state;

	if (strm_oauth_needs_token(&account->token))
		strm_gcs_fetch_token(store);
	strm_http_add_header(headers, "authorization", "Bearer %s", account->token.text);
}

static bool
strm_gcs_forget_token(StrmS3Store *store)
{
	((StrmGcsAccount *) store->dialect_state)->token.until = 0;
	return true;
}

static void
strm_gcs_authorize_key(StrmS3Store *store, StrmS3Request *request, const char *host, const char *path, List **headers)
{
	strm_s3_sign(&store->key, store->region, "storage", true, &request->http, host, path, request->query,
				 request->payload_hash, headers);
}

static const StrmS3Dialect strm_gcs_with_account = {
	.prefix = "x-goog-",
	.absent_name = "x-goog-if-generation-match",
	.absent_value = "0",
	.authorize = strm_gcs_authorize_account,
	.forget = strm_gcs_forget_token,
};

static const StrmS3Dialect strm_gcs_with_key = {
	.prefix = "x-goog-",
	.absent_name = "x-goog-if-generation-match",
	.absent_value = "0",
	.authorize = strm_gcs_authorize_key,
};

static StrmStore *
strm_gcs_open(const StrmConnector *connector)
{
	bool		is_account = strm_gcs_is_account(connector->credentials);
	StrmGcsAccount *account = palloc0(sizeof(StrmGcsAccount));
	const StrmS3Dialect *dialect = is_account ? &strm_gcs_with_account : &strm_gcs_with_key;
	StrmS3Store *store = strm_s3_store_create(connector, dialect);
	StrmFaults	faults;

	strm_faults_init(&faults);
	strm_gcs_read_definition(connector, &faults, &store->bucket, &store->endpoint, account, &store->key);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT,
					  psprintf("data connector \"%s\" is not valid", connector->name), NULL);
	store->region = pstrdup("auto");
	store->path_style = true;
	store->dialect_state = account;
	return &store->base;
}

const StrmConnectorKind strm_gcs_kind = {
	.name = "gcs",
	.check_definition = strm_gcs_check_definition,
	.open = strm_gcs_open,
	.close = strm_s3_close,
	.exists = strm_s3_exists,
	.read = strm_s3_read,
	.write = strm_s3_write,
	.check = strm_s3_check,
	.clean_up = strm_s3_clean_up,
};
