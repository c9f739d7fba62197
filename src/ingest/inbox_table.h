/*
 * inbox_table.h
 *	  Creating a stream's inbox.
 */
#ifndef STRM_INGEST_INBOX_TABLE_H
#define STRM_INGEST_INBOX_TABLE_H

#include "contract/contract.h"
#include "ingest/stream.h"

/* The name of the inbox of a stream of that name; palloc'd. It may be too long for a name. */
extern char *strm_inbox_table_name(const char *stream);

/* Creates the table as the current user, by SPI (connected), and registers it with a new key. */
extern void strm_inbox_table_create(const StrmStreamOptions *options, const StrmContract *contract);

#endif							/* STRM_INGEST_INBOX_TABLE_H */
