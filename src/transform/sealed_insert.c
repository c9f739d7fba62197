/*
 * sealed_insert.c
 *	  Which stream takes sealed rows of somebody who is not its owner, and only while that one INSERT runs.
 *
 *	  The user is kept with it: code that the INSERT may call as another user (a trigger's function with SECURITY
 *	  DEFINER) has no part in it.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "transform/sealed_insert.h"

static struct
{
	bool		runs;
	pg_uuid_t	stream;
	Oid			user;
} sealed_insert;

bool
strm_sealed_insert_runs(const pg_uuid_t *stream)
{
	return sealed_insert.runs && sealed_insert.user == GetUserId() &&
		memcmp(sealed_insert.stream.data, stream->data, UUID_LEN) == 0;
}

void
strm_sealed_insert(const StrmStream *stream, SPIPlanPtr plan, Datum *values, const char *nulls)
{
	int			rc = SPI_ERROR_UNCONNECTED;

	Assert(!sealed_insert.runs);
	sealed_insert.runs = true;
	sealed_insert.stream = stream->id;
	sealed_insert.user = GetUserId();
	PG_TRY();
	{
		rc = SPI_execute_plan(plan, values, nulls, false, 0);
	}
	PG_FINALLY();
	{
		sealed_insert.runs = false;
	}
	PG_END_TRY();
	if (rc != SPI_OK_INSERT)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not insert sealed rows: %s", SPI_result_code_string(rc)));
}
