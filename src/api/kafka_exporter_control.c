/*
 * kafka_exporter_control.c
 *	  What is done to Kafka exporters once they are there: alter, pause, resume, rebuild, drop.
 *
 *	  Definitions are changed here, and a worker sees them anew at commit. States are the worker's, but for those in
 *	  which it leaves an exporter alone (ERROR, BROKEN).
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/kafka.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "export/decoder.h"
#include "export/exporter.h"
#include "export/snapshot.h"
#include "strm_privacy.h"
#include "worker/database_command.h"

PG_FUNCTION_INFO_V1(strm_sql_alter_kafka_exporter);
PG_FUNCTION_INFO_V1(strm_sql_drop_kafka_exporter);
PG_FUNCTION_INFO_V1(strm_sql_pause_kafka_exporter);
PG_FUNCTION_INFO_V1(strm_sql_rebuild_kafka_exporter);
PG_FUNCTION_INFO_V1(strm_sql_resume_kafka_exporter);

StrmKafkaExporter *
strm_kafka_exporter_manage(const char *name)
{
	StrmRegistryArgs args = {0};
	StrmKafkaExporter *exporter;

	strm_registry_add_text(&args, name);
	strm_registry_execute("SELECT FROM strm.kafka_exporter WHERE name = $1 FOR NO KEY UPDATE",
						  STRM_REGISTRY_ARGS(&args));
	exporter = strm_kafka_exporter_by_name(name);
	if (!has_privs_of_role(GetUserId(), exporter->owner) && !strm_args_has_role("strm_admin"))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be owner of Kafka exporter \"%s\", or have role strm_admin", name));
	return exporter;
}

/* Runs a statement on an exporter, $1, and wakes the worker when it commits. */
static void
strm_kafka_exporter_execute(const StrmKafkaExporter *exporter, const char *sql)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_execute(sql, STRM_REGISTRY_ARGS(&args));
	strm_worker_nudge_at_commit();
}

/* Raises unless the current user may give the exporter to that role, and the role may publish. */
static void
strm_kafka_exporter_check_owner(StrmKafkaExporter *exporter, Oid owner)
{
	const char *refusal;
	char	   *name = GetUserNameFromId(owner, false);

	if (!strm_args_has_role("strm_admin") && !is_member_of_role(GetUserId(), owner))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be member of role \"%s\" to make it the owner of Kafka exporter \"%s\"", name,
					   exporter->name));
	exporter->owner = owner;
	refusal = strm_exporter_refusal(exporter);
	if (refusal != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("role \"%s\" may not publish what Kafka exporter \"%s\" does", name, exporter->name),
				errdetail("Reason: %s.", refusal));
}

/* strm.alter_kafka_exporter(name text, new_name text, new_owner regrole) RETURNS void */
Datum
strm_sql_alter_kafka_exporter(PG_FUNCTION_ARGS)
{
	StrmKafkaExporter *exporter = strm_kafka_exporter_manage(strm_args_text(fcinfo, 0, "name"));
	char	   *new_name = strm_args_text_or_null(fcinfo, 1);
	StrmRegistryArgs args = {0};

	if (new_name == NULL)
		new_name = exporter->name;
	else
		strm_args_check_label(new_name, "the name of a Kafka exporter", 1, 100);
	if (!PG_ARGISNULL(2))
		strm_kafka_exporter_check_owner(exporter, PG_GETARG_OID(2));
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_add_text(&args, new_name);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(exporter->owner), false);
	if (strm_registry_execute("SELECT FROM strm.kafka_exporter WHERE name = $2 AND id <> $1",
							  STRM_REGISTRY_ARGS(&args)) > 0)
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("Kafka exporter \"%s\" already exists", new_name));
	strm_registry_execute("UPDATE strm.kafka_exporter SET name = $2, owner = $3::regrole WHERE id = $1",
						  STRM_REGISTRY_ARGS(&args));
	strm_worker_nudge_at_commit();
	PG_RETURN_VOID();
}

/* strm.drop_kafka_exporter(name text) RETURNS void. The topic stays. */
Datum
strm_sql_drop_kafka_exporter(PG_FUNCTION_ARGS)
{
	strm_kafka_exporter_execute(strm_kafka_exporter_manage(strm_args_text(fcinfo, 0, "name")),
								"DELETE FROM strm.kafka_exporter WHERE id = $1");
	PG_RETURN_VOID();
}

/* strm.pause_kafka_exporter(name text) RETURNS void */
Datum
strm_sql_pause_kafka_exporter(PG_FUNCTION_ARGS)
{
	strm_kafka_exporter_execute(strm_kafka_exporter_manage(strm_args_text(fcinfo, 0, "name")),
								"UPDATE strm.kafka_exporter SET paused = true WHERE id = $1");
	PG_RETURN_VOID();
}

/* Raises when a broken exporter is to be resumed, which would leave a gap. */
static void
strm_kafka_exporter_check_whole(const StrmKafkaExporter *exporter, const StrmExporterStatus *status)
{
	if (status->state == STRM_EXPORTER_BROKEN)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("Kafka exporter \"%s\" is broken", exporter->name),
				errdetail("Its place in the WAL is lost."),
				errhint("strm.rebuild_kafka_exporter() publishes what was missed, and goes on."));
}

/* strm.resume_kafka_exporter(name text) RETURNS void: one that was paused, or has failed */
Datum
strm_sql_resume_kafka_exporter(PG_FUNCTION_ARGS)
{
	StrmKafkaExporter *exporter = strm_kafka_exporter_manage(strm_args_text(fcinfo, 0, "name"));
	StrmExporterStatus status;

	if (strm_exporter_status_read(&exporter->id, &status))
	{
		strm_kafka_exporter_check_whole(exporter, &status);
		if (status.state == STRM_EXPORTER_ERROR)
		{
			status.state = XLogRecPtrIsInvalid(status.start_lsn) ? STRM_EXPORTER_CREATING : STRM_EXPORTER_RETRYING;
			status.since = GetCurrentTimestamp();
			strm_exporter_status_write(&exporter->id, &status);
		}
	}
	/* also when it was not paused: the generation moves, and the worker looks at the state anew */
	strm_kafka_exporter_execute(exporter, "UPDATE strm.kafka_exporter SET paused = false WHERE id = $1");
	PG_RETURN_VOID();
}

/*
 * An exporter that never published here comes from a dump. Its epoch must be beyond those that the topic has seen,
 * which count rebuilds: minutes since 2000 are. The snapshot of its definition is of another server's transactions: it
 * begins anew, but does not publish what it finds in the topic from its beginning on.
 */
static void
strm_kafka_exporter_begin_anew(const StrmKafkaExporter *exporter, StrmExporterStatus *status)
{
	memset(status, 0, sizeof(StrmExporterStatus));
	status->epoch = (uint32) (GetCurrentTimestamp() / USECS_PER_MINUTE);
	status->nstarts = exporter->partitions;
	status->starts = palloc0(status->nstarts * sizeof(int64));
	strm_kafka_exporter_execute(exporter,
								psprintf("UPDATE strm.kafka_exporter SET defined_at = %s,"
										 " defined_lsn = pg_current_wal_insert_lsn() WHERE id = $1",
										 quote_literal_cstr(strm_snapshot_text(strm_snapshot_take()))));
}

/*
 * The cluster's exporters become this server's: each is broken until it is rebuilt, also those of which this server
 * knows nothing.
 */
static void
strm_kafka_exporter_take_over(const StrmKafkaCluster *cluster)
{
	StrmRegistryArgs args = {0};
	List	   *exporters = strm_kafka_exporters(&cluster->id);
	ListCell   *lc;

	foreach(lc, exporters)
	{
		const StrmKafkaExporter *exporter = lfirst(lc);
		StrmExporterStatus status;

		if (!strm_exporter_status_read(&exporter->id, &status) ||
			(XLogRecPtrIsInvalid(status.start_lsn) && status.checkpoint == NULL))
			strm_kafka_exporter_begin_anew(exporter, &status);
		status.state = STRM_EXPORTER_BROKEN;
		status.since = GetCurrentTimestamp();
		status.sqlstate = STRM_ERR_STATE;
		status.message = "the exporter belongs to another server or database, of which this one is a copy";
		status.hint = "Use strm.rebuild_kafka_exporter() if the original does not publish any more.";
		strm_exporter_status_write(&exporter->id, &status);
	}
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&cluster->id), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(&args, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), false);
	strm_registry_execute("DELETE FROM strm.kafka_cluster_slot WHERE cluster_id = $1", 1, args.types, args.values,
						  args.nulls);
	strm_registry_execute("UPDATE strm.kafka_cluster SET database = $2, system_identifier = $3 WHERE id = $1",
						  STRM_REGISTRY_ARGS(&args));
}

/* Forgets where the exporter was, but not what is known to be published. */
static void
strm_kafka_exporter_rebuild(const StrmKafkaExporter *exporter, StrmExporterStatus *status)
{
	status->state = STRM_EXPORTER_CREATING;
	status->since = GetCurrentTimestamp();
	status->sqlstate = 0;
	status->message = NULL;
	status->hint = NULL;
	status->epoch++;
	status->start_lsn = InvalidXLogRecPtr;
	status->start_timeline = 0;
	status->backfill = NULL;
	strm_exporter_status_write(&exporter->id, status);
	strm_kafka_exporter_execute(exporter, "UPDATE strm.kafka_exporter SET paused = false WHERE id = $1");
}

/* strm.rebuild_kafka_exporter(name text) RETURNS void */
Datum
strm_sql_rebuild_kafka_exporter(PG_FUNCTION_ARGS)
{
	StrmKafkaExporter *exporter = strm_kafka_exporter_manage(strm_args_text(fcinfo, 0, "name"));
	StrmKafkaCluster *cluster = strm_kafka_cluster_by_id(&exporter->cluster);
	StrmExporterStatus status;

	strm_decoder_require();
	if (!cluster->ours)
		strm_kafka_exporter_take_over(cluster);
	if (!strm_exporter_status_read(&exporter->id, &status) || status.state != STRM_EXPORTER_BROKEN)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("Kafka exporter \"%s\" is not broken", exporter->name),
				errhint("strm.resume_kafka_exporter() makes one go on that is paused or has failed."));
	strm_kafka_exporter_rebuild(exporter, &status);
	PG_RETURN_VOID();
}
