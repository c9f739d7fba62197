/*
 * batch_exporter.c
 *	  Definitions of batch exporters: rows of the registry as structs, who may export, and the names of files.
 *
 *	  Readers look up the registry's table before they read: from then on the catalog's generation moves when one of
 *	  these definitions changes.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "connect/connector.h"
#include "export/batch_exporter.h"
#include "export/exporter.h"
#include "strm_privacy.h"

/* Columns of the statement below. */
enum
{
	EXPORTER_ID, EXPORTER_NAME, EXPORTER_OWNER, EXPORTER_STREAM, EXPORTER_DERIVED, EXPORTER_KEYS, EXPORTER_CONNECTOR,
	EXPORTER_PATH_PREFIX, EXPORTER_EVERY, EXPORTER_GZIP, EXPORTER_INCLUDE_EXISTING, EXPORTER_PAUSED, EXPORTER_OURS,
	EXPORTER_DEFINED_AT
};

/*
 * $1 and $2 tell this database of this server. pg_upgrade makes a server of another identifier, and may take the slot
 * and the states along: then all exporters are ours still. A dump has no states; a copy within the server has another
 * database; and what was made in a copy of a server is the copy's own, so that the others are not.
 */
#define STRM_BATCH_EXPORTER_IS_OURS \
	"(e.database = $1 AND (e.system_identifier = $2 OR" \
	"  EXISTS (SELECT FROM pg_replication_slots s WHERE s.plugin = '" STRM_EXTENSION_NAME "' AND s.datoid = $1 AND" \
	"   s.slot_name = ('strm_batch_' || $1)::name) AND" \
	"  EXISTS (SELECT FROM strm.batch_exporter_state s WHERE s.exporter_id = e.id) AND" \
	"  NOT EXISTS (SELECT FROM strm.batch_exporter o WHERE o.database = $1 AND o.system_identifier = $2)))"

#define STRM_BATCH_EXPORTER_SELECT \
	"SELECT e.id, e.name, e.owner::oid, e.stream_id, e.derived_stream_id, e.keys, e.connector_id, e.path_prefix," \
	" extract(epoch FROM e.every)::int, e.compression IS NOT NULL, e.include_existing_events, e.paused, " \
	STRM_BATCH_EXPORTER_IS_OURS ", e.defined_at FROM strm.batch_exporter e "

char *
strm_batch_exporter_slot_name(void)
{
	return psprintf("strm_batch_%u", MyDatabaseId);
}

char *
strm_batch_exporter_file_name(const char *name)
{
	StringInfoData safe;

	initStringInfo(&safe);
	for (const char *p = name; *p != '\0'; p += pg_mblen(p))
	{
		bool		plain = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
			strchr("-._~", *p) != NULL;

		appendStringInfoChar(&safe, plain ? *p : '_');
	}
	return safe.data;
}

/* $1 and $2 of the statements here. */
static void
strm_batch_exporter_add_database(StrmRegistryArgs *args)
{
	strm_registry_add(args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(args, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()), false);
}

static StrmBatchExporter *
strm_batch_exporter_of_row(const Datum *values, const bool *nulls)
{
	StrmBatchExporter *exporter = palloc0(sizeof(StrmBatchExporter));

	exporter->id = *DatumGetUUIDP(values[EXPORTER_ID]);
	exporter->name = TextDatumGetCString(values[EXPORTER_NAME]);
	exporter->owner = DatumGetObjectId(values[EXPORTER_OWNER]);
	exporter->stream = *DatumGetUUIDP(values[EXPORTER_STREAM]);
	exporter->is_derived = !nulls[EXPORTER_DERIVED];
	if (exporter->is_derived)
		exporter->derived = *DatumGetUUIDP(values[EXPORTER_DERIVED]);
	exporter->keys = DatumGetBool(values[EXPORTER_KEYS]);
	exporter->connector = *DatumGetUUIDP(values[EXPORTER_CONNECTOR]);
	exporter->path_prefix = TextDatumGetCString(values[EXPORTER_PATH_PREFIX]);
	exporter->every = DatumGetInt32(values[EXPORTER_EVERY]);
	exporter->gzip = DatumGetBool(values[EXPORTER_GZIP]);
	exporter->include_existing = DatumGetBool(values[EXPORTER_INCLUDE_EXISTING]);
	exporter->paused = DatumGetBool(values[EXPORTER_PAUSED]);
	exporter->ours = DatumGetBool(values[EXPORTER_OURS]);
	exporter->defined_at = TextDatumGetCString(values[EXPORTER_DEFINED_AT]);
	return exporter;
}

/* Exporters that a statement finds, whose parameter $3 is given; type InvalidOid: it has none. */
static List *
strm_batch_exporters_where(const char *sql, Oid type, Datum value)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;
	List	   *exporters = NIL;

	(void) strm_catalog_table(STRM_TABLE_BATCH_EXPORTER);
	strm_batch_exporter_add_database(&args);
	if (OidIsValid(type))
		strm_registry_add(&args, type, value, false);
	rows = strm_registry_select(sql, STRM_REGISTRY_ARGS(&args));
	for (uint64 i = 0; i < rows->n; i++)
		exporters = lappend(exporters, strm_batch_exporter_of_row(rows->values + i * rows->ncolumns,
																  rows->nulls + i * rows->ncolumns));
	return exporters;
}

List *
strm_batch_exporters(void)
{
	return strm_batch_exporters_where(STRM_BATCH_EXPORTER_SELECT "ORDER BY e.name", InvalidOid, (Datum) 0);
}

List *
strm_batch_exporters_of_connector(const pg_uuid_t *connector)
{
	return strm_batch_exporters_where(STRM_BATCH_EXPORTER_SELECT "WHERE e.connector_id = $3 ORDER BY e.name", UUIDOID,
									  UUIDPGetDatum(connector));
}

StrmBatchExporter *
strm_batch_exporter_by_id(const pg_uuid_t *id)
{
	List	   *exporters = strm_batch_exporters_where(STRM_BATCH_EXPORTER_SELECT "WHERE e.id = $3", UUIDOID,
													   UUIDPGetDatum(id));

	return exporters == NIL ? NULL : linitial(exporters);
}

StrmBatchExporter *
strm_batch_exporter_by_name(const char *name)
{
	List	   *exporters = strm_batch_exporters_where(STRM_BATCH_EXPORTER_SELECT "WHERE e.name = $3", TEXTOID,
													   CStringGetTextDatum(name));

	if (exporters == NIL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("batch exporter \"%s\" does not exist", name),
				errhint("strm.batch_exporters lists the batch exporters."));
	return linitial(exporters);
}

void
strm_batch_exporters_adopt(void)
{
	StrmRegistryArgs args = {0};

	strm_batch_exporter_add_database(&args);
	strm_registry_execute("UPDATE strm.batch_exporter e SET system_identifier = $2"
						  " WHERE system_identifier <> $2 AND " STRM_BATCH_EXPORTER_IS_OURS,
						  STRM_REGISTRY_ARGS(&args));
}

const char *
strm_batch_exporter_refusal_of_source(Oid owner, const StrmBatchExporter *exporter)
{
	if (exporter->keys)
		return strm_exporter_refusal_of_keys(owner, &exporter->stream);
	return strm_exporter_refusal_of_source(owner, &exporter->stream, exporter->is_derived ? &exporter->derived : NULL);
}

const char *
strm_batch_exporter_refusal(const StrmBatchExporter *exporter)
{
	const char *refusal = strm_batch_exporter_refusal_of_source(exporter->owner, exporter);

	return refusal != NULL ? refusal : strm_connector_refusal(&exporter->connector, exporter->owner);
}
