/*
 * wrap.h
 *	  Wrapping of secrets under the master key: XChaCha20-Poly1305 with associated data that binds the secret to its
 *	  place.
 *
 *	  Wrapped form: version (1 byte, 1), kind (1), master key id (4, big endian), nonce (24), payload + tag (16).
 *	  Associated data: version, kind, owner (16), master key id (4), key link (16), key id (4), all big endian.
 */
#ifndef STRM_CRYPTO_WRAP_H
#define STRM_CRYPTO_WRAP_H

#include "crypto/crypto.h"

#define STRM_MASTER_KEY_SIZE 32
#define STRM_WRAP_NONCE_SIZE 24
#define STRM_WRAP_HEADER_SIZE 30
#define STRM_WRAP_OVERHEAD (STRM_WRAP_HEADER_SIZE + 16)
#define STRM_WRAP_MASTER_ID_OFFSET 2

typedef enum StrmSecretKind
{
	STRM_SECRET_DATA_KEY = 1,	/* 32-byte root */
	STRM_SECRET_IMPORTED_KEY = 2,	/* 32-byte root, then the imported 64-byte AES-SIV key */
	STRM_SECRET_HASH_KEY = 3,	/* 32-byte key of a lookup or subject hash */
	STRM_SECRET_MASK_SEED = 4,	/* a derived stream's seed, 1 to 1000 bytes */
	STRM_SECRET_CREDENTIALS = 5,	/* of a data connector: JSON; owner is the connector's id */
	STRM_SECRET_JOB_SEEDS = 6,	/* mask seeds of a batch job: JSON; owner is the job's id */
	STRM_SECRET_INBOX_KEY = 7	/* 32-byte root of a key of a stream's inbox; its id is the key id */
} StrmSecretKind;

/* Where a secret belongs; what does not apply is zero. */
typedef struct StrmWrapPlace
{
	StrmSecretKind kind;
	uint8_t		owner[16];		/* stream, group or derived stream uuid */
	uint8_t		key_link[16];
	uint32_t	key_id;
} StrmWrapPlace;

/* out: n + STRM_WRAP_OVERHEAD bytes. nonce: 24 random bytes. */
extern StrmCryptoStatus strm_wrap(const uint8_t master[STRM_MASTER_KEY_SIZE], uint32_t master_id,
								  const StrmWrapPlace *place,
								  const uint8_t nonce[24], const uint8_t *in, size_t n, uint8_t *out);

/* The id of the master key that a wrapped secret needs; false when it is too short or of another version. */
extern bool strm_wrap_master_id(const uint8_t *in, size_t n, uint32_t *master_id);

/* out: n - STRM_WRAP_OVERHEAD bytes. */
extern StrmCryptoStatus strm_unwrap(const uint8_t master[STRM_MASTER_KEY_SIZE], const StrmWrapPlace *place,
									const uint8_t *in, size_t n, uint8_t *out);

#endif							/* STRM_CRYPTO_WRAP_H */
