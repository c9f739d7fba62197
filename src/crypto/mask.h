/*
 * mask.h
 *	  Masks and keyed hashes.
 */
#ifndef STRM_CRYPTO_MASK_H
#define STRM_CRYPTO_MASK_H

#include "crypto/crypto.h"

#define STRM_MASK_SIZE 33		/* 32 hex digits and the terminator */
#define STRM_HASH_KEY_SIZE 32
#define STRM_HASH_SIZE 16

/*
 * BLAKE2b-128 of value keyed with seed, 32 lower-case hex digits. A seed above 64 bytes is first hashed to 64 with
 * BLAKE2b-512.
 */
extern StrmCryptoStatus strm_mask_blake2b(const uint8_t *seed, size_t seed_size, const uint8_t *value, size_t n,
										  char out[STRM_MASK_SIZE]);

/*
 * STRM's mask: MurmurHash3 x64 128 of seed followed by value, seed 0, halves as hex without leading zeros (so 2 to 32
 * digits). Compatibility only: no protection.
 */
extern StrmCryptoStatus strm_mask_murmur3(const uint8_t *seed, size_t seed_size, const uint8_t *value, size_t n,
										  char out[STRM_MASK_SIZE]);

/* Keyed hash (BLAKE2b-128) of prefix followed by value: finds keys and subjects without storing what they are of. */
extern StrmCryptoStatus strm_keyed_hash(const uint8_t key[STRM_HASH_KEY_SIZE], const uint8_t *prefix,
										size_t prefix_size,
										const uint8_t *value, size_t n, uint8_t out[STRM_HASH_SIZE]);

#endif							/* STRM_CRYPTO_MASK_H */
