/*
 * run.h
 *	  Running one batch job: one pass from the source to all outputs.
 *
 *	  The caller is a worker with a transaction open, the job's owner as current user, and no SPI connection. The run
 *	  commits through the caller, as it goes unless a database is its source or target: then all is one transaction.
 */
#ifndef STRM_BATCH_RUN_H
#define STRM_BATCH_RUN_H

#include "utils/uuid.h"

#include "batch/job.h"

typedef struct StrmBatchCounts
{
	uint64		rows;			/* read so far */
	uint64		rejected;
	uint64		bytes;			/* read from the source */
} StrmBatchCounts;

/* What the run needs of its caller. */
typedef struct StrmBatchRunHooks
{
	void	   *arg;
	/* Often: how far it is. Cheap, does not raise. */
	void		(*progress) (void *arg, const StrmBatchCounts *counts);
	/* Ends the transaction and begins another one, again as the job's owner. */
	void		(*commit) (void *arg);
	/* A message for the user, without personal values: unknown columns and the like. */
	void		(*notice) (void *arg, const char *message);
} StrmBatchRunHooks;

typedef struct StrmBatchRun StrmBatchRun;

/*
 * A run of the job of that id, in cxt, which outlives transactions. Reads the stored configuration and checks its
 * owner's rights again. Raises what is wrong with it; nothing outside has happened then.
 */
extern StrmBatchRun *strm_batch_run_create(MemoryContext cxt, const pg_uuid_t *job_id, const StrmBatchRunHooks *hooks);

/* Opens source and targets: what fails here may be tried again. */
extern void strm_batch_run_start(StrmBatchRun *run);

/* The pass. On return all outputs are published, and counts is final. After an error call discard. */
extern void strm_batch_run_execute(StrmBatchRun *run, StrmBatchCounts *counts);

/*
 * Takes away what the run has written outside and forgets its intents where that worked. After an error, when the
 * failed transaction is over and a new one is open; as nobody but the worker. Never raises.
 */
extern void strm_batch_run_discard(StrmBatchRun *run);

/*
 * Whether files that were overwritten are kept, and their removal: when the end of the job is committed, in another
 * transaction. Does not raise; what cannot be removed, or nobody removes, is left to strm_batch_clean_up().
 */
extern bool strm_batch_run_keeps(const StrmBatchRun *run);
extern void strm_batch_run_settle(StrmBatchRun *run);

/*
 * Raises all that is wrong with a configuration in one error: faults of form, missing rights of the current user,
 * connectors and sources that cannot be reached, targets that exist. For creating a job.
 */
extern void strm_batch_job_check(Jsonb *document);

/* Makes the group of a job's keys, the current user's, if there is none of that id yet. */
extern void strm_batch_group_make(const StrmBatchJob *job, const pg_uuid_t *group);

/*
 * Removes what dead runs left behind: intents of jobs that do not run any more. For the scheduler, in a transaction.
 * Returns how many are left for another time: those that failed, and those it had no time for.
 */
extern int	strm_batch_clean_up(void);

#endif							/* STRM_BATCH_RUN_H */
