/*
 * aes.c
 *	  AES-256 block engine and CMAC (RFC 4493) over OpenSSL's EVP.
 *
 *	  The cipher object is fetched once per process; a context keeps it and only its key changes, which is what makes
 *	  re-keying cheap. Input is always whole blocks and Final is never called, so padding never comes into play. CMAC
 *	  chains single-block ECB calls: faster than CBC, whose IV would have to be reset for each message. No branch and no
 *	  index depends on a secret.
 */
#include "crypto/aes.h"

#include <sodium.h>

/* AES-256-ECB; set once by strm_aes_init and kept for the life of the process */
static EVP_CIPHER *aes_cipher = NULL;

/* Fetches the cipher object; may be called again. */
bool
strm_aes_init(void)
{
	if (aes_cipher == NULL)
		aes_cipher = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	return aes_cipher != NULL;
}

/* An engine without a key; NULL when out of memory or before strm_aes_init. Free with EVP_CIPHER_CTX_free. */
EVP_CIPHER_CTX *
strm_aes_create(void)
{
	EVP_CIPHER_CTX *aes;

	if (aes_cipher == NULL)
		return NULL;
	aes = EVP_CIPHER_CTX_new();
	if (aes != NULL && EVP_EncryptInit_ex2(aes, aes_cipher, NULL, NULL, NULL) != 1)
	{
		EVP_CIPHER_CTX_free(aes);
		aes = NULL;
	}
	return aes;
}

/* Keys the engine anew. The cipher is left alone: naming it again would cost half as much once more. */
bool
strm_aes_set_key(EVP_CIPHER_CTX *aes, const uint8_t key[STRM_AES_KEY_SIZE])
{
	return EVP_EncryptInit_ex2(aes, NULL, key, NULL, NULL) == 1;
}

/* Encrypts blocks in place; size is a multiple of 16, far below INT_MAX. */
bool
strm_aes_encrypt(EVP_CIPHER_CTX *aes, uint8_t *blocks, size_t size)
{
	int			written = 0;

	return EVP_EncryptUpdate(aes, blocks, &written, blocks, (int) size) == 1 && written == (int) size;
}

/* Doubling in GF(2^128), the "dbl" of RFC 5297 and the sub-key step of RFC 4493. in and out may be the same. */
void
strm_aes_double(const uint8_t in[STRM_AES_BLOCK], uint8_t out[STRM_AES_BLOCK])
{
	uint64_t	hi = strm_aes_load64(in);
	uint64_t	lo = strm_aes_load64(in + 8);
	uint64_t	carry = UINT64_C(0) - (hi >> 63);

	strm_aes_store64(out, hi << 1 | lo >> 63);
	strm_aes_store64(out + 8, (lo << 1) ^ (carry & 0x87));
}

/* Keys a CMAC. After false the context must not be used until keyed again. */
bool
strm_aes_cmac_set_key(StrmAesCmac *mac, const uint8_t key[STRM_AES_KEY_SIZE])
{
	uint8_t		l[STRM_AES_BLOCK] = {0};
	bool		ok = strm_aes_set_key(mac->aes, key) && strm_aes_encrypt(mac->aes, l, sizeof(l));

	strm_aes_double(l, mac->k1);
	strm_aes_double(mac->k1, mac->k2);
	sodium_memzero(l, sizeof(l));
	return ok;
}

/*
 * CMAC of n bytes. mix, unless NULL, is XORed into the last 16 bytes of the message first (RFC 5297's "xorend"; n is
 * at least 16 then). The message is not changed; out, which holds the chaining value meanwhile, must not overlap it and
 * is zeroed after a failure.
 */
bool
strm_aes_cmac(const StrmAesCmac *mac, const uint8_t *in, size_t n, const uint8_t *mix, uint8_t out[STRM_AES_BLOCK])
{
	uint8_t		tail[2 * STRM_AES_BLOCK];
	uint8_t    *last = tail;
	bool		ok = true;

	memset(out, 0, STRM_AES_BLOCK);

	/* Up to two blocks stay behind: those that mix and padding can touch. */
	for (; ok && n > sizeof(tail); in += STRM_AES_BLOCK, n -= STRM_AES_BLOCK)
	{
		strm_aes_xor(out, out, in);
		ok = strm_aes_encrypt(mac->aes, out, STRM_AES_BLOCK);
	}
	if (ok)
	{
		if (n > 0)
			memcpy(tail, in, n);
		if (mix != NULL)
			strm_aes_xor(tail + n - STRM_AES_BLOCK, tail + n - STRM_AES_BLOCK, mix);
		if (n > STRM_AES_BLOCK)
		{
			strm_aes_xor(out, out, tail);
			ok = strm_aes_encrypt(mac->aes, out, STRM_AES_BLOCK);
			last += STRM_AES_BLOCK;
			n -= STRM_AES_BLOCK;
		}
		if (n < STRM_AES_BLOCK)
		{
			last[n] = 0x80;
			memset(last + n + 1, 0, STRM_AES_BLOCK - n - 1);
		}
		strm_aes_xor(out, out, last);
		strm_aes_xor(out, out, n == STRM_AES_BLOCK ? mac->k1 : mac->k2);
		ok = ok && strm_aes_encrypt(mac->aes, out, STRM_AES_BLOCK);
		sodium_memzero(tail, sizeof(tail));
	}
	if (!ok)
		sodium_memzero(out, STRM_AES_BLOCK);
	return ok;
}
