/*
 * data_key.c
 *	  This backend's unwrapped data keys, and the life of a data key.
 *
 *	  One key, whatever happens at the same time. Finding and inserting a key is one step under the value's creation
 *	  lock, and the search sees keys that other transactions have inserted but not committed. Such a key is adopted, and
 *	  an identical row is inserted by this transaction too: whichever of the two aborts, the other's row keeps the key.
 *	  Nobody waits for a COMMIT.
 *
 *	  Aborts. A key of which this transaction inserted a row may be gone when the subtransaction that did so aborts,
 *	  while the cache still holds it. The subtransactions with such keys are remembered (pending); when one of them
 *	  aborts, the whole cache is dropped. Aborts are rare and the cache is only a cache: correctness never depends on
 *	  what it holds.
 *
 *	  Erasure. A tombstone changes the catalog generation, in every backend and on standbys: the cache is dropped then.
 *
 *	  The cache is bounded by strm_privacy.key_cache_size; when full it is dropped and filled again. Its memory is
 *	  wiped.
 */
#include "postgres.h"

#include "access/xact.h"
#include "port/pg_bswap.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "catalog/key_store.h"
#include "common/errors.h"
#include "common/secret.h"
#include "crypto/kdf.h"
#include "crypto/mask.h"
#include "guc/guc.h"
#include "keys/cipher_slots.h"
#include "keys/creation_lock.h"
#include "keys/data_key.h"
#include "keys/data_key_private.h"
#include "keys/key_cache.h"
#include "keys/key_link.h"
#include "keys/master_key.h"
#include "strm_privacy.h"

/* Internal hash keys: owner is the nil uuid, lookup is fixed. */
typedef enum StrmHashKey
{
	STRM_HASH_KEY_LOOKUP = 1,	/* finds a data key by owner and key field value */
	STRM_HASH_KEY_SUBJECT = 2	/* finds a data subject's key links */
} StrmHashKey;

static List *pending_subxacts = NIL;	/* in TopTransactionContext */
static uint64 cache_generation = 0;

void
strm_data_key_refresh(void)
{
	uint64		generation = strm_catalog_generation();

	if (generation != cache_generation || strm_key_cache_count() >= strm_key_cache_size)
	{
		strm_key_cache_reset();
		strm_cipher_slots_reset();
		cache_generation = generation;
	}
}

void
strm_data_key_mark_pending(void)
{
	SubTransactionId current = GetCurrentSubTransactionId();
	MemoryContext old;

	if (pending_subxacts != NIL && (SubTransactionId) llast_int(pending_subxacts) == current)
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	pending_subxacts = lappend_int(pending_subxacts, (int) current);
	MemoryContextSwitchTo(old);
}

static void
strm_data_key_at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			strm_key_store_close();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			pending_subxacts = NIL;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:	/* others see its keys as uncommitted, and so must we */
			strm_key_store_forget();
			if (pending_subxacts != NIL)
				strm_key_cache_reset();
			pending_subxacts = NIL;
			break;
		default:
			break;
	}
}

static void
strm_data_key_at_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (pending_subxacts == NIL || (SubTransactionId) llast_int(pending_subxacts) != mine)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		pending_subxacts = list_delete_last(pending_subxacts);
		if (pending_subxacts == NIL || (SubTransactionId) llast_int(pending_subxacts) != parent)
		{
			MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

			pending_subxacts = lappend_int(pending_subxacts, (int) parent);
			MemoryContextSwitchTo(old);
		}
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		pending_subxacts = list_delete_last(pending_subxacts);
		strm_key_cache_reset();
	}
}

void
strm_data_key_init(void)
{
	RegisterXactCallback(strm_data_key_at_xact_end, NULL);
	RegisterSubXactCallback(strm_data_key_at_subxact_end, NULL);
}

void
strm_data_key_place(const StrmKeyRow *row, StrmSecretKind kind, StrmWrapPlace *place)
{
	place->kind = kind;
	memcpy(place->owner, row->owner.data, UUID_LEN);
	memcpy(place->key_link, row->key_link.data, UUID_LEN);
	place->key_id = row->key_id;
}

void
strm_data_key_make(StrmSecretKind kind, StrmKeyRow *row, uint8 root[STRM_ROOT_SIZE])
{
	struct
	{
		uint8		root[STRM_ROOT_SIZE];
		uint8		nonce[STRM_WRAP_NONCE_SIZE];
		uint8		link[8];
		uint32		key_id;
	}			random;
	StrmWrapPlace place;

	strm_secret_random(&random, sizeof(random));
	memcpy(root, random.root, STRM_ROOT_SIZE);
	strm_key_link_new(random.link, &row->key_link);
	row->key_id = Max(random.key_id & 0x7fffffff, 1);
	strm_data_key_place(row, kind, &place);
	row->wrapped = strm_master_key_wrap(&place, random.nonce, random.root, STRM_ROOT_SIZE);
	strm_secret_wipe(&random, sizeof(random));
}

int64
strm_data_key_copy_number(void)
{
	int64		copy;

	strm_secret_random(&copy, sizeof(copy));
	return copy | 1;
}

/*
 * Finds or makes the current key of (owner, lookup). row comes with owner, lookup and the window of a key to be made;
 * on return it is one that survives unless this subtransaction aborts. root gets the key, which the caller wipes.
 */
static void
strm_data_key_get_or_create(StrmSecretKind kind, TimestampTz now, StrmKeyRow *row, uint8 root[STRM_ROOT_SIZE])
{
	StrmKeyRow	found;
	bool		exists;

	strm_master_key_require();
	strm_key_store_open();
	strm_creation_lock_acquire(&row->lookup);
	exists = strm_key_store_find_current(&row->owner, &row->lookup, now, &found);
	if (!exists)
		strm_data_key_make(kind, row, root);
	else
		*row = found;
	if (!exists || !row->kept)
		strm_key_store_insert(row, exists ? strm_data_key_copy_number() : 0);
	strm_creation_lock_release(&row->lookup);

	if (!exists || !row->committed)
		strm_data_key_mark_pending();
	if (exists)
	{
		StrmWrapPlace place;

		strm_data_key_place(row, kind, &place);
		strm_master_key_unwrap(&place, row->wrapped, root, STRM_ROOT_SIZE);
	}
}

/*
 * An internal hash key, made at first use unless this transaction may only read: then NULL when there is none yet. The
 * result is in the cache: valid until the next call of this module.
 */
static const uint8 *
strm_data_key_hash_key(StrmHashKey which)
{
	StrmKeyRow	row = {0};
	uint8	   *key = strm_key_cache_hash_key(which);

	if (key[STRM_HASH_KEY_SIZE] != 0)
		return key;

	row.lookup.data[UUID_LEN - 1] = (uint8) which;
	row.window_start = GetCurrentTransactionStartTimestamp();
	row.window_end = DT_NOEND;
	if (!XactReadOnly && !IsInParallelMode())
		strm_data_key_get_or_create(STRM_SECRET_HASH_KEY, row.window_start, &row, key);
	else
	{
		StrmWrapPlace place;

		if (!strm_key_store_find_lookup(&row.lookup, &row))
			return NULL;
		strm_data_key_place(&row, STRM_SECRET_HASH_KEY, &place);
		strm_master_key_unwrap(&place, row.wrapped, key, STRM_HASH_KEY_SIZE);
	}
	key[STRM_HASH_KEY_SIZE] = 1;
	return key;
}

/* Hash of prefix and value under an internal hash key; false when there is no such key yet. */
static bool
strm_data_key_hash(StrmHashKey which, const uint8 *prefix, Size prefix_size, const char *value, Size size,
				   pg_uuid_t *hash)
{
	const uint8 *key = strm_data_key_hash_key(which);

	if (key == NULL)
		return false;
	if (strm_keyed_hash(key, prefix, prefix_size, (const uint8 *) value, size, hash->data) != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not compute a keyed hash"));
	return true;
}

bool
strm_data_key_hash_subject(const char *subject, Size size, pg_uuid_t *hash)
{
	return strm_data_key_hash(STRM_HASH_KEY_SUBJECT, NULL, 0, subject, size, hash);
}

bool
strm_data_key_subject_hash(const char *subject, Size size, pg_uuid_t *hash)
{
	strm_data_key_refresh();
	return strm_data_key_hash_subject(subject, size, hash);
}

StrmKeyEntry *
strm_data_key_enter(const StrmKeyRow *row, const uint8 root[STRM_ROOT_SIZE], const uint8 *siv_key)
{
	StrmKeyEntry *entry = strm_key_cache_add(&row->key_link);
	StrmCryptoStatus status;

	entry->key.owner = row->owner;
	entry->key.destroyed = false;
	entry->key.key_id = row->key_id;
	entry->key.window_start = row->window_start;
	entry->key.window_end = row->window_end;
	status = strm_kdf_seal_key(root, entry->seal_key);
	if (siv_key != NULL)
		memcpy(entry->siv_key, siv_key, STRM_SIV_KEY_SIZE);
	else if (status == STRM_CRYPTO_OK)
		status = strm_kdf_siv_key(root, entry->siv_key);
	if (status != STRM_CRYPTO_OK)
	{
		strm_key_cache_reset();
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not derive a data key"));
	}
	return entry;
}

/* Unwraps row's key into a new cache entry. */
static StrmKeyEntry *
strm_data_key_unwrap(const StrmKeyRow *row)
{
	StrmWrapPlace place;
	uint8		payload[STRM_ROOT_SIZE + STRM_SIV_KEY_SIZE];
	bool		imported = strm_master_key_payload_size(row->wrapped) == sizeof(payload);
	StrmKeyEntry *entry;

	strm_data_key_place(row, imported ? STRM_SECRET_IMPORTED_KEY : STRM_SECRET_DATA_KEY, &place);
	strm_master_key_unwrap(&place, row->wrapped, payload, imported ? sizeof(payload) : STRM_ROOT_SIZE);
	entry = strm_data_key_enter(row, payload, imported ? payload + STRM_ROOT_SIZE : NULL);
	strm_secret_wipe(payload, sizeof(payload));
	return entry;
}

/* Lost data must not look like erased data. */
static void
strm_data_key_raise_missing(void)
{
	strm_ereport_private(errcode(STRM_ERR_FORGED),
						 errmsg("the key of a row is missing"),
						 errdetail("There is neither a key nor a tombstone of this key link."),
						 errhint("The row was not written by this database, or keys were lost. Restore strm.data_key from a backup."));
}

StrmDataKey *
strm_data_key_find(const pg_uuid_t *key_link)
{
	StrmKeyEntry *entry;
	StrmKeyRow	row;
	bool		destroyed;

	strm_data_key_refresh();
	entry = strm_key_cache_find(key_link);
	if (entry != NULL)
		return &entry->key;

	/* a key that is gone may have been destroyed between the two looks */
	destroyed = strm_key_store_is_destroyed(key_link);
	if (!destroyed && !strm_key_store_find(key_link, &row))
	{
		destroyed = strm_key_store_is_destroyed(key_link);
		if (!destroyed)
			return NULL;
	}
	if (destroyed)
	{
		entry = strm_key_cache_add(key_link);
		entry->key.destroyed = true;
		return &entry->key;
	}
	entry = strm_data_key_unwrap(&row);
	pfree(row.wrapped);
	return &entry->key;
}

StrmDataKey *
strm_data_key_by_link(const pg_uuid_t *key_link)
{
	StrmDataKey *key = strm_data_key_find(key_link);

	if (key == NULL)
		strm_data_key_raise_missing();
	return key;
}

/*
 * Finds or makes the key that row (owner, lookup, and the window of a key to be made) asks for, and has the cache find
 * it by day and value.
 */
static StrmDataKey *
strm_data_key_obtain(StrmKeyRow *row, TimestampTz now, int32 day, const char *value, Size size)
{
	StrmKeyEntry *entry;
	uint8		root[STRM_ROOT_SIZE];

	strm_data_key_get_or_create(STRM_SECRET_DATA_KEY, now, row, root);
	entry = strm_key_cache_find(&row->key_link);
	if (entry == NULL)
		entry = strm_data_key_enter(row, root, NULL);
	strm_secret_wipe(root, sizeof(root));
	pfree(row->wrapped);
	strm_key_cache_set_value(entry, day, value, size);
	return &entry->key;
}

void
strm_data_key_describe(const pg_uuid_t *owner, const char *value, Size size, TimestampTz now,
					   const Interval *rotation, StrmKeyRow *row)
{
	(void) strm_data_key_hash(STRM_HASH_KEY_LOOKUP, owner->data, UUID_LEN, value, size, &row->lookup);
	row->owner = *owner;
	row->window_start = now;
	row->window_end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
															  IntervalPGetDatum(rotation)));
}

StrmDataKey *
strm_data_key_for_value(const pg_uuid_t *owner, const char *value, Size size, TimestampTz now, const Interval *rotation)
{
	StrmKeyEntry *entry;
	StrmKeyRow	row = {0};

	strm_data_key_refresh();
	entry = strm_key_cache_find_value(owner, STRM_KEY_NO_DAY, value, size);
	if (entry != NULL && entry->key.window_end > now)
		return &entry->key;

	strm_data_key_describe(owner, value, size, now, rotation, &row);
	return strm_data_key_obtain(&row, now, STRM_KEY_NO_DAY, value, size);
}

/*
 * What is hashed to look up the key of a day: owner, a NUL byte, the day (4 bytes, big-endian), the value. That of any
 * other key is the owner and a text, and a text never begins with a NUL byte: so the two never meet.
 */
static void
strm_data_key_day_lookup(const pg_uuid_t *owner, int32 day, const char *value, Size size, pg_uuid_t *lookup)
{
	uint8		prefix[UUID_LEN + 1 + sizeof(uint32)];
	uint32		big_endian = pg_hton32((uint32) day);

	memcpy(prefix, owner->data, UUID_LEN);
	prefix[UUID_LEN] = 0;
	memcpy(prefix + UUID_LEN + 1, &big_endian, sizeof(big_endian));
	(void) strm_data_key_hash(STRM_HASH_KEY_LOOKUP, prefix, sizeof(prefix), value, size, lookup);
}

/* A window that is over is no reason for another key here: days come as the records have them. */
StrmDataKey *
strm_data_key_for_day(const pg_uuid_t *owner, const char *value, Size size, TimestampTz day_start)
{
	int32		day = (int32) (day_start / USECS_PER_DAY);
	StrmKeyEntry *entry;
	StrmKeyRow	row = {0};

	Assert(day_start % USECS_PER_DAY == 0);
	strm_data_key_refresh();
	entry = strm_key_cache_find_value(owner, day, value, size);
	if (entry != NULL)
		return &entry->key;

	strm_data_key_day_lookup(owner, day, value, size, &row.lookup);
	row.owner = *owner;
	row.window_start = day_start;
	row.window_end = day_start + USECS_PER_DAY;
	return strm_data_key_obtain(&row, day_start, day, value, size);
}

StrmSiv *
strm_data_key_siv(StrmDataKey *key)
{
	return strm_cipher_slots_siv((StrmKeyEntry *) key);
}

StrmCmac *
strm_data_key_cmac(StrmDataKey *key)
{
	return strm_cipher_slots_cmac((StrmKeyEntry *) key);
}
