/*
 * state.c
 *	  Shared memory of the workers: its beginning, the launcher, and the schedulers.
 *
 *	  A slot of a scheduler is taken by the launcher, used by the scheduler, and given back by the launcher when it has
 *	  seen how the scheduler ended. What a process has registered it takes back in on_shmem_exit callbacks that were
 *	  registered before it connected to a database: they run when it is no longer among the database's sessions.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "strm_privacy.h"
#include "worker/state_private.h"

#define STRM_WORKER_TRANCHE "strm_privacy workers"

StrmWorkerShared *strm_worker_shared = NULL;
LWLock	   *strm_worker_lock = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

/* This process's slot, when it is a scheduler. */
static StrmSchedulerSlot *own_slot = NULL;

static Size
strm_state_size(void)
{
	Size		size = MAXALIGN(sizeof(StrmWorkerShared));

	size = add_size(size, MAXALIGN(mul_size(max_worker_processes, sizeof(StrmSchedulerSlot))));
	size = add_size(size, MAXALIGN(mul_size(max_worker_processes, sizeof(StrmJobSlot))));
	size = add_size(size, MAXALIGN(mul_size(max_worker_processes, sizeof(StrmExportSlot))));
	return add_size(size, mul_size(max_worker_processes, sizeof(StrmIngestSlot)));
}

static void
strm_state_request(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(strm_state_size());
	RequestNamedLWLockTranche(STRM_WORKER_TRANCHE, 1);
}

static void
strm_state_reset(StrmWorkerShared *shared)
{
	char	   *base = (char *) shared;

	memset(base, 0, strm_state_size());
	shared->nslots = max_worker_processes;
	shared->schedulers = (StrmSchedulerSlot *) (base + MAXALIGN(sizeof(StrmWorkerShared)));
	shared->jobs = (StrmJobSlot *) ((char *) shared->schedulers +
									MAXALIGN(mul_size(shared->nslots, sizeof(StrmSchedulerSlot))));
	shared->exports = (StrmExportSlot *) ((char *) shared->jobs +
										  MAXALIGN(mul_size(shared->nslots, sizeof(StrmJobSlot))));
	shared->ingests = (StrmIngestSlot *) ((char *) shared->exports +
										  MAXALIGN(mul_size(shared->nslots, sizeof(StrmExportSlot))));
	pg_atomic_init_u32(&shared->nwake, 0);
	for (int i = 0; i < shared->nslots; i++)
	{
		pg_atomic_init_u64(&shared->jobs[i].rows, 0);
		pg_atomic_init_u64(&shared->jobs[i].rejected, 0);
		pg_atomic_init_u64(&shared->jobs[i].bytes, 0);
		pg_atomic_init_u64(&shared->exports[i].position, 0);
		pg_atomic_init_u64(&shared->exports[i].confirmed, 0);
		pg_atomic_init_u64(&shared->exports[i].wake, 0);
		pg_atomic_init_u64(&shared->ingests[i].wake, 0);
	}
}

static void
strm_state_startup(void)
{
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	strm_worker_shared = ShmemInitStruct(STRM_WORKER_TRANCHE, strm_state_size(), &found);
	if (!found)
		strm_state_reset(strm_worker_shared);
	strm_worker_lock = &GetNamedLWLockTranche(STRM_WORKER_TRANCHE)->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
strm_state_init(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = strm_state_request;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = strm_state_startup;
}

bool
strm_state_ready(void)
{
	return strm_worker_shared != NULL;
}

void
strm_state_wake(const StrmProcess *process)
{
	if (process->pid != 0)
		SetLatch(process->latch);
}

/* --- asking for attention --- */

/* The launcher shall look at a database. When there is no room for it: at all of them. */
static void
strm_state_want(Oid database)
{
	StrmWorkerShared *shared = strm_worker_shared;

	for (int i = 0; i < shared->nwanted; i++)
	{
		if (shared->wanted[i] == database)
			return;
	}
	if (shared->nwanted < STRM_WANTED_DATABASES)
		shared->wanted[shared->nwanted++] = database;
	else
		shared->all_wanted = true;
}

void
strm_state_nudge_locked(Oid database)
{
	StrmWorkerShared *shared = strm_worker_shared;

	for (int i = 0; i < shared->nslots; i++)
	{
		StrmSchedulerSlot *slot = &shared->schedulers[i];

		if (slot->database == database && !slot->ended)
		{
			slot->nudged = true;
			strm_state_wake(&slot->process);
			return;
		}
	}
	strm_state_want(database);
	strm_state_wake(&shared->launcher);
}

void
strm_state_nudge(Oid database)
{
	if (!strm_state_ready())
		return;
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	strm_state_nudge_locked(database);
	LWLockRelease(strm_worker_lock);
}

void
strm_state_nudge_launcher(void)
{
	if (!strm_state_ready())
		return;
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	strm_state_wake(&strm_worker_shared->launcher);
	LWLockRelease(strm_worker_lock);
}

pid_t
strm_state_ask_to_leave(Oid database)
{
	StrmWorkerShared *shared = strm_worker_shared;
	pid_t		pid = 0;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		StrmSchedulerSlot *slot = &shared->schedulers[i];

		/* one that is not connected waits for the caller's lock: no hindrance, but it may just have connected */
		if (slot->database != database || slot->process.pid == 0)
			continue;
		if (!slot->leave)
		{
			slot->leave = true;
			strm_state_wake(&slot->process);
		}
		if (slot->connected)
			pid = slot->process.pid;
	}
	LWLockRelease(strm_worker_lock);
	if (pid == 0)
		pid = strm_export_ask_to_leave(database);
	return pid != 0 ? pid : strm_ingest_ask_to_leave(database);
}

/* --- the launcher --- */

static void
strm_state_launcher_exit(int code, Datum arg)
{
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	strm_worker_shared->launcher.pid = 0;
	LWLockRelease(strm_worker_lock);
}

void
strm_state_launcher_attach(void)
{
	on_shmem_exit(strm_state_launcher_exit, (Datum) 0);
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	strm_worker_shared->launcher.pid = MyProcPid;
	strm_worker_shared->launcher.latch = MyLatch;
	strm_worker_shared->launcher_since = GetCurrentTimestamp();
	LWLockRelease(strm_worker_lock);
}

List *
strm_state_take_wanted(bool *all)
{
	StrmWorkerShared *shared = strm_worker_shared;
	Oid			wanted[STRM_WANTED_DATABASES];
	int			nwanted;
	List	   *result = NIL;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	nwanted = shared->nwanted;
	memcpy(wanted, shared->wanted, nwanted * sizeof(Oid));
	*all = shared->all_wanted;
	shared->nwanted = 0;
	shared->all_wanted = false;
	LWLockRelease(strm_worker_lock);

	for (int i = 0; i < nwanted; i++)
		result = lappend_oid(result, wanted[i]);
	return result;
}

bool
strm_state_scheduler_reserve(Oid database, StrmSlotRef *ref)
{
	StrmWorkerShared *shared = strm_worker_shared;
	bool		found = false;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots && !found; i++)
	{
		StrmSchedulerSlot *slot = &shared->schedulers[i];

		if (OidIsValid(slot->database))
			continue;
		memset(slot, 0, sizeof(StrmSchedulerSlot));
		slot->database = database;
		slot->generation = ++shared->generation;
		slot->since = GetCurrentTimestamp();
		slot->outcome = STRM_SCHEDULER_FAILED;
		ref->index = i;
		ref->generation = slot->generation;
		found = true;
	}
	LWLockRelease(strm_worker_lock);
	return found;
}

/* With the lock held: the slot of that use, or NULL when that use is over. */
static StrmSchedulerSlot *
strm_state_scheduler_slot(const StrmSlotRef *ref)
{
	StrmSchedulerSlot *slot;

	if (ref->index < 0 || ref->index >= strm_worker_shared->nslots)
		return NULL;
	slot = &strm_worker_shared->schedulers[ref->index];
	return OidIsValid(slot->database) && slot->generation == ref->generation ? slot : NULL;
}

void
strm_state_scheduler_unreserve(const StrmSlotRef *ref)
{
	StrmSchedulerSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_state_scheduler_slot(ref);
	if (slot != NULL)
		slot->database = InvalidOid;
	LWLockRelease(strm_worker_lock);
}

void
strm_state_scheduler_abandon(const StrmSlotRef *ref)
{
	StrmSchedulerSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_state_scheduler_slot(ref);
	if (slot != NULL && slot->process.pid == 0)
		slot->ended = true;
	LWLockRelease(strm_worker_lock);
}

bool
strm_state_scheduler_reap(Oid *database, TimestampTz *since, StrmSchedulerOutcome *outcome)
{
	StrmWorkerShared *shared = strm_worker_shared;
	bool		found = false;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots && !found; i++)
	{
		StrmSchedulerSlot *slot = &shared->schedulers[i];

		if (!OidIsValid(slot->database) || !slot->ended)
			continue;
		*database = slot->database;
		*since = slot->since;
		*outcome = slot->outcome;
		slot->database = InvalidOid;
		found = true;
	}
	LWLockRelease(strm_worker_lock);
	return found;
}

/* --- a scheduler --- */

static void
strm_state_scheduler_exit(int code, Datum arg)
{
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	/* however it ended: who was asked to leave has left (it may have been terminated, as it did not listen) */
	if (own_slot->leave && own_slot->outcome == STRM_SCHEDULER_FAILED)
		own_slot->outcome = STRM_SCHEDULER_LEFT;
	own_slot->process.pid = 0;
	own_slot->connected = false;
	own_slot->ended = true;
	strm_state_wake(&strm_worker_shared->launcher);
	LWLockRelease(strm_worker_lock);
}

bool
strm_state_scheduler_attach(const StrmSlotRef *ref, Oid *database)
{
	StrmSchedulerSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_state_scheduler_slot(ref);
	if (slot != NULL && slot->process.pid == 0 && !slot->ended)
	{
		own_slot = slot;
		slot->process.pid = MyProcPid;
		slot->process.latch = MyLatch;
		slot->since = GetCurrentTimestamp();
		*database = slot->database;
	}
	LWLockRelease(strm_worker_lock);
	if (own_slot != NULL)
		on_shmem_exit(strm_state_scheduler_exit, (Datum) 0);
	return own_slot != NULL;
}

void
strm_state_scheduler_connected(void)
{
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	own_slot->connected = true;
	LWLockRelease(strm_worker_lock);
}

bool
strm_state_scheduler_look(void)
{
	bool		leave;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	own_slot->nudged = false;
	leave = own_slot->leave;
	LWLockRelease(strm_worker_lock);
	return !leave;
}

void
strm_state_scheduler_finish(StrmSchedulerOutcome outcome)
{
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	own_slot->outcome = outcome == STRM_SCHEDULER_ABSENT && own_slot->nudged ? STRM_SCHEDULER_LEFT : outcome;
	LWLockRelease(strm_worker_lock);
}

/* --- for those who look --- */

StrmSchedulerInfo
strm_state_launcher(void)
{
	StrmSchedulerInfo info = {0};

	if (!strm_state_ready())
		return info;
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	info.pid = strm_worker_shared->launcher.pid;
	info.since = strm_worker_shared->launcher_since;
	info.connected = info.pid != 0;
	LWLockRelease(strm_worker_lock);
	return info;
}

int
strm_state_schedulers(StrmSchedulerInfo **schedulers)
{
	int			n = 0;

	*schedulers = NULL;
	if (!strm_state_ready())
		return 0;
	*schedulers = palloc(Max(strm_worker_shared->nslots, 1) * sizeof(StrmSchedulerInfo));
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmSchedulerSlot *slot = &strm_worker_shared->schedulers[i];
		StrmSchedulerInfo *info = &(*schedulers)[n];

		if (!OidIsValid(slot->database) || slot->ended)
			continue;
		info->slot.index = i;
		info->slot.generation = slot->generation;
		info->database = slot->database;
		info->pid = slot->process.pid;
		info->since = slot->since;
		info->connected = slot->connected;
		n++;
	}
	LWLockRelease(strm_worker_lock);
	return n;
}
