/*
 * view.c
 *	  The view that is a derived stream.
 *
 *	  It is an ordinary view of the source: the server columns without the seal, then the contract's columns, each as it
 *	  is, revealed (decrypted or masked) or masked. Everything in it is schema-qualified, and it names itself by its
 *	  registry id only, so that pg_dump can restore it. security_barrier keeps a reader's functions from rows without
 *	  consent. INSTEAD OF triggers keep a GRANT ALL from writing through it to the source.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catalog/cache.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "derived/view.h"
#include "strm_privacy.h"
#include "transform/reveal.h"

static const char *const server_columns[] = {
	STRM_COLUMN_CONTRACT_VERSION, STRM_COLUMN_NONCE, STRM_COLUMN_TIMESTAMP, STRM_COLUMN_KEY_LINK,
	STRM_COLUMN_CONSENT_LEVELS
};

StaticAssertDecl(lengthof(server_columns) == STRM_DERIVED_SERVER_COLUMNS,
				 "the view's columns are not those that are checked");

/* Runs one DDL statement as the current user. */
static void
strm_derived_execute(const char *sql)
{
	int			result;

	SPI_connect();
	result = SPI_execute(sql, false, 0);
	if (result < 0)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("a definition of a derived stream failed: %s", SPI_result_code_string(result)));
	SPI_finish();
}

/* A uuid as a typed literal */
static void
strm_derived_append_uuid(StringInfo sql, const pg_uuid_t *id)
{
	appendStringInfo(sql, "'%s'::pg_catalog.uuid", strm_uuid_text(id));
}

/* strm.reveal(...) of a personal field */
static void
strm_derived_append_reveal(StringInfo sql, const StrmDerivedStream *derived, int ordinal)
{
	const StrmContract *contract = derived->stream->contract;
	Oid			type = strm_reveal_type(derived, ordinal);

	appendStringInfoString(sql, "strm.reveal(");
	strm_derived_append_uuid(sql, &derived->id);
	appendStringInfo(sql, ", %d", ordinal);
	for (int i = 0; i < STRM_DERIVED_SERVER_COLUMNS; i++)
		appendStringInfo(sql, ", s.%s", server_columns[i]);
	appendStringInfo(sql, ", s.%s, NULL::%s", STRM_COLUMN_SEAL,
					 format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY));
	for (int i = 0; i < contract->npersonal; i++)
		appendStringInfo(sql, ", s.%s", quote_identifier(contract->fields[contract->personal[i]].column));
	appendStringInfoChar(sql, ')');

	/* ciphertexts are COLLATE "C"; what is revealed collates as any other text */
	if (OidIsValid(get_typcollation(type)))
		appendStringInfoString(sql, " COLLATE pg_catalog.\"default\"");
}

/* strm.mask_value(...) of a field that is not personal. The token is read as the view's owner. */
static void
strm_derived_append_mask(StringInfo sql, const StrmDerivedStream *derived, int ordinal)
{
	const StrmField *field = &derived->stream->contract->fields[ordinal];

	appendStringInfo(sql,
					 "strm.%s((SELECT t.token FROM strm.mask_token t WHERE t.derived_stream OPERATOR(pg_catalog.=) ",
					 field->repeated ? "mask_values" : "mask_value");
	strm_derived_append_uuid(sql, &derived->id);
	appendStringInfo(sql, "), %d, s.%s)", ordinal, quote_identifier(field->column));
}

/* The expression and name of a contract field's column */
static void
strm_derived_append_field(StringInfo sql, const StrmDerivedStream *derived, int ordinal)
{
	const StrmField *field = &derived->stream->contract->fields[ordinal];

	if (field->personal && derived->fields[ordinal].allowed)
		strm_derived_append_reveal(sql, derived, ordinal);
	else if (!field->personal && derived->fields[ordinal].masked)
		strm_derived_append_mask(sql, derived, ordinal);
	else
		appendStringInfo(sql, "s.%s", quote_identifier(field->column));
	appendStringInfo(sql, " AS %s", quote_identifier(field->column));
}

/* The row filter */
static void
strm_derived_append_filter(StringInfo sql, const StrmDerivedStream *derived)
{
	if (derived->cumulative)
	{
		appendStringInfo(sql, "strm.consents_up_to(s.%s, %d)", STRM_COLUMN_CONSENT_LEVELS, derived->purposes[0]);
		return;
	}
	appendStringInfo(sql, "strm.consents_to(s.%s, '{", STRM_COLUMN_CONSENT_LEVELS);
	for (int i = 0; i < derived->npurposes; i++)
		appendStringInfo(sql, "%s%d", i > 0 ? "," : "", derived->purposes[i]);
	appendStringInfoString(sql, "}'::pg_catalog.int4[])");
}

static char *
strm_derived_view_definition(const StrmDerivedStream *derived, const char *view)
{
	StringInfoData sql;
	Oid			source = derived->stream->relid;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE VIEW %s WITH (security_barrier = true) AS SELECT ", view);
	for (int i = 0; i < STRM_DERIVED_SERVER_COLUMNS; i++)
		appendStringInfo(&sql, "%ss.%s", i > 0 ? ", " : "", server_columns[i]);
	for (int i = 0; i < derived->stream->contract->nfields; i++)
	{
		appendStringInfoString(&sql, ", ");
		strm_derived_append_field(&sql, derived, i);
	}
	appendStringInfo(&sql, " FROM %s s WHERE ",
					 strm_catalog_relation_name(source));
	strm_derived_append_filter(&sql, derived);
	return sql.data;
}

Oid
strm_derived_create_view(const StrmDerivedDefinition *definition)
{
	const StrmContract *contract = definition->derived.stream->contract;
	const char *view = quote_qualified_identifier(definition->schema, definition->name);

	strm_derived_execute(strm_derived_view_definition(&definition->derived, view));
	strm_derived_execute(psprintf("CREATE TRIGGER strm_refuse_write INSTEAD OF INSERT OR UPDATE OR DELETE ON %s"
								  " FOR EACH ROW EXECUTE FUNCTION strm.refuse_write()", view));
	for (int i = 0; i < contract->nfields; i++)
		if (contract->fields[i].doc != NULL)
			strm_derived_execute(psprintf("COMMENT ON COLUMN %s.%s IS %s", view,
										  quote_identifier(contract->fields[i].column),
										  quote_literal_cstr(contract->fields[i].doc)));
	return get_relname_relid(definition->name, get_namespace_oid(definition->schema, false));
}

void
strm_derived_drop_view(Oid relid)
{
	strm_derived_execute(psprintf("DROP VIEW %s",
								  strm_catalog_relation_name(relid)));
}
