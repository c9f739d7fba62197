/*
 * encoder_derived.c
 *	  The fields of a row as a derived stream shows them: through the same code as its view.
 *
 *	  Plaintext is in three places. The scratch buffers of reveals hold it for the time of one value. Revealed values
 *	  are in row_cxt: a callback of its reset wipes them, and scratch buffers that an error left full; it is armed
 *	  for each row and works on error paths, too. The event's buffer is the caller's, who wipes it. It must not be
 *	  moved while it is filled, as its old place would be freed with what was written there; so room is made first,
 *	  from an upper bound of the event's size.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/array.h"
#include "common/secret.h"
#include "export/encoder_private.h"
#include "keys/data_key.h"
#include "keys/master_key.h"
#include "strm_privacy.h"
#include "transform/encrypt.h"
#include "transform/mask.h"
#include "transform/reveal.h"

/* Most characters of the server's columns but the consent levels, and of a field that is no text, with separators. */
#define STRM_EXPORT_META_SIZE 512
#define STRM_EXPORT_SCALAR_SIZE 40

/* What is done with a field. */
typedef enum StrmExportAction
{
	STRM_EXPORT_COPY,			/* as stored */
	STRM_EXPORT_REVEAL,			/* personal: decrypted, or its mask */
	STRM_EXPORT_MASK			/* not personal: its mask */
} StrmExportAction;

typedef struct StrmExportField
{
	StrmExportAction action;
	StrmReveal	reveal;
	bool		by_reference;	/* the result: a text or an array */
	bool		array;
	void	   *plain;			/* the revealed value in row_cxt, to be wiped; or NULL */
} StrmExportField;

struct StrmExportDerived
{
	const StrmDerivedStream *derived;
	MemoryContext row_cxt;
	MemoryContextCallback callback;
	bool		armed;
	StrmMaskSeed *seed;			/* or NULL: nothing is masked */
	StringInfoData buffer;		/* scratch of masks, of values that are not personal */
	Size		labels_size;	/* bound of all that is the same for each event */
	int			nfields;
	StrmExportField fields[FLEXIBLE_ARRAY_MEMBER];
};

/* Wipes the plaintext of a row. */
static void
strm_export_derived_wipe(void *arg)
{
	StrmExportDerived *derived = arg;

	derived->armed = false;
	for (int i = 0; i < derived->nfields; i++)
	{
		StrmExportField *field = &derived->fields[i];

		if (field->action == STRM_EXPORT_REVEAL && field->reveal.plain.len > 0)
			strm_reveal_wipe(&field->reveal);
		if (field->plain != NULL)
			strm_secret_wipe(field->plain, VARSIZE_ANY(field->plain));
		field->plain = NULL;
	}
}

void
strm_export_derived_arm(StrmExportDerived *derived)
{
	if (derived->armed)
		return;
	derived->callback.func = strm_export_derived_wipe;
	derived->callback.arg = derived;
	MemoryContextRegisterResetCallback(derived->row_cxt, &derived->callback);
	derived->armed = true;
}

StrmExportDerived *
strm_export_derived(const StrmDerivedStream *derived, MemoryContext row_cxt)
{
	const StrmContract *contract = derived->stream->contract;
	Oid		   *types = strm_export_types(derived->stream, derived);
	StrmExportDerived *result;

	strm_master_key_require();
	result = palloc0(add_size(offsetof(StrmExportDerived, fields),
							  mul_size(contract->nfields, sizeof(StrmExportField))));
	result->derived = derived;
	result->row_cxt = row_cxt;
	result->nfields = contract->nfields;
	result->labels_size = STRM_EXPORT_META_SIZE + 6 * (strlen(contract->handle) + strlen(contract->name));
	if (derived->mask_seed != NULL)
		result->seed = strm_mask_unwrap(CurrentMemoryContext, &derived->id, derived->hash_type, derived->mask_seed);
	initStringInfo(&result->buffer);

	for (int i = 0; i < contract->nfields; i++)
	{
		StrmExportField *field = &result->fields[i];

		field->array = contract->fields[i].repeated;
		field->by_reference = field->array || types[i] == TEXTOID;
		result->labels_size += 6 * strlen(contract->fields[i].name) + STRM_EXPORT_SCALAR_SIZE;
		if (contract->fields[i].personal && derived->fields[i].allowed)
			field->action = STRM_EXPORT_REVEAL;
		else if (!contract->fields[i].personal && derived->fields[i].masked)
			field->action = STRM_EXPORT_MASK;
		if (field->action != STRM_EXPORT_REVEAL)
			continue;
		field->reveal.derived = derived;
		field->reveal.ordinal = i;
		field->reveal.seed = derived->fields[i].masked ? result->seed : NULL;
		initStringInfo(&field->reveal.plain);
	}
	pfree(types);
	return result;
}

bool
strm_export_derived_consented(const StrmExportDerived *derived, Datum levels)
{
	StrmArrayBuffer buffer;
	const ArrayType *plain = strm_array_plain(levels, &buffer);
	const int32 *values;
	int			n;

	return strm_array_int4(plain, &values, &n) && strm_reveal_consented(derived->derived, plain);
}

/* The mask of a field that is not personal. */
static Datum
strm_export_mask(StrmExportDerived *derived, int ordinal, Datum value)
{
	const StrmField *field = &derived->derived->stream->contract->fields[ordinal];

	if (field->repeated)
		return PointerGetDatum(strm_mask_array(derived->seed, field, DatumGetArrayTypeP(value), &derived->buffer));
	return PointerGetDatum(strm_mask_value(derived->seed, field, value, &derived->buffer));
}

/* Reveals a field of an authentic row; false when its ciphertext is not authentic. */
static bool
strm_export_reveal(StrmExportField *field, StrmDataKey *key, const StrmSealedRow *row, Datum *value, bool *null)
{
	if (!strm_reveal_field(&field->reveal, key, row, value, null))
		return false;
	if (!*null && field->by_reference)
		field->plain = DatumGetPointer(*value);
	return true;
}

StrmExportVerdict
strm_export_derived_fields(StrmExportDerived *derived, const StrmLayout *layout, const Datum *values,
						   const bool *nulls, Datum *fields, bool *fields_null)
{
	StrmSealedRow row;
	StrmDataKey *key = strm_data_key_find(DatumGetUUIDP(values[layout->key_link]));

	if (key == NULL)
		return STRM_EXPORT_FORGED;
	if (key->destroyed)
		return STRM_EXPORT_WITHHELD;
	strm_sealed_row_read(derived->derived->stream, layout, values, nulls, &row);
	if (!strm_reveal_authentic(derived->derived, key, &row))
		return STRM_EXPORT_FORGED;

	for (int i = 0; i < derived->nfields; i++)
	{
		StrmExportField *field = &derived->fields[i];

		fields[i] = values[layout->fields[i]];
		fields_null[i] = nulls[layout->fields[i]];
		if (fields_null[i])
			continue;
		if (field->action == STRM_EXPORT_MASK)
			fields[i] = strm_export_mask(derived, i, fields[i]);
		else if (field->action == STRM_EXPORT_REVEAL &&
				 !strm_export_reveal(field, key, &row, &fields[i], &fields_null[i]))
			return STRM_EXPORT_FORGED;
	}
	return STRM_EXPORT_SEND;
}

/* Most characters that size bytes of text, or an array, take in an event, separators aside. */
static Size
strm_export_text_bound(const StrmExportField *field, Datum value)
{
	const char *data = VARDATA_ANY(DatumGetPointer(value));
	Size		size = VARSIZE_ANY_EXHDR(DatumGetPointer(value));
	Size		special = 0;

	/* an array's headers and padding count, too: that is more than separators take */
	for (Size i = 0; i < size; i++)
		special += (unsigned char) data[i] < ' ' || data[i] == '"' || data[i] == '\\';
	size += 5 * special;
	if (field->array)
		size += mul_size(ArrayGetNItems(ARR_NDIM((ArrayType *) DatumGetPointer(value)),
										ARR_DIMS((ArrayType *) DatumGetPointer(value))), STRM_EXPORT_SCALAR_SIZE);
	return size;
}

void
strm_export_derived_reserve(const StrmExportDerived *derived, Datum levels, Datum *fields, const bool *fields_null,
							StringInfo out)
{
	Size		size = derived->labels_size + 3 * toast_raw_datum_size(levels);
	char	   *data;

	for (int i = 0; i < derived->nfields; i++)
	{
		const StrmExportField *field = &derived->fields[i];

		if (fields_null[i] || !field->by_reference)
			continue;
		/* once, and not again by the format */
		fields[i] = field->array ? PointerGetDatum(DatumGetArrayTypeP(fields[i]))
			: PointerGetDatum(DatumGetTextPP(fields[i]));
		size = add_size(size, strm_export_text_bound(field, fields[i]));
	}
	if (size <= (Size) out->maxlen)
		return;

	/* beyond the limit the format raises, as there is no event of that size */
	size = Min(pg_nextpower2_size_t(size), MaxAllocSize);
	data = MemoryContextAlloc(GetMemoryChunkContext(out->data), size);
	strm_secret_wipe(out->data, out->maxlen);
	pfree(out->data);
	out->data = data;
	out->maxlen = (int) size;
	resetStringInfo(out);
}
