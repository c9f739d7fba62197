/*
 * stream.c
 *	  SQL entry points that create and drop streams.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "catalog/cache.h"
#include "catalog/contract.h"
#include "catalog/policy.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "ingest/inbox_table.h"
#include "ingest/partition.h"
#include "ingest/stream.h"
#include "keys/creation_lock.h"
#include "keys/master_key.h"
#include "strm_privacy.h"

/* One second to a hundred years; a month counts as its mean length. */
#define STRM_MIN_ROTATION USECS_PER_SEC
#define STRM_MAX_ROTATION (INT64CONST(36525) * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(strm_sql_create_master_key);
PG_FUNCTION_INFO_V1(strm_sql_create_partitions);
PG_FUNCTION_INFO_V1(strm_sql_create_stream);
PG_FUNCTION_INFO_V1(strm_sql_drop_stream);

/* strm.create_master_key(): used by the install script. */
Datum
strm_sql_create_master_key(PG_FUNCTION_ARGS)
{
	if (!creating_extension)
		ereport(ERROR, errcode(STRM_ERR_PRIVILEGE), errmsg("only CREATE EXTENSION creates a master key"));
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("strm_privacy needs a database with encoding UTF8"),
				errdetail("What is encrypted is UTF-8, for whoever reads it elsewhere; this database has encoding %s.",
						  GetDatabaseEncodingName()),
				errhint("Use CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."));
	if (!strm_creation_lock_ready())
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("strm_privacy must be preloaded"),
				errhint("Add strm_privacy to shared_preload_libraries and restart the server."));
	strm_master_key_create();
	PG_RETURN_VOID();
}

/* The active contract of that ref, or NULL with a fault. */
static StrmContract *
strm_create_stream_contract(const char *ref, StrmFaults *faults)
{
	char	   *handle;
	char	   *name;
	char	   *version;
	int			id;
	StrmContract *contract;

	if (!strm_contract_split_ref(ref, &handle, &name, &version))
	{
		strm_faults_add(faults, "\"%s\" is not a data contract: a reference is handle/name/major.minor.patch.", ref);
		return NULL;
	}
	id = strm_catalog_contract_id(handle, name, version);
	if (id == 0)
	{
		strm_faults_add(faults, "Data contract \"%s\" does not exist.", ref);
		return NULL;
	}
	contract = strm_catalog_contract(id);
	if (contract->state != STRM_CONTRACT_ACTIVE)
		strm_faults_add(faults, "Data contract \"%s\" is not active: use strm.activate_data_contract().", ref);
	return contract;
}

/* The id of an active policy, named by name or id; isnull is set for the default policy, which has none. */
static Datum
strm_create_stream_policy(const char *policy, bool *isnull, StrmFaults *faults)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	Datum		id = (Datum) 0;

	*isnull = true;
	if (policy == NULL || strcmp(policy, STRM_POLICY_DEFAULT_NAME) == 0)
		return id;
	values[0] = CStringGetTextDatum(policy);
	if (!strm_registry_fetch("SELECT id FROM strm.policy WHERE (name = $1 OR id::text = $1) AND state = 'active'"
							 " FOR KEY SHARE",
							 1, types, values, NULL, &id, isnull))
		strm_faults_add(faults, "There is no active policy \"%s\".", policy);
	return id;
}

static void
strm_create_stream_check_rotation(const Interval *rotation, StrmFaults *faults)
{
	/* 128 bits are not needed: the limits on the fields are far below what overflows */
	double		span = (double) rotation->time + rotation->day * (double) USECS_PER_DAY +
		rotation->month * (DAYS_PER_YEAR / MONTHS_PER_YEAR) * USECS_PER_DAY;

	if (span < STRM_MIN_ROTATION || span > STRM_MAX_ROTATION)
		strm_faults_add(faults, "key_rotation must be between 1 second and 100 years.");
}

static void
strm_create_stream_check_name(const StrmStreamOptions *options, Oid schema, StrmFaults *faults)
{
	const char *dot = strchr(options->name, '.');

	/* it would be a name, but hardly the one that was meant */
	if (dot != NULL && OidIsValid(get_namespace_oid(pnstrdup(options->name, dot - options->name), true)))
		strm_faults_add(faults, "The name is not qualified: for schema \"%.*s\" use the parameter \"schema\".",
						(int) (dot - options->name), options->name);
	if (options->name[0] == '\0' || strlen(options->name) >= NAMEDATALEN)
		strm_faults_add(faults, "The name must have between 1 and %d bytes.", NAMEDATALEN - 1);
	else if (OidIsValid(get_relname_relid(options->name, schema)))
		strm_faults_add(faults, "Relation \"%s\" exists already.", options->name);
	if (isAnyTempNamespace(schema) || IsCatalogNamespace(schema))
		strm_faults_add(faults, "Streams cannot be in schema \"%s\".", options->schema);
}

/* Is there to be an inbox, too? Notes when its name cannot be. */
static bool
strm_create_stream_queued(const StrmStreamOptions *options, Oid schema, const char *ingest, StrmFaults *faults)
{
	char	   *inbox = strm_inbox_table_name(options->name);

	if (strcmp(ingest, "direct") == 0)
		return false;
	if (strcmp(ingest, "queued") != 0)
	{
		strm_faults_add(faults, "ingest must be direct or queued.");
		return false;
	}
	if (strlen(inbox) >= NAMEDATALEN)
		strm_faults_add(faults, "The name must have at most %d bytes, as that of the inbox is longer.",
						(int) (NAMEDATALEN - 1 - (strlen(inbox) - strlen(options->name))));
	else if (OidIsValid(get_relname_relid(inbox, schema)))
		strm_faults_add(faults, "Relation \"%s\" exists already.", inbox);
	return true;
}

/* Writes the registry row of a new stream. */
static void
strm_create_stream_register(const StrmStreamOptions *options, Oid relid, int contract_id, Datum policy_id,
							bool policy_null, Datum rotation, Datum partition_by)
{
	Oid			types[6] = {UUIDOID, REGCLASSOID, INT4OID, UUIDOID, INTERVALOID, INTERVALOID};
	Datum		values[6];
	char		nulls[6] = {' ', ' ', ' ', policy_null ? 'n' : ' ', ' ', options->partitioned ? ' ' : 'n'};

	values[0] = UUIDPGetDatum(&options->id);
	values[1] = ObjectIdGetDatum(relid);
	values[2] = Int32GetDatum(contract_id);
	values[3] = policy_id;
	values[4] = rotation;
	values[5] = partition_by;
	strm_registry_execute("INSERT INTO strm.stream (id, relation, contract_id, policy_id, key_rotation, partition_by) "
						  "VALUES ($1, $2, $3, $4, $5, $6)", 6, types, values, nulls);
}

/*
 * strm.create_stream(name, contract, policy, key_rotation, schema, partition_by, ingest, index_key_link). The DDL runs
 * as the caller, who becomes the table's owner.
 */
Datum
strm_sql_create_stream(PG_FUNCTION_ARGS)
{
	StrmStreamOptions options = {0};
	StrmContract *contract = NULL;
	StrmFaults	faults;
	Datum		policy_id;
	bool		policy_null;
	bool		queued;
	Oid			schema;
	Oid			relid;

	strm_faults_init(&faults);
	strm_args_require(fcinfo, 0, "name");
	strm_args_require(fcinfo, 1, "contract");
	strm_args_require(fcinfo, 3, "key_rotation");
	strm_args_require(fcinfo, 6, "ingest");
	strm_args_require(fcinfo, 7, "index_key_link");
	if (PG_ARGISNULL(4))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("no schema has been selected to create the stream in"),
				errhint("Name one with the argument schema, or set search_path."));
	schema = PG_GETARG_OID(4);
	options.name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	options.schema = get_namespace_name(schema);
	options.partitioned = !PG_ARGISNULL(5);
	options.index_key_link = PG_GETARG_BOOL(7);
	if (options.schema == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_SCHEMA), errmsg("schema with OID %u does not exist", schema));

	strm_create_stream_check_name(&options, schema, &faults);
	contract = strm_create_stream_contract(text_to_cstring(PG_GETARG_TEXT_PP(1)), &faults);
	policy_id = strm_create_stream_policy(PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)), &policy_null,
										  &faults);
	strm_create_stream_check_rotation(PG_GETARG_INTERVAL_P(3), &faults);
	if (options.partitioned)
		strm_partition_check_width(PG_GETARG_INTERVAL_P(5), &faults);
	queued = strm_create_stream_queued(&options, schema, text_to_cstring(PG_GETARG_TEXT_PP(6)), &faults);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, psprintf("stream \"%s\" cannot be created", options.name), NULL);

	options.id = strm_uuid_new();
	SPI_connect();
	relid = strm_stream_create_table(&options, contract);
	strm_create_stream_register(&options, relid, contract->id, policy_id, policy_null, PG_GETARG_DATUM(3),
								options.partitioned ? PG_GETARG_DATUM(5) : (Datum) 0);
	strm_stream_create_triggers(&options);
	if (options.partitioned)
	{
		strm_partition_create_default(relid);
		strm_partition_create(relid, PG_GETARG_INTERVAL_P(5), STRM_PARTITIONS_AHEAD);
	}
	if (queued)
		strm_inbox_table_create(&options, contract);
	SPI_finish();
	PG_RETURN_OID(relid);
}

/*
 * strm.create_partitions(stream, ahead): by the owner. The DDL runs as the owner in a security-restricted operation,
 * whoever calls: all partitions have one owner.
 */
Datum
strm_sql_create_partitions(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	int32		ahead = PG_GETARG_INT32(1);
	const StrmStream *stream = strm_args_stream(relid);
	StrmFaults	faults;
	Oid			user;
	int			context;
	int			created;

	if (!object_ownercheck_relation(relid, GetUserId()))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be owner of stream \"%s\"", get_rel_name(relid)));
	strm_faults_init(&faults);
	if (!stream->partitioned)
		strm_faults_add(&faults, "The stream is not partitioned.");
	if (ahead < 0 || ahead > STRM_PARTITIONS_AHEAD_MAX)
		strm_faults_add(&faults, "ahead must be between 0 and %d.", STRM_PARTITIONS_AHEAD_MAX);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT,
					  psprintf("partitions of stream \"%s\" cannot be created", get_rel_name(relid)), NULL);

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(strm_catalog_relation_owner(relid),
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	created = strm_partition_create(relid, &stream->partition_by, ahead);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	PG_RETURN_INT32(created);
}

/*
 * strm.drop_stream(regclass): DROP TABLE, by the owner; strm_admin may drop anybody's. What follows from it (the
 * registry's row) is the event trigger's work, as it is for a plain DROP TABLE.
 */
Datum
strm_sql_drop_stream(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *name;
	Oid			user;
	int			context;
	bool		as_owner;

	(void) strm_args_stream(relid);
	name = strm_catalog_relation_name(relid);
	as_owner = !object_ownercheck_relation(relid, GetUserId()) &&
		has_privs_of_role(GetUserId(), get_role_oid("strm_admin", false));

	GetUserIdAndSecContext(&user, &context);
	if (as_owner)
		SetUserIdAndSecContext(strm_catalog_relation_owner(relid),
							   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	SPI_execute(psprintf("DROP TABLE %s", name), false, 0);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
	PG_RETURN_VOID();
}
