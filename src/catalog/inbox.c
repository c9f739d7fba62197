/*
 * inbox.c
 *	  Inboxes by stream and by table.
 *
 *	  Not cached: who inserts into an inbox keeps what it made of the row beside the catalog's generation
 *	  (ingest/inbox_target.c), everybody else looks seldom.
 *
 *	  What may be at an inbox's table is decided here, for the guard, which refuses to define it, and for the access
 *	  method, which then takes no rows: for whoever switched the guard off.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_trigger.h"
#include "rewrite/prs2lock.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/reltrigger.h"

#include "catalog/cache.h"
#include "catalog/inbox.h"
#include "strm_privacy.h"

enum
{
	INBOX_STREAM_ID = 1, INBOX_RELATION, INBOX_KEY, INBOX_CREATED_AT,
	INBOX_NATTS = INBOX_CREATED_AT
};

enum
{
	INBOX_KEY_STREAM_ID = 1, INBOX_KEY_ID, INBOX_KEY_WRAPPED, INBOX_KEY_CREATED_AT,
	INBOX_KEY_NATTS = INBOX_KEY_CREATED_AT
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

/* Finds rows by nkeys keys. */
static List *
strm_inbox_select_keys(ScanKey key, int nkeys)
{
	Relation	rows = table_open(strm_catalog_table(STRM_TABLE_INBOX_KEY), AccessShareLock);
	Relation	index = index_open(strm_catalog_index(STRM_INDEX_INBOX_KEY), AccessShareLock);
	SysScanDesc scan = systable_beginscan_ordered(rows, index, NULL, nkeys, key);
	List	   *result = NIL;
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		StrmInboxKeyRow *row = palloc(sizeof(StrmInboxKeyRow));
		Datum		values[INBOX_KEY_NATTS];
		bool		nulls[INBOX_KEY_NATTS];

		Assert(RelationGetDescr(rows)->natts == INBOX_KEY_NATTS);
		heap_deform_tuple(tuple, RelationGetDescr(rows), values, nulls);
		row->id = DatumGetInt32(values[INBOX_KEY_ID - 1]);
		row->key = DatumGetByteaPCopy(values[INBOX_KEY_WRAPPED - 1]);
		row->created_at = DatumGetTimestampTz(values[INBOX_KEY_CREATED_AT - 1]);
		result = lappend(result, row);
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rows, AccessShareLock);
	return result;
}

List *
strm_catalog_inbox_keys(const pg_uuid_t *stream)
{
	ScanKeyData key;

	ScanKeyInit(&key, INBOX_KEY_STREAM_ID, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(stream));
	return strm_inbox_select_keys(&key, 1);
}

StrmInboxKeyRow *
strm_catalog_inbox_key(const pg_uuid_t *stream, int32 id)
{
	ScanKeyData keys[2];
	List	   *found;

	ScanKeyInit(&keys[0], INBOX_KEY_STREAM_ID, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(stream));
	ScanKeyInit(&keys[1], INBOX_KEY_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(id));
	found = strm_inbox_select_keys(keys, lengthof(keys));
	return found == NIL ? NULL : linitial(found);
}

void
strm_catalog_inbox_exposed(Relation rel, StrmFaults *faults)
{
	TupleConstr *constraints = RelationGetDescr(rel)->constr;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (TRIGGER_FOR_ROW(trigger->tgtype) || trigger->tgnewtable != NULL || trigger->tgoldtable != NULL)
			strm_faults_add(faults, "Trigger \"%s\" sees rows.", trigger->tgname);
	}
	if (rel->rd_rules != NULL && rel->rd_rules->numLocks > 0)
		strm_faults_add(faults, "It has a rule.");
	for (int i = 0; constraints != NULL && i < constraints->num_check; i++)
		strm_faults_add(faults, "It has the constraint \"%s\".", constraints->check[i].ccname);
	if (constraints != NULL && constraints->has_generated_stored)
		strm_faults_add(faults, "It has a generated column.");
	if (RelationGetIndexList(rel) != NIL)
		strm_faults_add(faults, "It has an index.");
	if (rel->rd_rel->relrowsecurity)
		strm_faults_add(faults, "It has row-level security.");
	if (rel->rd_rel->relispartition)
		strm_faults_add(faults, "It is a partition.");
}
