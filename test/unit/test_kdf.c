/*
 * test_kdf.c
 *	  Sub-keys against BLAKE2b spelled out: key = root, salt = id, personalisation = context.
 */
#include <sodium.h>

#include "crypto/kdf.h"
#include "tap.h"

/* libsodium's crypto_kdf, root 00..1f, id 1, context strm_key: an answer of another implementation. */
#define KDF_ANSWER \
	"98a2385098215137c245cfe89696f225f50fe1a4fb51fed11234b40c72082e2a" \
	"4add12f423c0ae9d2c25b7a504b4cafb08db5212fb6abf97dc3d809d245dce4c"

/* The definition of crypto_kdf. */
static void
spelled_out(const uint8_t *root, uint8_t id, const char *context, uint8_t *out, size_t n)
{
	uint8_t		salt[crypto_generichash_blake2b_SALTBYTES] = {id};
	uint8_t		personal[crypto_generichash_blake2b_PERSONALBYTES] = {0};

	memcpy(personal, context, 8);
	if (crypto_generichash_blake2b_salt_personal(out, n, NULL, 0, root, STRM_ROOT_SIZE, salt, personal) != 0)
		bail_out("BLAKE2b failed");
}

int
main(void)
{
	uint8_t		root[STRM_ROOT_SIZE];
	uint8_t		expected[STRM_SIV_KEY_SIZE];
	uint8_t		siv_key[STRM_SIV_KEY_SIZE];
	uint8_t		seal_key[STRM_CMAC_KEY_SIZE];

	if (strm_crypto_init() != STRM_CRYPTO_OK)
		bail_out("no crypto");
	for (int i = 0; i < STRM_ROOT_SIZE; i++)
		root[i] = (uint8_t) i;

	spelled_out(root, 1, "strm_key", siv_key, sizeof(siv_key));
	unhex(KDF_ANSWER, expected);
	same(siv_key, expected, sizeof(expected), "the definition has the known answer");

	ok(strm_kdf_siv_key(root, siv_key) == STRM_CRYPTO_OK, "the AES-SIV key is made");
	spelled_out(root, 1, "strm_v1_", expected, STRM_SIV_KEY_SIZE);
	same(siv_key, expected, STRM_SIV_KEY_SIZE, "sub-key 1 of 64 bytes, context strm_v1_");
	ok(strm_kdf_seal_key(root, seal_key) == STRM_CRYPTO_OK, "the seal's key is made");
	spelled_out(root, 2, "strm_v1_", expected, STRM_CMAC_KEY_SIZE);
	same(seal_key, expected, STRM_CMAC_KEY_SIZE, "sub-key 2 of 32 bytes, context strm_v1_");
	ok(memcmp(seal_key, siv_key, 32) != 0 && memcmp(seal_key, siv_key + 32, 32) != 0, "they differ");
	return tap_done();
}
