/*
 * murmur3.h
 *	  MurmurHash3 x64 128 with seed 0, fed in pieces; internal to this folder. Not a cryptographic hash.
 */
#ifndef STRM_CRYPTO_MURMUR3_H
#define STRM_CRYPTO_MURMUR3_H

#include "crypto/crypto.h"

typedef struct StrmMurmur3
{
	uint64_t	h1;
	uint64_t	h2;
	uint64_t	size;			/* bytes fed so far */
	uint8_t		block[16];		/* its first size % 16 bytes wait for the rest of their block */
} StrmMurmur3;

/* Start from a zeroed struct; feed any pieces; finish turns h1 and h2 into the hash. */
extern void strm_murmur3_feed(StrmMurmur3 *hash, const uint8_t *in, size_t n);
extern void strm_murmur3_finish(StrmMurmur3 *hash);

#endif							/* STRM_CRYPTO_MURMUR3_H */
