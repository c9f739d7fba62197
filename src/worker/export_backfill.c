/*
 * export_backfill.c
 *	  Exporters that begin: where their live events start, and the existing events that come before these.
 *
 *	  When the row of an exporter's definition is met in the WAL, its live events begin behind that transaction.
 *	  Otherwise (the slot is younger than the definition, existing events are wanted, or a lost slot was made anew)
 *	  they begin at the position that decoding has reached, and what lies before is read from the stream's tables: the
 *	  rows of a snapshot that has all transactions before that position, without those that are not wanted. Live
 *	  transactions that this snapshot has are skipped. What was decided is written down before anything is sent.
 *
 *	  Records of existing events tell the place of their row as their position, so the topic tells how far they are.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/export_private.h"
#include "worker/export_sink.h"
#include "worker/worker.h"

#define STRM_EXPORT_PAGES 256	/* read in one transaction */

void
strm_export_load_plan(StrmExportExporter *exporter)
{
	MemoryContext old;

	exporter->plan = NULL;
	exporter->known = NULL;
	exporter->place = 0;
	exporter->scanned = false;
	if (exporter->plan_cxt != NULL)
		MemoryContextDelete(exporter->plan_cxt);
	exporter->plan_cxt = NULL;
	if (exporter->status.backfill == NULL)
		return;
	exporter->plan_cxt = AllocSetContextCreate(exporter->cxt, "strm_privacy existing events", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(exporter->plan_cxt);
	exporter->plan = strm_backfill_plan_parse(exporter->status.backfill);
	MemoryContextSwitchTo(old);
}

/* --- taking up --- */

/* Decided: from there on it publishes live events. */
static void
strm_export_begin_at(StrmExportExporter *exporter, XLogRecPtr lsn, TimeLineID timeline)
{
	exporter->status.start_lsn = lsn;
	exporter->status.start_timeline = timeline;
	exporter->origin = InvalidXLogRecPtr;
	exporter->unwritten = true;
}

void
strm_export_take_seen(StrmExportExporter *exporter, const StrmExportSeen *seen)
{
	if (strm_export_start(exporter) != InvalidXLogRecPtr || exporter->definition->include_existing ||
		exporter->status.epoch > 1)
		return;
	strm_export_begin_at(exporter, seen->end_lsn, seen->timeline);
	/* its tables may not have been wanted when what follows was read */
	strm_export_block(exporter, seen->end_lsn, 0);
}

/* Rows that need not be published: a rebuilt exporter's of its checkpoint, otherwise those before the definition. */
static StrmSnapshot *
strm_export_except(const StrmExportExporter *exporter)
{
	if (exporter->status.checkpoint != NULL)
		return strm_snapshot_parse(exporter->status.checkpoint);
	if (exporter->definition->include_existing)
		return NULL;
	return strm_snapshot_parse(exporter->definition->defined_at);
}

/* All transactions before the origin are seen as committed: makes the plan. In a transaction. */
static void
strm_export_settle(StrmExportExporter *exporter)
{
	MemoryContext old = MemoryContextSwitchTo(exporter->session->scratch);
	XLogRecPtr	lsn;
	StrmSnapshot *rows;
	StrmBackfillPlan *plan;

	strm_backfill_lock(exporter->stream);
	rows = strm_settling_take(exporter->settling, &lsn);
	if (rows != NULL)
	{
		exporter->settling = NULL;
		plan = strm_backfill_plan(exporter->stream, rows, lsn, strm_export_except(exporter));
		strm_export_set_text(exporter, &exporter->status.backfill, strm_backfill_plan_text(plan));
		strm_export_begin_at(exporter, exporter->origin, exporter->origin_timeline);
		strm_export_load_plan(exporter);
	}
	MemoryContextSwitchTo(old);
}

static void
strm_export_take_up_one(StrmExportExporter *exporter)
{
	StrmExportSession *session = exporter->session;
	MemoryContext old;

	if (exporter->origin == InvalidXLogRecPtr)
	{
		/* decoding meets the definition first, if it still can */
		if (session->floor < exporter->seek)
			return;
		exporter->origin = session->floor;
		exporter->origin_timeline = GetWALInsertionTimeLine();
	}
	if (exporter->settling == NULL)
	{
		old = MemoryContextSwitchTo(exporter->cxt);
		exporter->settling = strm_settling_begin();
		MemoryContextSwitchTo(old);
	}
	if (!strm_worker_begin_transaction())
		proc_exit(0);
	strm_export_settle(exporter);
	strm_worker_end_transaction();
}

void
strm_export_take_up(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->status.start_lsn != InvalidXLogRecPtr || exporter->status.state == STRM_EXPORTER_PAUSED ||
			exporter->status.state == STRM_EXPORTER_ERROR || exporter->status.state == STRM_EXPORTER_BROKEN ||
			!OidIsValid(exporter->stream))
			continue;
		PG_TRY();
		{
			strm_export_take_up_one(exporter);
		}
		PG_CATCH();
		{
			exporter->settling = NULL;
			strm_export_caught(exporter);
		}
		PG_END_TRY();
	}
}

/* --- reading --- */

/* Position of an existing event. */
static StrmPosition
strm_export_existing_position(const StrmExportExporter *exporter, uint64 place)
{
	StrmPosition position = {.epoch = exporter->status.epoch, .timeline = exporter->status.start_timeline,
		.lsn = exporter->status.start_lsn - 1, .sequence = place};

	return position;
}

/* All rows up to there are in the topic: the least that one of the partitions tells. */
void
strm_export_existing_begin(StrmExportExporter *exporter)
{
	StrmPosition zero;
	uint64		place = PG_UINT64_MAX;

	exporter->scanned = false;
	if (exporter->plan == NULL || exporter->plan->done)
		return;
	zero = strm_export_existing_position(exporter, 0);
	for (int i = 0; i < exporter->definition->partitions; i++)
	{
		const StrmPosition *tail = &strm_progress_partition(exporter->progress, i)->tail;

		if (tail->epoch != zero.epoch || tail->lsn != zero.lsn)
			place = 0;
		else
			place = Min(place, tail->sequence);
	}
	exporter->place = place;
}

/* Reads what the topic of a rebuilt exporter has beyond the checkpoint, once. In a transaction. */
static void
strm_export_read_known(StrmExportExporter *exporter)
{
	MemoryContext old;
	StrmSinkConfig config;

	if (exporter->known != NULL || exporter->status.epoch == 1)
		return;
	strm_export_sink_config(exporter, &config);
	config.starts = exporter->status.checkpoint_offsets;
	if (config.starts == NULL)
		config.starts = exporter->status.starts;
	config.nstarts = exporter->status.nstarts;
	old = MemoryContextSwitchTo(exporter->plan_cxt);
	exporter->known = strm_export_known_read(exporter, &config);
	MemoryContextSwitchTo(old);
}

/* Sends one row. false: no room. */
static bool
strm_export_existing_row(StrmExportExporter *exporter, StrmBackfillRow *row)
{
	StrmExportRecord record = {.key = &exporter->key, .value = &exporter->value};
	StrmPosition position = strm_export_existing_position(exporter, row->place);
	StrmExportVerdict verdict =
		strm_export_encode(strm_export_encoder_of(exporter), row->relid, row->tuple, &record);

	if (verdict != STRM_EXPORT_SEND)
		strm_export_count(exporter, verdict, &position);
	else if (exporter->known == NULL || !strm_export_known_has(exporter->known, &record.key_link, record.nonce))
		return strm_export_send(exporter, &record, &position, 0);
	strm_progress_pass(exporter->progress, &position);
	return true;
}

/* A slice of one exporter's existing events, in a transaction. true: there is more, and room for it. */
static bool
strm_export_existing_slice(StrmExportExporter *exporter)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STRM_EXPORT_SLICE);
	StrmBackfillScan *scan;
	StrmBackfillRow row;
	bool		done = false;
	int			n = 0;

	if (strm_export_encoder_of(exporter) == NULL)
		return false;
	strm_export_read_known(exporter);
	scan = strm_backfill_begin(exporter->plan, exporter->place);
	while (exporter->ready && strm_backfill_next(scan, &row, STRM_EXPORT_PAGES, &done))
	{
		if (!strm_export_existing_row(exporter, &row))
		{
			strm_backfill_end(scan);
			return false;
		}
		exporter->place = row.place;
		if (++n % STRM_EXPORT_POLL_EVENTS == 0)
		{
			(void) exporter->session->kind->poll(exporter->sink);
			if (GetCurrentTimestamp() >= until)
			{
				strm_backfill_end(scan);
				return true;
			}
		}
	}
	if (exporter->ready)
	{
		exporter->place = strm_backfill_place(scan);
		exporter->scanned = done;
	}
	strm_backfill_end(scan);
	return exporter->ready && !done;
}

/* Everything is read and acknowledged: live events follow. */
static void
strm_export_existing_end(StrmExportExporter *exporter)
{
	exporter->plan->done = true;
	exporter->known = NULL;
	strm_export_set_text(exporter, &exporter->status.backfill, strm_backfill_plan_text(exporter->plan));
	strm_export_load_plan(exporter);
	strm_export_set_state(exporter, STRM_EXPORTER_RUNNING, 0, NULL, NULL);
	exporter->unwritten = true;
}

/* One exporter's turn. */
static bool
strm_export_existing_one(StrmExportExporter *exporter)
{
	StrmExportSession *session = exporter->session;
	volatile bool more = false;

	PG_TRY();
	{
		if (!strm_worker_begin_transaction())
			proc_exit(0);
		MemoryContextSwitchTo(session->scratch);
		more = strm_export_existing_slice(exporter);
		strm_export_wipe(session);
		strm_worker_end_transaction();
		if (exporter->ready && exporter->scanned && strm_progress_outstanding(exporter->progress) == 0)
			strm_export_existing_end(exporter);
	}
	PG_CATCH();
	{
		strm_export_forget_encoder(exporter);
		strm_export_caught(exporter);
	}
	PG_END_TRY();
	return more;
}

bool
strm_export_existing(StrmExportSession *session)
{
	bool		more = false;
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (!exporter->ready || exporter->unwritten || exporter->committing || exporter->plan == NULL ||
			strm_export_sound_state(exporter) != STRM_EXPORTER_BACKFILLING ||
			!strm_decoder_may_publish(exporter->plan->rows_lsn))
			continue;
		if (exporter->scanned && strm_progress_outstanding(exporter->progress) > 0)
			continue;
		more |= strm_export_existing_one(exporter);
	}
	return more;
}
