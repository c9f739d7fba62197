/*
 * key_cache.c
 *	  Hash tables and memory of the data key cache. One memory context owns all of it; resetting it wipes the keys.
 *
 *	  Entries are found by key link (reading) and by owner, key field value and day (writing). Values are hashed with a
 *	  random seed, so that a producer cannot choose values that collide. What is equal is decided by comparing, never by
 *	  this hash.
 */
#include "postgres.h"

#include <sodium.h>

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "common/secret.h"
#include "crypto/mask.h"
#include "keys/key_cache.h"
#include "strm_privacy.h"

#define STRM_CACHE_CHUNK 128
#define STRM_CACHED_HASH (STRM_KEY_CACHE_INLINE + 2)
#define STRM_HASH_KEYS 3

typedef struct StrmLinkSlot
{
	pg_uuid_t	key_link;
	StrmKeyEntry *entry;
	char		status;
} StrmLinkSlot;

static inline uint32
strm_link_hash(pg_uuid_t key_link)
{
	uint32		hash;

	/* the last bytes of a key link are random */
	memcpy(&hash, key_link.data + UUID_LEN - sizeof(hash), sizeof(hash));
	return murmurhash32(hash);
}

#define SH_PREFIX strm_links
#define SH_ELEMENT_TYPE StrmLinkSlot
#define SH_KEY_TYPE pg_uuid_t
#define SH_KEY key_link
#define SH_HASH_KEY(tb, key) strm_link_hash(key)
#define SH_EQUAL(tb, a, b) (memcmp((a).data, (b).data, UUID_LEN) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct StrmValueKey
{
	const uint8 *owner;
	const StrmCachedText *value;
	int32		day;
	uint32		hash;
} StrmValueKey;

typedef struct StrmValueSlot
{
	StrmValueKey key;			/* owner and value point into the entry */
	StrmKeyEntry *entry;
	char		status;
} StrmValueSlot;

/* Bytes used of a text that is not none. */
static inline Size
strm_cached_text_used(const StrmCachedText *cached)
{
	return cached->size == STRM_CACHED_HASH ? STRM_KEY_CACHE_INLINE : cached->size - 1;
}

static inline bool
strm_value_key_equal(StrmValueKey a, StrmValueKey b)
{
	return a.hash == b.hash && a.day == b.day && a.value->size == b.value->size &&
		memcmp(a.owner, b.owner, UUID_LEN) == 0 &&
		memcmp(a.value->bytes, b.value->bytes, strm_cached_text_used(a.value)) == 0;
}

#define SH_PREFIX strm_values
#define SH_ELEMENT_TYPE StrmValueSlot
#define SH_KEY_TYPE StrmValueKey
#define SH_KEY key
#define SH_HASH_KEY(tb, k) (k).hash
#define SH_EQUAL(tb, a, b) strm_value_key_equal(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct StrmSubjectKey
{
	pg_uuid_t	key_link;
	pg_uuid_t	subject_hash;
} StrmSubjectKey;

typedef struct StrmSubjectSlot
{
	StrmSubjectKey key;
	char		status;
} StrmSubjectSlot;

#define SH_PREFIX strm_subjects
#define SH_ELEMENT_TYPE StrmSubjectSlot
#define SH_KEY_TYPE StrmSubjectKey
#define SH_KEY key
#define SH_HASH_KEY(tb, k) (strm_link_hash((k).key_link) ^ strm_link_hash((k).subject_hash))
#define SH_EQUAL(tb, a, b) (memcmp(&(a), &(b), sizeof(StrmSubjectKey)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct StrmKeyCache
{
	MemoryContext cxt;
	strm_links_hash *links;
	strm_values_hash *values;
	strm_subjects_hash *subjects;
	StrmKeyEntry *chunk;		/* the newest chunk of entries */
	int			chunk_used;
	uint8	   *hash_keys;		/* STRM_HASH_KEYS times key and flag */
	uint64		seed;
} StrmKeyCache;

static StrmKeyCache cache;
static uint64 last_serial = 0;

/* Makes an empty cache if there is none. */
static void
strm_key_cache_ensure(void)
{
	if (cache.links != NULL)
		return;
	if (cache.cxt == NULL)
		cache.cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy data keys", ALLOCSET_DEFAULT_SIZES);
	cache.links = strm_links_create(cache.cxt, 256, NULL);
	cache.values = strm_values_create(cache.cxt, 256, NULL);
	cache.subjects = strm_subjects_create(cache.cxt, 16, NULL);
	cache.hash_keys = strm_secret_alloc(cache.cxt, STRM_HASH_KEYS * (STRM_HASH_KEY_SIZE + 1));
	if (!pg_strong_random(&cache.seed, sizeof(cache.seed)))
		cache.seed = 0;			/* only the spread of the hash table depends on it */
}

void
strm_key_cache_reset(void)
{
	MemoryContext cxt = cache.cxt;

	if (cache.links == NULL)
		return;
	memset(&cache, 0, sizeof(cache));
	cache.cxt = cxt;
	MemoryContextReset(cxt);
}

int
strm_key_cache_count(void)
{
	return cache.links == NULL ? 0 : (int) (cache.links->members + cache.subjects->members);
}

bool
strm_cached_text_equals(const StrmCachedText *cached, const char *text, Size size)
{
	StrmCachedText other;

	if (size <= STRM_KEY_CACHE_INLINE)
		return cached->size == size + 1 && memcmp(cached->bytes, text, size) == 0;
	if (cached->size != STRM_CACHED_HASH)
		return false;
	strm_cached_text_set(&other, text, size);
	return memcmp(cached->bytes, other.bytes, STRM_KEY_CACHE_INLINE) == 0;
}

void
strm_cached_text_set(StrmCachedText *cached, const char *text, Size size)
{
	if (size <= STRM_KEY_CACHE_INLINE)
	{
		cached->size = (uint8) (size + 1);
		memcpy(cached->bytes, text, size);
		return;
	}
	cached->size = STRM_CACHED_HASH;
	crypto_generichash(cached->bytes, STRM_KEY_CACHE_INLINE, (const unsigned char *) text, size, NULL, 0);
}

static StrmValueKey
strm_key_cache_value_key(const uint8 *owner, int32 day, const StrmCachedText *value)
{
	StrmValueKey key;

	key.owner = owner;
	key.value = value;
	key.day = day;
	key.hash = (uint32) hash_bytes_extended(value->bytes, strm_cached_text_used(value), cache.seed ^ (uint32) day) ^
		(uint32) owner[UUID_LEN - 1];
	return key;
}

/* With many keys an entry is not in the processor's caches, and the whole of it is needed very soon. */
static inline void
strm_key_cache_prefetch(const StrmKeyEntry *entry)
{
	__builtin_prefetch(entry);
	__builtin_prefetch(entry->siv_key);
	__builtin_prefetch(entry->seal_key);
	__builtin_prefetch(&entry->subject);
}

StrmKeyEntry *
strm_key_cache_find(const pg_uuid_t *key_link)
{
	StrmLinkSlot *slot;

	if (cache.links == NULL)
		return NULL;
	slot = strm_links_lookup(cache.links, *key_link);
	if (slot == NULL)
		return NULL;
	strm_key_cache_prefetch(slot->entry);
	return slot->entry;
}

StrmKeyEntry *
strm_key_cache_find_value(const pg_uuid_t *owner, int32 day, const char *value, Size size)
{
	StrmCachedText text;
	StrmValueSlot *slot;

	if (cache.links == NULL)
		return NULL;
	strm_cached_text_set(&text, value, size);
	slot = strm_values_lookup(cache.values, strm_key_cache_value_key(owner->data, day, &text));
	if (slot == NULL)
		return NULL;
	strm_key_cache_prefetch(slot->entry);
	return slot->entry;
}

StrmKeyEntry *
strm_key_cache_add(const pg_uuid_t *key_link)
{
	StrmKeyEntry *entry;
	StrmLinkSlot *slot;
	bool		found;

	strm_key_cache_ensure();
	if (cache.chunk == NULL || cache.chunk_used == STRM_CACHE_CHUNK)
	{
		cache.chunk = strm_secret_alloc(cache.cxt, STRM_CACHE_CHUNK * sizeof(StrmKeyEntry));
		cache.chunk_used = 0;
	}
	slot = strm_links_insert(cache.links, *key_link, &found);
	Assert(!found);
	entry = &cache.chunk[cache.chunk_used++];
	entry->key.key_link = *key_link;
	entry->serial = ++last_serial;
	slot->entry = entry;
	return entry;
}

void
strm_key_cache_set_value(StrmKeyEntry *entry, int32 day, const char *value, Size size)
{
	StrmValueKey key;
	StrmValueSlot *slot;
	bool		found;

	strm_cached_text_set(&entry->value, value, size);
	key = strm_key_cache_value_key(entry->key.owner.data, day, &entry->value);
	slot = strm_values_insert(cache.values, key, &found);
	slot->key = key;
	slot->entry = entry;
}

bool
strm_key_cache_has_subject(const pg_uuid_t *key_link, const pg_uuid_t *subject_hash)
{
	StrmSubjectKey key = {*key_link, *subject_hash};

	return cache.links != NULL && strm_subjects_lookup(cache.subjects, key) != NULL;
}

void
strm_key_cache_add_subject(const pg_uuid_t *key_link, const pg_uuid_t *subject_hash)
{
	StrmSubjectKey key = {*key_link, *subject_hash};
	bool		found;

	strm_key_cache_ensure();
	strm_subjects_insert(cache.subjects, key, &found);
}

uint8 *
strm_key_cache_hash_key(int which)
{
	Assert(which > 0 && which < STRM_HASH_KEYS);
	strm_key_cache_ensure();
	return cache.hash_keys + which * (STRM_HASH_KEY_SIZE + 1);
}
