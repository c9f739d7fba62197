/*
 * inbox_key.h
 *	  The key of an inbox, under which queued rows are sealed whole until they are moved into the stream.
 */
#ifndef STRM_KEYS_INBOX_KEY_H
#define STRM_KEYS_INBOX_KEY_H

#include "utils/uuid.h"

#include "crypto/row_seal.h"

typedef struct StrmInboxKey StrmInboxKey;

/* A new random key of the inbox of that stream, wrapped by the master key; palloc'd. Raises 55000 when sealed. */
extern bytea *strm_inbox_key_new(const pg_uuid_t *stream);

/*
 * The unwrapped key, kept by this backend to its end. Raises 55000 without the master key that wrapped it, XX001 when
 * it is not authentic.
 */
extern StrmInboxKey *strm_inbox_key_get(const pg_uuid_t *stream, const bytea *wrapped);

/* To seal rows, as a session with a salt of its own; and to open those of any session. Valid as long as the key. */
extern StrmRowSeal *strm_inbox_key_seal(StrmInboxKey *key);
extern StrmRowOpener *strm_inbox_key_opener(StrmInboxKey *key);

/* Keyed hash of a key field value. */
extern uint64 strm_inbox_key_hash(const StrmInboxKey *key, const char *value, Size size);

#endif							/* STRM_KEYS_INBOX_KEY_H */
