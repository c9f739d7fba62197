/*
 * job_session.c
 *	  A session that runs a batch job and waits for it: strm.run_batch_job().
 *
 *	  While it waits it holds no lock and no snapshot. That the job's worker is gone without a result it finds out
 *	  itself: the scheduler leaves jobs alone whose session holds a slot. It also looks whether its client is there,
 *	  whatever client_connection_check_interval says: the job is to end with it.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/job_session.h"
#include "worker/worker.h"

/* ms */
#define STRM_JOB_NOTICE_PROGRESS 10000
#define STRM_JOB_LOOK 1000

static void
strm_job_session_sleep(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	if (MyProcPort != NULL && WaitEventSetCanReportClosed() && !pq_check_connection())
	{
		ClientConnectionLost = true;
		InterruptPending = true;
	}
	CHECK_FOR_INTERRUPTS();
}

static void
strm_job_session_relay(const StrmSlotRef *slot, uint64 *seen)
{
	char	   *notice;

	while ((notice = strm_job_slot_next_notice(slot, seen)) != NULL)
	{
		ereport(NOTICE, errmsg("%s", notice));
		pfree(notice);
	}
}

/* Waits until the worker has ended, and relays what it says. */
static void
strm_job_session_wait(const StrmSlotRef *slot, BackgroundWorkerHandle *handle)
{
	TimestampTz told = GetCurrentTimestamp();
	StrmJobInfo info;
	uint64		seen = 0;

	while (strm_job_slot_read(slot, &info) && (info.starting || info.pid != 0))
	{
		pid_t		pid;

		if (info.starting && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
		{
			/* it has ended, or ended before it began: the slot says which when it is asked again */
			strm_job_slot_starting(slot, false);
			continue;
		}
		strm_job_session_relay(slot, &seen);
		if (info.running_since != 0 &&
			TimestampDifferenceExceeds(told, GetCurrentTimestamp(), STRM_JOB_NOTICE_PROGRESS))
		{
			told = GetCurrentTimestamp();
			ereport(NOTICE,
					errmsg("%llu records read, %llu rejected, %llu bytes", (unsigned long long) info.progress.rows,
						   (unsigned long long) info.progress.rejected, (unsigned long long) info.progress.bytes));
		}
		strm_job_session_sleep(STRM_JOB_LOOK);
	}
	strm_job_session_relay(slot, &seen);
}

static void
strm_job_session_give_up(const pg_uuid_t *job, const StrmJobError *error)
{
	(void) strm_job_state_move(job, STRM_JOB_WAITING | STRM_JOB_ACTIVE, STRM_JOB_ERROR, 0, NULL, error);
}

static const StrmJobError no_worker = {
	.sqlstate = STRM_ERR_WORKERS,
	.message = "there is no room for a background worker to run the batch job",
	.hint = "Raise max_worker_processes, or try again when other jobs have ended.",
};

/* One try. In the end *outcome is what became of the job. */
static void
strm_job_session_try(const pg_uuid_t *job, const StrmSlotRef *slot, StrmJobOutcome *outcome)
{
	StrmJobError lost = strm_job_error_lost();
	BackgroundWorkerHandle *handle;

	strm_job_slot_starting(slot, true);
	if (!strm_worker_start(STRM_WORKER_JOB, "strm_worker_job_main", slot, &handle))
	{
		strm_job_slot_starting(slot, false);
		strm_job_session_give_up(job, &no_worker);
	}
	else
		strm_job_session_wait(slot, handle);

	if (strm_job_state_read(job, outcome) && !outcome->final && outcome->state != STRM_JOB_ERROR_STARTING)
	{
		strm_job_session_give_up(job, &lost);
		(void) strm_job_state_read(job, outcome);
	}
}

/* Waits some time after a failed start. */
static void
strm_job_session_back_off(const StrmJobOutcome *outcome)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), strm_worker_back_off(outcome->tries));
	TimestampTz now;

	ereport(NOTICE,
			errmsg("the batch job could not be started and will be tried again: %s",
				   outcome->error.message ? outcome->error.message : ""),
			outcome->error.detail ? errdetail("%s", outcome->error.detail) : 0,
			outcome->error.hint ? errhint("%s", outcome->error.hint) : 0);
	while ((now = GetCurrentTimestamp()) < until)
		strm_job_session_sleep(Max(TimestampDifferenceMilliseconds(now, until), 1));
}

void
strm_job_session_run(const pg_uuid_t *job, const StrmSlotRef *slot, StrmJobOutcome *outcome)
{
	memset(outcome, 0, sizeof(StrmJobOutcome));
	for (;;)
	{
		SPI_commit();
		strm_job_session_try(job, slot, outcome);
		if (outcome->final || outcome->state != STRM_JOB_ERROR_STARTING)
			break;
		SPI_commit();
		strm_job_session_back_off(outcome);
	}
	SPI_commit();
}
