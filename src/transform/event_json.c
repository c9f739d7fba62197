/*
 * event_json.c
 *	  A stream's row as event JSON: what strm.events() returns and what exporters publish.
 *
 *	  {"strmMeta": {"eventContractRef": "acme/clickstream/1.0.0", "nonce": 15082564, "timestamp": 1629192833072,
 *	  "keyLink": "55c2...", "consentLevels": [1,2]}, "session_id": "ASB9...", ...}
 *
 *	  Members are the contract's fields by their own names, all of them, in its order; NULL is null. Timestamps are
 *	  epoch milliseconds, 64-bit integers are numbers. A column's SQL type alone decides its JSON type, so ciphertext
 *	  and masks are strings and decrypted values have their native type. JSON has no NaN and no infinity: they are the
 *	  strings "NaN", "Infinity" and "-Infinity" (as in protobuf's JSON), which strm.ingest() takes back. Repeated fields
 *	  are flat arrays. The text is in the server's encoding.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "common/errors.h"
#include "common/uuid.h"
#include "strm_privacy.h"
#include "transform/event_json.h"

#define EPOCH_OFFSET_MS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (SECS_PER_DAY * INT64CONST(1000)))

typedef struct StrmEventMember
{
	char	   *label;			/* , "name":  with its separators */
	Oid			type;			/* of the column, or of its elements */
	bool		array;
	int16		typlen;
	bool		typbyval;
	char		typalign;
} StrmEventMember;

struct StrmEventEncoder
{
	char	   *head;			/* all that precedes the contract version */
	int			nmembers;
	StrmEventMember members[FLEXIBLE_ARRAY_MEMBER];
};

/* Appends size bytes as the inside of a JSON string. */
static void
strm_event_append_escaped(StringInfo out, const char *text, Size size)
{
	Size		start = 0;

	for (Size i = 0; i < size; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		appendBinaryStringInfo(out, text + start, (int) (i - start));
		start = i + 1;
		switch (c)
		{
			case '"':
				appendStringInfoString(out, "\\\"");
				break;
			case '\\':
				appendStringInfoString(out, "\\\\");
				break;
			case '\b':
				appendStringInfoString(out, "\\b");
				break;
			case '\f':
				appendStringInfoString(out, "\\f");
				break;
			case '\n':
				appendStringInfoString(out, "\\n");
				break;
			case '\r':
				appendStringInfoString(out, "\\r");
				break;
			case '\t':
				appendStringInfoString(out, "\\t");
				break;
			default:
				appendStringInfo(out, "\\u%04x", c);
				break;
		}
	}
	appendBinaryStringInfo(out, text + start, (int) (size - start));
}

/* Appends a text Datum as a JSON string. */
static void
strm_event_append_text(StringInfo out, Datum value)
{
	text	   *plain = DatumGetTextPP(value);

	appendStringInfoChar(out, '"');
	strm_event_append_escaped(out, VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
	appendStringInfoChar(out, '"');
}

static void
strm_event_append_int64(StringInfo out, int64 value)
{
	char		digits[MAXINT8LEN + 1];
	int			length = pg_lltoa(value, digits);

	appendBinaryStringInfo(out, digits, length);
}

/* Appends the shortest number that reads back as value, whatever extra_float_digits is. */
static void
strm_event_append_float8(StringInfo out, double value)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (isnan(value))
		appendStringInfoString(out, "\"NaN\"");
	else if (isinf(value))
		appendStringInfoString(out, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	else
	{
		double_to_shortest_decimal_buf(value, digits);
		appendStringInfoString(out, digits);
	}
}

/* Appends one value that is not NULL and not an array. */
static void
strm_event_append_scalar(StringInfo out, Oid type, Datum value)
{
	switch (type)
	{
		case TEXTOID:
			strm_event_append_text(out, value);
			break;
		case BOOLOID:
			appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
			break;
		case INT4OID:
			strm_event_append_int64(out, DatumGetInt32(value));
			break;
		case INT8OID:
			strm_event_append_int64(out, DatumGetInt64(value));
			break;
		case FLOAT8OID:
			strm_event_append_float8(out, DatumGetFloat8(value));
			break;
	}
}

/* Appends an array of member's element type. */
static void
strm_event_append_array(StringInfo out, const StrmEventMember *member, Datum value)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(value), member->type, member->typlen, member->typbyval, member->typalign,
					  &elements, &nulls, &count);
	appendStringInfoChar(out, '[');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		if (nulls[i])
			appendStringInfoString(out, "null");
		else
			strm_event_append_scalar(out, member->type, elements[i]);
	}
	appendStringInfoChar(out, ']');
}

int64
strm_event_epoch_ms(TimestampTz timestamp)
{
	int64		ms = timestamp / 1000;

	if (timestamp % 1000 < 0)
		ms--;
	return ms + EPOCH_OFFSET_MS;
}

/* Appends the members of strmMeta that follow eventContractRef. */
static void
strm_event_append_meta(StringInfo out, const Datum *server, const bool *server_null)
{
	static const StrmEventMember levels = {NULL, INT4OID, true, sizeof(int32), true, TYPALIGN_INT};

	appendStringInfoString(out, ", \"nonce\": ");
	if (server_null[STRM_EVENT_NONCE])
		appendStringInfoString(out, "null");
	else
		strm_event_append_int64(out, DatumGetInt32(server[STRM_EVENT_NONCE]));

	appendStringInfoString(out, ", \"timestamp\": ");
	if (server_null[STRM_EVENT_TIMESTAMP])
		appendStringInfoString(out, "null");
	else
		strm_event_append_int64(out, strm_event_epoch_ms(DatumGetTimestampTz(server[STRM_EVENT_TIMESTAMP])));

	appendStringInfoString(out, ", \"keyLink\": ");
	if (server_null[STRM_EVENT_KEY_LINK])
		appendStringInfoString(out, "null");
	else
	{
		appendStringInfoChar(out, '"');
		strm_uuid_append(out, DatumGetUUIDP(server[STRM_EVENT_KEY_LINK]));
		appendStringInfoChar(out, '"');
	}

	appendStringInfoString(out, ", \"consentLevels\": ");
	if (server_null[STRM_EVENT_CONSENT_LEVELS])
		appendStringInfoString(out, "[]");
	else
		strm_event_append_array(out, &levels, server[STRM_EVENT_CONSENT_LEVELS]);
}

/* Notes how the column of a field is encoded. */
static void
strm_event_init_member(StrmEventMember *member, const StrmField *field, Oid type)
{
	StringInfoData label;
	Oid			element = get_element_type(type);

	member->array = OidIsValid(element);
	member->type = member->array ? element : type;
	if (member->type != TEXTOID && member->type != BOOLOID && member->type != INT4OID &&
		member->type != INT8OID && member->type != FLOAT8OID)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("column of field \"%s\" has type %s, which no data contract gives",
					   field->name, format_type_be(type)));
	get_typlenbyvalalign(member->type, &member->typlen, &member->typbyval, &member->typalign);

	initStringInfo(&label);
	appendStringInfoString(&label, ", \"");
	strm_event_append_escaped(&label, field->name, strlen(field->name));
	appendStringInfoString(&label, "\": ");
	member->label = label.data;
}

StrmEventEncoder *
strm_event_encoder(const StrmContract *contract, const Oid *types)
{
	StrmEventEncoder *encoder;
	StringInfoData head;

	encoder =
		palloc(add_size(offsetof(StrmEventEncoder, members), mul_size(contract->nfields, sizeof(StrmEventMember))));
	encoder->nmembers = contract->nfields;
	for (int i = 0; i < contract->nfields; i++)
		strm_event_init_member(&encoder->members[i], &contract->fields[i], types[i]);

	initStringInfo(&head);
	appendStringInfoString(&head, "{\"strmMeta\": {\"eventContractRef\": \"");
	strm_event_append_escaped(&head, contract->handle, strlen(contract->handle));
	appendStringInfoChar(&head, '/');
	strm_event_append_escaped(&head, contract->name, strlen(contract->name));
	appendStringInfoChar(&head, '/');
	encoder->head = head.data;
	return encoder;
}

void
strm_event_encode(const StrmEventEncoder *encoder, const Datum *server, const bool *server_null,
				  const Datum *fields, const bool *fields_null, StringInfo out)
{
	appendStringInfoString(out, encoder->head);
	if (!server_null[STRM_EVENT_VERSION])
	{
		text	   *version = DatumGetTextPP(server[STRM_EVENT_VERSION]);

		strm_event_append_escaped(out, VARDATA_ANY(version), VARSIZE_ANY_EXHDR(version));
	}
	appendStringInfoChar(out, '"');
	strm_event_append_meta(out, server, server_null);
	appendStringInfoChar(out, '}');

	for (int i = 0; i < encoder->nmembers; i++)
	{
		const StrmEventMember *member = &encoder->members[i];

		appendStringInfoString(out, member->label);
		if (fields_null[i])
			appendStringInfoString(out, "null");
		else if (member->array)
			strm_event_append_array(out, member, fields[i]);
		else
			strm_event_append_scalar(out, member->type, fields[i]);
	}
	appendStringInfoChar(out, '}');
}
