/*
 * exporter_state.c
 *	  What is known durably of a Kafka exporter: its row of strm.kafka_exporter_state.
 *
 *	  The row is written whole; a trigger tells a change of its state, and nothing else, on the channel of entities.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog/entity_log.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "export/exporter.h"
#include "export/status_row.h"
#include "strm_privacy.h"

/* Columns in the order in which they are read and written. */
#define STRM_STATE_COLUMNS \
	"exporter_id, state, since, sqlstate, message, hint, epoch, start_lsn, start_timeline, starts, sent, withheld," \
	" filtered, failed, backfill, checkpoint, checkpoint_lsn, checkpoint_offsets"

enum
{
	STATE_EXPORTER, STATE_STATE, STATE_SINCE, STATE_SQLSTATE, STATE_MESSAGE, STATE_HINT, STATE_EPOCH, STATE_START_LSN,
	STATE_START_TIMELINE, STATE_STARTS, STATE_SENT, STATE_WITHHELD, STATE_FILTERED, STATE_FAILED, STATE_BACKFILL,
	STATE_CHECKPOINT, STATE_CHECKPOINT_LSN, STATE_CHECKPOINT_OFFSETS
};

static const char *const state_names[] = {
	[STRM_EXPORTER_CREATING] = "CREATING",
	[STRM_EXPORTER_BACKFILLING] = "BACKFILLING",
	[STRM_EXPORTER_RUNNING] = "RUNNING",
	[STRM_EXPORTER_PAUSED] = "PAUSED",
	[STRM_EXPORTER_RETRYING] = "RETRYING",
	[STRM_EXPORTER_ERROR] = "ERROR",
	[STRM_EXPORTER_BROKEN] = "BROKEN",
};

const char *
strm_exporter_state_name(StrmExporterState state)
{
	return state_names[state];
}

/* The state of that name; one that this version does not know needs somebody. */
static StrmExporterState
strm_exporter_state_of(const char *name)
{
	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state_names[i], name) == 0)
			return (StrmExporterState) i;
	}
	return STRM_EXPORTER_ERROR;
}

/* The elements of a bigint[], and their number. NULL: none. */
static int64 *
strm_exporter_state_offsets(Datum value, bool isnull, int *n)
{
	Datum	   *elements;
	bool	   *nulls;
	int64	   *offsets;

	*n = 0;
	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(value), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, &nulls, n);
	offsets = palloc(Max(*n, 1) * sizeof(int64));
	for (int i = 0; i < *n; i++)
		offsets[i] = nulls[i] ? 0 : DatumGetInt64(elements[i]);
	return offsets;
}

/* Fills status from a row of the columns above. */
static void
strm_exporter_status_of_row(const Datum *values, const bool *nulls, StrmExporterStatus *status)
{
	int			noffsets;

	memset(status, 0, sizeof(StrmExporterStatus));
	status->state = strm_exporter_state_of(TextDatumGetCString(values[STATE_STATE]));
	status->since = DatumGetTimestampTz(values[STATE_SINCE]);
	status->sqlstate = strm_status_row_sqlstate(values[STATE_SQLSTATE], nulls[STATE_SQLSTATE]);
	status->message = strm_status_row_text(values[STATE_MESSAGE], nulls[STATE_MESSAGE]);
	status->hint = strm_status_row_text(values[STATE_HINT], nulls[STATE_HINT]);
	status->epoch = DatumGetInt32(values[STATE_EPOCH]);
	status->start_lsn = strm_status_row_lsn(values[STATE_START_LSN], nulls[STATE_START_LSN]);
	status->start_timeline = nulls[STATE_START_TIMELINE] ? 0 : DatumGetInt32(values[STATE_START_TIMELINE]);
	status->starts = strm_exporter_state_offsets(values[STATE_STARTS], nulls[STATE_STARTS], &status->nstarts);
	status->sent = DatumGetInt64(values[STATE_SENT]);
	status->withheld = DatumGetInt64(values[STATE_WITHHELD]);
	status->filtered = DatumGetInt64(values[STATE_FILTERED]);
	status->failed = DatumGetInt64(values[STATE_FAILED]);
	status->backfill = strm_status_row_text(values[STATE_BACKFILL], nulls[STATE_BACKFILL]);
	status->checkpoint = strm_status_row_text(values[STATE_CHECKPOINT], nulls[STATE_CHECKPOINT]);
	status->checkpoint_lsn = strm_status_row_lsn(values[STATE_CHECKPOINT_LSN], nulls[STATE_CHECKPOINT_LSN]);
	status->checkpoint_offsets = strm_exporter_state_offsets(values[STATE_CHECKPOINT_OFFSETS],
															 nulls[STATE_CHECKPOINT_OFFSETS], &noffsets);
	if (status->checkpoint_offsets != NULL && noffsets != status->nstarts)
		status->checkpoint_offsets = NULL;
}

bool
strm_exporter_status_read(const pg_uuid_t *exporter, StrmExporterStatus *status)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(exporter), false);
	rows = strm_registry_select("SELECT " STRM_STATE_COLUMNS " FROM strm.kafka_exporter_state WHERE exporter_id = $1",
								STRM_REGISTRY_ARGS(&args));
	if (rows->n == 0)
		return false;
	strm_exporter_status_of_row(rows->values, rows->nulls, status);
	return true;
}

static void
strm_exporter_state_add_offsets(StrmRegistryArgs *args, const int64 *offsets, int n)
{
	Datum	   *elements = palloc(Max(n, 1) * sizeof(Datum));

	for (int i = 0; i < n && offsets != NULL; i++)
		elements[i] = Int64GetDatum(offsets[i]);
	strm_registry_add(args, INT8ARRAYOID,
					  offsets == NULL ? (Datum) 0
					  : PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
														TYPALIGN_DOUBLE)),
					  offsets == NULL);
}

/* The parameters $1 to $18, in the order of the columns above. */
static void
strm_exporter_state_args(StrmRegistryArgs *args, const pg_uuid_t *exporter, const StrmExporterStatus *status)
{
	strm_registry_add(args, UUIDOID, UUIDPGetDatum(exporter), false);
	strm_registry_add_text(args, strm_exporter_state_name(status->state));
	strm_registry_add(args, TIMESTAMPTZOID, TimestampTzGetDatum(status->since), false);
	strm_status_row_add_sqlstate(args, status->sqlstate);
	strm_registry_add_text(args, status->message);
	strm_registry_add_text(args, status->hint);
	strm_registry_add(args, INT4OID, Int32GetDatum(status->epoch), false);
	strm_status_row_add_lsn(args, status->start_lsn);
	strm_registry_add(args, INT4OID, Int32GetDatum(status->start_timeline), status->start_timeline == 0);
	strm_exporter_state_add_offsets(args, status->starts, status->nstarts);
	strm_registry_add(args, INT8OID, Int64GetDatum(status->sent), false);
	strm_registry_add(args, INT8OID, Int64GetDatum(status->withheld), false);
	strm_registry_add(args, INT8OID, Int64GetDatum(status->filtered), false);
	strm_registry_add(args, INT8OID, Int64GetDatum(status->failed), false);
	strm_registry_add_text(args, status->backfill);
	strm_registry_add_text(args, status->checkpoint);
	strm_status_row_add_lsn(args, status->checkpoint_lsn);
	strm_exporter_state_add_offsets(args, status->checkpoint_offsets, status->nstarts);
}

void
strm_exporter_status_forget(const pg_uuid_t *exporter)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(exporter), false);
	strm_registry_execute("DELETE FROM strm.kafka_exporter_state WHERE exporter_id = $1", STRM_REGISTRY_ARGS(&args));
	strm_entity_log_forget(exporter);
}

/* Does the exporter need somebody, in that state? */
static bool
strm_exporter_state_is_fatal(StrmExporterState state)
{
	return state == STRM_EXPORTER_ERROR || state == STRM_EXPORTER_BROKEN;
}

/*
 * Commands that drop a definition leave this row alone, so that a worker does not wait for their transactions; who
 * finds the definition gone takes the row away.
 */
bool
strm_exporter_status_write(const pg_uuid_t *exporter, const StrmExporterStatus *status)
{
	bool		fatal = strm_exporter_state_is_fatal(status->state);
	StrmRegistryArgs args = {0};
	Datum		news;
	bool		isnull;

	strm_exporter_state_args(&args, exporter, status);
	if (!strm_registry_fetch(STRM_STATUS_ROW_BEGIN("strm.kafka_exporter_state")
							 "INSERT INTO strm.kafka_exporter_state (" STRM_STATE_COLUMNS ")"
							 " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
							 "  $18 FROM strm.kafka_exporter WHERE id = $1"
							 " ON CONFLICT (exporter_id) DO UPDATE SET"
							 " (" STRM_STATE_COLUMNS ") = ROW (EXCLUDED.*)"
							 STRM_STATUS_ROW_END,
							 STRM_REGISTRY_ARGS(&args), &news, &isnull))
	{
		strm_exporter_status_forget(exporter);
		return false;
	}
	if (DatumGetBool(news))
		strm_entity_log_state("kafka_exporter", exporter, strm_exporter_state_name(status->state), fatal,
							  status->sqlstate,
							  fatal || status->state == STRM_EXPORTER_RETRYING ? status->message : NULL,
							  status->hint);
	return true;
}
