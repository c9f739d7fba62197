/*
 * run.c
 *	  The life of a run: create, start, execute, discard.
 *
 *	  create looks at definitions and rights only, start opens what is outside, execute is the pass from the source to
 *	  all outputs at once. All outputs are finished before the first one is published, and then next to nothing is left
 *	  that can fail. The intents go in the transaction that the caller commits after execute, with the job's end.
 *
 *	  Transactions end as the run goes (hooks->commit) unless a database is source or target, which needs one snapshot,
 *	  or all rows to appear at once. So nothing of a run may live in a transaction's memory.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "batch/run_private.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "keys/key_record.h"
#include "keys/wrapped_json.h"
#include "strm_privacy.h"

/* Records between two looks at the clock, and what is done how often, in ms. */
#define STRM_BATCH_RECORDS_AT_ONCE 256
#define STRM_BATCH_PROGRESS_MS 100
#define STRM_BATCH_COMMIT_MS 2000

void
strm_batch_run_commit(StrmBatchRun *run)
{
	MemoryContext old = CurrentMemoryContext;

	run->hooks->commit(run->hooks->arg);
	run->last_commit = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
}

/* Reads the stored configuration. */
static void
strm_batch_run_read(StrmBatchRun *run)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;
	StringInfoData ignored;
	StrmFaults	faults;
	Jsonb	   *seeds;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&run->job_id), false);
	rows = strm_registry_select("SELECT job, seeds FROM strm.batch_job WHERE id = $1", STRM_REGISTRY_ARGS(&args));
	if (rows->n == 0)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("the batch job does not exist any more"));
	seeds = rows->nulls[1] ? NULL :
		strm_wrapped_json_open(STRM_SECRET_JOB_SEEDS, &run->job_id, DatumGetByteaPP(rows->values[1]));

	strm_faults_init(&faults);
	initStringInfo(&ignored);
	run->job = strm_batch_job_read(DatumGetJsonbP(rows->values[0]), seeds, &faults, &ignored);
	if (faults.count == 0)
		strm_batch_rights_check(run->job, &faults);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, "the batch job cannot run any more as it was created", NULL);
	run->contract_ref = strm_contract_ref(run->job->contract);
}

/* The connector of a place, found as the current user; NULL for this database. */
static const StrmConnector *
strm_batch_run_connector(StrmBatchRun *run, const StrmBatchPlace *place)
{
	StrmConnector *connector;
	ListCell   *cell;

	if (place->path == NULL)
		run->one_transaction = true;
	if (place->connector == NULL)
		return NULL;
	foreach(cell, run->connectors)
	{
		connector = lfirst(cell);
		if (strcmp(connector->name, place->connector) == 0)
			return connector;
	}
	connector = strm_connector_find(place->connector);
	run->connectors = lappend(run->connectors, connector);
	return connector;
}

/* Adds an output that is not a stream. columns NULL: records. */
static StrmBatchOutput *
strm_batch_run_add_output(StrmBatchRun *run, const StrmBatchPlace *place, const StrmBatchDerived *derived,
						  const StrmRecordColumn *columns, int ncolumns)
{
	StrmBatchOutput *output = &run->outputs[run->noutputs++];

	output->run = run;
	output->place = place;
	output->derived = derived;
	output->connector = strm_batch_run_connector(run, place);
	if (columns == NULL)
		strm_batch_plan_output(run, output);
	else
	{
		output->columns = columns;
		output->ncolumns = ncolumns;
	}
	output->values = palloc0(mul_size(output->ncolumns, sizeof(StrmRecordValue)));
	return output;
}

static void
strm_batch_run_add_outputs(StrmBatchRun *run)
{
	const StrmBatchJob *job = run->job;

	run->outputs = palloc0(mul_size(job->nderived + 3, sizeof(StrmBatchOutput)));
	if (job->has_encrypted && job->encrypted.stream != NULL)
		run->one_transaction = true;
	else if (job->has_encrypted)
		strm_batch_run_add_output(run, &job->encrypted, NULL, NULL, 0);
	for (int i = 0; i < job->nderived; i++)
		strm_batch_run_add_output(run, &job->derived[i].target, &job->derived[i], NULL, 0);
	if (job->has_keys)
		run->keys = strm_batch_run_add_output(run, &job->keys, NULL, strm_key_record_columns, STRM_KEY_RECORD_COLUMNS);
	if (job->has_rejects)
		run->rejects = strm_batch_run_add_output(run, &job->rejects, NULL, strm_batch_rejects_columns,
												 STRM_BATCH_REJECTS_COLUMNS);
}

StrmBatchRun *
strm_batch_run_create(MemoryContext cxt, const pg_uuid_t *job_id, const StrmBatchRunHooks *hooks)
{
	MemoryContext run_cxt = AllocSetContextCreate(cxt, "strm_privacy batch run", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(run_cxt);
	StrmBatchRun *run = palloc0(sizeof(StrmBatchRun));

	run->cxt = run_cxt;
	run->record_cxt = AllocSetContextCreate(run_cxt, "strm_privacy batch record", ALLOCSET_DEFAULT_SIZES);
	run->hooks = hooks;
	run->job_id = *job_id;
	memcpy(&run->mark, job_id->data, sizeof(run->mark));
	run->mark |= 1;
	initStringInfo(&run->levels_text);

	strm_batch_run_read(run);
	run->source_connector = strm_batch_run_connector(run, &run->job->source);
	strm_batch_run_add_outputs(run);
	strm_batch_plan_source(run);
	strm_batch_group_take(run);
	MemoryContextSwitchTo(old);
	return run;
}

/* The open store of a connector. */
static StrmStore *
strm_batch_run_store(StrmBatchRun *run, const StrmConnector *connector)
{
	StrmStore  *store;
	ListCell   *cell;

	foreach(cell, run->stores)
	{
		store = lfirst(cell);
		if (store->connector == connector)
			return store;
	}
	store = connector->kind->open(connector);
	run->stores = lappend(run->stores, store);
	return store;
}

static void
strm_batch_run_open_sinks(StrmBatchRun *run)
{
	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];
		StrmSinkOptions options = {.overwrite = output->place->overwrite,.intent = output->intent,
		.note = strm_batch_intent_note,.note_arg = output};

		if (output->store != NULL)
			output->sink = output->connector->kind->write(output->store, output->place->path, &options);
	}
}

void
strm_batch_run_start(StrmBatchRun *run)
{
	const StrmBatchPlace *source = &run->job->source;

	MemoryContextSwitchTo(run->cxt);
	run->last_commit = GetCurrentTimestamp();
	/* the source first: nothing is outside yet when it is not there */
	if (source->path != NULL)
		run->source = run->source_connector->kind->read(strm_batch_run_store(run, run->source_connector), source->path);
	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];

		if (output->place->path != NULL)
			output->store = strm_batch_run_store(run, output->connector);
	}
	strm_batch_intents_make(run);
	strm_batch_run_open_sinks(run);
	MemoryContextSwitchTo(CurTransactionContext);
}

/* Opens the reader and checks what it says of the source's columns. */
static void
strm_batch_run_open_reader(StrmBatchRun *run)
{
	const StrmBatchPlace *source = &run->job->source;

	if (source->path != NULL)
		run->reader = strm_record_reader(run->source, &source->format, run->wanted, run->nwanted);
	else
		run->reader = strm_database_reader(run->source_connector, source->relation, source->query, run->wanted,
										   run->nwanted);
	strm_batch_plan_check(run);
}

static void
strm_batch_run_open_writers(StrmBatchRun *run)
{
	if (run->job->has_encrypted && run->job->encrypted.stream != NULL)
		run->target = strm_batch_target_open(run);
	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];

		if (output->sink != NULL)
			output->writer = strm_record_writer(output->sink, &output->place->format, output->columns,
												output->ncolumns);
		else
			output->database = strm_database_writer(output->connector, output->place->relation,
													output->place->overwrite, output->columns, output->ncolumns,
													&output->writer);
	}
}

/* What is done now and then. */
static void
strm_batch_run_tick(StrmBatchRun *run)
{
	TimestampTz now = GetCurrentTimestamp();

	CHECK_FOR_INTERRUPTS();
	/* of keys destroyed meanwhile: what comes gets new ones, also when all is one transaction */
	AcceptInvalidationMessages();
	if (TimestampDifferenceExceeds(run->last_progress, now, STRM_BATCH_PROGRESS_MS))
	{
		run->last_progress = now;
		run->counts.bytes = run->reader->bytes;
		run->hooks->progress(run->hooks->arg, &run->counts);
	}
	if (!run->one_transaction && TimestampDifferenceExceeds(run->last_commit, now, STRM_BATCH_COMMIT_MS))
		strm_batch_run_commit(run);
}

/* Reads, checks and writes all records. */
static void
strm_batch_run_pass(StrmBatchRun *run)
{
	while (run->reader->next(run->reader, &run->record))
	{
		MemoryContextSwitchTo(run->record_cxt);
		run->counts.rows++;
		if (strm_batch_record_check(run))
			strm_batch_output_record(run);
		else
			strm_batch_reject(run);
		MemoryContextSwitchTo(run->cxt);
		MemoryContextReset(run->record_cxt);
		if (run->counts.rows % STRM_BATCH_RECORDS_AT_ONCE == 0)
			strm_batch_run_tick(run);
	}
	if (run->target != NULL)
		strm_batch_target_flush(run->target, run, true);
	if (run->keys != NULL)
		strm_batch_keys_write(run);
}

/* Is this database a target, so that its rows must be committed with all the rest? */
static bool
strm_batch_run_targets_this_database(const StrmBatchRun *run)
{
	for (int i = 0; i < run->noutputs; i++)
	{
		/* a connector may lead to this database, too */
		if (run->outputs[i].database != NULL && strm_database_writer_is_local(run->outputs[i].database))
			return true;
	}
	return run->target != NULL;
}

/*
 * Finishes all outputs, then publishes all: what reaches another database for good comes last. Before that the keys are
 * committed: nobody shall see what is encrypted under a key that a crash would take away.
 */
static void
strm_batch_run_publish(StrmBatchRun *run)
{
	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];

		output->writer->flush(output->writer);
		if (output->sink != NULL)
			strm_bytes_finish(output->sink);
		else
			strm_database_writer_finish(output->database);
	}
	if (!strm_batch_run_targets_this_database(run))
	{
		/* a cursor would end with the transaction */
		run->reader->close(run->reader);
		strm_batch_run_commit(run);
	}
	for (int i = 0; i < run->noutputs; i++)
	{
		if (run->outputs[i].sink != NULL)
			strm_bytes_publish(run->outputs[i].sink);
	}
	for (int i = 0; i < run->noutputs; i++)
	{
		if (run->outputs[i].database != NULL)
			strm_database_writer_publish(run->outputs[i].database);
	}
}

/* Closes what was read from. */
static void
strm_batch_run_close(StrmBatchRun *run)
{
	ListCell   *cell;

	run->reader->close(run->reader);
	foreach(cell, run->stores)
	{
		StrmStore  *store = lfirst(cell);

		store->connector->kind->close(store);
	}
	run->stores = NIL;
}

void
strm_batch_run_execute(StrmBatchRun *run, StrmBatchCounts *counts)
{
	bool		streamed = run->job->source.path != NULL && run->job->source.format.kind == STRM_RECORD_JSONL;

	MemoryContextSwitchTo(run->cxt);
	run->passing = true;
	strm_batch_run_open_reader(run);
	if (!streamed)
		strm_batch_plan_unknown(run);
	strm_batch_run_open_writers(run);
	strm_batch_run_pass(run);
	if (streamed)
		strm_batch_plan_unknown(run);
	run->counts.bytes = run->reader->bytes;
	run->hooks->progress(run->hooks->arg, &run->counts);
	strm_batch_run_publish(run);
	strm_batch_intents_forget(run);
	strm_batch_run_close(run);
	*counts = run->counts;
	MemoryContextSwitchTo(CurTransactionContext);
}

void
strm_batch_run_discard(StrmBatchRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->cxt);

	/* how far it came belongs to the job's last state */
	run->hooks->progress(run->hooks->arg, &run->counts);
	for (int i = 0; i < run->noutputs; i++)
	{
		StrmBatchOutput *output = &run->outputs[i];

		if (output->database != NULL)
			strm_database_writer_discard(output->database);
		if (output->store != NULL)
			strm_batch_intent_discard(output);
	}
	MemoryContextSwitchTo(old);
}
