/*
 * output.c
 *	  From one checked record to the rows of all outputs: key, ciphertexts, masks, and the columns of strmMeta.
 *
 *	  Everything that needs the key is computed before anything is written. Writing may run code of others (triggers of
 *	  a target table) that uses keys too, and a key is valid to the next use of that module only.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch/run_private.h"
#include "contract/consent.h"
#include "strm_privacy.h"
#include "transform/value.h"

/* Buffers that a long value has made larger than this are given back. */
#define STRM_BATCH_BUFFER_KEPT 65536

#define MS_PER_DAY (SECS_PER_DAY * INT64CONST(1000))
#define EPOCH_OFFSET_MS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * MS_PER_DAY)

/* Begins an empty text in a buffer that is kept from record to record. */
static void
strm_batch_output_reset(StringInfo buffer)
{
	if (buffer->maxlen > STRM_BATCH_BUFFER_KEPT)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(buffer->data));

		pfree(buffer->data);
		initStringInfo(buffer);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(buffer);
}

/* Gives back what long values of a record have made large: the next ones may have theirs in other fields. */
static void
strm_batch_output_release(StrmBatchRun *run)
{
	for (int i = 0; i < run->job->contract->nfields; i++)
	{
		if (unlikely(run->fields[i].cipher.maxlen > STRM_BATCH_BUFFER_KEPT))
			strm_batch_output_reset(&run->fields[i].cipher);
	}
}

/* Appends an array's element: null, or "text", which needs no escaping. */
static void
strm_batch_output_append_element(StringInfo out, int position, const char *text, Size size)
{
	appendStringInfoString(out, position > 0 ? "," : "");
	if (text == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	appendStringInfoChar(out, '"');
	appendBinaryStringInfo(out, text, (int) size);
	appendStringInfoChar(out, '"');
}

const StringInfoData *
strm_batch_output_cipher(StrmBatchRun *run, StrmBatchField *field)
{
	StringInfoData element;

	if (field->encrypted)
		return &field->cipher;
	strm_batch_output_reset(&field->cipher);
	if (!field->field->repeated)
		strm_value_append_encrypted(run->key, field->one.text, field->one.size, &field->cipher);
	else
	{
		initStringInfo(&element);
		appendStringInfoChar(&field->cipher, '[');
		for (int i = 0; i < field->nelements; i++)
		{
			resetStringInfo(&element);
			if (!field->elements[i].null)
				strm_value_append_encrypted(run->key, field->elements[i].text, field->elements[i].size, &element);
			strm_batch_output_append_element(&field->cipher, i, field->elements[i].null ? NULL : element.data,
											 element.len);
		}
		appendStringInfoChar(&field->cipher, ']');
	}
	field->encrypted = true;
	return &field->cipher;
}

static inline void
strm_batch_output_set(StrmRecordValue *value, StrmRecordValueKind kind, const char *text, Size size)
{
	value->kind = kind;
	value->text = text;
	value->size = size;
}

/* The kind of a canonical text in JSON. */
static StrmRecordValueKind
strm_batch_output_kind(const StrmField *field, const StrmBatchText *text)
{
	switch (field->type)
	{
		case STRM_TYPE_STRING:
			return STRM_RECORD_TEXT;
		case STRM_TYPE_BOOLEAN:
			return STRM_RECORD_BOOLEAN;
		case STRM_TYPE_FLOAT:
			/* NaN, Infinity, -Infinity */
			return isdigit((unsigned char) text->text[text->size - 1]) ? STRM_RECORD_NUMBER : STRM_RECORD_TEXT;
		default:
			return STRM_RECORD_NUMBER;
	}
}

/* The mask of a value; of a repeated field an array of masks. In the record's memory. */
static void
strm_batch_output_mask(const StrmBatchField *field, const StrmMaskSeed *seed, StrmRecordValue *value)
{
	StringInfoData masks;
	char	   *digits = palloc(STRM_MASK_SIZE);

	if (!field->field->repeated)
	{
		strm_mask_digits(seed, field->one.text, field->one.size, digits);
		strm_batch_output_set(value, STRM_RECORD_TEXT, digits, strlen(digits));
		return;
	}
	initStringInfo(&masks);
	appendStringInfoChar(&masks, '[');
	for (int i = 0; i < field->nelements; i++)
	{
		if (!field->elements[i].null)
			strm_mask_digits(seed, field->elements[i].text, field->elements[i].size, digits);
		strm_batch_output_append_element(&masks, i, field->elements[i].null ? NULL : digits, strlen(digits));
	}
	appendStringInfoChar(&masks, ']');
	strm_batch_output_set(value, STRM_RECORD_JSON, masks.data, masks.len);
}

/* What an output shows of a field of the record. */
static void
strm_batch_output_field(StrmBatchRun *run, const StrmBatchOutput *output, StrmBatchField *field, StrmRecordValue *value)
{
	StrmBatchShow show = output->show[field->ordinal];
	bool		repeated = field->field->repeated;

	if (field->given.kind == STRM_RECORD_NULL)
		strm_batch_output_set(value, STRM_RECORD_NULL, NULL, 0);
	else if (show == STRM_BATCH_CIPHER)
	{
		const StringInfoData *cipher = strm_batch_output_cipher(run, field);

		strm_batch_output_set(value, repeated ? STRM_RECORD_JSON : STRM_RECORD_TEXT, cipher->data, cipher->len);
	}
	else if (show == STRM_BATCH_MASK)
		strm_batch_output_mask(field, output->derived->seed, value);
	else if (repeated)
		strm_batch_output_set(value, STRM_RECORD_JSON, field->given.text, field->given.size);
	else if (show == STRM_BATCH_CLEAR || output->typed)
		strm_batch_output_set(value, strm_batch_output_kind(field->field, &field->one), field->one.text,
							  field->one.size);
	else
		*value = field->given;
}

/* Does the record's consent satisfy a derived output? */
static bool
strm_batch_output_consents(const StrmBatchRun *run, const StrmBatchDerived *derived)
{
	if (derived->cumulative)
		return strm_consent_reaches(run->consent_levels, derived->levels[0]);
	return strm_consent_contains(run->consent_levels, derived->levels, derived->nlevels);
}

/* Sets an output's values of the record, if it belongs there. */
static void
strm_batch_output_prepare(StrmBatchRun *run, StrmBatchOutput *output)
{
	int			nfields = run->job->contract->nfields;
	int			n = nfields;

	output->wanted = output->show != NULL &&
		(output->derived == NULL || strm_batch_output_consents(run, output->derived));
	if (!output->wanted)
		return;
	for (int i = 0; i < nfields; i++)
		strm_batch_output_field(run, output, &run->fields[i], &output->values[i]);
	for (int i = 0; i < STRM_BATCH_META_COLUMNS; i++)
	{
		if (!output->typed || i != STRM_BATCH_META_BILLING_ID)
			output->values[n++] = run->meta[i];
	}
}

/* 55c2... with its hyphens */
static void
strm_batch_output_format_uuid(const pg_uuid_t *uuid, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[uuid->data[i] >> 4];
		*out++ = digits[uuid->data[i] & 0x0f];
	}
	*out = '\0';
}

/* Sets the values of strmMeta. */
static void
strm_batch_output_meta(StrmBatchRun *run)
{
	const ArrayType *levels = run->consent_levels;
	int			nlevels = ARR_NDIM(levels) == 0 ? 0 : ARR_DIMS(levels)[0];
	char		number[MAXINT8LEN + 1];

	strm_batch_output_reset(&run->levels_text);
	appendStringInfoChar(&run->levels_text, '[');
	for (int i = 0; i < nlevels; i++)
	{
		if (i > 0)
			appendStringInfoChar(&run->levels_text, ',');
		appendBinaryStringInfo(&run->levels_text, number, pg_ltoa(((const int32 *) ARR_DATA_PTR(levels))[i], number));
	}
	appendStringInfoChar(&run->levels_text, ']');
	strm_batch_output_format_uuid(&run->key->key_link, run->key_link_text);

	strm_batch_output_set(&run->meta[STRM_BATCH_META_REF], STRM_RECORD_TEXT, run->contract_ref,
						  strlen(run->contract_ref));
	strm_batch_output_set(&run->meta[STRM_BATCH_META_NONCE], STRM_RECORD_NUMBER, "0", 1);
	strm_batch_output_set(&run->meta[STRM_BATCH_META_TIMESTAMP], STRM_RECORD_NUMBER, run->timestamp_text,
						  pg_lltoa(run->epoch_ms, run->timestamp_text));
	strm_batch_output_set(&run->meta[STRM_BATCH_META_KEY_LINK], STRM_RECORD_TEXT, run->key_link_text, 36);
	strm_batch_output_set(&run->meta[STRM_BATCH_META_BILLING_ID], STRM_RECORD_NULL, NULL, 0);
	strm_batch_output_set(&run->meta[STRM_BATCH_META_CONSENT_LEVELS], STRM_RECORD_JSON, run->levels_text.data,
						  run->levels_text.len);
}

/* Finds or makes the key of the record, and tells whom and what it serves. */
static void
strm_batch_output_key(StrmBatchRun *run)
{
	const StrmContract *contract = run->job->contract;
	const StrmBatchText *value = &run->fields[contract->key_field].one;
	int64		day = run->epoch_ms / MS_PER_DAY - (run->epoch_ms % MS_PER_DAY < 0);

	run->key = strm_data_key_for_day(&run->key_owner, value->text, value->size,
									 (TimestampTz) (day * MS_PER_DAY - EPOCH_OFFSET_MS) * 1000);
	if (contract->subject_field >= 0)
	{
		const StrmBatchField *subject = &run->fields[contract->subject_field];

		if (subject->nelements > 0 && subject->one.size > 0)
			strm_data_key_register_subject(run->key, subject->one.text, subject->one.size);
	}
	if (run->keys != NULL)
		strm_batch_keys_note(run, run->key);
}

void
strm_batch_output_record(StrmBatchRun *run)
{
	strm_batch_output_key(run);
	strm_batch_output_meta(run);
	for (int i = 0; i < run->noutputs; i++)
		strm_batch_output_prepare(run, &run->outputs[i]);
	if (run->target != NULL)
		strm_batch_target_add(run->target, run);
	run->key = NULL;

	for (int i = 0; i < run->noutputs; i++)
	{
		if (run->outputs[i].wanted)
			run->outputs[i].writer->write(run->outputs[i].writer, run->outputs[i].values);
	}
	if (run->target != NULL)
		strm_batch_target_flush(run->target, run, false);
	strm_batch_output_release(run);
}
