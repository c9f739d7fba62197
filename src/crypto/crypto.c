/*
 * crypto.c
 *	  Set-up of the cryptography layer.
 */
#include "crypto/crypto.h"

#include <sodium.h>

#include "crypto/aes.h"

/* Idempotent; what it makes lives as long as the process, and its children may use it too. */
StrmCryptoStatus
strm_crypto_init(void)
{
	if (sodium_init() < 0 || !strm_aes_init())
		return STRM_CRYPTO_FAILED;
	return STRM_CRYPTO_OK;
}
