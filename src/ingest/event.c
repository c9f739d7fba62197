/*
 * event.c
 *	  Taking events in JSON into a stream: the reverse of transform/event_json.c.
 *
 *	  An event becomes one INSERT with a parameter per column, so privileges, triggers and constraints are those of any
 *	  INSERT. Personal fields are passed as text, as their columns are; all others in their native type. JSON numbers
 *	  reach integers through their decimal digits, never through a float, so 64-bit values are exact.
 *
 *	  Statement cache: a plan per stream and session, keyed by the table and valid as long as the statement's text is
 *	  the same. The text names table, columns and types, so a renamed table or another contract gives another text and
 *	  no invalidation is needed; changes below (indexes, constraints) are the plan cache's own business.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "catalog/cache.h"
#include "common/errors.h"
#include "ingest/event.h"
#include "strm_privacy.h"

#define META_MEMBER "strmMeta"

/* An event on its way to parameters of the INSERT: $1 the consent levels, $2 the first field, and so on. */
typedef struct StrmEventParse
{
	const StrmContract *contract;
	Datum	   *values;
	char	   *nulls;			/* SPI's: 'n' or ' ' */
	StrmFaults	faults;
	bool		only_types;		/* all faults are wrong types */
} StrmEventParse;

typedef struct StrmEventStatement
{
	Oid			relid;			/* hash key */
	char	   *sql;
	SPIPlanPtr	plan;
} StrmEventStatement;

static HTAB *event_statements = NULL;

/* Type of one value of the field, as the INSERT's parameter takes it. */
static Oid
strm_event_element_type(const StrmField *field)
{
	StrmField	scalar = *field;

	scalar.repeated = false;
	return field->personal ? TEXTOID : strm_field_type(&scalar);
}

static Oid
strm_event_parameter_type(const StrmField *field)
{
	Oid			element = strm_event_element_type(field);

	return field->repeated ? get_array_type(element) : element;
}

/* What a fault says of a field's JSON type. */
static const char *
strm_event_expected_type(const StrmField *field)
{
	switch (field->type)
	{
		case STRM_TYPE_STRING:
			return field->repeated ? "array of strings" : "string";
		case STRM_TYPE_BOOLEAN:
			return field->repeated ? "array of booleans" : "boolean";
		case STRM_TYPE_INTEGER:
			return field->repeated ? "array of 32-bit integers" : "32-bit integer";
		case STRM_TYPE_LONG:
			return field->repeated ? "array of 64-bit integers" : "64-bit integer";
		case STRM_TYPE_FLOAT:
			return field->repeated ? "array of numbers" : "number";
	}
	pg_unreachable();
}

/* The integer that a JSON number is: 5, 5.0 and 5e0 are one. false when it has a fraction or is out of range. */
static bool
strm_event_int64(const JsonbValue *json, int64 min, int64 max, int64 *result)
{
	char	   *digits;
	char	   *end;

	if (json->type != jbvNumeric)
		return false;
	digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json->val.numeric)));
	errno = 0;
	*result = strtoll(digits, &end, 10);
	if (errno != 0 || end == digits)
		return false;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0");
	return *end == '\0' && *result >= min && *result <= max;
}

/* The float that a JSON number, or one of the strings for what JSON numbers lack, is. */
static bool
strm_event_float8(const JsonbValue *json, double *result)
{
	static const char *const names[] = {"NaN", "Infinity", "-Infinity"};
	const double values[] = {NAN, INFINITY, -INFINITY};

	if (json->type == jbvNumeric)
	{
		*result = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(json->val.numeric)));
		return !isinf(*result);
	}
	if (json->type != jbvString)
		return false;
	for (int i = 0; i < lengthof(names); i++)
	{
		if (json->val.string.len == strlen(names[i]) && memcmp(json->val.string.val, names[i], strlen(names[i])) == 0)
		{
			*result = values[i];
			return true;
		}
	}
	return false;
}

/* A scalar JSON value as the parameter of a non-repeated field or as an element; false when it is of another type. */
static bool
strm_event_scalar(const StrmField *field, const JsonbValue *json, Datum *value)
{
	int64		integer;
	double		number;

	switch (field->type)
	{
		case STRM_TYPE_STRING:
			if (json->type != jbvString)
				return false;
			*value = PointerGetDatum(cstring_to_text_with_len(json->val.string.val, json->val.string.len));
			return true;
		case STRM_TYPE_BOOLEAN:
			if (json->type != jbvBool)
				return false;
			*value = field->personal ? CStringGetTextDatum(json->val.boolean ? "true" : "false")
				: BoolGetDatum(json->val.boolean);
			return true;
		case STRM_TYPE_INTEGER:
			if (!strm_event_int64(json, PG_INT32_MIN, PG_INT32_MAX, &integer))
				return false;
			*value = field->personal ? CStringGetTextDatum(psprintf(INT64_FORMAT, integer))
				: Int32GetDatum((int32) integer);
			return true;
		case STRM_TYPE_LONG:
			if (!strm_event_int64(json, PG_INT64_MIN, PG_INT64_MAX, &integer))
				return false;
			*value = field->personal ? CStringGetTextDatum(psprintf(INT64_FORMAT, integer)) : Int64GetDatum(integer);
			return true;
		case STRM_TYPE_FLOAT:
			if (!strm_event_float8(json, &number))
				return false;
			*value = field->personal ? CStringGetTextDatum(psprintf("%.17g", number)) : Float8GetDatum(number);
			return true;
	}
	pg_unreachable();
}

/* A JSON array as the parameter of a repeated field; false when it is none or an element is of another type. */
static bool
strm_event_array(const StrmField *field, const JsonbValue *json, Datum *value)
{
	Oid			type = strm_event_element_type(field);
	ArrayBuildState *elements;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (json->type != jbvBinary || !JsonContainerIsArray(json->val.binary.data))
		return false;

	elements = initArrayResult(type, CurrentMemoryContext, false);
	it = JsonbIteratorInit(json->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		Datum		datum = (Datum) 0;

		if (token != WJB_ELEM)
			continue;
		if (element.type != jbvNull && !strm_event_scalar(field, &element, &datum))
			return false;
		accumArrayResult(elements, datum, element.type == jbvNull, type, CurrentMemoryContext);
	}
	*value = makeArrayResult(elements, CurrentMemoryContext);
	return true;
}

/* Takes the member of a field. */
static void
strm_event_parse_field(StrmEventParse *parse, int ordinal, const JsonbValue *json)
{
	const StrmField *field = &parse->contract->fields[ordinal];
	Datum	   *value = &parse->values[1 + ordinal];

	if (json->type == jbvNull)
		return;
	if (field->repeated ? strm_event_array(field, json, value) : strm_event_scalar(field, json, value))
		parse->nulls[1 + ordinal] = ' ';
	else
		strm_faults_add(&parse->faults, "field \"%s\": %s expected", field->name, strm_event_expected_type(field));
}

/* Takes strmMeta.consentLevels; which levels are allowed is the trigger's business. */
static void
strm_event_parse_consent_levels(StrmEventParse *parse, const JsonbValue *json)
{
	StrmField	levels = {.type = STRM_TYPE_INTEGER,.repeated = true};

	if (json->type == jbvNull)
		return;
	if (strm_event_array(&levels, json, &parse->values[0]) && !ARR_HASNULL(DatumGetArrayTypeP(parse->values[0])))
		parse->nulls[0] = ' ';
	else
		strm_faults_add(&parse->faults, "\"strmMeta.consentLevels\": array of 32-bit integers expected");
}

static bool
strm_event_key_is(const JsonbValue *key, const char *name)
{
	return key->val.string.len == strlen(name) && memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

/* Takes one member of strmMeta. true when it was the event's contract reference, and the right one. */
static bool
strm_event_parse_meta_member(StrmEventParse *parse, const JsonbValue *key, const JsonbValue *value)
{
	if (strm_event_key_is(key, "eventContractRef"))
		return value->type == jbvString && strm_event_key_is(value, strm_contract_ref(parse->contract));
	if (strm_event_key_is(key, "consentLevels"))
		strm_event_parse_consent_levels(parse, value);
	else if (!strm_event_key_is(key, "nonce") && !strm_event_key_is(key, "timestamp") &&
			 !strm_event_key_is(key, "keyLink") && !strm_event_key_is(key, "billingId"))
	{
		parse->only_types = false;
		strm_faults_add(&parse->faults, "unknown member \"strmMeta.%.*s\"", key->val.string.len, key->val.string.val);
	}
	return false;
}

/* Takes strmMeta, which may be NULL (absent). An event must say which contract it follows. */
static void
strm_event_parse_meta(StrmEventParse *parse, const JsonbValue *meta)
{
	bool		contract_seen = false;

	if (meta != NULL && meta->type == jbvBinary && JsonContainerIsObject(meta->val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(meta->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue	key;
		JsonbValue	value;

		while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
		{
			if (token != WJB_KEY)
				continue;
			(void) JsonbIteratorNext(&it, &value, true);
			contract_seen |= strm_event_parse_meta_member(parse, &key, &value);
		}
	}
	if (!contract_seen)
	{
		parse->only_types = false;
		strm_faults_add(&parse->faults, "\"strmMeta.eventContractRef\": \"%s\" expected",
						strm_contract_ref(parse->contract));
	}
}

/* Takes all members of the event. */
static void
strm_event_parse_members(StrmEventParse *parse, Jsonb *event)
{
	JsonbIterator *it = JsonbIteratorInit(&event->root);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	JsonbValue	meta;
	bool		has_meta = false;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		char	   *name;
		int			ordinal;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (strm_event_key_is(&key, META_MEMBER))
		{
			meta = value;
			has_meta = true;
			continue;
		}
		name = pnstrdup(key.val.string.val, key.val.string.len);
		ordinal = strm_contract_field(parse->contract, name);
		if (ordinal >= 0)
			strm_event_parse_field(parse, ordinal, &value);
		else
		{
			parse->only_types = false;
			strm_faults_add(&parse->faults, "unknown field \"%s\"", name);
		}
	}
	strm_event_parse_meta(parse, has_meta ? &meta : NULL);
}

/* Makes the INSERT's parameters of the event, or raises all its faults. */
static void
strm_event_parse(StrmEventParse *parse, const StrmContract *contract, Jsonb *event)
{
	parse->contract = contract;
	parse->values = palloc0(mul_size(1 + contract->nfields, sizeof(Datum)));
	parse->nulls = palloc(1 + contract->nfields);
	memset(parse->nulls, 'n', 1 + contract->nfields);
	parse->only_types = true;
	strm_faults_init(&parse->faults);

	if (!JB_ROOT_IS_OBJECT(event))
		strm_faults_add(&parse->faults, "event: object expected");
	else
		strm_event_parse_members(parse, event);

	if (parse->faults.count > 0)
		strm_ereport_private(errcode(parse->only_types ? STRM_ERR_TYPE : STRM_ERR_ARGUMENT),
							 errmsg("event does not fit data contract \"%s\"", strm_contract_ref(contract)),
							 errdetail("%s", parse->faults.lines.data));
}

/* Text of the INSERT and the types of its parameters. */
static char *
strm_event_statement(const StrmStream *stream, Oid *types)
{
	const StrmContract *contract = stream->contract;
	StringInfoData columns;
	StringInfoData values;

	initStringInfo(&columns);
	initStringInfo(&values);
	types[0] = INT4ARRAYOID;
	for (int i = 0; i < contract->nfields; i++)
	{
		types[1 + i] = strm_event_parameter_type(&contract->fields[i]);
		appendStringInfo(&columns, ", %s", quote_identifier(contract->fields[i].column));
		appendStringInfo(&values, ", $%d::%s", i + 2, format_type_be_qualified(types[1 + i]));
	}
	return psprintf("INSERT INTO %s (" STRM_COLUMN_CONSENT_LEVELS "%s) VALUES ($1%s)",
					strm_catalog_relation_name(stream->relid),
					columns.data, values.data);
}

/* The kept plan of the stream's INSERT, made when there is none or the statement changed. Needs an SPI connection. */
static SPIPlanPtr
strm_event_plan(const StrmStream *stream)
{
	Oid		   *types = palloc(mul_size(1 + stream->contract->nfields, sizeof(Oid)));
	char	   *sql = strm_event_statement(stream, types);
	StrmEventStatement *statement;
	SPIPlanPtr	plan;

	if (event_statements == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(StrmEventStatement)};

		ctl.hcxt = AllocSetContextCreate(CacheMemoryContext, "strm event statements", ALLOCSET_SMALL_SIZES);
		event_statements = hash_create("strm event statements", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	statement = hash_search(event_statements, &stream->relid, HASH_FIND, NULL);
	if (statement != NULL)
	{
		if (strcmp(statement->sql, sql) == 0)
			return statement->plan;
		SPI_freeplan(statement->plan);
		pfree(statement->sql);
		(void) hash_search(event_statements, &stream->relid, HASH_REMOVE, NULL);
	}

	plan = SPI_prepare(sql, 1 + stream->contract->nfields, types);
	if (plan == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not prepare the INSERT of an event: %s", SPI_result_code_string(SPI_result)));
	sql = MemoryContextStrdup(CacheMemoryContext, sql);
	statement = hash_search(event_statements, &stream->relid, HASH_ENTER, NULL);
	statement->sql = sql;
	statement->plan = plan;
	SPI_keepplan(plan);
	return plan;
}

void
strm_event_ingest(const StrmStream *stream, Jsonb *event)
{
	StrmEventParse parse;
	int			rc;

	SPI_connect();
	strm_event_parse(&parse, stream->contract, event);
	rc = SPI_execute_plan(strm_event_plan(stream), parse.values, parse.nulls, false, 0);
	if (rc != SPI_OK_INSERT)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not insert an event: %s", SPI_result_code_string(rc)));
	SPI_finish();
}
