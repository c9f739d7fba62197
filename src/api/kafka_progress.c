/*
 * kafka_progress.c
 *	  What strm.kafka_clusters and strm.kafka_exporters show of workers that run.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "catalog/cache.h"
#include "export/exporter.h"
#include "strm_privacy.h"
#include "worker/export_slot.h"

PG_FUNCTION_INFO_V1(strm_sql_kafka_cluster_progress);
PG_FUNCTION_INFO_V1(strm_sql_kafka_exporter_progress);

enum
{
	CLUSTER_ID, CLUSTER_OURS, CLUSTER_PID, CLUSTER_SINCE, CLUSTER_POSITION, CLUSTER_CONFIRMED, CLUSTER_ADDRESS,
	CLUSTER_NCOLUMNS
};

enum
{
	EXPORTER_ID, EXPORTER_STATE, EXPORTER_POSITION, EXPORTER_HOLD, EXPORTER_HOLD_SINCE, EXPORTER_SENT,
	EXPORTER_WITHHELD, EXPORTER_FILTERED, EXPORTER_FAILED, EXPORTER_QUEUED, EXPORTER_LAST_SENT, EXPORTER_POSITIONS,
	EXPORTER_NCOLUMNS
};

/* An LSN or a time, of which zero is none. */
static void
strm_kafka_progress_lsn(XLogRecPtr lsn, Datum *value, bool *isnull)
{
	*isnull = XLogRecPtrIsInvalid(lsn);
	*value = LSNGetDatum(lsn);
}

static void
strm_kafka_progress_time(TimestampTz time, Datum *value, bool *isnull)
{
	*isnull = time == 0;
	*value = TimestampTzGetDatum(time);
}

/* strm.kafka_cluster_progress() */
Datum
strm_sql_kafka_cluster_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *clusters = strm_kafka_clusters();
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, clusters)
	{
		const StrmKafkaCluster *cluster = lfirst(lc);
		Datum		values[CLUSTER_NCOLUMNS] = {0};
		bool		nulls[CLUSTER_NCOLUMNS] = {false};
		StrmExportInfo info;

		if (!strm_export_slot_find(&cluster->id, &info))
			memset(&info, 0, sizeof(info));
		values[CLUSTER_ID] = UUIDPGetDatum(&cluster->id);
		values[CLUSTER_OURS] = BoolGetDatum(cluster->ours);
		values[CLUSTER_PID] = Int32GetDatum(info.pid);
		nulls[CLUSTER_PID] = info.pid == 0;
		strm_kafka_progress_time(info.since, &values[CLUSTER_SINCE], &nulls[CLUSTER_SINCE]);
		strm_kafka_progress_lsn(info.position, &values[CLUSTER_POSITION], &nulls[CLUSTER_POSITION]);
		strm_kafka_progress_lsn(info.confirmed, &values[CLUSTER_CONFIRMED], &nulls[CLUSTER_CONFIRMED]);
		values[CLUSTER_ADDRESS] = CStringGetTextDatum(info.address);
		nulls[CLUSTER_ADDRESS] = info.address[0] == '\0';
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The partitions of an exporter that anything was acknowledged of, as JSON. */
static Datum
strm_kafka_progress_positions(const StrmExportLive *exporter, const StrmExportPartition *partitions)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < exporter->npartitions; i++)
	{
		const StrmExportPartition *partition = &partitions[exporter->first + i];
		char		position[STRM_POSITION_SIZE];

		if (partition->offset < 0)
			continue;
		appendStringInfo(&json, "%s{\"partition\": %d, \"offset\": " INT64_FORMAT ", \"position\": ",
						 json.len > 1 ? ", " : "", i, partition->offset);
		if (partition->position.epoch == 0)
			appendStringInfoString(&json, "null}");
		else
		{
			(void) strm_position_write(&exporter->exporter, &partition->position, position);
			appendStringInfo(&json, "\"%s\"}", position);
		}
	}
	appendStringInfoChar(&json, ']');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static void
strm_kafka_progress_put(ReturnSetInfo *result, XLogRecPtr position, const StrmExportLive *exporter,
						const StrmExportPartition *partitions)
{
	Datum		values[EXPORTER_NCOLUMNS] = {0};
	bool		nulls[EXPORTER_NCOLUMNS] = {false};

	values[EXPORTER_ID] = UUIDPGetDatum(&exporter->exporter);
	values[EXPORTER_STATE] = CStringGetTextDatum(strm_exporter_state_name(exporter->state));
	strm_kafka_progress_lsn(position, &values[EXPORTER_POSITION], &nulls[EXPORTER_POSITION]);
	strm_kafka_progress_lsn(exporter->hold, &values[EXPORTER_HOLD], &nulls[EXPORTER_HOLD]);
	strm_kafka_progress_time(exporter->hold_since, &values[EXPORTER_HOLD_SINCE], &nulls[EXPORTER_HOLD_SINCE]);
	values[EXPORTER_SENT] = Int64GetDatum(exporter->sent);
	values[EXPORTER_WITHHELD] = Int64GetDatum(exporter->withheld);
	values[EXPORTER_FILTERED] = Int64GetDatum(exporter->filtered);
	values[EXPORTER_FAILED] = Int64GetDatum(exporter->failed);
	values[EXPORTER_QUEUED] = Int64GetDatum(exporter->queued);
	strm_kafka_progress_time(exporter->last_sent, &values[EXPORTER_LAST_SENT], &nulls[EXPORTER_LAST_SENT]);
	values[EXPORTER_POSITIONS] = strm_kafka_progress_positions(exporter, partitions);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* strm.kafka_exporter_progress() */
Datum
strm_sql_kafka_exporter_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *clusters = strm_kafka_clusters();
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, clusters)
	{
		const StrmKafkaCluster *cluster = lfirst(lc);
		StrmExportInfo info;
		StrmExportLive *exporters;
		StrmExportPartition *partitions;
		int			n;

		if (!strm_export_slot_find(&cluster->id, &info))
			continue;
		n = strm_export_live(&cluster->id, &exporters, &partitions);
		for (int i = 0; i < n; i++)
			strm_kafka_progress_put(result, info.position, &exporters[i], partitions);
	}
	return (Datum) 0;
}
