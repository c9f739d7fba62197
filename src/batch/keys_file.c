/*
 * keys_file.c
 *	  The keys that a run has used, and the file of them.
 *
 *	  A key link is noted in a temporary file when its key is used for the first time. The key's mark remembers that; it
 *	  is lost when the key leaves the cache, so a link may be noted again: sorting at the end drops the repetitions.
 *	  Memory is the sort's, whatever the number of keys. As with strm.export_keys(), the server's log says who got how
 *	  many keys of what.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

#include "batch/run_private.h"
#include "common/secret.h"
#include "common/uuid.h"
#include "keys/key_record.h"
#include "strm_privacy.h"

#define STRM_BATCH_SORT_KB 8192

/* Keys whose file is written between two looks at interrupts. */
#define STRM_BATCH_KEYS_AT_ONCE 256

/* The temporary file goes with the run's memory, whatever becomes of the run. */
static void
strm_batch_keys_close(void *arg)
{
	StrmBatchRun *run = arg;

	if (run->links != NULL)
		BufFileClose(run->links);
	run->links = NULL;
}

/* An empty temporary file that belongs to no transaction. */
static BufFile *
strm_batch_keys_create(StrmBatchRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->cxt);
	ResourceOwner owner = CurrentResourceOwner;
	BufFile    *file;

	CurrentResourceOwner = NULL;
	file = BufFileCreateTemp(true);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
	return file;
}

static void
strm_batch_keys_open(StrmBatchRun *run)
{
	MemoryContextCallback *callback = MemoryContextAlloc(run->cxt, sizeof(MemoryContextCallback));

	run->links = strm_batch_keys_create(run);
	callback->func = strm_batch_keys_close;
	callback->arg = run;
	MemoryContextRegisterResetCallback(run->cxt, callback);
}

void
strm_batch_keys_note(StrmBatchRun *run, StrmDataKey *key)
{
	if (key->mark == run->mark)
		return;
	if (run->links == NULL)
		strm_batch_keys_open(run);
	BufFileWrite(run->links, &key->key_link, sizeof(pg_uuid_t));
	key->mark = run->mark;
}

/* Makes the next link that is read the first one. */
static void
strm_batch_keys_rewind(BufFile *links)
{
	if (BufFileSeek(links, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, errcode_for_file_access(), errmsg("could not rewind a temporary file"));
}

/* All noted links, sorted. */
static Tuplesortstate *
strm_batch_keys_sort(BufFile *links)
{
	Oid			less = lookup_type_cache(UUIDOID, TYPECACHE_LT_OPR)->lt_opr;
	Tuplesortstate *sort = tuplesort_begin_datum(UUIDOID, less, InvalidOid, false, STRM_BATCH_SORT_KB, NULL,
												 TUPLESORT_NONE);
	pg_uuid_t	link;
	uint64		n = 0;

	strm_batch_keys_rewind(links);
	while (strm_buffile_read(links, &link, sizeof(link)) == sizeof(link))
	{
		if (++n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		tuplesort_putdatum(sort, UUIDPGetDatum(&link), false);
	}
	tuplesort_performsort(sort);
	return sort;
}

/*
 * Sorts the noted links and drops repetitions, into another temporary file: a sort is its transaction's, and writing
 * the keys may end that.
 */
static void
strm_batch_keys_unique(StrmBatchRun *run)
{
	Tuplesortstate *sort = strm_batch_keys_sort(run->links);
	BufFile    *unique = strm_batch_keys_create(run);
	pg_uuid_t	last = {{0}};
	Datum		link;
	bool		isnull;

	BufFileClose(run->links);
	run->links = unique;
	while (strm_tuplesort_getdatum(sort, true, false, &link, &isnull, NULL))
	{
		/* no key link is the nil uuid */
		if (memcmp(DatumGetUUIDP(link)->data, last.data, UUID_LEN) == 0)
			continue;
		last = *DatumGetUUIDP(link);
		BufFileWrite(unique, &last, sizeof(last));
	}
	tuplesort_end(sort);
	strm_batch_keys_rewind(unique);
}

/* Writes the row of one key; false when it was destroyed meanwhile. keyset is scratch and wiped. */
static bool
strm_batch_keys_write_one(StrmBatchRun *run, const pg_uuid_t *link, StringInfo keyset)
{
	StrmDataKey *key = strm_data_key_by_link(link);

	if (key->destroyed)
		return false;
	strm_key_record_values(&run->policy, key, keyset, run->keys->values);
	run->keys->writer->write(run->keys->writer, run->keys->values);
	strm_secret_wipe(keyset->data, keyset->len);
	return true;
}

static void
strm_batch_keys_audit(const StrmBatchRun *run, uint64 count)
{
	ereport(LOG_SERVER_ONLY,
			errhidestmt(true),
			errhidecontext(true),
			errmsg("role \"%s\" exported " UINT64_FORMAT " data keys of %s %s",
				   GetUserNameFromId(GetUserId(), false), count,
				   run->job->has_encrypted && run->job->encrypted.stream != NULL ? "stream" : "batch job group",
				   strm_uuid_text(&run->key_owner)),
			errdetail("Batch job %s wrote them.", strm_uuid_text(&run->job_id)));
}

void
strm_batch_keys_write(StrmBatchRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->record_cxt);
	StringInfoData keyset;
	pg_uuid_t	link;
	uint64		n = 0;
	uint64		count = 0;

	/* of keys destroyed meanwhile, if all is one transaction */
	AcceptInvalidationMessages();
	if (run->links != NULL)
		strm_batch_keys_unique(run);
	initStringInfo(&keyset);
	while (run->links != NULL && strm_buffile_read(run->links, &link, sizeof(link)) == sizeof(link))
	{
		count += strm_batch_keys_write_one(run, &link, &keyset);
		if (++n % STRM_BATCH_KEYS_AT_ONCE == 0)
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(run->record_cxt);
			initStringInfo(&keyset);
		}
	}
	strm_batch_keys_audit(run, count);
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->record_cxt);
}
