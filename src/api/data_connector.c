/*
 * data_connector.c
 *	  strm.create_data_connector() and what else is done to data connectors. Nothing here reaches outside: a connector
 *	  is tried when a job or exporter that uses it is created.
 *
 *	  "trusted" says that an administrator stands behind all of a definition: it is lost when somebody else alters it,
 *	  and an administrator who alters a part of somebody else's does not vouch for the rest.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "api/args.h"
#include "api/batch_exporter.h"
#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/statement.h"
#include "common/uuid.h"
#include "connect/connector.h"
#include "strm_privacy.h"
#include "worker/database_command.h"

#define STRM_LOCATION_MAX 16384
#define STRM_CREDENTIALS_MAX 65536

PG_FUNCTION_INFO_V1(strm_sql_create_data_connector);
PG_FUNCTION_INFO_V1(strm_sql_alter_data_connector);
PG_FUNCTION_INFO_V1(strm_sql_drop_data_connector);
PG_FUNCTION_INFO_V1(strm_sql_grant_data_connector);
PG_FUNCTION_INFO_V1(strm_sql_revoke_data_connector);

/*
 * Whoever has a connector of kind directory reads and writes files as the server does: PostgreSQL's own roles for that,
 * or an administrator.
 */
static void
strm_data_connector_check_kind(const StrmConnectorKind *kind)
{
	if (strcmp(kind->name, "directory") != 0 || strm_connector_is_admin() ||
		(has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES) &&
		 has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES)))
		return;
	ereport(ERROR,
			errcode(STRM_ERR_PRIVILEGE),
			errmsg("permission denied to define a data connector of kind directory"),
			errdetail("It needs the role strm_admin, or both pg_read_server_files and pg_write_server_files."),
			errhint("Ask an administrator to create it and to call strm.grant_data_connector()."));
}

/* A jsonb argument (0-based n) of a limited size, or NULL. */
static Jsonb *
strm_data_connector_jsonb(FunctionCallInfo fcinfo, int n, const char *name, Size max)
{
	Jsonb	   *value = PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);

	if (value != NULL && VARSIZE(value) > max)
		ereport(ERROR,
				errcode(STRM_ERR_LIMIT),
				errmsg("argument \"%s\" has more than %zu bytes", name, max));
	return value;
}

/* Credentials that say that there are none: null or {}. */
static bool
strm_data_connector_is_nothing(Jsonb *credentials)
{
	JsonbValue	value;

	if (JB_ROOT_IS_SCALAR(credentials))
		return JsonbExtractScalar(&credentials->root, &value) && value.type == jbvNull;
	return JB_ROOT_COUNT(credentials) == 0;
}

/* Raises all that is wrong with a definition. */
static void
strm_data_connector_check(const StrmConnector *connector)
{
	StrmFaults	faults;

	strm_faults_init(&faults);
	strm_connector_check(connector, &faults);
	strm_connector_raise(&faults, connector->name);
}

/* The parameters $1 to $4 of what writes a row: id, location, credentials, trusted. */
static void
strm_data_connector_args(StrmRegistryArgs *args, const StrmConnector *connector)
{
	bytea	   *wrapped = NULL;

	if (connector->credentials != NULL)
		wrapped = strm_connector_wrap(&connector->id, connector->credentials);
	strm_registry_add(args, UUIDOID, UUIDPGetDatum(&connector->id), false);
	strm_registry_add(args, JSONBOID, JsonbPGetDatum(connector->location), false);
	strm_registry_add(args, BYTEAOID, PointerGetDatum(wrapped), wrapped == NULL);
	strm_registry_add(args, BOOLOID, BoolGetDatum(connector->trusted), false);
}

/* The kind that an argument names; raises 22023. */
static const StrmConnectorKind *
strm_data_connector_kind(const char *name)
{
	const StrmConnectorKind *kind = strm_connector_kind(name);

	if (kind == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("there is no kind of data connector \"%s\"", name),
				errhint("Kinds are %s.", strm_connector_kinds()));
	return kind;
}

/* Checks a new connector and stores it. */
static void
strm_data_connector_create(StrmConnector *connector)
{
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	strm_data_connector_check_kind(connector->kind);
	connector->id = strm_uuid_new();
	connector->trusted = strm_connector_is_admin();
	strm_data_connector_check(connector);
	strm_data_connector_args(&args, connector);
	strm_registry_add_text(&args, connector->name);
	strm_registry_add_text(&args, connector->kind->name);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(GetUserId()), false);
	if (!strm_registry_fetch("INSERT INTO strm.data_connector"
							 " (id, location, credentials, trusted, name, kind, owner)"
							 " VALUES ($1, $2, $3, $4, $5, $6, $7::regrole) ON CONFLICT (name) DO NOTHING RETURNING id",
							 STRM_REGISTRY_ARGS(&args), &id, &isnull))
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("data connector \"%s\" already exists", connector->name));
}

/* strm.create_data_connector(name text, kind text, location jsonb, credentials jsonb) RETURNS uuid */
Datum
strm_sql_create_data_connector(PG_FUNCTION_ARGS)
{
	ErrorContextCallback *context = error_context_stack;
	StrmConnector *connector = palloc0(sizeof(StrmConnector));

	/* the location may turn out to hold a secret, too; and a caller's context line would show the statement */
	strm_statement_hide();
	error_context_stack = NULL;
	connector->name = strm_args_text(fcinfo, 0, "name");
	strm_args_check_label(connector->name, "the name of a data connector", 1, 100);
	connector->kind = strm_data_connector_kind(strm_args_text(fcinfo, 1, "kind"));
	strm_args_require(fcinfo, 2, "location");
	connector->location = strm_data_connector_jsonb(fcinfo, 2, "location", STRM_LOCATION_MAX);
	connector->credentials = strm_data_connector_jsonb(fcinfo, 3, "credentials", STRM_CREDENTIALS_MAX);
	if (connector->credentials != NULL && strm_data_connector_is_nothing(connector->credentials))
		connector->credentials = NULL;
	strm_data_connector_create(connector);
	error_context_stack = context;
	PG_RETURN_UUID_P(&connector->id);
}

/* Who vouches for a connector of which a part was replaced; see the top. */
static bool
strm_data_connector_trust(const StrmConnector *connector, bool new_location, bool new_credentials)
{
	bool		all_new = new_location && (new_credentials || connector->credentials == NULL);

	return strm_connector_is_admin() && (connector->trusted || all_new);
}

/* Has the location a string of that text? */
static bool
strm_data_connector_names(Jsonb *location, const char *text, int size)
{
	JsonbIterator *iterator = JsonbIteratorInit(&location->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString && value.val.string.len == size &&
			memcmp(value.val.string.val, text, size) == 0)
			return true;
	}
	return false;
}

/*
 * Raises when the stored credentials would go to a server that they were not given for: a URL that the location did not
 * have before. Who may alter a connector need not know its credentials, and shall not have them sent to himself.
 */
static void
strm_data_connector_check_redirect(const StrmConnector *connector, Jsonb *before)
{
	JsonbIterator *iterator = JsonbIteratorInit(&connector->location->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			strstr(pnstrdup(value.val.string.val, value.val.string.len), "://") != NULL &&
			!strm_data_connector_names(before, value.val.string.val, value.val.string.len))
			ereport(ERROR,
					errcode(STRM_ERR_PRIVILEGE),
					errmsg("the credentials of data connector \"%s\" cannot be used at another place", connector->name),
					errdetail("They would be sent to a server that they were not given for."),
					errhint("Give the credentials along with the location."));
	}
}

/*
 * Could files go elsewhere now? Another location may be another place; and in a store of one's own (endpoint), where
 * names of buckets belong to accounts, so may other credentials.
 */
static bool
strm_data_connector_moves(const StrmConnector *connector, Jsonb *before, bool new_credentials)
{
	JsonbValue	value;

	return compareJsonbContainers(&connector->location->root, &before->root) != 0 ||
		(new_credentials &&
		 getKeyJsonValueFromContainer(&before->root, "endpoint", strlen("endpoint"), &value) != NULL);
}

/*
 * Raises when decrypted values or keys would go elsewhere by somebody who may not export them: who made an exporter
 * of them did so for where the connector led to then.
 */
static void
strm_data_connector_check_exporters(const StrmConnector *connector)
{
	List	   *exporters = strm_batch_exporters_of_connector(&connector->id);
	ListCell   *lc;

	foreach(lc, exporters)
	{
		const StrmBatchExporter *exporter = lfirst(lc);
		const char *refusal = NULL;

		if (exporter->is_derived || exporter->keys)
			refusal = strm_batch_exporter_refusal_of_source(GetUserId(), exporter);
		if (refusal != NULL)
			ereport(ERROR,
					errcode(STRM_ERR_PRIVILEGE),
					errmsg("permission denied to change where data connector \"%s\" leads", connector->name),
					errdetail("Batch exporter \"%s\" writes %s there, and: %s.", exporter->name,
							  exporter->keys ? "keys" : "decrypted values", refusal),
					errhint("Somebody who may export that may change it, if he is the connector's owner or has strm_admin, too; or drop the exporter first."));
	}
}

/* Raises when two exporters would then write the same files. The new location is stored. */
static void
strm_data_connector_check_places(const StrmConnector *connector)
{
	List	   *exporters = strm_batch_exporters_of_connector(&connector->id);
	StrmFaults	faults;
	ListCell   *lc;

	if (exporters == NIL)
		return;
	strm_faults_init(&faults);
	strm_batch_exporter_lock_places();
	foreach(lc, exporters)
		strm_batch_exporter_check_place(lfirst(lc), &faults);
	strm_connector_raise(&faults, connector->name);
	/* what waits for a store that did not answer may go on */
	strm_catalog_move_generation();
	strm_worker_nudge_at_commit();
}

/* strm.alter_data_connector(name text, location jsonb, credentials jsonb) RETURNS void */
Datum
strm_sql_alter_data_connector(PG_FUNCTION_ARGS)
{
	ErrorContextCallback *context = error_context_stack;
	Jsonb	   *location;
	Jsonb	   *before;
	Jsonb	   *credentials;
	StrmConnector *connector;
	StrmRegistryArgs args = {0};

	strm_statement_hide();
	error_context_stack = NULL;
	connector = strm_connector_manage(strm_args_text(fcinfo, 0, "name"), true);
	location = strm_data_connector_jsonb(fcinfo, 1, "location", STRM_LOCATION_MAX);
	credentials = strm_data_connector_jsonb(fcinfo, 2, "credentials", STRM_CREDENTIALS_MAX);
	strm_data_connector_check_kind(connector->kind);
	before = connector->location;
	connector->trusted = strm_data_connector_trust(connector, location != NULL, credentials != NULL);
	if (location != NULL)
		connector->location = location;
	if (credentials != NULL)
		connector->credentials = strm_data_connector_is_nothing(credentials) ? NULL : credentials;
	strm_data_connector_check(connector);
	if (credentials == NULL && connector->credentials != NULL)
		strm_data_connector_check_redirect(connector, before);
	if (strm_data_connector_moves(connector, before, credentials != NULL))
		strm_data_connector_check_exporters(connector);
	strm_data_connector_args(&args, connector);
	strm_registry_execute("UPDATE strm.data_connector SET location = $2, credentials = $3, trusted = $4 WHERE id = $1",
						  STRM_REGISTRY_ARGS(&args));
	strm_data_connector_check_places(connector);
	error_context_stack = context;
	PG_RETURN_VOID();
}

/* Raises that the connector is still needed. why: a sentence. */
static void
strm_data_connector_raise_used(const StrmConnector *connector, const char *why, const char *hint)
{
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("data connector \"%s\" cannot be dropped", connector->name),
			errdetail("%s", why),
			errhint("%s", hint));
}

/*
 * Raises when an exporter or a job that is not over uses the connector, or when something that one of these left
 * there is still to be taken away. Jobs name connectors as {"data_connector_ref": {"name": ...}}.
 */
static void
strm_data_connector_check_unused(const StrmConnector *connector)
{
	List	   *exporters = strm_batch_exporters_of_connector(&connector->id);
	StrmRegistryArgs args = {0};
	Datum		job;
	bool		isnull;

	if (exporters != NIL)
		strm_data_connector_raise_used(connector,
									   psprintf("Batch exporter \"%s\" uses it.",
												((StrmBatchExporter *) linitial(exporters))->name),
									   "Drop its exporters first, with strm.drop_batch_exporter().");
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&connector->id), false);
	strm_registry_add_text(&args, connector->name);
	if (strm_registry_fetch("SELECT id FROM strm.batch_job"
							" WHERE state <> ALL (ARRAY['FINISHED', 'ERROR'])"
							"  AND (state <> 'ERROR_STARTING' OR tries < 3) AND jsonb_path_exists("
							"  job, '$.** ? (@.data_connector_ref.name == $name || @.dataConnectorRef.name == $name)',"
							"  jsonb_build_object('name', $2)) LIMIT 1",
							STRM_REGISTRY_ARGS(&args), &job, &isnull))
		strm_data_connector_raise_used(connector,
									   psprintf("Batch job %s uses it.", strm_uuid_text(DatumGetUUIDP(job))),
									   "Wait for the job, or cancel it with strm.cancel_batch_job().");
	if (strm_registry_execute("SELECT FROM strm.batch_job_intent WHERE connector_id = $1",
							  STRM_REGISTRY_ARGS(&args)) > 0)
		strm_data_connector_raise_used(connector,
									   "Something that a batch job or exporter left there is still to be removed.",
									   "Wait until a background worker has done that.");
}

/* strm.drop_data_connector(name text) RETURNS void */
Datum
strm_sql_drop_data_connector(PG_FUNCTION_ARGS)
{
	StrmConnector *connector = strm_connector_manage(strm_args_text(fcinfo, 0, "name"), false);
	StrmRegistryArgs args = {0};

	strm_data_connector_check_unused(connector);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&connector->id), false);
	strm_registry_execute("DELETE FROM strm.data_connector_user WHERE connector_id = $1", STRM_REGISTRY_ARGS(&args));
	/* waits for those who have just found it, to create a job or an exporter */
	strm_registry_execute("DELETE FROM strm.data_connector WHERE id = $1", STRM_REGISTRY_ARGS(&args));
	strm_data_connector_check_unused(connector);
	PG_RETURN_VOID();
}

/* Runs a statement on the grant that the arguments name: $1 connector, $2 role. Rights are then looked at anew. */
static void
strm_data_connector_grantee(FunctionCallInfo fcinfo, const char *sql)
{
	StrmConnector *connector = strm_connector_manage(strm_args_text(fcinfo, 0, "name"), false);
	StrmRegistryArgs args = {0};

	strm_args_require(fcinfo, 1, "grantee");
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&connector->id), false);
	strm_registry_add(&args, REGROLEOID, PG_GETARG_DATUM(1), false);
	strm_registry_execute(sql, STRM_REGISTRY_ARGS(&args));
	strm_catalog_move_generation();
	strm_worker_nudge_at_commit();
}

/* Raises 42704 unless the role exists: a number is a regrole, too. */
static void
strm_data_connector_check_role(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(1))
		(void) GetUserNameFromId(PG_GETARG_OID(1), false);
}

/* strm.grant_data_connector(name text, grantee regrole) RETURNS void */
Datum
strm_sql_grant_data_connector(PG_FUNCTION_ARGS)
{
	strm_data_connector_check_role(fcinfo);
	strm_data_connector_grantee(fcinfo, "INSERT INTO strm.data_connector_user (connector_id, grantee) VALUES ($1, $2)"
								" ON CONFLICT DO NOTHING");
	PG_RETURN_VOID();
}

/* strm.revoke_data_connector(name text, grantee regrole) RETURNS void */
Datum
strm_sql_revoke_data_connector(PG_FUNCTION_ARGS)
{
	strm_data_connector_grantee(fcinfo,
								"DELETE FROM strm.data_connector_user WHERE connector_id = $1 AND grantee = $2");
	PG_RETURN_VOID();
}
