/*
 * inbox_table.c
 *	  The table of an inbox, as DDL that runs with the rights of the role that creates it.
 *
 *	  The producer's columns take NULL, and have no constraint: what is stored of them is NULL, and the contract is
 *	  checked by the access method, which sets the other columns. The sequence is no column's default: one number serves
 *	  all rows of a batch (inbox_target.c). It has no cache, so that its numbers are in the order of insertion across
 *	  sessions. A sealed row does not shrink, so it is not compressed. The trigger is for a table that was restored from
 *	  a dump without its access method.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catalog/registry.h"
#include "ingest/inbox.h"
#include "ingest/inbox_rotate.h"
#include "ingest/inbox_table.h"
#include "keys/inbox_key.h"
#include "strm_privacy.h"

char *
strm_inbox_table_name(const char *stream)
{
	return psprintf("%s%s", stream, STRM_INBOX_SUFFIX);
}

static void
strm_inbox_table_append_columns(StringInfo sql, const StrmContract *contract)
{
	appendStringInfoString(sql, STRM_COLUMN_CONSENT_LEVELS " pg_catalog.int4[]");
	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];

		appendStringInfo(sql, ", %s ", quote_identifier(field->column));
		if (field->personal)
			appendStringInfo(sql, "pg_catalog.text%s COLLATE pg_catalog.\"C\"", field->repeated ? "[]" : "");
		else
			appendStringInfoString(sql, format_type_extended(strm_field_type(field), -1, FORMAT_TYPE_FORCE_QUALIFY));
	}
	appendStringInfoString(sql,
						   ", " STRM_INBOX_QUEUED_AT " pg_catalog.timestamptz"
						   ", " STRM_INBOX_SEQUENCE " pg_catalog.int8"
						   ", " STRM_INBOX_LANE " pg_catalog.int2"
						   ", " STRM_INBOX_SEALED " pg_catalog.bytea"
						   ", " STRM_INBOX_FAULT " pg_catalog.text");
}

static void
strm_inbox_table_register(const StrmStreamOptions *options, Oid relid)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&options->id), false);
	strm_registry_add(&args, REGCLASSOID, ObjectIdGetDatum(relid), false);
	strm_registry_add(&args, BYTEAOID, PointerGetDatum(strm_inbox_key_new(&options->id, STRM_INBOX_LANE_KEY)), false);
	strm_registry_execute("INSERT INTO strm.inbox (stream_id, relation, key) VALUES ($1, $2, $3)",
						  STRM_REGISTRY_ARGS(&args));
	strm_inbox_rotate_make(&options->id, STRM_INBOX_LANE_KEY + 1);
}

/* The qualified name of the inbox's sequence: as the server would choose it. */
static char *
strm_inbox_table_sequence(const char *schema, const char *inbox)
{
	return quote_qualified_identifier(schema, ChooseRelationName(inbox, STRM_INBOX_SEQUENCE, "seq",
																 get_namespace_oid(schema, false), false));
}

void
strm_inbox_table_create(const StrmStreamOptions *options, const StrmContract *contract)
{
	char	   *name = strm_inbox_table_name(options->name);
	char	   *qualified = quote_qualified_identifier(options->schema, name);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", qualified);
	strm_inbox_table_append_columns(&sql, contract);
	appendStringInfoString(&sql, ") USING " STRM_INBOX_ACCESS_METHOD);
	strm_stream_execute(sql.data);
	strm_stream_execute(psprintf("ALTER TABLE %s ALTER COLUMN " STRM_INBOX_SEALED " SET STORAGE EXTERNAL", qualified));
	strm_stream_execute(psprintf("CREATE SEQUENCE %s OWNED BY %s." STRM_INBOX_SEQUENCE,
								 strm_inbox_table_sequence(options->schema, name), qualified));
	strm_stream_execute(psprintf("CREATE TRIGGER " STRM_INBOX_TRIGGER " BEFORE INSERT ON %s FOR EACH STATEMENT "
								 "EXECUTE FUNCTION " STRM_SCHEMA_NAME ".check_inbox()", qualified));
	strm_inbox_table_register(options, get_relname_relid(name, get_namespace_oid(options->schema, false)));
}
