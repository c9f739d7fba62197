/*
 * job_worker.c
 *	  The worker that runs one batch job.
 *
 *	  It is connected as the bootstrap superuser, and whatever of a run can reach the code of a user (a view, a
 *	  trigger, an operator of a query) happens as the job's owner in a security-restricted operation. There deferred
 *	  triggers, which would fire at commit with the worker's rights, are refused by the server; constraints are made
 *	  immediate, so that deferrable ones are no obstacle. The worker is itself again before each commit, and under
 *	  its own settings: those that the owner's code made end there.
 *
 *	  The job's state STARTED is committed before anything else, FINISHED in the run's last transaction, an error in
 *	  one of its own, after what the run had written outside was taken away. A worker that dies says nothing: the
 *	  scheduler finds a job without a slot.
 *
 *	  SIGINT cancels the run. So does SIGTERM, which then ends the process a little later, come what may.
 *
 *	  An error of a run is stored for the job's owner to read, and logged. Neither may get a value of a row: a message
 *	  that could hold one is replaced by the text that it was made from.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "batch/run.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "strm_privacy.h"
#include "worker/job_slot.h"
#include "worker/job_state.h"
#include "worker/worker.h"

/* ms that a terminated worker has to take away what the run had written */
#define STRM_JOB_GRACE 10000

typedef struct StrmJobWorker
{
	MemoryContext cxt;			/* outlives transactions */
	pg_uuid_t	id;
	Oid			owner;
	char	   *search_path;
	StrmBatchRun *run;			/* NULL before it was created */
	TimestampTz running_since;	/* 0: it has not started */
	bool		finished;		/* and that is committed */
	Oid			own_user;
	int			own_context;
	int			guc_level;		/* of the settings that the owner's code makes */
} StrmJobWorker;

/* SIGTERM came. */
static volatile sig_atomic_t terminated = false;

/* SIGTERM: the same as a cancel at first. */
static void
strm_job_terminate(SIGNAL_ARGS)
{
	int			save_errno = errno;

	terminated = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* The grace of a terminated worker is over. */
static void
strm_job_grace_over(void)
{
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* Begins a transaction as the worker itself. */
static void
strm_job_begin(void)
{
	if (!strm_worker_begin_transaction())
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("the extension was dropped while the batch job ran"));
}

/* From now on the job's owner acts. */
static void
strm_job_become_owner(StrmJobWorker *worker)
{
	ConstraintsSetStmt *immediate = makeNode(ConstraintsSetStmt);

	GetUserIdAndSecContext(&worker->own_user, &worker->own_context);
	SetUserIdAndSecContext(worker->owner, SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE);
	worker->guc_level = NewGUCNestLevel();
	AfterTriggerSetState(immediate);
}

static void
strm_job_become_worker(StrmJobWorker *worker)
{
	AtEOXact_GUC(false, worker->guc_level);
	SetUserIdAndSecContext(worker->own_user, worker->own_context);
}

/* --- what the run asks for --- */

static void
strm_job_on_progress(void *arg, const StrmBatchCounts *counts)
{
	StrmJobProgress progress = {.rows = counts->rows, .rejected = counts->rejected, .bytes = counts->bytes};

	strm_job_slot_progress(&progress);
}

static void
strm_job_on_commit(void *arg)
{
	StrmJobWorker *worker = arg;

	strm_job_become_worker(worker);
	strm_worker_end_transaction();
	strm_job_begin();
	strm_job_become_owner(worker);
}

static void
strm_job_on_notice(void *arg, const char *message)
{
	strm_job_slot_notice(message);
}

/* --- the life of a job --- */

/*
 * Reads the job, and takes it: STARTED. false when there is nothing to do, because it was cancelled or somebody else
 * has it.
 */
static bool
strm_job_take(StrmJobWorker *worker)
{
	StrmJobError cancelled = strm_job_error_cancelled();
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;
	bool		taken;

	strm_job_begin();
	if (strm_job_slot_cancelled())
	{
		(void) strm_job_state_move(&worker->id, STRM_JOB_WAITING, STRM_JOB_ERROR, 0, NULL, &cancelled);
		strm_worker_end_transaction();
		return false;
	}
	taken = strm_job_state_move(&worker->id, STRM_JOB_WAITING, STRM_JOB_STARTED, 0, NULL, NULL);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&worker->id), false);
	rows = strm_registry_select("SELECT owner::oid, search_path FROM strm.batch_job WHERE id = $1",
								STRM_REGISTRY_ARGS(&args));
	if (taken && rows->n > 0)
	{
		worker->owner = DatumGetObjectId(rows->values[0]);
		worker->search_path = MemoryContextStrdup(worker->cxt, TextDatumGetCString(rows->values[1]));
	}
	strm_worker_end_transaction();
	return taken;
}

/* The job is done, in the run's last transaction: what was published and the state FINISHED are one. */
static void
strm_job_finish(StrmJobWorker *worker, const StrmBatchCounts *counts)
{
	StrmJobProgress progress = {.rows = counts->rows, .rejected = counts->rejected, .bytes = counts->bytes};

	strm_job_become_worker(worker);
	/* a short job may end before the scheduler has written down that it runs */
	(void) strm_job_state_move(&worker->id, STRM_JOB_STATE(STRM_JOB_STARTED), STRM_JOB_RUNNING, worker->running_since,
							   NULL, NULL);
	if (!strm_job_state_move(&worker->id, STRM_JOB_ACTIVE, STRM_JOB_FINISHED, 0, &progress, NULL))
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("the batch job was given up meanwhile"));
	strm_worker_end_transaction();
}

static void
strm_job_run(StrmJobWorker *worker)
{
	StrmBatchRunHooks *hooks = MemoryContextAllocZero(worker->cxt, sizeof(StrmBatchRunHooks));
	StrmBatchCounts counts;

	hooks->arg = worker;
	hooks->progress = strm_job_on_progress;
	hooks->commit = strm_job_on_commit;
	hooks->notice = strm_job_on_notice;

	SetConfigOption("search_path", worker->search_path, PGC_USERSET, PGC_S_SESSION);
	strm_job_begin();
	strm_job_become_owner(worker);
	worker->run = strm_batch_run_create(worker->cxt, &worker->id, hooks);
	strm_batch_run_start(worker->run);
	worker->running_since = strm_job_slot_running();
	strm_batch_run_execute(worker->run, &counts);
	/* it is published: too late to cancel */
	HOLD_CANCEL_INTERRUPTS();
	strm_job_finish(worker, &counts);
	worker->finished = true;
	if (strm_batch_run_keeps(worker->run))
	{
		strm_job_begin();
		strm_batch_run_settle(worker->run);
		strm_worker_end_transaction();
	}
	RESUME_CANCEL_INTERRUPTS();
}

/* What to tell of an error, without anything that could be a value of a row. In the current context. */
static StrmJobError
strm_job_describe(const ErrorData *edata)
{
	StrmJobError error = {.sqlstate = edata->sqlerrcode};
	StrmErrorText told;

	if (edata->sqlerrcode == STRM_ERR_CANCELLED)
	{
		error = strm_job_error_cancelled();
		if (terminated)
		{
			error.sqlstate = STRM_ERR_TERMINATED;
			error.message = "the batch job was ended by an administrator or the end of the server";
		}
		return error;
	}
	strm_errors_describe(edata, &told);
	error.message = told.message;
	error.detail = told.detail;
	error.hint = told.hint;
	return error;
}

/*
 * Takes away what the run had written, in a transaction of its own; also when DROP EXTENSION has taken the intents
 * away: nobody else would do it then.
 */
static void
strm_job_discard(StrmJobWorker *worker)
{
	if (worker->run == NULL)
		return;
	if (!strm_worker_begin_transaction())
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	strm_batch_run_discard(worker->run);
	strm_worker_end_transaction();
}

/*
 * After an error. Signals do not disturb the clearing up any more, but the process ends soon when the server wants it
 * to.
 */
static void
strm_job_fail(StrmJobWorker *worker, ErrorData *edata)
{
	StrmJobError error = strm_job_describe(edata);
	/* something that is no file does not become one by waiting */
	bool		again = worker->running_since == 0 && edata->sqlerrcode != STRM_ERR_CANCELLED &&
		edata->sqlerrcode != ERRCODE_WRONG_OBJECT_TYPE;
	StrmJobInfo info = {0};

	pqsignal(SIGINT, SIG_IGN);
	QueryCancelPending = false;
	if (terminated)
		enable_timeout_after(RegisterTimeout(USER_TIMEOUT, strm_job_grace_over), STRM_JOB_GRACE);
	strm_job_discard(worker);

	strm_job_slot_own(&info);
	if (strm_worker_begin_transaction())
	{
		(void) strm_job_state_move(&worker->id, STRM_JOB_ACTIVE, again ? STRM_JOB_ERROR_STARTING : STRM_JOB_ERROR, 0,
								   &info.progress, &error);
		strm_worker_end_transaction();
	}
	ereport(LOG,
			errcode(error.sqlstate),
			errmsg("batch job %s failed: %s", strm_uuid_text(&worker->id), error.message),
			error.detail ? errdetail_internal("%s", error.detail) : 0,
			errhidestmt(true), errhidecontext(true));
}

static void
strm_job_work(StrmJobWorker *worker)
{
	PG_TRY();
	{
		strm_job_run(worker);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(worker->cxt);
		edata = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(worker->cxt);
		RESUME_INTERRUPTS();
		if (worker->finished)
			ereport(LOG,
					errcode(edata->sqlerrcode),
					errmsg("could not remove what batch job %s has overwritten", strm_uuid_text(&worker->id)));
		else
			strm_job_fail(worker, edata);
	}
	PG_END_TRY();
}

void
strm_worker_job_main(Datum main_arg)
{
	StrmSlotRef slot = strm_worker_slot(main_arg);
	StrmJobWorker worker = {0};
	Oid			database;

	strm_worker_begin();
	if (!strm_job_slot_attach(&slot, &worker.id, &database))
		proc_exit(0);
	strm_worker_connect(database, STRM_WORKER_JOB);
	pqsignal(SIGTERM, strm_job_terminate);
	/* warnings of users' functions may hold values */
	SetConfigOption("log_min_messages", "error", PGC_SUSET, PGC_S_SESSION);

	worker.cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy batch job", ALLOCSET_DEFAULT_SIZES);
	strm_worker_report(psprintf("batch job %s", strm_uuid_text(&worker.id)));
	if (strm_job_take(&worker))
		strm_job_work(&worker);
	/* waits for nothing more: what the process held goes with it */
	proc_exit(0);
}
