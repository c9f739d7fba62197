/*
 * avro_schema.c
 *	  The Avro schema of a contract's events, which is what the original platform made of a Simple Schema: names,
 *	  namespace and strmMeta are the same, so its readers' schemas resolve.
 *
 *	  {"type": "record", "name": "Clicks", "namespace": "acme.DemoDataContract.v1_0_0", "fields": [
 *	  {"name": "strmMeta", "type": {"type": "record", "name": "StrmMeta", ...}},
 *	  {"name": "url", "type": ["null", "string"], "default": null}]}
 *
 *	  Every field may be null, also a required one: what a derived stream shows of it can be. A column's SQL type alone
 *	  decides a field's Avro type, as in event JSON. The text is the same whenever the definitions are: a registry then
 *	  knows it by its text.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "common/errors.h"
#include "contract/names.h"
#include "export/avro.h"
#include "export/avro_private.h"
#include "export/encoder_private.h"
#include "strm_privacy.h"

#define STRM_AVRO_META "strmMeta"
#define STRM_AVRO_META_RECORD "StrmMeta"

/* strmMeta's fields, of which all but billingId are the original's: the server's columns, see StrmEventColumn. */
#define STRM_AVRO_META_FIELDS \
	"{\"name\":\"eventContractRef\",\"type\":\"string\"}," \
	"{\"name\":\"nonce\",\"type\":[\"null\",\"int\"],\"default\":null}," \
	"{\"name\":\"timestamp\",\"type\":[\"null\",\"long\"],\"default\":null,\"doc\":\"epoch milliseconds\"}," \
	"{\"name\":\"keyLink\",\"type\":[\"null\",\"string\"],\"default\":null}," \
	"{\"name\":\"consentLevels\",\"type\":{\"type\":\"array\",\"items\":\"int\"}}"

const char *
strm_avro_type(const StrmField *field, Oid type, Oid *element, bool *array)
{
	*element = get_element_type(type);
	*array = OidIsValid(*element);
	if (!*array)
		*element = type;
	switch (*element)
	{
		case TEXTOID:
			return "string";
		case BOOLOID:
			return "boolean";
		case INT4OID:
			return "int";
		case INT8OID:
			return "long";
		case FLOAT8OID:
			return "double";
	}
	ereport(ERROR,
			errcode(STRM_ERR_INTERNAL),
			errmsg("column of field \"%s\" has type %s, which no data contract gives", field->name, format_type_be(type)));
}

/* text with an underscore for each run of characters that an Avro name may not have, and no digit in front. */
static char *
strm_avro_name(const char *text)
{
	StringInfoData name;

	initStringInfo(&name);
	for (; *text != '\0'; text++)
	{
		char		one[2] = {*text, '\0'};

		if (name.len == 0 && *text >= '0' && *text <= '9')
			appendStringInfoChar(&name, '_');
		if (strm_names_strip(one)[0] != '\0')
			appendStringInfoChar(&name, *text);
		else if (name.len == 0 || name.data[name.len - 1] != '_')
			appendStringInfoChar(&name, '_');
	}
	return name.data;
}

/* The original's rule for a contract's name: demo-data-contract gives DemoDataContract. "" when nothing is left. */
static char *
strm_avro_pascal_name(const char *text)
{
	StringInfoData name;
	bool		starts_word = true;

	initStringInfo(&name);
	for (; *text != '\0'; text++)
	{
		char		one[2] = {*text, '\0'};
		bool		kept = *text != '_' && strm_names_strip(one)[0] != '\0';

		if (kept && name.len == 0 && *text >= '0' && *text <= '9')
			appendStringInfoChar(&name, '_');
		if (kept)
			appendStringInfoChar(&name, starts_word ? pg_ascii_toupper((unsigned char) *text) : *text);
		starts_word = !kept;
	}
	return name.data;
}

/* Name of the record of events: the schema's own, else made of the contract's. */
static const char *
strm_avro_record_name(const StrmContract *contract)
{
	return contract->schema_name != NULL ? contract->schema_name : strm_avro_pascal_name(contract->name);
}

/* Fields need no check: their names are Avro names and differ, and that of strmMeta is taken by its column's prefix. */
void
strm_avro_check(const StrmContract *contract, StrmFaults *faults)
{
	if (strm_avro_pascal_name(contract->name)[0] == '\0')
		strm_faults_add(faults, "the data contract's name \"%s\" has nothing that can be part of an Avro name",
						contract->name);
	else if (strcmp(strm_avro_record_name(contract), STRM_AVRO_META_RECORD) == 0)
		strm_faults_add(faults, "the Avro name of the events would be %s, which is that of the record of %s",
						STRM_AVRO_META_RECORD, STRM_AVRO_META);
}

/* Appends a field of the contract. */
static void
strm_avro_append_field(StringInfo out, const StrmField *field, Oid type)
{
	Oid			element;
	bool		array;
	const char *name = strm_avro_type(field, type, &element, &array);

	appendStringInfoString(out, ",{\"name\":");
	escape_json(out, field->name);
	if (array)
		appendStringInfo(out, ",\"type\":[\"null\",{\"type\":\"array\",\"items\":[\"null\",\"%s\"]}]", name);
	else
		appendStringInfo(out, ",\"type\":[\"null\",\"%s\"]", name);
	appendStringInfoString(out, ",\"default\":null");
	if (field->doc != NULL)
	{
		appendStringInfoString(out, ",\"doc\":");
		escape_json(out, field->doc);
	}
	appendStringInfoChar(out, '}');
}

char *
strm_avro_stream_schema(const StrmStream *stream, const StrmDerivedStream *derived)
{
	const StrmContract *contract = stream->contract;
	const Oid  *types = strm_export_types(stream, derived);
	char	   *version = pstrdup(contract->version);
	StringInfoData schema;

	for (char *p = version; *p != '\0'; p++)
	{
		if (*p == '.')
			*p = '_';
	}
	initStringInfo(&schema);
	appendStringInfo(&schema, "{\"type\":\"record\",\"name\":\"%s\",\"namespace\":\"%s.%s.v%s\",\"fields\":[",
					 strm_avro_record_name(contract), strm_avro_name(contract->handle),
					 strm_avro_pascal_name(contract->name), version);
	appendStringInfoString(&schema, "{\"name\":\"" STRM_AVRO_META "\",\"type\":{\"type\":\"record\",\"name\":\""
						   STRM_AVRO_META_RECORD "\",\"fields\":[" STRM_AVRO_META_FIELDS "]}}");
	for (int i = 0; i < contract->nfields; i++)
		strm_avro_append_field(&schema, &contract->fields[i], types[i]);
	appendStringInfoString(&schema, "]}");
	return schema.data;
}
