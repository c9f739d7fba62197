/*
 * export_slot.c
 *	  Slots of export workers in shared memory, and of workers that check a topic for a session.
 *
 *	  A worker that has died between two instructions leaves nothing behind: the server restarts then, with new shared
 *	  memory. One that ends otherwise runs strm_export_slot_exit.
 *
 *	  Who wakes workers does so at each commit of a producer: without the lock. Atomic words say which processes are
 *	  meant; a latch that is set too late or for another process does no harm.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#include "strm_privacy.h"
#include "worker/state_private.h"

#define STRM_EXPORT_START_TIMEOUT 60000 /* ms, after which a worker that was asked for is not coming any more */

const pg_uuid_t strm_export_batch = {{0}};

/* This process's slot, when it is such a worker. */
static StrmExportSlot *own_slot = NULL;

bool
strm_export_is_batch(const pg_uuid_t *cluster)
{
	return memcmp(cluster, &strm_export_batch, sizeof(pg_uuid_t)) == 0;
}

/* With the lock held: the slot of that use, or NULL when that use is over. */
static StrmExportSlot *
strm_export_slot_of(const StrmSlotRef *ref)
{
	StrmExportSlot *slot;

	if (ref->index < 0 || ref->index >= strm_worker_shared->nslots)
		return NULL;
	slot = &strm_worker_shared->exports[ref->index];
	return OidIsValid(slot->database) && !slot->ended && slot->generation == ref->generation ? slot : NULL;
}

/* With the lock held: the slot of the export worker of a cluster of this database, or NULL. */
static StrmExportSlot *
strm_export_slot_of_cluster(const pg_uuid_t *cluster)
{
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmExportSlot *slot = &strm_worker_shared->exports[i];

		if (slot->database == MyDatabaseId && !slot->check && !slot->ended &&
			memcmp(&slot->cluster, cluster, sizeof(pg_uuid_t)) == 0)
			return slot;
	}
	return NULL;
}

/* With the lock held: a slot that nobody needs, or NULL. Rather a free one than one whose end was not seen yet. */
static StrmExportSlot *
strm_export_slot_free(void)
{
	StrmExportSlot *ended = NULL;

	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmExportSlot *slot = &strm_worker_shared->exports[i];

		if (!OidIsValid(slot->database))
			return slot;
		if (slot->ended && ended == NULL)
			ended = slot;
	}
	return ended;
}

static void
strm_export_slot_begin(StrmExportSlot *slot, const pg_uuid_t *cluster, bool check, dsm_handle data, StrmSlotRef *ref)
{
	slot->database = MyDatabaseId;
	slot->generation = ++strm_worker_shared->generation;
	slot->cluster = *cluster;
	slot->check = check;
	slot->leave = false;
	slot->ended = false;
	slot->failed = false;
	slot->pid = 0;
	slot->proc = NULL;
	slot->since = GetCurrentTimestamp();
	slot->data = data;
	slot->address[0] = '\0';
	pg_atomic_write_u64(&slot->position, 0);
	pg_atomic_write_u64(&slot->confirmed, 0);
	ref->index = slot - strm_worker_shared->exports;
	ref->generation = slot->generation;
}

/* With the lock held: the worker has ended, or is not coming. The scheduler shall see how. */
static void
strm_export_slot_end(StrmExportSlot *slot, bool failed)
{
	slot->ended = true;
	slot->failed = failed;
	strm_state_nudge_locked(slot->database);
}

bool
strm_export_slot_reserve(const pg_uuid_t *cluster, StrmSlotRef *ref)
{
	StrmExportSlot *slot = NULL;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	if (strm_export_slot_of_cluster(cluster) == NULL)
		slot = strm_export_slot_free();
	if (slot != NULL)
		strm_export_slot_begin(slot, cluster, false, 0, ref);
	LWLockRelease(strm_worker_lock);
	return slot != NULL;
}

bool
strm_export_slot_reserve_check(const pg_uuid_t *cluster, dsm_handle request, StrmSlotRef *ref)
{
	StrmExportSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_export_slot_free();
	if (slot != NULL)
		strm_export_slot_begin(slot, cluster, true, request, ref);
	LWLockRelease(strm_worker_lock);
	return slot != NULL;
}

void
strm_export_slot_unreserve(const StrmSlotRef *ref)
{
	StrmExportSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_export_slot_of(ref);
	if (slot != NULL && slot->pid == 0)
		slot->database = InvalidOid;
	LWLockRelease(strm_worker_lock);
}

void
strm_export_slot_sweep(void)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmExportSlot *slot = &strm_worker_shared->exports[i];

		if (slot->database != MyDatabaseId || slot->check || slot->ended || slot->pid != 0 ||
			!TimestampDifferenceExceeds(slot->since, now, STRM_EXPORT_START_TIMEOUT))
			continue;
		strm_export_slot_end(slot, true);
	}
	LWLockRelease(strm_worker_lock);
}

bool
strm_export_slot_reap(StrmExportEnd *end)
{
	bool		found = false;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots && !found; i++)
	{
		StrmExportSlot *slot = &strm_worker_shared->exports[i];

		if (slot->database != MyDatabaseId || !slot->ended)
			continue;
		end->cluster = slot->cluster;
		end->since = slot->since;
		end->failed = slot->failed;
		slot->database = InvalidOid;
		found = true;
	}
	LWLockRelease(strm_worker_lock);
	return found;
}

/* --- the worker --- */

/* Runs when the process has left its database and its segments. */
static void
strm_export_slot_exit(int code, Datum arg)
{
	StrmExportSlot *slot = own_slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot->pid = 0;
	slot->proc = NULL;
	slot->data = 0;
	if (slot->check)
		slot->database = InvalidOid;
	else
	{
		if (pg_atomic_exchange_u64(&slot->wake, 0) != 0)
			pg_atomic_fetch_sub_u32(&strm_worker_shared->nwake, 1);
		/* however it ended: who was asked to leave has left (it may have been terminated, as it did not listen) */
		strm_export_slot_end(slot, code != 0 && !slot->leave);
	}
	LWLockRelease(strm_worker_lock);
}

/* With the lock held: from now on commits wake this process. */
static void
strm_export_slot_listen(StrmExportSlot *slot)
{
	uint64		procno = MyProc - ProcGlobal->allProcs;

	pg_atomic_write_u64(&slot->wake, (uint64) slot->database << 32 | procno);
	pg_atomic_fetch_add_u32(&strm_worker_shared->nwake, 1);
}

bool
strm_export_slot_attach(const StrmSlotRef *ref, pg_uuid_t *cluster, Oid *database)
{
	StrmExportSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_export_slot_of(ref);
	if (slot != NULL && slot->pid == 0 && slot->leave)
		strm_export_slot_end(slot, false);
	else if (slot != NULL && slot->pid == 0)
	{
		own_slot = slot;
		slot->pid = MyProcPid;
		slot->proc = MyProc;
		slot->since = GetCurrentTimestamp();
		if (!slot->check && !strm_export_is_batch(&slot->cluster))
			strm_export_slot_listen(slot);
		*cluster = slot->cluster;
		*database = slot->database;
	}
	LWLockRelease(strm_worker_lock);
	if (own_slot != NULL)
		on_shmem_exit(strm_export_slot_exit, (Datum) 0);
	return own_slot != NULL;
}

/* Without the lock: who sets it sets the latch afterwards. */
bool
strm_export_slot_leaving(void)
{
	return *(volatile bool *) &own_slot->leave;
}

dsm_handle
strm_export_slot_request(void)
{
	return own_slot->data;
}

StrmExportSlot *
strm_export_slot_own(void)
{
	return own_slot;
}

void
strm_export_slot_set_address(const char *address)
{
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	strlcpy(own_slot->address, address, STRM_EXPORT_ADDRESS_SIZE);
	LWLockRelease(strm_worker_lock);
}

void
strm_export_slot_progress(XLogRecPtr position, XLogRecPtr confirmed)
{
	pg_atomic_write_u64(&own_slot->position, position);
	pg_atomic_write_u64(&own_slot->confirmed, confirmed);
}

/* --- waking, and asking to leave --- */

void
strm_export_wake(Oid database)
{
	StrmWorkerShared *shared = strm_worker_shared;
	uint32		left = shared == NULL ? 0 : pg_atomic_read_u32(&shared->nwake);

	for (int i = 0; left > 0 && i < shared->nslots; i++)
	{
		uint64		wake = pg_atomic_read_u64(&shared->exports[i].wake);

		if (wake == 0)
			continue;
		left--;
		if ((Oid) (wake >> 32) == database)
			SetLatch(&ProcGlobal->allProcs[(uint32) wake].procLatch);
	}
}

void
strm_export_slot_poke(void)
{
	StrmExportSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_SHARED);
	slot = strm_export_slot_of_cluster(&strm_export_batch);
	if (slot != NULL && slot->pid != 0)
		SetLatch(&slot->proc->procLatch);
	LWLockRelease(strm_worker_lock);
}

/*
 * One that is connecting waits for the caller's lock on the database, which it takes before it counts as connected: it
 * is no hindrance, and goes on when the command has ended. One that has not come yet need not try.
 */
pid_t
strm_export_ask_to_leave(Oid database)
{
	pid_t		pid = 0;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmExportSlot *slot = &strm_worker_shared->exports[i];

		if (slot->database != database || slot->check || slot->ended)
			continue;
		if (slot->pid != 0 && slot->proc->databaseId != database)
			continue;
		slot->leave = true;
		if (slot->pid == 0)
			continue;
		SetLatch(&slot->proc->procLatch);
		pid = slot->pid;
	}
	LWLockRelease(strm_worker_lock);
	return pid;
}

/* --- for those who look --- */

static void
strm_export_slot_copy(StrmExportSlot *slot, StrmExportInfo *info)
{
	info->cluster = slot->cluster;
	info->database = slot->database;
	info->check = slot->check;
	info->pid = slot->pid;
	info->since = slot->since;
	info->position = pg_atomic_read_u64(&slot->position);
	info->confirmed = pg_atomic_read_u64(&slot->confirmed);
	strlcpy(info->address, slot->address, STRM_EXPORT_ADDRESS_SIZE);
}

int
strm_export_slots(Oid database, StrmExportInfo **infos)
{
	int			n = 0;

	*infos = NULL;
	if (!strm_state_ready())
		return 0;
	*infos = palloc(Max(strm_worker_shared->nslots, 1) * sizeof(StrmExportInfo));
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmExportSlot *slot = &strm_worker_shared->exports[i];

		if (OidIsValid(slot->database) && !slot->ended && (!OidIsValid(database) || slot->database == database))
			strm_export_slot_copy(slot, &(*infos)[n++]);
	}
	LWLockRelease(strm_worker_lock);
	return n;
}

bool
strm_export_slot_find(const pg_uuid_t *cluster, StrmExportInfo *info)
{
	StrmExportSlot *slot;

	if (!strm_state_ready())
		return false;
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	slot = strm_export_slot_of_cluster(cluster);
	if (slot != NULL)
		strm_export_slot_copy(slot, info);
	LWLockRelease(strm_worker_lock);
	return slot != NULL;
}

dsm_handle
strm_export_slot_data(const pg_uuid_t *cluster)
{
	StrmExportSlot *slot;
	dsm_handle	handle = 0;

	LWLockAcquire(strm_worker_lock, LW_SHARED);
	slot = strm_export_slot_of_cluster(cluster);
	if (slot != NULL)
		handle = slot->data;
	LWLockRelease(strm_worker_lock);
	return handle;
}
