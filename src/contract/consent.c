/*
 * consent.c
 *	  Normal form of consent levels and the two questions asked of it.
 *
 *	  Normal: empty, or one-dimensional from subscript 1, without NULLs, strictly ascending from 0 up. Runs for every
 *	  row that is written or read, so what is normal already is neither copied nor allocated.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "common/errors.h"
#include "contract/consent.h"
#include "strm_privacy.h"

/* The levels of a NULL-free array; their number is 0 unless it is one-dimensional. */
static inline const int32 *
strm_consent_levels(const ArrayType *levels, int *count)
{
	*count = ARR_NDIM(levels) == 1 ? ARR_DIMS(levels)[0] : 0;
	return (const int32 *) ARR_DATA_PTR(levels);
}

static int
strm_consent_compare(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return (left > right) - (left < right);
}

/* Raises unless the array is at most one-dimensional and free of NULLs. */
static void
strm_consent_check_shape(ArrayType *levels)
{
	if (ARR_NDIM(levels) > 1)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("consent levels must be a one-dimensional array"),
				errdetail("The array has %d dimensions.", ARR_NDIM(levels)));
	if (ARR_HASNULL(levels) && array_contains_nulls(levels))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("consent levels must not contain NULL"),
				errhint("A data subject who gave no consent has the consent levels {}."));
}

/* A sorted copy without duplicates. The levels are not negative and there is at least one. */
static ArrayType *
strm_consent_sort(const int32 *values, int count)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(int32) * count;
	ArrayType  *result = palloc0(size);
	int32	   *sorted = (int32 *) ((char *) result + ARR_OVERHEAD_NONULLS(1));
	int			unique = 1;

	memcpy(sorted, values, sizeof(int32) * count);
	qsort(sorted, count, sizeof(int32), strm_consent_compare);
	for (int i = 1; i < count; i++)
	{
		if (sorted[i] != sorted[unique - 1])
			sorted[unique++] = sorted[i];
	}

	SET_VARSIZE(result, ARR_OVERHEAD_NONULLS(1) + sizeof(int32) * unique);
	result->ndim = 1;
	result->dataoffset = 0;
	result->elemtype = INT4OID;
	ARR_DIMS(result)[0] = unique;
	ARR_LBOUND(result)[0] = 1;
	return result;
}

ArrayType *
strm_consent_normalize(ArrayType *levels)
{
	const int32 *values;
	int			count;
	bool		normal;

	if (levels == NULL)
		return construct_empty_array(INT4OID);
	if (ARR_NDIM(levels) == 0)
		return levels;

	strm_consent_check_shape(levels);
	values = strm_consent_levels(levels, &count);
	normal = ARR_LBOUND(levels)[0] == 1 && !ARR_HASNULL(levels);
	for (int i = 0; i < count; i++)
	{
		if (values[i] < 0)
			ereport(ERROR,
					errcode(STRM_ERR_ARGUMENT),
					errmsg("consent levels must not be negative"));
		if (i > 0 && values[i] <= values[i - 1])
			normal = false;
	}
	if (!normal)
		levels = strm_consent_sort(values, count);
	if (ARR_DIMS(levels)[0] > STRM_MAX_CONSENT_LEVELS)
		ereport(ERROR,
				errcode(STRM_ERR_LIMIT),
				errmsg("too many consent levels"),
				errdetail("The limit is %d different ones.", STRM_MAX_CONSENT_LEVELS));
	return levels;
}

bool
strm_consent_contains(const ArrayType *levels, const int32 *purposes, int npurposes)
{
	int			count;
	const int32 *values = strm_consent_levels(levels, &count);

	for (int i = 0; i < npurposes; i++)
	{
		int			low = 0;
		int			high = count;

		while (low < high)
		{
			int			middle = low + (high - low) / 2;

			if (values[middle] < purposes[i])
				low = middle + 1;
			else
				high = middle;
		}
		if (low == count || values[low] != purposes[i])
			return false;
	}
	return true;
}

bool
strm_consent_reaches(const ArrayType *levels, int32 level)
{
	int			count;
	const int32 *values = strm_consent_levels(levels, &count);

	return count > 0 && values[count - 1] >= level;
}
