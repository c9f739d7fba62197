/*
 * erased.h
 *	  Events that were deleted from a stream because their data subject was erased, while the key, which serves others,
 *	  stays: exporters that find them in the WAL later must not publish them. Everything here needs a transaction.
 */
#ifndef STRM_EXPORT_ERASED_H
#define STRM_EXPORT_ERASED_H

#include "utils/array.h"
#include "utils/uuid.h"

/* Are there exporters that deleted events of the stream have to be noted for? */
extern bool strm_erased_concern(const pg_uuid_t *stream);

/* Notes events of a stream that this transaction has deleted, all of one key link; the caller moves the generation. */
extern void strm_erased_note(const pg_uuid_t *stream, const pg_uuid_t *key_link, ArrayType *nonces);

/* Are there any? The answer holds as long as the catalog generation. */
extern bool strm_erased_exist(void);

/* Is this one of them? */
extern bool strm_erased_has(const pg_uuid_t *key_link, int32 nonce);

/* Forgets those that no replication slot of this database can bring any more. true: there are others. */
extern bool strm_erased_sweep(void);

#endif							/* STRM_EXPORT_ERASED_H */
