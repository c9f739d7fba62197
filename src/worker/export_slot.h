/*
 * export_slot.h
 *	  Shared memory of export workers: one slot for each Kafka cluster whose worker runs or is about to, and live
 *	  numbers of its exporters; and one for the worker of a database's batch exporters, whose id is the nil uuid.
 */
#ifndef STRM_WORKER_EXPORT_SLOT_H
#define STRM_WORKER_EXPORT_SLOT_H

#include "storage/dsm_impl.h"

#include "export/exporter.h"
#include "worker/state.h"

#define STRM_EXPORT_ADDRESS_SIZE 64

/* In place of a cluster: the batch exporters of the database. */
extern const pg_uuid_t strm_export_batch;
extern bool strm_export_is_batch(const pg_uuid_t *cluster);

/* A copy of a slot. */
typedef struct StrmExportInfo
{
	pg_uuid_t	cluster;
	Oid			database;
	bool		check;			/* not an export worker, but one that checks a topic for a session */
	pid_t		pid;			/* 0: being started */
	TimestampTz since;
	XLogRecPtr	position;		/* end of what was decoded */
	XLogRecPtr	confirmed;
	char		address[STRM_EXPORT_ADDRESS_SIZE];	/* of an embedded broker; empty: none */
} StrmExportInfo;

/* Live numbers of one partition and one exporter. Counters of this worker's life go on from the stored ones. */
typedef struct StrmExportPartition
{
	int64		offset;			/* of the last record that was acknowledged; -1: none */
	StrmPosition position;		/* of that; epoch 0: none */
} StrmExportPartition;

typedef struct StrmExportLive
{
	pg_uuid_t	exporter;
	StrmExporterState state;
	XLogRecPtr	hold;			/* first transaction that is not fully acknowledged; 0: none */
	TimestampTz hold_since;		/* when that one committed; 0: unknown or none */
	int64		sent;
	int64		withheld;
	int64		filtered;
	int64		failed;
	int64		queued;			/* bytes */
	TimestampTz last_sent;		/* acknowledged; 0: never in this worker's life */
	int			npartitions;
	int			first;			/* its partitions begin there in the array of all */
} StrmExportLive;

/* How an export worker ended. */
typedef struct StrmExportEnd
{
	pg_uuid_t	cluster;
	TimestampTz since;			/* when it was there first; when it was asked for, if it never came */
	bool		failed;			/* not by proc_exit(0) */
} StrmExportEnd;

/* The scheduler: takes a slot for the worker of a cluster of this database. false: there is none, or it has one. */
extern bool strm_export_slot_reserve(const pg_uuid_t *cluster, StrmSlotRef *ref);
/* A session: takes one for a worker that shall check a topic; request: what, in dynamic shared memory. */
extern bool strm_export_slot_reserve_check(const pg_uuid_t *cluster, dsm_handle request, StrmSlotRef *ref);
/* Gives the slot back when its worker is not there: it could not be asked for, or is not waited for any more. */
extern void strm_export_slot_unreserve(const StrmSlotRef *ref);
/* The scheduler: slots of this database whose worker was asked for long ago and never came have ended. */
extern void strm_export_slot_sweep(void);
/* The scheduler: gives back the slot of one worker of this database that has ended. false: there is none. */
extern bool strm_export_slot_reap(StrmExportEnd *end);

/* The worker: takes possession of its slot until the process ends. false: it is not wanted any more. */
extern bool strm_export_slot_attach(const StrmSlotRef *ref, pg_uuid_t *cluster, Oid *database);
/* The worker: was it asked to leave (a command wants the database for itself)? */
extern bool strm_export_slot_leaving(void);
/* A worker that checks a topic: the request. */
extern dsm_handle strm_export_slot_request(void);
/* The worker: address of its broker; how far it is. Cheap. */
extern void strm_export_slot_set_address(const char *address);
extern void strm_export_slot_progress(XLogRecPtr position, XLogRecPtr confirmed);

/*
 * The worker: live numbers of its exporters, which others see from then on: in dynamic shared memory that is made anew
 * when their number or that of their partitions changes. The worker writes into what publish returns, without a lock:
 * readers may see numbers of different moments, and do not see exporters whose id is still zero, as it is first. What
 * an earlier call returned is gone.
 */
extern void strm_export_live_publish(int nexporters, int npartitions, StrmExportLive **exporters,
									 StrmExportPartition **partitions);

/*
 * For any session: wakes the export workers of this database. Called at commit of transactions that stored rows in
 * streams, and of those that changed Kafka definitions. Nearly free when there is no export worker. Does not raise.
 */
extern void strm_export_wake(Oid database);

/*
 * The scheduler: wakes the batch export worker of this database, which commits do not wake, to look at definitions
 * again.
 */
extern void strm_export_slot_poke(void);

/* For strm_state_ask_to_leave(): tells workers of that database to leave; pid of one that is still there, or 0. */
extern pid_t strm_export_ask_to_leave(Oid database);

/* Copies, in the current context; of one database or (InvalidOid) all. find: an export worker of this database. */
extern int	strm_export_slots(Oid database, StrmExportInfo **infos);
extern bool strm_export_slot_find(const pg_uuid_t *cluster, StrmExportInfo *info);

/* Live numbers of a cluster's exporters in this database, copied into the current context; 0: no worker runs. */
extern int	strm_export_live(const pg_uuid_t *cluster, StrmExportLive **exporters, StrmExportPartition **partitions);

#endif							/* STRM_WORKER_EXPORT_SLOT_H */
