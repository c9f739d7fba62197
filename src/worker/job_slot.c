/*
 * job_slot.c
 *	  Slots of batch jobs in shared memory.
 *
 *	  A slot is free when nobody is left in it: no waiting session, no worker, none being started. Who leaves last
 *	  frees it (strm_job_slot_leave), and nudges the scheduler, which looks what has become of the job.
 */
#include "postgres.h"

#include <signal.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "strm_privacy.h"
#include "worker/state_private.h"

#define STRM_JOB_START_TIMEOUT 60000	/* ms, after which a worker that was asked for is not coming any more */

/* This process's slot, when it is a job worker. */
static StrmJobSlot *own_slot = NULL;

/* With the lock held: the slot of that use, or NULL when that use is over. */
static StrmJobSlot *
strm_job_slot_of(const StrmSlotRef *ref)
{
	StrmJobSlot *slot;

	if (ref->index < 0 || ref->index >= strm_worker_shared->nslots)
		return NULL;
	slot = &strm_worker_shared->jobs[ref->index];
	return OidIsValid(slot->database) && slot->generation == ref->generation ? slot : NULL;
}

/* With the lock held: the slot of a job of this database, or NULL. */
static StrmJobSlot *
strm_job_slot_find(const pg_uuid_t *job)
{
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmJobSlot *slot = &strm_worker_shared->jobs[i];

		if (slot->database == MyDatabaseId && memcmp(&slot->job, job, sizeof(pg_uuid_t)) == 0)
			return slot;
	}
	return NULL;
}

/* With the lock held, after somebody left: frees the slot when it was the last, and tells who has an interest. */
static void
strm_job_slot_leave(StrmJobSlot *slot)
{
	strm_state_wake(&slot->session);
	if (slot->session.pid != 0 || slot->worker.pid != 0 || slot->starting)
		return;
	strm_state_nudge_locked(slot->database);
	slot->database = InvalidOid;
}

static void
strm_job_slot_begin(StrmJobSlot *slot, const pg_uuid_t *job, bool session)
{
	slot->database = MyDatabaseId;
	slot->generation = ++strm_worker_shared->generation;
	slot->job = *job;
	slot->session.pid = session ? MyProcPid : 0;
	slot->session.latch = MyLatch;
	slot->worker.pid = 0;
	slot->starting = !session;
	slot->synchronous = session;
	slot->cancel = false;
	slot->since = GetCurrentTimestamp();
	slot->running_since = 0;
	slot->noted = 0;
	slot->nnotices = 0;
	pg_atomic_write_u64(&slot->rows, 0);
	pg_atomic_write_u64(&slot->rejected, 0);
	pg_atomic_write_u64(&slot->bytes, 0);
}

bool
strm_job_slot_reserve(const pg_uuid_t *job, bool session, StrmSlotRef *ref)
{
	bool		found = false;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	if (strm_job_slot_find(job) == NULL)
	{
		for (int i = 0; i < strm_worker_shared->nslots && !found; i++)
		{
			StrmJobSlot *slot = &strm_worker_shared->jobs[i];

			if (OidIsValid(slot->database))
				continue;
			strm_job_slot_begin(slot, job, session);
			ref->index = i;
			ref->generation = slot->generation;
			found = true;
		}
	}
	LWLockRelease(strm_worker_lock);
	return found;
}

void
strm_job_slot_starting(const StrmSlotRef *ref, bool starting)
{
	StrmJobSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_job_slot_of(ref);
	if (slot != NULL)
	{
		slot->starting = starting;
		slot->since = GetCurrentTimestamp();
		if (!starting)
			strm_job_slot_leave(slot);
	}
	LWLockRelease(strm_worker_lock);
}

/* With the lock held. A worker that has not come yet looks at the flag. */
static void
strm_job_slot_stop(StrmJobSlot *slot)
{
	slot->cancel = true;
	if (slot->worker.pid != 0)
		kill(slot->worker.pid, SIGINT);
}

void
strm_job_slot_release(const StrmSlotRef *ref, bool cancel)
{
	StrmJobSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_job_slot_of(ref);
	if (slot != NULL && slot->session.pid == MyProcPid)
	{
		if (cancel)
			strm_job_slot_stop(slot);
		slot->session.pid = 0;
		strm_job_slot_leave(slot);
	}
	LWLockRelease(strm_worker_lock);
}

static void
strm_job_slot_copy(StrmJobSlot *slot, StrmJobInfo *info)
{
	info->job = slot->job;
	info->database = slot->database;
	info->pid = slot->worker.pid;
	info->starting = slot->starting;
	info->synchronous = slot->synchronous;
	info->since = slot->since;
	info->running_since = slot->running_since;
	info->noted = slot->noted;
	info->progress.rows = pg_atomic_read_u64(&slot->rows);
	info->progress.rejected = pg_atomic_read_u64(&slot->rejected);
	info->progress.bytes = pg_atomic_read_u64(&slot->bytes);
}

bool
strm_job_slot_read(const StrmSlotRef *ref, StrmJobInfo *info)
{
	StrmJobSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_SHARED);
	slot = strm_job_slot_of(ref);
	if (slot != NULL)
		strm_job_slot_copy(slot, info);
	LWLockRelease(strm_worker_lock);
	return slot != NULL;
}

char *
strm_job_slot_next_notice(const StrmSlotRef *ref, uint64 *seen)
{
	StrmJobSlot *slot;
	char		text[STRM_JOB_NOTICE_SIZE];
	bool		found = false;

	LWLockAcquire(strm_worker_lock, LW_SHARED);
	slot = strm_job_slot_of(ref);
	if (slot != NULL && *seen < slot->nnotices)
	{
		if (slot->nnotices - *seen > STRM_JOB_NOTICES)
			*seen = slot->nnotices - STRM_JOB_NOTICES;
		memcpy(text, slot->notices[*seen % STRM_JOB_NOTICES], STRM_JOB_NOTICE_SIZE);
		(*seen)++;
		found = true;
	}
	LWLockRelease(strm_worker_lock);
	return found ? pstrdup(text) : NULL;
}

bool
strm_job_slot_exists(const pg_uuid_t *job)
{
	bool		exists;

	LWLockAcquire(strm_worker_lock, LW_SHARED);
	exists = strm_job_slot_find(job) != NULL;
	LWLockRelease(strm_worker_lock);
	return exists;
}

int
strm_job_slots(Oid database, StrmJobInfo **infos)
{
	int			n = 0;

	*infos = NULL;
	if (!strm_state_ready())
		return 0;
	*infos = palloc(Max(strm_worker_shared->nslots, 1) * sizeof(StrmJobInfo));
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmJobSlot *slot = &strm_worker_shared->jobs[i];

		if (OidIsValid(slot->database) && (!OidIsValid(database) || slot->database == database))
			strm_job_slot_copy(slot, &(*infos)[n++]);
	}
	LWLockRelease(strm_worker_lock);
	return n;
}

void
strm_job_slot_cancel(const pg_uuid_t *job)
{
	StrmJobSlot *slot;

	if (!strm_state_ready())
		return;
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_job_slot_find(job);
	if (slot != NULL)
		strm_job_slot_stop(slot);
	LWLockRelease(strm_worker_lock);
}

void
strm_job_slot_sweep(void)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	for (int i = 0; i < strm_worker_shared->nslots; i++)
	{
		StrmJobSlot *slot = &strm_worker_shared->jobs[i];

		if (slot->database != MyDatabaseId || !slot->starting || slot->session.pid != 0 || slot->worker.pid != 0 ||
			!TimestampDifferenceExceeds(slot->since, now, STRM_JOB_START_TIMEOUT))
			continue;
		slot->starting = false;
		slot->database = InvalidOid;
	}
	LWLockRelease(strm_worker_lock);
}

void
strm_job_slot_noted(const pg_uuid_t *job, TimestampTz when)
{
	StrmJobSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_job_slot_find(job);
	if (slot != NULL)
		slot->noted = when;
	LWLockRelease(strm_worker_lock);
}

/* --- the worker --- */

static void
strm_job_slot_exit(int code, Datum arg)
{
	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	own_slot->worker.pid = 0;
	strm_job_slot_leave(own_slot);
	LWLockRelease(strm_worker_lock);
}

bool
strm_job_slot_attach(const StrmSlotRef *ref, pg_uuid_t *job, Oid *database)
{
	StrmJobSlot *slot;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	slot = strm_job_slot_of(ref);
	if (slot != NULL && slot->starting && slot->worker.pid == 0)
	{
		own_slot = slot;
		slot->starting = false;
		slot->worker.pid = MyProcPid;
		slot->worker.latch = MyLatch;
		slot->since = GetCurrentTimestamp();
		slot->running_since = 0;
		slot->noted = 0;
		*job = slot->job;
		*database = slot->database;
	}
	LWLockRelease(strm_worker_lock);
	if (own_slot != NULL)
		on_shmem_exit(strm_job_slot_exit, (Datum) 0);
	return own_slot != NULL;
}

bool
strm_job_slot_cancelled(void)
{
	bool		cancel;

	LWLockAcquire(strm_worker_lock, LW_SHARED);
	cancel = own_slot->cancel;
	LWLockRelease(strm_worker_lock);
	return cancel;
}

TimestampTz
strm_job_slot_running(void)
{
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	own_slot->running_since = now;
	strm_state_nudge_locked(own_slot->database);
	LWLockRelease(strm_worker_lock);
	return now;
}

void
strm_job_slot_progress(const StrmJobProgress *progress)
{
	pg_atomic_write_u64(&own_slot->rows, progress->rows);
	pg_atomic_write_u64(&own_slot->rejected, progress->rejected);
	pg_atomic_write_u64(&own_slot->bytes, progress->bytes);
}

void
strm_job_slot_own(StrmJobInfo *info)
{
	LWLockAcquire(strm_worker_lock, LW_SHARED);
	strm_job_slot_copy(own_slot, info);
	LWLockRelease(strm_worker_lock);
}

void
strm_job_slot_notice(const char *message)
{
	int			size = pg_mbcliplen(message, strlen(message), STRM_JOB_NOTICE_SIZE - 1);
	char	   *to;

	LWLockAcquire(strm_worker_lock, LW_EXCLUSIVE);
	to = own_slot->notices[own_slot->nnotices++ % STRM_JOB_NOTICES];
	memcpy(to, message, size);
	to[size] = '\0';
	strm_state_wake(&own_slot->session);
	LWLockRelease(strm_worker_lock);
}
