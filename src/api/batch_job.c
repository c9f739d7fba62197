/*
 * batch_job.c
 *	  strm.create_batch_job(), strm.run_batch_job(), strm.cancel_batch_job(), and what strm.batch_jobs shows of running
 *	  ones.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

#include "api/args.h"
#include "batch/job.h"
#include "batch/run.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/secret.h"
#include "common/statement.h"
#include "common/uuid.h"
#include "keys/wrapped_json.h"
#include "strm_privacy.h"
#include "worker/database_command.h"
#include "worker/job_session.h"
#include "worker/job_slot.h"
#include "worker/job_state.h"

PG_FUNCTION_INFO_V1(strm_sql_create_batch_job);
PG_FUNCTION_INFO_V1(strm_sql_run_batch_job);
PG_FUNCTION_INFO_V1(strm_sql_cancel_batch_job);
PG_FUNCTION_INFO_V1(strm_sql_batch_job_progress);

/* Jobs run in background workers, which there are only when the library was preloaded. */
static void
strm_batch_job_require_workers(void)
{
	if (!strm_state_ready())
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("batch jobs need background workers, and the library was not preloaded"),
				errhint("Add strm_privacy to shared_preload_libraries and restart the server."));
}

/* --- storing a job --- */

/* The configuration as the engine sees it, once it was checked. */
static StrmBatchJob *
strm_batch_job_parse(Jsonb *document, Jsonb *seeds)
{
	StrmFaults	faults;
	StringInfoData ignored;
	StrmBatchJob *job;

	strm_faults_init(&faults);
	initStringInfo(&ignored);
	job = strm_batch_job_read(document, seeds, &faults, &ignored);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, "the batch job is not valid", NULL);
	return job;
}

/* Checks and stores a job of the current user, PENDING. */
static void
strm_batch_job_store(const pg_uuid_t *id, Jsonb *document, bool synchronous)
{
	Jsonb	   *seeds;
	Jsonb	   *stored = strm_batch_job_take_seeds(document, &seeds);
	StrmRegistryArgs args = {0};
	StrmBatchJob *job;
	bool		of_stream;
	pg_uuid_t	group;

	if (strm_batch_job_names_seed(document))
		strm_statement_hide();
	strm_batch_job_check(document);
	job = strm_batch_job_parse(stored, seeds);
	of_stream = job->has_encrypted && job->encrypted.stream != NULL;
	group = job->has_group ? job->group : *id;
	if (!of_stream)
		strm_batch_group_make(job, &group);

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(id), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(GetUserId()), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&group), of_stream);
	strm_registry_add(&args, INT4OID, Int32GetDatum(job->contract->id), false);
	strm_registry_add(&args, JSONBOID, JsonbPGetDatum(stored), false);
	strm_registry_add(&args, BYTEAOID,
					  seeds == NULL ? (Datum) 0
					  : PointerGetDatum(strm_wrapped_json_make(STRM_SECRET_JOB_SEEDS, id, seeds)),
					  seeds == NULL);
	strm_registry_add_text(&args, namespace_search_path);
	strm_registry_add(&args, BOOLOID, BoolGetDatum(synchronous), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add_text(&args, strm_job_state_name(STRM_JOB_PENDING));
	(void) strm_registry_execute("INSERT INTO strm.batch_job"
								 " (id, owner, group_id, contract_id, job, seeds, search_path, synchronous, database,"
								 "  state)"
								 " VALUES ($1, $2::regrole, $3, $4, $5, $6, $7, $8, $9, $10)",
								 STRM_REGISTRY_ARGS(&args));
	if (seeds != NULL)
		strm_secret_wipe(seeds, VARSIZE(seeds));
	strm_job_state_begin(id);
}

/* strm.create_batch_job(job jsonb) RETURNS uuid */
Datum
strm_sql_create_batch_job(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	strm_args_require(fcinfo, 0, "job");
	strm_batch_job_require_workers();
	*id = strm_uuid_new();
	strm_batch_job_store(id, PG_GETARG_JSONB_P(0), false);
	strm_worker_nudge_at_commit();
	PG_RETURN_UUID_P(id);
}

/* --- running a job at once --- */

/* The session will not wait any longer: its job's worker shall stop. Also when the session ends. */
static void
strm_batch_job_abandon(int code, Datum slot)
{
	strm_job_slot_release((const StrmSlotRef *) DatumGetPointer(slot), true);
}

static void
strm_batch_job_report(const pg_uuid_t *id, const StrmJobOutcome *outcome)
{
	if (outcome->state == STRM_JOB_FINISHED)
		ereport(NOTICE,
				errmsg("batch job %s finished: %llu records read, %llu rejected", strm_uuid_text(id),
					   (unsigned long long) outcome->progress.rows, (unsigned long long) outcome->progress.rejected));
	else
		ereport(ERROR,
				errcode(outcome->error.sqlstate),
				errmsg("%s", outcome->error.message ? outcome->error.message : "the batch job failed"),
				outcome->error.detail ? errdetail("%s", outcome->error.detail) : 0,
				outcome->error.hint ? errhint("%s", outcome->error.hint) : 0,
				errcontext("batch job %s", strm_uuid_text(id)));
}

/* strm.run_batch_job(job jsonb), a procedure that commits */
Datum
strm_sql_run_batch_job(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	StrmJobOutcome outcome;
	StrmSlotRef slot;
	pg_uuid_t	id;

	if (call == NULL || !IsA(call, CallContext) || call->atomic || IsSubTransaction())
		ereport(ERROR,
				errcode(STRM_ERR_TRANSACTION),
				errmsg("strm.run_batch_job() cannot run inside a transaction block"),
				errhint("CALL it by itself, or use strm.create_batch_job()."));
	strm_args_require(fcinfo, 0, "job");
	strm_batch_job_require_workers();

	id = strm_uuid_new();
	if (!strm_job_slot_reserve(&id, true, &slot))
		ereport(ERROR,
				errcode(STRM_ERR_WORKERS),
				errmsg("there is no room for another batch job"),
				errhint("Raise max_worker_processes, or try again when other jobs have ended."));
	PG_ENSURE_ERROR_CLEANUP(strm_batch_job_abandon, PointerGetDatum(&slot));
	{
		SPI_connect_ext(SPI_OPT_NONATOMIC);
		strm_batch_job_store(&id, PG_GETARG_JSONB_P(0), true);
		ereport(NOTICE, errmsg("batch job %s", strm_uuid_text(&id)));
		strm_job_session_run(&id, &slot, &outcome);
		strm_batch_job_report(&id, &outcome);
		SPI_finish();
	}
	PG_END_ENSURE_ERROR_CLEANUP(strm_batch_job_abandon, PointerGetDatum(&slot));
	strm_job_slot_release(&slot, false);
	PG_RETURN_VOID();
}

/* --- cancelling --- */

/* strm.cancel_batch_job(id uuid) RETURNS void */
Datum
strm_sql_cancel_batch_job(PG_FUNCTION_ARGS)
{
	StrmJobError cancelled = strm_job_error_cancelled();
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;
	StrmJobOutcome outcome;
	pg_uuid_t  *id;

	strm_args_require(fcinfo, 0, "id");
	id = PG_GETARG_UUID_P(0);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(id), false);
	rows = strm_registry_select("UPDATE strm.batch_job SET cancel_requested = true WHERE id = $1 RETURNING owner::oid",
								STRM_REGISTRY_ARGS(&args));
	if (rows->n == 0 || !strm_job_state_read(id, &outcome))
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("batch job \"%s\" does not exist", strm_uuid_text(id)));
	if (!has_privs_of_role(GetUserId(), DatumGetObjectId(rows->values[0])) && !strm_args_has_role("strm_admin"))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("permission denied to cancel batch job \"%s\"", strm_uuid_text(id)),
				errdetail("Only its owner and roles with the privileges of role \"strm_admin\" may."));
	if (outcome.final)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("batch job \"%s\" has ended", strm_uuid_text(id)),
				errdetail("Its state is %s.", strm_job_state_name(outcome.state)));

	(void) strm_job_state_move(id, STRM_JOB_WAITING, STRM_JOB_ERROR, 0, NULL, &cancelled);
	strm_job_slot_cancel(id);
	PG_RETURN_VOID();
}

/* --- looking --- */

/* strm.batch_job_progress() RETURNS TABLE (id uuid, row_count bigint, rejected_count bigint, byte_count bigint) */
Datum
strm_sql_batch_job_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrmJobInfo *infos;
	int			n = strm_job_slots(MyDatabaseId, &infos);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false};

		values[0] = UUIDPGetDatum(&infos[i].job);
		values[1] = Int64GetDatum(infos[i].progress.rows);
		values[2] = Int64GetDatum(infos[i].progress.rejected);
		values[3] = Int64GetDatum(infos[i].progress.bytes);
		if (infos[i].running_since != 0)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
