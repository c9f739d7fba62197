/*
 * inbox.c
 *	  SQL entry point of the table access method of inboxes.
 */
#include "postgres.h"

#include "fmgr.h"

#include "ingest/inbox_am.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_inbox_handler);

/* strm.inbox_handler(internal): the server calls it when it opens an inbox. */
Datum
strm_sql_inbox_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(strm_inbox_am());
}
