/*
 * azure.c
 *	  Kind azure: blobs in a container of Azure Storage.
 *
 *	  location: {"storageAccountUri" (https://account.blob.core.windows.net), "containerName", "authorityHost"
 *	  (https://login.microsoftonline.com without one)}.
 *	  credentials, one of: {"clientSecretCredential": {"tenantId", "clientId", "clientSecret"}},
 *	  {"sharedKey": {"accountName", "accountKey"}}, {"sasToken": "sv=...&sig=..."}.
 *
 *	  No more rights are needed than to write blobs below a prefix, and to read those that are read: a refusal to look
 *	  or to delete is no error.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "common/secret.h"
#include "connect/azure.h"
#include "crypto/base64.h"

#define STRM_AZURE_CHECK_FILE ".strm_privacy"
#define STRM_AZURE_CHECK_BODY "This file shows that strm_privacy can write here.\n"
#define STRM_AZURE_AUTHORITY "https://login.microsoftonline.com"
#define STRM_AZURE_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define STRM_AZURE_ID_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"
#define STRM_AZURE_SAS_CHARACTERS STRM_AZURE_ID_CHARACTERS "~%&=+:/,"

/* 3 to 63 of a-z, 0-9 and single hyphens inside; or a special container's name. */
static bool
strm_azure_is_container(const char *name)
{
	Size		size = strlen(name);

	if (strcmp(name, "$root") == 0 || strcmp(name, "$web") == 0)
		return true;
	return size >= 3 && size <= 63 && strspn(name, STRM_AZURE_NAME_CHARACTERS) == size && name[0] != '-' &&
		name[size - 1] != '-' && strstr(name, "--") == NULL;
}

/* A URL without slashes at its end. */
static char *
strm_azure_trim(char *url)
{
	for (Size size = strlen(url); size > 0 && url[size - 1] == '/'; size--)
		url[size - 1] = '\0';
	return url;
}

static void
strm_azure_read_location(const StrmConnector *connector, StrmDocument *document, StrmAzureStore *store)
{
	StrmMember	members[] = {{"storageAccountUri"}, {"containerName"}, {"authorityHost"}, {"clientSecretCredential"}};

	if (!JsonContainerIsObject(&connector->location->root))
	{
		strm_faults_add(document->faults, "location must be an object");
		return;
	}
	strm_document_members(document, &connector->location->root, "location", members, lengthof(members));
	store->uri = strm_document_string(document, &members[0], "location");
	store->container = strm_document_string(document, &members[1], "location");
	store->authority = strm_document_string(document, &members[2], "location");
	if (members[3].present)
		strm_faults_add(document->faults, "location: clientSecretCredential belongs into credentials");
	if (store->uri == NULL)
		strm_faults_add(document->faults, "location: storageAccountUri is missing");
	else if (strm_http_check_url(connector, store->uri, "location: storageAccountUri", document->faults))
		strm_azure_trim(store->uri);
	if (store->container == NULL)
		strm_faults_add(document->faults, "location: containerName is missing");
	else if (!strm_azure_is_container(store->container))
		strm_faults_add(document->faults,
						"location: containerName is not the name of a container: 3 to 63 of a-z, 0-9, and single - between them");
	if (store->authority == NULL)
		store->authority = pstrdup(STRM_AZURE_AUTHORITY);
	else if (strm_http_check_url(connector, store->authority, "location: authorityHost", document->faults))
		strm_azure_trim(store->authority);
}

/* A member's text in memory that is wiped; a fault when it is missing or has other characters. where: its object. */
static char *
strm_azure_secret_member(StrmDocument *document, const StrmMember *member, const char *where, const char *characters)
{
	Size		size;
	char	   *text;

	if (!member->present)
	{
		strm_faults_add(document->faults, "%s: %s is missing", where, member->name);
		return NULL;
	}
	if (member->value.type != jbvString || member->value.val.string.len == 0)
	{
		strm_faults_add(document->faults, "%s: %s must be a string that is not empty", where, member->name);
		return NULL;
	}
	size = member->value.val.string.len;
	text = strm_secret_alloc(CurrentMemoryContext, size + 1);
	memcpy(text, member->value.val.string.val, size);
	for (Size i = 0; i < size; i++)
	{
		bool		fits = characters != NULL ? text[i] != '\0' && strchr(characters, text[i]) != NULL :
			text[i] > ' ' && text[i] <= '~';

		if (!fits)
		{
			strm_faults_add(document->faults, "%s: %s has a character that such a value cannot have", where,
							member->name);
			return NULL;
		}
	}
	return text;
}

static void
strm_azure_read_shared_key(StrmDocument *document, JsonbContainer *object, StrmAzureCredentials *credentials)
{
	static const char where[] = "credentials: sharedKey";
	StrmMember	members[] = {{"accountName"}, {"accountKey"}};
	char	   *key;
	Size		size;
	size_t		decoded;

	strm_document_members(document, object, where, members, lengthof(members));
	credentials->account_name = strm_azure_secret_member(document, &members[0], where, STRM_AZURE_ID_CHARACTERS);
	key = strm_azure_secret_member(document, &members[1], where, NULL);
	if (key == NULL)
		return;
	size = strlen(key);
	credentials->account_key = strm_secret_alloc(CurrentMemoryContext, size + 1);
	if (!strm_base64_decode(key, size, credentials->account_key, &decoded) || decoded == 0)
		strm_faults_add(document->faults, "%s: accountKey is not base64", where);
	else
		credentials->account_key_size = decoded;
}

static void
strm_azure_read_client_secret(StrmDocument *document, JsonbContainer *object, StrmAzureCredentials *credentials)
{
	static const char where[] = "credentials: clientSecretCredential";
	StrmMember	members[] = {{"tenantId"}, {"clientId"}, {"clientSecret"}};

	strm_document_members(document, object, where, members, lengthof(members));
	credentials->tenant_id = strm_azure_secret_member(document, &members[0], where, STRM_AZURE_ID_CHARACTERS);
	credentials->client_id = strm_azure_secret_member(document, &members[1], where, STRM_AZURE_ID_CHARACTERS);
	credentials->client_secret = strm_azure_secret_member(document, &members[2], where, NULL);
}

/* A SAS token: as the portal shows it, with or without the question mark. */
static void
strm_azure_read_sas(StrmDocument *document, const StrmMember *member, StrmAzureCredentials *credentials)
{
	char	   *sas = strm_azure_secret_member(document, member, "credentials", STRM_AZURE_SAS_CHARACTERS "?");

	if (sas == NULL)
		return;
	if (sas[0] == '?')
		sas++;
	if (strchr(sas, '?') != NULL || (strncmp(sas, "sig=", 4) != 0 && strstr(sas, "&sig=") == NULL))
		strm_faults_add(document->faults, "credentials: sasToken is not a SAS token: it has no sig, or is a URL");
	credentials->sas = sas;
}

static void
strm_azure_read_credentials(const StrmConnector *connector, StrmDocument *document, StrmAzureCredentials *credentials)
{
	StrmMember	members[] = {{"clientSecretCredential"}, {"sharedKey"}, {"sasToken"}};
	JsonbContainer *object;

	memset(credentials, 0, sizeof(*credentials));
	if (connector->credentials == NULL || !JsonContainerIsObject(&connector->credentials->root))
	{
		strm_faults_add(document->faults,
						"credentials must be an object with the member clientSecretCredential, sharedKey or sasToken");
		return;
	}
	strm_document_members(document, &connector->credentials->root, "credentials", members, lengthof(members));
	if (members[0].present + members[1].present + members[2].present != 1)
		strm_faults_add(document->faults,
						"credentials must have exactly one of clientSecretCredential, sharedKey and sasToken");
	object = strm_document_object(document, &members[0], "credentials");
	if (object != NULL)
		strm_azure_read_client_secret(document, object, credentials);
	object = strm_document_object(document, &members[1], "credentials");
	if (object != NULL)
		strm_azure_read_shared_key(document, object, credentials);
	if (members[2].present)
		strm_azure_read_sas(document, &members[2], credentials);
}

/* Reads a definition into store, in the current context. */
static void
strm_azure_read_definition(const StrmConnector *connector, StrmFaults *faults, StrmAzureStore *store)
{
	StrmDocument document = {faults};

	initStringInfo(&document.ignored);
	strm_azure_read_location(connector, &document, store);
	strm_azure_read_credentials(connector, &document, &store->credentials);
}

static void
strm_azure_check_definition(const StrmConnector *connector, StrmFaults *faults)
{
	StrmAzureStore store = {0};

	strm_azure_read_definition(connector, faults, &store);
}

static StrmStore *
strm_azure_open(const StrmConnector *connector)
{
	StrmAzureStore *store = palloc0(sizeof(StrmAzureStore));
	StrmFaults	faults;

	strm_faults_init(&faults);
	strm_azure_read_definition(connector, &faults, store);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT,
					  psprintf("data connector \"%s\" is not valid", connector->name), NULL);
	store->base.connector = connector;
	store->cxt = CurrentMemoryContext;
	store->scratch = AllocSetContextCreate(CurrentMemoryContext, "strm azure store", ALLOCSET_DEFAULT_SIZES);
	store->http = strm_http_open(connector);
	return &store->base;
}

static void
strm_azure_close(StrmStore *store)
{
	strm_http_close(((StrmAzureStore *) store)->http);
}

/* Does the store accept the credentials, but not for looking at blobs? */
static bool
strm_azure_may_not_look(const StrmHttpResponse *response)
{
	const char *code = strm_http_error_code(response);

	return response->status == 403 && strncmp(code, "Authorization", strlen("Authorization")) == 0 &&
		strstr(code, "Mismatch") != NULL;
}

/* Whether there is a blob is not told without the right to read it: then none is assumed. */
bool
strm_azure_exists(StrmStore *base, const char *path)
{
	StrmAzureStore *store = (StrmAzureStore *) base;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	StrmAzureRequest *request;
	StrmHttpResponse *response;
	bool		exists;

	MemoryContextReset(store->scratch);
	request = strm_azure_request(store, "look for", "HEAD", path);
	response = strm_http_call(store->http, &request->http);
	exists = strm_http_succeeded(response);
	if (!exists && response->status != 404 && !strm_azure_may_not_look(response))
		strm_http_raise(store->http, &request->http, response);
	MemoryContextSwitchTo(old);
	return exists;
}

static StrmByteSource *
strm_azure_read(StrmStore *base, const char *path)
{
	StrmAzureStore *store = (StrmAzureStore *) base;

	return strm_http_source(store->http, &strm_azure_request(store, "read", "GET", pstrdup(path))->http);
}

static void
strm_azure_check(StrmStore *base, const char *prefix)
{
	StrmAzureStore *store = (StrmAzureStore *) base;
	MemoryContext old = MemoryContextSwitchTo(store->scratch);
	StrmAzureRequest *request;
	StrmHttpResponse *response;

	MemoryContextReset(store->scratch);
	request = strm_azure_request(store, "write", "PUT",
								 psprintf("%s%s" STRM_AZURE_CHECK_FILE, prefix, prefix[0] != '\0' ? "/" : ""));
	strm_azure_request_body(request, STRM_AZURE_CHECK_BODY, strlen(STRM_AZURE_CHECK_BODY));
	strm_http_add_header(&request->http.headers, "x-ms-blob-type", "BlockBlob");
	response = strm_http_call(store->http, &request->http);
	if (!strm_http_succeeded(response))
		strm_http_raise(store->http, &request->http, response);
	MemoryContextSwitchTo(old);
}

const StrmConnectorKind strm_azure_kind = {
	.name = "azure",
	.check_definition = strm_azure_check_definition,
	.open = strm_azure_open,
	.close = strm_azure_close,
	.exists = strm_azure_exists,
	.read = strm_azure_read,
	.write = strm_azure_write,
	.check = strm_azure_check,
	.clean_up = strm_azure_clean_up,
};
