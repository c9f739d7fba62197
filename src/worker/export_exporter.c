/*
 * export_exporter.c
 *	  One exporter: its sink, what becomes of it when something fails, and where it stands.
 *
 *	  A sink that is closed has forgotten what it had not delivered. Before events are sent again, a new one reads the
 *	  last records of the topic's partitions: what they tell is the truth, not what this process remembers.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/secret.h"
#include "strm_privacy.h"
#include "worker/export_private.h"
#include "worker/export_sink.h"
#include "worker/worker.h"

/* ms */
#define STRM_EXPORT_RETRY_FIRST 1000
#define STRM_EXPORT_RETRY_MAX 60000
#define STRM_EXPORT_TROUBLE 3000	/* after which a sink that struggles is RETRYING */
#define STRM_EXPORT_PURGE 200		/* that records may stay queued after a key was destroyed */

StrmExportExporter *
strm_export_create(StrmExportSession *session)
{
	MemoryContext cxt = AllocSetContextCreate(session->cxt, "strm_privacy exporter", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StrmExportExporter *exporter = palloc0(sizeof(StrmExportExporter));

	exporter->session = session;
	exporter->cxt = cxt;
	exporter->live = -1;
	exporter->seek = GetXLogInsertRecPtr();
	initStringInfo(&exporter->key);
	initStringInfo(&exporter->value);
	MemoryContextSwitchTo(old);
	return exporter;
}

void
strm_export_destroy(StrmExportExporter *exporter)
{
	strm_export_shut(exporter);
	strm_secret_wipe(exporter->value.data, exporter->value.maxlen);
	MemoryContextDelete(exporter->cxt);
}

XLogRecPtr
strm_export_start(const StrmExportExporter *exporter)
{
	return exporter->status.start_lsn ? exporter->status.start_lsn : exporter->origin;
}

bool
strm_export_able(const StrmExportExporter *exporter)
{
	return exporter->ready && !exporter->aside && !exporter->unwritten &&
		strm_export_sound_state(exporter) == STRM_EXPORTER_RUNNING;
}

void
strm_export_block(StrmExportExporter *exporter, XLogRecPtr lsn, TimestampTz committed)
{
	if (exporter->blocked != InvalidXLogRecPtr && exporter->blocked <= lsn)
		return;
	exporter->blocked = lsn;
	exporter->blocked_since = committed;
}

/* Records of existing events hold nothing: they are found in the table again. */
XLogRecPtr
strm_export_hold(const StrmExportExporter *exporter, TimestampTz *since)
{
	XLogRecPtr	hold = exporter->session->floor;
	const StrmPosition *first;
	TimestampTz committed;

	*since = 0;
	if (exporter->blocked != InvalidXLogRecPtr)
	{
		hold = exporter->blocked;
		*since = exporter->blocked_since;
	}
	first = strm_progress_first(exporter->progress, &committed);
	if (first != NULL && first->lsn >= strm_export_start(exporter) && first->lsn <= hold)
	{
		hold = first->lsn;
		*since = committed;
	}
	return hold;
}

void
strm_export_shut(StrmExportExporter *exporter)
{
	TimestampTz committed;
	const StrmPosition *first;

	if (exporter->sink_cxt == NULL)
		return;
	first = strm_progress_first(exporter->progress, &committed);
	if (first != NULL && first->lsn >= strm_export_start(exporter))
		strm_export_block(exporter, first->lsn, committed);
	if (exporter->sink != NULL)
		exporter->session->kind->close(exporter->sink);
	exporter->sink = NULL;
	exporter->ready = false;
	exporter->committing = false;
	exporter->uncommitted_since = 0;
	exporter->aside = false;
	exporter->stalled_since = 0;
	exporter->trouble_since = 0;
	exporter->purge_at = 0;
	strm_progress_reset(exporter->progress);
	MemoryContextDelete(exporter->sink_cxt);
	exporter->sink_cxt = NULL;
}

/* Milliseconds to wait after the n-th failure in a row. */
static long
strm_export_back_off(int failures)
{
	long		ms = STRM_EXPORT_RETRY_FIRST;

	for (int i = 1; i < failures && ms < STRM_EXPORT_RETRY_MAX; i++)
		ms *= 2;
	return Min(ms, STRM_EXPORT_RETRY_MAX);
}

void
strm_export_fail(StrmExportExporter *exporter, bool temporary, int sqlstate, const char *message, const char *hint)
{
	/* the texts may be the sink's */
	char	   *message_copy = pstrdup(message);
	char	   *hint_copy = hint ? pstrdup(hint) : NULL;

	strm_export_shut(exporter);
	exporter->failures++;
	exporter->retry_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), strm_export_back_off(exporter->failures));
	strm_export_set_state(exporter, temporary ? STRM_EXPORTER_RETRYING : STRM_EXPORTER_ERROR, sqlstate, message_copy,
						  hint_copy);
}

void
strm_export_fail_sink(StrmExportExporter *exporter)
{
	const StrmSinkError *error = exporter->session->kind->error(exporter->sink);

	if (error != NULL)
		strm_export_fail(exporter, error->temporary, error->sqlstate, error->message, error->hint);
	else
		strm_export_fail(exporter, true, STRM_ERR_INTERNAL, "the producer failed", NULL);
}

void
strm_export_caught(StrmExportExporter *exporter)
{
	StrmErrorText text;
	ErrorData  *edata;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(exporter->session->scratch);
	edata = CopyErrorData();
	FlushErrorState();
	if (IsTransactionState())
		AbortCurrentTransaction();
	MemoryContextSwitchTo(exporter->session->scratch);
	RESUME_INTERRUPTS();
	strm_errors_describe(edata, &text);
	strm_export_fail(exporter, strm_worker_is_temporary(edata->sqlerrcode), edata->sqlerrcode, text.message,
					 text.detail ? text.detail : text.hint);
}

void
strm_export_key_destroyed(StrmExportExporter *exporter, TimestampTz now)
{
	/* as stored, what a destroyed key protected is of no use to anybody; what was erased under a key that stays is */
	if (!exporter->definition->is_derived && !exporter->session->erased)
		return;
	if (exporter->sink == NULL || exporter->purge_at != 0 || strm_progress_outstanding(exporter->progress) == 0)
		return;
	exporter->purge_at = TimestampTzPlusMilliseconds(now, STRM_EXPORT_PURGE);
	exporter->purge_cookie = strm_progress_cookie(exporter->progress);
}

/* Records that hold what was erased may wait for their broker only so long. */
static void
strm_export_purge(StrmExportExporter *exporter, TimestampTz now)
{
	if (exporter->purge_at == 0)
		return;
	if (strm_progress_done(exporter->progress, exporter->purge_cookie))
		exporter->purge_at = 0;
	else if (now >= exporter->purge_at)
		strm_export_shut(exporter);
}

/* A sink that is open may have trouble, which ends by itself. */
static void
strm_export_look_for_trouble(StrmExportExporter *exporter, TimestampTz now)
{
	const StrmSinkError *error = exporter->session->kind->error(exporter->sink);

	if (error == NULL)
	{
		exporter->trouble_since = 0;
		if (exporter->ready && !exporter->aside)
			strm_export_set_state(exporter, strm_export_sound_state(exporter), 0, NULL, NULL);
		return;
	}
	if (exporter->trouble_since == 0)
		exporter->trouble_since = now;
	else if (TimestampDifferenceExceeds(exporter->trouble_since, now, STRM_EXPORT_TROUBLE))
		strm_export_set_state(exporter, STRM_EXPORTER_RETRYING, error->sqlstate, error->message, error->hint);
}

static void
strm_export_serve(StrmExportExporter *exporter, TimestampTz now)
{
	StrmExportSession *session = exporter->session;
	StrmSinkState state;

	state = session->kind->poll(exporter->sink);
	if (state == STRM_SINK_FAILED)
	{
		strm_export_fail_sink(exporter);
		return;
	}
	if (state == STRM_SINK_READY && !exporter->ready && !strm_export_sink_ready(exporter))
		return;
	if (exporter->aside && session->kind->queued(exporter->sink) < exporter->queue_size / 2)
		exporter->aside = false;
	strm_export_look_for_trouble(exporter, now);
	strm_export_purge(exporter, now);
}

/* Should it have a sink? Moves it to or from PAUSED on the way. */
static bool
strm_export_wants_sink(StrmExportExporter *exporter)
{
	StrmExporterState state = exporter->status.state;

	if (state == STRM_EXPORTER_ERROR || state == STRM_EXPORTER_BROKEN)
		return false;
	if (exporter->definition->paused)
	{
		strm_export_set_state(exporter, STRM_EXPORTER_PAUSED, 0, NULL, NULL);
		return false;
	}
	if (state == STRM_EXPORTER_PAUSED)
	{
		strm_export_set_state(exporter, strm_export_sound_state(exporter), 0, NULL, NULL);
		exporter->failures = 0;
		exporter->retry_at = 0;
	}
	return OidIsValid(exporter->stream);
}

void
strm_export_step(StrmExportExporter *exporter, TimestampTz now)
{
	PG_TRY();
	{
		if (!strm_export_wants_sink(exporter))
			strm_export_shut(exporter);
		else if (exporter->sink != NULL)
			strm_export_serve(exporter, now);
		else if (now >= exporter->retry_at)
			strm_export_sink_open(exporter);
	}
	PG_CATCH();
	{
		strm_export_caught(exporter);
	}
	PG_END_TRY();
}
