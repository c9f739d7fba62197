/*
 * envelope.c
 *	  Tink's prefix around AES-SIV. The prefix is a hint and not authenticated, so it is checked, not trusted.
 */
#include "crypto/envelope.h"

#include <string.h>

#include <sodium.h>

/* Writes Tink's first byte and the key id, big endian. */
static void
strm_envelope_prefix(uint32_t key_id, uint8_t out[STRM_ENVELOPE_PREFIX_SIZE])
{
	out[0] = 0x01;
	out[1] = (uint8_t) (key_id >> 24);
	out[2] = (uint8_t) (key_id >> 16);
	out[3] = (uint8_t) (key_id >> 8);
	out[4] = (uint8_t) key_id;
}

/* Seals n bytes; in and out must not overlap. */
StrmCryptoStatus
strm_envelope_encrypt(StrmSiv *siv, uint32_t key_id, const uint8_t *in, size_t n, uint8_t *out)
{
	strm_envelope_prefix(key_id, out);
	return strm_siv_encrypt(siv, in, n, out + STRM_ENVELOPE_PREFIX_SIZE);
}

/* Opens an envelope; out is zeroed unless OK. The same status for every way of not being authentic. */
StrmCryptoStatus
strm_envelope_decrypt(StrmSiv *siv, uint32_t key_id, const uint8_t *in, size_t n, uint8_t *out)
{
	uint8_t		prefix[STRM_ENVELOPE_PREFIX_SIZE];

	if (n < STRM_ENVELOPE_OVERHEAD)
		return STRM_CRYPTO_FORGED;
	strm_envelope_prefix(key_id, prefix);
	if (memcmp(in, prefix, STRM_ENVELOPE_PREFIX_SIZE) != 0)
	{
		if (n > STRM_ENVELOPE_OVERHEAD)
			sodium_memzero(out, n - STRM_ENVELOPE_OVERHEAD);
		return STRM_CRYPTO_FORGED;
	}
	return strm_siv_decrypt(siv, in + STRM_ENVELOPE_PREFIX_SIZE, n - STRM_ENVELOPE_PREFIX_SIZE, out);
}
