/*
 * inbox_row.c
 *	  A checked row as bytes, and back.
 *
 *	  What is read was authentic, so a fault in it means another version of this code or memory gone bad. It is checked
 *	  all the same: nothing is read beyond the end, and no size is trusted before it is known to fit.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "ingest/inbox_row.h"
#include "strm_privacy.h"

#define ROW_VERSION 1

/* Bytes of a number of 64 bits at most. */
#define ROW_NUMBER_SIZE 10

typedef struct StrmRowReader
{
	const uint8 *at;
	const uint8 *end;
} StrmRowReader;

static inline void
strm_row_put_number(StringInfo out, uint64 number)
{
	uint8		bytes[ROW_NUMBER_SIZE];
	int			n = 0;

	for (; number >= 0x80; number >>= 7)
		bytes[n++] = (uint8) number | 0x80;
	bytes[n++] = (uint8) number;
	appendBinaryStringInfo(out, (const char *) bytes, n);
}

static inline void
strm_row_put_bytes(StringInfo out, const void *bytes, Size size, int extra)
{
	if (size >= MaxAllocSize - ROW_NUMBER_SIZE)
		strm_ereport_private(errcode(STRM_ERR_LIMIT), errmsg("a row is too long to be queued"));
	strm_row_put_number(out, (uint64) size + extra);
	appendBinaryStringInfo(out, bytes, (int) size);
}

static inline void
strm_row_put_int32(StringInfo out, int32 value)
{
	uint32		big_endian = pg_hton32((uint32) value);

	appendBinaryStringInfo(out, (const char *) &big_endian, sizeof(big_endian));
}

/* A value of its native type that is not NULL. */
static void
strm_row_put_native(StringInfo out, const StrmField *field, Datum value)
{
	uint32		half;
	uint64		whole;
	text	   *string;
	uint8		truth;

	switch (field->type)
	{
		case STRM_TYPE_STRING:
			string = DatumGetTextPP(value);
			strm_row_put_bytes(out, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string), 1);
			return;
		case STRM_TYPE_BOOLEAN:
			truth = DatumGetBool(value) ? 1 : 0;
			strm_row_put_bytes(out, &truth, sizeof(truth), 1);
			return;
		case STRM_TYPE_INTEGER:
			half = pg_hton32((uint32) DatumGetInt32(value));
			strm_row_put_bytes(out, &half, sizeof(half), 1);
			return;
		case STRM_TYPE_LONG:
			whole = pg_hton64((uint64) DatumGetInt64(value));
			strm_row_put_bytes(out, &whole, sizeof(whole), 1);
			return;
		case STRM_TYPE_FLOAT:
			/* a float8 datum has the bits of an int64 one */
			whole = pg_hton64((uint64) DatumGetInt64(Float8GetDatum(DatumGetFloat8(value))));
			strm_row_put_bytes(out, &whole, sizeof(whole), 1);
			return;
	}
	pg_unreachable();
}

/* An array of native elements, with its dimensions as they are. */
static void
strm_row_put_array(StringInfo out, const StrmField *field, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int16		len;
	bool		byval;
	char		align;

	strm_row_put_number(out, (uint64) ARR_NDIM(array) + 1);
	for (int i = 0; i < ARR_NDIM(array); i++)
	{
		strm_row_put_number(out, (uint64) ARR_DIMS(array)[i]);
		strm_row_put_int32(out, ARR_LBOUND(array)[i]);
	}
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			strm_row_put_number(out, 0);
		else
			strm_row_put_native(out, field, elements[i]);
	}
}

/* A personal value: canonical texts. An array of them has one dimension, from 1. */
static void
strm_row_put_personal(StringInfo out, const StrmField *field, const StrmPlain *plain)
{
	if (field->repeated)
	{
		strm_row_put_number(out, plain->n == 0 ? 1 : 2);
		if (plain->n > 0)
		{
			strm_row_put_number(out, (uint64) plain->n);
			strm_row_put_int32(out, 1);
		}
	}
	for (int i = 0; i < plain->n; i++)
	{
		if (plain->nulls[i])
			strm_row_put_number(out, 0);
		else
			strm_row_put_bytes(out, plain->text[i], plain->size[i], 1);
	}
}

void
strm_inbox_row_write(const StrmContract *contract, const int *positions, const Datum *values, const bool *nulls,
					 const StrmPlain *plains, const ArrayType *consent_levels, StringInfo out)
{
	int			nlevels = ARR_NDIM(consent_levels) == 0 ? 0 : ARR_DIMS(consent_levels)[0];
	const int32 *levels = (const int32 *) ARR_DATA_PTR(consent_levels);

	appendStringInfoChar(out, ROW_VERSION);
	strm_row_put_bytes(out, contract->version, strlen(contract->version), 0);
	strm_row_put_number(out, (uint64) nlevels);
	for (int i = 0; i < nlevels; i++)
		strm_row_put_int32(out, levels[i]);

	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];

		if (nulls[positions[i]])
			strm_row_put_number(out, 0);
		else if (field->personal)
			strm_row_put_personal(out, field, &plains[i]);
		else if (field->repeated)
			strm_row_put_array(out, field, values[positions[i]]);
		else
			strm_row_put_native(out, field, values[positions[i]]);
	}
}

pg_noreturn static void strm_row_broken(void);

static void
strm_row_broken(void)
{
	strm_ereport_private(errcode(STRM_ERR_FORGED),
						 errmsg("a queued row cannot be read"),
						 errdetail("It was queued by another version of the extension or of the data contract."));
	pg_unreachable();
}

static uint64
strm_row_get_number(StrmRowReader *reader)
{
	uint64		number = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8		byte;

		if (reader->at == reader->end)
			break;
		byte = *reader->at++;
		number |= (uint64) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return number;
	}
	strm_row_broken();
}

static const uint8 *
strm_row_get_bytes(StrmRowReader *reader, uint64 size)
{
	const uint8 *bytes = reader->at;

	if (size > (uint64) (reader->end - reader->at))
		strm_row_broken();
	reader->at += size;
	return bytes;
}

static uint32
strm_row_get_uint32(StrmRowReader *reader)
{
	uint32		value;

	memcpy(&value, strm_row_get_bytes(reader, sizeof(value)), sizeof(value));
	return pg_ntoh32(value);
}

/* A scalar or element of the type in its column; true when it is NULL. */
static bool
strm_row_get_scalar(StrmRowReader *reader, const StrmField *field, Datum *value)
{
	uint64		size = strm_row_get_number(reader);
	const uint8 *bytes;
	uint64		whole = 0;

	*value = (Datum) 0;
	if (size == 0)
		return true;
	bytes = strm_row_get_bytes(reader, --size);
	if (field->personal || field->type == STRM_TYPE_STRING)
	{
		*value = PointerGetDatum(cstring_to_text_with_len((const char *) bytes, (int) size));
		return false;
	}
	if (size != (field->type == STRM_TYPE_BOOLEAN ? 1 : field->type == STRM_TYPE_INTEGER ? 4 : 8))
		strm_row_broken();
	for (uint64 i = 0; i < size; i++)
		whole = whole << 8 | bytes[i];
	if (field->type == STRM_TYPE_BOOLEAN)
		*value = BoolGetDatum(whole != 0);
	else if (field->type == STRM_TYPE_INTEGER)
		*value = Int32GetDatum((int32) (uint32) whole);
	else
		*value = Int64GetDatum((int64) whole);
	return false;
}

/* Type of the elements in the column of a repeated field. */
static Oid
strm_row_element_type(const StrmField *field)
{
	return field->personal ? TEXTOID : get_element_type(strm_field_type(field));
}

/* A repeated value; true when it is NULL. */
static bool
strm_row_get_array(StrmRowReader *reader, const StrmField *field, Datum *value)
{
	uint64		ndim = strm_row_get_number(reader);
	Oid			type = strm_row_element_type(field);
	int			dims[MAXDIM];
	int			lower[MAXDIM];
	uint64		n = 1;
	Datum	   *elements;
	bool	   *nulls;
	int16		len;
	bool		byval;
	char		align;

	*value = (Datum) 0;
	if (ndim-- == 0)
		return true;
	if (ndim > MAXDIM)
		strm_row_broken();
	for (uint64 i = 0; i < ndim; i++)
	{
		uint64		dim = strm_row_get_number(reader);

		/* each element takes a byte at least */
		if (dim > (uint64) (reader->end - reader->at) || n * dim > (uint64) (reader->end - reader->at))
			strm_row_broken();
		n *= dim;
		dims[i] = (int) dim;
		lower[i] = (int32) strm_row_get_uint32(reader);
	}
	if (ndim == 0)
	{
		*value = PointerGetDatum(construct_empty_array(type));
		return false;
	}

	elements = palloc(Max(n, 1) * sizeof(Datum));
	nulls = palloc(Max(n, 1) * sizeof(bool));
	for (uint64 i = 0; i < n; i++)
		nulls[i] = strm_row_get_scalar(reader, field, &elements[i]);
	get_typlenbyvalalign(type, &len, &byval, &align);
	*value = PointerGetDatum(construct_md_array(elements, nulls, (int) ndim, dims, lower, type, len, byval, align));
	return false;
}

/* The consent levels: written in their normal form. */
static Datum
strm_row_get_consent(StrmRowReader *reader)
{
	uint64		n = strm_row_get_number(reader);
	Datum	   *levels;

	if (n > (uint64) (reader->end - reader->at) / 4)
		strm_row_broken();
	levels = palloc(Max(n, 1) * sizeof(Datum));
	for (uint64 i = 0; i < n; i++)
		levels[i] = Int32GetDatum((int32) strm_row_get_uint32(reader));
	return PointerGetDatum(construct_array(levels, (int) n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

void
strm_inbox_row_read(const StrmContract *contract, const uint8 *in, Size n, const StrmLayout *layout, Datum *values,
					bool *nulls)
{
	StrmRowReader reader = {.at = in, .end = in + n};
	uint64		size;

	if (*strm_row_get_bytes(&reader, 1) != ROW_VERSION)
		strm_row_broken();
	size = strm_row_get_number(&reader);
	if (size != strlen(contract->version) ||
		memcmp(strm_row_get_bytes(&reader, size), contract->version, size) != 0)
		strm_row_broken();
	values[layout->consent_levels] = strm_row_get_consent(&reader);
	nulls[layout->consent_levels] = false;

	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];
		int			at = layout->fields[i];

		nulls[at] = field->repeated ? strm_row_get_array(&reader, field, &values[at])
			: strm_row_get_scalar(&reader, field, &values[at]);
	}
	if (reader.at != reader.end)
		strm_row_broken();
}
