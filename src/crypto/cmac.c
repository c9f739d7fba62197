/*
 * cmac.c
 *	  The seal's MAC: a keyed CMAC of process lifetime, re-keyed in place, nothing allocated per message.
 */
#include "crypto/cmac.h"

#include <stdlib.h>

#include <sodium.h>

#include "crypto/aes.h"

struct StrmCmac
{
	StrmAesCmac mac;
	bool		keyed;
};

/* A context without a key; NULL when out of memory. */
StrmCmac *
strm_cmac_create(void)
{
	StrmCmac   *cmac = calloc(1, sizeof(StrmCmac));

	if (cmac == NULL)
		return NULL;
	cmac->mac.aes = strm_aes_create();
	if (cmac->mac.aes == NULL)
	{
		free(cmac);
		return NULL;
	}
	return cmac;
}

/* Wipes and frees; NULL is allowed. */
void
strm_cmac_destroy(StrmCmac *cmac)
{
	if (cmac == NULL)
		return;
	EVP_CIPHER_CTX_free(cmac->mac.aes);
	sodium_memzero(cmac, sizeof(*cmac));
	free(cmac);
}

/* Replaces the key. After a failure the context refuses to work until keyed again. */
StrmCryptoStatus
strm_cmac_set_key(StrmCmac *cmac, const uint8_t key[STRM_CMAC_KEY_SIZE])
{
	cmac->keyed = strm_aes_cmac_set_key(&cmac->mac, key);
	return cmac->keyed ? STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}

/* The tag of n bytes; FAILED without a key. */
StrmCryptoStatus
strm_cmac_compute(StrmCmac *cmac, const uint8_t *in, size_t n, uint8_t out[STRM_CMAC_SIZE])
{
	if (!cmac->keyed || !strm_aes_cmac(&cmac->mac, in, n, NULL, out))
		return STRM_CRYPTO_FAILED;
	return STRM_CRYPTO_OK;
}

/* Constant-time comparison of two tags. */
bool
strm_cmac_equal(const uint8_t a[STRM_CMAC_SIZE], const uint8_t b[STRM_CMAC_SIZE])
{
	return crypto_verify_16(a, b) == 0;
}
