/*
 * batch_export_status.c
 *	  How a run of a batch exporter ends, what is kept of that, and the worker's transactions.
 *
 *	  After a failure the row in the registry tells where to go on, not what memory held: it is read anew before the
 *	  failure is written into it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"
#include "worker/worker.h"

/* So long one exporter waits for a lock on its table, while the others wait for it. */
#define STRM_BATCH_EXPORT_LOCK_TIMEOUT "5s"

void
strm_batch_export_begin(void)
{
	if (!strm_worker_begin_transaction())
		proc_exit(0);
	SetConfigOption("lock_timeout", STRM_BATCH_EXPORT_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION);
}

void
strm_batch_export_end(StrmBatchExportSession *session)
{
	/* making a slot waits for transactions, as long as they take */
	SetConfigOption("lock_timeout", "0", PGC_USERSET, PGC_S_SESSION);
	strm_worker_end_transaction();
	MemoryContextSwitchTo(session->scratch);
}

char *
strm_batch_export_place_text(const StrmBatchExportPlace *place)
{
	return psprintf("%X/%X/" UINT64_FORMAT, LSN_FORMAT_ARGS(place->lsn), place->sequence);
}

StrmBatchExportPlace
strm_batch_export_place_of(const char *text)
{
	StrmBatchExportPlace place;
	uint32		high;
	uint32		low;
	unsigned long long sequence;

	if (sscanf(text, "%X/%X/%llu", &high, &low, &sequence) != 3)
		ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a stored place of a batch exporter is damaged"));
	place.lsn = (uint64) high << 32 | low;
	place.sequence = sequence;
	return place;
}

/* Epoch of timestamps and multiples of any `every` (at most an hour) agree. */
TimestampTz
strm_batch_export_next(const StrmBatchExporter *definition, TimestampTz now)
{
	int64		every = definition->every * USECS_PER_SEC;

	return (now / every + 1) * every;
}

void
strm_batch_export_put_status(StrmBatchExport *exporter)
{
	if (!strm_batch_exporter_status_write(&exporter->definition->id, &exporter->status))
		exporter->gone = true;
}

void
strm_batch_export_note_state(StrmBatchExport *exporter, StrmBatchExporterState state)
{
	TimestampTz now = GetCurrentTimestamp();
	StrmBatchExporterStatus status = {.done = NULL};

	(void) strm_batch_exporter_status_read(&exporter->definition->id, &status);
	status.state = state;
	status.since = now;
	status.sqlstate = 0;
	status.message = status.hint = NULL;
	status.tries = 0;
	status.next_at = now;
	exporter->due = now;
	(void) strm_batch_exporter_status_write(&exporter->definition->id, &status);
}

void
strm_batch_export_stop(StrmBatchExport *exporter, bool reachable)
{
	strm_batch_export_discard(exporter, reachable);
	if (exporter->store != NULL)
		exporter->connector->kind->close(exporter->store);
	exporter->store = NULL;
	/* what it has read and not completed is to be read again */
	exporter->missed |= exporter->running && exporter->status.pending != NULL;
	exporter->running = false;
	exporter->used = 0;
}

/* The failure of a run, in its row. The exporter may be gone. */
static void
strm_batch_export_write_failure(StrmBatchExport *exporter, bool temporary, int sqlstate, const char *message,
								const char *hint)
{
	StrmBatchExporterStatus status = {.state = STRM_BATCH_EXPORTER_CREATING};
	TimestampTz now = GetCurrentTimestamp();
	StrmBatchExporterState state = temporary ? STRM_BATCH_EXPORTER_RETRYING : STRM_BATCH_EXPORTER_ERROR;

	strm_batch_export_begin();
	(void) strm_batch_exporter_status_read(&exporter->definition->id, &status);
	if (status.state != state)
		status.since = now;
	status.state = state;
	status.sqlstate = sqlstate;
	status.message = unconstify(char *, message);
	status.hint = unconstify(char *, hint);
	status.tries++;
	status.next_at = TimestampTzPlusMilliseconds(now, strm_worker_back_off(status.tries));
	exporter->due = temporary ? status.next_at : DT_NOEND;
	if (!strm_batch_exporter_status_write(&exporter->definition->id, &status))
		exporter->gone = true;
	strm_batch_export_end(exporter->session);
}

/* Is it that a store does not answer? */
static bool
strm_batch_export_is_connection(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == MAKE_SQLSTATE('0', '8', '0', '0', '0');
}

void
strm_batch_export_fail(StrmBatchExport *exporter, bool temporary, int sqlstate, const char *message, const char *hint)
{
	strm_batch_export_stop(exporter, !strm_batch_export_is_connection(sqlstate));
	strm_batch_export_write_failure(exporter, temporary, sqlstate, message, hint);
}

/* The store does not answer: nor will it the others that write to it, and those to other stores need not wait again. */
static void
strm_batch_export_fail_others(StrmBatchExport *exporter, int sqlstate, const StrmErrorText *text)
{
	ListCell   *lc;

	foreach(lc, exporter->session->exporters)
	{
		StrmBatchExport *other = lfirst(lc);

		if (other->running && memcmp(&other->definition->connector, &exporter->definition->connector,
									 sizeof(pg_uuid_t)) == 0)
			strm_batch_export_fail(other, true, sqlstate, text->message, text->detail ? text->detail : text->hint);
	}
}

void
strm_batch_export_abort(StrmBatchExportSession *session)
{
	if (IsTransactionState())
		AbortCurrentTransaction();
	MemoryContextSwitchTo(session->scratch);
	strm_batch_export_wipe(session);
}

/*
 * Files and objects are written outside transactions: that the store refuses something there may be mended where it
 * is, and the exporter goes on by itself then.
 */
void
strm_batch_export_caught(StrmBatchExport *exporter)
{
	bool		outside = !IsTransactionState();
	StrmErrorText text;
	ErrorData  *edata;
	bool		temporary;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(exporter->session->scratch);
	edata = CopyErrorData();
	FlushErrorState();
	strm_batch_export_abort(exporter->session);
	RESUME_INTERRUPTS();
	strm_errors_describe(edata, &text);
	temporary = strm_worker_is_temporary(edata->sqlerrcode) || (outside && edata->sqlerrcode == STRM_ERR_PRIVILEGE);
	strm_batch_export_fail(exporter, temporary, edata->sqlerrcode, text.message, text.detail ? text.detail : text.hint);
	if (outside && strm_batch_export_is_connection(edata->sqlerrcode))
		strm_batch_export_fail_others(exporter, edata->sqlerrcode, &text);
}
