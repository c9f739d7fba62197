/*
 * job_session.h
 *	  A session that runs a batch job and waits for it.
 */
#ifndef STRM_WORKER_JOB_SESSION_H
#define STRM_WORKER_JOB_SESSION_H

#include "worker/job_slot.h"
#include "worker/job_state.h"

/*
 * Runs a stored job whose slot the session holds: starts its worker, again when that fails to start the run, relays
 * what it says as NOTICEs, and returns when the job is over. For a procedure that may commit, connected to SPI, with
 * the job stored in the current transaction. Can be interrupted; the caller then releases the slot.
 */
extern void strm_job_session_run(const pg_uuid_t *job, const StrmSlotRef *slot, StrmJobOutcome *outcome);

#endif							/* STRM_WORKER_JOB_SESSION_H */
