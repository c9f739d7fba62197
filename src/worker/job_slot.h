/*
 * job_slot.h
 *	  Shared memory of a batch job that is about to run or runs: how far it is, what it has to say, and who waits for
 *	  it.
 *
 *	  A slot is taken before a worker is started, and for a job of strm.run_batch_job() before the job can be seen in
 *	  the registry: a job that should run and has no slot is one whose process is gone.
 */
#ifndef STRM_WORKER_JOB_SLOT_H
#define STRM_WORKER_JOB_SLOT_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "worker/state.h"

#define STRM_JOB_NOTICES 8		/* that are kept, of each job */
#define STRM_JOB_NOTICE_SIZE 512

typedef struct StrmJobProgress
{
	uint64		rows;
	uint64		rejected;
	uint64		bytes;
} StrmJobProgress;

/* A copy of a slot, for those who look. */
typedef struct StrmJobInfo
{
	pg_uuid_t	job;
	Oid			database;
	pid_t		pid;			/* the worker's; 0: not there (yet, or any more) */
	bool		starting;
	bool		synchronous;
	TimestampTz since;
	TimestampTz running_since;	/* 0: its source is not open yet */
	TimestampTz noted;			/* when its progress was written down; 0: never */
	StrmJobProgress progress;
} StrmJobInfo;

/*
 * Takes a slot for a job of this database. session: the caller will wait for the job, and holds the slot until it
 * releases it. Otherwise the slot is the worker's alone. false when there is none, or the job has one.
 */
extern bool strm_job_slot_reserve(const pg_uuid_t *job, bool session, StrmSlotRef *ref);

/* The starter: a worker was asked for, or could not be. */
extern void strm_job_slot_starting(const StrmSlotRef *ref, bool starting);

/* The waiting session: done with the slot. cancel: a worker that is still there shall stop. */
extern void strm_job_slot_release(const StrmSlotRef *ref, bool cancel);

/* A copy; false when that use of the slot is over. */
extern bool strm_job_slot_read(const StrmSlotRef *ref, StrmJobInfo *info);

/*
 * The waiting session: the next notice after number *seen, which it moves on, into the current context; NULL when
 * there is none. Notices that were overwritten meanwhile are skipped.
 */
extern char *strm_job_slot_next_notice(const StrmSlotRef *ref, uint64 *seen);

/* Has the job of that id in this database a slot? */
extern bool strm_job_slot_exists(const pg_uuid_t *job);

/* Copies of all slots, of one database or (InvalidOid) all, into the current context. */
extern int	strm_job_slots(Oid database, StrmJobInfo **infos);

/* The job of that id in this database shall stop, if it runs. */
extern void strm_job_slot_cancel(const pg_uuid_t *job);

/* The scheduler: gives slots of this database back whose worker was asked for long ago and never came. */
extern void strm_job_slot_sweep(void);

/* The scheduler: the progress of the job was written down. */
extern void strm_job_slot_noted(const pg_uuid_t *job, TimestampTz when);

/* The worker: takes possession of its slot until the process ends. false: it is not wanted any more. */
extern bool strm_job_slot_attach(const StrmSlotRef *ref, pg_uuid_t *job, Oid *database);

/* The worker: was it cancelled before it could be sent a signal? */
extern bool strm_job_slot_cancelled(void);

/* The worker: the job runs from now on. */
extern TimestampTz strm_job_slot_running(void);

/* The worker: how far it is. Cheap; does not raise. */
extern void strm_job_slot_progress(const StrmJobProgress *progress);

/* The worker: a copy of its slot. */
extern void strm_job_slot_own(StrmJobInfo *info);

/* The worker: what to tell the waiting session; cut to STRM_JOB_NOTICE_SIZE. Does not raise. */
extern void strm_job_slot_notice(const char *message);

#endif							/* STRM_WORKER_JOB_SLOT_H */
