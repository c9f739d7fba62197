/*
 * inbox_sealed.h
 *	  The sealed form of a queued row: the id of the inbox's key (4 bytes, big endian), and what crypto/row_seal.h
 *	  makes.
 */
#ifndef STRM_INGEST_INBOX_SEALED_H
#define STRM_INGEST_INBOX_SEALED_H

#include "utils/uuid.h"

#include "crypto/row_seal.h"
#include "ingest/inbox_columns.h"

/* Before the row, and around it. */
#define STRM_INBOX_SEALED_ID 4
#define STRM_INBOX_SEALED_HEADER (STRM_INBOX_SEALED_ID + STRM_ROW_SEAL_HEADER)
#define STRM_INBOX_SEALED_OVERHEAD (STRM_INBOX_SEALED_ID + STRM_ROW_SEAL_OVERHEAD)

extern void strm_inbox_sealed_put_id(uint8 *out, int32 id);

/* The key id of a sealed row, of which only the beginning is read; 0 when it is none. */
extern int32 strm_inbox_sealed_id(Datum sealed);

/*
 * Opens a row of that stream's inbox: *row, of *size bytes, is in the current context. false when it is not authentic,
 * or its key is gone.
 */
extern bool strm_inbox_sealed_open(const pg_uuid_t *stream, const uint8 ad[STRM_INBOX_AD_SIZE], const bytea *sealed,
								   uint8 **row, Size *size);

/* Wipes what this backend has of keys that the inbox of that stream has no more. */
extern void strm_inbox_sealed_forget(const pg_uuid_t *stream);

#endif							/* STRM_INGEST_INBOX_SEALED_H */
