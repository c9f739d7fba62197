/*
 * consent.c
 *	  strm.consents_to() and strm.consents_up_to(): the row filters of derived streams.
 *
 *	  Leakproof, so that the planner may use them anywhere: they raise no error and reveal their result only, whatever
 *	  arrays they are given. What is not a list of levels consents to nothing.
 */
#include "postgres.h"

#include "fmgr.h"

#include "common/array.h"
#include "contract/consent.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_consents_to);
PG_FUNCTION_INFO_V1(strm_sql_consents_up_to);

/* strm.consents_to(levels int4[], purposes int4[]): do the levels contain every purpose (and is there one)? Strict. */
Datum
strm_sql_consents_to(PG_FUNCTION_ARGS)
{
	StrmArrayBuffer buffers[2];
	const ArrayType *levels = strm_array_plain(PG_GETARG_DATUM(0), &buffers[0]);
	const ArrayType *purposes = strm_array_plain(PG_GETARG_DATUM(1), &buffers[1]);
	const int32 *values;
	const int32 *wanted;
	int			nvalues;
	int			nwanted;

	PG_RETURN_BOOL(strm_array_int4(levels, &values, &nvalues) &&
				   strm_array_int4(purposes, &wanted, &nwanted) &&
				   nwanted > 0 &&
				   strm_consent_contains(levels, wanted, nwanted));
}

/* strm.consents_up_to(levels int4[], level int4): is the highest of the levels at least level? Strict. */
Datum
strm_sql_consents_up_to(PG_FUNCTION_ARGS)
{
	StrmArrayBuffer buffer;
	const ArrayType *levels = strm_array_plain(PG_GETARG_DATUM(0), &buffer);
	const int32 *values;
	int			nvalues;

	PG_RETURN_BOOL(strm_array_int4(levels, &values, &nvalues) &&
				   strm_consent_reaches(levels, PG_GETARG_INT32(1)));
}
