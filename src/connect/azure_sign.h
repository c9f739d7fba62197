/*
 * azure_sign.h
 *	  Azure Storage's SharedKey signatures. Knows nothing of the server: no palloc, no ereport.
 *	  https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
 */
#ifndef STRM_CONNECT_AZURE_SIGN_H
#define STRM_CONNECT_AZURE_SIGN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct StrmAzureField
{
	const char *name;			/* lower case */
	const char *value;			/* of a header without white space at its ends; of a parameter not encoded */
} StrmAzureField;

typedef struct StrmAzureToSign
{
	const char *account;
	const char *method;
	const char *path;			/* percent-encoded, as sent: "/container/object", before it the emulator's account */
	const StrmAzureField *parameters;	/* of the query, sorted by name */
	int			nparameters;
	const StrmAzureField *headers;	/* sorted by name; those that are not signed may be among them */
	int			nheaders;
	size_t		body_size;
} StrmAzureToSign;

/* Writes the text that is signed to out; false when it does not fit into size. */
extern bool strm_azure_string_to_sign(const StrmAzureToSign *request, char *out, size_t size);

/* Writes the value of the Authorization header to out; false when it does not fit into size. key: decoded. */
extern bool strm_azure_authorization(const StrmAzureToSign *request, const unsigned char *key, size_t key_size,
									 char *out, size_t size);

#endif							/* STRM_CONNECT_AZURE_SIGN_H */
