/*
 * mask.c
 *	  Masking values: a keyed hash of their canonical text, as hex digits.
 *
 *	  A mask depends on the seed and the value's text only, so that equal values of several fields, streams or derived
 *	  streams with one seed have equal masks, as STRM's had. The text is UTF-8, as in every database that may have the
 *	  extension, and does not depend on settings.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/errors.h"
#include "common/secret.h"
#include "keys/master_key.h"
#include "strm_privacy.h"
#include "transform/mask.h"
#include "transform/value.h"

void
strm_mask_check_seed(StrmFaults *faults, const char *what, const char *seed)
{
	Size		size = strlen(seed);

	if (size < 1 || size > STRM_MASK_SEED_MAX)
		strm_faults_add(faults, "%s: must have 1 to %d bytes", what, STRM_MASK_SEED_MAX);
	for (Size i = 0; i < size; i++)
	{
		unsigned char c = seed[i];

		/* C0, DEL, and C1 controls (U+0080 to U+009F) */
		if (c < 0x20 || c == 0x7f ||
			(c == 0xc2 && (unsigned char) seed[i + 1] < 0xa0))
		{
			strm_faults_add(faults, "%s: must have printable characters only", what);
			break;
		}
	}
}

/* A seed is bound to its derived stream, so one row's seed cannot be moved to another. */
static void
strm_mask_place(const pg_uuid_t *derived_stream, StrmWrapPlace *place)
{
	memset(place, 0, sizeof(*place));
	place->kind = STRM_SECRET_MASK_SEED;
	memcpy(place->owner, derived_stream->data, UUID_LEN);
}

bytea *
strm_mask_wrap(const pg_uuid_t *derived_stream, const char *seed, Size size)
{
	StrmWrapPlace place;

	strm_mask_place(derived_stream, &place);
	return strm_master_key_wrap(&place, NULL, (const uint8 *) seed, size);
}

StrmMaskSeed *
strm_mask_unwrap(MemoryContext cxt, const pg_uuid_t *derived_stream, StrmHashType hash_type, const bytea *wrapped)
{
	StrmMaskSeed *seed = MemoryContextAlloc(cxt, sizeof(StrmMaskSeed));
	StrmWrapPlace place;

	strm_mask_place(derived_stream, &place);
	seed->hash_type = hash_type;
	seed->size = strm_master_key_payload_size(wrapped);
	seed->data = strm_secret_alloc(cxt, Max(seed->size, 1));
	strm_master_key_unwrap(&place, wrapped, seed->data, seed->size);
	return seed;
}

void
strm_mask_digits(const StrmMaskSeed *seed, const char *value, Size size, char digits[STRM_MASK_SIZE])
{
	StrmCryptoStatus status;

	if (seed->hash_type == STRM_HASH_MURMUR3)
		status = strm_mask_murmur3(seed->data, seed->size, (const uint8 *) value, size, digits);
	else
		status = strm_mask_blake2b(seed->data, seed->size, (const uint8 *) value, size, digits);
	if (status != STRM_CRYPTO_OK)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not compute a mask"));
}

text *
strm_mask_text(const StrmMaskSeed *seed, const char *value, Size size)
{
	char		digits[STRM_MASK_SIZE];

	strm_mask_digits(seed, value, size, digits);
	return cstring_to_text(digits);
}

text *
strm_mask_value(const StrmMaskSeed *seed, const StrmField *field, Datum value, StringInfo buffer)
{
	const char *plain;
	Size		size;

	strm_value_text(field, value, buffer, &plain, &size);
	return strm_mask_text(seed, plain, size);
}

ArrayType *
strm_mask_array(const StrmMaskSeed *seed, const StrmField *field, ArrayType *array, StringInfo buffer)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
	deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			values[i] = PointerGetDatum(strm_mask_value(seed, field, values[i], buffer));
	return construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array), TEXTOID, -1, false,
							  TYPALIGN_INT);
}
