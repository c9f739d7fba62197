/*
 * intent.c
 *	  What runs are about to leave outside the database, written down before they do, and its removal.
 *
 *	  An intent is committed before anything outside exists, and goes in the transaction that ends the job, after
 *	  everything was published, or with what was taken away. So a process that dies in between leaves an intent, with
 *	  which anybody can clean up (strm_batch_clean_up).
 *
 *	  The intent of an output whose sink has kept what it replaced stays until that is removed, after the job's end. So
 *	  an intent of a finished job is one to settle, any other one to clean up.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "batch/run_private.h"
#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/uuid.h"
#include "strm_privacy.h"

/* What is to be cleaned up. */
typedef struct StrmBatchRemains
{
	const StrmConnector *connector;
	StrmStore  *store;			/* or NULL: opened when needed */
	const char *path;
	pg_uuid_t	intent;
	const char *note;
	bool		finished;		/* the job has ended well: only what was kept goes */
} StrmBatchRemains;

/* ms after which cleaning up goes on another time: meanwhile nobody starts jobs */
#define STRM_BATCH_CLEAN_UP_TIME 5000

void
strm_batch_intents_make(StrmBatchRun *run)
{
	bool		any = false;

	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];
		StrmRegistryArgs args = {0};

		if (output->store == NULL)
			continue;
		output->intent = strm_uuid_new();
		strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&output->intent), false);
		strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&run->job_id), false);
		strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&output->connector->id), false);
		strm_registry_add_text(&args, output->place->path);
		(void) strm_registry_execute("INSERT INTO strm.batch_job_intent (id, job_id, connector_id, path)"
									 " VALUES ($1, $2, $3, $4)", STRM_REGISTRY_ARGS(&args));
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
	StrmRegistryArgs args = {0};

	if (detail == NULL && output->note == NULL)
	{
		MemoryContextSwitchTo(old);
		return;					/* the intent alone says as much */
	}
	output->note = detail == NULL ? NULL : pstrdup(detail);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&output->intent), false);
	strm_registry_add_text(&args, detail);
	(void) strm_registry_execute("UPDATE strm.batch_job_intent SET detail = $2 WHERE id = $1",
								 STRM_REGISTRY_ARGS(&args));
	MemoryContextSwitchTo(old);
	/* within one transaction the sink has to do with what its store can list */
	if (!run->passing || !run->one_transaction)
		strm_batch_run_commit(run);
}

/* Nothing is to be done when the extension has been dropped meanwhile, and all intents with it. */
static void
strm_batch_intent_delete(const pg_uuid_t *intent)
{
	StrmRegistryArgs args = {0};

	if (!strm_catalog_complete())
		return;
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(intent), false);
	(void) strm_registry_execute("DELETE FROM strm.batch_job_intent WHERE id = $1", STRM_REGISTRY_ARGS(&args));
}

void
strm_batch_intents_forget(StrmBatchRun *run)
{
	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];

		if (output->has_intent && (output->sink == NULL || !output->sink->kept))
			strm_batch_intent_delete(&output->intent);
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

/* Asks the store to remove the remains and forgets the intent. false when it should be tried again. May raise. */
static bool
strm_batch_intent_clean(const StrmBatchRemains *remains)
{
	StrmStore  *store = remains->store;
	bool		clean = true;

	if (remains->connector != NULL)
	{
		if (store == NULL)
			store = remains->connector->kind->open(remains->connector);
		if (!remains->finished)
			clean = remains->connector->kind->clean_up(store, remains->path, &remains->intent, remains->note);
		else if (remains->connector->kind->settle != NULL)
			clean = remains->connector->kind->settle(store, remains->path, &remains->intent);
		if (remains->store == NULL)
			remains->connector->kind->close(store);
	}
	if (clean)
		strm_batch_intent_delete(&remains->intent);
	return clean;
}

/* The same in a subtransaction: what it raises goes to the server's log, and the remains stay for another time. */
static bool
strm_batch_intent_try(const StrmBatchRemains *remains)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool clean = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		clean = strm_batch_intent_clean(remains);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		ereport(LOG,
				errcode(error->sqlerrcode),
				errmsg("could not remove what a batch job left behind: %s", error->message));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return clean;
}

void
strm_batch_intent_discard(StrmBatchOutput *output)
{
	StrmBatchRemains remains = {NULL, output->store, output->place->path, output->intent, output->note};

	/* a sink that takes everything away leaves nothing to clean up but the intent; one that was never made may have */
	if (output->sink == NULL || !strm_bytes_discard(output->sink))
		remains.connector = output->connector;
	if (output->has_intent && strm_batch_intent_try(&remains))
		output->has_intent = false;
}

void
strm_batch_run_settle(StrmBatchRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->cxt);

	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];
		StrmBatchRemains remains = {NULL, output->store, output->place->path, output->intent, output->note, true};

		if (output->sink != NULL && output->sink->kept && strm_bytes_settle(output->sink) && output->has_intent)
			(void) strm_batch_intent_try(&remains);
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
								" WHERE j.id IS NULL OR j.state NOT IN ('STARTED', 'RUNNING')"
								" ORDER BY random()", 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < rows->n; i++)
	{
		Datum	   *row = &rows->values[i * rows->ncolumns];
		StrmBatchRemains remains = {0};

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
		remains.finished = DatumGetBool(row[4]);
		if (!strm_batch_intent_try(&remains))
		{
			failed = lappend(failed, DatumGetUUIDP(row[1]));
			left++;
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return left;
}
