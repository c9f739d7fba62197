/*
 * status_row.c
 *	  What the rows of exporters' states have in common.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

#include "common/errors.h"
#include "export/status_row.h"
#include "strm_privacy.h"

char *
strm_status_row_text(Datum value, bool isnull)
{
	return isnull ? NULL : TextDatumGetCString(value);
}

XLogRecPtr
strm_status_row_lsn(Datum value, bool isnull)
{
	return isnull ? InvalidXLogRecPtr : DatumGetLSN(value);
}

TimestampTz
strm_status_row_time(Datum value, bool isnull)
{
	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* What somebody wrote there that has not five characters counts as an internal error. */
int
strm_status_row_sqlstate(Datum value, bool isnull)
{
	const char *text = strm_status_row_text(value, isnull);

	if (text == NULL)
		return 0;
	return strlen(text) == 5 ? MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]) : STRM_ERR_INTERNAL;
}

void
strm_status_row_add_lsn(StrmRegistryArgs *args, XLogRecPtr lsn)
{
	strm_registry_add(args, PG_LSNOID, LSNGetDatum(lsn), XLogRecPtrIsInvalid(lsn));
}

void
strm_status_row_add_time(StrmRegistryArgs *args, TimestampTz time)
{
	strm_registry_add(args, TIMESTAMPTZOID, TimestampTzGetDatum(time), time == 0);
}

void
strm_status_row_add_sqlstate(StrmRegistryArgs *args, int sqlstate)
{
	strm_registry_add_text(args, sqlstate == 0 ? NULL : unpack_sql_state(sqlstate));
}
