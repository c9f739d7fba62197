/*
 * intent.c
 *	  What runs are about to leave outside the database, written down before they do, and its removal.
 *
 *	  An intent is committed before anything outside exists, and goes in the transaction that ends the job, after
 *	  everything was published, or with what was taken away. So a process that dies in between leaves an intent, with
 *	  which anybody can clean up (strm_batch_clean_up).
 *
 *	  The intent of an output whose sink has kept what it replaced stays until that is removed, after the job's end. So
 *	  an intent of a finished job is one to settle, any other one to clean up. Those of batch exporters are their
 *	  worker's, as long as the exporter is there.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch/run_private.h"
#include "catalog/registry.h"
#include "connect/intent.h"
#include "strm_privacy.h"

/* In messages. */
#define STRM_BATCH_WHOSE "a batch job"

/* ms after which cleaning up goes on another time: meanwhile nobody starts jobs */
#define STRM_BATCH_CLEAN_UP_TIME 5000

void
strm_batch_intents_make(StrmBatchRun *run)
{
	bool		any = false;

	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];

		if (output->store == NULL)
			continue;
		output->intent = strm_intent_make(&run->job_id, &output->connector->id, output->place->path);
		output->has_intent = any = true;
	}
	if (any)
		strm_batch_run_commit(run);
}

void
strm_batch_intent_note(void *arg, const char *detail)
{
	StrmBatchOutput *output = arg;
	StrmBatchRun *run = output->run;
	MemoryContext old = MemoryContextSwitchTo(run->cxt);

	if (detail == NULL && output->note == NULL)
	{
		MemoryContextSwitchTo(old);
		return;					/* the intent alone says as much */
	}
	output->note = detail == NULL ? NULL : pstrdup(detail);
	strm_intent_note(&output->intent, detail);
	MemoryContextSwitchTo(old);
	/* within one transaction the sink has to do with what its store can list */
	if (!run->passing || !run->one_transaction)
		strm_batch_run_commit(run);
}

void
strm_batch_intents_forget(StrmBatchRun *run)
{
	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];

		if (output->has_intent && (output->sink == NULL || !output->sink->kept))
			strm_intent_forget(&output->intent);
	}
}

bool
strm_batch_run_keeps(const StrmBatchRun *run)
{
	for (int i = 0; i < run->noutputs; i++)
	{
		if (run->outputs[i].sink != NULL && run->outputs[i].sink->kept)
			return true;
	}
	return false;
}

void
strm_batch_intent_discard(StrmBatchOutput *output)
{
	StrmRemains remains = {NULL, output->store, output->place->path, output->intent, output->note};

	/* a sink that takes everything away leaves nothing to clean up but the intent; one that was never made may have */
	if (output->sink == NULL || !strm_bytes_discard(output->sink))
		remains.connector = output->connector;
	if (output->has_intent && strm_intent_clean(&remains, STRM_BATCH_WHOSE))
		output->has_intent = false;
}

void
strm_batch_run_settle(StrmBatchRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->cxt);

	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];
		StrmRemains remains = {NULL, output->store, output->place->path, output->intent, output->note, true};

		if (output->sink != NULL && output->sink->kept && strm_bytes_settle(output->sink) && output->has_intent)
			(void) strm_intent_clean(&remains, STRM_BATCH_WHOSE);
	}
	MemoryContextSwitchTo(old);
}

/* Has one of that connector failed? failed: list of pg_uuid_t. */
static bool
strm_batch_failed_before(const List *failed, const pg_uuid_t *connector)
{
	ListCell   *cell;

	foreach(cell, failed)
	{
		if (memcmp(lfirst(cell), connector, sizeof(pg_uuid_t)) == 0)
			return true;
	}
	return false;
}

/*
 * One after another, until it has taken its time; of a connector where one failed the others wait, too. The order is
 * random, so that stores which cannot be reached keep none from its turn for ever.
 */
int
strm_batch_clean_up(void)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy batch clean-up",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STRM_BATCH_CLEAN_UP_TIME);
	StrmRegistryRows *rows;
	List	   *failed = NIL;	/* ids of connectors */
	int			left = 0;

	rows = strm_registry_select("SELECT i.id, i.connector_id, i.path, i.detail, coalesce(j.state = 'FINISHED', false)"
								" FROM strm.batch_job_intent i LEFT JOIN strm.batch_job j ON j.id = i.job_id"
								" WHERE (j.id IS NULL OR j.state NOT IN ('STARTED', 'RUNNING'))"
								" AND NOT EXISTS (SELECT FROM strm.batch_exporter e WHERE e.id = i.job_id)"
								" ORDER BY random()", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < rows->n; i++)
	{
		Datum	   *row = &rows->values[i * rows->ncolumns];
		StrmRemains remains = {0};

		CHECK_FOR_INTERRUPTS();
		if (strm_batch_failed_before(failed, DatumGetUUIDP(row[1])) || GetCurrentTimestamp() >= end)
		{
			left++;
			continue;
		}
		remains.intent = *DatumGetUUIDP(row[0]);
		remains.connector = strm_connector_by_id(DatumGetUUIDP(row[1]));
		remains.path = TextDatumGetCString(row[2]);
		remains.note = rows->nulls[i * rows->ncolumns + 3] ? NULL : TextDatumGetCString(row[3]);
		remains.published = DatumGetBool(row[4]);
		if (!strm_intent_clean(&remains, STRM_BATCH_WHOSE))
		{
			failed = lappend(failed, DatumGetUUIDP(row[1]));
			left++;
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return left;
}
