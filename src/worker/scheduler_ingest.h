/*
 * scheduler_ingest.h
 *	  What a scheduler does for queued ingestion.
 */
#ifndef STRM_WORKER_SCHEDULER_INGEST_H
#define STRM_WORKER_SCHEDULER_INGEST_H

#include "utils/timestamp.h"

/* As many workers as strm_privacy.ingest_workers allows. */
#define STRM_INGEST_WORKERS_MAX 16

/* What a scheduler remembers. Start from {0}. */
typedef struct StrmSchedulerIngest
{
	struct
	{
		int			failures;	/* in a row */
		TimestampTz next;		/* when to start one again */
	}			workers[STRM_INGEST_WORKERS_MAX];
	bool		no_room;		/* it was reported that no worker can be started */
} StrmSchedulerIngest;

/*
 * In a transaction: keeps as many ingest workers running as are set, if this database has inboxes. Returns the number
 * of milliseconds after which there will be more to do, at most idle; the end of a worker nudges the scheduler.
 */
extern long strm_scheduler_ingest_look(StrmSchedulerIngest *ingest, long idle);

#endif							/* STRM_WORKER_SCHEDULER_INGEST_H */
