/*
 * avro.c
 *	  A stream's row in Avro's binary encoding (https://avro.apache.org/docs/1.12.0/specification/#binary-encoding), for
 *	  the schema that avro_schema.c makes.
 *
 *	  Integers are zigzag varints, strings and arrays are preceded by their length, a union by the number of its branch
 *	  (0: null). Arrays are one block. The text is UTF-8, as is every database of the extension. NaN and the infinities
 *	  are doubles like all others.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "common/uuid.h"
#include "export/avro.h"
#include "export/avro_private.h"
#include "strm_privacy.h"
#include "transform/event_json.h"

#define STRM_AVRO_LONG_MAX 10	/* bytes of the longest varint */
#define STRM_AVRO_UUID_SIZE 36	/* characters */
#define STRM_AVRO_MAGIC 0		/* first byte of Confluent's header */

typedef struct StrmAvroMember
{
	Oid			type;			/* of the column, or of its elements */
	bool		array;
	int16		typlen;
	bool		typbyval;
	char		typalign;
} StrmAvroMember;

struct StrmAvroEncoder
{
	char		header[5];		/* Confluent's: 0, id of the schema */
	char	   *ref;			/* the contract's, up to its version: "acme/clickstream/" */
	Size		ref_size;
	int			nmembers;
	StrmAvroMember members[FLEXIBLE_ARRAY_MEMBER];
};

/* int and long, lengths and branches: all are encoded so. */
static void
strm_avro_put_long(StringInfo out, int64 value)
{
	uint64		rest = ((uint64) value << 1) ^ (value < 0 ? ~UINT64CONST(0) : 0);

	enlargeStringInfo(out, STRM_AVRO_LONG_MAX);
	for (; rest >= 0x80; rest >>= 7)
		out->data[out->len++] = (char) (rest | 0x80);
	out->data[out->len++] = (char) rest;
	out->data[out->len] = '\0';
}

static void
strm_avro_put_string(StringInfo out, const char *text, Size size)
{
	strm_avro_put_long(out, (int64) size);
	appendBinaryStringInfo(out, text, (int) size);
}

/* IEEE 754 binary64, little endian. */
static void
strm_avro_put_double(StringInfo out, double value)
{
	uint64		bits;
	char		bytes[sizeof(bits)];

	memcpy(&bits, &value, sizeof(bits));
	for (int i = 0; i < (int) sizeof(bits); i++)
		bytes[i] = (char) (bits >> (8 * i));
	appendBinaryStringInfo(out, bytes, sizeof(bytes));
}

/* One value that is not NULL and not an array. */
static void
strm_avro_put_scalar(StringInfo out, Oid type, Datum value)
{
	switch (type)
	{
		case TEXTOID:
			{
				text	   *plain = DatumGetTextPP(value);

				strm_avro_put_string(out, VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
				break;
			}
		case BOOLOID:
			appendStringInfoChar(out, DatumGetBool(value) ? 1 : 0);
			break;
		case INT4OID:
			strm_avro_put_long(out, DatumGetInt32(value));
			break;
		case INT8OID:
			strm_avro_put_long(out, DatumGetInt64(value));
			break;
		case FLOAT8OID:
			strm_avro_put_double(out, DatumGetFloat8(value));
			break;
	}
}

/* An array of member's elements, each of which may be null. */
static void
strm_avro_put_array(StringInfo out, const StrmAvroMember *member, Datum value)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(value), member->type, member->typlen, member->typbyval, member->typalign,
					  &elements, &nulls, &count);
	if (count > 0)
		strm_avro_put_long(out, count);
	for (int i = 0; i < count; i++)
	{
		strm_avro_put_long(out, nulls[i] ? 0 : 1);
		if (!nulls[i])
			strm_avro_put_scalar(out, member->type, elements[i]);
	}
	strm_avro_put_long(out, 0);
}

/* strmMeta.consentLevels: an array of numbers, empty when it is NULL. */
static void
strm_avro_put_levels(StringInfo out, Datum value, bool isnull)
{
	Datum	   *levels = NULL;
	bool	   *nulls = NULL;
	int			count = 0;
	int			known = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(value), INT4OID, sizeof(int32), true, TYPALIGN_INT,
						  &levels, &nulls, &count);
	for (int i = 0; i < count; i++)
		known += nulls[i] ? 0 : 1;
	if (known > 0)
		strm_avro_put_long(out, known);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			strm_avro_put_long(out, DatumGetInt32(levels[i]));
	}
	strm_avro_put_long(out, 0);
}

/* Appends strmMeta. */
static void
strm_avro_put_meta(const StrmAvroEncoder *encoder, const Datum *server, const bool *server_null, StringInfo out)
{
	text	   *version = server_null[STRM_EVENT_VERSION] ? NULL : DatumGetTextPP(server[STRM_EVENT_VERSION]);
	Size		version_size = version != NULL ? VARSIZE_ANY_EXHDR(version) : 0;

	strm_avro_put_long(out, (int64) (encoder->ref_size + version_size));
	appendBinaryStringInfo(out, encoder->ref, (int) encoder->ref_size);
	if (version != NULL)
		appendBinaryStringInfo(out, VARDATA_ANY(version), (int) version_size);

	strm_avro_put_long(out, server_null[STRM_EVENT_NONCE] ? 0 : 1);
	if (!server_null[STRM_EVENT_NONCE])
		strm_avro_put_long(out, DatumGetInt32(server[STRM_EVENT_NONCE]));

	strm_avro_put_long(out, server_null[STRM_EVENT_TIMESTAMP] ? 0 : 1);
	if (!server_null[STRM_EVENT_TIMESTAMP])
		strm_avro_put_long(out, strm_event_epoch_ms(DatumGetTimestampTz(server[STRM_EVENT_TIMESTAMP])));

	strm_avro_put_long(out, server_null[STRM_EVENT_KEY_LINK] ? 0 : 1);
	if (!server_null[STRM_EVENT_KEY_LINK])
	{
		strm_avro_put_long(out, STRM_AVRO_UUID_SIZE);
		strm_uuid_append(out, DatumGetUUIDP(server[STRM_EVENT_KEY_LINK]));
	}
	strm_avro_put_levels(out, server[STRM_EVENT_CONSENT_LEVELS], server_null[STRM_EVENT_CONSENT_LEVELS]);
}

StrmAvroEncoder *
strm_avro_encoder(const StrmContract *contract, const Oid *types, int32 schema_id)
{
	StrmAvroEncoder *encoder;

	encoder = palloc(add_size(offsetof(StrmAvroEncoder, members), mul_size(contract->nfields, sizeof(StrmAvroMember))));
	encoder->header[0] = STRM_AVRO_MAGIC;
	for (int i = 0; i < 4; i++)
		encoder->header[1 + i] = (char) ((uint32) schema_id >> (24 - 8 * i));
	encoder->ref = psprintf("%s/%s/", contract->handle, contract->name);
	encoder->ref_size = strlen(encoder->ref);
	encoder->nmembers = contract->nfields;
	for (int i = 0; i < contract->nfields; i++)
	{
		StrmAvroMember *member = &encoder->members[i];

		(void) strm_avro_type(&contract->fields[i], types[i], &member->type, &member->array);
		get_typlenbyvalalign(member->type, &member->typlen, &member->typbyval, &member->typalign);
	}
	return encoder;
}

void
strm_avro_encode(const StrmAvroEncoder *encoder, const Datum *server, const bool *server_null,
				 const Datum *fields, const bool *fields_null, StringInfo out)
{
	appendBinaryStringInfo(out, encoder->header, sizeof(encoder->header));
	strm_avro_put_meta(encoder, server, server_null, out);
	for (int i = 0; i < encoder->nmembers; i++)
	{
		const StrmAvroMember *member = &encoder->members[i];

		strm_avro_put_long(out, fields_null[i] ? 0 : 1);
		if (fields_null[i])
			continue;
		if (member->array)
			strm_avro_put_array(out, member, fields[i]);
		else
			strm_avro_put_scalar(out, member->type, fields[i]);
	}
}
