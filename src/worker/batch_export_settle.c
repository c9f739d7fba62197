/*
 * batch_export_settle.c
 *	  What a run is to export: a snapshot that has every transaction whose commit record lies before a position, and a
 *	  position that all of its transactions have committed before (export/snapshot.c).
 *
 *	  It is committed before anything is read, which also sees to it that all WAL before is flushed. Those who read the
 *	  WAL share one; who reads a table takes its own, in the transaction that locks the table and makes the plan.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "export/snapshot.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"
#include "worker/worker.h"

/* ms between two looks whether transactions are seen as committed; whether standbys have their WAL */
#define STRM_BATCH_EXPORT_SETTLE 10
#define STRM_BATCH_EXPORT_RIPEN 50

/* The moment in the names of the files: in whole seconds, and never one that an earlier run had. */
static TimestampTz
strm_batch_export_moment(const StrmBatchExporterStatus *status)
{
	TimestampTz now = GetCurrentTimestamp();

	now -= now % USECS_PER_SEC;
	return status->pending_at != 0 ? Max(now, status->pending_at + USECS_PER_SEC) : now;
}

/* A run begins. In a transaction. */
static void
strm_batch_export_begin_run(StrmBatchExport *exporter, StrmSnapshot *rows, XLogRecPtr from, XLogRecPtr end)
{
	StrmBatchExporterStatus *status = &exporter->status;
	MemoryContext old = MemoryContextSwitchTo(exporter->run_cxt);

	status->pending = strm_snapshot_text(rows);
	status->pending_lsn = from;
	status->pending_end = end;
	status->pending_at = strm_batch_export_moment(status);
	status->part = 0;
	status->part_start = status->file = status->part_end = NULL;
	exporter->pending = strm_snapshot_parse(status->pending);
	MemoryContextSwitchTo(old);
}

/* How a run reads its table, from the beginning. In a transaction. */
static void
strm_batch_export_plan(StrmBatchExport *exporter)
{
	MemoryContext old = MemoryContextSwitchTo(exporter->run_cxt);

	exporter->plan = strm_backfill_plan(exporter->table, exporter->pending, exporter->status.pending_end,
										exporter->done);
	exporter->status.pending_plan = strm_backfill_plan_text(exporter->plan);
	MemoryContextSwitchTo(old);
}

/* Tries to take a snapshot for these, of whom table reads its own. *end: of what it has. */
static bool
strm_batch_export_take_snapshot(List *exporters, StrmBatchExport *table, StrmSettling *settling, XLogRecPtr from,
								XLogRecPtr *end)
{
	StrmSnapshot *rows;
	ListCell   *lc;

	if (table != NULL)
		strm_backfill_lock(table->table);
	rows = strm_settling_take(settling, end);
	if (rows == NULL)
		return false;
	foreach(lc, exporters)
	{
		strm_batch_export_begin_run(lfirst(lc), rows, from, *end);
		if (table != NULL)
			strm_batch_export_plan(table);
		strm_batch_export_put_status(lfirst(lc));
	}
	return true;
}

/* The same until it succeeds; then waits until that may leave this server. */
static void
strm_batch_export_settle_some(StrmBatchExportSession *session, List *exporters, StrmBatchExport *table)
{
	XLogRecPtr	from = strm_decoder_flushed();
	XLogRecPtr	end;
	StrmSettling *settling;
	bool		done;

	MemoryContextSwitchTo(session->scratch);
	settling = strm_settling_begin();
	for (;;)
	{
		strm_batch_export_begin();
		done = strm_batch_export_take_snapshot(exporters, table, settling, from, &end);
		strm_batch_export_end(session);
		if (done)
			break;
		strm_worker_wait(STRM_BATCH_EXPORT_SETTLE);
		strm_batch_export_interrupts();
	}
	while (!strm_decoder_may_publish(end))
	{
		strm_worker_wait(STRM_BATCH_EXPORT_RIPEN);
		strm_batch_export_interrupts();
	}
}

/* One that reads its table; when its run has begun and nothing is published yet, it makes a new plan of the table. */
static void
strm_batch_export_settle_one(StrmBatchExport *exporter)
{
	StrmBatchExportSession *session = exporter->session;

	if (exporter->pending == NULL)
	{
		strm_batch_export_settle_some(session, list_make1(exporter), exporter);
		return;
	}
	if (exporter->status.part_start != NULL || exporter->status.part_end != NULL)
		return;
	strm_batch_export_begin();
	strm_backfill_lock(exporter->table);
	strm_batch_export_plan(exporter);
	strm_batch_export_put_status(exporter);
	strm_batch_export_end(session);
}

static void
strm_batch_export_settle_table(StrmBatchExport *exporter)
{
	PG_TRY();
	{
		strm_batch_export_settle_one(exporter);
	}
	PG_CATCH();
	{
		strm_batch_export_caught(exporter);
	}
	PG_END_TRY();
}

void
strm_batch_export_settle(StrmBatchExportSession *session, List *exporters)
{
	List	   *decoding = NIL;
	ListCell   *lc;

	foreach(lc, exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		if (!exporter->running)
			continue;
		if (exporter->from_table)
			strm_batch_export_settle_table(exporter);
		else if (exporter->pending == NULL)
			decoding = lappend(decoding, exporter);
	}
	if (decoding != NIL)
		strm_batch_export_settle_some(session, decoding, NULL);
}
