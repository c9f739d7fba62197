/*
 * batch_exporter.c
 *	  strm.create_batch_exporter(): what is checked before, and the rows that make a worker begin.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "api/args.h"
#include "api/batch_exporter.h"
#include "api/exporter_source.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "export/decoder.h"
#include "export/snapshot.h"
#include "strm_privacy.h"
#include "worker/database_command.h"

/* What the arguments ask for. */
typedef struct StrmBatchRequest
{
	StrmBatchExporter exporter;
	StrmExporterSource source;
	StrmConnector *connector;
	char	   *format;
	char	   *compression;
	StrmFaults	faults;			/* found while the arguments were read */
} StrmBatchRequest;

PG_FUNCTION_INFO_V1(strm_sql_create_batch_exporter);

/* The source's ids, in the exporter. */
static void
strm_batch_request_source(StrmBatchRequest *request)
{
	request->exporter.stream = request->source.stream;
	request->exporter.is_derived = request->source.is_derived;
	request->exporter.derived = request->source.derived;
}

/* A boolean argument; a fault when it is NULL. */
static bool
strm_batch_request_flag(FunctionCallInfo fcinfo, int n, const char *name, StrmFaults *faults)
{
	if (!PG_ARGISNULL(n))
		return PG_GETARG_BOOL(n);
	strm_faults_add(faults, "%s must not be NULL", name);
	return false;
}

/* The arguments; NULL stands for defaults that depend on others. Faults are collected. */
static void
strm_batch_request_read(FunctionCallInfo fcinfo, StrmBatchRequest *request)
{
	StrmBatchExporter *exporter = &request->exporter;

	strm_faults_init(&request->faults);
	strm_args_require(fcinfo, 0, "stream");
	strm_exporter_source_find(PG_GETARG_OID(0), &request->source);
	strm_batch_request_source(request);
	request->connector = strm_batch_exporter_connector(strm_args_text(fcinfo, 1, "connector"));
	exporter->connector = request->connector->id;
	if (PG_ARGISNULL(3))
		strm_faults_add(&request->faults, "every must not be NULL");
	else
		exporter->every = strm_batch_exporter_seconds(PG_GETARG_INTERVAL_P(3), &request->faults);
	exporter->path_prefix = PG_ARGISNULL(4) ? pstrdup("") : strm_args_text_or_null(fcinfo, 4);
	exporter->include_existing = strm_batch_request_flag(fcinfo, 5, "include_existing_events", &request->faults);
	exporter->keys = strm_batch_request_flag(fcinfo, 6, "export_keys", &request->faults);
	request->format = strm_args_text_or_null(fcinfo, 7);
	request->compression = strm_args_text_or_null(fcinfo, 8);
	exporter->name = strm_args_text_or_null(fcinfo, 2);
	if (exporter->name == NULL)
		exporter->name = psprintf("%s_%s%s", get_rel_name(request->source.relid), request->connector->name,
								  exporter->keys ? "_keys" : "");
}

/* Raises unless the current user may export the source. */
static void
strm_batch_request_check_rights(const StrmBatchRequest *request)
{
	const StrmBatchExporter *exporter = &request->exporter;
	const char *refusal = strm_batch_exporter_refusal_of_source(GetUserId(), exporter);

	if (refusal != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("permission denied to export %s \"%s\"",
					   exporter->keys ? "keys of stream" : exporter->is_derived ? "derived stream" : "stream",
					   get_rel_name(request->source.relid)),
				errdetail("Reason: %s.", refusal));
}

/* Faults of format and compression. Keys are CSV, whether that was said or not. */
static void
strm_batch_request_check_format(StrmBatchRequest *request)
{
	StrmFaults *faults = &request->faults;
	bool		keys = request->exporter.keys;

	if (request->format == NULL)
		strm_faults_add(faults, "format must not be NULL");
	else if (strcmp(request->format, "jsonl") != 0 && !(keys && strcmp(request->format, "csv") == 0))
		strm_faults_add(faults, keys ? "format of keys must be csv, or left out" : "format must be jsonl");
	if (keys)
		request->format = pstrdup("csv");
	request->exporter.gzip = request->compression != NULL;
	if (request->compression != NULL && strcmp(request->compression, "gzip") != 0)
		strm_faults_add(faults, "compression must be gzip, or NULL for none");
}

static void
strm_batch_request_raise(StrmBatchRequest *request)
{
	strm_faults_raise(&request->faults, STRM_ERR_ARGUMENT, "the batch exporter is not valid", NULL);
}

static void
strm_batch_request_raise_duplicate(const StrmBatchRequest *request)
{
	ereport(ERROR,
			errcode(STRM_ERR_DUPLICATE),
			errmsg("batch exporter \"%s\" already exists", request->exporter.name),
			errhint("Give the argument name another value, or drop that exporter first."));
}

/* Is the name taken, as far as can be seen? Storing it tells for sure; here it costs no wait for the store. */
static void
strm_batch_request_check_name(const StrmBatchRequest *request)
{
	StrmRegistryArgs args = {0};

	strm_registry_add_text(&args, request->exporter.name);
	if (strm_registry_execute("SELECT FROM strm.batch_exporter WHERE name = $1", STRM_REGISTRY_ARGS(&args)) > 0)
		strm_batch_request_raise_duplicate(request);
}

/* Raises all that is wrong with the definition. */
static void
strm_batch_request_check(StrmBatchRequest *request)
{
	StrmBatchExporter *exporter = &request->exporter;
	StrmFaults *faults = &request->faults;

	if (exporter->keys && exporter->is_derived)
		strm_faults_add(faults, "export_keys is for streams: a derived stream has no keys of its own");
	strm_batch_exporter_check_paths(exporter, faults);
	strm_batch_request_check_format(request);
	if (request->connector->kind->open == NULL)
		strm_faults_add(faults, "data connector \"%s\" is a database, which has no files: a batch job, or logical"
						" replication, writes to another database", request->connector->name);
	if (!exporter->keys)
		strm_exporter_source_check_logged(&request->source, faults);
	strm_batch_exporter_check_place(exporter, faults);
	strm_batch_request_raise(request);
}

/* Writes the definition, and the state that a worker takes it up in. */
static void
strm_batch_request_store(StrmBatchRequest *request)
{
	StrmBatchExporter *exporter = &request->exporter;
	StrmBatchExporterStatus status = {.state = STRM_BATCH_EXPORTER_CREATING};
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	exporter->id = strm_uuid_new();
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_add_text(&args, exporter->name);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(GetUserId()), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->stream), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->derived), !exporter->is_derived);
	strm_registry_add(&args, BOOLOID, BoolGetDatum(exporter->keys), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->connector), false);
	strm_registry_add_text(&args, exporter->path_prefix);
	strm_registry_add(&args, INT4OID, Int32GetDatum(exporter->every), false);
	strm_registry_add_text(&args, request->format);
	strm_registry_add_text(&args, request->compression);
	strm_registry_add(&args, BOOLOID, BoolGetDatum(exporter->include_existing), false);
	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(&args, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), false);
	/* the server's own text form lacks subtransactions */
	strm_registry_add_text(&args, strm_snapshot_text(strm_snapshot_take()));
	if (!strm_registry_fetch("INSERT INTO strm.batch_exporter (id, name, owner, stream_id, derived_stream_id, keys,"
							 "  connector_id, path_prefix, every, format, compression, include_existing_events,"
							 "  database, system_identifier, defined_at)"
							 " VALUES ($1, $2, $3::regrole, $4, $5, $6, $7, $8, make_interval(secs => $9), $10, $11,"
							 "  $12, $13, $14, $15)"
							 " ON CONFLICT (name) DO NOTHING RETURNING id",
							 STRM_REGISTRY_ARGS(&args), &id, &isnull))
		strm_batch_request_raise_duplicate(request);
	status.since = GetCurrentTimestamp();
	strm_batch_exporter_status_write(&exporter->id, &status);
	strm_worker_nudge_at_commit();
}

/*
 * strm.create_batch_exporter(stream regclass, connector text, name text, every interval, path_prefix text,
 * include_existing_events boolean, export_keys boolean, format text, compression text) RETURNS uuid
 */
Datum
strm_sql_create_batch_exporter(PG_FUNCTION_ARGS)
{
	StrmBatchRequest *request = palloc0(sizeof(StrmBatchRequest));

	strm_batch_request_read(fcinfo, request);
	strm_batch_request_check_rights(request);
	strm_exporter_source_hold(&request->source);
	strm_batch_request_source(request);
	strm_batch_request_check(request);
	strm_batch_request_check_name(request);
	strm_decoder_require();
	strm_batch_exporter_try(request->connector, request->exporter.path_prefix);
	/* of two sessions that want the same files the second one sees the first one's row */
	strm_batch_exporter_lock_places();
	strm_batch_exporter_check_place(&request->exporter, &request->faults);
	strm_batch_request_raise(request);
	strm_batch_exporters_adopt();
	strm_batch_request_store(request);
	PG_RETURN_UUID_P(&request->exporter.id);
}
