/*
 * array.c
 *	  Reading int4[] arguments without allocation: they are looked at once per row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "common/array.h"
#include "strm_privacy.h"

const ArrayType *
strm_array_plain(Datum datum, StrmArrayBuffer *buffer)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);

	/* an external one has the same header bit */
	if (VARATT_IS_SHORT(value) && !VARATT_IS_EXTERNAL(value))
	{
		Size		size = VARSIZE_SHORT(value) - VARHDRSZ_SHORT;

		SET_VARSIZE(buffer->data, VARHDRSZ + size);
		memcpy(buffer->data + VARHDRSZ, VARDATA_SHORT(value), size);
		return &buffer->array;
	}
	return (const ArrayType *) PG_DETOAST_DATUM(datum);
}

bool
strm_array_int4(const ArrayType *array, const int32 **values, int *n)
{
	*values = NULL;
	*n = 0;
	if (ARR_NDIM(array) == 0)
		return true;
	if (ARR_NDIM(array) != 1 || ARR_ELEMTYPE(array) != INT4OID || ARR_HASNULL(array))
		return false;
	*values = (const int32 *) ARR_DATA_PTR(array);
	*n = ARR_DIMS(array)[0];
	return true;
}
