/*
 * record.c
 *	  Checking one record of a source: types, required fields, validations, the key field, timestamp and consent.
 *
 *	  All faults of a record are collected, and none of them holds a value: a field that is shifted by one column may
 *	  hold anything.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "batch/run_private.h"
#include "strm_privacy.h"
#include "transform/value.h"

/* Longest id of a data subject, in bytes. */
#define STRM_BATCH_MAX_SUBJECT 1024

/* Room for a number in JSON that is to be a whole one, and is not written so. */
#define STRM_BATCH_NUMBER 64

/* Years 0001 to 9999: no reckoning with windows of keys and retention leaves what a timestamp can be. */
#define STRM_BATCH_MIN_EPOCH_MS INT64CONST(-62135596800000)
#define STRM_BATCH_MAX_EPOCH_MS INT64CONST(253402300799999)

static void
strm_batch_record_fault(StrmBatchRun *run, const char *field, const char *rule)
{
	StrmBatchFault *fault = palloc(sizeof(StrmBatchFault));

	fault->field = field;
	fault->rule = rule;
	run->faults = lappend(run->faults, fault);
}

/*
 * Rewrites a JSON number that is a whole one but not written so, 5.0 or 5e0, into decimal digits; false when it is
 * none.
 */
static bool
strm_batch_record_whole_number(const char **text, Size *size, char digits[STRM_BATCH_NUMBER])
{
	double		number;
	char	   *end;

	if (memchr(*text, '.', *size) == NULL && memchr(*text, 'e', *size) == NULL && memchr(*text, 'E', *size) == NULL)
		return true;
	if (*size >= STRM_BATCH_NUMBER)
		return false;
	memcpy(digits, *text, *size);
	digits[*size] = '\0';
	number = strtod(digits, &end);
	/* what a double holds exactly */
	if (*end != '\0' || !(number >= -9007199254740991.0 && number <= 9007199254740991.0) ||
		(double) (int64) number != number)
		return false;
	*size = pg_lltoa((int64) number, digits);
	*text = digits;
	return true;
}

/* Is a JSON value of a kind that the field may have? */
static bool
strm_batch_record_kind_fits(const StrmField *field, const StrmRecordValue *value)
{
	switch (field->type)
	{
		case STRM_TYPE_STRING:
			return value->kind == STRM_RECORD_TEXT;
		case STRM_TYPE_BOOLEAN:
			return value->kind == STRM_RECORD_BOOLEAN;
		case STRM_TYPE_FLOAT:
			/* JSON has no numbers for these */
			if (value->kind == STRM_RECORD_TEXT)
				return (value->size == 3 && memcmp(value->text, "NaN", 3) == 0) ||
					(value->size == 8 && memcmp(value->text, "Infinity", 8) == 0) ||
					(value->size == 9 && memcmp(value->text, "-Infinity", 9) == 0);
			return value->kind == STRM_RECORD_NUMBER;
		default:
			return value->kind == STRM_RECORD_NUMBER;
	}
}

bool
strm_batch_record_canonical(const StrmField *field, bool json, const StrmRecordValue *value, StringInfo buffer,
							StrmBatchText *result)
{
	const char *text = value->text;
	Size		size = value->size;
	char		digits[STRM_BATCH_NUMBER];

	if (json && !strm_batch_record_kind_fits(field, value))
		return false;
	if (json && (field->type == STRM_TYPE_INTEGER || field->type == STRM_TYPE_LONG) &&
		!strm_batch_record_whole_number(&text, &size, digits))
		return false;
	result->null = false;
	return strm_value_canonical(field, text, size, buffer, &result->text, &result->size);
}

/* Is the source's own JSON, whose values have types? */
static bool
strm_batch_record_is_json(const StrmBatchRun *run)
{
	return run->job->source.path != NULL && run->job->source.format.kind == STRM_RECORD_JSONL;
}

/* Checks the contract's validations of a field whose elements are set. */
static void
strm_batch_record_validate(StrmBatchRun *run, StrmBatchField *field)
{
	for (int i = 0; i < field->nelements; i++)
	{
		const StrmBatchText *element = &field->elements[i];
		const StrmValidation *broken;

		if (element->null)
			continue;
		broken = strm_contract_broken_validation(run->job->contract, field->ordinal, element->text,
												 (int) element->size);
		if (broken == NULL)
			continue;
		strm_batch_record_fault(run, field->field->name,
								psprintf("does not match the regular expression \"%s\"", broken->pattern));
		return;
	}
}

/* The value of a column, where a null may stand for the empty string. */
static StrmRecordValue
strm_batch_record_given(const StrmBatchRun *run, const StrmBatchField *field)
{
	StrmRecordValue value = run->record.values[field->ordinal];

	if (value.kind == STRM_RECORD_NULL && run->reader->empty_is_null && field->field->type == STRM_TYPE_STRING &&
		!field->field->repeated && !(run->reader->missing != NULL && run->reader->missing[field->ordinal]))
	{
		value.kind = STRM_RECORD_TEXT;
		value.text = "";
		value.size = 0;
	}
	return value;
}

/* What is wrong with a value of the key field or the data subject field, whose text is known; NULL when nothing. */
static const char *
strm_batch_record_check_roles(const StrmBatchRun *run, const StrmBatchField *field)
{
	const StrmContract *contract = run->job->contract;

	if (field->ordinal == contract->key_field && run->target != NULL && field->one.size == 0)
		return "is the key field and must not be null or empty";
	if (field->ordinal == contract->subject_field && field->one.size > STRM_BATCH_MAX_SUBJECT)
		return "is the data subject field and must not exceed 1024 bytes";
	return NULL;
}

static void
strm_batch_record_check_field(StrmBatchRun *run, StrmBatchField *field)
{
	const StrmField *definition = field->field;
	const char *rule = NULL;

	field->given = strm_batch_record_given(run, field);
	field->nelements = 0;
	field->encrypted = false;
	if (field->given.kind == STRM_RECORD_NULL)
	{
		if (definition->required)
			rule = "is required";
		else if (field->ordinal == run->job->contract->key_field)
			rule = "is the key field and must not be null";
		if (rule != NULL)
			strm_batch_record_fault(run, definition->name, rule);
		return;
	}

	if (definition->repeated)
		rule = strm_batch_record_is_json(run) && field->given.kind != STRM_RECORD_JSON ?
			strm_value_type_rule(definition) : strm_batch_repeated_read(field);
	else
	{
		field->nelements = 1;
		rule = strm_batch_record_canonical(definition, strm_batch_record_is_json(run), &field->given,
										   &field->canonical, &field->one) ?
			strm_batch_record_check_roles(run, field) : strm_value_type_rule(definition);
	}
	if (rule != NULL)
		strm_batch_record_fault(run, definition->name, rule);
	else if (field->validated)
		strm_batch_record_validate(run, field);
}

/* The rule that a timestamp breaks: what the parser says, without the text that it quotes. */
static char *
strm_batch_record_timestamp_rule(const char *message)
{
	const char *at = NULL;
	const char *next = message;

	while ((next = strstr(next, " at index ")) != NULL)
		at = next++;
	if (at != NULL && strspn(at + 10, "0123456789") == strlen(at + 10))
		return psprintf("Invalid timestamp: could not be parsed%s", at);
	return "Invalid timestamp";
}

static void
strm_batch_record_check_timestamp(StrmBatchRun *run)
{
	const StrmRecordValue *value = &run->record.values[run->timestamp_column];
	const char *name = run->job->timestamp_field;
	StringInfoData message;

	if (value->kind == STRM_RECORD_NULL)
	{
		strm_batch_record_fault(run, name, "is the timestamp and must not be null");
		return;
	}
	if (strm_timestamp_parse(run->job->timestamp_format, value->text, value->size, &run->epoch_ms, NULL))
	{
		if (run->epoch_ms < STRM_BATCH_MIN_EPOCH_MS || run->epoch_ms > STRM_BATCH_MAX_EPOCH_MS)
			strm_batch_record_fault(run, name, "Invalid timestamp: not of the years 1 to 9999");
		return;
	}
	initStringInfo(&message);
	(void) strm_timestamp_parse(run->job->timestamp_format, value->text, value->size, &run->epoch_ms, &message);
	strm_batch_record_fault(run, name, strm_batch_record_timestamp_rule(message.data));
}

bool
strm_batch_record_check(StrmBatchRun *run)
{
	const StrmRecordValue *consent = NULL;

	run->faults = NIL;
	if (run->record.fault != NULL)
	{
		strm_batch_record_fault(run, "", run->record.fault);
		return false;
	}
	for (int i = 0; i < run->job->contract->nfields; i++)
		strm_batch_record_check_field(run, &run->fields[i]);
	strm_batch_record_check_timestamp(run);
	if (run->faults != NIL)
		return false;

	if (run->consent_column >= 0 && run->record.values[run->consent_column].kind != STRM_RECORD_NULL)
		consent = &run->record.values[run->consent_column];
	run->consent_levels = strm_batch_consent_levels(&run->job->consent, consent);
	return true;
}
