/*
 * event.c
 *	  SQL entry points for events as JSON: strm.ingest() and strm.events(). Both run as their caller, whose privileges
 *	  on the stream or derived stream decide; anybody may call them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "api/args.h"
#include "common/errors.h"
#include "export/event_list.h"
#include "ingest/event.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_ingest);
PG_FUNCTION_INFO_V1(strm_sql_events);

/*
 * strm.ingest(stream regclass, event jsonb) RETURNS void
 *
 * A text that is no JSON never gets here: the server's jsonb input raises its own error, with a part of the text in it.
 * Producers that must not risk that pass a jsonb parameter.
 */
Datum
strm_sql_ingest(PG_FUNCTION_ARGS)
{
	strm_args_require(fcinfo, 0, "stream");
	strm_args_require(fcinfo, 1, "event");
	strm_event_ingest(strm_args_stream(PG_GETARG_OID(0)), PG_GETARG_JSONB_P(1));
	PG_RETURN_VOID();
}

/* Stores one event in the result set. */
static void
strm_event_put(void *arg, const StringInfo json)
{
	ReturnSetInfo *result = arg;
	Datum		value = PointerGetDatum(cstring_to_text_with_len(json->data, json->len));
	bool		isnull = false;

	tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	pfree(DatumGetPointer(value));
}

/* strm.events(stream regclass, since timestamptz, max_rows int) RETURNS SETOF json; max_rows NULL means all */
Datum
strm_sql_events(PG_FUNCTION_ARGS)
{
	StrmEventListRequest request = {0};

	strm_args_require(fcinfo, 0, "stream");
	request.relid = PG_GETARG_OID(0);
	request.has_since = !PG_ARGISNULL(1);
	request.since = request.has_since ? PG_GETARG_TIMESTAMPTZ(1) : 0;
	request.has_limit = !PG_ARGISNULL(2);
	request.limit = request.has_limit ? PG_GETARG_INT32(2) : 0;
	if (request.limit < 0)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("max_rows must not be negative"));

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	strm_event_list(&request, strm_event_put, fcinfo->resultinfo);
	return (Datum) 0;
}
