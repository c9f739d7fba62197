/*
 * batch_export_file.c
 *	  The files of a batch exporter: their names, and how they come to be.
 *
 *	  A file is begun with its first row. Its intent is committed before anything of it exists outside. When it is
 *	  complete, its path and its end are committed before it is published, and what is known afterwards after that. So a
 *	  worker that dies in between leaves a path, and another one makes the same file again and puts it in its place.
 *
 *	  All of this is outside transactions, but for those that write what is known.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/registry.h"
#include "common/errors.h"
#include "connect/intent.h"
#include "format/gzip.h"
#include "strm_privacy.h"
#include "worker/batch_export_private.h"

/* In messages. */
#define STRM_BATCH_EXPORT_WHOSE "a batch exporter"

/* Passes bytes on, and counts them. */
typedef struct StrmBatchExportCounter
{
	StrmByteSink sink;
	StrmByteSink *to;
	int64	   *bytes;
} StrmBatchExportCounter;

static void
strm_batch_export_counter_write(StrmByteSink *self, const char *data, Size size)
{
	StrmBatchExportCounter *counter = (StrmBatchExportCounter *) self;

	strm_bytes_write(counter->to, data, size);
	*counter->bytes += size;
}

static void
strm_batch_export_counter_finish(StrmByteSink *self)
{
	strm_bytes_finish(((StrmBatchExportCounter *) self)->to);
}

static void
strm_batch_export_counter_publish(StrmByteSink *self)
{
	strm_bytes_publish(((StrmBatchExportCounter *) self)->to);
}

static bool
strm_batch_export_counter_discard(StrmByteSink *self)
{
	return strm_bytes_discard(((StrmBatchExportCounter *) self)->to);
}

/* What rows are written to, and counted on the way to raw. */
static StrmByteSink *
strm_batch_export_layers(StrmBatchExport *exporter)
{
	StrmBatchExportCounter *counter = palloc0(sizeof(StrmBatchExportCounter));

	counter->sink.write = strm_batch_export_counter_write;
	counter->sink.finish = strm_batch_export_counter_finish;
	counter->sink.publish = strm_batch_export_counter_publish;
	counter->sink.discard = strm_batch_export_counter_discard;
	counter->to = exporter->raw;
	counter->bytes = &exporter->counts.bytes;
	return exporter->definition->gzip ? strm_gzip_sink(&counter->sink) : &counter->sink;
}

/* "a/b/2021-03-26T095630Z-stream-clicks---0.jsonl" */
static char *
strm_batch_export_path(const StrmBatchExport *exporter)
{
	const StrmBatchExporter *definition = exporter->definition;
	pg_time_t	at = timestamptz_to_time_t(exporter->status.pending_at);
	char		moment[32];

	pg_strftime(moment, sizeof(moment), "%Y-%m-%dT%H%M%SZ", pg_gmtime(&at));
	return psprintf("%s%s%s-%s-%s---%d.%s%s", definition->path_prefix, *definition->path_prefix ? "/" : "", moment,
					definition->keys ? "keys" : "stream", strm_batch_exporter_file_name(definition->name),
					exporter->status.part, definition->keys ? "csv" : "jsonl", definition->gzip ? ".gz" : "");
}

/* What the sink tells for cleaning up is committed at once. */
static void
strm_batch_export_note(void *arg, const char *detail)
{
	StrmBatchExport *exporter = arg;
	MemoryContext old = CurrentMemoryContext;

	if (detail == NULL && exporter->note == NULL)
		return;					/* the intent alone says as much */
	exporter->note = detail == NULL ? NULL : MemoryContextStrdup(exporter->file_cxt, detail);
	strm_batch_export_begin();
	strm_intent_note(&exporter->intent, detail);
	strm_batch_export_end(exporter->session);
	MemoryContextSwitchTo(old);
}

/* Begins the file. */
static void
strm_batch_export_open(StrmBatchExport *exporter)
{
	StrmSinkOptions options = {.overwrite = exporter->overwrite, .note = strm_batch_export_note, .note_arg = exporter};

	MemoryContextSwitchTo(exporter->file_cxt);
	/* its prefix may have been altered since */
	exporter->path = exporter->overwrite ? pstrdup(exporter->status.file) : strm_batch_export_path(exporter);
	exporter->note = NULL;
	strm_batch_export_begin();
	exporter->intent = strm_intent_make(&exporter->definition->id, &exporter->connector->id, exporter->path);
	strm_batch_export_end(exporter->session);
	options.intent = exporter->intent;
	if (exporter->store == NULL)
	{
		MemoryContextSwitchTo(exporter->run_cxt);
		exporter->store = exporter->connector->kind->open(exporter->connector);
	}
	MemoryContextSwitchTo(exporter->file_cxt);
	exporter->raw = exporter->connector->kind->write(exporter->store, exporter->path, &options);
	exporter->sink = strm_batch_export_layers(exporter);
	MemoryContextSwitchTo(exporter->session->scratch);
}

/* The file is no more under way. */
static void
strm_batch_export_release(StrmBatchExport *exporter)
{
	exporter->raw = exporter->sink = NULL;
	exporter->path = NULL;
	exporter->keys = NULL;
	exporter->size = 0;
	memset(&exporter->counts, 0, sizeof(exporter->counts));
	exporter->full = exporter->again = exporter->overwrite = false;
	MemoryContextReset(exporter->file_cxt);
}

/* Completes the file and publishes it; what it replaces is not needed any more. */
static void
strm_batch_export_publish(StrmBatchExport *exporter)
{
	StrmBatchExporterStatus *status = &exporter->status;

	strm_bytes_finish(exporter->sink);
	if (!exporter->again)
	{
		status->file = MemoryContextStrdup(exporter->run_cxt, exporter->path);
		strm_batch_export_begin();
		MemoryContextSwitchTo(exporter->run_cxt);
		status->part_end = strm_batch_export_place_text(&exporter->last);
		status->file_rows = exporter->counts.rows;
		strm_batch_export_put_status(exporter);
		strm_batch_export_end(exporter->session);
	}
	strm_bytes_publish(exporter->sink);
	if (exporter->raw->kept)
		(void) strm_bytes_settle(exporter->raw);
}

/* Everything of the run is in files. */
static void
strm_batch_export_complete(StrmBatchExport *exporter)
{
	StrmBatchExporterStatus *status = &exporter->status;
	TimestampTz now = GetCurrentTimestamp();

	status->done = status->pending;
	status->done_lsn = status->pending_lsn;
	status->pending = status->pending_plan = NULL;
	status->pending_lsn = status->pending_end = InvalidXLogRecPtr;
	status->part = 0;
	status->part_start = NULL;
	if (status->state != STRM_BATCH_EXPORTER_RUNNING)
		status->since = now;
	status->state = STRM_BATCH_EXPORTER_RUNNING;
	status->sqlstate = 0;
	status->message = status->hint = NULL;
	status->tries = 0;
	status->next_at = exporter->due = strm_batch_export_next(exporter->definition, now);
}

/* The file, if there is one, is published: notes that, and what was left out, in the status. */
static void
strm_batch_export_account(StrmBatchExport *exporter)
{
	StrmBatchExporterStatus *status = &exporter->status;
	const StrmBatchExportCounts *counts = &exporter->counts;

	status->rows += counts->rows;
	status->bytes += counts->bytes;
	status->withheld += counts->withheld;
	status->filtered += counts->filtered;
	status->failed += counts->failed;
	if (exporter->raw != NULL)
	{
		status->files++;
		status->last_file = MemoryContextStrdup(exporter->run_cxt, exporter->path);
		status->last_file_at = GetCurrentTimestamp();
	}
	if (exporter->raw != NULL || exporter->again)
	{
		status->part_start = exporter->again ? status->part_end
			: MemoryContextStrdup(exporter->run_cxt, strm_batch_export_place_text(&exporter->last));
		status->part++;
	}
	status->file = status->part_end = NULL;
	status->file_rows = 0;
}

/*
 * Ends the file under way, if there is one. last: the run, too. What dead runs have left is cleaned up afterwards, when
 * the store has shown that it answers.
 */
static void
strm_batch_export_end_file(StrmBatchExport *exporter, bool last)
{
	char	   *path = exporter->path == NULL ? NULL : pstrdup(exporter->path);

	if (exporter->raw != NULL)
		strm_batch_export_publish(exporter);
	strm_batch_export_account(exporter);
	if (last)
		strm_batch_export_complete(exporter);
	strm_batch_export_begin();
	strm_batch_export_put_status(exporter);
	if (exporter->raw != NULL)
		strm_intent_forget(&exporter->intent);
	if (exporter->definition->keys && exporter->counts.rows > 0)
		strm_batch_export_audit_keys(exporter, exporter->counts.rows);
	strm_batch_export_end(exporter->session);
	strm_batch_export_release(exporter);
	if (path != NULL || last)
		strm_batch_export_clean_up(exporter, path != NULL ? path : "");
}

/* Writes the chunk. May raise. */
static void
strm_batch_export_put_chunk(StrmBatchExport *exporter)
{
	if (exporter->used == 0)
		return;
	if (exporter->raw == NULL)
		strm_batch_export_open(exporter);
	strm_bytes_write(exporter->sink, exporter->chunk, exporter->used);
	strm_batch_export_wipe_chunk(exporter);
}

void
strm_batch_export_write(StrmBatchExport *exporter)
{
	if (!exporter->running)
		return;
	if (exporter->gone || exporter->definition->paused)
	{
		strm_batch_export_stop(exporter, true);
		return;
	}
	PG_TRY();
	{
		strm_batch_export_put_chunk(exporter);
		if (exporter->full)
			strm_batch_export_end_file(exporter, false);
	}
	PG_CATCH();
	{
		strm_batch_export_caught(exporter);
	}
	PG_END_TRY();
}

void
strm_batch_export_finish(StrmBatchExport *exporter)
{
	strm_batch_export_write(exporter);
	if (!exporter->running)
		return;
	PG_TRY();
	{
		strm_batch_export_end_file(exporter, true);
		strm_batch_export_stop(exporter, true);
	}
	PG_CATCH();
	{
		strm_batch_export_caught(exporter);
	}
	PG_END_TRY();
}

/* --- what is left of files that were not published --- */

/* Forgets the intent of a file that was discarded, or cleans up now if that did not take everything away. */
static void
strm_batch_export_forget_intent(StrmBatchExport *exporter, bool gone)
{
	StrmRemains remains = {.path = exporter->path, .intent = exporter->intent, .note = exporter->note};

	if (!gone)
	{
		remains.connector = exporter->connector;
		remains.store = exporter->store;
	}
	strm_batch_export_begin();
	(void) strm_intent_clean(&remains, STRM_BATCH_EXPORT_WHOSE);
	strm_batch_export_end(exporter->session);
}

/*
 * A file that may have been published stays: it will be made again. So does its intent; and when nothing can be done
 * about one now, as the store does not answer, the next run will.
 */
void
strm_batch_export_discard(StrmBatchExport *exporter, bool reachable)
{
	strm_batch_export_wipe_chunk(exporter);
	if (exporter->raw != NULL && exporter->status.file == NULL && reachable)
	{
		bool		gone = strm_bytes_discard(exporter->sink);

		PG_TRY();
		{
			if (gone)
				strm_batch_export_forget_intent(exporter, true);
		}
		PG_CATCH();
		{
			FlushErrorState();
			strm_batch_export_abort(exporter->session);
		}
		PG_END_TRY();
	}
	strm_batch_export_release(exporter);
}

/* Cleans up after one intent: id, connector, path, detail. published: another file has its place. */
static bool
strm_batch_export_clean_one(StrmBatchExport *exporter, const Datum *row, const bool *nulls, bool published)
{
	StrmRemains remains = {.intent = *DatumGetUUIDP(row[0]), .path = TextDatumGetCString(row[2])};

	remains.connector = strm_connector_by_id(DatumGetUUIDP(row[1]));
	remains.note = nulls[3] ? NULL : TextDatumGetCString(row[3]);
	/* where it can be told apart from what has taken its place, all that is left of it goes */
	remains.published = published && remains.connector != NULL && remains.connector->kind->settle != NULL;
	return strm_intent_clean(&remains, STRM_BATCH_EXPORT_WHOSE);
}

void
strm_batch_export_clean_up(StrmBatchExport *exporter, const char *published)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;

	strm_batch_export_begin();
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->definition->id), false);
	rows = strm_registry_select("SELECT id, connector_id, path, detail FROM strm.batch_job_intent WHERE job_id = $1",
								STRM_REGISTRY_ARGS(&args));
	for (uint64 i = 0; i < rows->n; i++)
	{
		const Datum *row = &rows->values[i * rows->ncolumns];
		bool		same = strcmp(TextDatumGetCString(row[2]), published) == 0;

		if (!strm_batch_export_clean_one(exporter, row, &rows->nulls[i * rows->ncolumns], same))
			break;
	}
	strm_batch_export_end(exporter->session);
}
