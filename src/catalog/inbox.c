/*
 * inbox.c
 *	  Inboxes by stream and by table.
 *
 *	  Not cached: who inserts into an inbox keeps what it made of the row beside the catalog's generation
 *	  (ingest/inbox_target.c), everybody else looks seldom.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "catalog/cache.h"
#include "catalog/inbox.h"
#include "strm_privacy.h"

enum
{
	INBOX_STREAM_ID = 1, INBOX_RELATION, INBOX_KEY, INBOX_CREATED_AT,
	INBOX_NATTS = INBOX_CREATED_AT
};

/* The row as a struct, in the current context. */
static StrmInbox *
strm_inbox_from_row(HeapTuple tuple, TupleDesc desc)
{
	StrmInbox  *inbox = palloc0(sizeof(StrmInbox));
	Datum		values[INBOX_NATTS];
	bool		nulls[INBOX_NATTS];

	Assert(desc->natts == INBOX_NATTS);
	heap_deform_tuple(tuple, desc, values, nulls);
	inbox->stream = *DatumGetUUIDP(values[INBOX_STREAM_ID - 1]);
	inbox->relid = DatumGetObjectId(values[INBOX_RELATION - 1]);
	inbox->key = DatumGetByteaPCopy(values[INBOX_KEY - 1]);
	return inbox;
}

/* The rows that key finds by that index; all of them without a key. */
static List *
strm_inbox_select(StrmIndex index, ScanKey key)
{
	Relation	inboxes = table_open(strm_catalog_table(STRM_TABLE_INBOX), AccessShareLock);
	SysScanDesc scan = systable_beginscan(inboxes, strm_catalog_index(index), true, NULL, key == NULL ? 0 : 1, key);
	List	   *result = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = lappend(result, strm_inbox_from_row(tuple, RelationGetDescr(inboxes)));
	systable_endscan(scan);
	table_close(inboxes, AccessShareLock);
	return result;
}

StrmInbox *
strm_catalog_inbox(const pg_uuid_t *stream)
{
	ScanKeyData key;
	List	   *found;

	ScanKeyInit(&key, INBOX_STREAM_ID, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(stream));
	found = strm_inbox_select(STRM_INDEX_INBOX, &key);
	return found == NIL ? NULL : linitial(found);
}

StrmInbox *
strm_catalog_inbox_of(Oid relid)
{
	ScanKeyData key;
	List	   *found;

	ScanKeyInit(&key, INBOX_RELATION, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	found = strm_inbox_select(STRM_INDEX_INBOX_RELID, &key);
	return found == NIL ? NULL : linitial(found);
}

List *
strm_catalog_inboxes(void)
{
	return strm_inbox_select(STRM_INDEX_INBOX, NULL);
}
