/*
 * batch_export_slot.c
 *	  The replication slot of a database's batch exporters. What it confirms is the least position from which some
 *	  exporter has still to read.
 *
 *	  A slot that is lost, or was dropped, is made anew: exporters that stood before its beginning read their tables.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

#include "catalog/registry.h"
#include "common/errors.h"
#include "guc/guc.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"
#include "worker/export_slot.h"
#include "worker/worker.h"

/* Transactions up to that size are put together in memory: this worker reads much at once. */
#define STRM_BATCH_EXPORT_WORK_MEM "64MB"

/* Bytes of rows, and records, that are read at once where nothing of it is wanted. */
#define STRM_BATCH_EXPORT_SKIP_BYTES (1024 * 1024)
#define STRM_BATCH_EXPORT_SKIP_RECORDS 20000

void
strm_batch_export_require_slot(StrmBatchExportSession *session)
{
	StrmSlotInfo info;
	MemoryContext old;

	if (session->decoder != NULL)
		return;
	strm_decoder_require();
	strm_slot_read(session->slot, &info);
	if (info.state == STRM_SLOT_FOREIGN)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("replication slot \"%s\" belongs to another database or output plugin", session->slot),
				errhint("Drop that slot."));
	if (info.state == STRM_SLOT_LOST)
		strm_slot_drop(session->slot, true);
	if (info.state != STRM_SLOT_USABLE)
	{
		strm_worker_report("making a replication slot, which waits for running transactions");
		(void) strm_slot_create(session->slot);
	}
	old = MemoryContextSwitchTo(session->cxt);
	session->decoder = strm_decoder_open(session->slot, strm_batch_export_wanted, session);
	session->begun = false;
	SetConfigOption("logical_decoding_work_mem", STRM_BATCH_EXPORT_WORK_MEM, PGC_USERSET, PGC_S_SESSION);
	MemoryContextSwitchTo(old);
	strm_worker_report(NULL);
}

/* First position that some exporter has to read from; what was read so far when none has. In a transaction. */
static XLogRecPtr
strm_batch_export_least(StrmBatchExportSession *session)
{
	StrmRegistryArgs args = {0};
	Datum		least;
	bool		isnull;

	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	(void) strm_registry_fetch("SELECT min(s.done_lsn) FROM strm.batch_exporter_state s"
							   " JOIN strm.batch_exporter e ON e.id = s.exporter_id"
							   " WHERE s.done_lsn > '0/0' AND e.database = $1", STRM_REGISTRY_ARGS(&args), &least,
							   &isnull);
	return isnull ? PG_UINT64_MAX : DatumGetLSN(least);
}

void
strm_batch_export_confirm(StrmBatchExportSession *session)
{
	XLogRecPtr	least;

	if (session->decoder == NULL)
		return;
	strm_batch_export_begin();
	least = strm_batch_export_least(session);
	strm_batch_export_end(session);
	strm_decoder_confirm(session->decoder, Min(least, strm_decoder_position(session->decoder)));
	strm_export_slot_progress(strm_decoder_position(session->decoder), strm_decoder_confirmed(session->decoder));
}

/* Reads what nobody wants, so that it can be let go. */
static void
strm_batch_export_skip(StrmBatchExportSession *session)
{
	StrmDecodedRow row;
	ListCell   *lc;

	session->skip = true;
	while (strm_decoder_read(session->decoder, STRM_BATCH_EXPORT_SKIP_BYTES, STRM_BATCH_EXPORT_SKIP_RECORDS))
	{
		strm_batch_export_interrupts();
		while (strm_decoder_next(session->decoder, &row))
			;
	}
	session->skip = false;
	session->begun = true;
	foreach(lc, session->exporters)
		((StrmBatchExport *) lfirst(lc))->missed = true;
	strm_batch_export_confirm(session);
}

/*
 * A run of which some files are published goes on in the WAL, and holds it: where in the table it stands cannot be
 * told.
 */
void
strm_batch_export_limit_lag(StrmBatchExportSession *session)
{
	XLogRecPtr	flushed;
	StrmRegistryArgs args = {0};
	uint64		limit = (uint64) strm_export_max_lag * 1024 * 1024;
	bool		any;

	if (session->decoder == NULL || strm_export_max_lag <= 0)
		return;
	flushed = strm_decoder_flushed();
	if (flushed - strm_decoder_confirmed(session->decoder) <= limit)
		return;
	strm_batch_export_begin();
	strm_registry_add(&args, PG_LSNOID, LSNGetDatum(flushed - limit), false);
	any = strm_registry_execute("UPDATE strm.batch_exporter_state SET done_lsn = '0/0'"
								" WHERE done_lsn > '0/0' AND done_lsn < $1 AND part_start IS NULL AND file IS NULL",
								STRM_REGISTRY_ARGS(&args)) > 0;
	strm_batch_export_end(session);
	if (any)
		strm_batch_export_skip(session);
}
