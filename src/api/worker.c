/*
 * worker.c
 *	  What strm.workers shows, and the trigger that notifies changes of entities.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog/cache.h"
#include "catalog/entity_log.h"
#include "catalog/registry.h"
#include "common/uuid.h"
#include "strm_privacy.h"
#include "worker/export_slot.h"
#include "worker/database_command.h"
#include "worker/ingest_slot.h"
#include "worker/job_slot.h"
#include "worker/state.h"

#define STRM_NOTIFY_CHANNEL "strm_privacy"

PG_FUNCTION_INFO_V1(strm_sql_worker_processes);
PG_FUNCTION_INFO_V1(strm_sql_notify_entity);

/* Adds a row of strm.worker_processes(). pid 0: the worker is being started. what may be NULL. */
static void
strm_worker_put(ReturnSetInfo *result, const char *kind, Oid database, pid_t pid, TimestampTz since, const char *what)
{
	Datum		values[6] = {0};
	bool		nulls[6] = {false};

	values[0] = CStringGetTextDatum(kind);
	values[1] = ObjectIdGetDatum(database);
	nulls[1] = !OidIsValid(database);
	values[2] = Int32GetDatum(pid);
	nulls[2] = pid == 0;
	values[3] = TimestampTzGetDatum(since);
	values[4] = CStringGetTextDatum(pid == 0 ? "starting" : "running");
	nulls[5] = what == NULL;
	if (what != NULL)
		values[5] = CStringGetTextDatum(what);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* strm.worker_processes() RETURNS TABLE (kind text, database oid, pid int, since timestamptz, state text, what text) */
Datum
strm_sql_worker_processes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StrmSchedulerInfo launcher = strm_state_launcher();
	StrmSchedulerInfo *schedulers;
	StrmJobInfo *jobs;
	int			nschedulers = strm_state_schedulers(&schedulers);
	StrmExportInfo *exports;
	int			njobs = strm_job_slots(InvalidOid, &jobs);
	int			nexports = strm_export_slots(InvalidOid, &exports);
	StrmIngestInfo *ingests;
	int			ningests = strm_ingest_slots(InvalidOid, &ingests);

	InitMaterializedSRF(fcinfo, 0);
	if (launcher.pid != 0)
		strm_worker_put(result, "launcher", InvalidOid, launcher.pid, launcher.since, NULL);
	for (int i = 0; i < nschedulers; i++)
		strm_worker_put(result, "scheduler", schedulers[i].database, schedulers[i].pid, schedulers[i].since, NULL);
	for (int i = 0; i < njobs; i++)
	{
		if (jobs[i].starting || jobs[i].pid != 0)
			strm_worker_put(result, "job", jobs[i].database, jobs[i].pid, jobs[i].since,
							psprintf("batch job %s", strm_uuid_text(&jobs[i].job)));
	}
	for (int i = 0; i < nexports; i++)
	{
		if (strm_export_is_batch(&exports[i].cluster))
		{
			strm_worker_put(result, "batch export", exports[i].database, exports[i].pid, exports[i].since,
							"batch exporters");
			continue;
		}
		strm_worker_put(result, "kafka", exports[i].database, exports[i].pid, exports[i].since,
						psprintf(exports[i].check ? "checks a topic of Kafka cluster %s" : "Kafka cluster %s",
								 strm_uuid_text(&exports[i].cluster)));
	}
	for (int i = 0; i < ningests; i++)
		strm_worker_put(result, "ingest", ingests[i].database, ingests[i].pid, ingests[i].since,
						psprintf("ingest worker %d of %d", ingests[i].share.index + 1, ingests[i].share.of));
	return (Datum) 0;
}

/* The text of the column that a trigger's argument names; NULL when it names none, or the value has none. */
static char *
strm_notify_value(const TriggerData *trigger, HeapTuple tuple, int argument)
{
	const char *name = trigger->tg_trigger->tgargs[argument];
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			column = *name == '\0' ? SPI_ERROR_NOATTRIBUTE : SPI_fnumber(desc, name);
	bool		isnull;
	Datum		value;

	if (column <= 0)
		return NULL;
	if (SPI_gettypeid(desc, column) != REGCLASSOID)
		return SPI_getvalue(tuple, desc, column);
	/* of any session the same name, and none when the table is gone */
	value = SPI_getbinval(tuple, desc, column, &isnull);
	return get_rel_name(DatumGetObjectId(value)) == NULL ? NULL : strm_catalog_relation_name(DatumGetObjectId(value));
}

/* The name of the entity: of its row, or of a state's row that of the exporter. */
static char *
strm_notify_name(const TriggerData *trigger, HeapTuple tuple)
{
	StrmRegistryArgs args = {0};
	Datum		name;
	bool		isnull;

	if (strcmp(trigger->tg_trigger->tgargs[2], "exporter_id") != 0)
		return strm_notify_value(trigger, tuple, 2);
	strm_registry_add_text(&args, strm_notify_value(trigger, tuple, 2));
	return strm_registry_fetch("SELECT name FROM strm.kafka_exporter WHERE id = $1::uuid UNION ALL"
								" SELECT name FROM strm.batch_exporter WHERE id = $1::uuid", STRM_REGISTRY_ARGS(&args),
								&name, &isnull) ? TextDatumGetCString(name) : NULL;
}

/* The messages of an entity that is gone. Ids of all registry tables are uuids. */
static void
strm_notify_forget(const TriggerData *trigger, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			column = SPI_fnumber(desc, trigger->tg_trigger->tgargs[1]);
	bool		isnull = true;
	Datum		id = 0;

	if (column > 0 && SPI_gettypeid(desc, column) == UUIDOID)
		id = SPI_getbinval(tuple, desc, column, &isnull);
	if (!isnull)
		strm_entity_log_forget(DatumGetUUIDP(id));
}

static void
strm_notify_member(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\": ", json->len == 0 ? "{" : ", ", name);
	if (value == NULL)
		appendStringInfoString(json, "null");
	else
		escape_json(json, value);
}

/* strm.notify_entity(): row trigger; arguments: entity, columns of id, name (or of the id of who has it), status */
Datum
strm_sql_notify_entity(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StringInfoData json;
	HeapTuple	tuple;
	char	   *status;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || trigger->tg_trigger->tgnargs != 4)
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("strm.notify_entity() is a row trigger with four arguments"));
	tuple = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	status = strm_notify_value(trigger, tuple, 3);
	/* whatever made or dropped it, a worker may have to do with it */
	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		strm_worker_nudge_at_commit();
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		status = "DROPPED";
		strm_notify_forget(trigger, tuple);
	}

	initStringInfo(&json);
	strm_notify_member(&json, "entity", trigger->tg_trigger->tgargs[0]);
	strm_notify_member(&json, "id", strm_notify_value(trigger, tuple, 1));
	strm_notify_member(&json, "name", strm_notify_name(trigger, tuple));
	strm_notify_member(&json, "status", status != NULL ? status : "ACTIVE");
	appendStringInfoChar(&json, '}');
	Async_Notify(STRM_NOTIFY_CHANNEL, json.data);
	return PointerGetDatum(NULL);
}
