/*
 * fuzz_envelope.c
 *	  Arbitrary bytes as a ciphertext, and as a plaintext.
 *
 *	  AES-SIV is deterministic, so what opens must be exactly what we would have written for that plaintext; anything
 *	  else is refused and leaves only zeroes. The seeds hold genuine ciphertexts under the target's fixed key.
 */
#include "crypto/envelope.h"
#include "fuzz.h"

#define KEY_ID 0x01020304

static StrmSiv *siv = NULL;

/* Key 00 01 .. 3f. */
static void
set_up(void)
{
	uint8_t		key[STRM_SIV_KEY_SIZE];

	for (int i = 0; i < STRM_SIV_KEY_SIZE; i++)
		key[i] = (uint8_t) i;
	FUZZ_CHECK(strm_crypto_init() == STRM_CRYPTO_OK);
	siv = strm_siv_create();
	FUZZ_CHECK(siv != NULL && strm_siv_set_key(siv, key) == STRM_CRYPTO_OK);
}

/* data as a ciphertext: refused, or one that we made. */
static void
open_bytes(const uint8_t *data, size_t size)
{
	size_t		n = size < STRM_ENVELOPE_OVERHEAD ? 0 : size - STRM_ENVELOPE_OVERHEAD;
	uint8_t    *opened = fuzz_alloc(n);
	StrmCryptoStatus status = strm_envelope_decrypt(siv, KEY_ID, data, size, opened);

	FUZZ_CHECK(status == STRM_CRYPTO_OK || status == STRM_CRYPTO_FORGED);
	if (status == STRM_CRYPTO_OK)
	{
		uint8_t    *again = fuzz_alloc(size);

		FUZZ_CHECK(size >= STRM_ENVELOPE_OVERHEAD);
		FUZZ_CHECK(strm_envelope_encrypt(siv, KEY_ID, opened, n, again) == STRM_CRYPTO_OK);
		FUZZ_CHECK(memcmp(again, data, size) == 0);
		free(again);
	}
	else if (size >= STRM_ENVELOPE_OVERHEAD)
		for (size_t i = 0; i < n; i++)
			FUZZ_CHECK(opened[i] == 0);
	free(opened);
}

/* data as a plaintext: comes back, and not after one of its ciphertext's bits (which the data chooses) was flipped. */
static void
round_trip(const uint8_t *data, size_t size)
{
	size_t		total = size + STRM_ENVELOPE_OVERHEAD;
	uint8_t    *sealed = fuzz_alloc(total);
	uint8_t    *opened = fuzz_alloc(size);
	size_t		place = size == 0 ? 0 : (data[0] | (size_t) data[size - 1] << 8) % total;

	FUZZ_CHECK(strm_envelope_encrypt(siv, KEY_ID, data, size, sealed) == STRM_CRYPTO_OK);
	FUZZ_CHECK(strm_envelope_decrypt(siv, KEY_ID, sealed, total, opened) == STRM_CRYPTO_OK);
	FUZZ_CHECK(size == 0 || memcmp(opened, data, size) == 0);
	sealed[place] ^= (uint8_t) (1 << size % 8);
	FUZZ_CHECK(strm_envelope_decrypt(siv, KEY_ID, sealed, total, opened) == STRM_CRYPTO_FORGED);
	free(sealed);
	free(opened);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (siv == NULL)
		set_up();
	open_bytes(data, size);
	round_trip(data, size);
	return 0;
}
