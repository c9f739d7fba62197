/*
 * scheduler_exports.h
 *	  What a scheduler does for Kafka clusters and batch exporters.
 */
#ifndef STRM_WORKER_SCHEDULER_EXPORTS_H
#define STRM_WORKER_SCHEDULER_EXPORTS_H

#include "nodes/pg_list.h"

/* What a scheduler remembers. Start from {0}. */
typedef struct StrmSchedulerExports
{
	List	   *clusters;		/* with failures: StrmExportHistory, in TopMemoryContext */
	bool		no_room;		/* it was reported that no worker can be started */
} StrmSchedulerExports;

/*
 * In a transaction: starts a worker for each cluster and for batch exporters unless it runs, marks Kafka exporters that
 * belong to another database, drops replication slots whose exporters are gone, and forgets erased events. Returns the
 * number of milliseconds after which there will be more to do, at most idle; the end of an export worker nudges the
 * scheduler.
 */
extern long strm_scheduler_exports_look(StrmSchedulerExports *exports, long idle);

/*
 * Outside a transaction, when this database does not have the extension: drops all replication slots of ours here.
 * false when workers still hold some.
 */
extern bool strm_scheduler_exports_absent(void);

#endif							/* STRM_WORKER_SCHEDULER_EXPORTS_H */
