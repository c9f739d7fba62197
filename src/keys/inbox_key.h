/*
 * inbox_key.h
 *	  The keys of an inbox: one, for its life, hashes key field values into lanes; others, one after the other, seal
 *	  queued rows whole until they are moved into the stream.
 */
#ifndef STRM_KEYS_INBOX_KEY_H
#define STRM_KEYS_INBOX_KEY_H

#include "utils/uuid.h"

#include "crypto/row_seal.h"

/* The id of the key of the lanes. Those that seal rows are counted from 1. */
#define STRM_INBOX_LANE_KEY 0

typedef struct StrmInboxKey StrmInboxKey;

/*
 * A new random key of the inbox of that stream, with that id, wrapped by the master key; palloc'd. Raises 55000 when
 * sealed.
 */
extern bytea *strm_inbox_key_new(const pg_uuid_t *stream, int32 id);

/*
 * The unwrapped key, kept by this backend until it is forgotten. Raises 55000 without the master key that wrapped it,
 * XX001 when it is not authentic.
 */
extern StrmInboxKey *strm_inbox_key_get(const pg_uuid_t *stream, int32 id, const bytea *wrapped);

/* The same, if this backend has it already; else NULL. */
extern StrmInboxKey *strm_inbox_key_known(const pg_uuid_t *stream, int32 id);

/* Wipes what this backend has of older keys of that stream's inbox that are not among n ids. */
extern void strm_inbox_key_forget(const pg_uuid_t *stream, const int32 *ids, int n);

/* Moves when a key was forgotten: what was kept of keys may dangle. */
extern uint64 strm_inbox_key_epoch(void);

/* To seal rows, as a session with a salt of its own; and to open those of any session. Valid as long as the key. */
extern StrmRowSeal *strm_inbox_key_seal(StrmInboxKey *key);
extern StrmRowOpener *strm_inbox_key_opener(StrmInboxKey *key);

/* Keyed hash of a key field value, by the key of the lanes. */
extern uint64 strm_inbox_key_hash(const StrmInboxKey *key, const char *value, Size size);

#endif							/* STRM_KEYS_INBOX_KEY_H */
