/*
 * uuid.c
 *	  Uuids of definitions: the server's functions, for C.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "common/uuid.h"
#include "strm_privacy.h"

pg_uuid_t
strm_uuid_new(void)
{
	return *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
}

char *
strm_uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}
