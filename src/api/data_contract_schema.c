/*
 * data_contract_schema.c
 *	  The schema of a data contract, read off an existing table.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tupdesc.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "api/data_contract.h"
#include "common/errors.h"
#include "strm_privacy.h"

/* The field type that holds every value of a column type exactly; NULL when none does. */
static const char *
strm_data_contract_type_of(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return "STRING";
		case BOOLOID:
			return "BOOLEAN";
		case INT2OID:
		case INT4OID:
			return "INTEGER";
		case INT8OID:
			return "LONG";
		case FLOAT4OID:
		case FLOAT8OID:
			return "FLOAT";
		default:
			return NULL;
	}
}

/* Appends one column as a node, or adds a fault. */
static void
strm_data_contract_add_node(StringInfo schema, Oid relid, Form_pg_attribute column, StrmFaults *faults)
{
	Oid			base = getBaseType(column->atttypid);
	Oid			element = get_element_type(base);
	const char *type = strm_data_contract_type_of(OidIsValid(element) ? getBaseType(element) : base);
	char	   *doc;

	if (type == NULL)
	{
		strm_faults_add(faults, "column \"%s\": no field type corresponds to %s", NameStr(column->attname),
						format_type_be(column->atttypid));
		return;
	}
	appendStringInfo(schema, "%s{\"type\": \"%s\", \"name\": ", schema->data[schema->len - 1] == '[' ? "" : ", ", type);
	escape_json(schema, NameStr(column->attname));
	if (column->attnotnull)
		appendStringInfoString(schema, ", \"required\": true");
	if (OidIsValid(element))
		appendStringInfoString(schema, ", \"repeated\": true");
	doc = GetComment(relid, RelationRelationId, column->attnum);
	if (doc != NULL)
	{
		appendStringInfoString(schema, ", \"doc\": ");
		escape_json(schema, doc);
	}
	appendStringInfoChar(schema, '}');
}

char *
strm_data_contract_schema_of(Oid relid)
{
	Relation	table = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(table);
	StrmFaults	faults;
	StringInfoData schema;

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(table->rd_rel->relkind), RelationGetRelationName(table));

	strm_faults_init(&faults);
	initStringInfo(&schema);
	appendStringInfoString(&schema, "{\"name\": ");
	escape_json(&schema, RelationGetRelationName(table));
	appendStringInfoString(&schema, ", \"nodes\": [");
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			strm_data_contract_add_node(&schema, relid, TupleDescAttr(desc, i), &faults);
	}
	appendStringInfoString(&schema, "]}");
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT,
					  psprintf("no schema can be read off \"%s\"", RelationGetRelationName(table)),
					  "Use a view that casts these columns.");
	relation_close(table, AccessShareLock);
	return schema.data;
}
