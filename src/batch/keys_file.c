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
#include "keys/keyset.h"
#include "strm_privacy.h"

#define STRM_BATCH_SORT_KB 8192

/* Keys whose file is written between two looks at interrupts. */
#define STRM_BATCH_KEYS_AT_ONCE 256

const StrmRecordColumn strm_batch_keys_columns[STRM_BATCH_KEYS_COLUMNS] = {
	{"keyLink"}, {"encryptionKey"}, {"policyId"}, {"expiresAt"},
};

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

/* When the policy's retention of the key ends, in epoch milliseconds. */
static int64
strm_batch_keys_expiry(const StrmBatchRun *run, const StrmDataKey *key)
{
	return strm_catalog_policy_end(&run->policy, key->window_start) / 1000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
}

/* Writes the row of one key; false when it was destroyed meanwhile. keyset is scratch and wiped. */
static bool
strm_batch_keys_write_one(StrmBatchRun *run, const pg_uuid_t *link, StringInfo keyset)
{
	StrmDataKey *key = strm_data_key_by_link(link);
	StrmRecordValue *values = run->keys->values;
	char		expiry[MAXINT8LEN + 1];

	if (key->destroyed)
		return false;
	resetStringInfo(keyset);
	strm_keyset_append(key, keyset);
	values[0].kind = values[1].kind = STRM_RECORD_TEXT;
	values[0].text = strm_uuid_text(&key->key_link);
	values[0].size = strlen(values[0].text);
	values[1].text = keyset->data;
	values[1].size = keyset->len;
	values[2].kind = run->policy.is_default ? STRM_RECORD_NULL : STRM_RECORD_TEXT;
	values[2].text = run->policy.is_default ? NULL : strm_uuid_text(&run->policy.id);
	values[2].size = run->policy.is_default ? 0 : strlen(values[2].text);
	values[3].kind = STRM_RECORD_NUMBER;
	values[3].text = expiry;
	values[3].size = pg_lltoa(strm_batch_keys_expiry(run, key), expiry);
	run->keys->writer->write(run->keys->writer, values);
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
