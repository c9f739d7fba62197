/*
 * timestamp.c
 *	  strm.parse_timestamp(): tries the timestamp_config of a batch job.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "common/errors.h"
#include "format/timestamp.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_parse_timestamp);

/* The format of the last call of the same expression. */
typedef struct StrmTimestampCall
{
	MemoryContext cxt;
	char	   *format;			/* NULL: ISO 8601 */
	char	   *zone;			/* NULL: UTC */
	StrmTimestampFormat *compiled;
} StrmTimestampCall;

static bool
strm_timestamp_same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The compiled format, kept from call to call while it stays the same; raises 22023 when it is bad. */
static StrmTimestampFormat *
strm_timestamp_call_format(FunctionCallInfo fcinfo, const char *format, const char *zone)
{
	StrmTimestampCall *call = fcinfo->flinfo->fn_extra;
	MemoryContext caller;
	char	   *fault;

	if (call != NULL && call->compiled != NULL && strm_timestamp_same(call->format, format) &&
		strm_timestamp_same(call->zone, zone))
		return call->compiled;
	if (call == NULL)
	{
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(StrmTimestampCall));
		call->cxt = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "strm timestamp format", ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = call;
	}
	call->compiled = NULL;
	MemoryContextReset(call->cxt);
	caller = MemoryContextSwitchTo(call->cxt);
	call->format = format != NULL ? pstrdup(format) : NULL;
	call->zone = zone != NULL ? pstrdup(zone) : NULL;
	call->compiled = strm_timestamp_format(format, zone, &fault);
	MemoryContextSwitchTo(caller);
	if (call->compiled == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the format or default_zone is not valid"),
				errdetail("%s", fault),
				errhint("A format is a pattern of Java's DateTimeFormatter, ISO_8601, EPOCH_SECONDS or EPOCH_MILLIS."));
	return call->compiled;
}

/*
 * strm.parse_timestamp(value text, format text, default_zone text) RETURNS timestamptz
 *
 * NULL when the value is. The error shows the value: it is the caller's own argument.
 */
Datum
strm_sql_parse_timestamp(PG_FUNCTION_ARGS)
{
	const text *value;
	StrmTimestampFormat *format;
	StringInfoData message;
	int64		epoch_ms;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = PG_GETARG_TEXT_PP(0);
	format = strm_timestamp_call_format(fcinfo, strm_args_text_or_null(fcinfo, 1), strm_args_text_or_null(fcinfo, 2));
	initStringInfo(&message);
	if (!strm_timestamp_parse(format, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &epoch_ms, &message))
		ereport(ERROR,
				errcode(STRM_ERR_TIMESTAMP),
				errmsg("%s", message.data));
	PG_RETURN_TIMESTAMPTZ(epoch_ms * 1000 - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
}
