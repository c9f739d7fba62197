/*
 * batch_export_deliver.c
 *	  From the spool, or a table, into chunks: one transaction in which rows are checked, decrypted where the exporter
 *	  is one of a derived stream, and encoded.
 *
 *	  Each row of the spool is offered to the exporters of its stream, one after another. When a file has to end before
 *	  it, the row goes back: it is offered again to all of them, and those that had it skip it by its place.
 *
 *	  An error is put down to the exporter whose turn it was: its run ends, the others go on.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/secret.h"
#include "export/erased.h"
#include "guc/guc.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"
#include "worker/worker.h"

/* ms between two log lines about events that are not authentic. */
#define STRM_BATCH_EXPORT_FORGED_AGAIN 5000

/* Pages of a table that are read in one transaction; what of a value's buffer may stay for the next ones. */
#define STRM_BATCH_EXPORT_PAGES 512
#define STRM_BATCH_EXPORT_BUFFER_KEPT (64 * 1024)

/* Does the chunk hold what nobody should find in memory? */
static bool
strm_batch_export_is_secret(const StrmBatchExport *exporter)
{
	return exporter->definition->is_derived || exporter->definition->keys;
}

void
strm_batch_export_wipe_chunk(StrmBatchExport *exporter)
{
	if (exporter->chunk != NULL && strm_batch_export_is_secret(exporter))
		strm_secret_wipe(exporter->chunk, exporter->room);
	exporter->used = 0;
}

void
strm_batch_export_append(StrmBatchExport *exporter, const char *data, Size size)
{
	if (size > exporter->room - exporter->used)
	{
		Size		room = Max(exporter->room * 2, exporter->used + size + 2 * STRM_BATCH_EXPORT_CHUNK);
		char	   *chunk = MemoryContextAllocHuge(exporter->cxt, room);

		if (exporter->chunk != NULL)
		{
			memcpy(chunk, exporter->chunk, exporter->used);
			if (strm_batch_export_is_secret(exporter))
				strm_secret_wipe(exporter->chunk, exporter->used);
			pfree(exporter->chunk);
		}
		exporter->chunk = chunk;
		exporter->room = room;
	}
	memcpy(exporter->chunk + exporter->used, data, size);
	exporter->used += size;
	exporter->size += size;
}

void
strm_batch_export_wipe(StrmBatchExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		exporter->permitted = false;
		if (exporter->key_table != NULL && IsTransactionState())
			table_close(exporter->key_table, NoLock);
		exporter->key_table = NULL;
		if (exporter->encoder == NULL)
			continue;
		if (exporter->definition->is_derived)
			strm_secret_wipe(exporter->value.data, exporter->value.maxlen);
		exporter->encoder = NULL;
		if (exporter->value.maxlen > STRM_BATCH_EXPORT_BUFFER_KEPT)
		{
			MemoryContext old = MemoryContextSwitchTo(exporter->cxt);

			pfree(exporter->value.data);
			initStringInfo(&exporter->value);
			MemoryContextSwitchTo(old);
		}
	}
}

/* The owner's rights are looked at in each transaction. Raises. */
static void
strm_batch_export_permit(StrmBatchExport *exporter)
{
	const char *refusal;

	if (exporter->permitted)
		return;
	refusal = strm_batch_exporter_refusal(exporter->definition);
	if (refusal != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("%s", refusal),
				errhint("Grant that, or let strm.alter_batch_exporter() give the exporter to another role; then resume it."));
	exporter->permitted = true;
}

/* What it encodes with in this transaction. */
static StrmExportEncoder *
strm_batch_export_encoder(StrmBatchExport *exporter)
{
	const StrmBatchExporter *definition = exporter->definition;
	const StrmDerivedStream *derived = NULL;
	const StrmStream *stream;
	MemoryContext old;

	if (exporter->encoder != NULL)
		return exporter->encoder;
	stream = strm_catalog_stream(&definition->stream);
	if (definition->is_derived)
		derived = strm_catalog_derived_stream(&definition->derived);
	if (stream == NULL || (definition->is_derived && derived == NULL))
		ereport(ERROR, errcode(STRM_ERR_STATE), errmsg("the stream was dropped"));
	old = MemoryContextSwitchTo(TopTransactionContext);
	exporter->encoder = strm_export_encoder(stream, derived, STRM_EXPORT_JSON, 0);
	MemoryContextSwitchTo(old);
	return exporter->encoder;
}

static void
strm_batch_export_report_forged(StrmBatchExport *exporter)
{
	/* there may be millions, of a table that inherits from the stream and has no triggers */
	if (!TimestampDifferenceExceeds(exporter->forged_at, GetCurrentTimestamp(), STRM_BATCH_EXPORT_FORGED_AGAIN))
		return;
	exporter->forged_at = GetCurrentTimestamp();
	ereport(LOG,
			errcode(STRM_ERR_FORGED),
			errmsg("batch exporter \"%s\" does not export an event that is not authentic, or whose key is lost",
				   exporter->definition->name),
			errhint("More of them are only counted, in strm.batch_exporters."));
}

/* One event. */
static StrmExportVerdict
strm_batch_export_event(StrmBatchExport *exporter, Oid relid, HeapTuple tuple)
{
	StrmExportRecord record = {.key = &exporter->key, .value = &exporter->value};
	StrmExportVerdict verdict =
		strm_export_encode(strm_batch_export_encoder(exporter), relid, tuple, &record);

	if (verdict == STRM_EXPORT_SEND && exporter->session->erased && strm_erased_has(&record.key_link, record.nonce))
		verdict = STRM_EXPORT_WITHHELD;
	if (verdict == STRM_EXPORT_SEND)
	{
		strm_batch_export_append(exporter, exporter->value.data, exporter->value.len);
		strm_batch_export_append(exporter, "\n", 1);
	}
	return verdict;
}

/* Takes a row of the run. */
static void
strm_batch_export_take(StrmBatchExport *exporter, Oid relid, HeapTuple tuple, const StrmBatchExportPlace *place)
{
	StrmExportVerdict verdict;
	bool		skip = false;

	strm_batch_export_permit(exporter);
	if (exporter->definition->keys)
		verdict = strm_batch_export_key(exporter, tuple, &skip);
	else
		verdict = strm_batch_export_event(exporter, relid, tuple);
	exporter->last = *place;
	if (verdict == STRM_EXPORT_FORGED)
		strm_batch_export_report_forged(exporter);
	if (!skip)
	{
		exporter->counts.rows += verdict == STRM_EXPORT_SEND;
		exporter->counts.withheld += verdict == STRM_EXPORT_WITHHELD;
		exporter->counts.filtered += verdict == STRM_EXPORT_FILTERED;
		exporter->counts.failed += verdict == STRM_EXPORT_FORGED;
	}
	if (!exporter->again && exporter->size >= (uint64) strm_batch_export_file_size * 1024 * 1024)
		exporter->full = true;
}

static bool
strm_batch_export_precedes(const StrmBatchExportPlace *a, const StrmBatchExportPlace *b)
{
	return a->lsn < b->lsn || (a->lsn == b->lsn && a->sequence < b->sequence);
}

/* Has the run the transaction of that row? If not, notes whether a later one will. */
static bool
strm_batch_export_has(StrmBatchExport *exporter, const StrmDecodedRow *row)
{
	const StrmBatchExporterStatus *status = &exporter->status;

	if (!exporter->running || exporter->from_table || exporter->gone)
	{
		exporter->missed = true;
		return false;
	}
	if (exporter->transaction != row->lsn)
	{
		bool		had = row->lsn < status->done_lsn || strm_snapshot_has(exporter->done, row->xid);

		exporter->wanted = !had && row->lsn < status->pending_end && strm_snapshot_has(exporter->pending, row->xid);
		exporter->missed |= !had && !exporter->wanted;
		exporter->transaction = row->lsn;
	}
	return exporter->wanted;
}

/* Offers a row. false: a file has to end before. */
static bool
strm_batch_export_offer(StrmBatchExport *exporter, StrmDecodedRow *row)
{
	StrmBatchExportPlace place = {.lsn = row->lsn, .sequence = row->sequence};

	if (!strm_batch_export_has(exporter, row) || !strm_batch_export_precedes(&exporter->last, &place))
		return true;
	if (exporter->again && strm_batch_export_precedes(&exporter->end, &place))
		exporter->full = true;
	if (exporter->full)
		return false;
	strm_batch_export_take(exporter, row->relid, &row->tuple, &place);
	return true;
}

/* Offers a row to all who read its table. *stop: the transaction should end. false: the row has to come again. */
static bool
strm_batch_export_dispatch(StrmBatchExportSession *session, StrmDecodedRow *row, bool *stop)
{
	StrmBatchExportReaders *readers = strm_export_tables_stream(session->tables, row->relid);
	ListCell   *lc;

	foreach(lc, readers == NULL ? NIL : readers->exporters)
	{
		StrmBatchExport *exporter = lfirst(lc);

		session->current = exporter;
		if (!strm_batch_export_offer(exporter, row))
			return false;
		*stop |= exporter->full || exporter->used >= STRM_BATCH_EXPORT_CHUNK;
	}
	session->current = NULL;
	return true;
}

/* Is it time to end a transaction that has taken n rows? */
static bool
strm_batch_export_is_over(int n, TimestampTz until)
{
	if (n % STRM_BATCH_EXPORT_CLOCK != 0)
		return false;
	CHECK_FOR_INTERRUPTS();
	return n >= STRM_BATCH_EXPORT_ROWS || GetCurrentTimestamp() >= until;
}

/* true: there are more rows in the spool. */
static bool
strm_batch_export_drain(StrmBatchExportSession *session)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STRM_BATCH_EXPORT_SLICE);
	StrmDecodedRow row;
	bool		stop = false;

	for (int n = 1; strm_decoder_next(session->decoder, &row); n++)
	{
		session->taken = true;
		if (!strm_batch_export_dispatch(session, &row, &stop))
		{
			session->taken = false;
			strm_decoder_unread(session->decoder);
			return true;
		}
		session->taken = false;
		if (stop || strm_batch_export_is_over(n, until))
			return true;
	}
	return false;
}

bool
strm_batch_export_deliver(StrmBatchExportSession *session)
{
	volatile bool more = true;

	session->current = NULL;
	session->taken = false;
	PG_TRY();
	{
		strm_batch_export_begin();
		(void) strm_batch_export_refresh(session);
		more = strm_batch_export_drain(session);
		session->current = NULL;
		strm_batch_export_wipe(session);
		strm_batch_export_end(session);
	}
	PG_CATCH();
	{
		if (session->current == NULL)
			PG_RE_THROW();
		strm_batch_export_caught(session->current);
		if (session->taken)
			strm_decoder_unread(session->decoder);
	}
	PG_END_TRY();
	session->current = NULL;
	return more;
}

/* In a transaction: rows of the table. */
static void
strm_batch_export_scan(StrmBatchExport *exporter)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STRM_BATCH_EXPORT_SLICE);
	StrmBackfillScan *scan = strm_backfill_begin(exporter->plan, exporter->last.sequence);
	StrmBackfillRow row;
	bool		more = true;

	for (int n = 1; more; n++)
	{
		StrmBatchExportPlace place = {0};

		more = strm_backfill_next(scan, &row, STRM_BATCH_EXPORT_PAGES, &exporter->scanned);
		if (!more)
			break;
		place.sequence = row.place;
		if (exporter->again && strm_batch_export_precedes(&exporter->end, &place))
		{
			exporter->full = true;
			break;
		}
		strm_batch_export_take(exporter, row.relid, row.tuple, &place);
		if (exporter->full || exporter->used >= STRM_BATCH_EXPORT_CHUNK || strm_batch_export_is_over(n, until))
			break;
	}
	if (!more)
		exporter->last.sequence = strm_backfill_place(scan);
	strm_backfill_end(scan);
}

bool
strm_batch_export_read_table(StrmBatchExport *exporter)
{
	StrmBatchExportSession *session = exporter->session;

	PG_TRY();
	{
		strm_batch_export_begin();
		(void) strm_batch_export_refresh(session);
		if (!exporter->gone)
			strm_batch_export_scan(exporter);
		strm_batch_export_wipe(session);
		strm_batch_export_end(session);
	}
	PG_CATCH();
	{
		strm_batch_export_caught(exporter);
	}
	PG_END_TRY();
	return exporter->running && !exporter->gone && !exporter->scanned;
}
