/*
 * ingest_slot.h
 *	  Shared memory of ingest workers: one slot for each that runs or is about to.
 *
 *	  Worker index of n moves the rows of the lanes with lane % n == index. No two slots of a database that are in use
 *	  differ in n or agree in the index, and a slot is in use until its process has ended: so no lane is in two hands.
 */
#ifndef STRM_WORKER_INGEST_SLOT_H
#define STRM_WORKER_INGEST_SLOT_H

#include "worker/state.h"

/* Which share of the lanes a worker has. */
typedef struct StrmIngestShare
{
	int			index;
	int			of;
} StrmIngestShare;

/* A copy of a slot. */
typedef struct StrmIngestInfo
{
	StrmIngestShare share;
	Oid			database;
	pid_t		pid;			/* 0: being started */
	TimestampTz since;
} StrmIngestInfo;

/* How an ingest worker ended. */
typedef struct StrmIngestEnd
{
	int			index;
	TimestampTz since;			/* when it was there first; when it was asked for, if it never came */
	bool		failed;			/* not by proc_exit(0) */
} StrmIngestEnd;

/*
 * The scheduler: from now on there shall be n workers in this database. Tells those to leave that share the lanes with
 * another number; true when none of them is left.
 */
extern bool strm_ingest_slot_share(int n);

/* The scheduler: takes a slot for a worker. false: there is none, or another worker may hold some of its lanes. */
extern bool strm_ingest_slot_reserve(const StrmIngestShare *share, StrmSlotRef *ref);
/* Gives the slot back when its worker could not be asked for. */
extern void strm_ingest_slot_unreserve(const StrmSlotRef *ref);
/* The scheduler: slots of this database whose worker was asked for long ago and never came have ended. */
extern void strm_ingest_slot_sweep(void);
/* The scheduler: gives back the slot of one worker of this database that has ended. false: there is none. */
extern bool strm_ingest_slot_reap(StrmIngestEnd *end);
/* The scheduler: is there a worker of that index in this database, or one that is about to come? */
extern bool strm_ingest_slot_taken(int index);

/* The worker: takes possession of its slot until the process ends. false: it is not wanted any more. */
extern bool strm_ingest_slot_attach(const StrmSlotRef *ref, StrmIngestShare *share, Oid *database);
/* The worker: was it asked to leave? */
extern bool strm_ingest_slot_leaving(void);
/* The worker: from now on commits shall wake it, or not. What commits later than this returns true does. */
extern void strm_ingest_slot_listen(bool listen);

/*
 * For any session: wakes the ingest workers of this database that listen. Called at commit of transactions that queued
 * rows. Nearly free when none does. Does not raise.
 */
extern void strm_ingest_wake(Oid database);

/* For strm_state_ask_to_leave(): tells workers of that database to leave; pid of one that is still there, or 0. */
extern pid_t strm_ingest_ask_to_leave(Oid database);

/* Copies, in the current context; of one database or (InvalidOid) all. */
extern int	strm_ingest_slots(Oid database, StrmIngestInfo **infos);

#endif							/* STRM_WORKER_INGEST_SLOT_H */
