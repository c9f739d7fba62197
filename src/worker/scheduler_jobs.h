/*
 * scheduler_jobs.h
 *	  What a scheduler does for batch jobs.
 */
#ifndef STRM_WORKER_SCHEDULER_JOBS_H
#define STRM_WORKER_SCHEDULER_JOBS_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#define STRM_SCHEDULER_STARTS 64

/* A worker that was asked for. */
typedef struct StrmSchedulerStart
{
	pg_uuid_t	job;
	int			tries;			/* before */
	TimestampTz at;
} StrmSchedulerStart;

/* What a scheduler remembers. Start from {0}. */
typedef struct StrmSchedulerJobs
{
	TimestampTz swept;			/* when leftovers were looked for */
	bool		dirty;			/* a run died since */
	bool		leftovers;		/* some could not be taken away */
	int			nstarts;		/* ever; the last ones are kept */
	StrmSchedulerStart starts[STRM_SCHEDULER_STARTS];
} StrmSchedulerJobs;

/*
 * In a transaction: marks jobs whose process is gone, writes progress down, and starts what waits. Returns the number
 * of milliseconds after which there will be more to do, at most idle.
 */
extern long strm_scheduler_jobs_look(StrmSchedulerJobs *jobs, long idle);

/* Without a transaction: takes away what dead runs left outside, and forgets old jobs, when it is time to. */
extern void strm_scheduler_jobs_sweep(StrmSchedulerJobs *jobs);

#endif							/* STRM_WORKER_SCHEDULER_JOBS_H */
