/*
 * stream.c
 *	  The table of a stream, as DDL that runs with the rights of the role that creates it.
 *
 *	  Every name goes through quote_identifier, every text through quote_literal.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "common/errors.h"
#include "common/uuid.h"
#include "ingest/stream.h"
#include "strm_privacy.h"

void
strm_stream_execute(const char *sql)
{
	int			result = SPI_execute(sql, false, 0);

	if (result < 0)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not create a stream: %s", SPI_result_code_string(result)));
}

static char *
strm_stream_qualified(const StrmStreamOptions *options)
{
	return quote_qualified_identifier(options->schema, options->name);
}

static void
strm_stream_append_columns(StringInfo sql, const StrmContract *contract)
{
	appendStringInfoString(sql,
						   STRM_COLUMN_CONTRACT_VERSION " pg_catalog.text NOT NULL, "
						   STRM_COLUMN_NONCE " pg_catalog.int4 NOT NULL, "
						   STRM_COLUMN_TIMESTAMP " pg_catalog.timestamptz(3) NOT NULL DEFAULT pg_catalog.now(), "
						   STRM_COLUMN_KEY_LINK " pg_catalog.uuid NOT NULL, "
						   STRM_COLUMN_CONSENT_LEVELS " pg_catalog.int4[] NOT NULL DEFAULT '{}', "
						   STRM_COLUMN_SEAL " pg_catalog.bytea NOT NULL");
	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];

		appendStringInfo(sql, ", %s ", quote_identifier(field->column));
		if (field->personal)
			appendStringInfo(sql, "pg_catalog.text%s COLLATE pg_catalog.\"C\"", field->repeated ? "[]" : "");
		else
			appendStringInfoString(sql, format_type_extended(strm_field_type(field), -1, FORMAT_TYPE_FORCE_QUALIFY));
		if (field->required)
			appendStringInfoString(sql, " NOT NULL");
	}
}

/*
 * CONSTRAINT strm_ciphertext CHECK (strm.check_ciphertext(...)), and further ones when there are many personal fields.
 */
static void
strm_stream_append_checks(StringInfo sql, const StrmContract *contract)
{
	for (int i = 0; i < contract->npersonal; i++)
	{
		if (i % STRM_CIPHERTEXT_COLUMNS == 0)
		{
			appendStringInfo(sql, "%s, CONSTRAINT " STRM_CIPHERTEXT_CONSTRAINT, i > 0 ? "))" : "");
			if (i > 0)
				appendStringInfo(sql, "_%d", i / STRM_CIPHERTEXT_COLUMNS + 1);
			appendStringInfoString(sql, " CHECK (" STRM_SCHEMA_NAME ".check_ciphertext(");
		}
		else
			appendStringInfoString(sql, ", ");
		appendStringInfoString(sql, quote_identifier(contract->fields[contract->personal[i]].column));
	}
	if (contract->npersonal > 0)
		appendStringInfoString(sql, "))");
}

/*
 * Personal values and consent levels stay in the row as long as it fits a page, rather than to be moved out of line
 * when it exceeds 2 kB: to reveal one value needs all of them, for the seal.
 */
static void
strm_stream_store_inline(const StrmStreamOptions *options, const StrmContract *contract)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE %s ALTER COLUMN " STRM_COLUMN_CONSENT_LEVELS " SET STORAGE MAIN",
					 strm_stream_qualified(options));
	for (int i = 0; i < contract->npersonal; i++)
		appendStringInfo(&sql, ", ALTER COLUMN %s SET STORAGE MAIN",
						 quote_identifier(contract->fields[contract->personal[i]].column));
	strm_stream_execute(sql.data);
}

/* The documentation of the contract's fields becomes column comments. */
static void
strm_stream_comment_columns(const StrmStreamOptions *options, const StrmContract *contract)
{
	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];

		if (field->doc != NULL)
			strm_stream_execute(psprintf("COMMENT ON COLUMN %s.%s IS %s", strm_stream_qualified(options),
										 quote_identifier(field->column), quote_literal_cstr(field->doc)));
	}
}

Oid
strm_stream_create_table(const StrmStreamOptions *options, const StrmContract *contract)
{
	StringInfoData sql;
	char	   *qualified = strm_stream_qualified(options);

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", qualified);
	strm_stream_append_columns(&sql, contract);
	strm_stream_append_checks(&sql, contract);
	appendStringInfoChar(&sql, ')');
	if (options->partitioned)
		appendStringInfoString(&sql, " PARTITION BY RANGE (" STRM_COLUMN_TIMESTAMP ")");
	strm_stream_execute(sql.data);
	strm_stream_execute(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", qualified));
	if (options->index_key_link)
		strm_stream_execute(psprintf("CREATE INDEX ON %s (" STRM_COLUMN_KEY_LINK ")", qualified));
	strm_stream_store_inline(options, contract);
	strm_stream_comment_columns(options, contract);
	return get_relname_relid(options->name, get_namespace_oid(options->schema, false));
}

void
strm_stream_create_triggers(const StrmStreamOptions *options)
{
	char	   *qualified = strm_stream_qualified(options);
	char	   *id = strm_uuid_text(&options->id);

	strm_stream_execute(psprintf("CREATE TRIGGER strm_encrypt BEFORE INSERT ON %s FOR EACH ROW "
								 "EXECUTE FUNCTION " STRM_SCHEMA_NAME ".encrypt_row(%s)", qualified,
								 quote_literal_cstr(id)));
	strm_stream_execute(psprintf("CREATE TRIGGER strm_refuse_update BEFORE UPDATE ON %s FOR EACH ROW "
								 "EXECUTE FUNCTION " STRM_SCHEMA_NAME ".refuse_update()", qualified));
}
