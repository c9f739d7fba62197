/*
 * row_seal.h
 *	  Sealing of a whole row in one authenticated encryption: AES-256-GCM under a key that each session derives for
 *	  itself, so that nonces can be counted and never repeat.
 *
 *	  Sealed form: version (1 byte, 1), salt (16), count (8, big endian), body, tag (16). The session's key is
 *	  BLAKE2b-256 of the salt, keyed with the row key; the nonce is four zero bytes and the count.
 */
#ifndef STRM_CRYPTO_ROW_SEAL_H
#define STRM_CRYPTO_ROW_SEAL_H

#include "crypto/crypto.h"

#define STRM_ROW_KEY_SIZE 32
#define STRM_ROW_SALT_SIZE 16
#define STRM_ROW_SEAL_HEADER 25
#define STRM_ROW_SEAL_TAG 16
#define STRM_ROW_SEAL_OVERHEAD (STRM_ROW_SEAL_HEADER + STRM_ROW_SEAL_TAG)

typedef struct StrmRowSeal StrmRowSeal;

/*
 * A sealing context of process lifetime: salt is 16 random bytes that no other context uses. NULL when out of memory.
 */
extern StrmRowSeal *strm_row_seal_create(const uint8_t key[STRM_ROW_KEY_SIZE], const uint8_t salt[STRM_ROW_SALT_SIZE]);

/*
 * Seals the n bytes at out + STRM_ROW_SEAL_HEADER where they are, and writes header and tag around them: out has n +
 * STRM_ROW_SEAL_OVERHEAD bytes. After a failure out must not be used.
 */
extern StrmCryptoStatus strm_row_seal(StrmRowSeal *seal, const uint8_t *ad, size_t ad_size, uint8_t *out, size_t n);

/* Wipes and frees it; NULL is nothing. */
extern void strm_row_seal_free(StrmRowSeal *seal);

/* Opens what any context made; keeps the keys of the sessions seen last. */
typedef struct StrmRowOpener StrmRowOpener;
extern StrmRowOpener *strm_row_opener_create(const uint8_t key[STRM_ROW_KEY_SIZE]);
extern void strm_row_opener_free(StrmRowOpener *opener);

/* in: n >= STRM_ROW_SEAL_OVERHEAD bytes. out: n - STRM_ROW_SEAL_OVERHEAD bytes, zeroed when not authentic. */
extern StrmCryptoStatus strm_row_open(StrmRowOpener *opener, const uint8_t *ad, size_t ad_size, const uint8_t *in,
									  size_t n, uint8_t *out);

#endif							/* STRM_CRYPTO_ROW_SEAL_H */
