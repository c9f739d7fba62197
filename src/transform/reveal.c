/*
 * reveal.c
 *	  Decrypting or masking personal fields of sealed rows for a derived stream.
 *
 *	  The arguments may come from anybody, so nothing is decrypted before the row has proved itself, in this order:
 *	  its key belongs to the derived stream's source; its seal is authentic, so the server wrote consent, key link
 *	  and ciphertexts together; its consent satisfies the derived stream; the field's purpose is one of the derived
 *	  stream's. All forgeries raise one and the same error; who checks many rows gets the answers one by one instead.
 *	  Plaintext is in the scratch buffer only until the result is made, and is wiped then.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/array.h"
#include "common/errors.h"
#include "common/secret.h"
#include "contract/consent.h"
#include "strm_privacy.h"
#include "transform/reveal.h"
#include "transform/value.h"

/* A scratch buffer that has grown beyond this is given back after the row. */
#define STRM_REVEAL_SCRATCH_KEPT (64 * 1024)

Oid
strm_reveal_type(const StrmDerivedStream *derived, int ordinal)
{
	const StrmField *field = &derived->stream->contract->fields[ordinal];

	if (derived->fields[ordinal].masked)
		return field->repeated ? TEXTARRAYOID : TEXTOID;
	return strm_field_type(field);
}

void
strm_reveal_raise_forged(const StrmDerivedStream *derived)
{
	strm_ereport_private(errcode(STRM_ERR_FORGED),
						 errmsg("row is not one that the server sealed for the source of derived stream \"%s\"",
								get_rel_name(derived->relid)));
}

bool
strm_reveal_consented(const StrmDerivedStream *derived, const ArrayType *levels)
{
	if (derived->cumulative)
		return strm_consent_reaches(levels, derived->purposes[0]);
	return strm_consent_contains(levels, derived->purposes, derived->npurposes);
}

bool
strm_reveal_authentic(const StrmDerivedStream *derived, StrmDataKey *key, const StrmSealedRow *row)
{
	const int32 *levels;
	int			nlevels;

	return memcmp(key->owner.data, derived->stream->id.data, UUID_LEN) == 0 &&
		strm_array_int4(row->consent_levels, &levels, &nlevels) &&
		strm_seal_verify(derived->stream, key, row);
}

/* Raises unless row, sealed, has the consent that the derived stream asks for, and the field one of its purposes. */
static void
strm_reveal_check_purpose(const StrmReveal *reveal, const StrmSealedRow *row)
{
	const StrmDerivedStream *derived = reveal->derived;

	if (!strm_reveal_consented(derived, row->consent_levels))
		strm_ereport_private(errcode(STRM_ERR_PRIVILEGE),
							 errmsg("the row's consent does not cover the purposes of derived stream \"%s\"",
									get_rel_name(derived->relid)));
	if (!derived->fields[reveal->ordinal].allowed)
		strm_ereport_private(errcode(STRM_ERR_PRIVILEGE),
							 errmsg("the purpose of field \"%s\" is not one of derived stream \"%s\"",
									derived->stream->contract->fields[reveal->ordinal].name,
									get_rel_name(derived->relid)));
}

void
strm_reveal_wipe(StrmReveal *reveal)
{
	strm_secret_wipe(reveal->plain.data, reveal->plain.len);
	resetStringInfo(&reveal->plain);
	if (reveal->plain.maxlen > STRM_REVEAL_SCRATCH_KEPT)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(reveal->plain.data));

		pfree(reveal->plain.data);
		initStringInfo(&reveal->plain);
		MemoryContextSwitchTo(old);
	}
}

/* The revealed Datum of one ciphertext; false when it is not authentic, or not of the field's type. */
static bool
strm_reveal_cipher(StrmReveal *reveal, StrmDataKey *key, Datum cipher, Datum *result)
{
	text	   *base64 = DatumGetTextPP(cipher);
	bool		ok = strm_value_decrypt(key, VARDATA_ANY(base64), VARSIZE_ANY_EXHDR(base64), &reveal->plain);

	if ((Pointer) base64 != DatumGetPointer(cipher))
		pfree(base64);
	if (ok && reveal->seed != NULL)
		*result = PointerGetDatum(strm_mask_text(reveal->seed, reveal->plain.data, reveal->plain.len));
	else if (ok)
		ok = strm_value_parse(&reveal->derived->stream->contract->fields[reveal->ordinal], reveal->plain.data,
							  reveal->plain.len, result);
	strm_reveal_wipe(reveal);
	return ok;
}

/* Wipes n revealed elements. */
static void
strm_reveal_wipe_elements(const Datum *values, const bool *nulls, int n)
{
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			strm_secret_wipe(DatumGetPointer(values[i]), VARSIZE_ANY(DatumGetPointer(values[i])));
}

/* The revealed array of an array of ciphertexts, of the same shape; false as of one. */
static bool
strm_reveal_array(StrmReveal *reveal, StrmDataKey *key, Datum ciphers, Datum *result)
{
	ArrayType  *array = DatumGetArrayTypeP(ciphers);
	Oid			type = get_element_type(strm_reveal_type(reveal->derived, reveal->ordinal));
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			revealed = 0;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	while (revealed < n && (nulls[revealed] || strm_reveal_cipher(reveal, key, values[revealed], &values[revealed])))
		revealed++;

	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	if (revealed == n)
		*result = PointerGetDatum(construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array),
													 ARR_LBOUND(array), type, typlen, typbyval, typalign));
	if (typlen == -1)
		strm_reveal_wipe_elements(values, nulls, revealed);
	return revealed == n;
}

bool
strm_reveal_field(StrmReveal *reveal, StrmDataKey *key, const StrmSealedRow *row, Datum *result, bool *null)
{
	const StrmField *field = &reveal->derived->stream->contract->fields[reveal->ordinal];
	Datum		value = row->personal[field->personal_index];

	*null = row->personal_null[field->personal_index];
	if (*null)
		return true;
	if (field->repeated)
		return strm_reveal_array(reveal, key, value, result);
	return strm_reveal_cipher(reveal, key, value, result);
}

bool
strm_reveal(StrmReveal *reveal, const StrmSealedRow *row, Datum *result)
{
	StrmDataKey *key = strm_data_key_by_link(row->key_link);
	bool		null;

	/* without a key there is nothing to reveal, and nothing to check the row with */
	if (key->destroyed)
		return false;
	if (!strm_reveal_authentic(reveal->derived, key, row))
		strm_reveal_raise_forged(reveal->derived);
	strm_reveal_check_purpose(reveal, row);
	if (!strm_reveal_field(reveal, key, row, result, &null))
		strm_reveal_raise_forged(reveal->derived);
	return !null;
}
