/*
 * encrypt_rows.c
 *	  Encrypting many rows that were checked before, and whose personal values are canonical texts.
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/errors.h"
#include "keys/data_key.h"
#include "strm_privacy.h"
#include "transform/check.h"
#include "transform/encrypt.h"
#include "transform/encrypt_private.h"
#include "transform/value.h"

/* One canonical value as it is; of a value of native type its text. */
static void
strm_encrypt_take_element(const StrmField *field, Datum value, const char **plain, Size *size)
{
	text	   *string;

	if (!field->personal)
	{
		StringInfoData buffer;

		initStringInfo(&buffer);
		strm_value_text(field, value, &buffer, plain, size);
		return;
	}
	string = DatumGetTextPP(value);
	*plain = VARDATA_ANY(string);
	*size = VARSIZE_ANY_EXHDR(string);
}

static void
strm_encrypt_take_array(Datum value, StrmPlain *plain, Datum **elements)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int16		len;
	bool		byval;
	char		align;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, elements, &plain->nulls, &plain->n);
	plain->text = palloc(Max(plain->n, 1) * sizeof(char *));
	plain->size = palloc(Max(plain->n, 1) * sizeof(Size));
}

/* The texts of the fields that are looked at. */
static StrmPlain *
strm_encrypt_take(const StrmContract *contract, const StrmLayout *layout, const StrmEncryptRow *row)
{
	StrmPlain  *plains = palloc0(contract->nfields * sizeof(StrmPlain));

	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];
		StrmPlain  *plain = &plains[i];
		Datum		value = row->values[layout->fields[i]];
		Datum	   *elements = &value;

		plain->null = row->nulls[layout->fields[i]];
		if (plain->null || !(field->personal || i == contract->key_field || i == contract->subject_field))
			continue;
		plain->n = 1;
		plain->text = &plain->text1;
		plain->size = &plain->size1;
		plain->nulls = &plain->null1;
		if (field->repeated)
			strm_encrypt_take_array(value, plain, &elements);
		for (int j = 0; j < plain->n; j++)
		{
			if (!plain->nulls[j])
				strm_encrypt_take_element(field, elements[j], &plain->text[j], &plain->size[j]);
		}
	}
	if (plains[contract->key_field].n != 1 || plains[contract->key_field].size[0] == 0)
		ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a queued row has no key field value"));
	return plains;
}

/* Makes the keys that the rows need, many at once. */
static void
strm_encrypt_prepare_keys(const StrmStream *stream, const StrmEncryptRow *rows, StrmPlain **plains, int n)
{
	const StrmContract *contract = stream->contract;
	StrmKeyWanted *wanted = palloc0(mul_size(n, sizeof(StrmKeyWanted)));

	for (int i = 0; i < n; i++)
	{
		const StrmPlain *key_value = &plains[i][contract->key_field];
		const StrmPlain *subject = contract->subject_field < 0 ? NULL : &plains[i][contract->subject_field];

		wanted[i].value = key_value->text[0];
		wanted[i].size = key_value->size[0];
		wanted[i].now = rows[i].timestamp;
		if (subject != NULL && !subject->null && subject->size[0] > 0)
		{
			wanted[i].subject = subject->text[0];
			wanted[i].subject_size = subject->size[0];
		}
	}
	strm_data_key_prepare(&stream->id, &stream->key_rotation, wanted, n);
	pfree(wanted);
}

void
strm_encrypt_rows(const StrmStream *stream, const StrmLayout *layout, StrmEncryptRow *rows, int n)
{
	StrmPlain **plains = palloc(mul_size(n, sizeof(StrmPlain *)));

	for (int i = 0; i < n; i++)
		plains[i] = strm_encrypt_take(stream->contract, layout, &rows[i]);
	strm_encrypt_prepare_keys(stream, rows, plains, n);
	for (int i = 0; i < n; i++)
		strm_encrypt_plains(stream, layout, rows[i].timestamp, plains[i], rows[i].values, rows[i].nulls);
}
