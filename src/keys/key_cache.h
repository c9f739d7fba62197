/*
 * key_cache.h
 *	  This backend's unwrapped data keys: found by key link, and by key field value and day.
 */
#ifndef STRM_KEYS_KEY_CACHE_H
#define STRM_KEYS_KEY_CACHE_H

#include "keys/data_key.h"

/* Values up to this size are kept to compare with; of longer ones a hash is. */
#define STRM_KEY_CACHE_INLINE 48

typedef struct StrmCachedText
{
	uint8		size;			/* 0: none; STRM_KEY_CACHE_INLINE + 2: bytes hold a hash; else one more than the size */
	uint8		bytes[STRM_KEY_CACHE_INLINE];
} StrmCachedText;

/* Days are counted from 2000-01-01. This one stands for none: the key's window starts when it is first used. */
#define STRM_KEY_NO_DAY PG_INT32_MIN

/* Laid out so that what looking up, encrypting and sealing touch is close together. */
typedef struct StrmKeyEntry
{
	StrmDataKey key;			/* first, so that a StrmDataKey is its entry */
	uint64		serial;			/* never used twice in a backend */
	StrmCachedText value;		/* the key field value, when this is its current key, or that of day */
	uint8		siv_key[STRM_SIV_KEY_SIZE];
	uint8		seal_key[STRM_CMAC_KEY_SIZE];
	StrmCachedText subject;		/* the data subject registered last under this key */
} StrmKeyEntry;

extern StrmKeyEntry *strm_key_cache_find(const pg_uuid_t *key_link);
extern StrmKeyEntry *strm_key_cache_find_value(const pg_uuid_t *owner, int32 day, const char *value, Size size);

/* A new, zeroed entry for key_link, which must not be in the cache. */
extern StrmKeyEntry *strm_key_cache_add(const pg_uuid_t *key_link);

/* Makes entry the one that find_value gives for its owner, that day and that value. */
extern void strm_key_cache_set_value(StrmKeyEntry *entry, int32 day, const char *value, Size size);

/* Is the subject of that hash known to be registered under the key link? */
extern bool strm_key_cache_has_subject(const pg_uuid_t *key_link, const pg_uuid_t *subject_hash);
extern void strm_key_cache_add_subject(const pg_uuid_t *key_link, const pg_uuid_t *subject_hash);

/* Compares with, and keeps, a text of any size. */
extern bool strm_cached_text_equals(const StrmCachedText *cached, const char *text, Size size);
extern void strm_cached_text_set(StrmCachedText *cached, const char *text, Size size);

/* Room for an internal hash key and a byte that says whether it is there (0: not). */
extern uint8 *strm_key_cache_hash_key(int which);

/* Keys and subjects in the cache. */
extern int	strm_key_cache_count(void);

/* Drops and wipes everything. */
extern void strm_key_cache_reset(void);

#endif							/* STRM_KEYS_KEY_CACHE_H */
