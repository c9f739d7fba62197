/*
 * batch_exporter_state.c
 *	  What is known durably of a batch exporter: its row of strm.batch_exporter_state.
 *
 *	  The row is written whole; a trigger tells a change of its state, and nothing else, on the channel of entities.
 *	  done_at is not the writer's: it is when the snapshot in `done` was taken.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "catalog/entity_log.h"
#include "catalog/registry.h"
#include "export/batch_exporter.h"
#include "export/status_row.h"
#include "strm_privacy.h"

/* Columns in the order in which they are read and written, which is the table's. */
#define STRM_STATE_COLUMNS \
	"exporter_id, state, since, sqlstate, message, hint, tries, next_at, done, done_lsn, pending, pending_lsn," \
	" pending_end, pending_plan, pending_at, part, part_start, file, part_end, file_rows, files, rows, bytes," \
	" withheld, filtered, failed, last_file, last_file_at"

enum
{
	STATE_EXPORTER, STATE_STATE, STATE_SINCE, STATE_SQLSTATE, STATE_MESSAGE, STATE_HINT, STATE_TRIES, STATE_NEXT_AT,
	STATE_DONE, STATE_DONE_LSN, STATE_PENDING, STATE_PENDING_LSN, STATE_PENDING_END, STATE_PENDING_PLAN,
	STATE_PENDING_AT, STATE_PART, STATE_PART_START, STATE_FILE, STATE_PART_END, STATE_FILE_ROWS, STATE_FILES,
	STATE_ROWS, STATE_BYTES, STATE_WITHHELD, STATE_FILTERED, STATE_FAILED, STATE_LAST_FILE, STATE_LAST_FILE_AT
};

static const char *const state_names[] = {
	[STRM_BATCH_EXPORTER_CREATING] = "CREATING",
	[STRM_BATCH_EXPORTER_RUNNING] = "RUNNING",
	[STRM_BATCH_EXPORTER_PAUSED] = "PAUSED",
	[STRM_BATCH_EXPORTER_RETRYING] = "RETRYING",
	[STRM_BATCH_EXPORTER_ERROR] = "ERROR",
};

const char *
strm_batch_exporter_state_name(StrmBatchExporterState state)
{
	return state_names[state];
}

/* The state of that name; one that this version does not know needs somebody. */
static StrmBatchExporterState
strm_batch_exporter_state_of(const char *name)
{
	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state_names[i], name) == 0)
			return (StrmBatchExporterState) i;
	}
	return STRM_BATCH_EXPORTER_ERROR;
}

/* What is done, from a row of the columns above. */
static void
strm_batch_exporter_status_done(const Datum *values, const bool *nulls, StrmBatchExporterStatus *status)
{
	status->done = strm_status_row_text(values[STATE_DONE], nulls[STATE_DONE]);
	status->done_lsn = strm_status_row_lsn(values[STATE_DONE_LSN], nulls[STATE_DONE_LSN]);
	status->files = DatumGetInt64(values[STATE_FILES]);
	status->rows = DatumGetInt64(values[STATE_ROWS]);
	status->bytes = DatumGetInt64(values[STATE_BYTES]);
	status->withheld = DatumGetInt64(values[STATE_WITHHELD]);
	status->filtered = DatumGetInt64(values[STATE_FILTERED]);
	status->failed = DatumGetInt64(values[STATE_FAILED]);
	status->last_file = strm_status_row_text(values[STATE_LAST_FILE], nulls[STATE_LAST_FILE]);
	status->last_file_at = strm_status_row_time(values[STATE_LAST_FILE_AT], nulls[STATE_LAST_FILE_AT]);
}

/* The files under way, likewise. */
static void
strm_batch_exporter_status_pending(const Datum *values, const bool *nulls, StrmBatchExporterStatus *status)
{
	status->pending = strm_status_row_text(values[STATE_PENDING], nulls[STATE_PENDING]);
	status->pending_lsn = strm_status_row_lsn(values[STATE_PENDING_LSN], nulls[STATE_PENDING_LSN]);
	status->pending_end = strm_status_row_lsn(values[STATE_PENDING_END], nulls[STATE_PENDING_END]);
	status->pending_plan = strm_status_row_text(values[STATE_PENDING_PLAN], nulls[STATE_PENDING_PLAN]);
	status->pending_at = strm_status_row_time(values[STATE_PENDING_AT], nulls[STATE_PENDING_AT]);
	status->part = DatumGetInt32(values[STATE_PART]);
	status->part_start = strm_status_row_text(values[STATE_PART_START], nulls[STATE_PART_START]);
	status->file = strm_status_row_text(values[STATE_FILE], nulls[STATE_FILE]);
	status->part_end = strm_status_row_text(values[STATE_PART_END], nulls[STATE_PART_END]);
	status->file_rows = DatumGetInt64(values[STATE_FILE_ROWS]);
}

bool
strm_batch_exporter_status_read(const pg_uuid_t *exporter, StrmBatchExporterStatus *status)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(exporter), false);
	rows = strm_registry_select("SELECT " STRM_STATE_COLUMNS " FROM strm.batch_exporter_state WHERE exporter_id = $1",
								STRM_REGISTRY_ARGS(&args));
	if (rows->n == 0)
		return false;
	memset(status, 0, sizeof(StrmBatchExporterStatus));
	status->state = strm_batch_exporter_state_of(TextDatumGetCString(rows->values[STATE_STATE]));
	status->since = DatumGetTimestampTz(rows->values[STATE_SINCE]);
	status->sqlstate = strm_status_row_sqlstate(rows->values[STATE_SQLSTATE], rows->nulls[STATE_SQLSTATE]);
	status->message = strm_status_row_text(rows->values[STATE_MESSAGE], rows->nulls[STATE_MESSAGE]);
	status->hint = strm_status_row_text(rows->values[STATE_HINT], rows->nulls[STATE_HINT]);
	status->tries = DatumGetInt32(rows->values[STATE_TRIES]);
	status->next_at = strm_status_row_time(rows->values[STATE_NEXT_AT], rows->nulls[STATE_NEXT_AT]);
	strm_batch_exporter_status_done(rows->values, rows->nulls, status);
	strm_batch_exporter_status_pending(rows->values, rows->nulls, status);
	return true;
}

static void
strm_batch_exporter_state_add_count(StrmRegistryArgs *args, int64 count)
{
	strm_registry_add(args, INT8OID, Int64GetDatum(count), false);
}

/* The parameters $1 to $28, in the order of the columns above. */
static void
strm_batch_exporter_state_args(StrmRegistryArgs *args, const pg_uuid_t *exporter,
							   const StrmBatchExporterStatus *status)
{
	strm_registry_add(args, UUIDOID, UUIDPGetDatum(exporter), false);
	strm_registry_add_text(args, strm_batch_exporter_state_name(status->state));
	strm_registry_add(args, TIMESTAMPTZOID, TimestampTzGetDatum(status->since), false);
	strm_status_row_add_sqlstate(args, status->sqlstate);
	strm_registry_add_text(args, status->message);
	strm_registry_add_text(args, status->hint);
	strm_registry_add(args, INT4OID, Int32GetDatum(status->tries), false);
	strm_status_row_add_time(args, status->next_at);
	strm_registry_add_text(args, status->done);
	strm_status_row_add_lsn(args, status->done_lsn);
	strm_registry_add_text(args, status->pending);
	strm_status_row_add_lsn(args, status->pending_lsn);
	strm_status_row_add_lsn(args, status->pending_end);
	strm_registry_add_text(args, status->pending_plan);
	strm_status_row_add_time(args, status->pending_at);
	strm_registry_add(args, INT4OID, Int32GetDatum(status->part), false);
	strm_registry_add_text(args, status->part_start);
	strm_registry_add_text(args, status->file);
	strm_registry_add_text(args, status->part_end);
	strm_batch_exporter_state_add_count(args, status->file_rows);
	strm_batch_exporter_state_add_count(args, status->files);
	strm_batch_exporter_state_add_count(args, status->rows);
	strm_batch_exporter_state_add_count(args, status->bytes);
	strm_batch_exporter_state_add_count(args, status->withheld);
	strm_batch_exporter_state_add_count(args, status->filtered);
	strm_batch_exporter_state_add_count(args, status->failed);
	strm_registry_add_text(args, status->last_file);
	strm_status_row_add_time(args, status->last_file_at);
}

void
strm_batch_exporter_status_forget(const pg_uuid_t *exporter)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(exporter), false);
	strm_registry_execute("DELETE FROM strm.batch_exporter_state WHERE exporter_id = $1", STRM_REGISTRY_ARGS(&args));
	strm_entity_log_forget(exporter);
}

void
strm_batch_exporter_status_sweep(void)
{
	/* what is locked, somebody else is taking away */
	strm_registry_execute("DELETE FROM strm.batch_exporter_state WHERE exporter_id IN"
						  " (SELECT s.exporter_id FROM strm.batch_exporter_state s"
						  "   WHERE NOT EXISTS (SELECT FROM strm.batch_exporter e WHERE e.id = s.exporter_id)"
						  "     FOR UPDATE OF s SKIP LOCKED)",
						  0, NULL, NULL, NULL);
}

/*
 * Commands that drop a definition leave this row alone, so that a worker does not wait for their transactions; who
 * finds the definition gone takes the row away.
 */
bool
strm_batch_exporter_status_write(const pg_uuid_t *exporter, const StrmBatchExporterStatus *status)
{
	bool		fatal = status->state == STRM_BATCH_EXPORTER_ERROR;
	StrmRegistryArgs args = {0};
	Datum		news;
	bool		isnull;

	strm_batch_exporter_state_args(&args, exporter, status);
	if (!strm_registry_fetch(STRM_STATUS_ROW_BEGIN("strm.batch_exporter_state")
							 "INSERT INTO strm.batch_exporter_state (" STRM_STATE_COLUMNS ", done_at)"
							 " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
							 "  $19, $20, $21, $22, $23, $24, $25, $26, $27, $28,"
							 "  CASE WHEN $9 IS NULL THEN NULL WHEN o.done = $9 THEN o.done_at WHEN o.done IS NULL"
							 "   THEN e.created_at ELSE coalesce(o.pending_at, clock_timestamp()) END"
							 " FROM strm.batch_exporter e"
							 " LEFT JOIN strm.batch_exporter_state o ON o.exporter_id = e.id WHERE e.id = $1"
							 " ON CONFLICT (exporter_id) DO UPDATE SET"
							 " (" STRM_STATE_COLUMNS ", done_at) = ROW (EXCLUDED.*)"
							 STRM_STATUS_ROW_END,
							 STRM_REGISTRY_ARGS(&args), &news, &isnull))
	{
		strm_batch_exporter_status_forget(exporter);
		return false;
	}
	if (DatumGetBool(news))
		strm_entity_log_state("batch_exporter", exporter, strm_batch_exporter_state_name(status->state), fatal,
							  status->sqlstate,
							  fatal || status->state == STRM_BATCH_EXPORTER_RETRYING ? status->message : NULL,
							  status->hint);
	return true;
}
