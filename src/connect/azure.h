/*
 * azure.h
 *	  Kind azure: blobs of Azure Storage. For azure*.c and for the table of kinds.
 *
 *	  A store's scratch context is reset when an operation begins; what an operation returns to the outside lives in the
 *	  context that was current.
 */
#ifndef STRM_CONNECT_AZURE_H
#define STRM_CONNECT_AZURE_H

#include "connect/azure_sign.h"
#include "connect/http.h"
#include "connect/oauth.h"
#include "contract/document.h"

extern const StrmConnectorKind strm_azure_kind;

/* Credentials: exactly one of the three. Secrets are in memory that is wiped. */
typedef struct StrmAzureCredentials
{
	char	   *account_name;	/* of a shared key */
	unsigned char *account_key;
	Size		account_key_size;
	char	   *sas;			/* a query string without its question mark */
	char	   *tenant_id;		/* of a client secret */
	char	   *client_id;
	char	   *client_secret;
} StrmAzureCredentials;

typedef struct StrmAzureStore
{
	StrmStore	base;
	StrmHttp   *http;
	MemoryContext cxt;
	MemoryContext scratch;
	char	   *uri;			/* https://account.blob.core.windows.net, without a slash at the end */
	char	   *container;
	char	   *authority;		/* that gives tokens, without a slash at the end */
	StrmAzureCredentials credentials;
	StrmOAuthToken token;		/* of a client secret */
} StrmAzureStore;

#define STRM_AZURE_PARAMETERS 2

/* A request for a blob. */
typedef struct StrmAzureRequest
{
	StrmHttpRequest http;
	StrmAzureStore *store;
	const char *key;
	StrmAzureField parameters[STRM_AZURE_PARAMETERS];	/* sorted by name */
	int			nparameters;
	bool		renewed;		/* it has already got a new token */
} StrmAzureRequest;

/* --- azure_request.c --- */

/* A request in the current context. */
extern StrmAzureRequest *strm_azure_request(StrmAzureStore *store, const char *verb, const char *method,
											const char *key);

/* Adds a parameter to the query; in the order of their names. */
extern void strm_azure_request_parameter(StrmAzureRequest *request, const char *name, const char *value);

/* Its body, which stays where it is; a store refuses it when it is not what was sent. */
extern void strm_azure_request_body(StrmAzureRequest *request, const char *body, Size size);

/* --- azure_token.c --- */

/* The token of a client secret, fetched when there is none, or when it is about to expire. */
extern const char *strm_azure_current_token(StrmAzureStore *store);

/* --- azure_sink.c --- */

extern StrmByteSink *strm_azure_write(StrmStore *store, const char *path, const StrmSinkOptions *options);
extern bool strm_azure_clean_up(StrmStore *store, const char *path, const pg_uuid_t *intent, const char *detail);

/* --- azure.c --- */

extern bool strm_azure_exists(StrmStore *store, const char *path);

#endif							/* STRM_CONNECT_AZURE_H */
