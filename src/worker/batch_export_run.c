/*
 * batch_export_run.c
 *	  A run of some exporters: what each has to read, then one pass through the WAL for all who read that, then the
 *	  tables of the others, one after another.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"
#include "worker/worker.h"

/* Read at once: no more than what the spool keeps in memory. */
#define STRM_BATCH_EXPORT_SPOOL (3 * 1024 * 1024)
#define STRM_BATCH_EXPORT_RECORDS 50000

/* ms to wait for WAL to be flushed */
#define STRM_BATCH_EXPORT_FLUSH 5

/* A snapshot that has nothing: all there is is wanted. */
#define STRM_BATCH_EXPORT_NOTHING "3:3::3:0/0"

/* The policy of the stream's keys. */
static void
strm_batch_export_read_policy(StrmBatchExport *exporter)
{
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->definition->stream), false);
	(void) strm_registry_fetch("SELECT policy_id FROM strm.stream WHERE id = $1", STRM_REGISTRY_ARGS(&args), &id,
							   &isnull);
	strm_catalog_policy(isnull ? NULL : strm_uuid_text(DatumGetUUIDP(id)), &exporter->policy);
}

/* What the registry tells, in run_cxt. In a transaction. */
static void
strm_batch_export_read(StrmBatchExport *exporter)
{
	StrmBatchExporterStatus *status = &exporter->status;
	const StrmBatchExporter *definition = exporter->definition;
	MemoryContext old = MemoryContextSwitchTo(exporter->run_cxt);

	memset(status, 0, sizeof(*status));
	if (!strm_batch_exporter_status_read(&definition->id, status))
		status->since = GetCurrentTimestamp();
	if (status->done == NULL)
		status->done = pstrdup(definition->include_existing ? STRM_BATCH_EXPORT_NOTHING : definition->defined_at);
	exporter->done = strm_snapshot_parse(status->done);
	exporter->pending = status->pending == NULL ? NULL : strm_snapshot_parse(status->pending);
	exporter->connector = strm_connector_by_id(&definition->connector);
	if (exporter->connector == NULL)
		ereport(ERROR, errcode(STRM_ERR_UNDEFINED), errmsg("the data connector of the batch exporter was dropped"));
	if (!OidIsValid(exporter->table))
		ereport(ERROR, errcode(STRM_ERR_STATE), errmsg("the stream was dropped"));
	if (definition->keys)
		strm_batch_export_read_policy(exporter);
	MemoryContextSwitchTo(old);
}

/* A run begins for the exporter, or goes on. */
static void
strm_batch_export_prepare(StrmBatchExport *exporter)
{
	MemoryContextReset(exporter->run_cxt);
	exporter->plan = NULL;
	exporter->store = NULL;
	exporter->scanned = false;
	exporter->transaction = InvalidXLogRecPtr;
	exporter->from_table = false;
	PG_TRY();
	{
		strm_batch_export_begin();
		strm_batch_export_read(exporter);
		strm_batch_export_end(exporter->session);
		exporter->running = true;
	}
	PG_CATCH();
	{
		strm_batch_export_caught(exporter);
	}
	PG_END_TRY();
}

/* There is no slot: nobody can run. With the error in the error state. */
static void
strm_batch_export_no_slot(StrmBatchExportSession *session, List *exporters)
{
	ErrorData  *edata;
	ListCell   *lc;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(session->scratch);
	edata = CopyErrorData();
	FlushErrorState();
	strm_batch_export_abort(session);
	RESUME_INTERRUPTS();
	foreach(lc, exporters)
	{
		if (((StrmBatchExport *) lfirst(lc))->running)
			strm_batch_export_fail(lfirst(lc), true, edata->sqlerrcode, edata->message,
								   edata->hint ? edata->hint : edata->detail);
	}
}

/*
 * A run that has published files of what it read in the WAL, and that WAL is gone: what of the table is in those files
 * cannot be told.
 */
static void
strm_batch_export_break(StrmBatchExport *exporter)
{
	StrmBatchExporterStatus *status = &exporter->status;

	status->pending = NULL;
	status->part = 0;
	status->part_start = status->part_end = status->file = NULL;
	status->done_lsn = InvalidXLogRecPtr;
	strm_batch_export_begin();
	strm_batch_export_put_status(exporter);
	strm_batch_export_end(exporter->session);
	strm_batch_export_fail(exporter, false, STRM_ERR_STATE,
						   "WAL was removed that the remaining files of a run should have been made of",
						   "strm.resume_batch_exporter() exports all events of that run from the stream itself, those again that are in its files already.");
}

/* Does it read the WAL, or its table? */
static void
strm_batch_export_choose(StrmBatchExport *exporter)
{
	const StrmBatchExporterStatus *status = &exporter->status;
	bool		lost = status->done_lsn == InvalidXLogRecPtr ||
		status->done_lsn < strm_decoder_confirmed(exporter->session->decoder);

	exporter->from_table = status->pending_plan != NULL || lost;
	if (status->pending_plan != NULL || !lost || status->pending == NULL)
		return;
	if (status->part_start != NULL)
		strm_batch_export_break(exporter);
	else
		/* it may have been published: it will be replaced */
		exporter->status.part_end = NULL;
}

/* Where the run stands. */
static void
strm_batch_export_load(StrmBatchExport *exporter)
{
	const StrmBatchExporterStatus *status = &exporter->status;
	MemoryContext old = MemoryContextSwitchTo(exporter->run_cxt);

	if (exporter->from_table && exporter->plan == NULL)
		exporter->plan = strm_backfill_plan_parse(status->pending_plan);
	memset(&exporter->last, 0, sizeof(exporter->last));
	if (status->part_start != NULL)
		exporter->last = strm_batch_export_place_of(status->part_start);
	exporter->overwrite = status->file != NULL;
	exporter->again = status->part_end != NULL;
	if (exporter->again)
		exporter->end = strm_batch_export_place_of(status->part_end);
	MemoryContextSwitchTo(old);
}

/* Up to where the WAL is to be read; 0: nobody reads it. */
static XLogRecPtr
strm_batch_export_target(List *exporters)
{
	XLogRecPtr	target = InvalidXLogRecPtr;
	ListCell   *lc;

	foreach(lc, exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		if (exporter->running && !exporter->from_table)
			target = Max(target, exporter->status.pending_end);
	}
	return target;
}

/* Lets decoding begin anew where some of them have missed something. */
static void
strm_batch_export_go_back(StrmBatchExportSession *session, List *exporters)
{
	bool		back = false;
	ListCell   *lc;

	foreach(lc, exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		back |= exporter->running && !exporter->from_table && exporter->missed;
	}
	if (back && session->begun)
	{
		strm_batch_export_confirm(session);
		strm_decoder_restart(session->decoder);
	}
	if (back || !session->begun)
	{
		foreach(lc, session->exporters)
			((StrmBatchExport *) lfirst(lc))->missed = false;
	}
	session->begun = true;
}

/* One pass through the WAL. */
static void
strm_batch_export_decode(StrmBatchExportSession *session, List *exporters)
{
	XLogRecPtr	target;
	bool		more;
	ListCell   *lc;

	if (strm_batch_export_target(exporters) == InvalidXLogRecPtr)
		return;
	strm_batch_export_go_back(session, exporters);
	while ((target = strm_batch_export_target(exporters)) > strm_decoder_position(session->decoder))
	{
		strm_batch_export_interrupts();
		MemoryContextReset(session->scratch);
		more = strm_decoder_read(session->decoder, STRM_BATCH_EXPORT_SPOOL, STRM_BATCH_EXPORT_RECORDS);
		while (strm_batch_export_deliver(session))
		{
			foreach(lc, exporters)
				strm_batch_export_write(lfirst(lc));
			strm_batch_export_interrupts();
		}
		foreach(lc, exporters)
			strm_batch_export_write(lfirst(lc));
		if (!more && strm_decoder_position(session->decoder) < target)
			strm_worker_wait(STRM_BATCH_EXPORT_FLUSH);
	}
	foreach(lc, exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		if (exporter->running && !exporter->from_table)
			strm_batch_export_finish(exporter);
	}
}

/* One pass through a table. */
static void
strm_batch_export_existing(StrmBatchExport *exporter)
{
	StrmBatchExportSession *session = exporter->session;
	bool		more = true;

	while (exporter->running && more)
	{
		strm_batch_export_interrupts();
		MemoryContextReset(session->scratch);
		more = strm_batch_export_read_table(exporter);
		strm_batch_export_write(exporter);
	}
	if (exporter->running)
		strm_batch_export_finish(exporter);
}

void
strm_batch_export_run(StrmBatchExportSession *session, List *exporters)
{
	ListCell   *lc;

	foreach(lc, exporters)
		strm_batch_export_prepare(lfirst(lc));
	PG_TRY();
	{
		strm_batch_export_require_slot(session);
	}
	PG_CATCH();
	{
		strm_batch_export_no_slot(session, exporters);
		return;
	}
	PG_END_TRY();
	foreach(lc, exporters)
	{
		if (((StrmBatchExport *) lfirst(lc))->running)
			strm_batch_export_choose(lfirst(lc));
	}
	strm_batch_export_settle(session, exporters);
	foreach(lc, exporters)
	{
		if (((StrmBatchExport *) lfirst(lc))->running)
			strm_batch_export_load(lfirst(lc));
	}
	strm_batch_export_decode(session, exporters);
	foreach(lc, exporters)
	{
		if (((StrmBatchExport *) lfirst(lc))->from_table)
			strm_batch_export_existing(lfirst(lc));
	}
	strm_batch_export_confirm(session);
}
