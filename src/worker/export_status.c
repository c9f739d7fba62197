/*
 * export_status.c
 *	  The durable state of exporters, their checkpoints, and their live numbers.
 *
 *	  A checkpoint tells a later rebuild what need not be published again: a snapshot all of whose rows are
 *	  acknowledged, and offsets behind which rows beyond it lie. It is found in two steps: a snapshot is taken (the
 *	  mark), and when everything that had committed by then is acknowledged, it becomes the checkpoint. The offsets are
 *	  those of the mark before: records of transactions that still counted as running when the snapshot was taken may
 *	  have been sent a little earlier.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "strm_privacy.h"
#include "worker/export_private.h"
#include "worker/worker.h"

/* ms; the second: of trouble that goes on for other reasons */
#define STRM_EXPORT_CHECKPOINT 10000
#define STRM_EXPORT_TELL_AGAIN 5000

void
strm_export_set_text(StrmExportExporter *exporter, char **member, const char *text)
{
	char	   *copy = text ? MemoryContextStrdup(exporter->cxt, text) : NULL;

	if (*member != NULL)
		pfree(*member);
	*member = copy;
}

static void
strm_export_set_offsets(StrmExportExporter *exporter, int64 **member, const int64 *offsets, int n)
{
	int64	   *copy = NULL;

	if (offsets != NULL && n > 0)
	{
		copy = MemoryContextAlloc(exporter->cxt, n * sizeof(int64));
		memcpy(copy, offsets, n * sizeof(int64));
	}
	if (*member != NULL)
		pfree(*member);
	*member = copy;
}

static bool
strm_export_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

StrmExporterState
strm_export_sound_state(const StrmExportExporter *exporter)
{
	if (exporter->status.start_lsn == InvalidXLogRecPtr)
		return STRM_EXPORTER_CREATING;
	if (exporter->plan != NULL && !exporter->plan->done)
		return STRM_EXPORTER_BACKFILLING;
	return STRM_EXPORTER_RUNNING;
}

/* Trouble and its end are worth a line in the log. */
static void
strm_export_log_state(const StrmExportExporter *exporter, StrmExporterState before)
{
	const StrmExporterStatus *status = &exporter->status;
	const char *name = exporter->definition->name;

	if (status->sqlstate != 0)
		ereport(LOG,
				errcode(status->sqlstate),
				errmsg("Kafka exporter \"%s\" is %s: %s", name, strm_exporter_state_name(status->state),
					   status->message),
				status->hint ? errhint("%s", status->hint) : 0);
	else if (status->state != before && before != STRM_EXPORTER_CREATING)
		ereport(LOG,
				errmsg("Kafka exporter \"%s\" is %s", name, strm_exporter_state_name(status->state)));
}

/* What brokers say may change with each connection, and would fill log and registry. */
void
strm_export_set_state(StrmExportExporter *exporter, StrmExporterState state, int sqlstate, const char *message,
					  const char *hint)
{
	StrmExporterStatus *status = &exporter->status;
	StrmExporterState before = status->state;
	TimestampTz now;

	if (status->state == state && status->sqlstate == sqlstate && strm_export_same_text(status->message, message) &&
		strm_export_same_text(status->hint, hint))
		return;
	now = GetCurrentTimestamp();
	if (state == STRM_EXPORTER_RETRYING && before == state &&
		!TimestampDifferenceExceeds(exporter->told_at, now, STRM_EXPORT_TELL_AGAIN))
		return;
	exporter->told_at = now;
	if (status->state != state)
		status->since = now;
	status->state = state;
	status->sqlstate = sqlstate;
	strm_export_set_text(exporter, &status->message, message);
	strm_export_set_text(exporter, &status->hint, hint);
	exporter->unwritten = true;
	strm_export_log_state(exporter, before);
}

/* A copy of the row; what belongs to an earlier life of the exporter is forgotten. */
static void
strm_export_replace(StrmExportExporter *exporter, const StrmExporterStatus *row)
{
	StrmExporterStatus *status = &exporter->status;
	StrmExporterStatus old = *status;

	*status = *row;
	status->message = old.message;
	status->hint = old.hint;
	status->backfill = old.backfill;
	status->checkpoint = old.checkpoint;
	status->starts = old.starts;
	status->checkpoint_offsets = old.checkpoint_offsets;
	strm_export_set_text(exporter, &status->message, row->message);
	strm_export_set_text(exporter, &status->hint, row->hint);
	strm_export_set_text(exporter, &status->backfill, row->backfill);
	strm_export_set_text(exporter, &status->checkpoint, row->checkpoint);
	strm_export_set_offsets(exporter, &status->starts, row->starts, row->nstarts);
	strm_export_set_offsets(exporter, &status->checkpoint_offsets, row->checkpoint_offsets, row->nstarts);
	exporter->unwritten = false;
	exporter->changed = false;
	exporter->mark.snapshot = NULL;
	exporter->blocked = InvalidXLogRecPtr;
	exporter->origin = InvalidXLogRecPtr;
	exporter->seek = GetXLogInsertRecPtr();
	exporter->settling = NULL;
	exporter->failures = 0;
	exporter->retry_at = 0;
	memset(&exporter->counted, 0, sizeof(StrmPosition));
	strm_export_load_plan(exporter);
}

void
strm_export_adopt(StrmExportExporter *exporter, const StrmExporterStatus *row)
{
	StrmExporterStatus *status = &exporter->status;

	if (row->epoch != status->epoch)
	{
		strm_export_shut(exporter);
		strm_export_replace(exporter, row);
		return;
	}
	if (exporter->unwritten || row->state == status->state)
		return;
	/* somebody resumed it */
	status->state = row->state;
	status->since = row->since;
	status->sqlstate = row->sqlstate;
	strm_export_set_text(exporter, &status->message, row->message);
	strm_export_set_text(exporter, &status->hint, row->hint);
	exporter->failures = 0;
	exporter->retry_at = 0;
}

/* What an exporter's writing must not wait for: the acknowledgement by another server (see export_worker.c). */
void
strm_export_write_statuses(StrmExportSession *session)
{
	ListCell   *lc;
	bool		any = false;

	foreach(lc, session->exporters)
		any |= ((StrmExportExporter *) lfirst(lc))->unwritten;
	if (!any)
		return;
	if (!strm_worker_begin_transaction())
		proc_exit(0);
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->unwritten && !strm_exporter_status_write(&exporter->definition->id, &exporter->status))
			session->again = true;
	}
	strm_worker_end_transaction();
	foreach(lc, session->exporters)
		((StrmExportExporter *) lfirst(lc))->unwritten = false;
}

/* --- checkpoints --- */

/* Per partition the offset behind the last record that is known to be there. */
static void
strm_export_next_offsets(const StrmExportExporter *exporter, int64 *offsets)
{
	for (int i = 0; i < exporter->status.nstarts; i++)
	{
		int64		offset = strm_progress_partition(exporter->progress, i)->offset;

		offsets[i] = Max(offset + 1, exporter->status.starts[i]);
	}
}

/* Sets a mark. In a transaction. */
static void
strm_export_set_mark(StrmExportExporter *exporter, TimestampTz now)
{
	StrmExportMark *mark = &exporter->mark;
	StrmSnapshot *snapshot = strm_snapshot_take();
	int64	   *next;

	mark->taken_lsn = snapshot->lsn;
	mark->lsn = GetXLogInsertRecPtr();
	strm_export_set_text(exporter, &mark->snapshot, strm_snapshot_text(snapshot));

	next = palloc(exporter->status.nstarts * sizeof(int64));
	strm_export_next_offsets(exporter, next);
	strm_export_set_offsets(exporter, &mark->offsets, mark->next ? mark->next : exporter->status.starts,
							exporter->status.nstarts);
	strm_export_set_offsets(exporter, &mark->next, next, exporter->status.nstarts);
	exporter->marked_at = now;
	exporter->changed = false;
}

/* Everything before the mark is acknowledged. */
static void
strm_export_reach_mark(StrmExportExporter *exporter)
{
	StrmExportMark *mark = &exporter->mark;
	StrmExporterStatus *status = &exporter->status;

	strm_export_set_text(exporter, &status->checkpoint, mark->snapshot);
	strm_export_set_text(exporter, &mark->snapshot, NULL);
	status->checkpoint_lsn = mark->taken_lsn;
	strm_export_set_offsets(exporter, &status->checkpoint_offsets, mark->offsets, status->nstarts);
	exporter->unwritten = true;
}

/*
 * Live events have passed what existing ones were read by. After a crash the slot may be back before that, and a
 * partition's last record may be an existing event: what was among those must not be taken for live then.
 */
static void
strm_export_drop_plan(StrmExportExporter *exporter)
{
	exporter->status.start_lsn = exporter->plan->rows_lsn;
	strm_export_set_text(exporter, &exporter->status.backfill, NULL);
	strm_export_load_plan(exporter);
	exporter->unwritten = true;
}

void
strm_export_checkpoint(StrmExportSession *session, TimestampTz now)
{
	ListCell   *lc;
	bool		open = false;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);
		TimestampTz since;
		XLogRecPtr	hold;

		if (!exporter->ready || strm_export_sound_state(exporter) != STRM_EXPORTER_RUNNING)
			continue;
		hold = strm_export_hold(exporter, &since);
		if (exporter->plan != NULL && hold > exporter->plan->rows_lsn)
			strm_export_drop_plan(exporter);
		if (exporter->mark.snapshot != NULL && hold >= exporter->mark.lsn)
			strm_export_reach_mark(exporter);
		if (!exporter->changed || exporter->plan != NULL || exporter->mark.snapshot != NULL ||
			!TimestampDifferenceExceeds(exporter->marked_at, now, STRM_EXPORT_CHECKPOINT))
			continue;
		if (!open && !strm_worker_begin_transaction())
			proc_exit(0);
		open = true;
		strm_export_set_mark(exporter, now);
	}
	if (open)
		strm_worker_end_transaction();
	strm_export_write_statuses(session);
}

/* --- live numbers --- */

static void
strm_export_show_one(StrmExportExporter *exporter)
{
	StrmExportSession *session = exporter->session;
	StrmExportLive *live = &session->live[exporter->live];
	StrmExportPartition *partitions = session->live_partitions + live->first;

	live->exporter = exporter->definition->id;
	live->state = exporter->status.state;
	live->hold = strm_export_hold(exporter, &live->hold_since);
	live->sent = exporter->status.sent;
	live->withheld = exporter->status.withheld;
	live->filtered = exporter->status.filtered;
	live->failed = exporter->status.failed;
	live->queued = exporter->sink ? session->kind->queued(exporter->sink) : 0;
	live->last_sent = exporter->last_sent;
	for (int i = 0; i < live->npartitions; i++)
	{
		const StrmProgressPartition *partition = strm_progress_partition(exporter->progress, i);

		partitions[i].offset = partition->offset;
		partitions[i].position = partition->acked;
	}
}

void
strm_export_show(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		if (((StrmExportExporter *) lfirst(lc))->live >= 0)
			strm_export_show_one(lfirst(lc));
	}
}
