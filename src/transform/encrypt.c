/*
 * encrypt.c
 *	  The one place where a row becomes an encrypted one: check, key, encrypt, seal.
 *
 *	  Nothing is written before the row has passed every check (check.c).
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
#include "transform/check.h"
#include "transform/encrypt.h"
#include "transform/encrypt_private.h"
#include "transform/value.h"

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
strm_encrypt_plains(const StrmStream *stream, const StrmLayout *layout, TimestampTz timestamp, const StrmPlain *plains,
					Datum *values, bool *nulls)
{
	const StrmContract *contract = stream->contract;
	const StrmPlain *key_value = &plains[contract->key_field];
	const StrmPlain *subject = contract->subject_field < 0 ? NULL : &plains[contract->subject_field];
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

void
strm_encrypt_row(const StrmStream *stream, const StrmLayout *layout, TimestampTz timestamp, Datum *values, bool *nulls)
{
	strm_encrypt_plains(stream, layout, timestamp, strm_check_row(stream->contract, layout->fields, values, nulls),
						values, nulls);
}
