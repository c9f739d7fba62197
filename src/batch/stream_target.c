/*
 * stream_target.c
 *	  Records as rows of a stream: encrypted and sealed here, with the record's timestamp and the stream's key of that
 *	  day, and inserted by the job's owner, many at once.
 *
 *	  The INSERT takes its values as texts, in one array per column; the columns' types make the values of them. Every
 *	  text was checked or made here, so that no cast fails.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "batch/run_private.h"
#include "catalog/cache.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "strm_privacy.h"
#include "transform/seal.h"
#include "transform/sealed_insert.h"
#include "transform/value.h"

/* Rows and bytes of one INSERT. */
#define STRM_TARGET_ROWS 1000
#define STRM_TARGET_BYTES (4 * 1024 * 1024)

#define EPOCH_OFFSET_MS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * INT64CONST(1000))

/* Parameters of the INSERT before the fields'. */
enum
{
	TARGET_VERSION, TARGET_NONCE, TARGET_TIMESTAMP, TARGET_KEY_LINK, TARGET_CONSENT_LEVELS, TARGET_SEAL, TARGET_FIELDS
};

/* Valid in one transaction, as the stream is. */
struct StrmBatchTarget
{
	const StrmStream *stream;
	int			ncolumns;
	SPIPlanPtr	plan;
	MemoryContext batch_cxt;	/* the rows that wait */
	int			nrows;
	Size		bytes;
	Datum	  **values;			/* by column, of STRM_TARGET_ROWS rows */
	bool	  **nulls;
};

const StrmStream *
strm_batch_target_stream(const char *name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(names), AccessShareLock, true);
	const StrmStream *stream = OidIsValid(relid) ? strm_catalog_stream_of(relid) : NULL;

	if (stream == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("stream \"%s\" does not exist any more", name));
	return stream;
}

/* Element type of a column's array. */
static Oid
strm_target_type(int column)
{
	static const Oid types[TARGET_FIELDS] = {TEXTOID, INT4OID, TIMESTAMPTZOID, UUIDOID, TEXTOID, BYTEAOID};

	return column < TARGET_FIELDS ? types[column] : TEXTOID;
}

static Oid
strm_target_array_type(int column)
{
	static const Oid types[TARGET_FIELDS] = {TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, UUIDARRAYOID,
	TEXTARRAYOID, BYTEAARRAYOID};

	return column < TARGET_FIELDS ? types[column] : TEXTARRAYOID;
}

/* Prepares the INSERT. SPI is connected. */
static SPIPlanPtr
strm_target_prepare(const StrmStream *stream, int ncolumns)
{
	Oid		   *types = palloc(mul_size(ncolumns, sizeof(Oid)));
	StringInfoData columns;
	StringInfoData values;
	StringInfoData arrays;
	StringInfoData names;
	SPIPlanPtr	plan;

	initStringInfo(&columns);
	initStringInfo(&values);
	initStringInfo(&arrays);
	initStringInfo(&names);
	for (int i = 0; i < ncolumns; i++)
	{
		types[i] = strm_target_array_type(i);
		appendStringInfo(&arrays, "%s$%d", i > 0 ? ", " : "", i + 1);
		appendStringInfo(&names, "%sc%d", i > 0 ? ", " : "", i);
	}
	for (int i = 0; i < stream->contract->nfields; i++)
	{
		const StrmField *field = &stream->contract->fields[i];
		Oid			text = field->repeated ? TEXTARRAYOID : TEXTOID;

		appendStringInfo(&columns, ", %s", quote_identifier(field->column));
		appendStringInfo(&values, ", c%d::%s", TARGET_FIELDS + i,
						 format_type_be_qualified(field->personal ? text : strm_field_type(field)));
	}
	/* unnest stays unqualified: only so does the grammar take several arrays, and it means pg_catalog's */
	plan = SPI_prepare(psprintf("INSERT INTO %s (" STRM_COLUMN_CONTRACT_VERSION ", " STRM_COLUMN_NONCE ", "
								STRM_COLUMN_TIMESTAMP ", " STRM_COLUMN_KEY_LINK ", " STRM_COLUMN_CONSENT_LEVELS ", "
								STRM_COLUMN_SEAL "%s) SELECT c0, c1, c2, c3, c4::pg_catalog.int4[], c5%s"
								" FROM unnest(%s) AS rows(%s)",
								strm_catalog_relation_name(stream->relid), columns.data, values.data, arrays.data,
								names.data), ncolumns, types);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not prepare the INSERT of a batch job: %s", SPI_result_code_string(SPI_result)));
	return plan;
}

StrmBatchTarget *
strm_batch_target_open(StrmBatchRun *run)
{
	StrmBatchTarget *target = palloc0(sizeof(StrmBatchTarget));

	target->stream = strm_batch_target_stream(run->job->encrypted.stream);
	if (target->stream == NULL || target->stream->contract->id != run->job->contract->id)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("stream \"%s\" of data contract \"%s\" does not exist", run->job->encrypted.stream,
					   run->contract_ref));
	target->ncolumns = TARGET_FIELDS + target->stream->contract->nfields;
	target->batch_cxt = AllocSetContextCreate(run->cxt, "strm_privacy batch rows", ALLOCSET_DEFAULT_SIZES);
	target->values = palloc(mul_size(target->ncolumns, sizeof(Datum *)));
	target->nulls = palloc(mul_size(target->ncolumns, sizeof(bool *)));
	for (int i = 0; i < target->ncolumns; i++)
	{
		target->values[i] = palloc(STRM_TARGET_ROWS * sizeof(Datum));
		target->nulls[i] = palloc(STRM_TARGET_ROWS * sizeof(bool));
	}
	SPI_connect();
	target->plan = strm_target_prepare(target->stream, target->ncolumns);
	SPI_finish();
	return target;
}

/* Appends the literal of an array element, quoted. */
static void
strm_target_append_element(StringInfo out, const StrmBatchText *element)
{
	if (element->null)
	{
		appendStringInfoString(out, "NULL");
		return;
	}
	appendStringInfoChar(out, '"');
	for (Size i = 0; i < element->size; i++)
	{
		if (element->text[i] == '"' || element->text[i] == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, element->text[i]);
	}
	appendStringInfoChar(out, '"');
}

/* The literal of a repeated field's array: of its canonical texts, or of their ciphertexts. */
static text *
strm_target_array(StrmBatchRun *run, const StrmBatchField *field, Datum *stored)
{
	Datum	   *elements = palloc(Max(field->nelements, 1) * sizeof(Datum));
	bool	   *nulls = palloc(Max(field->nelements, 1) * sizeof(bool));
	StringInfoData literal;
	int			dims = field->nelements;
	int			lower = 1;

	initStringInfo(&literal);
	appendStringInfoChar(&literal, '{');
	for (int i = 0; i < field->nelements; i++)
	{
		StrmBatchText element = field->elements[i];

		nulls[i] = element.null;
		if (field->field->personal && !element.null)
		{
			text	   *cipher = strm_value_encrypt(run->key, element.text, element.size);

			elements[i] = PointerGetDatum(cipher);
			element.text = VARDATA(cipher);
			element.size = VARSIZE(cipher) - VARHDRSZ;
		}
		if (i > 0)
			appendStringInfoChar(&literal, ',');
		strm_target_append_element(&literal, &element);
	}
	appendStringInfoChar(&literal, '}');
	if (stored != NULL)
		*stored = field->nelements == 0 ? PointerGetDatum(construct_empty_array(TEXTOID)) :
			PointerGetDatum(construct_md_array(elements, nulls, 1, &dims, &lower, TEXTOID, -1, false, TYPALIGN_INT));
	return cstring_to_text_with_len(literal.data, literal.len);
}

/* Sets the fields' columns of a row, and the personal values as the seal sees them. */
static void
strm_target_set_fields(StrmBatchTarget *target, StrmBatchRun *run, Datum *personal, bool *personal_null)
{
	for (int i = 0; i < run->job->contract->nfields; i++)
	{
		StrmBatchField *field = &run->fields[i];
		bool		null = field->given.kind == STRM_RECORD_NULL;
		Datum	   *stored = field->field->personal ? &personal[field->field->personal_index] : NULL;
		text	   *value = NULL;

		if (!null && field->field->repeated)
			value = strm_target_array(run, field, stored);
		else if (!null && field->field->personal)
		{
			const StringInfoData *cipher = strm_batch_output_cipher(run, field);

			value = cstring_to_text_with_len(cipher->data, cipher->len);
			*stored = PointerGetDatum(value);
		}
		else if (!null)
			value = cstring_to_text_with_len(field->one.text, (int) field->one.size);
		if (stored != NULL)
			personal_null[field->field->personal_index] = null;
		target->values[TARGET_FIELDS + i][target->nrows] = PointerGetDatum(value);
		target->nulls[TARGET_FIELDS + i][target->nrows] = null;
		target->bytes += value == NULL ? 0 : VARSIZE(value);
	}
}

/* The literal of the consent levels' array. */
static text *
strm_target_levels(const StrmBatchRun *run)
{
	text	   *levels = cstring_to_text_with_len(run->levels_text.data, run->levels_text.len);

	VARDATA(levels)[0] = '{';
	VARDATA(levels)[run->levels_text.len - 1] = '}';
	return levels;
}

void
strm_batch_target_add(StrmBatchTarget *target, StrmBatchRun *run)
{
	const StrmContract *contract = target->stream->contract;
	MemoryContext old = MemoryContextSwitchTo(target->batch_cxt);
	Datum	   *personal = palloc0(Max(contract->npersonal, 1) * sizeof(Datum));
	bool	   *personal_null = palloc0(Max(contract->npersonal, 1) * sizeof(bool));
	pg_uuid_t  *link = palloc(sizeof(pg_uuid_t));
	bytea	   *seal = palloc(VARHDRSZ + STRM_CMAC_SIZE);
	StrmSealedRow row = {0};
	Datum		server[TARGET_FIELDS];

	*link = run->key->key_link;
	strm_target_set_fields(target, run, personal, personal_null);
	row.version = contract->version;
	row.version_size = strlen(contract->version);
	row.nonce = (int32) (pg_prng_uint32(&pg_global_prng_state) & 0x7fffffff);
	row.timestamp = (run->epoch_ms - EPOCH_OFFSET_MS) * 1000;
	row.key_link = link;
	row.consent_levels = run->consent_levels;
	row.npersonal = contract->npersonal;
	row.personal = personal;
	row.personal_null = personal_null;
	SET_VARSIZE(seal, VARHDRSZ + STRM_CMAC_SIZE);
	strm_seal_compute(target->stream, run->key, &row, (uint8 *) VARDATA(seal));

	server[TARGET_VERSION] = CStringGetTextDatum(contract->version);
	server[TARGET_NONCE] = Int32GetDatum(row.nonce);
	server[TARGET_TIMESTAMP] = TimestampTzGetDatum(row.timestamp);
	server[TARGET_KEY_LINK] = UUIDPGetDatum(link);
	server[TARGET_CONSENT_LEVELS] = PointerGetDatum(strm_target_levels(run));
	server[TARGET_SEAL] = PointerGetDatum(seal);
	for (int i = 0; i < TARGET_FIELDS; i++)
	{
		target->values[i][target->nrows] = server[i];
		target->nulls[i][target->nrows] = false;
	}
	target->nrows++;
	MemoryContextSwitchTo(old);
}

/* The rows that wait as the INSERT's parameters. */
static void
strm_target_parameters(StrmBatchTarget *target, Datum *values)
{
	int			lower = 1;

	for (int i = 0; i < target->ncolumns; i++)
	{
		Oid			type = strm_target_type(i);
		int16		len;
		bool		byval;
		char		align;

		get_typlenbyvalalign(type, &len, &byval, &align);
		values[i] = PointerGetDatum(construct_md_array(target->values[i], target->nulls[i], 1, &target->nrows, &lower,
													   type, len, byval, align));
	}
}

void
strm_batch_target_flush(StrmBatchTarget *target, StrmBatchRun *run, bool all)
{
	MemoryContext old;
	Datum	   *values;

	if (target->nrows == 0 || (!all && target->nrows < STRM_TARGET_ROWS && target->bytes < STRM_TARGET_BYTES))
		return;
	old = MemoryContextSwitchTo(target->batch_cxt);
	values = palloc(mul_size(target->ncolumns, sizeof(Datum)));
	strm_target_parameters(target, values);
	SPI_connect();
	strm_sealed_insert(target->stream, target->plan, values, NULL);
	SPI_finish();
	MemoryContextSwitchTo(old);
	MemoryContextReset(target->batch_cxt);
	target->nrows = 0;
	target->bytes = 0;
}
