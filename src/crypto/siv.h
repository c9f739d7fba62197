/*
 * siv.h
 *	  AES-256-SIV (RFC 5297) with one associated-data component, the empty string, as Tink uses it.
 */
#ifndef STRM_CRYPTO_SIV_H
#define STRM_CRYPTO_SIV_H

#include "crypto/crypto.h"

#define STRM_SIV_KEY_SIZE 64
#define STRM_SIV_TAG_SIZE 16

typedef struct StrmSiv StrmSiv;

/* A context of process lifetime, re-keyed in place; NULL when out of memory. */
extern StrmSiv *strm_siv_create(void);
extern void strm_siv_destroy(StrmSiv *siv);

/* Bytes 0..31 key S2V/CMAC, 32..63 CTR. */
extern StrmCryptoStatus strm_siv_set_key(StrmSiv *siv, const uint8_t key[STRM_SIV_KEY_SIZE]);

/*
 * Replaces the single empty component by n components (vectors only; Tink data has the empty one). Lasts until set_key.
 */
typedef struct StrmBytes
{
	const uint8_t *data;
	size_t		size;
} StrmBytes;
extern StrmCryptoStatus strm_siv_set_ad(StrmSiv *siv, const StrmBytes *components, size_t n);

/* out: 16 bytes tag (synthetic IV), then n bytes body. in and out must not overlap. */
extern StrmCryptoStatus strm_siv_encrypt(StrmSiv *siv, const uint8_t *in, size_t n, uint8_t *out);

/* in: tag and body, n >= 16 bytes in all; out: n - 16 bytes, zeroed when not authentic. */
extern StrmCryptoStatus strm_siv_decrypt(StrmSiv *siv, const uint8_t *in, size_t n, uint8_t *out);

#endif							/* STRM_CRYPTO_SIV_H */
