/*
 * plan.c
 *	  Which column of a job's source is what, and which columns its outputs have.
 *
 *	  Wanted of the source are the contract's fields, in its order, then the consent field and the timestamp field where
 *	  these are not fields of the contract. All else stays outside and is told once.
 */
#include "postgres.h"

#include "batch/run_private.h"
#include "common/errors.h"
#include "strm_privacy.h"

/* Unknown columns that a message names. */
#define STRM_BATCH_NAMES 20

static const char *const meta_names[STRM_BATCH_META_COLUMNS] = {
	[STRM_BATCH_META_REF] = "strmMeta.eventContractRef",
	[STRM_BATCH_META_NONCE] = "strmMeta.nonce",
	[STRM_BATCH_META_TIMESTAMP] = "strmMeta.timestamp",
	[STRM_BATCH_META_KEY_LINK] = "strmMeta.keyLink",
	[STRM_BATCH_META_BILLING_ID] = "strmMeta.billingId",
	[STRM_BATCH_META_CONSENT_LEVELS] = "strmMeta.consentLevels",
};

/* Position of a column among those wanted; it is added when it is none of the contract's. */
static int
strm_batch_plan_want(StrmBatchRun *run, const char *name)
{
	for (int i = 0; i < run->nwanted; i++)
	{
		if (strcmp(run->wanted[i], name) == 0)
			return i;
	}
	run->wanted[run->nwanted] = name;
	return run->nwanted++;
}

void
strm_batch_plan_source(StrmBatchRun *run)
{
	const StrmContract *contract = run->job->contract;

	run->wanted = palloc(mul_size(contract->nfields + 2, sizeof(char *)));
	run->fields = palloc0(mul_size(contract->nfields, sizeof(StrmBatchField)));
	for (int i = 0; i < contract->nfields; i++)
	{
		StrmBatchField *field = &run->fields[i];

		run->wanted[run->nwanted++] = contract->fields[i].name;
		field->field = &contract->fields[i];
		field->ordinal = i;
		field->validated = strm_contract_has_validation(contract, i);
		field->elements = &field->one;
		initStringInfo(&field->canonical);
		initStringInfo(&field->cipher);
	}
	run->timestamp_column = strm_batch_plan_want(run, run->job->timestamp_field);
	run->consent_column = run->job->consent.field == NULL ? -1 : strm_batch_plan_want(run, run->job->consent.field);
}

/* Adds a quoted name to a list of names. */
static void
strm_batch_plan_list(StringInfo names, const char *name)
{
	appendStringInfo(names, "%s\"%s\"", names->len > 0 ? ", " : "", name);
}

/* The names of columns that are not wanted: some of them, when they are many. */
static char *
strm_batch_plan_unknown_names(const StrmBatchRun *run)
{
	StringInfoData names;
	ListCell   *cell;

	initStringInfo(&names);
	foreach(cell, run->reader->unknown)
	{
		if (foreach_current_index(cell) == STRM_BATCH_NAMES)
		{
			appendStringInfoString(&names, ", and others");
			break;
		}
		strm_batch_plan_list(&names, lfirst(cell));
	}
	return names.data;
}

/* Must the source have this column? Consent that is not there must not look like the default. */
static bool
strm_batch_plan_is_required(const StrmBatchRun *run, int column)
{
	const StrmContract *contract = run->job->contract;

	return column == run->timestamp_column || column == run->consent_column || column == contract->key_field ||
		column >= contract->nfields || contract->fields[column].required;
}

void
strm_batch_plan_check(StrmBatchRun *run)
{
	StringInfoData required;
	StringInfoData absent;
	bool		found = false;

	if (run->reader->missing == NULL)
		return;
	initStringInfo(&required);
	initStringInfo(&absent);
	for (int i = 0; i < run->nwanted; i++)
	{
		found |= !run->reader->missing[i];
		if (run->reader->missing[i])
			strm_batch_plan_list(strm_batch_plan_is_required(run, i) ? &required : &absent, run->wanted[i]);
	}

	if (required.len > 0 && found)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the source of the batch job lacks columns that it needs: %s", required.data),
				run->reader->unknown == NIL ? 0 :
				errdetail("It has columns that the data contract does not know: %s.",
						  strm_batch_plan_unknown_names(run)),
				errhint("Names are those of data contract \"%s\", of the consent's field and of the timestamp's.",
						run->contract_ref));
	/* what was taken for names may be values, of a file without a header */
	if (required.len > 0)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the source of the batch job lacks columns that it needs: %s", required.data),
				errdetail("It has no column at all that the data contract knows."),
				errhint("Names are those of data contract \"%s\", of the consent's field and of the timestamp's. Of a CSV file, see whether its first line has the names, and which delimiter is between them.",
						run->contract_ref));
	if (absent.len > 0)
		run->hooks->notice(run->hooks->arg,
						   psprintf("fields that the source does not have are null: %s", absent.data));
}

void
strm_batch_plan_unknown(StrmBatchRun *run)
{
	if (run->reader->unknown != NIL)
		run->hooks->notice(run->hooks->arg,
						   psprintf("columns that data contract \"%s\" does not know are left out: %s",
									run->contract_ref, strm_batch_plan_unknown_names(run)));
}

/* What a derived output, or the encrypted one, shows of a field. */
static StrmBatchShow
strm_batch_plan_show(const StrmContract *contract, int ordinal, const StrmBatchDerived *derived)
{
	const StrmField *field = &contract->fields[ordinal];
	bool		allowed = false;

	if (derived == NULL)
		return field->personal ? STRM_BATCH_CIPHER : STRM_BATCH_GIVEN;
	for (int i = 0; i < derived->nlevels; i++)
		allowed |= derived->cumulative ? field->level <= derived->levels[i] : field->level == derived->levels[i];
	if (field->personal && !allowed)
		return STRM_BATCH_CIPHER;
	for (int i = 0; i < derived->nmasked; i++)
	{
		if (derived->masked[i] == ordinal)
			return STRM_BATCH_MASK;
	}
	return field->personal ? STRM_BATCH_CLEAR : STRM_BATCH_GIVEN;
}

void
strm_batch_plan_output(StrmBatchRun *run, StrmBatchOutput *output)
{
	const StrmContract *contract = run->job->contract;
	StrmRecordColumn *columns = palloc0(mul_size(contract->nfields + STRM_BATCH_META_COLUMNS,
												 sizeof(StrmRecordColumn)));

	output->typed = output->place->path != NULL && output->place->format.kind == STRM_RECORD_JSONL;
	output->show = palloc(mul_size(contract->nfields, sizeof(StrmBatchShow)));
	for (int i = 0; i < contract->nfields; i++)
	{
		columns[output->ncolumns++].name = contract->fields[i].name;
		output->show[i] = strm_batch_plan_show(contract, i, output->derived);
	}
	for (int i = 0; i < STRM_BATCH_META_COLUMNS; i++)
	{
		/* the JSON of events has no billing id */
		if (!output->typed || i != STRM_BATCH_META_BILLING_ID)
			columns[output->ncolumns++].name = meta_names[i];
	}
	output->columns = columns;
}
