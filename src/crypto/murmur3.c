/*
 * murmur3.c
 *	  MurmurHash3 x64 128 (Austin Appleby, public domain), incremental, so that a seed and a value need not be joined in
 *	  memory first. Reads little endian on every machine.
 */
#include "crypto/murmur3.h"

#include <string.h>

#define MURMUR3_C1 UINT64_C(0x87c37b91114253d5)
#define MURMUR3_C2 UINT64_C(0x4cf5ad432745937f)

static inline uint64_t
strm_murmur3_rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

/* The 64-bit little-endian number at p. */
static inline uint64_t
strm_murmur3_load(const uint8_t *p)
{
	uint64_t	v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static inline uint64_t
strm_murmur3_mix_k1(uint64_t k)
{
	return strm_murmur3_rotate(k * MURMUR3_C1, 31) * MURMUR3_C2;
}

static inline uint64_t
strm_murmur3_mix_k2(uint64_t k)
{
	return strm_murmur3_rotate(k * MURMUR3_C2, 33) * MURMUR3_C1;
}

/* The finalizer: every input bit affects every output bit. */
static inline uint64_t
strm_murmur3_avalanche(uint64_t k)
{
	k ^= k >> 33;
	k *= UINT64_C(0xff51afd7ed558ccd);
	k ^= k >> 33;
	k *= UINT64_C(0xc4ceb9fe1a85ec53);
	k ^= k >> 33;
	return k;
}

/* Takes in one whole block. */
static void
strm_murmur3_block(StrmMurmur3 *hash, const uint8_t block[16])
{
	hash->h1 ^= strm_murmur3_mix_k1(strm_murmur3_load(block));
	hash->h1 = (strm_murmur3_rotate(hash->h1, 27) + hash->h2) * 5 + 0x52dce729;
	hash->h2 ^= strm_murmur3_mix_k2(strm_murmur3_load(block + 8));
	hash->h2 = (strm_murmur3_rotate(hash->h2, 31) + hash->h1) * 5 + 0x38495ab5;
}

/* Adds n bytes to the message. */
void
strm_murmur3_feed(StrmMurmur3 *hash, const uint8_t *in, size_t n)
{
	while (n > 0)
	{
		size_t		used = hash->size % sizeof(hash->block);
		size_t		step = sizeof(hash->block) - used;

		step = n < step ? n : step;
		memcpy(hash->block + used, in, step);
		if (used + step == sizeof(hash->block))
			strm_murmur3_block(hash, hash->block);
		hash->size += step;
		in += step;
		n -= step;
	}
}

/* Ends the message; the hash is h1 and h2. A zero-padded tail mixes to nothing where there is none. */
void
strm_murmur3_finish(StrmMurmur3 *hash)
{
	size_t		used = hash->size % sizeof(hash->block);

	memset(hash->block + used, 0, sizeof(hash->block) - used);
	hash->h1 ^= strm_murmur3_mix_k1(strm_murmur3_load(hash->block));
	hash->h2 ^= strm_murmur3_mix_k2(strm_murmur3_load(hash->block + 8));

	hash->h1 ^= hash->size;
	hash->h2 ^= hash->size;
	hash->h1 += hash->h2;
	hash->h2 += hash->h1;
	hash->h1 = strm_murmur3_avalanche(hash->h1);
	hash->h2 = strm_murmur3_avalanche(hash->h2);
	hash->h1 += hash->h2;
	hash->h2 += hash->h1;
}
