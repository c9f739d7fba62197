/*
 * crypto.h
 *	  Status codes and sizes of the cryptography layer, which knows nothing of PostgreSQL: no palloc, no ereport, no
 *	  catalog. Callers turn a status into an error, all with the same text for every kind of forgery.
 */
#ifndef STRM_CRYPTO_H
#define STRM_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum StrmCryptoStatus
{
	STRM_CRYPTO_OK = 0,
	STRM_CRYPTO_FAILED,			/* a library call failed: memory or entropy */
	STRM_CRYPTO_FORGED			/* not authentic: wrong key, wrong key id, truncated, edited */
} StrmCryptoStatus;

/* Process-wide set-up (libsodium, the AES cipher object); call once before anything else. */
extern StrmCryptoStatus strm_crypto_init(void);

#endif							/* STRM_CRYPTO_H */
