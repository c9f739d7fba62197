/*
 * job_state.c
 *	  The life of a batch job in the registry.
 *
 *	  Every change updates the job's row first: its lock puts the changes of worker, scheduler, waiting session and
 *	  canceller in order, and each is conditional on the state it was decided by.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog/entity_log.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/job_state.h"

static const char *const state_names[] = {
	[STRM_JOB_PENDING] = "PENDING",
	[STRM_JOB_STARTED] = "STARTED",
	[STRM_JOB_RUNNING] = "RUNNING",
	[STRM_JOB_FINISHED] = "FINISHED",
	[STRM_JOB_ERROR_STARTING] = "ERROR_STARTING",
	[STRM_JOB_ERROR] = "ERROR",
};

const char *
strm_job_state_name(StrmJobState state)
{
	return state_names[state];
}

StrmJobState
strm_job_state_of(const char *name)
{
	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state_names[i], name) == 0)
			return i;
	}
	return STRM_JOB_ERROR;
}

/* A set of states as text[]. */
static Datum
strm_job_state_names(int states)
{
	Datum		names[lengthof(state_names)];
	int			n = 0;

	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (states & STRM_JOB_STATE(i))
			names[n++] = CStringGetTextDatum(state_names[i]);
	}
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Adds a row to the job's states, and when the state is another one than before, a message for strm.entity_log. The
 * caller holds the lock on the job's row.
 */
static void
strm_job_state_note(const pg_uuid_t *job, StrmJobState state, TimestampTz since, const StrmJobProgress *progress,
					const StrmJobError *error)
{
	StrmRegistryArgs args = {0};
	Datum		news;
	bool		isnull;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(job), false);
	strm_registry_add_text(&args, state_names[state]);
	strm_registry_add(&args, TIMESTAMPTZOID, TimestampTzGetDatum(since != 0 ? since : GetCurrentTimestamp()), false);
	strm_registry_add(&args, INT8OID, Int64GetDatum(progress ? progress->rows : 0), progress == NULL);
	strm_registry_add(&args, INT8OID, Int64GetDatum(progress ? progress->bytes : 0), progress == NULL);
	strm_registry_add(&args, INT8OID, Int64GetDatum(progress ? progress->rejected : 0), progress == NULL);
	strm_registry_add_text(&args, error ? unpack_sql_state(error->sqlstate) : NULL);
	strm_registry_add_text(&args, error ? error->message : NULL);
	strm_registry_add_text(&args, error ? error->detail : NULL);
	strm_registry_add_text(&args, error ? error->hint : NULL);
	(void) strm_registry_fetch("WITH last AS (SELECT number, state FROM strm.batch_job_state WHERE job_id = $1"
							   "  ORDER BY number DESC LIMIT 1)"
							   " INSERT INTO strm.batch_job_state"
							   " (job_id, number, state, since, row_count, byte_count, rejected_count,"
							   "  sqlstate, message, detail, hint)"
							   " SELECT $1, coalesce((SELECT number FROM last), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9,"
							   "  $10 RETURNING $2 IS DISTINCT FROM (SELECT state FROM last)",
							   STRM_REGISTRY_ARGS(&args), &news, &isnull);
	if (DatumGetBool(news))
		strm_entity_log_state("batch_job", job, state_names[state], state == STRM_JOB_ERROR,
							  error ? error->sqlstate : 0, error ? error->message : NULL, error ? error->hint : NULL);
}

void
strm_job_state_begin(const pg_uuid_t *job)
{
	strm_job_state_note(job, STRM_JOB_PENDING, 0, NULL, NULL);
}

bool
strm_job_state_move(const pg_uuid_t *job, int from, StrmJobState to, TimestampTz since,
					const StrmJobProgress *progress, const StrmJobError *error)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(job), false);
	strm_registry_add_text(&args, state_names[to]);
	strm_registry_add(&args, TEXTARRAYOID, strm_job_state_names(from), false);
	strm_registry_add(&args, INT4OID, Int32GetDatum(to == STRM_JOB_STARTED ? 1 : 0), false);
	if (strm_registry_execute("UPDATE strm.batch_job SET state = $2, tries = tries + $4"
							  " WHERE id = $1 AND state = ANY ($3)", STRM_REGISTRY_ARGS(&args)) == 0)
		return false;
	strm_job_state_note(job, to, since, progress, error);
	return true;
}

/* A text column of a result, NULL when it is null. */
static const char *
strm_job_state_text(const StrmRegistryRows *rows, int column)
{
	return rows->nulls[column] ? NULL : TextDatumGetCString(rows->values[column]);
}

static uint64
strm_job_state_count(const StrmRegistryRows *rows, int column)
{
	return rows->nulls[column] ? 0 : DatumGetInt64(rows->values[column]);
}

static int
strm_job_state_sqlstate(const char *text)
{
	if (text == NULL || strlen(text) != 5)
		return STRM_ERR_INTERNAL;
	return MAKE_SQLSTATE(text[0], text[1], text[2], text[3], text[4]);
}

bool
strm_job_state_read(const pg_uuid_t *job, StrmJobOutcome *outcome)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(job), false);
	rows = strm_registry_select("SELECT j.state, j.tries, s.row_count, s.rejected_count, s.byte_count, s.sqlstate,"
								" s.message, s.detail, s.hint"
								" FROM strm.batch_job j LEFT JOIN strm.batch_job_state s ON s.job_id = j.id"
								" WHERE j.id = $1 ORDER BY s.number DESC LIMIT 1", STRM_REGISTRY_ARGS(&args));
	if (rows->n == 0)
		return false;
	outcome->state = strm_job_state_of(strm_job_state_text(rows, 0));
	outcome->tries = DatumGetInt32(rows->values[1]);
	outcome->final = outcome->state == STRM_JOB_FINISHED || outcome->state == STRM_JOB_ERROR ||
		(outcome->state == STRM_JOB_ERROR_STARTING && outcome->tries >= STRM_JOB_TRIES);
	outcome->progress.rows = strm_job_state_count(rows, 2);
	outcome->progress.rejected = strm_job_state_count(rows, 3);
	outcome->progress.bytes = strm_job_state_count(rows, 4);
	outcome->error.sqlstate = strm_job_state_sqlstate(strm_job_state_text(rows, 5));
	outcome->error.message = strm_job_state_text(rows, 6);
	outcome->error.detail = strm_job_state_text(rows, 7);
	outcome->error.hint = strm_job_state_text(rows, 8);
	return true;
}

StrmJobError
strm_job_error_lost(void)
{
	StrmJobError error = {
		.sqlstate = STRM_ERR_LOST,
		.message = "the process that ran the batch job is gone",
		.detail = "The server was stopped or crashed, or the process was killed. What it had written is taken away.",
		.hint = "Run the job again.",
	};

	return error;
}

StrmJobError
strm_job_error_cancelled(void)
{
	StrmJobError error = {
		.sqlstate = STRM_ERR_CANCELLED,
		.message = "the batch job was cancelled",
	};

	return error;
}
