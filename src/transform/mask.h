/*
 * mask.h
 *	  Masking values: a keyed hash of their canonical text, as hex digits.
 */
#ifndef STRM_TRANSFORM_MASK_H
#define STRM_TRANSFORM_MASK_H

#include "lib/stringinfo.h"
#include "utils/array.h"

#include "catalog/derived_stream.h"
#include "common/errors.h"
#include "crypto/mask.h"

/* An unwrapped seed, in memory that is wiped with its context. */
typedef struct StrmMaskSeed
{
	StrmHashType hash_type;
	Size		size;
	uint8	   *data;
} StrmMaskSeed;

/* Characters or bytes a seed may have. */
#define STRM_MASK_SEED_MAX 1000

/* Adds a fault, which begins with what, for everything that is wrong with a seed; nothing of it is in the fault. */
extern void strm_mask_check_seed(StrmFaults *faults, const char *what, const char *seed);

/* Wraps a seed for the derived stream of that id; the result is palloc'd. Raises 55000 when sealed. */
extern bytea *strm_mask_wrap(const pg_uuid_t *derived_stream, const char *seed, Size size);

/* Unwraps a derived stream's seed into cxt. Raises 55000 when sealed, XX001 when it is not authentic. */
extern StrmMaskSeed *strm_mask_unwrap(MemoryContext cxt, const pg_uuid_t *derived_stream, StrmHashType hash_type,
									  const bytea *wrapped);

/* The mask of a canonical text: hex digits and a terminator. */
extern void strm_mask_digits(const StrmMaskSeed *seed, const char *value, Size size, char digits[STRM_MASK_SIZE]);

/* The same, as a palloc'd text. */
extern text *strm_mask_text(const StrmMaskSeed *seed, const char *value, Size size);

/* The mask of a value (an element, when repeated) of a field that is not personal; buffer is scratch. */
extern text *strm_mask_value(const StrmMaskSeed *seed, const StrmField *field, Datum value, StringInfo buffer);

/* The same for each element of a repeated field's array; text[] of the same shape. */
extern ArrayType *strm_mask_array(const StrmMaskSeed *seed, const StrmField *field, ArrayType *array,
								  StringInfo buffer);

#endif							/* STRM_TRANSFORM_MASK_H */
