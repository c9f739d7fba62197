/*
 * reveal.c
 *	  Decrypting or masking one personal field of one sealed row for a derived stream.
 *
 *	  The arguments may come from anybody, so nothing is decrypted before the row has proved itself, in this order: its
 *	  key belongs to the derived stream's source; its seal is authentic, so the server wrote consent, key link and
 *	  ciphertexts together; its consent satisfies the derived stream; the field's purpose is one of the derived
 *	  stream's. All forgeries raise one and the same error. Plaintext is in the scratch buffer only until the result is
 *	  made, and is wiped then.
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

/* Does row, sealed, have the consent that the derived stream asks for, and the field one of its purposes? */
static void
strm_reveal_check_purpose(const StrmReveal *reveal, const StrmSealedRow *row)
{
	const StrmDerivedStream *derived = reveal->derived;
	bool		consented;

	if (derived->cumulative)
		consented = strm_consent_reaches(row->consent_levels, derived->purposes[0]);
	else
		consented = strm_consent_contains(row->consent_levels, derived->purposes, derived->npurposes);

	if (!consented)
		strm_ereport_private(errcode(STRM_ERR_PRIVILEGE),
							 errmsg("the row's consent does not cover the purposes of derived stream \"%s\"",
									get_rel_name(derived->relid)));
	if (!derived->fields[reveal->ordinal].allowed)
		strm_ereport_private(errcode(STRM_ERR_PRIVILEGE),
							 errmsg("the purpose of field \"%s\" is not one of derived stream \"%s\"",
									derived->stream->contract->fields[reveal->ordinal].name,
									get_rel_name(derived->relid)));
}

/* Wipes the plaintext of the scratch buffer. */
static void
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

/* The revealed Datum of one ciphertext. */
static Datum
strm_reveal_cipher(StrmReveal *reveal, StrmDataKey *key, Datum cipher)
{
	text	   *base64 = DatumGetTextPP(cipher);
	Datum		result;

	if (!strm_value_decrypt(key, VARDATA_ANY(base64), VARSIZE_ANY_EXHDR(base64), &reveal->plain))
		strm_reveal_raise_forged(reveal->derived);
	if ((Pointer) base64 != DatumGetPointer(cipher))
		pfree(base64);

	if (reveal->seed != NULL)
		result = PointerGetDatum(strm_mask_text(reveal->seed, reveal->plain.data, reveal->plain.len));
	else
		result = strm_value_parse(&reveal->derived->stream->contract->fields[reveal->ordinal], reveal->plain.data,
								  reveal->plain.len);
	strm_reveal_wipe(reveal);
	return result;
}

/* The revealed array of an array of ciphertexts, of the same shape. */
static Datum
strm_reveal_array(StrmReveal *reveal, StrmDataKey *key, Datum ciphers)
{
	ArrayType  *array = DatumGetArrayTypeP(ciphers);
	Oid			type = get_element_type(strm_reveal_type(reveal->derived, reveal->ordinal));
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	ArrayType  *result;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			values[i] = strm_reveal_cipher(reveal, key, values[i]);

	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	result = construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array), type, typlen,
								typbyval, typalign);
	if (typlen == -1)
		for (int i = 0; i < n; i++)
			if (!nulls[i])
				strm_secret_wipe(DatumGetPointer(values[i]), VARSIZE_ANY(DatumGetPointer(values[i])));
	return PointerGetDatum(result);
}

bool
strm_reveal(StrmReveal *reveal, const StrmSealedRow *row, Datum *result)
{
	const StrmDerivedStream *derived = reveal->derived;
	const StrmField *field = &derived->stream->contract->fields[reveal->ordinal];
	StrmDataKey *key = strm_data_key_by_link(row->key_link);
	const int32 *levels;
	int			nlevels;

	/* without a key there is nothing to reveal, and nothing to check the row with */
	if (key->destroyed)
		return false;
	if (memcmp(key->owner.data, derived->stream->id.data, UUID_LEN) != 0)
		strm_reveal_raise_forged(derived);
	if (!strm_array_int4(row->consent_levels, &levels, &nlevels) || !strm_seal_verify(derived->stream, key, row))
		strm_reveal_raise_forged(derived);
	strm_reveal_check_purpose(reveal, row);

	if (row->personal_null[field->personal_index])
		return false;
	if (field->repeated)
		*result = strm_reveal_array(reveal, key, row->personal[field->personal_index]);
	else
		*result = strm_reveal_cipher(reveal, key, row->personal[field->personal_index]);
	return true;
}
