/*
 * kdf.c
 *	  Sub-keys of a data key. libsodium's crypto_kdf is BLAKE2b keyed with the root, whose salt is the sub-key's id and
 *	  whose personalisation is the context: knowing one sub-key (the exported one) tells nothing of another.
 */
#include "crypto/kdf.h"

#include <sodium.h>

#define KDF_CONTEXT "strm_v1_"

enum
{
	KDF_SIV_KEY = 1,
	KDF_SEAL_KEY = 2,
	KDF_ROW_KEY = 3,
	KDF_LANE_KEY = 4
};

_Static_assert(STRM_ROOT_SIZE == crypto_kdf_KEYBYTES, "root size");
_Static_assert(sizeof(KDF_CONTEXT) - 1 == crypto_kdf_CONTEXTBYTES, "context size");

/* The AES-SIV key: the one that is exported. */
StrmCryptoStatus
strm_kdf_siv_key(const uint8_t root[STRM_ROOT_SIZE], uint8_t out[STRM_SIV_KEY_SIZE])
{
	return crypto_kdf_derive_from_key(out, STRM_SIV_KEY_SIZE, KDF_SIV_KEY, KDF_CONTEXT, root) == 0 ?
		STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}

/* The seal's key: never leaves the server. */
StrmCryptoStatus
strm_kdf_seal_key(const uint8_t root[STRM_ROOT_SIZE], uint8_t out[STRM_CMAC_KEY_SIZE])
{
	return crypto_kdf_derive_from_key(out, STRM_CMAC_KEY_SIZE, KDF_SEAL_KEY, KDF_CONTEXT, root) == 0 ?
		STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}

/* The keys of an inbox. */
StrmCryptoStatus
strm_kdf_inbox_keys(const uint8_t root[STRM_ROOT_SIZE], uint8_t row_key[32], uint8_t lane_key[16])
{
	return crypto_kdf_derive_from_key(row_key, 32, KDF_ROW_KEY, KDF_CONTEXT, root) == 0 &&
		crypto_kdf_derive_from_key(lane_key, 16, KDF_LANE_KEY, KDF_CONTEXT, root) == 0 ?
		STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}
