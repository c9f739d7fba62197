/*
 * scheduler.c
 *	  The scheduler: one process for each database that has the extension. It ends when the extension is dropped, when
 *	  a command wants to have the database for itself, and when anything fails: the launcher starts another one.
 *
 *	  Between two looks no transaction is open.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "strm_privacy.h"
#include "worker/scheduler_exports.h"
#include "worker/scheduler_ingest.h"
#include "worker/scheduler_jobs.h"
#include "worker/worker.h"

/* ms */
#define STRM_SCHEDULER_IDLE 60000
#define STRM_SCHEDULER_CLOSE_DOWN 500	/* while workers of an extension that was dropped end */

/* Ends the process, and says why. */
static void
strm_scheduler_end(StrmSchedulerOutcome outcome)
{
	strm_state_scheduler_finish(outcome);
	proc_exit(0);
}

void
strm_worker_scheduler_main(Datum main_arg)
{
	StrmSlotRef slot = strm_worker_slot(main_arg);
	StrmSchedulerJobs jobs = {0};
	StrmSchedulerExports exports = {0};
	StrmSchedulerIngest ingest = {0};
	Oid			database;
	long		wait;

	strm_worker_begin();
	if (!strm_state_scheduler_attach(&slot, &database))
		proc_exit(0);
	strm_worker_connect(database, STRM_WORKER_SCHEDULER);
	strm_state_scheduler_connected();

	for (;;)
	{
		if (!strm_state_scheduler_look())
			strm_scheduler_end(STRM_SCHEDULER_LEFT);
		strm_worker_report("looking what there is to do");
		if (!strm_worker_begin_transaction())
		{
			if (strm_scheduler_exports_absent())
				strm_scheduler_end(STRM_SCHEDULER_ABSENT);
			strm_worker_report("waiting for workers to end");
			strm_worker_wait(STRM_SCHEDULER_CLOSE_DOWN);
			continue;
		}
		wait = strm_scheduler_exports_look(&exports, STRM_SCHEDULER_IDLE);
		wait = strm_scheduler_ingest_look(&ingest, wait);
		wait = strm_scheduler_jobs_look(&jobs, wait);
		strm_worker_end_transaction();
		strm_scheduler_jobs_sweep(&jobs);
		strm_worker_report(NULL);
		strm_worker_wait(wait);
	}
}
