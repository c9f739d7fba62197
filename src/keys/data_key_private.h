/*
 * data_key_private.h
 *	  What data_key.c offers to the other files of this folder.
 */
#ifndef STRM_KEYS_DATA_KEY_PRIVATE_H
#define STRM_KEYS_DATA_KEY_PRIVATE_H

/* Remembers that the current subtransaction inserted a row that the cache relies on. */
extern void strm_data_key_mark_pending(void);

/* A random number that is not 0, for the copy column. */
extern int64 strm_data_key_copy_number(void);

/* strm_data_key_subject_hash for callers that hold a key: what the cache holds stays valid. */
extern bool strm_data_key_hash_subject(const char *subject, Size size, pg_uuid_t *hash);

#endif							/* STRM_KEYS_DATA_KEY_PRIVATE_H */
