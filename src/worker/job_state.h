/*
 * job_state.h
 *	  The life of a batch job in the registry: PENDING, STARTED, RUNNING, then FINISHED or ERROR; ERROR_STARTING, then
 *	  STARTED again, up to three times.
 *
 *	  Everything here needs a transaction, and is written when that commits.
 */
#ifndef STRM_WORKER_JOB_STATE_H
#define STRM_WORKER_JOB_STATE_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "worker/job_slot.h"

#define STRM_JOB_TRIES 3

typedef enum StrmJobState
{
	STRM_JOB_PENDING,
	STRM_JOB_STARTED,
	STRM_JOB_RUNNING,
	STRM_JOB_FINISHED,
	STRM_JOB_ERROR_STARTING,	/* the last one when it was the third try */
	STRM_JOB_ERROR
} StrmJobState;

/* Sets of states. */
#define STRM_JOB_STATE(state) (1 << (state))
#define STRM_JOB_WAITING (STRM_JOB_STATE(STRM_JOB_PENDING) | STRM_JOB_STATE(STRM_JOB_ERROR_STARTING))
#define STRM_JOB_ACTIVE (STRM_JOB_STATE(STRM_JOB_STARTED) | STRM_JOB_STATE(STRM_JOB_RUNNING))

/* Why a job failed; none of the texts holds a personal value. detail and hint may be NULL. */
typedef struct StrmJobError
{
	int			sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
} StrmJobError;

extern const char *strm_job_state_name(StrmJobState state);

/* The state of that name; ERROR for an unknown one. */
extern StrmJobState strm_job_state_of(const char *name);

/*
 * Moves a job from one of a set of states to another one, and notes that with what is known (each may be NULL) as of
 * since (0: now). false, and nothing was done, when it is in none of them.
 */
extern bool strm_job_state_move(const pg_uuid_t *job, int from, StrmJobState to, TimestampTz since,
								const StrmJobProgress *progress, const StrmJobError *error);

/* Makes the first state of a job that was just stored. */
extern void strm_job_state_begin(const pg_uuid_t *job);

/* The last state of a job, as one who waits for it needs it; in the current context. false: there is no such job. */
typedef struct StrmJobOutcome
{
	StrmJobState state;
	int			tries;
	bool		final;			/* it will not run (again) */
	StrmJobProgress progress;
	StrmJobError error;			/* message NULL: none */
} StrmJobOutcome;

extern bool strm_job_state_read(const pg_uuid_t *job, StrmJobOutcome *outcome);

/* The error of a job whose process is gone. */
extern StrmJobError strm_job_error_lost(void);

/* The error of a job that was cancelled. */
extern StrmJobError strm_job_error_cancelled(void);

#endif							/* STRM_WORKER_JOB_STATE_H */
