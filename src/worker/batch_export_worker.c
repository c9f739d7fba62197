/*
 * batch_export_worker.c
 *	  The worker of a database's batch exporters: runs those that are due, and sleeps in between.
 *
 *	  Commits do not wake it: it looks at its table of states about once a second, and the scheduler wakes it when
 *	  definitions have changed. Errors are put down to an exporter where they can be; others end the process, and the
 *	  scheduler starts another one. SIGINT is ignored, SIGTERM ends the process at once: a later one goes on from what
 *	  was committed.
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/registry.h"
#include "common/uuid.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"
#include "worker/export_slot.h"
#include "worker/worker.h"

/* ms between two looks */
#define STRM_BATCH_EXPORT_LOOK 1000

void
strm_batch_export_interrupts(void)
{
	if (ProcDiePending || !PostmasterIsAlive())
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (strm_export_slot_leaving())
		proc_exit(0);
}

/* What a session's table of states says of one exporter: state and when it is due. */
static void
strm_batch_export_schedule(StrmBatchExport *exporter, const char *state, TimestampTz next)
{
	bool		paused = strcmp(state, strm_batch_exporter_state_name(STRM_BATCH_EXPORTER_PAUSED)) == 0;

	if (strcmp(state, strm_batch_exporter_state_name(STRM_BATCH_EXPORTER_ERROR)) == 0)
		exporter->due = DT_NOEND;
	else if (exporter->definition->paused)
	{
		if (!paused)
			strm_batch_export_note_state(exporter, STRM_BATCH_EXPORTER_PAUSED);
		exporter->due = DT_NOEND;
	}
	else if (paused)
		strm_batch_export_note_state(exporter, STRM_BATCH_EXPORTER_RUNNING);
	else
		exporter->due = next;
}

/* When exporters are due. Those without a state have not been taken up: at once. In a transaction. */
static void
strm_batch_export_read_schedule(StrmBatchExportSession *session)
{
	StrmRegistryRows *rows;
	ListCell   *lc;

	rows = strm_registry_select("SELECT exporter_id, state, coalesce(next_at, '-infinity') FROM"
								" strm.batch_exporter_state", 0, NULL, NULL, NULL);
	foreach(lc, session->exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		exporter->due = exporter->gone || exporter->definition->paused ? DT_NOEND : DT_NOBEGIN;
		for (uint64 i = 0; i < rows->n && !exporter->gone; i++)
		{
			const Datum *row = &rows->values[i * rows->ncolumns];

			if (memcmp(DatumGetUUIDP(row[0]), &exporter->definition->id, sizeof(pg_uuid_t)) == 0)
				strm_batch_export_schedule(exporter, TextDatumGetCString(row[1]), DatumGetTimestampTz(row[2]));
		}
	}
}

/* Looks at definitions and states. false: no exporter is left. */
static bool
strm_batch_export_look(StrmBatchExportSession *session)
{
	bool		any;

	strm_batch_export_begin();
	any = strm_batch_export_refresh(session);
	if (any)
		strm_batch_export_read_schedule(session);
	strm_batch_export_end(session);
	strm_batch_export_forget_gone(session);
	return any;
}

/* The one that has waited longest comes first. */
static int
strm_batch_export_compare(const ListCell *a, const ListCell *b)
{
	TimestampTz x = ((StrmBatchExport *) lfirst(a))->due;
	TimestampTz y = ((StrmBatchExport *) lfirst(b))->due;

	return x < y ? -1 : x > y;
}

/*
 * Runs those that are due, some at a time, in turns: those that take long do not keep others from theirs. *next: when
 * the next one is.
 */
static bool
strm_batch_export_run_due(StrmBatchExportSession *session, TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *due = NIL;
	MemoryContext old = MemoryContextSwitchTo(session->cxt);
	ListCell   *lc;

	*next = DT_NOEND;
	foreach(lc, session->exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		if (exporter->due <= now)
			due = lappend(due, exporter);
		else
			*next = Min(*next, exporter->due);
	}
	list_sort(due, strm_batch_export_compare);
	due = list_truncate(due, STRM_BATCH_EXPORT_TOGETHER);
	MemoryContextSwitchTo(old);
	if (due == NIL)
		return false;
	strm_worker_report("exporting");
	strm_batch_export_run(session, due);
	strm_worker_report(NULL);
	list_free(due);
	return true;
}

static void
strm_batch_export_loop(StrmBatchExportSession *session)
{
	TimestampTz next;

	strm_batch_export_begin();
	strm_batch_exporters_adopt();
	strm_batch_export_end(session);
	for (;;)
	{
		strm_batch_export_interrupts();
		MemoryContextReset(session->scratch);
		MemoryContextSwitchTo(session->scratch);
		if (!strm_batch_export_look(session))
		{
			strm_batch_export_begin();
			strm_batch_exporter_status_sweep();
			strm_batch_export_end(session);
			strm_slot_drop(session->slot, true);
			proc_exit(0);
		}
		if (strm_batch_export_run_due(session, &next))
			continue;
		strm_batch_export_limit_lag(session);
		strm_worker_wait(Min(STRM_BATCH_EXPORT_LOOK,
							 Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next), 1)));
	}
}

/* The process ends: nothing personal stays in memory that others may get. */
static void
strm_batch_export_exit(int code, Datum arg)
{
	StrmBatchExportSession *session = (StrmBatchExportSession *) DatumGetPointer(arg);
	ListCell   *lc;

	foreach(lc, session->exporters)
		strm_batch_export_wipe_chunk(lfirst(lc));
}

void
strm_worker_batch_export_main(Datum main_arg)
{
	StrmSlotRef slot = strm_worker_slot(main_arg);
	StrmBatchExportSession *session;
	MemoryContext cxt;
	pg_uuid_t	id;
	Oid			database;

	strm_worker_begin();
	pqsignal(SIGINT, SIG_IGN);
	cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy batch export", ALLOCSET_DEFAULT_SIZES);
	session = MemoryContextAllocZero(cxt, sizeof(StrmBatchExportSession));
	session->cxt = cxt;
	session->scratch = AllocSetContextCreate(cxt, "strm_privacy batch export's round", ALLOCSET_DEFAULT_SIZES);
	if (!strm_export_slot_attach(&slot, &id, &database))
		proc_exit(0);
	strm_worker_connect(database, STRM_WORKER_BATCH_EXPORT);
	/* what this process writes is not what other servers must have before it goes on */
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION);
	MemoryContextSwitchTo(cxt);
	session->slot = strm_batch_exporter_slot_name();
	session->tables = strm_export_tables_create();
	before_shmem_exit(strm_batch_export_exit, PointerGetDatum(session));
	strm_batch_export_loop(session);
}
