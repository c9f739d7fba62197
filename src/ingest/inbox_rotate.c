/*
 * inbox_rotate.c
 *	  Replacing the key that seals an inbox's rows, and forgetting those that were replaced: then copies of queued rows
 *	  that remain elsewhere cannot be opened with what the database has.
 *
 *	  A key may be deleted when no row is left under it and none can come. Who queues rows has a RowExclusiveLock on the
 *	  inbox to the end of its transaction, prepared or not. Getting it, it takes note of changes, so whoever gets it
 *	  after the new key was committed, and all were told, uses the new key. Who has it at that moment may know the old
 *	  key only: those transactions are listed then (users). When all of them have ended, no more rows come under older
 *	  keys; a snapshot taken then sees every row that came. Keys that none of them has are deleted.
 *
 *	  Two more ways of a row to come are closed by a lock on strm.inbox_key that conflicts with writing it and with
 *	  RowShareLock, from before the keys are read: whoever made the new key has told all when it is let go; and
 *	  whoever stores a row that was sealed before keeps RowShareLock (inbox_target.c). The lock is never waited for.
 *
 *	  A restored dump brings its keys before its rows, by hours if it is large. So a key stays for a while after the one
 *	  that followed it was stored in this database; a trigger sees to it that created_at says when that was.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "catalog/cache.h"
#include "catalog/inbox.h"
#include "catalog/registry.h"
#include "ingest/inbox_columns.h"
#include "ingest/inbox_rotate.h"
#include "ingest/inbox_sealed.h"
#include "keys/inbox_key.h"
#include "strm_privacy.h"

/* s that a key serves, at least and at most */
#define STRM_ROTATE_MIN 60
#define STRM_ROTATE_MAX SECS_PER_DAY

/* ms between two looks: at the keys; when some could not be forgotten, as rows are left, and per ms of finding that */
#define STRM_ROTATE_PAUSE 1000
#define STRM_ROTATE_PAUSE_ROWS 10000
#define STRM_ROTATE_PAUSE_FACTOR 20

/* s for which a key is left alone that was replaced */
#define STRM_ROTATE_GRACE (SECS_PER_DAY / 2)

void
strm_inbox_rotate_make(const pg_uuid_t *stream, int32 id)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(stream), false);
	strm_registry_add(&args, INT4OID, Int32GetDatum(id), false);
	strm_registry_add(&args, BYTEAOID, PointerGetDatum(strm_inbox_key_new(stream, id)), false);
	strm_registry_execute("INSERT INTO strm.inbox_key (stream_id, id, key) VALUES ($1, $2, $3)",
						  STRM_REGISTRY_ARGS(&args));
}

bool
strm_inbox_rotate_is_due(const StrmInboxRotation *rotation)
{
	return rotation->next <= GetCurrentTimestamp();
}

/* How many keys, of all by age, were replaced long enough ago? */
static int
strm_inbox_rotate_replaced(List *keys)
{
	TimestampTz now = GetCurrentTimestamp();
	int			n = list_length(keys) - 1;

	while (n > 0 && !TimestampDifferenceExceeds(((StrmInboxKeyRow *) list_nth(keys, n))->created_at, now,
												STRM_ROTATE_GRACE * 1000))
		n--;
	return Max(n, 0);
}

/* Has the key served its time? */
static bool
strm_inbox_rotate_is_old(const StrmStream *stream, const StrmInboxKeyRow *key)
{
	const Interval *period = &stream->key_rotation;
	double		seconds = (double) period->time / USECS_PER_SEC +
		(period->day + (double) period->month * DAYS_PER_MONTH) * SECS_PER_DAY;

	seconds = Max(Min(seconds, STRM_ROTATE_MAX), STRM_ROTATE_MIN);
	return TimestampDifferenceExceeds(key->created_at, GetCurrentTimestamp(), (int) (seconds * 1000));
}

/* Lists the transactions that may know an older key only. */
static void
strm_inbox_rotate_list(Relation inbox, StrmInboxRotation *rotation, MemoryContext cxt)
{
	VirtualTransactionId *users;
	LOCKTAG		tag;
	int			n;

	SET_LOCKTAG_RELATION(tag, inbox->rd_lockInfo.lockRelId.dbId, inbox->rd_lockInfo.lockRelId.relId);
	users = GetLockConflicts(&tag, ShareLock, &n);
	if (rotation->users != NULL)
		pfree(rotation->users);
	rotation->users = MemoryContextAlloc(cxt, Max(n, 1) * sizeof(VirtualTransactionId));
	memcpy(rotation->users, users, n * sizeof(VirtualTransactionId));
	rotation->nusers = n;
}

/* Have all of them ended? */
static bool
strm_inbox_rotate_is_alone(StrmInboxRotation *rotation)
{
	int			left = 0;

	for (int i = 0; i < rotation->nusers; i++)
	{
		if (!VirtualXactLock(rotation->users[i], false))
			rotation->users[left++] = rotation->users[i];
	}
	rotation->nusers = left;
	return left == 0;
}

/* Notes, for each of n keys, whether a row is left under it. */
static void
strm_inbox_rotate_find(Relation inbox, const int32 *ids, bool *used, int n)
{
	StrmInboxColumns *columns = strm_inbox_columns_find(NULL, RelationGetDescr(inbox));
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(inbox, NULL);
	TableScanDesc scan = table_beginscan(inbox, snapshot, 0, NULL);
	MemoryContext row_cxt = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy inbox row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_cxt);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		sealed = slot_getattr(slot, columns->sealed + 1, &isnull);
		int32		id = isnull ? 0 : strm_inbox_sealed_id(sealed);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
			used[i] = used[i] || ids[i] == id;
		MemoryContextReset(row_cxt);
	}
	MemoryContextSwitchTo(old);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(row_cxt);
}

/* Deletes those of the first n keys under which no row is left. true when none of them is. */
static bool
strm_inbox_rotate_delete(const StrmStream *stream, Relation inbox, List *keys, int n)
{
	int32	   *ids = palloc(n * sizeof(int32));
	bool	   *used = palloc0(n * sizeof(bool));
	bool		alone = true;

	for (int i = 0; i < n; i++)
		ids[i] = ((StrmInboxKeyRow *) list_nth(keys, i))->id;
	strm_inbox_rotate_find(inbox, ids, used, n);
	for (int i = 0; i < n; i++)
	{
		StrmRegistryArgs args = {0};

		alone = alone && !used[i];
		if (used[i])
			continue;
		strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&stream->id), false);
		strm_registry_add(&args, INT4OID, Int32GetDatum(ids[i]), false);
		strm_registry_execute("DELETE FROM strm.inbox_key WHERE stream_id = $1 AND id = $2",
							  STRM_REGISTRY_ARGS(&args));
	}
	return alone;
}

/* With the lock on strm.inbox_key: forgets what can be forgotten. */
static void
strm_inbox_rotate_retire(const StrmStream *stream, Relation inbox, StrmInboxRotation *rotation, MemoryContext cxt)
{
	List	   *keys = strm_catalog_inbox_keys(&stream->id);
	TimestampTz now = GetCurrentTimestamp();
	int			n = strm_inbox_rotate_replaced(keys);
	int32		current;
	int64		took;

	if (n == 0)
		return;
	current = ((StrmInboxKeyRow *) llast(keys))->id;
	if (rotation->current != current)
	{
		strm_inbox_rotate_list(inbox, rotation, cxt);
		rotation->current = current;
	}
	if (!strm_inbox_rotate_is_alone(rotation) || strm_inbox_rotate_delete(stream, inbox, keys, n))
		return;
	took = TimestampDifferenceMilliseconds(now, GetCurrentTimestamp());
	rotation->next = TimestampTzPlusMilliseconds(now, Max(STRM_ROTATE_PAUSE_ROWS, STRM_ROTATE_PAUSE_FACTOR * took));
}

void
strm_inbox_rotate(const StrmStream *stream, Relation inbox, StrmInboxRotation *rotation, MemoryContext cxt)
{
	List	   *keys = strm_catalog_inbox_keys(&stream->id);
	StrmInboxKeyRow *newest = keys == NIL ? NULL : llast(keys);

	rotation->next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STRM_ROTATE_PAUSE);
	strm_inbox_sealed_forget(&stream->id);
	/* a restore has not brought the keys yet */
	if (newest == NULL)
		return;
	if (strm_inbox_rotate_is_old(stream, newest))
		strm_inbox_rotate_make(&stream->id, newest->id + 1);
	else if (strm_inbox_rotate_replaced(keys) > 0 &&
			 ConditionalLockRelationOid(strm_catalog_table(STRM_TABLE_INBOX_KEY), ExclusiveLock))
		strm_inbox_rotate_retire(stream, inbox, rotation, cxt);
}
