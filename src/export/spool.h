/*
 * spool.h
 *	  Rows that were decoded and not yet taken: in memory up to a limit, then in a temporary file.
 *
 *	  First rows are added, then all are taken; a row that waits keeps further ones from being added. Works inside and
 *	  outside transactions, and outlives them.
 */
#ifndef STRM_EXPORT_SPOOL_H
#define STRM_EXPORT_SPOOL_H

#include "export/decoder.h"

typedef struct StrmSpool StrmSpool;

/* In the current memory context, for good. */
extern StrmSpool *strm_spool_create(void);

/* Adds a copy of a row; its tuple is flat. */
extern void strm_spool_add(StrmSpool *spool, const StrmDecodedRow *row);

/* As strm_decoder_next and strm_decoder_unread. */
extern bool strm_spool_next(StrmSpool *spool, StrmDecodedRow *row);
extern void strm_spool_unread(StrmSpool *spool);

/* Forgets all rows. */
extern void strm_spool_reset(StrmSpool *spool);

/* Bytes of the rows that were added since it was empty. */
extern uint64 strm_spool_size(const StrmSpool *spool);

extern bool strm_spool_is_empty(const StrmSpool *spool);

#endif							/* STRM_EXPORT_SPOOL_H */
