/*
 * inbox.c
 *	  Inboxes of streams, and reading what waits in one.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/timestamp.h"

#include "catalog/inbox.h"
#include "common/errors.h"
#include "ingest/inbox.h"
#include "ingest/inbox_columns.h"
#include "ingest/inbox_row.h"
#include "ingest/inbox_sealed.h"
#include "keys/master_key.h"
#include "strm_privacy.h"

struct StrmInboxReader
{
	const StrmStream *stream;
	TupleDesc	desc;			/* of the inbox */
	StrmInboxColumns *columns;
};

Oid
strm_inbox_of(const pg_uuid_t *stream)
{
	StrmInbox  *inbox = strm_catalog_inbox(stream);

	return inbox == NULL ? InvalidOid : inbox->relid;
}

StrmStream *
strm_inbox_stream(Oid inbox)
{
	StrmInbox  *found = strm_catalog_inbox_of(inbox);

	return found == NULL ? NULL : strm_catalog_stream(&found->stream);
}

List *
strm_inbox_streams(void)
{
	List	   *streams = NIL;
	ListCell   *lc;

	foreach(lc, strm_catalog_inboxes())
	{
		StrmStream *stream = strm_catalog_stream(&((StrmInbox *) lfirst(lc))->stream);

		if (stream != NULL)
			streams = lappend(streams, stream);
	}
	return streams;
}

StrmInboxReader *
strm_inbox_reader(const StrmStream *stream, Relation inbox)
{
	StrmInboxReader *reader = palloc0(sizeof(StrmInboxReader));
	StrmInbox  *registered = strm_catalog_inbox_of(RelationGetRelid(inbox));

	if (registered == NULL || memcmp(registered->stream.data, stream->id.data, UUID_LEN) != 0)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("table \"%s\" is not the inbox of the stream", RelationGetRelationName(inbox)));
	reader->stream = stream;
	reader->desc = RelationGetDescr(inbox);
	reader->columns = strm_inbox_columns_find(stream, reader->desc);
	strm_master_key_require();
	return reader;
}

/* A column that is never NULL. */
static Datum
strm_inbox_get(const StrmInboxReader *reader, HeapTuple tuple, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column + 1, reader->desc, &isnull);

	if (isnull)
		strm_ereport_private(errcode(STRM_ERR_FORGED), errmsg("a queued row is not authentic"));
	return value;
}

void
strm_inbox_entry(StrmInboxReader *reader, HeapTuple tuple, StrmInboxEntry *entry)
{
	const StrmInboxColumns *columns = reader->columns;

	entry->sequence = DatumGetInt64(strm_inbox_get(reader, tuple, columns->sequence));
	entry->queued_at = DatumGetTimestampTz(strm_inbox_get(reader, tuple, columns->queued_at));
	entry->lane = DatumGetInt16(strm_inbox_get(reader, tuple, columns->lane));
	entry->fault = !heap_attisnull(tuple, columns->fault + 1, reader->desc);
}

bool
strm_inbox_try_open(StrmInboxReader *reader, HeapTuple tuple, const StrmLayout *layout, Datum *values, bool *nulls,
					TimestampTz *timestamp)
{
	const StrmInboxColumns *columns = reader->columns;
	Datum		beside[MaxTupleAttributeNumber];
	uint8		ad[STRM_INBOX_AD_SIZE];
	bytea	   *sealed;
	Size		size;
	uint8	   *row;

	beside[columns->sequence] = strm_inbox_get(reader, tuple, columns->sequence);
	beside[columns->lane] = strm_inbox_get(reader, tuple, columns->lane);
	beside[columns->queued_at] = strm_inbox_get(reader, tuple, columns->queued_at);
	strm_inbox_columns_ad(columns, beside, ad);
	sealed = DatumGetByteaPP(strm_inbox_get(reader, tuple, columns->sealed));
	if (!strm_inbox_sealed_open(&reader->stream->id, ad, sealed, &row, &size))
		return false;
	strm_inbox_row_read(reader->stream->contract, row, size, layout, values, nulls);
	*timestamp = DatumGetTimestampTz(beside[columns->queued_at]);
	return true;
}

void
strm_inbox_open(StrmInboxReader *reader, HeapTuple tuple, const StrmLayout *layout, Datum *values, bool *nulls,
				TimestampTz *timestamp)
{
	if (!strm_inbox_try_open(reader, tuple, layout, values, nulls, timestamp))
		strm_ereport_private(errcode(STRM_ERR_FORGED), errmsg("a queued row is not authentic"));
}
