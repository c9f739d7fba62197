/*
 * mask.c
 *	  Masks of derived streams and keyed look-up hashes. BLAKE2b comes from libsodium.
 */
#include "crypto/mask.h"

#include <inttypes.h>
#include <stdio.h>

#include <sodium.h>

#include "crypto/murmur3.h"

_Static_assert(STRM_MASK_SIZE == 2 * STRM_HASH_SIZE + 1, "a mask is a hash in hex");

/* The default mask: 32 digits, the same for the same value and seed. An empty seed is an unkeyed hash. */
StrmCryptoStatus
strm_mask_blake2b(const uint8_t *seed, size_t seed_size, const uint8_t *value, size_t n, char out[STRM_MASK_SIZE])
{
	uint8_t		key[crypto_generichash_KEYBYTES_MAX];
	uint8_t		hash[STRM_HASH_SIZE];
	bool		ok = true;

	if (seed_size > sizeof(key))
	{
		ok = crypto_generichash(key, sizeof(key), seed, seed_size, NULL, 0) == 0;
		seed = key;
		seed_size = sizeof(key);
	}
	ok = ok && crypto_generichash(hash, sizeof(hash), value, n, seed, seed_size) == 0;
	if (ok)
		sodium_bin2hex(out, STRM_MASK_SIZE, hash, sizeof(hash));
	sodium_memzero(key, sizeof(key));
	return ok ? STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}

/* STRM's mask, digit for digit: neither half has leading zeroes. */
StrmCryptoStatus
strm_mask_murmur3(const uint8_t *seed, size_t seed_size, const uint8_t *value, size_t n, char out[STRM_MASK_SIZE])
{
	StrmMurmur3 hash = {0};
	int			written;

	strm_murmur3_feed(&hash, seed, seed_size);
	strm_murmur3_feed(&hash, value, n);
	strm_murmur3_finish(&hash);
	written = snprintf(out, STRM_MASK_SIZE, "%" PRIx64 "%" PRIx64, hash.h1, hash.h2);
	sodium_memzero(&hash, sizeof(hash));
	return written >= 2 && written < STRM_MASK_SIZE ? STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}

/* The caller makes prefix and value unambiguous: a prefix of fixed size, or one that says its own. */
StrmCryptoStatus
strm_keyed_hash(const uint8_t key[STRM_HASH_KEY_SIZE], const uint8_t *prefix, size_t prefix_size,
				const uint8_t *value, size_t n, uint8_t out[STRM_HASH_SIZE])
{
	crypto_generichash_state state;
	bool		ok;

	ok = crypto_generichash_init(&state, key, STRM_HASH_KEY_SIZE, STRM_HASH_SIZE) == 0 &&
		crypto_generichash_update(&state, prefix, prefix_size) == 0 &&
		crypto_generichash_update(&state, value, n) == 0 &&
		crypto_generichash_final(&state, out, STRM_HASH_SIZE) == 0;
	sodium_memzero(&state, sizeof(state));
	return ok ? STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}
