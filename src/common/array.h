/*
 * array.h
 *	  Reading int4[] arguments without allocation.
 */
#ifndef STRM_COMMON_ARRAY_H
#define STRM_COMMON_ARRAY_H

#include "utils/array.h"

/* Room for an array with a short (1-byte) header, as small arrays are stored in tuples, in its aligned form. */
typedef union StrmArrayBuffer
{
	ArrayType	array;
	char		data[VARHDRSZ + VARATT_SHORT_MAX];
	int64		align;
} StrmArrayBuffer;

/*
 * The array of a Datum, in its plain form: the Datum itself, or a copy in buffer; only a compressed or external one is
 * allocated. Lives as long as the shorter-lived of Datum and buffer.
 */
extern const ArrayType *strm_array_plain(Datum datum, StrmArrayBuffer *buffer);

/* Has array one dimension and no NULL, or no element at all? Then *values has *n elements, which may not be changed. */
extern bool strm_array_int4(const ArrayType *array, const int32 **values, int *n);

#endif							/* STRM_COMMON_ARRAY_H */
