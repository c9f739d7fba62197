/*
 * data_key_private.h
 *	  What data_key.c offers to the other files of this folder.
 */
#ifndef STRM_KEYS_DATA_KEY_PRIVATE_H
#define STRM_KEYS_DATA_KEY_PRIVATE_H

#include "catalog/key_store.h"
#include "crypto/kdf.h"
#include "crypto/wrap.h"
#include "keys/key_cache.h"

/* Drops what the cache holds if something it depends on has changed, or if it is full. */
extern void strm_data_key_refresh(void);

/* What a key that is to be found or made for a value is known by: owner, lookup and window. */
extern void strm_data_key_describe(const pg_uuid_t *owner, const char *value, Size size, TimestampTz now,
								   const Interval *rotation, StrmKeyRow *row);

/* Fills the random parts of a new row, with a new root wrapped, which the caller gets, too, and wipes. */
extern void strm_data_key_make(StrmSecretKind kind, StrmKeyRow *row, uint8 root[STRM_ROOT_SIZE]);

/* What binds row's wrapped key to its row. */
extern void strm_data_key_place(const StrmKeyRow *row, StrmSecretKind kind, StrmWrapPlace *place);

/* A new cache entry for row's key. siv_key is that of an imported key, NULL for one that follows from root. */
extern StrmKeyEntry *strm_data_key_enter(const StrmKeyRow *row, const uint8 root[STRM_ROOT_SIZE], const uint8 *siv_key);

/* Registers subjects under keys that this transaction made, without looking whether somebody else has. */
typedef struct StrmSubjectNew
{
	StrmKeyEntry *entry;
	const char *subject;
	Size		size;
} StrmSubjectNew;

extern void strm_data_key_register_subjects(const StrmSubjectNew *subjects, int n);

/* Remembers that the current subtransaction inserted a row that the cache relies on. */
extern void strm_data_key_mark_pending(void);

/* A random number that is not 0, for the copy column. */
extern int64 strm_data_key_copy_number(void);

/* strm_data_key_subject_hash for callers that hold a key: what the cache holds stays valid. */
extern bool strm_data_key_hash_subject(const char *subject, Size size, pg_uuid_t *hash);

#endif							/* STRM_KEYS_DATA_KEY_PRIVATE_H */
