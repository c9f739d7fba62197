/*
 * state_private.h
 *	  The shared memory of the workers: for state.c, job_slot.c, export_slot.c, export_live.c and ingest_slot.c
 *	  only.
 *
 *	  One lock guards all of it, except for what is atomic. It is held for a few comparisons only. There are as many
 *	  slots of each kind as the server can have background workers, so a slot is the lesser shortage.
 */
#ifndef STRM_WORKER_STATE_PRIVATE_H
#define STRM_WORKER_STATE_PRIVATE_H

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"

#include "worker/export_slot.h"
#include "worker/ingest_slot.h"
#include "worker/job_slot.h"
#include "worker/state.h"

#define STRM_WANTED_DATABASES 64

/* A process and its latch. The latch is the process slot's and stays valid memory; setting it wrongly does no harm. */
typedef struct StrmProcess
{
	pid_t		pid;			/* 0: none */
	Latch	   *latch;
} StrmProcess;

/* Free: no database. */
typedef struct StrmSchedulerSlot
{
	Oid			database;
	uint64		generation;
	StrmProcess process;		/* none while it is being started, and when it has ended */
	TimestampTz since;
	bool		connected;
	bool		leave;			/* it was asked to */
	bool		nudged;			/* since it looked last */
	bool		ended;			/* the launcher has to give the slot back */
	StrmSchedulerOutcome outcome;
} StrmSchedulerSlot;

/* Free: no database. In use while there is a session, a worker, or one being started. */
typedef struct StrmJobSlot
{
	Oid			database;
	uint64		generation;
	pg_uuid_t	job;
	StrmProcess session;		/* that waits in strm.run_batch_job() */
	StrmProcess worker;
	bool		starting;		/* a worker was asked for and has not come yet */
	bool		synchronous;
	bool		cancel;
	TimestampTz since;
	TimestampTz running_since;	/* 0: not yet */
	TimestampTz noted;			/* when progress was written down */
	pg_atomic_uint64 rows;
	pg_atomic_uint64 rejected;
	pg_atomic_uint64 bytes;
	uint64		nnotices;		/* ever; the last ones are kept */
	char		notices[STRM_JOB_NOTICES][STRM_JOB_NOTICE_SIZE];
} StrmJobSlot;

/*
 * Free: no database. Of an export worker it stays in use when that has ended, until the scheduler has seen how; but a
 * new worker may take it.
 */
typedef struct StrmExportSlot
{
	Oid			database;
	uint64		generation;
	pg_uuid_t	cluster;
	bool		check;			/* of a worker that checks a topic for a session */
	bool		leave;			/* it was asked to */
	bool		ended;
	bool		failed;			/* it ended, and not well */
	pid_t		pid;			/* 0: none (yet, or any more) */
	PGPROC	   *proc;			/* of that */
	TimestampTz since;
	dsm_handle	data;			/* live numbers, or the request of a check; 0: none */
	char		address[STRM_EXPORT_ADDRESS_SIZE];
	pg_atomic_uint64 position;
	pg_atomic_uint64 confirmed;
	pg_atomic_uint64 wake;		/* while there is an export worker: its database and the number of its PGPROC */
} StrmExportSlot;

/* Free: no database. It stays in use when the worker has ended, until the scheduler has seen how. */
typedef struct StrmIngestSlot
{
	Oid			database;
	uint64		generation;
	StrmIngestShare share;
	bool		leave;			/* it was asked to */
	bool		ended;
	bool		failed;			/* it ended, and not well */
	pid_t		pid;			/* 0: none (yet, or any more) */
	PGPROC	   *proc;			/* of that */
	TimestampTz since;
	pg_atomic_uint64 wake;		/* while it listens: its database and the number of its PGPROC */
} StrmIngestSlot;

typedef struct StrmWorkerShared
{
	uint64		generation;		/* the last one given */
	StrmProcess launcher;
	TimestampTz launcher_since;
	bool		all_wanted;
	int			nwanted;
	Oid			wanted[STRM_WANTED_DATABASES];
	int			nslots;
	StrmSchedulerSlot *schedulers;
	StrmJobSlot *jobs;
	StrmExportSlot *exports;
	StrmIngestSlot *ingests;
	pg_atomic_uint32 nwake;		/* how many exports have something in wake */
} StrmWorkerShared;

extern StrmWorkerShared *strm_worker_shared;
extern LWLock *strm_worker_lock;

/* With the lock held: wakes the process, if there is one. */
extern void strm_state_wake(const StrmProcess *process);

/* With the lock held: wakes the database's scheduler, or tells the launcher that one is wanted. */
extern void strm_state_nudge_locked(Oid database);

/* This process's slot when it is an export worker or checks a topic, else NULL. */
extern StrmExportSlot *strm_export_slot_own(void);

/* Handle of the live numbers of a cluster of this database; 0: none. */
extern dsm_handle strm_export_slot_data(const pg_uuid_t *cluster);

#endif							/* STRM_WORKER_STATE_PRIVATE_H */
