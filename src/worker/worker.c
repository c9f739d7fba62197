/*
 * worker.c
 *	  What all background workers of the extension have in common: how they are started, connect, wait and end.
 *
 *	  A worker is told its slot: the index in its argument, the generation in bgw_extra. Errors are not caught: the
 *	  process ends, locks and slots are released, and who is responsible for it starts another one after a while.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "catalog/cache.h"
#include "strm_privacy.h"
#include "worker/database_command.h"
#include "worker/worker.h"

#define STRM_LAUNCHER_RESTART 5 /* s */
#define STRM_BACK_OFF_FIRST 5000	/* ms */
#define STRM_BACK_OFF_MAX 300000

static void
strm_worker_describe(BackgroundWorker *worker, const char *type, const char *function)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, STRM_EXTENSION_NAME, BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
}

/* pg_upgrade's servers are not for work. */
void
strm_worker_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress)
		return;
	strm_state_init();
	if (IsBinaryUpgrade)
		return;
	strm_database_command_init();
	strm_worker_describe(&worker, STRM_WORKER_LAUNCHER, "strm_worker_launcher_main");
	worker.bgw_restart_time = STRM_LAUNCHER_RESTART;
	RegisterBackgroundWorker(&worker);
}

bool
strm_worker_start(const char *type, const char *function, const StrmSlotRef *ref, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	strm_worker_describe(&worker, type, function);
	worker.bgw_main_arg = Int32GetDatum(ref->index);
	memcpy(worker.bgw_extra, &ref->generation, sizeof(ref->generation));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

StrmSlotRef
strm_worker_slot(Datum main_arg)
{
	StrmSlotRef ref = {.index = DatumGetInt32(main_arg)};

	memcpy(&ref.generation, MyBgworkerEntry->bgw_extra, sizeof(ref.generation));
	return ref;
}

void
strm_worker_begin(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

/* Settings of a database or of the bootstrap superuser are for sessions, not for workers. */
static void
strm_worker_set_up(const char *type)
{
	static const char *const off[] = {"lock_timeout", "statement_timeout", "transaction_timeout"};

	SetConfigOption("application_name", type, PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("session_replication_role", "origin", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);
	for (int i = 0; i < lengthof(off); i++)
	{
		/* not every version has each */
		if (GetConfigOption(off[i], true, false) != NULL)
			SetConfigOption(off[i], "0", PGC_USERSET, PGC_S_SESSION);
	}
}

void
strm_worker_connect(Oid database, const char *type)
{
	if (!OidIsValid(database))
		BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	else
	{
		BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
		strm_worker_set_up(type);
	}
	pgstat_report_appname(type);
}

void
strm_worker_wait(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	/* without a message: that a server which is being shut down ends its workers is nothing to report */
	if (ProcDiePending)
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * DROP EXTENSION locks the extension before anything else. Locking it first, too, keeps the two from waiting for each
 * other.
 */
static bool
strm_worker_lock_extension(void)
{
	Oid			extension = get_extension_oid(STRM_EXTENSION_NAME, true);

	if (!OidIsValid(extension))
		return false;
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	return get_extension_oid(STRM_EXTENSION_NAME, true) == extension && strm_catalog_complete();
}

bool
strm_worker_begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (strm_worker_lock_extension())
		return true;
	strm_worker_end_transaction();
	return false;
}

void
strm_worker_end_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
}

void
strm_worker_report(const char *activity)
{
	if (activity == NULL)
		pgstat_report_activity(STATE_IDLE, NULL);
	else
		pgstat_report_activity(STATE_RUNNING, activity);
}

long
strm_worker_back_off_from(long first, int failures)
{
	long		ms = first;

	for (int i = 1; i < failures && ms < STRM_BACK_OFF_MAX; i++)
		ms *= 2;
	return Min(ms, STRM_BACK_OFF_MAX);
}

long
strm_worker_back_off(int failures)
{
	return strm_worker_back_off_from(STRM_BACK_OFF_FIRST, failures);
}

bool
strm_worker_is_temporary(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case MAKE_SQLSTATE('0', '8', '0', '0', '0'):	/* connections */
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):	/* rollback */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* resources */
		case MAKE_SQLSTATE('5', '5', '0', '0', '0'):	/* state of an object */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* operator intervention */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system */
			return true;
		default:
			return false;
	}
}
