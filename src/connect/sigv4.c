/*
 * sigv4.c
 *	  Signatures Version 4. What is hashed is fed piece by piece, so that nothing is allocated. Hashes of payloads come
 *	  from OpenSSL, which uses the processor's instructions for it.
 */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "connect/sigv4.h"

/* Longest secret key that is accepted; AWS's have 40 characters. */
#define STRM_SIGV4_SECRET_MAX 512

static void
strm_sigv4_hex(const unsigned char *hash, char out[STRM_SIGV4_HASH_SIZE])
{
	sodium_bin2hex(out, STRM_SIGV4_HASH_SIZE, hash, crypto_hash_sha256_BYTES);
}

bool
strm_sigv4_hash(const void *data, size_t size, char out[STRM_SIGV4_HASH_SIZE])
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (EVP_Digest(data, size, hash, NULL, EVP_sha256(), NULL) != 1)
		return false;
	strm_sigv4_hex(hash, out);
	return true;
}

static void
strm_sigv4_add(crypto_hash_sha256_state *state, const char *text)
{
	crypto_hash_sha256_update(state, (const unsigned char *) text, strlen(text));
}

/* Feeds the names of the signed headers: host;x-amz-date. */
static void
strm_sigv4_add_names(crypto_hash_sha256_state *state, const StrmSigv4 *request)
{
	for (int i = 0; i < request->nheaders; i++)
	{
		if (i > 0)
			strm_sigv4_add(state, ";");
		strm_sigv4_add(state, request->headers[i].name);
	}
}

/* The hash of the canonical request. */
static void
strm_sigv4_canonical(const StrmSigv4 *request, char out[STRM_SIGV4_HASH_SIZE])
{
	crypto_hash_sha256_state state;
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_init(&state);
	strm_sigv4_add(&state, request->method);
	strm_sigv4_add(&state, "\n");
	strm_sigv4_add(&state, request->path);
	strm_sigv4_add(&state, "\n");
	strm_sigv4_add(&state, request->query);
	strm_sigv4_add(&state, "\n");
	for (int i = 0; i < request->nheaders; i++)
	{
		strm_sigv4_add(&state, request->headers[i].name);
		strm_sigv4_add(&state, ":");
		strm_sigv4_add(&state, request->headers[i].value);
		strm_sigv4_add(&state, "\n");
	}
	strm_sigv4_add(&state, "\n");
	strm_sigv4_add_names(&state, request);
	strm_sigv4_add(&state, "\n");
	strm_sigv4_add(&state, request->payload_hash);
	crypto_hash_sha256_final(&state, hash);
	strm_sigv4_hex(hash, out);
}

/* One step of the key's derivation, and the signature itself: key becomes the HMAC of text under key. */
static void
strm_sigv4_step(unsigned char key[crypto_auth_hmacsha256_BYTES], size_t key_size, const unsigned char *first,
				const char *text)
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, first != NULL ? first : key, key_size);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *) text, strlen(text));
	crypto_auth_hmacsha256_final(&state, key);
	sodium_memzero(&state, sizeof(state));
}

bool
strm_sigv4_authorization(const StrmSigv4 *request, char *out, size_t size)
{
	const char *prefix = request->google ? "GOOG4" : "AWS4";
	const char *terminator = request->google ? "goog4_request" : "aws4_request";
	unsigned char key[crypto_auth_hmacsha256_BYTES];
	char		secret[STRM_SIGV4_SECRET_MAX];
	char		canonical[STRM_SIGV4_HASH_SIZE];
	char		signature[STRM_SIGV4_HASH_SIZE];
	char		day[9];
	char		scope[256];
	char		to_sign[512];
	int			used;

	snprintf(day, sizeof(day), "%.8s", request->date);
	used = snprintf(scope, sizeof(scope), "%s/%s/%s/%s", day, request->region, request->service, terminator);
	if (used >= (int) sizeof(scope))
		return false;
	strm_sigv4_canonical(request, canonical);
	snprintf(to_sign, sizeof(to_sign), "%s-HMAC-SHA256\n%s\n%s\n%s", prefix, request->date, scope, canonical);

	used = snprintf(secret, sizeof(secret), "%s%s", prefix, request->secret_key);
	if (used >= (int) sizeof(secret))
	{
		sodium_memzero(secret, sizeof(secret));
		return false;
	}
	strm_sigv4_step(key, (size_t) used, (unsigned char *) secret, day);
	sodium_memzero(secret, sizeof(secret));
	strm_sigv4_step(key, sizeof(key), NULL, request->region);
	strm_sigv4_step(key, sizeof(key), NULL, request->service);
	strm_sigv4_step(key, sizeof(key), NULL, terminator);
	strm_sigv4_step(key, sizeof(key), NULL, to_sign);
	strm_sigv4_hex(key, signature);
	sodium_memzero(key, sizeof(key));

	used = snprintf(out, size, "%s-HMAC-SHA256 Credential=%s/%s, SignedHeaders=", prefix, request->access_key, scope);
	for (int i = 0; i < request->nheaders && used < (int) size; i++)
		used += snprintf(out + used, size - used, "%s%s", i > 0 ? ";" : "", request->headers[i].name);
	if (used < (int) size)
		used += snprintf(out + used, size - used, ", Signature=%s", signature);
	return used < (int) size;
}
