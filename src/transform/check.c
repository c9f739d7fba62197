/*
 * check.c
 *	  Reading a producer's row against its contract. All of a row's missing and ill-typed fields are reported in one
 *	  error, then the validations are checked.
 */
#include "postgres.h"

#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "strm_privacy.h"
#include "transform/check.h"
#include "transform/value.h"

/* Longest id of a data subject, in bytes. */
#define STRM_MAX_SUBJECT_SIZE 1024

/* Most elements of a personal array: an array of more ciphertexts could not be stored. */
#define STRM_MAX_ELEMENTS ((int) (MaxAllocSize / (VARHDRSZ + STRM_BASE64_SIZE(STRM_ENVELOPE_OVERHEAD))))

/* What checking found wrong with a row. */
typedef struct StrmRowFaults
{
	StrmFaults	faults;
	int			sqlstate;		/* of the first */
} StrmRowFaults;

static void
strm_check_fault(StrmRowFaults *row_faults, int sqlstate, const char *rule, const StrmField *field)
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
strm_check_canonical(const StrmField *field, Datum value, const char **canonical, Size *size)
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
strm_check_split(const StrmField *field, Datum value, StrmPlain *plain, Datum **elements, StrmRowFaults *faults)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int16		len;
	bool		byval;
	char		align;

	if (ARR_NDIM(array) > 1)
	{
		strm_check_fault(faults, STRM_ERR_TYPE, "has more than one dimension", field);
		return false;
	}
	if (ARR_NDIM(array) == 1 && ARR_DIMS(array)[0] > STRM_MAX_ELEMENTS)
	{
		strm_check_fault(faults, STRM_ERR_LIMIT, "has too many elements", field);
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
strm_check_read(const StrmField *field, Datum value, bool null, StrmPlain *plain, StrmRowFaults *faults)
{
	Datum	   *elements = &value;

	plain->null = null;
	plain->bad = false;
	plain->n = 0;
	if (null)
	{
		if (field->required)
			strm_check_fault(faults, STRM_ERR_REQUIRED, "is required", field);
		return;
	}
	if (field->repeated)
	{
		if (!strm_check_split(field, value, plain, &elements, faults))
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
		if (!plain->nulls[i] && !strm_check_canonical(field, elements[i], &plain->text[i], &plain->size[i]))
		{
			plain->bad = true;
			strm_check_fault(faults, STRM_ERR_TYPE, strm_value_type_rule(field), field);
			break;
		}
	}
}

/* Is a value of this field looked at, or only stored? */
static bool
strm_check_needs_text(const StrmContract *contract, int ordinal)
{
	return contract->fields[ordinal].personal || ordinal == contract->key_field || ordinal == contract->subject_field ||
		strm_contract_has_validation(contract, ordinal);
}

StrmPlain *
strm_check_row(const StrmContract *contract, const int *positions, const Datum *values, const bool *nulls)
{
	StrmPlain  *plains = palloc(contract->nfields * sizeof(StrmPlain));
	StrmRowFaults faults = {.sqlstate = 0};

	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];
		int			at = positions[i];

		if (nulls[at] || strm_check_needs_text(contract, i))
			strm_check_read(field, values[at], nulls[at], &plains[i], &faults);
		if (i == contract->key_field && !(nulls[at] && field->required) &&
			(nulls[at] || (plains[i].n == 1 && !plains[i].bad && plains[i].size[0] == 0)))
			strm_check_fault(&faults, STRM_ERR_REQUIRED, "is the key field and must not be null or empty", field);
		if (i == contract->subject_field && !nulls[at] && plains[i].n == 1 && !plains[i].bad &&
			plains[i].size[0] > STRM_MAX_SUBJECT_SIZE)
			strm_check_fault(&faults, STRM_ERR_LIMIT, "is the data subject field and must not exceed 1024 bytes",
							   field);
	}
	if (faults.sqlstate != 0)
		strm_ereport_private(errcode(faults.sqlstate),
							 errmsg("row does not fit data contract \"%s\"", strm_contract_ref(contract)),
							 errdetail("%s", faults.faults.lines.data));

	for (int i = 0; i < contract->nfields; i++)
	{
		if (nulls[positions[i]] || !strm_contract_has_validation(contract, i))
			continue;
		for (int j = 0; j < plains[i].n; j++)
		{
			if (!plains[i].nulls[j])
				strm_contract_validate(contract, i, plains[i].text[j], (int) plains[i].size[j]);
		}
	}
	return plains;
}
