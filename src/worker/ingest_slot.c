/*
 * ingest_slot.c
 *	  Slots of ingest workers in shared memory.
 *
 *	  A worker that has died between two instructions leaves nothing behind: the server restarts then, with new shared
 *	  memory. One that ends otherwise runs strm_ingest_slot_exit, when its last transaction is over: who gets its lanes
 *	  next sees what that one did.
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

#define STRM_INGEST_START_TIMEOUT 60000 /* ms, after which a worker that was asked for is not coming any more */

/* This process's slot, when it is such a worker. */
static StrmIngestSlot *own_slot = NULL;

/* Is the slot in use by a worker of that database? */
static bool
strm_ingest_slot_is(const StrmIngestSlot *slot, Oid database)
{
	return slot->database == database && !slot->ended;
}

/* With the lock held: the slot of that use, or NULL when that use is over. */
static StrmIngestSlot *
strm_ingest_slot_of(const StrmSlotRef *ref)
{
	StrmIngestSlot *slot;

	if (ref->index < 0 || ref->index >= strm_worker_shared->nslots)
		return NULL;
	slot = &strm_worker_shared->ingests[ref->index];
	return OidIsValid(slot->database) && !slot->ended && slot->generation == ref->generation ? slot : NULL;
}

/* With the lock held: the worker has ended, or is not coming. The scheduler shall see how. */
static void
strm_ingest_slot_end(StrmIngestSlot *slot, bool failed)
{
	slot->ended = true;
	slot->failed = failed;
	strm_state_nudge_locked(slot->database);
}

/* With the lock held: tells the worker to leave. */
static void
strm_ingest_slot_dismiss(StrmIngestSlot *slot)
{
	slot->leave = true;
	if (slot->pid != 0)
		SetLatch(&slot->proc->procLatch);
}

bool
strm_ingest_slot_share(int n)
{
	bool		done = true;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmIngestSlot *slot = &strm_worker_shared->ingests[i];

		if (!strm_ingest_slot_is(slot, MyDatabaseId) || slot->share.of == n)
			continue;
		strm_ingest_slot_dismiss(slot);
		done = false;
	}
	LWLockRelease(strm_worker_lock);
	return done;
}

/* With the lock held: a slot for that share, or NULL. Rather a free one than one whose end was not seen yet. */
static StrmIngestSlot *
strm_ingest_slot_free(const StrmIngestShare *share)
{
	StrmIngestSlot *free_slot = NULL;

	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmIngestSlot *slot = &strm_worker_shared->ingests[i];

		if (strm_ingest_slot_is(slot, MyDatabaseId) &&
			(slot->share.of != share->of || slot->share.index == share->index))
			return NULL;
		if (!OidIsValid(slot->database) || (slot->ended && free_slot == NULL))
			free_slot = slot;
	}
	return free_slot;
}

bool
strm_ingest_slot_reserve(const StrmIngestShare *share, StrmSlotRef *ref)
{
	StrmIngestSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_ingest_slot_free(share);
	if (slot != NULL)
	{
		slot->database = MyDatabaseId;
		slot->generation = ++strm_worker_shared->generation;
		slot->share = *share;
		slot->leave = false;
		slot->ended = false;
		slot->failed = false;
		slot->pid = 0;
		slot->proc = NULL;
		slot->since = GetCurrentTimestamp();
		ref->index = slot - strm_worker_shared->ingests;
		ref->generation = slot->generation;
	}
	LWLockRelease(strm_worker_lock);
	return slot != NULL;
}

void
strm_ingest_slot_unreserve(const StrmSlotRef *ref)
{
	StrmIngestSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_ingest_slot_of(ref);
	if (slot != NULL && slot->pid == 0)
		slot->database = InvalidOid;
	LWLockRelease(strm_worker_lock);
}

void
strm_ingest_slot_sweep(void)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmIngestSlot *slot = &strm_worker_shared->ingests[i];

		if (strm_ingest_slot_is(slot, MyDatabaseId) && slot->pid == 0 &&
			TimestampDifferenceExceeds(slot->since, now, STRM_INGEST_START_TIMEOUT))
			strm_ingest_slot_end(slot, true);
	}
	LWLockRelease(strm_worker_lock);
}

bool
strm_ingest_slot_reap(StrmIngestEnd *end)
{
	bool		found = false;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots && !found; i++)
	{
		StrmIngestSlot *slot = &strm_worker_shared->ingests[i];

		if (slot->database != MyDatabaseId || !slot->ended)
			continue;
		end->index = slot->share.index;
		end->since = slot->since;
		end->failed = slot->failed;
		slot->database = InvalidOid;
		found = true;
	}
	LWLockRelease(strm_worker_lock);
	return found;
}

bool
strm_ingest_slot_taken(int index)
{
	bool		taken = false;

	LWLockAcquire(strm_worker_lock, LW_SHARED);
	for (int i = 0; i < strm_worker_shared->nslots && !taken; i++)
	{
		StrmIngestSlot *slot = &strm_worker_shared->ingests[i];

		taken = strm_ingest_slot_is(slot, MyDatabaseId) && slot->share.index == index;
	}
	LWLockRelease(strm_worker_lock);
	return taken;
}

/* --- the worker --- */

/* Runs when the process has left its database. */
static void
strm_ingest_slot_exit(int code, Datum arg)
{
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	own_slot->pid = 0;
	own_slot->proc = NULL;
	pg_atomic_write_u64(&own_slot->wake, 0);
	strm_ingest_slot_end(own_slot, code != 0);
	LWLockRelease(strm_worker_lock);
}

bool
strm_ingest_slot_attach(const StrmSlotRef *ref, StrmIngestShare *share, Oid *database)
{
	StrmIngestSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_ingest_slot_of(ref);
	if (slot != NULL && slot->pid == 0 && slot->leave)
		strm_ingest_slot_end(slot, false);
	else if (slot != NULL && slot->pid == 0)
	{
		own_slot = slot;
		slot->pid = MyProcPid;
		slot->proc = MyProc;
		slot->since = GetCurrentTimestamp();
		*share = slot->share;
		*database = slot->database;
	}
	LWLockRelease(strm_worker_lock);
	if (own_slot != NULL)
		on_shmem_exit(strm_ingest_slot_exit, (Datum) 0);
	return own_slot != NULL;
}

/* Without the lock: who sets it sets the latch afterwards. */
bool
strm_ingest_slot_leaving(void)
{
	return *(volatile bool *) &own_slot->leave;
}

/*
 * A producer reads the word after its transaction has left the list of running ones. Who takes a snapshot after
 * setting it sees that transaction, or is woken by it.
 */
void
strm_ingest_slot_listen(bool listen)
{
	uint64		procno = MyProc - ProcGlobal->allProcs;

	pg_atomic_write_u64(&own_slot->wake, listen ? (uint64) own_slot->database << 32 | procno : 0);
	pg_memory_barrier();
}

/* --- waking, and asking to leave --- */

void
strm_ingest_wake(Oid database)
{
	StrmWorkerShared *shared = strm_worker_shared;

	for (int i = 0; shared != NULL && i < shared->nslots; i++)
	{
		uint64		wake = pg_atomic_read_u64(&shared->ingests[i].wake);

		if (wake != 0 && (Oid) (wake >> 32) == database)
			SetLatch(&ProcGlobal->allProcs[(uint32) wake].procLatch);
	}
}

/*
 * One that is connecting waits for the caller's lock on the database, which it takes before it counts as connected: it
 * is no hindrance, and goes on when the command has ended. One that has not come yet need not try.
 */
pid_t
strm_ingest_ask_to_leave(Oid database)
{
	pid_t		pid = 0;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmIngestSlot *slot = &strm_worker_shared->ingests[i];

		if (!strm_ingest_slot_is(slot, database) || (slot->pid != 0 && slot->proc->databaseId != database))
			continue;
		strm_ingest_slot_dismiss(slot);
		if (slot->pid != 0)
			pid = slot->pid;
	}
	LWLockRelease(strm_worker_lock);
	return pid;
}

int
strm_ingest_slots(Oid database, StrmIngestInfo **infos)
{
	int			n = 0;

	*infos = NULL;
	if (!strm_state_ready())
		return 0;
	*infos = palloc(Max(strm_worker_shared->nslots, 1) * sizeof(StrmIngestInfo));
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmIngestSlot *slot = &strm_worker_shared->ingests[i];
		StrmIngestInfo *info = &(*infos)[n];

		if (!OidIsValid(slot->database) || slot->ended || (OidIsValid(database) && slot->database != database))
			continue;
		info->share = slot->share;
		info->database = slot->database;
		info->pid = slot->pid;
		info->since = slot->since;
		n++;
	}
	LWLockRelease(strm_worker_lock);
	return n;
}
