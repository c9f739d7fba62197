/*
 * inbox.c
 *	  SQL entry points of inboxes: the table access method, and triggers.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "common/errors.h"
#include "ingest/inbox_am.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_check_inbox);
PG_FUNCTION_INFO_V1(strm_sql_date_inbox_key);
PG_FUNCTION_INFO_V1(strm_sql_inbox_handler);

/* strm.check_inbox(): BEFORE INSERT FOR EACH STATEMENT. */
Datum
strm_sql_check_inbox(PG_FUNCTION_ARGS)
{
	Relation	rel;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("strm.check_inbox() is a trigger function"));
	rel = ((TriggerData *) fcinfo->context)->tg_relation;
	if (rel->rd_tableam != strm_inbox_am())
		strm_ereport_private(errcode(STRM_ERR_STATE),
							 errmsg("table \"%s\" is not an inbox", RelationGetRelationName(rel)),
							 errdetail("Its access method is not \"%s\": rows would be stored as they come.",
									   STRM_INBOX_ACCESS_METHOD),
							 errhint("Use ALTER TABLE ... SET ACCESS METHOD %s.", STRM_INBOX_ACCESS_METHOD));
	return PointerGetDatum(NULL);
}

/* strm.inbox_handler(internal): the server calls it when it opens an inbox. */
Datum
strm_sql_inbox_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(strm_inbox_am());
}

/* strm.date_inbox_key(): BEFORE INSERT of strm.inbox_key. */
Datum
strm_sql_date_inbox_key(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	int			column;
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	bool		null = false;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_BY_INSERT(data->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("strm.date_inbox_key() must be called BEFORE INSERT FOR EACH ROW"));
	desc = RelationGetDescr(data->tg_relation);
	column = SPI_fnumber(desc, "created_at");
	if (column <= 0)
		ereport(ERROR, errcode(STRM_ERR_STATE), errmsg("strm.date_inbox_key() is the trigger of strm.inbox_key"));
	return PointerGetDatum(heap_modify_tuple_by_cols(data->tg_trigtuple, desc, 1, &column, &now, &null));
}
