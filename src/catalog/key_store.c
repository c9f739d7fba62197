/*
 * key_store.c
 *	  Direct access to the key tables: no privileges of the current user are needed, reading never writes, and a writer
 *	  never waits for another transaction.
 *
 *	  A writer must find keys that other transactions have inserted and not committed, else two transactions would give
 *	  one value two keys. It therefore scans with a dirty snapshot. No index is unique on a value that two transactions
 *	  could insert at once (copy is part of each primary key), so no insertion waits in a uniqueness check.
 *
 *	  What writing keys needs is opened once a transaction (the one static variable here): its relation references
 *	  belong to the transaction's resource owner, so that they outlive statements and subtransactions.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "catalog/key_store.h"
#include "strm_privacy.h"

enum
{
	KEY_COPY = 1, KEY_WINDOW_START, KEY_WINDOW_END, KEY_ID, KEY_LINK, KEY_OWNER, KEY_LOOKUP, KEY_WRAPPED,
	KEY_NATTS = KEY_WRAPPED
};

enum
{
	SUBJECT_COPY = 1, SUBJECT_KEY_LINK, SUBJECT_HASH, SUBJECT_OWNER, SUBJECT_ID, SUBJECT_NATTS = SUBJECT_ID
};

/* Slots for rows that are inserted in one step. */
#define STRM_STORE_ROWS 128

typedef struct StrmStoreSlots
{
	int			n;
	TupleTableSlot *slots[STRM_STORE_ROWS];
} StrmStoreSlots;

typedef struct StrmKeyStore
{
	bool		open;
	Relation	keys;
	Relation	keys_by_lookup;
	Relation	tombstones;
	CatalogIndexState indexes;
	TupleTableSlot *slot;
	StrmStoreSlots slots;		/* of many keys; made when first needed */
} StrmKeyStore;

static StrmKeyStore store;

void
strm_key_store_open(void)
{
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext context;

	if (store.open)
		return;
	context = MemoryContextSwitchTo(TopTransactionContext);
	CurrentResourceOwner = TopTransactionResourceOwner;
	store.keys = table_open(strm_catalog_table(STRM_TABLE_DATA_KEY), RowExclusiveLock);
	store.keys_by_lookup = index_open(strm_catalog_index(STRM_INDEX_DATA_KEY_LOOKUP), RowExclusiveLock);
	store.tombstones = table_open(strm_catalog_table(STRM_TABLE_DATA_KEY_TOMBSTONE), AccessShareLock);
	store.indexes = CatalogOpenIndexes(store.keys);
	store.slot = MakeSingleTupleTableSlot(RelationGetDescr(store.keys), table_slot_callbacks(store.keys));
	store.open = true;
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(context);
}

/* As many slots as n rows need, at most STRM_STORE_ROWS, which live as long as the current context and owner. */
static void
strm_store_slots_make(StrmStoreSlots *slots, Relation relation, int n)
{
	while (slots->n < Min(n, STRM_STORE_ROWS))
		slots->slots[slots->n++] = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
}

static void
strm_store_slots_drop(StrmStoreSlots *slots)
{
	for (int i = 0; i < slots->n; i++)
		ExecDropSingleTupleTableSlot(slots->slots[i]);
	slots->n = 0;
}

/* Locks are kept to the end of the transaction, as for any table a statement writes. */
void
strm_key_store_close(void)
{
	ResourceOwner owner = CurrentResourceOwner;

	if (!store.open)
		return;
	CurrentResourceOwner = TopTransactionResourceOwner;
	ExecDropSingleTupleTableSlot(store.slot);
	strm_store_slots_drop(&store.slots);
	CatalogCloseIndexes(store.indexes);
	table_close(store.tombstones, NoLock);
	index_close(store.keys_by_lookup, NoLock);
	table_close(store.keys, NoLock);
	CurrentResourceOwner = owner;
	strm_key_store_forget();
}

void
strm_key_store_forget(void)
{
	memset(&store, 0, sizeof(store));
}

static void
strm_key_store_scan_key(ScanKey key, AttrNumber attno, const pg_uuid_t *value)
{
	ScanKeyInit(key, attno, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(value));
}

/* Fills row from a tuple's values; wrapped is copied into the current context. */
static void
strm_key_store_deform(Datum *values, StrmKeyRow *row)
{
	row->key_link = *DatumGetUUIDP(values[KEY_LINK - 1]);
	row->owner = *DatumGetUUIDP(values[KEY_OWNER - 1]);
	row->lookup = *DatumGetUUIDP(values[KEY_LOOKUP - 1]);
	row->key_id = (uint32) DatumGetInt64(values[KEY_ID - 1]);
	row->window_start = DatumGetTimestampTz(values[KEY_WINDOW_START - 1]);
	row->window_end = DatumGetTimestampTz(values[KEY_WINDOW_END - 1]);
	row->wrapped = DatumGetByteaPCopy(values[KEY_WRAPPED - 1]);
}

static bool
strm_key_store_tombstone_exists(Relation tombstones, const pg_uuid_t *key_link)
{
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	strm_key_store_scan_key(&key, 1, key_link);
	scan = systable_beginscan(tombstones, strm_catalog_index(STRM_INDEX_DATA_KEY_TOMBSTONE), true, SnapshotSelf, 1,
							  &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	return found;
}

/*
 * Considers the candidate in slot, found with snapshot, for *row (valid when *found). Rows of one key link agree but
 * for who inserted them: one kept row is enough for the link to be kept.
 */
static void
strm_key_store_consider(TupleTableSlot *slot, const SnapshotData *dirty, const pg_uuid_t *owner,
						const pg_uuid_t *lookup, TimestampTz now, StrmKeyRow *row, bool *found)
{
	StrmKeyRow	candidate;
	int			order;
	bool		kept = !TransactionIdIsValid(dirty->xmin);

	/* about to be destroyed: what is encrypted under it now would be lost */
	if (TransactionIdIsValid(dirty->xmax))
		return;
	slot_getallattrs(slot);
	if (memcmp(DatumGetUUIDP(slot->tts_values[KEY_OWNER - 1])->data, owner->data, UUID_LEN) != 0 ||
		memcmp(DatumGetUUIDP(slot->tts_values[KEY_LOOKUP - 1])->data, lookup->data, UUID_LEN) != 0 ||
		DatumGetTimestampTz(slot->tts_values[KEY_WINDOW_END - 1]) <= now)
		return;

	order = *found ? memcmp(DatumGetUUIDP(slot->tts_values[KEY_LINK - 1])->data, row->key_link.data, UUID_LEN) : -1;
	if (order > 0)
		return;
	if (order == 0)
	{
		row->kept |= kept;
		return;
	}
	strm_key_store_deform(slot->tts_values, &candidate);
	if (strm_key_store_tombstone_exists(store.tombstones, &candidate.key_link))
		return;
	candidate.kept = kept;
	candidate.committed = kept &&
		!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(((HeapTupleTableSlot *) slot)->tuple->t_data));
	*row = candidate;
	*found = true;
}

bool
strm_key_store_find_current(const pg_uuid_t *owner, const pg_uuid_t *lookup, TimestampTz now,
							StrmKeyRow *row)
{
	SnapshotData dirty;
	ScanKeyData key;
	IndexScanDesc scan;
	bool		found = false;

	InitDirtySnapshot(dirty);
	strm_key_store_scan_key(&key, 1, lookup);
	scan = strm_index_beginscan(store.keys, store.keys_by_lookup, &dirty, 1, 0);
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, store.slot))
		strm_key_store_consider(store.slot, &dirty, owner, lookup, now, row, &found);
	index_endscan(scan);
	ExecClearTuple(store.slot);
	return found;
}

static void
strm_key_store_values(const StrmKeyRow *row, int64 copy, Datum *values)
{
	values[KEY_COPY - 1] = Int64GetDatum(copy);
	values[KEY_WINDOW_START - 1] = TimestampTzGetDatum(row->window_start);
	values[KEY_WINDOW_END - 1] = TimestampTzGetDatum(row->window_end);
	values[KEY_ID - 1] = Int64GetDatum((int64) row->key_id);
	values[KEY_LINK - 1] = UUIDPGetDatum(&row->key_link);
	values[KEY_OWNER - 1] = UUIDPGetDatum(&row->owner);
	values[KEY_LOOKUP - 1] = UUIDPGetDatum(&row->lookup);
	values[KEY_WRAPPED - 1] = PointerGetDatum(row->wrapped);
}

void
strm_key_store_insert(const StrmKeyRow *row, int64 copy)
{
	Datum		values[KEY_NATTS];
	bool		nulls[KEY_NATTS] = {0};
	HeapTuple	tuple;

	strm_key_store_values(row, copy, values);
	tuple = heap_form_tuple(RelationGetDescr(store.keys), values, nulls);
	CatalogTupleInsertWithInfo(store.keys, tuple, store.indexes);
	heap_freetuple(tuple);
}

/* Inserts n rows of one of our tables; fill puts row i into values. */
static void
strm_key_store_multi_insert(Relation relation, CatalogIndexState indexes, StrmStoreSlots *slots, int n,
							void (*fill) (const void *rows, int i, Datum *values), const void *rows)
{
	for (int i = 0; i < n;)
	{
		int			used = 0;

		while (i < n && used < slots->n)
		{
			TupleTableSlot *slot = slots->slots[used++];

			ExecClearTuple(slot);
			memset(slot->tts_isnull, 0, slot->tts_tupleDescriptor->natts * sizeof(bool));
			fill(rows, i++, slot->tts_values);
			ExecStoreVirtualTuple(slot);
		}
		CatalogTuplesMultiInsertWithInfo(relation, slots->slots, used, indexes);
	}
	for (int i = 0; i < slots->n; i++)
		ExecClearTuple(slots->slots[i]);
}

typedef struct StrmKeyCopies
{
	const StrmKeyRow *rows;
	const int64 *copies;
} StrmKeyCopies;

static void
strm_key_store_fill_key(const void *rows, int i, Datum *values)
{
	const StrmKeyCopies *keys = rows;

	strm_key_store_values(&keys->rows[i], keys->copies[i], values);
}

void
strm_key_store_insert_many(const StrmKeyRow *rows, const int64 *copies, int n)
{
	StrmKeyCopies keys = {rows, copies};
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	CurrentResourceOwner = TopTransactionResourceOwner;
	strm_store_slots_make(&store.slots, store.keys, n);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
	strm_key_store_multi_insert(store.keys, store.indexes, &store.slots, n, strm_key_store_fill_key, &keys);
}

/* The first row that the index finds under snapshot. */
static bool
strm_key_store_scan(Relation keys, StrmIndex index, AttrNumber attno, const pg_uuid_t *value, Snapshot snapshot,
					StrmKeyRow *row)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	strm_key_store_scan_key(&key, attno, value);
	scan = systable_beginscan(keys, strm_catalog_index(index), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Datum		values[KEY_NATTS];
		bool		nulls[KEY_NATTS];

		heap_deform_tuple(tuple, RelationGetDescr(keys), values, nulls);
		strm_key_store_deform(values, row);
	}
	systable_endscan(scan);
	return found;
}

/*
 * The first row that the index finds, as committed now. SnapshotSelf needs no snapshot to be taken and, unlike an MVCC
 * snapshot, makes no predicate locks that would let serializable readers conflict with writers of keys. It can miss a
 * row that is being updated, though, so a miss is looked at again with a catalog snapshot.
 */
static bool
strm_key_store_find_by(StrmIndex index, AttrNumber attno, const pg_uuid_t *value, StrmKeyRow *row)
{
	Relation	keys = table_open(strm_catalog_table(STRM_TABLE_DATA_KEY), AccessShareLock);
	bool		found = strm_key_store_scan(keys, index, attno, value, SnapshotSelf, row) ||
		strm_key_store_scan(keys, index, attno, value, NULL, row);

	table_close(keys, AccessShareLock);
	return found;
}

bool
strm_key_store_find(const pg_uuid_t *key_link, StrmKeyRow *row)
{
	return strm_key_store_find_by(STRM_INDEX_DATA_KEY, KEY_LINK, key_link, row);
}

bool
strm_key_store_find_lookup(const pg_uuid_t *lookup, StrmKeyRow *row)
{
	return strm_key_store_find_by(STRM_INDEX_DATA_KEY_LOOKUP, KEY_LOOKUP, lookup, row);
}

/* Is the key owner's, and was it made at least_link or later, or does its window start at since or later? */
static bool
strm_key_store_selects(const Datum *values, const pg_uuid_t *owner, const pg_uuid_t *least_link, TimestampTz since)
{
	return memcmp(DatumGetUUIDP(values[KEY_OWNER - 1])->data, owner->data, UUID_LEN) == 0 &&
		(DatumGetTimestampTz(values[KEY_WINDOW_START - 1]) >= since ||
		 memcmp(DatumGetUUIDP(values[KEY_LINK - 1])->data, least_link->data, UUID_LEN) >= 0);
}

/* Not by SQL: the planner, which may know nothing of many new keys, would sort them all for every page. */
int
strm_key_store_links(const pg_uuid_t *owner, const pg_uuid_t *after, const pg_uuid_t *least_link, TimestampTz since,
					 pg_uuid_t *links, int size)
{
	Relation	keys = table_open(strm_catalog_table(STRM_TABLE_DATA_KEY), AccessShareLock);
	Relation	index = index_open(strm_catalog_index(STRM_INDEX_DATA_KEY), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;

	ScanKeyInit(&key, KEY_LINK, BTGreaterStrategyNumber, F_UUID_GT, UUIDPGetDatum(after));
	scan = systable_beginscan_ordered(keys, index, NULL, 1, &key);
	while (n < size && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Datum		values[KEY_NATTS];
		bool		nulls[KEY_NATTS];

		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, RelationGetDescr(keys), values, nulls);
		if (!strm_key_store_selects(values, owner, least_link, since))
			continue;
		/* rows of one key link are neighbours */
		if (n == 0 || memcmp(links[n - 1].data, DatumGetUUIDP(values[KEY_LINK - 1])->data, UUID_LEN) != 0)
			links[n++] = *DatumGetUUIDP(values[KEY_LINK - 1]);
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(keys, AccessShareLock);
	return n;
}

bool
strm_key_store_is_destroyed(const pg_uuid_t *key_link)
{
	Relation	tombstones = table_open(strm_catalog_table(STRM_TABLE_DATA_KEY_TOMBSTONE), AccessShareLock);
	bool		found = strm_key_store_tombstone_exists(tombstones, key_link);

	table_close(tombstones, AccessShareLock);
	return found;
}

/* Is the subject registered by a row that will stay, and (*committed) by one that is committed? */
static bool
strm_key_store_has_subject(Relation links, const pg_uuid_t *key_link, const pg_uuid_t *subject_hash, bool *committed)
{
	Relation	index = index_open(strm_catalog_index(STRM_INDEX_DATA_SUBJECT_LINK), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(links, NULL);
	SnapshotData dirty;
	ScanKeyData keys[2];
	IndexScanDesc scan;
	bool		kept = false;

	InitDirtySnapshot(dirty);
	strm_key_store_scan_key(&keys[0], 1, key_link);
	strm_key_store_scan_key(&keys[1], 2, subject_hash);
	scan = strm_index_beginscan(links, index, &dirty, 2, 0);
	index_rescan(scan, keys, 2, NULL, 0);
	*committed = false;
	while (!*committed && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		HeapTupleHeader header = ((HeapTupleTableSlot *) slot)->tuple->t_data;

		Datum		id;
		bool		isnull;

		/* not committed yet, or being erased, or what an erasure left */
		if (TransactionIdIsValid(dirty.xmin) || TransactionIdIsValid(dirty.xmax))
			continue;
		id = slot_getattr(slot, SUBJECT_ID, &isnull);
		if (isnull || VARSIZE_ANY_EXHDR(DatumGetPointer(id)) == 0)
			continue;
		kept = true;
		*committed = !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header));
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	return kept;
}

bool
strm_key_store_add_subject(const pg_uuid_t *key_link, const pg_uuid_t *subject_hash, const pg_uuid_t *owner,
						   const bytea *subject, int64 copy)
{
	Relation	links = table_open(strm_catalog_table(STRM_TABLE_DATA_SUBJECT_LINK), RowExclusiveLock);
	bool		committed;

	if (!strm_key_store_has_subject(links, key_link, subject_hash, &committed))
	{
		Datum		values[SUBJECT_NATTS];
		bool		nulls[SUBJECT_NATTS] = {0};
		HeapTuple	tuple;

		values[SUBJECT_COPY - 1] = Int64GetDatum(copy);
		values[SUBJECT_KEY_LINK - 1] = UUIDPGetDatum(key_link);
		values[SUBJECT_HASH - 1] = UUIDPGetDatum(subject_hash);
		values[SUBJECT_OWNER - 1] = UUIDPGetDatum(owner);
		values[SUBJECT_ID - 1] = PointerGetDatum(subject);
		tuple = heap_form_tuple(RelationGetDescr(links), values, nulls);
		CatalogTupleInsert(links, tuple);
		heap_freetuple(tuple);
	}
	table_close(links, NoLock);
	return committed;
}

static void
strm_key_store_fill_subject(const void *rows, int i, Datum *values)
{
	const StrmSubjectRow *row = &((const StrmSubjectRow *) rows)[i];

	values[SUBJECT_COPY - 1] = Int64GetDatum(row->copy);
	values[SUBJECT_KEY_LINK - 1] = UUIDPGetDatum(&row->key_link);
	values[SUBJECT_HASH - 1] = UUIDPGetDatum(&row->subject_hash);
	values[SUBJECT_OWNER - 1] = UUIDPGetDatum(&row->owner);
	values[SUBJECT_ID - 1] = PointerGetDatum(row->subject);
}

void
strm_key_store_add_subjects(const StrmSubjectRow *rows, int n)
{
	Relation	links = table_open(strm_catalog_table(STRM_TABLE_DATA_SUBJECT_LINK), RowExclusiveLock);
	CatalogIndexState indexes = CatalogOpenIndexes(links);
	StrmStoreSlots slots = {0};

	strm_store_slots_make(&slots, links, n);
	strm_key_store_multi_insert(links, indexes, &slots, n, strm_key_store_fill_subject, rows);
	strm_store_slots_drop(&slots);
	CatalogCloseIndexes(indexes);
	table_close(links, NoLock);
}
