/*
 * batch_exporter_control.c
 *	  What is done to batch exporters once they are there: alter, pause, resume, drop; and which are this database's.
 *
 *	  Definitions are changed here, and a worker sees them anew at commit. States are the worker's, but for ERROR, in
 *	  which it leaves an exporter alone, and those of exporters that are not this database's.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "api/args.h"
#include "api/batch_exporter.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "export/decoder.h"
#include "export/snapshot.h"
#include "strm_privacy.h"
#include "worker/database_command.h"

PG_FUNCTION_INFO_V1(strm_sql_alter_batch_exporter);
PG_FUNCTION_INFO_V1(strm_sql_batch_exporter_origins);
PG_FUNCTION_INFO_V1(strm_sql_drop_batch_exporter);
PG_FUNCTION_INFO_V1(strm_sql_pause_batch_exporter);
PG_FUNCTION_INFO_V1(strm_sql_resume_batch_exporter);

/*
 * The exporter of that name, its row locked, if the current user may change it: its owner and strm_admin. Raises 42704
 * or 42501.
 */
static StrmBatchExporter *
strm_batch_exporter_manage(const char *name)
{
	StrmRegistryArgs args = {0};
	StrmBatchExporter *exporter;

	strm_registry_add_text(&args, name);
	strm_registry_execute("SELECT FROM strm.batch_exporter WHERE name = $1 FOR NO KEY UPDATE",
						  STRM_REGISTRY_ARGS(&args));
	exporter = strm_batch_exporter_by_name(name);
	if (!has_privs_of_role(GetUserId(), exporter->owner) && !strm_args_has_role("strm_admin"))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be owner of batch exporter \"%s\", or have role strm_admin", name));
	return exporter;
}

/* Runs a statement on an exporter, $1, and wakes the worker when it commits. */
static void
strm_batch_exporter_execute(const StrmBatchExporter *exporter, const char *sql)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_execute(sql, STRM_REGISTRY_ARGS(&args));
	strm_worker_nudge_at_commit();
}

/* Raises unless the current user may give the exporter to that role, and the role may export. */
static void
strm_batch_exporter_check_owner(StrmBatchExporter *exporter, Oid owner)
{
	const char *refusal;
	char	   *name = GetUserNameFromId(owner, false);

	if (!strm_args_has_role("strm_admin") && !is_member_of_role(GetUserId(), owner))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be member of role \"%s\" to make it the owner of batch exporter \"%s\"", name,
					   exporter->name));
	exporter->owner = owner;
	refusal = strm_batch_exporter_refusal(exporter);
	if (refusal != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("role \"%s\" may not export what batch exporter \"%s\" does", name, exporter->name),
				errdetail("Reason: %s.", refusal));
}

/*
 * Raises unless the current user may send the exporter's files elsewhere: decrypted values and keys are for those who
 * may export them.
 */
static void
strm_batch_exporter_check_move(const StrmBatchExporter *exporter)
{
	const char *refusal = NULL;

	if (exporter->is_derived || exporter->keys)
		refusal = strm_batch_exporter_refusal_of_source(GetUserId(), exporter);
	if (refusal != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("permission denied to change path_prefix of batch exporter \"%s\"", exporter->name),
				errdetail("It exports %s, and: %s.", exporter->keys ? "keys" : "decrypted values", refusal));
}

/* The connector, if the current user may use it. */
static StrmConnector *
strm_batch_exporter_own_connector(const StrmBatchExporter *exporter)
{
	StrmRegistryArgs args = {0};
	Datum		name;
	bool		isnull;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->connector), false);
	(void) strm_registry_fetch("SELECT name FROM strm.data_connector WHERE id = $1", STRM_REGISTRY_ARGS(&args), &name,
							   &isnull);
	return strm_batch_exporter_connector(TextDatumGetCString(name));
}

/* Takes new_name, every and path_prefix over where they are given: raises all that is wrong with them. */
static void
strm_batch_exporter_read_changes(FunctionCallInfo fcinfo, StrmBatchExporter *exporter)
{
	char	   *primary = psprintf("batch exporter \"%s\" is not valid", exporter->name);
	StrmFaults	faults;

	strm_faults_init(&faults);
	if (!PG_ARGISNULL(1))
		exporter->name = strm_args_text(fcinfo, 1, "new_name");
	if (!PG_ARGISNULL(3))
		exporter->every = strm_batch_exporter_seconds(PG_GETARG_INTERVAL_P(3), &faults);
	if (!PG_ARGISNULL(4))
		exporter->path_prefix = strm_args_text(fcinfo, 4, "path_prefix");
	if (!PG_ARGISNULL(1) || !PG_ARGISNULL(4))
	{
		strm_batch_exporter_check_paths(exporter, &faults);
		strm_batch_exporter_lock_places();
		strm_batch_exporter_check_place(exporter, &faults);
	}
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, primary, NULL);
}

/*
 * strm.alter_batch_exporter(name text, new_name text, new_owner regrole, every interval, path_prefix text) RETURNS void
 */
Datum
strm_sql_alter_batch_exporter(PG_FUNCTION_ARGS)
{
	StrmBatchExporter *exporter = strm_batch_exporter_manage(strm_args_text(fcinfo, 0, "name"));
	char	   *prefix = exporter->path_prefix;
	StrmRegistryArgs args = {0};

	strm_batch_exporter_read_changes(fcinfo, exporter);
	if (!PG_ARGISNULL(2))
		strm_batch_exporter_check_owner(exporter, PG_GETARG_OID(2));
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_add_text(&args, exporter->name);
	if (strm_registry_execute("SELECT FROM strm.batch_exporter WHERE name = $2 AND id <> $1",
							  STRM_REGISTRY_ARGS(&args)) > 0)
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("batch exporter \"%s\" already exists", exporter->name));
	if (strcmp(prefix, exporter->path_prefix) != 0)
	{
		strm_batch_exporter_check_move(exporter);
		strm_batch_exporter_try(strm_batch_exporter_own_connector(exporter), exporter->path_prefix);
	}
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(exporter->owner), false);
	strm_registry_add(&args, INT4OID, Int32GetDatum(exporter->every), false);
	strm_registry_add_text(&args, exporter->path_prefix);
	strm_registry_execute("UPDATE strm.batch_exporter SET name = $2, owner = $3::regrole,"
						  " every = make_interval(secs => $4), path_prefix = $5 WHERE id = $1",
						  STRM_REGISTRY_ARGS(&args));
	strm_worker_nudge_at_commit();
	PG_RETURN_VOID();
}

/* strm.drop_batch_exporter(name text) RETURNS void. Its files stay. */
Datum
strm_sql_drop_batch_exporter(PG_FUNCTION_ARGS)
{
	strm_batch_exporter_status_sweep();
	strm_batch_exporter_execute(strm_batch_exporter_manage(strm_args_text(fcinfo, 0, "name")),
								"DELETE FROM strm.batch_exporter WHERE id = $1");
	PG_RETURN_VOID();
}

/* strm.pause_batch_exporter(name text) RETURNS void */
Datum
strm_sql_pause_batch_exporter(PG_FUNCTION_ARGS)
{
	strm_batch_exporter_execute(strm_batch_exporter_manage(strm_args_text(fcinfo, 0, "name")),
								"UPDATE strm.batch_exporter SET paused = true WHERE id = $1");
	PG_RETURN_VOID();
}

/* One that is to go on, at once. */
static void
strm_batch_exporter_retry(const StrmBatchExporter *exporter, StrmBatchExporterStatus *status)
{
	status->state = STRM_BATCH_EXPORTER_RETRYING;
	status->since = GetCurrentTimestamp();
	status->tries = 0;
	status->next_at = status->since;
	strm_batch_exporter_status_write(&exporter->id, status);
}

/*
 * Of a copy: the exporter becomes this database's. One whose state is known (not of a dump) goes on from there: events
 * are told by their transactions, which are the same. Others begin as new ones.
 */
static void
strm_batch_exporter_take_over(const StrmBatchExporter *exporter)
{
	StrmRegistryArgs args = {0};
	StrmBatchExporterStatus status;

	strm_decoder_require();
	strm_batch_exporters_adopt();
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(&args, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), false);
	if (strm_batch_exporter_status_read(&exporter->id, &status))
	{
		strm_registry_execute("UPDATE strm.batch_exporter SET database = $2, system_identifier = $3 WHERE id = $1",
							  STRM_REGISTRY_ARGS(&args));
		strm_batch_exporter_retry(exporter, &status);
		return;
	}
	strm_registry_add_text(&args, strm_snapshot_text(strm_snapshot_take()));
	strm_registry_execute("UPDATE strm.batch_exporter SET database = $2, system_identifier = $3, defined_at = $4"
						  " WHERE id = $1",
						  STRM_REGISTRY_ARGS(&args));
	memset(&status, 0, sizeof(status));
	status.state = STRM_BATCH_EXPORTER_CREATING;
	status.since = GetCurrentTimestamp();
	strm_batch_exporter_status_write(&exporter->id, &status);
}

/* strm.resume_batch_exporter(name text) RETURNS void: one that was paused, has failed, or is a copy's */
Datum
strm_sql_resume_batch_exporter(PG_FUNCTION_ARGS)
{
	StrmBatchExporter *exporter = strm_batch_exporter_manage(strm_args_text(fcinfo, 0, "name"));
	StrmBatchExporterStatus status;

	if (!exporter->ours)
		strm_batch_exporter_take_over(exporter);
	else if (strm_batch_exporter_status_read(&exporter->id, &status) && status.state == STRM_BATCH_EXPORTER_ERROR)
		strm_batch_exporter_retry(exporter, &status);
	/* also when it was not paused: the generation moves, and the worker looks at the state anew */
	strm_batch_exporter_execute(exporter, "UPDATE strm.batch_exporter SET paused = false WHERE id = $1");
	PG_RETURN_VOID();
}

/* strm.batch_exporter_origins() RETURNS TABLE (id uuid, ours boolean) */
Datum
strm_sql_batch_exporter_origins(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *exporters = strm_batch_exporters();
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, exporters)
	{
		const StrmBatchExporter *exporter = lfirst(lc);
		Datum		values[2] = {UUIDPGetDatum(&exporter->id), BoolGetDatum(exporter->ours)};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
