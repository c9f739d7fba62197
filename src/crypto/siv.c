/*
 * siv.c
 *	  AES-256-SIV (RFC 5297) composed over two AES engines, one for S2V and one for CTR.
 *
 *	  OpenSSL's own EVP AES-256-SIV is not used: it needs the key again for every message, some forty times slower for
 *	  short values, and cannot tell a forged empty message from a genuine one. A context keeps the S2V state after the
 *	  associated data, so that it costs nothing per message; nothing is allocated per message either.
 */
#include "crypto/siv.h"

#include <stdlib.h>

#include <sodium.h>

#include "crypto/aes.h"

/* Bytes of key stream made by one call of the block engine. */
#define SIV_CTR_BATCH 256

struct StrmSiv
{
	StrmAesCmac mac;			/* first key half */
	EVP_CIPHER_CTX *ctr;		/* second key half */
	uint8_t		zero_mac[STRM_AES_BLOCK];	/* CMAC of one zero block, where S2V starts */
	uint8_t		state[STRM_AES_BLOCK];	/* S2V after the associated data, for plaintexts of a block or more */
	uint8_t		short_state[STRM_AES_BLOCK];	/* the same for shorter ones: dbl(state) XOR k1 */
	bool		keyed;
};

/* A context of process lifetime; NULL when out of memory or before strm_crypto_init. */
StrmSiv *
strm_siv_create(void)
{
	StrmSiv    *siv = calloc(1, sizeof(StrmSiv));

	if (siv == NULL)
		return NULL;
	siv->mac.aes = strm_aes_create();
	siv->ctr = strm_aes_create();
	if (siv->mac.aes == NULL || siv->ctr == NULL)
	{
		strm_siv_destroy(siv);
		return NULL;
	}
	return siv;
}

/* Wipes and frees; NULL is allowed. */
void
strm_siv_destroy(StrmSiv *siv)
{
	if (siv == NULL)
		return;
	EVP_CIPHER_CTX_free(siv->mac.aes);
	EVP_CIPHER_CTX_free(siv->ctr);
	sodium_memzero(siv, sizeof(*siv));
	free(siv);
}

/* Adopts the state of S2V after the associated data. */
static void
strm_siv_set_state(StrmSiv *siv, const uint8_t state[STRM_AES_BLOCK])
{
	memcpy(siv->state, state, STRM_AES_BLOCK);
	strm_aes_double(state, siv->short_state);
	strm_aes_xor(siv->short_state, siv->short_state, siv->mac.k1);
}

/*
 * Replaces the key and sets the associated data to one empty component. After a failure the context refuses to work
 * until keyed again.
 */
StrmCryptoStatus
strm_siv_set_key(StrmSiv *siv, const uint8_t key[STRM_SIV_KEY_SIZE])
{
	uint8_t		blocks[2 * STRM_AES_BLOCK] = {0};
	uint8_t    *empty = blocks + STRM_AES_BLOCK;

	/*
	 * CMAC of a zero block is one encryption of k1, CMAC of the empty string one of its padding XOR k2: both in one
	 * call.
	 */
	siv->keyed = strm_aes_cmac_set_key(&siv->mac, key) && strm_aes_set_key(siv->ctr, key + STRM_AES_KEY_SIZE);
	memcpy(blocks, siv->mac.k1, STRM_AES_BLOCK);
	empty[0] = 0x80;
	strm_aes_xor(empty, empty, siv->mac.k2);
	siv->keyed = siv->keyed && strm_aes_encrypt(siv->mac.aes, blocks, sizeof(blocks));

	memcpy(siv->zero_mac, blocks, STRM_AES_BLOCK);
	strm_aes_double(siv->zero_mac, blocks);
	strm_aes_xor(blocks, blocks, empty);
	strm_siv_set_state(siv, blocks);
	sodium_memzero(blocks, sizeof(blocks));
	return siv->keyed ? STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}

/* Sets other associated data than the empty component, until the next key; after a failure the old one stays. */
StrmCryptoStatus
strm_siv_set_ad(StrmSiv *siv, const StrmBytes *components, size_t n)
{
	uint8_t		state[STRM_AES_BLOCK];
	uint8_t		tag[STRM_AES_BLOCK];
	bool		ok = siv->keyed;

	memcpy(state, siv->zero_mac, STRM_AES_BLOCK);
	for (size_t i = 0; ok && i < n; i++)
	{
		ok = strm_aes_cmac(&siv->mac, components[i].data, components[i].size, NULL, tag);
		strm_aes_double(state, state);
		strm_aes_xor(state, state, tag);
	}
	if (ok)
		strm_siv_set_state(siv, state);
	sodium_memzero(state, sizeof(state));
	sodium_memzero(tag, sizeof(tag));
	return ok ? STRM_CRYPTO_OK : STRM_CRYPTO_FAILED;
}

/*
 * The last step of S2V: the synthetic IV of a plaintext. One shorter than a block is padded into a single whole block,
 * whose CMAC is one encryption. iv is zeroed after a failure.
 */
static bool
strm_siv_s2v(const StrmSiv *siv, const uint8_t *in, size_t n, uint8_t iv[STRM_SIV_TAG_SIZE])
{
	if (n >= STRM_AES_BLOCK)
		return strm_aes_cmac(&siv->mac, in, n, siv->state, iv);

	memcpy(iv, siv->short_state, STRM_AES_BLOCK);
	for (size_t i = 0; i < n; i++)
		iv[i] ^= in[i];
	iv[n] ^= 0x80;
	if (strm_aes_encrypt(siv->mac.aes, iv, STRM_AES_BLOCK))
		return true;
	sodium_memzero(iv, STRM_AES_BLOCK);
	return false;
}

/*
 * Encrypts or decrypts n bytes in counter mode from iv with bits 31 and 63 cleared. That the latter is clear means that
 * the low half of the counter never overflows into the high one. in and out may be the same.
 */
static bool
strm_siv_ctr(const StrmSiv *siv, const uint8_t iv[STRM_SIV_TAG_SIZE], const uint8_t *in, size_t n, uint8_t *out)
{
	uint8_t		stream[SIV_CTR_BATCH];
	uint64_t	hi = strm_aes_load64(iv);
	uint64_t	lo = strm_aes_load64(iv + 8) & UINT64_C(0x7fffffff7fffffff);
	size_t		used = 0;
	bool		ok = true;

	while (n > 0)
	{
		size_t		size = n < SIV_CTR_BATCH ? n : SIV_CTR_BATCH;
		size_t		whole = (size + STRM_AES_BLOCK - 1) / STRM_AES_BLOCK * STRM_AES_BLOCK;
		size_t		i;

		for (i = 0; i < whole; i += STRM_AES_BLOCK)
		{
			strm_aes_store64(stream + i, hi);
			strm_aes_store64(stream + i + 8, lo++);
		}
		used = whole > used ? whole : used;
		ok = strm_aes_encrypt(siv->ctr, stream, whole);
		if (!ok)
			break;

		for (i = 0; i + STRM_AES_BLOCK <= size; i += STRM_AES_BLOCK)
			strm_aes_xor(out + i, in + i, stream + i);
		for (; i < size; i++)
			out[i] = in[i] ^ stream[i];
		in += size;
		out += size;
		n -= size;
	}
	sodium_memzero(stream, used);
	return ok;
}

/* Deterministic: equal plaintexts under one key have equal ciphertexts. */
StrmCryptoStatus
strm_siv_encrypt(StrmSiv *siv, const uint8_t *in, size_t n, uint8_t *out)
{
	if (!siv->keyed || !strm_siv_s2v(siv, in, n, out) || !strm_siv_ctr(siv, out, in, n, out + STRM_SIV_TAG_SIZE))
		return STRM_CRYPTO_FAILED;
	return STRM_CRYPTO_OK;
}

/* Nothing of a message that is not authentic is left in out, nor after a failure. */
StrmCryptoStatus
strm_siv_decrypt(StrmSiv *siv, const uint8_t *in, size_t n, uint8_t *out)
{
	StrmCryptoStatus status = STRM_CRYPTO_FAILED;
	uint8_t		iv[STRM_SIV_TAG_SIZE];
	size_t		size;

	if (n < STRM_SIV_TAG_SIZE)
		return STRM_CRYPTO_FORGED;
	size = n - STRM_SIV_TAG_SIZE;

	if (siv->keyed && strm_siv_ctr(siv, in, in + STRM_SIV_TAG_SIZE, size, out) && strm_siv_s2v(siv, out, size, iv))
		status = crypto_verify_16(iv, in) == 0 ? STRM_CRYPTO_OK : STRM_CRYPTO_FORGED;
	if (status != STRM_CRYPTO_OK && size > 0)
		sodium_memzero(out, size);
	sodium_memzero(iv, sizeof(iv));
	return status;
}
