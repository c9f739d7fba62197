/*
 * state.h
 *	  What the background workers and the sessions know of each other: the launcher, and one scheduler for each
 *	  database that has the extension. Jobs: job_slot.h; export workers: export_slot.h;
 *	  ingest workers: ingest_slot.h.
 */
#ifndef STRM_WORKER_STATE_H
#define STRM_WORKER_STATE_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* Names one use of a slot: a later use of the same one has another generation. Fits bgw_extra. */
typedef struct StrmSlotRef
{
	int			index;
	uint64		generation;
} StrmSlotRef;

/* How a scheduler ended. */
typedef enum StrmSchedulerOutcome
{
	STRM_SCHEDULER_FAILED,		/* an error, terminated, never started */
	STRM_SCHEDULER_ABSENT,		/* the database has no extension */
	STRM_SCHEDULER_LEFT			/* it stepped aside, or has to look again */
} StrmSchedulerOutcome;

/* A worker, for those who look. */
typedef struct StrmSchedulerInfo
{
	StrmSlotRef slot;
	Oid			database;
	pid_t		pid;			/* 0: being started */
	TimestampTz since;
	bool		connected;
} StrmSchedulerInfo;

/* Asks for shared memory; called once, by strm_worker_init, while shared libraries are preloaded. */
extern void strm_state_init(void);

/* Was the library preloaded, so that there is shared state? */
extern bool strm_state_ready(void);

/*
 * For any session. Something happened in that database that its scheduler has to look at: wakes it, or asks the
 * launcher to start one. Cheap, does not raise.
 */
extern void strm_state_nudge(Oid database);

/* For any session. Databases came or went: the launcher reads their list again. */
extern void strm_state_nudge_launcher(void);

/*
 * For any session that holds a lock on the database which keeps workers from connecting to it: tells its
 * scheduler, export workers and ingest workers to leave. Returns the pid of one that is still there, or 0.
 */
extern pid_t strm_state_ask_to_leave(Oid database);

/* Copies what is known of schedulers into the current context; returns their number. Of the launcher: pid 0: none. */
extern int	strm_state_schedulers(StrmSchedulerInfo **schedulers);
extern StrmSchedulerInfo strm_state_launcher(void);

/* The launcher: from now on until the process ends it is told. */
extern void strm_state_launcher_attach(void);

/*
 * The launcher: databases to look at, since the last call, in the current context; *all when everything has to be
 * looked at again.
 */
extern List *strm_state_take_wanted(bool *all);

/* The launcher: takes a slot for a scheduler to be started. false when there is none. */
extern bool strm_state_scheduler_reserve(Oid database, StrmSlotRef *ref);

/* The launcher: gives the slot back, as no worker could be asked for. */
extern void strm_state_scheduler_unreserve(const StrmSlotRef *ref);

/* The launcher: the slot's scheduler did not come, or has ended. Does nothing while it runs. */
extern void strm_state_scheduler_abandon(const StrmSlotRef *ref);

/*
 * The launcher: gives back the slot of one scheduler that has ended, and tells of which database, when it had started,
 * and how it ended. false when there is none.
 */
extern bool strm_state_scheduler_reap(Oid *database, TimestampTz *since, StrmSchedulerOutcome *outcome);

/* A scheduler: takes possession of its slot until the process ends. false: it is not wanted any more. */
extern bool strm_state_scheduler_attach(const StrmSlotRef *ref, Oid *database);

/* A scheduler: it is connected now. */
extern void strm_state_scheduler_connected(void);

/* A scheduler, before it looks: nudges from here on count anew. Returns false when it was asked to leave. */
extern bool strm_state_scheduler_look(void);

/* A scheduler that is about to end: how. A nudge since the last look turns ABSENT to LEFT. */
extern void strm_state_scheduler_finish(StrmSchedulerOutcome outcome);

#endif							/* STRM_WORKER_STATE_H */
