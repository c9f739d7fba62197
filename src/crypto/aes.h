/*
 * aes.h
 *	  The block engine under siv.c and cmac.c; internal to this folder. An engine is an OpenSSL EVP AES-256-ECB context,
 *	  made once and re-keyed in place, that is only ever fed whole blocks.
 */
#ifndef STRM_CRYPTO_AES_H
#define STRM_CRYPTO_AES_H

#include <string.h>

#include <openssl/evp.h>

#include "crypto/crypto.h"

#define STRM_AES_BLOCK 16
#define STRM_AES_KEY_SIZE 32

/* A keyed CMAC: its engine and the two sub-keys of RFC 4493. */
typedef struct StrmAesCmac
{
	EVP_CIPHER_CTX *aes;
	uint8_t		k1[STRM_AES_BLOCK];
	uint8_t		k2[STRM_AES_BLOCK];
} StrmAesCmac;

extern bool strm_aes_init(void);
extern EVP_CIPHER_CTX *strm_aes_create(void);
extern bool strm_aes_set_key(EVP_CIPHER_CTX *aes, const uint8_t key[STRM_AES_KEY_SIZE]);
extern bool strm_aes_encrypt(EVP_CIPHER_CTX *aes, uint8_t *blocks, size_t size);
extern void strm_aes_double(const uint8_t in[STRM_AES_BLOCK], uint8_t out[STRM_AES_BLOCK]);

extern bool strm_aes_cmac_set_key(StrmAesCmac *mac, const uint8_t key[STRM_AES_KEY_SIZE]);
extern bool strm_aes_cmac(const StrmAesCmac *mac, const uint8_t *in, size_t n, const uint8_t *mix,
						  uint8_t out[STRM_AES_BLOCK]);

/* A block in one register: halves stored one by one would have to meet in memory before the engine can load them. */
typedef uint64_t StrmAesVector __attribute__((vector_size(STRM_AES_BLOCK)));

/* out = a XOR b, one block; any of them may be the same block. */
static inline void
strm_aes_xor(uint8_t *out, const uint8_t *a, const uint8_t *b)
{
	StrmAesVector x;
	StrmAesVector y;

	memcpy(&x, a, STRM_AES_BLOCK);
	memcpy(&y, b, STRM_AES_BLOCK);
	x ^= y;
	memcpy(out, &x, STRM_AES_BLOCK);
}

/* The 64-bit big-endian number at p. */
static inline uint64_t
strm_aes_load64(const uint8_t *p)
{
	return (uint64_t) p[0] << 56 | (uint64_t) p[1] << 48 | (uint64_t) p[2] << 40 | (uint64_t) p[3] << 32 |
		(uint64_t) p[4] << 24 | (uint64_t) p[5] << 16 | (uint64_t) p[6] << 8 | (uint64_t) p[7];
}

/* Stores v at p, big endian. */
static inline void
strm_aes_store64(uint8_t *p, uint64_t v)
{
	p[0] = (uint8_t) (v >> 56);
	p[1] = (uint8_t) (v >> 48);
	p[2] = (uint8_t) (v >> 40);
	p[3] = (uint8_t) (v >> 32);
	p[4] = (uint8_t) (v >> 24);
	p[5] = (uint8_t) (v >> 16);
	p[6] = (uint8_t) (v >> 8);
	p[7] = (uint8_t) v;
}

#endif							/* STRM_CRYPTO_AES_H */
