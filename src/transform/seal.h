/*
 * seal.h
 *	  The seal of a row: a MAC that binds consent, key link and ciphertexts together.
 *
 *	  Message (big endian): format version (1 byte, 1), stream uuid (16), length (1) and text of the contract version,
 *	  key link (16), nonce (4), timestamp (8, epoch ms), number of consent levels (2) and each level (4), then for each
 *	  personal value in contract order its field ordinal (2) and shape (1): 0 NULL; 1 scalar, then the SIV (16) of its
 *	  ciphertext; 2 array, then the number of elements (4) and for each 0, or 1 and its SIV (16).
 */
#ifndef STRM_TRANSFORM_SEAL_H
#define STRM_TRANSFORM_SEAL_H

#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/uuid.h"

#include "catalog/stream.h"
#include "keys/data_key.h"

/* The server's columns of one row, and its personal columns in contract order as stored. */
typedef struct StrmSealedRow
{
	const char *version;		/* not NUL-terminated */
	int			version_size;
	int32		nonce;
	TimestampTz timestamp;
	const pg_uuid_t *key_link;
	const ArrayType *consent_levels;
	const bytea *seal;			/* may be NULL; detoasted */
	int			npersonal;
	const Datum *personal;		/* text or text[], may be toasted; of npersonal */
	const bool *personal_null;
} StrmSealedRow;

/* Computes the seal of row under key into out. Raises XX001 when a personal value is not of ciphertext form. */
extern void strm_seal_compute(const StrmStream *stream, StrmDataKey *key, const StrmSealedRow *row,
							  uint8 out[STRM_CMAC_SIZE]);

/*
 * Is row's seal authentic for stream under key? false also when the seal is NULL or a personal value is not of
 * ciphertext form. Remembers the last authentic row, so that revealing several fields of one row computes one MAC.
 */
extern bool strm_seal_verify(const StrmStream *stream, StrmDataKey *key, const StrmSealedRow *row);

#endif							/* STRM_TRANSFORM_SEAL_H */
