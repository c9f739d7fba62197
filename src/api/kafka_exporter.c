/*
 * kafka_exporter.c
 *	  strm.create_kafka_exporter(): what is checked before, the topic, and the rows that make a worker begin.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "api/args.h"
#include "api/exporter_source.h"
#include "api/kafka.h"
#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "export/avro.h"
#include "export/decoder.h"
#include "export/exporter.h"
#include "export/snapshot.h"
#include "strm_privacy.h"
#include "worker/database_command.h"
#include "worker/kafka_check.h"

#define STRM_KAFKA_TOPIC_MAX 249
#define STRM_KAFKA_PARTITIONS_MAX 10000
#define STRM_KAFKA_NAME_MAX 100

/* What the arguments ask for. */
typedef struct StrmKafkaRequest
{
	StrmKafkaExporter exporter;
	StrmExporterSource source;
	StrmKafkaCluster *cluster;
	char	   *format;
} StrmKafkaRequest;

PG_FUNCTION_INFO_V1(strm_sql_create_kafka_exporter);

/* The source's ids, in the exporter. */
static void
strm_kafka_request_source(StrmKafkaRequest *request)
{
	request->exporter.stream = request->source.stream;
	request->exporter.is_derived = request->source.is_derived;
	request->exporter.derived = request->source.derived;
}

/*
 * The cluster of that name, if the current user may use it. Its row is kept from being dropped and altered: who alters
 * it then sees the exporter, and whether he may send what it publishes elsewhere.
 */
static StrmKafkaCluster *
strm_kafka_request_cluster(const char *name)
{
	StrmRegistryArgs args = {0};
	StrmKafkaCluster *cluster;

	strm_registry_add_text(&args, name);
	strm_registry_execute("SELECT FROM strm.kafka_cluster WHERE name = $1 FOR SHARE", STRM_REGISTRY_ARGS(&args));
	cluster = strm_kafka_cluster_by_name(name);
	if (!strm_kafka_cluster_is_usable(cluster, GetUserId()))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("permission denied for Kafka cluster \"%s\"", name),
				errhint("Its owner or strm_admin may call strm.grant_kafka_cluster()."));
	if (!cluster->ours)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("Kafka cluster \"%s\" was made in another database or server", name),
				errdetail("A copy of a database does not publish what the original does."),
				errhint("Take its exporters over with strm.rebuild_kafka_exporter() if the original is gone, or create another cluster."));
	return cluster;
}

/* Raises unless the current user may publish the source. */
static void
strm_kafka_request_check_rights(const StrmKafkaRequest *request)
{
	const StrmKafkaExporter *exporter = &request->exporter;
	const char *refusal = strm_exporter_refusal_of_source(GetUserId(), &exporter->stream,
														  exporter->is_derived ? &exporter->derived : NULL);

	if (refusal != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("permission denied to publish %s \"%s\"", exporter->is_derived ? "derived stream" : "stream",
					   get_rel_name(request->source.relid)),
				errdetail("Reason: %s.", refusal));
}

/* Is it a name that brokers take? */
static bool
strm_kafka_topic_is_valid(const char *topic)
{
	size_t		size = strlen(topic);

	return size >= 1 && size <= STRM_KAFKA_TOPIC_MAX && strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0 &&
		strspn(topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

/*
 * Clusters are of the same brokers when they share one of their bootstrap servers, as far as the texts tell.
 */
void
strm_kafka_topic_check_writers(const StrmKafkaCluster *cluster, const char *topic, bool transactional,
							   const pg_uuid_t *itself, StrmFaults *faults)
{
	StrmRegistryArgs args = {0};
	Datum		other;
	bool		isnull;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&cluster->id), false);
	strm_registry_add_text(&args, cluster->bootstrap_servers);
	strm_registry_add_text(&args, topic);
	strm_registry_add(&args, BOOLOID, BoolGetDatum(transactional), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(itself), itself == NULL);
	if (strm_registry_fetch("SELECT e.name FROM strm.kafka_exporter e JOIN strm.kafka_cluster c ON c.id = e.cluster_id"
							" WHERE e.topic = $3 AND NOT (e.transactional AND $4) AND e.id IS DISTINCT FROM $5 AND"
							"  (c.id = $1 OR $2 <> '" STRM_KAFKA_EMBEDDED "' AND"
							"   string_to_array(lower(replace(c.bootstrap_servers, ' ', '')), ',') &&"
							"   string_to_array(lower(replace($2, ' ', '')), ','))"
							" ORDER BY e.name LIMIT 1",
							STRM_REGISTRY_ARGS(&args), &other, &isnull))
		strm_faults_add(faults, "topic \"%s\" is written by Kafka exporter \"%s\": a topic has one exporter,"
						" unless all of them are transactional", topic, TextDatumGetCString(other));
}

/* Faults of format and what it needs. */
static void
strm_kafka_request_check_format(StrmKafkaRequest *request, StrmFaults *faults)
{
	request->exporter.format = STRM_EXPORT_JSON;
	if (strcmp(request->format, "avro") == 0)
	{
		request->exporter.format = STRM_EXPORT_AVRO;
		strm_avro_check(request->source.contract, faults);
		if (!strm_kafka_config_has_registry(request->cluster))
			strm_faults_add(faults, "format avro needs the property schema.registry.url of Kafka cluster \"%s\"",
							request->cluster->name);
	}
	else if (strcmp(request->format, "json") != 0)
		strm_faults_add(faults, "format must be json or avro");
}

static void
strm_kafka_request_raise(const StrmKafkaRequest *request, StrmFaults *faults)
{
	strm_faults_raise(faults, STRM_ERR_ARGUMENT,
					  psprintf("Kafka exporter \"%s\" is not valid", request->exporter.name), NULL);
}

static void
strm_kafka_request_raise_duplicate(const StrmKafkaRequest *request)
{
	ereport(ERROR,
			errcode(STRM_ERR_DUPLICATE),
			errmsg("Kafka exporter \"%s\" already exists", request->exporter.name),
			errhint("Give the argument name another value, or drop that exporter first."));
}

/* Is the name taken, as far as can be seen? Storing it tells for sure; here it costs no wait for brokers. */
static void
strm_kafka_request_check_name(const StrmKafkaRequest *request)
{
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	strm_registry_add_text(&args, request->exporter.name);
	if (strm_registry_fetch("SELECT id FROM strm.kafka_exporter WHERE name = $1", STRM_REGISTRY_ARGS(&args), &id,
							&isnull))
		strm_kafka_request_raise_duplicate(request);
}

/* Raises all that is wrong with the definition. */
static void
strm_kafka_request_check(StrmKafkaRequest *request)
{
	StrmKafkaExporter *exporter = &request->exporter;
	StrmFaults	faults;

	strm_faults_init(&faults);
	if (!strm_kafka_topic_is_valid(exporter->topic))
		strm_faults_add(&faults, "topic must have 1 to %d of the characters A-Z a-z 0-9 . _ - and not be . or ..",
						STRM_KAFKA_TOPIC_MAX);
	else
		strm_kafka_topic_check_writers(request->cluster, exporter->topic, exporter->transactional, NULL, &faults);
	if (exporter->partitions < 1 || exporter->partitions > STRM_KAFKA_PARTITIONS_MAX)
		strm_faults_add(&faults, "partitions must be 1 to %d", STRM_KAFKA_PARTITIONS_MAX);
	strm_kafka_request_check_format(request, &faults);
	if (exporter->transactional && request->cluster->embedded)
		strm_faults_add(&faults, "transactional needs a real broker: the embedded one has no transactions");
	strm_exporter_source_check_logged(&request->source, &faults);
	strm_kafka_request_raise(request, &faults);
}

/* Makes sure that the topic is there and can be written to. Takes over the number of partitions that it has. */
static void
strm_kafka_request_topic(StrmKafkaRequest *request)
{
	StrmKafkaExporter *exporter = &request->exporter;
	StrmSinkTopic topic = {0};

	strm_kafka_check(request->cluster, exporter->topic, exporter->partitions, exporter->transactional, &topic);
	if (topic.partitions > 0 && topic.partitions != exporter->partitions)
	{
		ereport(NOTICE,
				errmsg("topic \"%s\" exists and has %d partitions", exporter->topic, topic.partitions),
				errdetail("The exporter uses these, instead of %d.", exporter->partitions));
		exporter->partitions = topic.partitions;
	}
}

/* Writes the definition, and the state that a worker takes it up in. */
static void
strm_kafka_request_store(StrmKafkaRequest *request)
{
	StrmKafkaExporter *exporter = &request->exporter;
	StrmExporterStatus status = {.state = STRM_EXPORTER_CREATING, .epoch = 1};
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	exporter->id = strm_uuid_new();
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_add_text(&args, exporter->name);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(GetUserId()), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&request->cluster->id), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->stream), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->derived), !exporter->is_derived);
	strm_registry_add_text(&args, exporter->topic);
	strm_registry_add(&args, INT4OID, Int32GetDatum(exporter->partitions), false);
	strm_registry_add_text(&args, request->format);
	strm_registry_add(&args, BOOLOID, BoolGetDatum(exporter->transactional), false);
	strm_registry_add(&args, BOOLOID, BoolGetDatum(exporter->include_existing), false);
	/* the server's own text form lacks subtransactions */
	strm_registry_add_text(&args, strm_snapshot_text(strm_snapshot_take()));
	if (!strm_registry_fetch("INSERT INTO strm.kafka_exporter (id, name, owner, cluster_id, stream_id,"
							 "  derived_stream_id, topic, partitions, format, transactional, include_existing_events,"
							 "  defined_at, defined_lsn)"
							 " VALUES ($1, $2, $3::regrole, $4, $5, $6, $7, $8, $9, $10, $11,"
							 "  $12, pg_current_wal_insert_lsn())"
							 " ON CONFLICT (name) DO NOTHING RETURNING id",
							 STRM_REGISTRY_ARGS(&args), &id, &isnull))
		strm_kafka_request_raise_duplicate(request);
	status.since = GetCurrentTimestamp();
	strm_exporter_status_write(&exporter->id, &status);
	strm_worker_nudge_at_commit();
}

/* One at a time from here on: of two sessions that want the same topic the second one sees the first one's row. */
static void
strm_kafka_request_check_again(const StrmKafkaRequest *request)
{
	StrmFaults	faults;

	strm_registry_execute("LOCK TABLE strm.kafka_exporter IN SHARE UPDATE EXCLUSIVE MODE", 0, NULL, NULL, NULL);
	strm_faults_init(&faults);
	strm_kafka_topic_check_writers(request->cluster, request->exporter.topic, request->exporter.transactional, NULL,
								   &faults);
	strm_kafka_request_raise(request, &faults);
}

/* The arguments; NULL stands for defaults that depend on others. */
static void
strm_kafka_request_read(FunctionCallInfo fcinfo, StrmKafkaRequest *request)
{
	StrmKafkaExporter *exporter = &request->exporter;
	char	   *cluster;

	strm_args_require(fcinfo, 0, "stream");
	strm_exporter_source_find(PG_GETARG_OID(0), &request->source);
	strm_kafka_request_source(request);
	cluster = strm_args_text(fcinfo, 1, "cluster");
	request->cluster = strm_kafka_request_cluster(cluster);
	exporter->topic = strm_args_text_or_null(fcinfo, 2);
	if (exporter->topic == NULL)
		exporter->topic = get_rel_name(request->source.relid);
	exporter->name = strm_args_text_or_null(fcinfo, 3);
	if (exporter->name == NULL)
		exporter->name = psprintf("%s_%s", cluster, get_rel_name(request->source.relid));
	strm_args_check_label(exporter->name, "the name of a Kafka exporter", 1, STRM_KAFKA_NAME_MAX);
	strm_args_require(fcinfo, 4, "include_existing_events");
	exporter->include_existing = PG_GETARG_BOOL(4);
	strm_args_require(fcinfo, 5, "partitions");
	exporter->partitions = PG_GETARG_INT32(5);
	request->format = strm_args_text(fcinfo, 6, "format");
	strm_args_require(fcinfo, 7, "transactional");
	exporter->transactional = PG_GETARG_BOOL(7);
}

/*
 * strm.create_kafka_exporter(stream regclass, cluster text, topic text, name text, include_existing_events boolean,
 * partitions int, format text, transactional boolean) RETURNS uuid
 */
Datum
strm_sql_create_kafka_exporter(PG_FUNCTION_ARGS)
{
	StrmKafkaRequest *request = palloc0(sizeof(StrmKafkaRequest));

	strm_kafka_request_read(fcinfo, request);
	strm_kafka_request_check_rights(request);
	strm_exporter_source_hold(&request->source);
	strm_kafka_request_source(request);
	strm_kafka_request_check_name(request);
	strm_kafka_request_check(request);
	strm_decoder_require();
	strm_kafka_request_topic(request);
	strm_kafka_request_check_again(request);
	strm_kafka_request_store(request);
	PG_RETURN_UUID_P(&request->exporter.id);
}
