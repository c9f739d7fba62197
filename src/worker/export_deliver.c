/*
 * export_deliver.c
 *	  From the spool to the sinks: one transaction in which rows are checked, decrypted where the exporter is one of a
 *	  derived stream, encoded and handed over.
 *
 *	  Each row is offered to the exporters of its stream, one after another. When a sink has no room, the row goes back
 *	  to the spool: it is offered again to all of them, and those that had it skip it by its position.
 *
 *	  An error is put down to the exporter whose turn it was: that one stops, the others go on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "common/secret.h"
#include "common/uuid.h"
#include "export/erased.h"
#include "strm_privacy.h"
#include "worker/export_private.h"
#include "worker/worker.h"

/* ms that an exporter's right to its cluster is not looked at again; that a sink without room is waited for at once */
#define STRM_EXPORT_PERMITTED 200
#define STRM_EXPORT_NAP 1
#define STRM_EXPORT_NAPS 5

/* Records of a transactional exporter after which it commits, and ms, while there are more to send at once. */
#define STRM_EXPORT_TRANSACTION 10000
#define STRM_EXPORT_UNCOMMITTED 50

/* ms between two log lines about events that are not authentic. */
#define STRM_EXPORT_FORGED_AGAIN 5000

/* Attribute of strm.kafka_exporter. */
#define STRM_KAFKA_EXPORTER_ID 1

/* What of a value's buffer may stay behind for the next record. */
#define STRM_EXPORT_BUFFER_KEPT (64 * 1024)

/*
 * May its owner still publish? The rights to the stream are looked at in each transaction; those to the cluster, which
 * take a query, now and then.
 */
static bool
strm_export_permitted(StrmExportExporter *exporter)
{
	const StrmKafkaExporter *definition = exporter->definition;
	TimestampTz now = exporter->session->now;
	const char *refusal;

	if (TimestampDifferenceExceeds(exporter->permitted_at, now, STRM_EXPORT_PERMITTED))
	{
		refusal = strm_exporter_refusal(definition);
		exporter->permitted_at = now;
	}
	else
		refusal = strm_exporter_refusal_of_source(definition->owner, &definition->stream,
												  definition->is_derived ? &definition->derived : NULL);
	if (refusal == NULL)
		return true;
	exporter->permitted_at = 0;
	strm_export_fail(exporter, false, STRM_ERR_PRIVILEGE, refusal,
					 "Grant that, or let strm.alter_kafka_exporter() give the exporter to another role; then resume it.");
	return false;
}

/* What an exporter is given to encode with in one transaction, and what was found out while that was made. */
StrmExportEncoder *
strm_export_encoder_of(StrmExportExporter *exporter)
{
	const StrmKafkaExporter *definition = exporter->definition;
	const StrmDerivedStream *derived = NULL;
	StrmExportSession *session = exporter->session;
	const StrmStream *stream;

	if (exporter->encoder != NULL)
		return exporter->encoder;
	if (!strm_export_permitted(exporter))
		return NULL;
	stream = strm_catalog_stream(&definition->stream);
	if (definition->is_derived)
		derived = strm_catalog_derived_stream(&definition->derived);
	if (stream == NULL || (definition->is_derived && derived == NULL))
	{
		/* its definition goes with it */
		session->again = true;
		strm_export_fail(exporter, true, STRM_ERR_UNDEFINED, "the stream was dropped", NULL);
		return NULL;
	}
	exporter->encoder = strm_export_encoder(stream, derived, definition->format, exporter->schema_id);
	return exporter->encoder;
}

/* An error has ended the transaction that the encoder was made in: nothing personal stays. */
void
strm_export_forget_encoder(StrmExportExporter *exporter)
{
	if (exporter->encoder != NULL && exporter->definition->is_derived)
		strm_secret_wipe(exporter->value.data, exporter->value.maxlen);
	exporter->encoder = NULL;
}

/* Values of derived streams are personal: nothing of them stays. */
void
strm_export_wipe(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->encoder == NULL)
			continue;
		strm_export_encoder_wipe(exporter->encoder);
		exporter->encoder = NULL;
		if (exporter->definition->is_derived)
			strm_secret_wipe(exporter->value.data, exporter->value.maxlen);
		if (exporter->value.maxlen > STRM_EXPORT_BUFFER_KEPT)
		{
			MemoryContext old = MemoryContextSwitchTo(exporter->cxt);

			pfree(exporter->value.data);
			initStringInfo(&exporter->value);
			MemoryContextSwitchTo(old);
		}
	}
}

void
strm_export_count(StrmExportExporter *exporter, StrmExportVerdict verdict, const StrmPosition *position)
{
	StrmExporterStatus *status = &exporter->status;

	if (strm_position_compare(position, &exporter->counted) <= 0)
		return;
	exporter->counted = *position;
	exporter->changed = true;
	if (verdict == STRM_EXPORT_FILTERED)
		status->filtered++;
	else if (verdict == STRM_EXPORT_WITHHELD)
		status->withheld++;
	else
	{
		status->failed++;
		/* there may be millions, of a table that inherits from the stream and has no triggers */
		if (!TimestampDifferenceExceeds(exporter->forged_at, GetCurrentTimestamp(), STRM_EXPORT_FORGED_AGAIN))
			return;
		exporter->forged_at = GetCurrentTimestamp();
		ereport(LOG,
				errcode(STRM_ERR_FORGED),
				errmsg("Kafka exporter \"%s\" does not publish an event that is not authentic, or whose key is lost",
					   exporter->definition->name),
				errdetail("It is row %llu of the transaction that committed at %X/%X.",
						  (unsigned long long) position->sequence, LSN_FORMAT_ARGS(position->lsn)),
				errhint("More of them are only counted, in strm.kafka_exporters.errors."));
	}
}

/* The text of the position; all but the sequence is made once for each transaction. */
static int
strm_export_position_text(StrmExportExporter *exporter, const StrmPosition *position, char *text)
{
	StrmPosition *cached = &exporter->prefix_position;

	if (exporter->prefix_size == 0 || cached->lsn != position->lsn || cached->timeline != position->timeline ||
		cached->epoch != position->epoch)
	{
		char		whole[STRM_POSITION_SIZE];

		strm_position_write(&exporter->definition->id, position, whole);
		exporter->prefix_size = strrchr(whole, '/') + 1 - whole;
		memcpy(exporter->prefix, whole, exporter->prefix_size);
		*cached = *position;
	}
	memcpy(text, exporter->prefix, exporter->prefix_size);
	return exporter->prefix_size + pg_ulltoa_n(position->sequence, text + exporter->prefix_size);
}

bool
strm_export_send(StrmExportExporter *exporter, const StrmExportRecord *record, const StrmPosition *position,
				 TimestampTz committed)
{
	char		text[STRM_POSITION_SIZE];
	char		nonce[16];
	StrmSinkHeader headers[3] = {
		{.name = STRM_SINK_HEADER_CONTRACT, .value = record->contract_ref, .size = strlen(record->contract_ref)},
		{.name = STRM_SINK_HEADER_POSITION, .value = text},
		{.name = STRM_SINK_HEADER_NONCE, .value = nonce},
	};
	StrmSinkRecord out = {.key = record->key->data, .key_size = record->key->len, .value = record->value->data,
		.value_size = record->value->len, .nheaders = lengthof(headers), .headers = headers,
		.cookie = strm_progress_cookie(exporter->progress)};

	out.partition = strm_position_partition(out.key, out.key_size, exporter->definition->partitions);
	if (strm_progress_has(exporter->progress, out.partition, position))
	{
		strm_progress_pass(exporter->progress, position);
		return true;
	}
	headers[1].size = strm_export_position_text(exporter, position, text);
	headers[2].size = pg_ltoa(record->nonce, nonce);
	switch (exporter->session->kind->produce(exporter->sink, &out))
	{
		case STRM_SINK_DONE:
			strm_progress_sent(exporter->progress, position, committed);
			return true;
		case STRM_SINK_AGAIN:
			return false;
		case STRM_SINK_REFUSED:
			break;
	}
	strm_export_fail_sink(exporter);
	return true;
}

/* Has the exporter read that transaction's rows, or does it read them, as existing events? */
static bool
strm_export_existed(const StrmExportExporter *exporter, const StrmDecodedRow *row)
{
	const StrmBackfillPlan *plan = exporter->plan;

	return plan != NULL && row->lsn < plan->rows_lsn && strm_snapshot_has(plan->rows, row->xid);
}

/* Encodes a row and sends it. false: no room. */
static bool
strm_export_publish(StrmExportExporter *exporter, StrmDecodedRow *row, const StrmPosition *position)
{
	StrmExportRecord record = {.key = &exporter->key, .value = &exporter->value};
	StrmExportEncoder *encoder = strm_export_encoder_of(exporter);
	StrmExportVerdict verdict;

	if (encoder == NULL)
		return true;
	verdict = strm_export_encode(encoder, row->relid, &row->tuple, &record);
	if (verdict == STRM_EXPORT_SEND && exporter->session->erased && strm_erased_has(&record.key_link, record.nonce))
		verdict = STRM_EXPORT_WITHHELD;
	if (verdict == STRM_EXPORT_SEND)
		return strm_export_send(exporter, &record, position, row->committed);
	strm_export_count(exporter, verdict, position);
	strm_progress_pass(exporter->progress, position);
	return true;
}

/* Offers a row to an exporter of its stream. false: its sink has no room. */
static bool
strm_export_offer(StrmExportExporter *exporter, StrmDecodedRow *row)
{
	StrmPosition position = {.epoch = exporter->status.epoch, .timeline = row->timeline, .lsn = row->lsn,
		.sequence = row->sequence};
	XLogRecPtr	start = strm_export_start(exporter);

	if (start == InvalidXLogRecPtr || row->lsn < start || exporter->status.state == STRM_EXPORTER_BROKEN ||
		!strm_progress_wants(exporter->progress, &position) || strm_export_existed(exporter, row))
		return true;
	if (exporter->blocked == InvalidXLogRecPtr && strm_export_able(exporter))
	{
		if (exporter->committing || !strm_export_publish(exporter, row, &position))
			return false;
		if (exporter->ready)
			return true;
	}
	strm_export_block(exporter, row->lsn, row->committed);
	return true;
}

/* A row of strm.kafka_exporter: somebody has created an exporter. */
static void
strm_export_see(StrmExportSession *session, StrmDecodedRow *row)
{
	Relation	rel = table_open(row->relid, AccessShareLock);
	bool		isnull;
	Datum		id = heap_getattr(&row->tuple, STRM_KAFKA_EXPORTER_ID, RelationGetDescr(rel), &isnull);
	MemoryContext old = MemoryContextSwitchTo(session->cxt);
	StrmExportSeen *seen = palloc0(sizeof(StrmExportSeen));

	seen->exporter = *DatumGetUUIDP(id);
	seen->lsn = row->lsn;
	seen->end_lsn = row->end_lsn;
	seen->timeline = row->timeline;
	session->seen = lappend(session->seen, seen);
	MemoryContextSwitchTo(old);
	table_close(rel, AccessShareLock);
}

/*
 * Notes that a sink takes nothing. One that does so for long, while others could go on, is set aside: it takes part
 * again when it has got rid of half of what it has.
 */
static void
strm_export_stall(StrmExportExporter *exporter, const StrmDecodedRow *row)
{
	StrmExportSession *session = exporter->session;
	TimestampTz now = GetCurrentTimestamp();
	uint64		count = strm_progress_count(exporter->progress);
	const StrmSinkError *error;
	ListCell   *lc;

	if (exporter->stalled_since == 0 || count != exporter->stalled_count)
	{
		exporter->stalled_since = now;
		exporter->stalled_count = count;
		return;
	}
	if (!TimestampDifferenceExceeds(exporter->stalled_since, now, STRM_EXPORT_PATIENCE))
		return;
	foreach(lc, session->exporters)
	{
		StrmExportExporter *other = lfirst(lc);

		if (other == exporter || !strm_export_able(other))
			continue;
		exporter->aside = true;
		exporter->stalled_since = 0;
		strm_export_block(exporter, row->lsn, row->committed);
		error = session->kind->error(exporter->sink);
		strm_export_set_state(exporter, STRM_EXPORTER_RETRYING, error ? error->sqlstate : STRM_ERR_CONNECT,
							  error ? error->message : "the brokers do not take records for some time",
							  error ? error->hint : NULL);
		return;
	}
}

/* Offers a row to all that want it. false: one of them has no room, and it has to come again. */
static bool
strm_export_dispatch(StrmExportSession *session, StrmDecodedRow *row)
{
	StrmExportRelation *relation;

	if (row->relid == session->definitions)
	{
		strm_export_see(session, row);
		return true;
	}
	relation = strm_export_tables_stream(session->tables, row->relid);
	for (int i = 0; relation != NULL && i < relation->nexporters; i++)
	{
		StrmExportExporter *exporter = relation->exporters[i];

		session->current = exporter;
		if (!strm_export_offer(exporter, row))
		{
			strm_export_stall(exporter, row);
			return false;
		}
	}
	session->current = NULL;
	return true;
}

/* Serves the sinks that are open, so that room is made. */
static void
strm_export_poll(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->sink != NULL && exporter->ready)
			(void) session->kind->poll(exporter->sink);
	}
}

/* Records that were acknowledged so far. */
static uint64
strm_export_acknowledged(const StrmExportSession *session)
{
	uint64		count = 0;
	ListCell   *lc;

	foreach(lc, session->exporters)
		count += strm_progress_count(((StrmExportExporter *) lfirst(lc))->progress);
	return count;
}

/*
 * A sink had no room: gives the brokers a moment within the time of this transaction, as beginning another one for a
 * few rows costs more. false: time is over, or the brokers do not use it.
 */
static bool
strm_export_nap(StrmExportSession *session, TimestampTz until)
{
	uint64		before = strm_export_acknowledged(session);
	WaitEvent	event;

	for (int i = 0; i < STRM_EXPORT_NAPS; i++)
	{
		if (GetCurrentTimestamp() >= until)
			return false;
		(void) WaitEventSetWait(session->room, STRM_EXPORT_NAP, &event, 1, PG_WAIT_EXTENSION);
		strm_export_drain_wake(session);
		strm_export_poll(session);
		strm_export_commit(session, true);
		if (strm_export_acknowledged(session) != before)
			return true;
	}
	return false;
}

/*
 * May the transaction of that row leave this server, and is it visible in this transaction? A commit is in the WAL
 * before others see it, and long before when it waits for synchronous standbys: until then the keys that it made are
 * not to be found.
 */
static bool
strm_export_may_publish(StrmExportSession *session, const StrmDecodedRow *row)
{
	if (row->end_lsn <= session->published)
		return true;
	if (XidInMVCCSnapshot(row->xid, GetActiveSnapshot()) || !strm_decoder_may_publish(row->end_lsn))
		return false;
	session->published = row->end_lsn;
	return true;
}

/* Takes rows out of the spool until it is empty, time is over, or one cannot be taken. */
static StrmExportOutcome
strm_export_drain(StrmExportSession *session)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STRM_EXPORT_SLICE);
	StrmDecodedRow row;
	bool		ripe;
	bool		room;

	for (int n = 1;; n++)
	{
		if (!strm_decoder_next(session->decoder, &row))
		{
			session->spooled = false;
			session->floor = strm_decoder_position(session->decoder);
			return STRM_EXPORT_EMPTY;
		}
		session->floor = row.lsn;
		session->taken = true;
		ripe = room = strm_export_may_publish(session, &row);
		while (room && !strm_export_dispatch(session, &row))
			room = strm_export_nap(session, until);
		session->taken = false;
		if (!room)
		{
			strm_decoder_unread(session->decoder);
			return ripe ? STRM_EXPORT_STALLED : STRM_EXPORT_UNRIPE;
		}
		if (n % STRM_EXPORT_POLL_EVENTS == 0)
		{
			strm_export_poll(session);
			if (n >= STRM_EXPORT_BATCH || GetCurrentTimestamp() >= until)
				return STRM_EXPORT_MORE;
		}
	}
}

StrmExportOutcome
strm_export_deliver(StrmExportSession *session)
{
	volatile StrmExportOutcome outcome = STRM_EXPORT_MORE;

	session->current = NULL;
	session->taken = false;
	session->published = InvalidXLogRecPtr;
	PG_TRY();
	{
		if (!strm_worker_begin_transaction() || !strm_export_refresh(session))
			proc_exit(0);
		outcome = strm_export_drain(session);
		strm_export_wipe(session);
		strm_worker_end_transaction();
	}
	PG_CATCH();
	{
		ListCell   *lc;

		if (session->current == NULL)
			PG_RE_THROW();
		/* what was left of the transaction is wiped with it */
		foreach(lc, session->exporters)
			strm_export_forget_encoder(lfirst(lc));
		strm_export_caught(session->current);
		if (session->taken)
			strm_decoder_unread(session->decoder);
	}
	PG_END_TRY();
	session->current = NULL;
	return outcome;
}

/* Is it time to commit what a transactional exporter has sent? */
static bool
strm_export_commit_is_due(StrmExportExporter *exporter, bool caught_up)
{
	StrmExportSession *session = exporter->session;

	if (strm_progress_outstanding(exporter->progress) == 0)
	{
		exporter->uncommitted_since = 0;
		return false;
	}
	if (exporter->uncommitted_since == 0)
		exporter->uncommitted_since = session->now;
	return caught_up || exporter->committing ||
		strm_progress_outstanding(exporter->progress) >= STRM_EXPORT_TRANSACTION ||
		TimestampDifferenceExceeds(exporter->uncommitted_since, session->now, STRM_EXPORT_UNCOMMITTED);
}

void
strm_export_commit(StrmExportSession *session, bool caught_up)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (!exporter->definition->transactional || !exporter->ready || !strm_export_commit_is_due(exporter, caught_up))
			continue;
		switch (session->kind->commit(exporter->sink))
		{
			case STRM_SINK_DONE:
				exporter->status.sent += strm_progress_outstanding(exporter->progress);
				strm_progress_commit(exporter->progress);
				exporter->committing = false;
				exporter->uncommitted_since = 0;
				break;
			case STRM_SINK_AGAIN:
				exporter->committing = true;
				break;
			case STRM_SINK_REFUSED:
				strm_export_fail_sink(exporter);
				break;
		}
	}
}
