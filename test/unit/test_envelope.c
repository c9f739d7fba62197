/*
 * test_envelope.c
 *	  Tink's ciphertext: known texts, the key id, what is refused.
 */
#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "tap.h"

#define KEY_ID 0x01020304
#define LETTERS "abcdefghijklmnopqrstuvwxyz"

/* The text of the first n letters under key 00 01 .. 3f. */
static void
test_text(StrmSiv *siv, size_t n, const char *expected)
{
	uint8_t		sealed[64];
	char		text[128];
	size_t		size = STRM_BASE64_SIZE(n + STRM_ENVELOPE_OVERHEAD);

	strm_envelope_encrypt(siv, KEY_ID, (const uint8_t *) LETTERS, n, sealed);
	strm_base64_encode(sealed, n + STRM_ENVELOPE_OVERHEAD, text);
	ok(strlen(expected) == size && memcmp(text, expected, size) == 0, "known text of %zu bytes", n);
	ok(strm_base64_is_ciphertext(text, size), "which has the form of a ciphertext");
}

/* Every key id's bytes stand big endian in the prefix, and no other id opens it. */
static void
test_key_ids(StrmSiv *siv)
{
	static const uint32_t ids[] = {1, 0x7fffffff, 0x80000000, 0xffffffff, 0x01020304};
	uint8_t		sealed[64];
	uint8_t		opened[8];

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
	{
		uint8_t		prefix[5] = {1, (uint8_t) (ids[i] >> 24), (uint8_t) (ids[i] >> 16), (uint8_t) (ids[i] >> 8),
		(uint8_t) ids[i]};
		int			opened_by_others = 0;

		strm_envelope_encrypt(siv, ids[i], (const uint8_t *) LETTERS, 8, sealed);
		same(sealed, prefix, 5, "prefix");
		ok(strm_envelope_decrypt(siv, ids[i], sealed, 29, opened) == STRM_CRYPTO_OK &&
		   memcmp(opened, LETTERS, 8) == 0, "opens under key id %lu", (unsigned long) ids[i]);
		for (int bit = 0; bit < 32; bit++)
		{
			memset(opened, 0xee, sizeof(opened));
			opened_by_others += strm_envelope_decrypt(siv, ids[i] ^ UINT32_C(1) << bit, sealed, 29, opened) !=
				STRM_CRYPTO_FORGED || opened[0] != 0;
		}
		ok(opened_by_others == 0, "and under no other");
	}
}

static void
test_forgeries(StrmSiv *siv)
{
	uint8_t		sealed[64];
	uint8_t		opened[64];
	int			accepted = 0;

	for (size_t n = 0; n <= 20; n++)
	{
		strm_envelope_encrypt(siv, KEY_ID, (const uint8_t *) LETTERS, n, sealed);
		for (size_t bit = 0; bit < 8 * (n + STRM_ENVELOPE_OVERHEAD); bit++)
		{
			sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
			accepted += strm_envelope_decrypt(siv, KEY_ID, sealed, n + STRM_ENVELOPE_OVERHEAD, opened) !=
				STRM_CRYPTO_FORGED;
			sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
		for (size_t cut = 0; cut < n + STRM_ENVELOPE_OVERHEAD; cut++)
			accepted += strm_envelope_decrypt(siv, KEY_ID, sealed, cut, opened) != STRM_CRYPTO_FORGED;
	}
	ok(accepted == 0, "no flipped bit and no truncation is accepted");
}

int
main(void)
{
	StrmSiv    *siv;
	uint8_t		key[STRM_SIV_KEY_SIZE];

	if (strm_crypto_init() != STRM_CRYPTO_OK || (siv = strm_siv_create()) == NULL)
		bail_out("no crypto");
	for (int i = 0; i < STRM_SIV_KEY_SIZE; i++)
		key[i] = (uint8_t) i;
	if (strm_siv_set_key(siv, key) != STRM_CRYPTO_OK)
		bail_out("set_key failed");

	test_text(siv, 0, "AQECAwRv9bjvU/w2VgbNPqBHN0iF");
	test_text(siv, 10, "AQECAwSmS/42whIq6hL2LfAJdNZnawwqz557tXg2lA==");
	test_key_ids(siv);
	test_forgeries(siv);
	strm_siv_destroy(siv);
	return tap_done();
}
