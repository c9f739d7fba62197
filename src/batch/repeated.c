/*
 * repeated.c
 *	  Values of repeated fields: the text of a JSON array of scalars, in a cell of CSV too.
 */
#include "postgres.h"

#include "batch/run_private.h"
#include "format/json_scan.h"
#include "strm_privacy.h"
#include "transform/value.h"

/* Elements of one value: it is what bounds the memory that a record takes. */
#define STRM_REPEATED_MAX 65536

/* A scalar as a record's value, in the current context; false when it is an array or object. */
static bool
strm_repeated_scalar(const StrmJsonValue *json, StrmRecordValue *value)
{
	char	   *plain;

	value->text = json->text;
	value->size = json->size;
	switch (json->kind)
	{
		case STRM_JSON_NULL:
			value->kind = STRM_RECORD_NULL;
			return true;
		case STRM_JSON_NUMBER:
			value->kind = STRM_RECORD_NUMBER;
			return true;
		case STRM_JSON_BOOLEAN:
			value->kind = STRM_RECORD_BOOLEAN;
			return true;
		case STRM_JSON_STRING:
			value->kind = STRM_RECORD_TEXT;
			if (json->escaped)
			{
				plain = palloc(json->size);
				value->size = strm_json_unescape(json->text, json->size, plain);
				value->text = plain;
			}
			return true;
		default:
			return false;
	}
}

/* Adds an element's canonical text; false when it is not of the field's type. */
static bool
strm_repeated_add(StrmBatchField *field, const StrmJsonValue *json, int *room)
{
	StrmRecordValue value;
	StrmBatchText *element;

	if (field->nelements == *room)
	{
		*room *= 2;
		field->elements = repalloc(field->elements, mul_size(*room, sizeof(StrmBatchText)));
	}
	element = &field->elements[field->nelements++];
	if (!strm_repeated_scalar(json, &value))
		return false;
	element->null = value.kind == STRM_RECORD_NULL;
	if (element->null)
		return true;
	if (!strm_batch_record_canonical(field->field, true, &value, &field->canonical, element))
		return false;
	if (element->text == field->canonical.data)
		element->text = pnstrdup(element->text, element->size);
	return true;
}

/* Reads the array; *many is set when it has too many elements. false: it is no array of the field's type. */
static bool
strm_repeated_read(StrmBatchField *field, bool *many)
{
	StrmJsonScan scan = {field->given.text, field->given.text + field->given.size, NULL};
	StrmJsonValue json;
	int			room = 8;

	field->elements = palloc(room * sizeof(StrmBatchText));
	if (!strm_json_take(&scan, '['))
		return false;
	if (!strm_json_take(&scan, ']'))
	{
		do
		{
			*many = field->nelements == STRM_REPEATED_MAX;
			if (*many || !strm_json_value(&scan, &json, 1) || !strm_repeated_add(field, &json, &room))
				return false;
		} while (strm_json_take(&scan, ','));
		if (!strm_json_take(&scan, ']'))
			return false;
	}
	/* the end, not a NUL */
	(void) strm_json_peek(&scan);
	return scan.p == scan.end;
}

const char *
strm_batch_repeated_read(StrmBatchField *field)
{
	bool		many = false;

	field->nelements = 0;
	if (strm_repeated_read(field, &many))
		return NULL;
	return many ? "has too many elements" : strm_value_type_rule(field->field);
}
