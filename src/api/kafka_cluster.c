/*
 * kafka_cluster.c
 *	  strm.create_kafka_cluster() and what else is done to Kafka clusters. Nothing is reached here: brokers are tried
 *	  when an exporter is created.
 *
 *	  "trusted" says that an administrator stands behind all of a definition: it is lost when somebody else alters it,
 *	  and an administrator who alters a part of somebody else's does not vouch for the rest.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "api/args.h"
#include "api/kafka.h"
#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/secret.h"
#include "common/statement.h"
#include "common/uuid.h"
#include "export/decoder.h"
#include "export/exporter.h"
#include "keys/wrapped_json.h"
#include "strm_privacy.h"
#include "worker/database_command.h"

#define STRM_KAFKA_CONFIG_MAX 262144

PG_FUNCTION_INFO_V1(strm_sql_create_kafka_cluster);
PG_FUNCTION_INFO_V1(strm_sql_alter_kafka_cluster);
PG_FUNCTION_INFO_V1(strm_sql_drop_kafka_cluster);
PG_FUNCTION_INFO_V1(strm_sql_grant_kafka_cluster);
PG_FUNCTION_INFO_V1(strm_sql_revoke_kafka_cluster);

StrmKafkaCluster *
strm_kafka_cluster_manage(const char *name)
{
	StrmRegistryArgs args = {0};
	StrmKafkaCluster *cluster;

	strm_registry_add_text(&args, name);
	strm_registry_execute("SELECT FROM strm.kafka_cluster WHERE name = $1 FOR NO KEY UPDATE",
						  STRM_REGISTRY_ARGS(&args));
	cluster = strm_kafka_cluster_by_name(name);
	if (!has_privs_of_role(GetUserId(), cluster->owner) && !strm_args_has_role("strm_admin"))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be owner of Kafka cluster \"%s\", or have role strm_admin", name));
	return cluster;
}

/* The argument config (0-based n), of a limited size, or NULL. */
static Jsonb *
strm_kafka_cluster_config(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *config = PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);

	if (config != NULL && VARSIZE(config) > STRM_KAFKA_CONFIG_MAX)
		ereport(ERROR,
				errcode(STRM_ERR_LIMIT),
				errmsg("argument \"config\" has more than %d bytes", STRM_KAFKA_CONFIG_MAX));
	return config;
}

/* Checks a definition as a whole: raises all that is wrong with it, else fills config and credentials. */
static void
strm_kafka_cluster_check(StrmKafkaCluster *cluster, Jsonb *config)
{
	StrmFaults	faults;
	Jsonb	   *secrets;

	strm_faults_init(&faults);
	strm_kafka_config_check(cluster->bootstrap_servers, config, cluster->trusted, &faults, &cluster->config, &secrets);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, psprintf("Kafka cluster \"%s\" is not valid", cluster->name),
					  "docs/kafka.md lists the properties that may be set.");
	cluster->embedded = strcmp(cluster->bootstrap_servers, STRM_KAFKA_EMBEDDED) == 0;
	cluster->credentials = NULL;
	if (secrets != NULL)
		cluster->credentials = strm_wrapped_json_make(STRM_SECRET_CREDENTIALS, &cluster->id, secrets);
}

/* The parameters $1 to $5 of what writes a row. */
static void
strm_kafka_cluster_args(StrmRegistryArgs *args, const StrmKafkaCluster *cluster)
{
	strm_registry_add(args, UUIDOID, UUIDPGetDatum(&cluster->id), false);
	strm_registry_add_text(args, cluster->bootstrap_servers);
	strm_registry_add(args, JSONBOID, JsonbPGetDatum(cluster->config), false);
	strm_registry_add(args, BYTEAOID, PointerGetDatum(cluster->credentials), cluster->credentials == NULL);
	strm_registry_add(args, BOOLOID, BoolGetDatum(cluster->trusted), false);
}

/* Checks a new cluster and stores it. */
static void
strm_kafka_cluster_create(StrmKafkaCluster *cluster, Jsonb *config)
{
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	cluster->id = strm_uuid_new();
	cluster->trusted = strm_args_has_role("strm_admin");
	strm_kafka_cluster_check(cluster, config);
	strm_decoder_require();
	strm_kafka_cluster_args(&args, cluster);
	strm_registry_add_text(&args, cluster->name);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(GetUserId()), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(&args, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), false);
	if (!strm_registry_fetch("INSERT INTO strm.kafka_cluster"
							 " (id, bootstrap_servers, config, credentials, trusted, name, owner, database,"
							 "  system_identifier)"
							 " VALUES ($1, $2, $3, $4, $5, $6, $7::regrole, $8, $9)"
							 " ON CONFLICT (name) DO NOTHING RETURNING id",
							 STRM_REGISTRY_ARGS(&args), &id, &isnull))
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("Kafka cluster \"%s\" already exists", cluster->name));
	strm_worker_nudge_at_commit();
}

/* strm.create_kafka_cluster(name text, bootstrap_servers text, config jsonb) RETURNS uuid */
Datum
strm_sql_create_kafka_cluster(PG_FUNCTION_ARGS)
{
	ErrorContextCallback *context = error_context_stack;
	StrmKafkaCluster *cluster = palloc0(sizeof(StrmKafkaCluster));
	Jsonb	   *config;

	/* a caller's context line would show the statement */
	strm_statement_hide();
	error_context_stack = NULL;
	cluster->name = strm_args_text(fcinfo, 0, "name");
	strm_args_check_label(cluster->name, "the name of a Kafka cluster", 1, 100);
	cluster->bootstrap_servers = strm_args_text(fcinfo, 1, "bootstrap_servers");
	strm_args_require(fcinfo, 2, "config");
	config = strm_kafka_cluster_config(fcinfo, 2);
	strm_kafka_cluster_create(cluster, config);
	error_context_stack = context;
	PG_RETURN_UUID_P(&cluster->id);
}

/* Both objects as one, in memory that is wiped; the second one's members count. */
static Jsonb *
strm_kafka_cluster_merge(Jsonb *first, Jsonb *second)
{
	Jsonb	   *merged = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(first),
															JsonbPGetDatum(second)));
	Jsonb	   *copy = strm_secret_alloc(CurrentMemoryContext, VARSIZE(merged));

	memcpy(copy, merged, VARSIZE(merged));
	if (merged != first && merged != second)
		strm_secret_wipe(merged, VARSIZE(merged));
	return copy;
}

/* Has an object a member (not null) that the other has not? */
static bool
strm_kafka_cluster_has_others(Jsonb *object, Jsonb *other)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		JsonbValue	found;

		if (token == WJB_KEY && (other == NULL ||
								 getKeyJsonValueFromContainer(&other->root, value.val.string.val,
															  value.val.string.len, &found) == NULL))
			return true;
	}
	return false;
}

/*
 * Raises when secrets that were not given anew would go to a server that they were not given for, or less protected:
 * who may alter a cluster need not know them, and shall not have them sent to himself.
 */
static void
strm_kafka_cluster_check_redirect(const StrmKafkaCluster *cluster, const StrmKafkaCluster *before, Jsonb *secrets,
								  Jsonb *config)
{
	const char *changed;

	if (secrets == NULL || !strm_kafka_cluster_has_others(secrets, config))
		return;
	changed = strm_kafka_config_redirect(before->bootstrap_servers, before->config, cluster->bootstrap_servers,
										 cluster->config, false);
	if (changed != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("the secrets of Kafka cluster \"%s\" cannot be used with a change of %s", cluster->name, changed),
				errdetail("They could be sent to a server that they were not given for."),
				errhint("Give the secrets along with it."));
}

/*
 * Raises when decrypted values would go elsewhere, or less protected, by somebody who may not publish them: who made an
 * exporter of a derived stream did so for where the cluster led to then.
 */
static void
strm_kafka_cluster_check_derived(const StrmKafkaCluster *cluster, const StrmKafkaCluster *before)
{
	const char *changed = strm_kafka_config_redirect(before->bootstrap_servers, before->config,
													 cluster->bootstrap_servers, cluster->config, true);
	List	   *exporters = changed != NULL ? strm_kafka_exporters(&cluster->id) : NIL;
	ListCell   *lc;

	foreach(lc, exporters)
	{
		const StrmKafkaExporter *exporter = lfirst(lc);
		const char *refusal = NULL;

		if (exporter->is_derived)
			refusal = strm_exporter_refusal_of_source(GetUserId(), &exporter->stream, &exporter->derived);
		if (refusal != NULL)
			ereport(ERROR,
					errcode(STRM_ERR_PRIVILEGE),
					errmsg("permission denied to change %s of Kafka cluster \"%s\"", changed, cluster->name),
					errdetail("Kafka exporter \"%s\" sends decrypted values there, and: %s.", exporter->name, refusal),
					errhint("Somebody who may publish that derived stream may change it, if he is the cluster's owner or has strm_admin, too; or drop the exporter first."));
	}
}

/* Raises when a cluster with exporters would become the embedded one, or cease to be it. */
static void
strm_kafka_cluster_check_kind(const StrmKafkaCluster *cluster, const StrmKafkaCluster *before)
{
	if (cluster->embedded != before->embedded && strm_kafka_exporters(&cluster->id) != NIL)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("Kafka cluster \"%s\" has exporters", cluster->name),
				errdetail("Their topics are not on the embedded broker and on others at once."),
				errhint("Drop its exporters first, or create another cluster."));
}

/* Raises when a topic would then have two writers. */
static void
strm_kafka_cluster_check_topics(const StrmKafkaCluster *cluster)
{
	List	   *exporters = strm_kafka_exporters(&cluster->id);
	StrmFaults	faults;
	ListCell   *lc;

	strm_faults_init(&faults);
	foreach(lc, exporters)
	{
		const StrmKafkaExporter *exporter = lfirst(lc);

		strm_kafka_topic_check_writers(cluster, exporter->topic, exporter->transactional, &exporter->id, &faults);
	}
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, psprintf("Kafka cluster \"%s\" is not valid", cluster->name), NULL);
}

/* Replaces what was given of a definition, of which config's members replace single properties. Either may be NULL. */
static void
strm_kafka_cluster_alter(StrmKafkaCluster *cluster, char *servers, Jsonb *config)
{
	StrmKafkaCluster before = *cluster;
	Jsonb	   *secrets = NULL;
	Jsonb	   *merged = cluster->config;
	bool		all_new;

	if (config != NULL && !JB_ROOT_IS_OBJECT(config))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("argument \"config\" must be a JSON object"));
	if (cluster->credentials != NULL)
	{
		secrets = strm_wrapped_json_open(STRM_SECRET_CREDENTIALS, &cluster->id, cluster->credentials);
		merged = strm_kafka_cluster_merge(merged, secrets);
	}
	all_new = servers != NULL && !strm_kafka_cluster_has_others(merged, config);
	if (config != NULL)
		merged = strm_kafka_cluster_merge(merged, config);
	if (servers != NULL)
		cluster->bootstrap_servers = servers;
	cluster->trusted = strm_args_has_role("strm_admin") && (before.trusted || all_new);
	strm_kafka_cluster_check(cluster, merged);
	strm_kafka_cluster_check_redirect(cluster, &before, secrets, config);
	strm_kafka_cluster_check_derived(cluster, &before);
	strm_kafka_cluster_check_kind(cluster, &before);
	strm_kafka_cluster_check_topics(cluster);
}

/* strm.alter_kafka_cluster(name text, bootstrap_servers text, config jsonb) RETURNS void */
Datum
strm_sql_alter_kafka_cluster(PG_FUNCTION_ARGS)
{
	ErrorContextCallback *context = error_context_stack;
	StrmKafkaCluster *cluster;
	StrmRegistryArgs args = {0};

	strm_statement_hide();
	error_context_stack = NULL;
	cluster = strm_kafka_cluster_manage(strm_args_text(fcinfo, 0, "name"));
	strm_kafka_cluster_alter(cluster, strm_args_text_or_null(fcinfo, 1), strm_kafka_cluster_config(fcinfo, 2));
	strm_kafka_cluster_args(&args, cluster);
	strm_registry_execute("UPDATE strm.kafka_cluster SET bootstrap_servers = $2, config = $3, credentials = $4,"
						  " trusted = $5 WHERE id = $1",
						  STRM_REGISTRY_ARGS(&args));
	strm_worker_nudge_at_commit();
	error_context_stack = context;
	PG_RETURN_VOID();
}

/* strm.drop_kafka_cluster(name text) RETURNS void. Its worker, or the scheduler, drops the slot. */
Datum
strm_sql_drop_kafka_cluster(PG_FUNCTION_ARGS)
{
	StrmKafkaCluster *cluster = strm_kafka_cluster_manage(strm_args_text(fcinfo, 0, "name"));
	StrmRegistryArgs args = {0};
	List	   *exporters;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&cluster->id), false);
	/* waits for those who have just found it, to create an exporter */
	strm_registry_execute("SELECT FROM strm.kafka_cluster WHERE id = $1 FOR UPDATE", STRM_REGISTRY_ARGS(&args));
	exporters = strm_kafka_exporters(&cluster->id);
	if (exporters != NIL)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("Kafka cluster \"%s\" cannot be dropped", cluster->name),
				errdetail("Kafka exporter \"%s\" uses it.", ((StrmKafkaExporter *) linitial(exporters))->name),
				errhint("Drop its exporters first, with strm.drop_kafka_exporter()."));
	strm_registry_execute("DELETE FROM strm.kafka_cluster_user WHERE cluster_id = $1", STRM_REGISTRY_ARGS(&args));
	strm_registry_execute("DELETE FROM strm.kafka_cluster_slot WHERE cluster_id = $1", STRM_REGISTRY_ARGS(&args));
	strm_registry_execute("DELETE FROM strm.kafka_cluster WHERE id = $1", STRM_REGISTRY_ARGS(&args));
	/* of exporters that were dropped while no worker was there to do it; what is locked, a worker is taking away */
	strm_registry_execute("DELETE FROM strm.kafka_exporter_state WHERE exporter_id IN"
						  " (SELECT s.exporter_id FROM strm.kafka_exporter_state s"
						  "   WHERE NOT EXISTS (SELECT FROM strm.kafka_exporter e WHERE e.id = s.exporter_id)"
						  "     FOR UPDATE OF s SKIP LOCKED)",
						  0, NULL, NULL, NULL);
	strm_worker_nudge_at_commit();
	PG_RETURN_VOID();
}

/* Runs a statement on the grant that the arguments name: $1 cluster, $2 role. Exporters' rights are looked at anew. */
static void
strm_kafka_cluster_grantee(FunctionCallInfo fcinfo, const char *sql)
{
	StrmKafkaCluster *cluster = strm_kafka_cluster_manage(strm_args_text(fcinfo, 0, "name"));
	StrmRegistryArgs args = {0};

	strm_args_require(fcinfo, 1, "grantee");
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&cluster->id), false);
	strm_registry_add(&args, REGROLEOID, PG_GETARG_DATUM(1), false);
	strm_registry_execute(sql, STRM_REGISTRY_ARGS(&args));
	strm_catalog_move_generation();
	strm_worker_nudge_at_commit();
}

/* strm.grant_kafka_cluster(name text, grantee regrole) RETURNS void */
Datum
strm_sql_grant_kafka_cluster(PG_FUNCTION_ARGS)
{
	/* a number is a regrole, too */
	if (!PG_ARGISNULL(1))
		(void) GetUserNameFromId(PG_GETARG_OID(1), false);
	strm_kafka_cluster_grantee(fcinfo, "INSERT INTO strm.kafka_cluster_user (cluster_id, grantee) VALUES ($1, $2)"
							   " ON CONFLICT DO NOTHING");
	PG_RETURN_VOID();
}

/* strm.revoke_kafka_cluster(name text, grantee regrole) RETURNS void */
Datum
strm_sql_revoke_kafka_cluster(PG_FUNCTION_ARGS)
{
	strm_kafka_cluster_grantee(fcinfo, "DELETE FROM strm.kafka_cluster_user WHERE cluster_id = $1 AND grantee = $2");
	PG_RETURN_VOID();
}
