/*
 * azure_sign.c
 *	  SharedKey signatures: HMAC-SHA256 of a text that is made of the request.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "connect/azure_sign.h"

/* Room for the text: names of containers and objects are at most a few kilobytes when encoded. */
#define STRM_AZURE_TEXT_MAX 16384

/* A text that is being written. */
typedef struct StrmAzureText
{
	char	   *text;
	size_t		size;
	size_t		used;
	bool		full;
} StrmAzureText;

static void
strm_azure_add(StrmAzureText *out, const char *text)
{
	size_t		length = strlen(text);

	if (out->full || length >= out->size - out->used)
	{
		out->full = true;
		return;
	}
	memcpy(out->text + out->used, text, length + 1);
	out->used += length;
}

/* The headers that are signed by their place, one a line, absent ones as empty lines; but for the length. */
static void
strm_azure_add_standard(StrmAzureText *out, const StrmAzureToSign *request)
{
	static const char *const names[] = {
		"content-encoding", "content-language", "content-length", "content-md5", "content-type", "date",
		"if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(names[i], "content-length") == 0)
		{
			char		length[32];

			/* an empty body has no length here */
			snprintf(length, sizeof(length), "%zu", request->body_size);
			strm_azure_add(out, request->body_size > 0 ? length : "");
		}
		for (int j = 0; j < request->nheaders; j++)
		{
			if (strcmp(request->headers[j].name, names[i]) == 0 && strcmp(names[i], "content-length") != 0)
				strm_azure_add(out, request->headers[j].value);
		}
		strm_azure_add(out, "\n");
	}
}

bool
strm_azure_string_to_sign(const StrmAzureToSign *request, char *out, size_t size)
{
	StrmAzureText text = {out, size, 0, size == 0};

	strm_azure_add(&text, request->method);
	strm_azure_add(&text, "\n");
	strm_azure_add_standard(&text, request);
	for (int i = 0; i < request->nheaders; i++)
	{
		if (strncmp(request->headers[i].name, "x-ms-", 5) != 0)
			continue;
		strm_azure_add(&text, request->headers[i].name);
		strm_azure_add(&text, ":");
		strm_azure_add(&text, request->headers[i].value);
		strm_azure_add(&text, "\n");
	}
	strm_azure_add(&text, "/");
	strm_azure_add(&text, request->account);
	strm_azure_add(&text, request->path);
	for (int i = 0; i < request->nparameters; i++)
	{
		strm_azure_add(&text, "\n");
		strm_azure_add(&text, request->parameters[i].name);
		strm_azure_add(&text, ":");
		strm_azure_add(&text, request->parameters[i].value);
	}
	return !text.full;
}

bool
strm_azure_authorization(const StrmAzureToSign *request, const unsigned char *key, size_t key_size, char *out,
						 size_t size)
{
	char		to_sign[STRM_AZURE_TEXT_MAX];
	unsigned char hash[crypto_auth_hmacsha256_BYTES];
	char		signature[sodium_base64_ENCODED_LEN(crypto_auth_hmacsha256_BYTES, sodium_base64_VARIANT_ORIGINAL)];
	crypto_auth_hmacsha256_state state;
	int			length;

	if (!strm_azure_string_to_sign(request, to_sign, sizeof(to_sign)))
		return false;
	crypto_auth_hmacsha256_init(&state, key, key_size);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *) to_sign, strlen(to_sign));
	crypto_auth_hmacsha256_final(&state, hash);
	sodium_memzero(&state, sizeof(state));
	sodium_bin2base64(signature, sizeof(signature), hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
	length = snprintf(out, size, "SharedKey %s:%s", request->account, signature);
	return length > 0 && (size_t) length < size;
}
