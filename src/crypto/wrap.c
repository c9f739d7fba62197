/*
 * wrap.c
 *	  Wrapping of secrets with XChaCha20-Poly1305. What stands in clear in the header is authenticated as associated
 *	  data, with the place the secret belongs to, so that a wrapped secret cannot be moved to another row, owner or use.
 */
#include "crypto/wrap.h"

#include <string.h>

#include <sodium.h>

#define WRAP_VERSION 1
#define WRAP_NONCE_OFFSET 6
#define WRAP_AD_SIZE (1 + 1 + 16 + 4 + 16 + 4)

_Static_assert(WRAP_NONCE_OFFSET + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == STRM_WRAP_HEADER_SIZE,
			   "header size");
_Static_assert(STRM_WRAP_HEADER_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES == STRM_WRAP_OVERHEAD, "overhead");
_Static_assert(STRM_MASTER_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");

/* Stores v big endian; returns what follows it. */
static uint8_t *
strm_wrap_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t) (v >> 24);
	p[1] = (uint8_t) (v >> 16);
	p[2] = (uint8_t) (v >> 8);
	p[3] = (uint8_t) v;
	return p + 4;
}

/* The associated data: the header without its nonce, and the place. */
static void
strm_wrap_associate(uint32_t master_id, const StrmWrapPlace *place, uint8_t ad[WRAP_AD_SIZE])
{
	uint8_t    *p = ad;

	*p++ = WRAP_VERSION;
	*p++ = (uint8_t) place->kind;
	memcpy(p, place->owner, sizeof(place->owner));
	p += sizeof(place->owner);
	p = strm_wrap_put32(p, master_id);
	memcpy(p, place->key_link, sizeof(place->key_link));
	p += sizeof(place->key_link);
	strm_wrap_put32(p, place->key_id);
}

/* Wraps n bytes under the master key; in and out must not overlap. */
StrmCryptoStatus
strm_wrap(const uint8_t master[STRM_MASTER_KEY_SIZE], uint32_t master_id, const StrmWrapPlace *place,
		  const uint8_t nonce[24], const uint8_t *in, size_t n, uint8_t *out)
{
	uint8_t		ad[WRAP_AD_SIZE];

	strm_wrap_associate(master_id, place, ad);
	out[0] = WRAP_VERSION;
	out[1] = (uint8_t) place->kind;
	strm_wrap_put32(out + STRM_WRAP_MASTER_ID_OFFSET, master_id);
	memcpy(out + WRAP_NONCE_OFFSET, nonce, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	if (crypto_aead_xchacha20poly1305_ietf_encrypt(out + STRM_WRAP_HEADER_SIZE, NULL, in, n, ad, sizeof(ad),
												   NULL, nonce, master) != 0)
		return STRM_CRYPTO_FAILED;
	return STRM_CRYPTO_OK;
}

/* Which master key to fetch; only authentic once strm_unwrap has said so. */
bool
strm_wrap_master_id(const uint8_t *in, size_t n, uint32_t *master_id)
{
	const uint8_t *p = in + STRM_WRAP_MASTER_ID_OFFSET;

	if (n < STRM_WRAP_OVERHEAD || in[0] != WRAP_VERSION)
		return false;
	*master_id = (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
	return true;
}

/* Unwraps a secret of that place; what is not authentic leaves zeroes in out. */
StrmCryptoStatus
strm_unwrap(const uint8_t master[STRM_MASTER_KEY_SIZE], const StrmWrapPlace *place,
			const uint8_t *in, size_t n, uint8_t *out)
{
	uint8_t		ad[WRAP_AD_SIZE];
	uint32_t	master_id;

	if (n < STRM_WRAP_OVERHEAD)
		return STRM_CRYPTO_FORGED;
	if (strm_wrap_master_id(in, n, &master_id) && in[1] == (uint8_t) place->kind)
	{
		strm_wrap_associate(master_id, place, ad);
		if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in + STRM_WRAP_HEADER_SIZE,
													   n - STRM_WRAP_HEADER_SIZE, ad, sizeof(ad),
													   in + WRAP_NONCE_OFFSET, master) == 0)
			return STRM_CRYPTO_OK;
	}
	if (n > STRM_WRAP_OVERHEAD)
		sodium_memzero(out, n - STRM_WRAP_OVERHEAD);
	return STRM_CRYPTO_FORGED;
}
