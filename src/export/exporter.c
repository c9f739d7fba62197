/*
 * exporter.c
 *	  Definitions of Kafka clusters and exporters: rows of the registry as structs.
 *
 *	  Readers look up the registry's tables before they read: from then on the catalog's generation moves when one of
 *	  these definitions changes.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "export/exporter.h"
#include "strm_privacy.h"

/* Hex digits of a cluster's id in the name of its slot. */
#define STRM_SLOT_NAME_DIGITS 16

/* Columns of the statements below. */
enum
{
	CLUSTER_ID, CLUSTER_NAME, CLUSTER_OWNER, CLUSTER_SERVERS, CLUSTER_CONFIG, CLUSTER_CREDENTIALS, CLUSTER_TRUSTED,
	CLUSTER_OURS, CLUSTER_HAS_SLOT
};

enum
{
	EXPORTER_ID, EXPORTER_NAME, EXPORTER_OWNER, EXPORTER_CLUSTER, EXPORTER_STREAM, EXPORTER_DERIVED, EXPORTER_TOPIC,
	EXPORTER_PARTITIONS, EXPORTER_FORMAT, EXPORTER_TRANSACTIONAL, EXPORTER_INCLUDE_EXISTING, EXPORTER_PAUSED,
	EXPORTER_DEFINED_AT, EXPORTER_DEFINED_LSN
};

/*
 * $1 and $2 tell this database of this server. pg_upgrade makes a server of another identifier, and may take the slot
 * along: then the cluster is ours still.
 */
#define STRM_CLUSTER_SELECT \
	"SELECT c.id, c.name, c.owner::oid, c.bootstrap_servers, c.config, c.credentials, c.trusted," \
	" c.database = $1 AND c.system_identifier = $2 OR EXISTS" \
	"  (SELECT FROM pg_replication_slots s WHERE s.plugin = '" STRM_EXTENSION_NAME "' AND s.datoid = $1 AND s.slot_name" \
	"   = ('strm_kafka_' || $1 || '_' || left(replace(c.id::text, '-', ''), 16))::name)," \
	" EXISTS (SELECT FROM strm.kafka_cluster_slot s WHERE s.cluster_id = c.id)" \
	" FROM strm.kafka_cluster c "

#define STRM_EXPORTER_SELECT \
	"SELECT id, name, owner::oid, cluster_id, stream_id, derived_stream_id, topic, partitions, format, transactional," \
	" include_existing_events, paused, defined_at, defined_lsn FROM strm.kafka_exporter "

char *
strm_kafka_slot_name(const pg_uuid_t *cluster)
{
	char		digits[STRM_SLOT_NAME_DIGITS + 1];

	for (int i = 0; i < STRM_SLOT_NAME_DIGITS / 2; i++)
		snprintf(digits + 2 * i, 3, "%02x", cluster->data[i]);
	return psprintf("strm_kafka_%u_%s", MyDatabaseId, digits);
}

static StrmKafkaCluster *
strm_kafka_cluster_of_row(const Datum *values, const bool *nulls)
{
	StrmKafkaCluster *cluster = palloc0(sizeof(StrmKafkaCluster));

	cluster->id = *DatumGetUUIDP(values[CLUSTER_ID]);
	cluster->name = TextDatumGetCString(values[CLUSTER_NAME]);
	cluster->owner = DatumGetObjectId(values[CLUSTER_OWNER]);
	cluster->bootstrap_servers = TextDatumGetCString(values[CLUSTER_SERVERS]);
	cluster->embedded = strcmp(cluster->bootstrap_servers, STRM_KAFKA_EMBEDDED) == 0;
	cluster->config = DatumGetJsonbPCopy(values[CLUSTER_CONFIG]);
	cluster->credentials = nulls[CLUSTER_CREDENTIALS] ? NULL : DatumGetByteaPCopy(values[CLUSTER_CREDENTIALS]);
	cluster->trusted = DatumGetBool(values[CLUSTER_TRUSTED]);
	cluster->ours = DatumGetBool(values[CLUSTER_OURS]);
	cluster->has_slot = DatumGetBool(values[CLUSTER_HAS_SLOT]);
	return cluster;
}

/* Clusters that a statement finds, whose parameter $3 is given; type InvalidOid: it has none. */
static List *
strm_kafka_clusters_where(const char *sql, Oid type, Datum value)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;
	List	   *clusters = NIL;

	(void) strm_catalog_table(STRM_TABLE_KAFKA_CLUSTER);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(&args, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), false);
	if (OidIsValid(type))
		strm_registry_add(&args, type, value, false);
	rows = strm_registry_select(sql, STRM_REGISTRY_ARGS(&args));
	for (uint64 i = 0; i < rows->n; i++)
		clusters = lappend(clusters, strm_kafka_cluster_of_row(rows->values + i * rows->ncolumns,
															   rows->nulls + i * rows->ncolumns));
	return clusters;
}

List *
strm_kafka_clusters(void)
{
	return strm_kafka_clusters_where(STRM_CLUSTER_SELECT "ORDER BY c.name", InvalidOid, (Datum) 0);
}

StrmKafkaCluster *
strm_kafka_cluster_by_id(const pg_uuid_t *id)
{
	List	   *clusters = strm_kafka_clusters_where(STRM_CLUSTER_SELECT "WHERE c.id = $3", UUIDOID, UUIDPGetDatum(id));

	return clusters == NIL ? NULL : linitial(clusters);
}

StrmKafkaCluster *
strm_kafka_cluster_by_name(const char *name)
{
	List	   *clusters = strm_kafka_clusters_where(STRM_CLUSTER_SELECT "WHERE c.name = $3", TEXTOID,
													CStringGetTextDatum(name));

	if (clusters == NIL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("Kafka cluster \"%s\" does not exist", name),
				errhint("strm.kafka_clusters lists the Kafka clusters."));
	return linitial(clusters);
}

void
strm_kafka_cluster_take_over(const pg_uuid_t *cluster)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(cluster), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(&args, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), false);
	if (strm_registry_execute("UPDATE strm.kafka_cluster SET database = $2, system_identifier = $3"
							  " WHERE id = $1 AND (database <> $2 OR system_identifier <> $3)",
							  STRM_REGISTRY_ARGS(&args)) > 0)
		strm_registry_execute("UPDATE strm.kafka_exporter_state SET epoch = epoch + 1"
							  " WHERE exporter_id IN (SELECT id FROM strm.kafka_exporter WHERE cluster_id = $1)",
							  1, args.types, args.values, args.nulls);
}

static StrmKafkaExporter *
strm_kafka_exporter_of_row(const Datum *values, const bool *nulls)
{
	StrmKafkaExporter *exporter = palloc0(sizeof(StrmKafkaExporter));
	char	   *format = TextDatumGetCString(values[EXPORTER_FORMAT]);

	exporter->id = *DatumGetUUIDP(values[EXPORTER_ID]);
	exporter->name = TextDatumGetCString(values[EXPORTER_NAME]);
	exporter->owner = DatumGetObjectId(values[EXPORTER_OWNER]);
	exporter->cluster = *DatumGetUUIDP(values[EXPORTER_CLUSTER]);
	exporter->stream = *DatumGetUUIDP(values[EXPORTER_STREAM]);
	exporter->is_derived = !nulls[EXPORTER_DERIVED];
	if (exporter->is_derived)
		exporter->derived = *DatumGetUUIDP(values[EXPORTER_DERIVED]);
	exporter->topic = TextDatumGetCString(values[EXPORTER_TOPIC]);
	exporter->partitions = DatumGetInt32(values[EXPORTER_PARTITIONS]);
	exporter->format = strcmp(format, "avro") == 0 ? STRM_EXPORT_AVRO : STRM_EXPORT_JSON;
	exporter->transactional = DatumGetBool(values[EXPORTER_TRANSACTIONAL]);
	exporter->include_existing = DatumGetBool(values[EXPORTER_INCLUDE_EXISTING]);
	exporter->paused = DatumGetBool(values[EXPORTER_PAUSED]);
	exporter->defined_at = TextDatumGetCString(values[EXPORTER_DEFINED_AT]);
	exporter->defined_lsn = DatumGetLSN(values[EXPORTER_DEFINED_LSN]);
	return exporter;
}

/* Exporters that a statement with one parameter finds. */
static List *
strm_kafka_exporters_where(const char *sql, Oid type, Datum value)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;
	List	   *exporters = NIL;

	(void) strm_catalog_table(STRM_TABLE_KAFKA_EXPORTER);
	strm_registry_add(&args, type, value, false);
	rows = strm_registry_select(sql, STRM_REGISTRY_ARGS(&args));
	for (uint64 i = 0; i < rows->n; i++)
		exporters = lappend(exporters, strm_kafka_exporter_of_row(rows->values + i * rows->ncolumns,
																  rows->nulls + i * rows->ncolumns));
	return exporters;
}

List *
strm_kafka_exporters(const pg_uuid_t *cluster)
{
	return strm_kafka_exporters_where(STRM_EXPORTER_SELECT "WHERE cluster_id = $1 ORDER BY name", UUIDOID,
									  UUIDPGetDatum(cluster));
}

StrmKafkaExporter *
strm_kafka_exporter_by_name(const char *name)
{
	List	   *exporters = strm_kafka_exporters_where(STRM_EXPORTER_SELECT "WHERE name = $1", TEXTOID,
													   CStringGetTextDatum(name));

	if (exporters == NIL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("Kafka exporter \"%s\" does not exist", name),
				errhint("strm.kafka_exporters lists the Kafka exporters."));
	return linitial(exporters);
}

void
strm_kafka_cluster_note_slot(const pg_uuid_t *cluster, XLogRecPtr consistent)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(cluster), false);
	strm_registry_add_text(&args, strm_kafka_slot_name(cluster));
	strm_registry_add(&args, PG_LSNOID, LSNGetDatum(consistent), false);
	strm_registry_execute("INSERT INTO strm.kafka_cluster_slot (cluster_id, slot_name, consistent_lsn)"
						  " VALUES ($1, $2, $3) ON CONFLICT (cluster_id) DO UPDATE"
						  " SET slot_name = EXCLUDED.slot_name, consistent_lsn = EXCLUDED.consistent_lsn,"
						  "  created_at = clock_timestamp()",
						  STRM_REGISTRY_ARGS(&args));
}
