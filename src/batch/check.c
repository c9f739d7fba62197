/*
 * check.c
 *	  Everything that can be known to be wrong with a job before it runs, in one error.
 *
 *	  What connectors and sources raise is caught in a subtransaction each and becomes a fault among others.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "batch/run_private.h"
#include "common/errors.h"
#include "strm_privacy.h"

/* A file: can it be read, or written? */
static void
strm_batch_check_file(const StrmBatchPlace *place, bool is_source, StrmFaults *faults)
{
	StrmConnector *connector = strm_connector_find(place->connector);
	StrmStore  *store;
	bool		exists;

	if (connector->kind->open == NULL)
	{
		strm_faults_add(faults, "%s: data connector \"%s\" is a database, which has no files", place->member,
						place->connector);
		return;
	}
	store = connector->kind->open(connector);
	exists = connector->kind->exists(store, place->path);
	if (is_source && !exists)
		strm_faults_add(faults, "%s: there is no \"%s\" in data connector \"%s\"", place->member, place->path,
						place->connector);
	if (!is_source && exists && !place->overwrite)
		strm_faults_add(faults, "%s: \"%s\" exists in data connector \"%s\"; \"overwrite\": true replaces it",
						place->member, place->path, place->connector);
	if (!is_source)
		connector->kind->check(store, place->prefix);
	connector->kind->close(store);
}

/* One place. Raises, or adds faults. */
static void
strm_batch_check_place(const StrmBatchPlace *place, bool is_source, StrmFaults *faults)
{
	const StrmConnector *connector = NULL;

	if (place->stream != NULL)
		return;					/* rights.c has looked at it */
	if (place->path != NULL)
	{
		strm_batch_check_file(place, is_source, faults);
		return;
	}
	if (place->connector != NULL)
		connector = strm_connector_find(place->connector);
	if (is_source)
		strm_database_check_source(connector, place->relation, place->query);
	else
		strm_database_check_target(connector, place->relation);
}

/* An error as a fault; with the detail and the hint of ours, which can be of use here, too. */
static void
strm_batch_check_fault(const StrmBatchPlace *place, const ErrorData *error, StrmFaults *faults)
{
	bool		ours = strm_errors_are_ours(error);
	const char *detail = ours ? error->detail : NULL;
	const char *hint = ours ? error->hint : NULL;

	strm_faults_add(faults, "%s: %s%s%s%s%s", place->member, error->message, detail != NULL || hint != NULL ? "." : "",
					detail != NULL ? psprintf(" %s", detail) : "", hint != NULL ? " " : "", hint != NULL ? hint : "");
}

/* The same, with an error as one fault more. Cancelling and the like stay errors. */
static void
strm_batch_check_try(const StrmBatchPlace *place, bool is_source, StrmFaults *faults)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		strm_batch_check_place(place, is_source, faults);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		strm_batch_check_fault(place, error, faults);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
}

static void
strm_batch_check_places(const StrmBatchJob *job, StrmFaults *faults)
{
	strm_batch_check_try(&job->source, true, faults);
	if (job->has_encrypted)
		strm_batch_check_try(&job->encrypted, false, faults);
	for (int i = 0; i < job->nderived; i++)
		strm_batch_check_try(&job->derived[i].target, false, faults);
	if (job->has_keys)
		strm_batch_check_try(&job->keys, false, faults);
	if (job->has_rejects)
		strm_batch_check_try(&job->rejects, false, faults);
}

void
strm_batch_job_check(Jsonb *document)
{
	StringInfoData ignored;
	StrmFaults	faults;
	StrmBatchJob *job;

	strm_faults_init(&faults);
	initStringInfo(&ignored);
	job = strm_batch_job_read(document, NULL, &faults, &ignored);
	if (faults.count == 0)
	{
		strm_batch_rights_check(job, &faults);
		strm_batch_check_places(job, &faults);
	}
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, "the batch job is not valid", NULL);
	if (ignored.len > 0)
		ereport(NOTICE, errmsg("members of the batch job without effect here: %s", ignored.data));
}
