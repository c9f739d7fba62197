/*
 * event_list.c
 *	  Rows of a stream or of a derived stream as event JSON.
 *
 *	  The rows come from an ordinary SELECT of the current user through a cursor, so privileges, consent and decryption
 *	  are those of any SELECT, and memory does not grow with the number of rows.
 *
 *	  The last n events are found in two steps. A derived stream decrypts while its rows are read, before any sort, so
 *	  the first step reads timestamps only and finds where the last n begin; the second decrypts from there.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "catalog/derived_stream.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "export/event_list.h"
#include "strm_privacy.h"
#include "transform/event_json.h"

#define FETCH_ROWS 500

static const char *const server_columns[STRM_EVENT_COLUMNS] = {
	[STRM_EVENT_VERSION] = STRM_COLUMN_CONTRACT_VERSION,
	[STRM_EVENT_NONCE] = STRM_COLUMN_NONCE,
	[STRM_EVENT_TIMESTAMP] = STRM_COLUMN_TIMESTAMP,
	[STRM_EVENT_KEY_LINK] = STRM_COLUMN_KEY_LINK,
	[STRM_EVENT_CONSENT_LEVELS] = STRM_COLUMN_CONSENT_LEVELS,
};

/* The relation that is read, as parts of SQL. */
typedef struct StrmEventSource
{
	const StrmContract *contract;
	char	   *relation;		/* qualified and quoted */
	char	   *columns;		/* server columns, then fields */
	const char *timestamp;		/* column, quoted */
} StrmEventSource;

/* Columns of a stream go by name; those of a derived stream by number, for its owner may rename them. */
static void
strm_event_list_source(StrmEventSource *source, Oid relid)
{
	const StrmStream *stream = strm_catalog_stream_of(relid);
	const StrmDerivedStream *derived = stream ? NULL : strm_catalog_derived_stream_of(relid);
	StringInfoData columns;

	if (stream == NULL && derived == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("\"%s\" is neither a stream nor a derived stream",
					   get_rel_name(relid) ? get_rel_name(relid) : psprintf("%u", relid)),
				errhint("strm.streams and strm.derived_streams list them."));
	source->contract = derived ? derived->stream->contract : stream->contract;
	source->relation = strm_catalog_relation_name(relid);

	source->timestamp = NULL;
	initStringInfo(&columns);
	for (int i = 0; i < STRM_EVENT_COLUMNS + source->contract->nfields; i++)
	{
		const char *column;

		if (derived != NULL)
			column = get_attname(relid, (AttrNumber) (i + 1), false);
		else if (i < STRM_EVENT_COLUMNS)
			column = server_columns[i];
		else
			column = source->contract->fields[i - STRM_EVENT_COLUMNS].column;
		column = quote_identifier(column);
		if (i == STRM_EVENT_TIMESTAMP)
			source->timestamp = column;
		appendStringInfo(&columns, "%s%s", i > 0 ? ", " : "", column);
	}
	source->columns = columns.data;
}

/* Opens a cursor of the current user for sql with a timestamptz and a bigint parameter. */
static Portal
strm_event_list_cursor(const char *sql, TimestampTz timestamp, int64 number)
{
	Oid			types[] = {TIMESTAMPTZOID, INT8OID};
	Datum		values[] = {TimestampTzGetDatum(timestamp), Int64GetDatum(number)};

	return SPI_cursor_open_with_args(NULL, sql, lengthof(types), types, values, NULL, true, 0);
}

/* Finds the timestamp of the limit-th event from the end; false when there are fewer. */
static bool
strm_event_list_find_last(const StrmEventSource *source, int64 limit, TimestampTz *since)
{
	char	   *sql = psprintf("SELECT %s FROM %s ORDER BY 1 DESC OFFSET $2 - 1 LIMIT 1", source->timestamp,
							   source->relation);
	Portal		portal = strm_event_list_cursor(sql, 0, limit);
	bool		isnull = true;

	SPI_cursor_fetch(portal, true, 1);
	if (SPI_processed > 0)
		*since = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	SPI_cursor_close(portal);
	return !isnull;
}

/* Opens the cursor over the requested rows, oldest first. */
static Portal
strm_event_list_open(const StrmEventSource *source, const StrmEventListRequest *request)
{
	TimestampTz since = request->since;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s FROM %s", source->columns, source->relation);
	if (request->has_since)
		appendStringInfo(&sql, " WHERE %s >= $1 ORDER BY %d%s", source->timestamp, STRM_EVENT_TIMESTAMP + 1,
						 request->has_limit ? " LIMIT $2" : "");
	else if (request->has_limit && request->limit == 0)
		appendStringInfoString(&sql, " LIMIT $2");
	else if (request->has_limit && strm_event_list_find_last(source, request->limit, &since))
	{
		char	   *tail = psprintf("SELECT * FROM (%s WHERE %s >= $1 ORDER BY %d DESC LIMIT $2) AS tail ORDER BY %d",
									sql.data, source->timestamp, STRM_EVENT_TIMESTAMP + 1, STRM_EVENT_TIMESTAMP + 1);

		return strm_event_list_cursor(tail, since, request->limit);
	}
	else
		appendStringInfo(&sql, " ORDER BY %d", STRM_EVENT_TIMESTAMP + 1);
	return strm_event_list_cursor(sql.data, since, request->limit);
}

/* Encodes the rows of one fetch. */
static void
strm_event_list_consume(const StrmEventEncoder *encoder, MemoryContext row_context, StringInfo json,
						StrmEventConsumer consume, void *arg)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Datum	   *values = palloc(mul_size(desc->natts, sizeof(Datum)));
	bool	   *nulls = palloc(desc->natts);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext caller = MemoryContextSwitchTo(row_context);

		heap_deform_tuple(SPI_tuptable->vals[i], desc, values, nulls);
		resetStringInfo(json);
		strm_event_encode(encoder, values, nulls, values + STRM_EVENT_COLUMNS, nulls + STRM_EVENT_COLUMNS, json);
		MemoryContextSwitchTo(caller);
		consume(arg, json);
		MemoryContextReset(row_context);
	}
	pfree(values);
	pfree(nulls);
}

void
strm_event_list(const StrmEventListRequest *request, StrmEventConsumer consume, void *arg)
{
	StrmEventSource source;
	Portal		portal;
	StrmEventEncoder *encoder;
	StringInfoData json;
	MemoryContext row_context;
	Oid		   *types;

	SPI_connect();
	strm_event_list_source(&source, request->relid);
	portal = strm_event_list_open(&source, request);

	types = palloc(mul_size(source.contract->nfields, sizeof(Oid)));
	for (int i = 0; i < source.contract->nfields; i++)
		types[i] = TupleDescAttr(portal->tupDesc, STRM_EVENT_COLUMNS + i)->atttypid;
	encoder = strm_event_encoder(source.contract, types);
	initStringInfo(&json);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "strm event", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		strm_event_list_consume(encoder, row_context, &json, consume, arg);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
}
