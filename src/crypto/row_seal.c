/*
 * row_seal.c
 *	  AES-256-GCM of whole rows. The contexts of OpenSSL are keyed once, and get a new nonce for each row: of what GCM
 *	  costs for some hundred bytes, most would be the key schedule.
 *
 *	  A session's key seals 2^64 - 1 rows at most (the count never wraps), and a row below 2^31 bytes.
 */
#include "crypto/row_seal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "crypto/aes.h"

#define ROW_SEAL_VERSION 1
#define ROW_NONCE_SIZE 12
#define ROW_SALT_AT 1
#define ROW_COUNT_AT (ROW_SALT_AT + STRM_ROW_SALT_SIZE)

/* Sessions whose keys an opener keeps: by one byte of the salt. */
#define ROW_OPENER_SLOTS 64

struct StrmRowSeal
{
	EVP_CIPHER_CTX *gcm;
	uint64_t	count;
	uint8_t		salt[STRM_ROW_SALT_SIZE];
};

struct StrmRowOpener
{
	uint8_t		key[STRM_ROW_KEY_SIZE];
	struct
	{
		EVP_CIPHER_CTX *gcm;	/* NULL: not used yet */
		bool		keyed;
		uint8_t		salt[STRM_ROW_SALT_SIZE];
	}			slots[ROW_OPENER_SLOTS];
};

/* Keys a context with the session's key of that salt. */
static bool
strm_row_set_key(EVP_CIPHER_CTX *gcm, bool encrypt, const uint8_t *key, const uint8_t *salt)
{
	uint8_t		session[STRM_ROW_KEY_SIZE];
	bool		ok;

	ok = crypto_generichash(session, sizeof(session), salt, STRM_ROW_SALT_SIZE, key, STRM_ROW_KEY_SIZE) == 0 &&
		EVP_CipherInit_ex(gcm, EVP_aes_256_gcm(), NULL, session, NULL, encrypt) == 1;
	sodium_memzero(session, sizeof(session));
	return ok;
}

/* Sets the nonce of the row with that count (8 bytes, big endian), and authenticates ad. */
static bool
strm_row_begin(EVP_CIPHER_CTX *gcm, bool encrypt, const uint8_t *count, const uint8_t *ad, size_t ad_size)
{
	uint8_t		nonce[ROW_NONCE_SIZE] = {0};
	int			done;

	memcpy(nonce + sizeof(nonce) - 8, count, 8);
	return EVP_CipherInit_ex(gcm, NULL, NULL, NULL, nonce, encrypt) == 1 &&
		EVP_CipherUpdate(gcm, NULL, &done, ad, (int) ad_size) == 1;
}

/* Keyed with a session of its own. */
StrmRowSeal *
strm_row_seal_create(const uint8_t key[STRM_ROW_KEY_SIZE], const uint8_t salt[STRM_ROW_SALT_SIZE])
{
	StrmRowSeal *seal = calloc(1, sizeof(StrmRowSeal));

	if (seal == NULL)
		return NULL;
	memcpy(seal->salt, salt, STRM_ROW_SALT_SIZE);
	seal->gcm = EVP_CIPHER_CTX_new();
	if (seal->gcm == NULL || !strm_row_set_key(seal->gcm, true, key, salt))
	{
		EVP_CIPHER_CTX_free(seal->gcm);
		free(seal);
		return NULL;
	}
	return seal;
}

void
strm_row_seal_free(StrmRowSeal *seal)
{
	if (seal == NULL)
		return;
	EVP_CIPHER_CTX_free(seal->gcm);
	free(seal);
}

/* The count moves before it is used: no failure can make it be used twice. */
StrmCryptoStatus
strm_row_seal(StrmRowSeal *seal, const uint8_t *ad, size_t ad_size, uint8_t *out, size_t n)
{
	uint8_t    *body = out + STRM_ROW_SEAL_HEADER;
	int			done = 0;

	if (n > INT_MAX || seal->count == UINT64_MAX)
		return STRM_CRYPTO_FAILED;
	out[0] = ROW_SEAL_VERSION;
	memcpy(out + ROW_SALT_AT, seal->salt, STRM_ROW_SALT_SIZE);
	strm_aes_store64(out + ROW_COUNT_AT, ++seal->count);

	if (!strm_row_begin(seal->gcm, true, out + ROW_COUNT_AT, ad, ad_size) ||
		EVP_CipherUpdate(seal->gcm, body, &done, body, (int) n) != 1 || done != (int) n ||
		EVP_CipherFinal_ex(seal->gcm, body + n, &done) != 1 ||
		EVP_CIPHER_CTX_ctrl(seal->gcm, EVP_CTRL_GCM_GET_TAG, STRM_ROW_SEAL_TAG, body + n) != 1)
		return STRM_CRYPTO_FAILED;
	return STRM_CRYPTO_OK;
}

/* NULL when out of memory. */
StrmRowOpener *
strm_row_opener_create(const uint8_t key[STRM_ROW_KEY_SIZE])
{
	StrmRowOpener *opener = calloc(1, sizeof(StrmRowOpener));

	if (opener != NULL)
		memcpy(opener->key, key, STRM_ROW_KEY_SIZE);
	return opener;
}

void
strm_row_opener_free(StrmRowOpener *opener)
{
	if (opener == NULL)
		return;
	for (int i = 0; i < ROW_OPENER_SLOTS; i++)
		EVP_CIPHER_CTX_free(opener->slots[i].gcm);
	sodium_memzero(opener, sizeof(StrmRowOpener));
	free(opener);
}

/* The context of the session with that salt; NULL after a failure. */
static EVP_CIPHER_CTX *
strm_row_opener_session(StrmRowOpener *opener, const uint8_t *salt)
{
	int			i = salt[0] % ROW_OPENER_SLOTS;

	if (opener->slots[i].keyed && memcmp(opener->slots[i].salt, salt, STRM_ROW_SALT_SIZE) == 0)
		return opener->slots[i].gcm;
	opener->slots[i].keyed = false;
	if (opener->slots[i].gcm == NULL)
		opener->slots[i].gcm = EVP_CIPHER_CTX_new();
	if (opener->slots[i].gcm == NULL || !strm_row_set_key(opener->slots[i].gcm, false, opener->key, salt))
		return NULL;
	memcpy(opener->slots[i].salt, salt, STRM_ROW_SALT_SIZE);
	opener->slots[i].keyed = true;
	return opener->slots[i].gcm;
}

/* Nothing of a row that is not authentic is left in out. */
StrmCryptoStatus
strm_row_open(StrmRowOpener *opener, const uint8_t *ad, size_t ad_size, const uint8_t *in, size_t n, uint8_t *out)
{
	const uint8_t *body = in + STRM_ROW_SEAL_HEADER;
	uint8_t		tag[STRM_ROW_SEAL_TAG];
	uint8_t		none[STRM_AES_BLOCK];
	EVP_CIPHER_CTX *gcm;
	size_t		size;
	int			done = 0;

	if (n < STRM_ROW_SEAL_OVERHEAD || n > INT_MAX || in[0] != ROW_SEAL_VERSION)
		return STRM_CRYPTO_FORGED;
	gcm = strm_row_opener_session(opener, in + ROW_SALT_AT);
	if (gcm == NULL)
		return STRM_CRYPTO_FAILED;

	size = n - STRM_ROW_SEAL_OVERHEAD;
	memcpy(tag, body + size, STRM_ROW_SEAL_TAG);
	if (!strm_row_begin(gcm, false, in + ROW_COUNT_AT, ad, ad_size) ||
		EVP_CipherUpdate(gcm, out, &done, body, (int) size) != 1 || done != (int) size ||
		EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_GCM_SET_TAG, STRM_ROW_SEAL_TAG, tag) != 1 ||
		EVP_CipherFinal_ex(gcm, none, &done) != 1)
	{
		sodium_memzero(out, size);
		return STRM_CRYPTO_FORGED;
	}
	return STRM_CRYPTO_OK;
}
