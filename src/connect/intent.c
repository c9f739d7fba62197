/*
 * intent.c
 *	  What batch jobs and batch exporters are about to leave outside the database, and its removal.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/resowner.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/uuid.h"
#include "connect/intent.h"
#include "strm_privacy.h"

pg_uuid_t
strm_intent_make(const pg_uuid_t *owner, const pg_uuid_t *connector, const char *path)
{
	pg_uuid_t	intent = strm_uuid_new();
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&intent), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(owner), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(connector), false);
	strm_registry_add_text(&args, path);
	(void) strm_registry_execute("INSERT INTO strm.batch_job_intent (id, job_id, connector_id, path)"
								 " VALUES ($1, $2, $3, $4)", STRM_REGISTRY_ARGS(&args));
	return intent;
}

void
strm_intent_note(const pg_uuid_t *intent, const char *detail)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(intent), false);
	strm_registry_add_text(&args, detail);
	(void) strm_registry_execute("UPDATE strm.batch_job_intent SET detail = $2 WHERE id = $1",
								 STRM_REGISTRY_ARGS(&args));
}

void
strm_intent_forget(const pg_uuid_t *intent)
{
	StrmRegistryArgs args = {0};

	if (!strm_catalog_complete())
		return;
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(intent), false);
	(void) strm_registry_execute("DELETE FROM strm.batch_job_intent WHERE id = $1", STRM_REGISTRY_ARGS(&args));
}

/* May raise. */
static bool
strm_intent_try(const StrmRemains *remains)
{
	const StrmConnectorKind *kind = remains->connector ? remains->connector->kind : NULL;
	StrmStore  *store = remains->store;
	bool		clean = true;

	if (kind != NULL)
	{
		if (store == NULL)
			store = kind->open(remains->connector);
		if (!remains->published)
			clean = kind->clean_up(store, remains->path, &remains->intent, remains->note);
		else if (kind->settle != NULL)
			clean = kind->settle(store, remains->path, &remains->intent);
		if (remains->store == NULL)
			kind->close(store);
	}
	if (clean)
		strm_intent_forget(&remains->intent);
	return clean;
}

bool
strm_intent_clean(const StrmRemains *remains, const char *what)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool clean = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		clean = strm_intent_try(remains);
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
				errmsg("could not remove what %s left behind: %s", what, error->message));
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return clean;
}
