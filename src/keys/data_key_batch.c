/*
 * data_key_batch.c
 *	  Making many data keys at once.
 *
 *	  The same steps as for one key (data_key.c), for all values of one creation lock together: look each one up and
 *	  insert what is missing, while that lock is held, and no other. The locks are taken one after another, each at most
 *	  once.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "catalog/key_store.h"
#include "common/secret.h"
#include "guc/guc.h"
#include "keys/creation_lock.h"
#include "keys/data_key.h"
#include "keys/data_key_private.h"
#include "keys/key_cache.h"
#include "keys/master_key.h"
#include "strm_privacy.h"

/* A key that the cache does not have. */
typedef struct StrmKeyMissing
{
	const StrmKeyWanted *wanted;
	StrmKeyRow	row;
	bool		created;		/* by this call */
	bool		skip;			/* another one stands for the same value */
} StrmKeyMissing;

static int
strm_key_missing_compare(const void *a, const void *b)
{
	const pg_uuid_t *x = &((const StrmKeyMissing *) a)->row.lookup;
	const pg_uuid_t *y = &((const StrmKeyMissing *) b)->row.lookup;
	int			lock = strm_creation_lock_number(x) - strm_creation_lock_number(y);

	return lock != 0 ? lock : memcmp(x->data, y->data, UUID_LEN);
}

/* Those that are not in the cache, in the order of their locks. Returns their number. */
static int
strm_data_key_missing(const pg_uuid_t *owner, const Interval *rotation, const StrmKeyWanted *wanted, int n,
					  StrmKeyMissing *missing)
{
	int			nmissing = 0;

	for (int i = 0; i < n; i++)
	{
		StrmKeyEntry *entry = strm_key_cache_find_value(owner, STRM_KEY_NO_DAY, wanted[i].value, wanted[i].size);

		if (entry != NULL && entry->key.window_end > wanted[i].now)
			continue;
		memset(&missing[nmissing], 0, sizeof(StrmKeyMissing));
		missing[nmissing].wanted = &wanted[i];
		strm_data_key_describe(owner, wanted[i].value, wanted[i].size, wanted[i].now, rotation,
							   &missing[nmissing].row);
		nmissing++;
	}
	qsort(missing, nmissing, sizeof(StrmKeyMissing), strm_key_missing_compare);
	for (int i = 1; i < nmissing; i++)
		missing[i].skip = memcmp(&missing[i].row.lookup, &missing[i - 1].row.lookup, UUID_LEN) == 0;
	return nmissing;
}

/*
 * Finds or makes keys of one creation lock. roots gets the new ones. Nothing in here may wait for another transaction.
 */
static void
strm_data_key_get_or_create_many(StrmKeyMissing *missing, int n, uint8 (*roots)[STRM_ROOT_SIZE], StrmKeyRow *rows,
								 int64 *copies)
{
	int			nrows = 0;

	strm_creation_lock_acquire(&missing[0].row.lookup);
	for (int i = 0; i < n; i++)
	{
		StrmKeyRow	found;

		if (missing[i].skip)
			continue;
		missing[i].created = !strm_key_store_find_current(&missing[i].row.owner, &missing[i].row.lookup,
														  missing[i].wanted->now, &found);
		if (missing[i].created)
			strm_data_key_make(STRM_SECRET_DATA_KEY, &missing[i].row, roots[i]);
		else
			missing[i].row = found;
		if (missing[i].created || !found.kept)
		{
			rows[nrows] = missing[i].row;
			copies[nrows++] = missing[i].created ? 0 : strm_data_key_copy_number();
		}
	}
	if (nrows > 0)
		strm_key_store_insert_many(rows, copies, nrows);
	strm_creation_lock_release(&missing[0].row.lookup);
}

/* Has the cache know the key. */
static StrmKeyEntry *
strm_data_key_keep(StrmKeyMissing *missing, uint8 root[STRM_ROOT_SIZE])
{
	const StrmKeyWanted *wanted = missing->wanted;
	StrmKeyEntry *entry = missing->created ? NULL : strm_key_cache_find(&missing->row.key_link);

	if (!missing->created && !missing->row.committed)
		strm_data_key_mark_pending();
	if (entry == NULL && !missing->created)
	{
		StrmWrapPlace place;

		strm_data_key_place(&missing->row, STRM_SECRET_DATA_KEY, &place);
		strm_master_key_unwrap(&place, missing->row.wrapped, root, STRM_ROOT_SIZE);
	}
	if (entry == NULL)
		entry = strm_data_key_enter(&missing->row, root, NULL);
	strm_key_cache_set_value(entry, STRM_KEY_NO_DAY, wanted->value, wanted->size);
	return entry;
}

/* The keys of one creation lock. subjects gets those of new keys; returns how many. */
static int
strm_data_key_prepare_run(StrmKeyMissing *missing, int n, StrmSubjectNew *subjects)
{
	uint8		(*roots)[STRM_ROOT_SIZE] = palloc(mul_size(n, STRM_ROOT_SIZE));
	StrmKeyRow *rows = palloc(mul_size(n, sizeof(StrmKeyRow)));
	int64	   *copies = palloc(mul_size(n, sizeof(int64)));
	int			nsubjects = 0;
	bool		created = false;

	strm_data_key_get_or_create_many(missing, n, roots, rows, copies);
	for (int i = 0; i < n; i++)
		created |= missing[i].created;
	if (created)
		strm_data_key_mark_pending();
	for (int i = 0; i < n; i++)
	{
		StrmKeyEntry *entry;

		if (missing[i].skip)
			continue;
		entry = strm_data_key_keep(&missing[i], roots[i]);
		if (missing[i].created && missing[i].wanted->subject != NULL)
		{
			subjects[nsubjects].entry = entry;
			subjects[nsubjects].subject = missing[i].wanted->subject;
			subjects[nsubjects++].size = missing[i].wanted->subject_size;
		}
	}
	strm_secret_wipe(roots, mul_size(n, STRM_ROOT_SIZE));
	pfree(roots);
	pfree(rows);
	pfree(copies);
	return nsubjects;
}

void
strm_data_key_prepare(const pg_uuid_t *owner, const Interval *rotation, const StrmKeyWanted *wanted, int n)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy new keys", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StrmKeyMissing *missing = MemoryContextAllocHuge(cxt, mul_size(n, sizeof(StrmKeyMissing)));
	StrmSubjectNew *subjects = palloc(mul_size(n, sizeof(StrmSubjectNew)));
	int			nmissing;
	int			nsubjects = 0;

	strm_data_key_refresh();
	nmissing = strm_data_key_missing(owner, rotation, wanted, n, missing);
	if (nmissing > 0 && strm_key_cache_count() + nmissing > strm_key_cache_size)
	{
		/* it would be full, and dropped, before they are used */
		strm_key_cache_reset();
		nmissing = strm_data_key_missing(owner, rotation, wanted, n, missing);
	}
	if (nmissing > 0 && nmissing <= strm_key_cache_size)
	{
		strm_master_key_require();
		strm_key_store_open();
		for (int from = 0, to; from < nmissing; from = to)
		{
			int			lock = strm_creation_lock_number(&missing[from].row.lookup);

			for (to = from; to < nmissing && strm_creation_lock_number(&missing[to].row.lookup) == lock;)
				to++;
			nsubjects += strm_data_key_prepare_run(&missing[from], to - from, subjects + nsubjects);
		}
		if (nsubjects > 0)
			strm_data_key_register_subjects(subjects, nsubjects);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
