/*
 * encrypt.c
 *	  The one place where a row becomes an encrypted one: check, key, encrypt, seal.
 *
 *	  All of a row's missing and ill-typed fields are reported in one error. Nothing is written before the row has
 *	  passed every check.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/errors.h"
#include "contract/consent.h"
#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "strm_privacy.h"
#include "transform/encrypt.h"
#include "transform/value.h"

/* Longest id of a data subject, in bytes. */
#define STRM_MAX_SUBJECT_SIZE 1024

/* Most elements of a personal array: an array of more ciphertexts could not be stored. */
#define STRM_MAX_ELEMENTS ((int) (MaxAllocSize / (VARHDRSZ + STRM_BASE64_SIZE(STRM_ENVELOPE_OVERHEAD))))

/* The elements of one field's value, in canonical text. A scalar has one element. */
typedef struct StrmPlain
{
	int			n;
	bool		null;			/* the whole value */
	bool		bad;			/* not of its type: text and size are not set */
	const char **text;
	Size	   *size;
	bool	   *nulls;
	/* room for the one element of a scalar */
	const char *text1;
	Size		size1;
	bool		null1;
} StrmPlain;

/* What checking found wrong with a row. */
typedef struct StrmRowFaults
{
	StrmFaults	faults;
	int			sqlstate;		/* of the first */
} StrmRowFaults;

static void
strm_encrypt_fault(StrmRowFaults *row_faults, int sqlstate, const char *rule, const StrmField *field)
{
	if (row_faults->sqlstate == 0)
	{
		row_faults->sqlstate = sqlstate;
		strm_faults_init(&row_faults->faults);
	}
	strm_faults_add(&row_faults->faults, "Field \"%s\" %s.", field->name, rule);
}

/* The canonical text of one element as stored in its column: text for a personal field, else of the native type. */
static bool
strm_encrypt_canonical(const StrmField *field, Datum value, const char **canonical, Size *size)
{
	StringInfoData buffer = {0};
	text	   *string;

	if (field->type != STRM_TYPE_STRING)
		initStringInfo(&buffer);
	if (!field->personal)
	{
		strm_value_text(field, value, &buffer, canonical, size);
		return true;
	}
	string = DatumGetTextPP(value);
	return strm_value_canonical(field, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string), &buffer, canonical, size);
}

/* Splits an array value into plain's elements; false, and notes why, when it has too many elements or dimensions. */
static bool
strm_encrypt_split(const StrmField *field, Datum value, StrmPlain *plain, Datum **elements, StrmRowFaults *faults)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int16		len;
	bool		byval;
	char		align;

	if (ARR_NDIM(array) > 1)
	{
		strm_encrypt_fault(faults, STRM_ERR_TYPE, "has more than one dimension", field);
		return false;
	}
	if (ARR_NDIM(array) == 1 && ARR_DIMS(array)[0] > STRM_MAX_ELEMENTS)
	{
		strm_encrypt_fault(faults, STRM_ERR_LIMIT, "has too many elements", field);
		return false;
	}
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &len, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), len, byval, align, elements, &plain->nulls, &plain->n);
	plain->text = palloc(Max(plain->n, 1) * sizeof(char *));
	plain->size = palloc(Max(plain->n, 1) * sizeof(Size));
	return true;
}

/* Reads one field's value into plain and notes what is wrong with it. */
static void
strm_encrypt_read(const StrmField *field, Datum value, bool null, StrmPlain *plain, StrmRowFaults *faults)
{
	Datum	   *elements = &value;

	plain->null = null;
	plain->bad = false;
	plain->n = 0;
	if (null)
	{
		if (field->required)
			strm_encrypt_fault(faults, STRM_ERR_REQUIRED, "is required", field);
		return;
	}
	if (field->repeated)
	{
		if (!strm_encrypt_split(field, value, plain, &elements, faults))
			return;
	}
	else
	{
		plain->n = 1;
		plain->null1 = false;
		plain->text = &plain->text1;
		plain->size = &plain->size1;
		plain->nulls = &plain->null1;
	}
	for (int i = 0; i < plain->n; i++)
	{
		if (!plain->nulls[i] && !strm_encrypt_canonical(field, elements[i], &plain->text[i], &plain->size[i]))
		{
			plain->bad = true;
			strm_encrypt_fault(faults, STRM_ERR_TYPE, strm_value_type_rule(field), field);
			break;
		}
	}
}

/* Is a value of this field looked at, or only stored? */
static bool
strm_encrypt_needs_text(const StrmContract *contract, int ordinal)
{
	return contract->fields[ordinal].personal || ordinal == contract->key_field || ordinal == contract->subject_field ||
		strm_contract_has_validation(contract, ordinal);
}

/* Reads all fields, raises everything that is wrong with them, then checks the validations. */
static StrmPlain *
strm_encrypt_check(const StrmContract *contract, const StrmLayout *layout, const Datum *values, const bool *nulls)
{
	StrmPlain  *plains = palloc(contract->nfields * sizeof(StrmPlain));
	StrmRowFaults faults = {.sqlstate = 0};

	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];
		int			at = layout->fields[i];

		if (nulls[at] || strm_encrypt_needs_text(contract, i))
			strm_encrypt_read(field, values[at], nulls[at], &plains[i], &faults);
		if (i == contract->key_field && !(nulls[at] && field->required) &&
			(nulls[at] || (plains[i].n == 1 && !plains[i].bad && plains[i].size[0] == 0)))
			strm_encrypt_fault(&faults, STRM_ERR_REQUIRED, "is the key field and must not be null or empty", field);
		if (i == contract->subject_field && !nulls[at] && plains[i].n == 1 && !plains[i].bad &&
			plains[i].size[0] > STRM_MAX_SUBJECT_SIZE)
			strm_encrypt_fault(&faults, STRM_ERR_LIMIT, "is the data subject field and must not exceed 1024 bytes",
							   field);
	}
	if (faults.sqlstate != 0)
		strm_ereport_private(errcode(faults.sqlstate),
							 errmsg("row does not fit data contract \"%s\"", strm_contract_ref(contract)),
							 errdetail("%s", faults.faults.lines.data));

	for (int i = 0; i < contract->nfields; i++)
	{
		if (nulls[layout->fields[i]] || !strm_contract_has_validation(contract, i))
			continue;
		for (int j = 0; j < plains[i].n; j++)
		{
			if (!plains[i].nulls[j])
				strm_contract_validate(contract, i, plains[i].text[j], (int) plains[i].size[j]);
		}
	}
	return plains;
}

/* The ciphertext of one field: text, or text[] when it is repeated. */
static Datum
strm_encrypt_field(StrmDataKey *key, const StrmField *field, const StrmPlain *plain)
{
	Datum	   *elements;
	int			dims = plain->n;
	int			lower = 1;

	if (!field->repeated)
		return PointerGetDatum(strm_value_encrypt(key, plain->text[0], plain->size[0]));

	if (plain->n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	elements = palloc0(plain->n * sizeof(Datum));
	for (int i = 0; i < plain->n; i++)
	{
		if (!plain->nulls[i])
			elements[i] = PointerGetDatum(strm_value_encrypt(key, plain->text[i], plain->size[i]));
	}
	return PointerGetDatum(construct_md_array(elements, plain->nulls, 1, &dims, &lower, TEXTOID, -1, false,
											  TYPALIGN_INT));
}

/* Sets the columns that belong to the server, but for the seal; the consent levels are normal already. */
static void
strm_encrypt_set_server_columns(const StrmContract *contract, const StrmLayout *layout, const StrmDataKey *key,
								TimestampTz timestamp, Datum *values, bool *nulls)
{
	pg_uuid_t  *key_link = palloc(sizeof(pg_uuid_t));
	*key_link = key->key_link;
	values[layout->contract_version] = CStringGetTextDatum(contract->version);
	values[layout->nonce] = Int32GetDatum((int32) (pg_prng_uint32(&pg_global_prng_state) & 0x7fffffff));
	values[layout->timestamp] = TimestampTzGetDatum(timestamp);
	values[layout->key_link] = UUIDPGetDatum(key_link);
	nulls[layout->contract_version] = nulls[layout->nonce] = nulls[layout->timestamp] = false;
	nulls[layout->key_link] = nulls[layout->consent_levels] = nulls[layout->seal] = false;
}

void
strm_sealed_row_read(const StrmStream *stream, const StrmLayout *layout, const Datum *values, const bool *nulls,
					 StrmSealedRow *row)
{
	const StrmContract *contract = stream->contract;
	text	   *version = DatumGetTextPP(values[layout->contract_version]);
	Datum	   *personal = palloc(Max(contract->npersonal, 1) * sizeof(Datum));
	bool	   *personal_null = palloc(Max(contract->npersonal, 1) * sizeof(bool));

	row->version = VARDATA_ANY(version);
	row->version_size = VARSIZE_ANY_EXHDR(version);
	row->nonce = DatumGetInt32(values[layout->nonce]);
	row->timestamp = DatumGetTimestampTz(values[layout->timestamp]);
	row->key_link = DatumGetUUIDP(values[layout->key_link]);
	row->consent_levels = DatumGetArrayTypeP(values[layout->consent_levels]);
	row->seal = nulls[layout->seal] ? NULL : DatumGetByteaPP(values[layout->seal]);
	row->npersonal = contract->npersonal;
	for (int i = 0; i < contract->npersonal; i++)
	{
		int			at = layout->fields[contract->personal[i]];

		personal[i] = values[at];
		personal_null[i] = nulls[at];
	}
	row->personal = personal;
	row->personal_null = personal_null;
}

void
strm_encrypt_row(const StrmStream *stream, const StrmLayout *layout, TimestampTz timestamp, Datum *values, bool *nulls)
{
	const StrmContract *contract = stream->contract;
	StrmPlain  *plains = strm_encrypt_check(contract, layout, values, nulls);
	StrmPlain  *key_value = &plains[contract->key_field];
	StrmPlain  *subject = contract->subject_field < 0 ? NULL : &plains[contract->subject_field];
	StrmDataKey *key;
	StrmSealedRow sealed;
	bytea	   *seal = palloc(VARHDRSZ + STRM_CMAC_SIZE);

	/* before a key is made, because it may fail */
	values[layout->consent_levels] = PointerGetDatum(strm_consent_normalize(
		nulls[layout->consent_levels] ? NULL : DatumGetArrayTypeP(values[layout->consent_levels])));

	key = strm_data_key_for_value(&stream->id, key_value->text[0], key_value->size[0], timestamp,
								  &stream->key_rotation);
	if (subject != NULL && !subject->null && subject->size[0] > 0)
		strm_data_key_register_subject(key, subject->text[0], subject->size[0]);

	for (int i = 0; i < contract->npersonal; i++)
	{
		int			ordinal = contract->personal[i];
		int			at = layout->fields[ordinal];

		if (!nulls[at])
			values[at] = strm_encrypt_field(key, &contract->fields[ordinal], &plains[ordinal]);
	}
	strm_encrypt_set_server_columns(contract, layout, key, timestamp, values, nulls);

	nulls[layout->seal] = true;
	strm_sealed_row_read(stream, layout, values, nulls, &sealed);
	SET_VARSIZE(seal, VARHDRSZ + STRM_CMAC_SIZE);
	strm_seal_compute(stream, key, &sealed, (uint8 *) VARDATA(seal));
	values[layout->seal] = PointerGetDatum(seal);
	nulls[layout->seal] = false;
}
