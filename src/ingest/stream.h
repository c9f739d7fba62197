/*
 * stream.h
 *	  Creating a stream's table.
 */
#ifndef STRM_INGEST_STREAM_H
#define STRM_INGEST_STREAM_H

#include "utils/uuid.h"

#include "contract/contract.h"

typedef struct StrmStreamOptions
{
	const char *schema;
	const char *name;
	pg_uuid_t	id;
	bool		partitioned;	/* by range of strm_timestamp: the caller adds the partitions */
	bool		index_key_link;
} StrmStreamOptions;

/* Runs one DDL statement as the current user, by SPI (connected). */
extern void strm_stream_execute(const char *sql);

/*
 * Creates the table with its constraints and index as the current user, by SPI (connected). Returns its OID. Raises
 * what CREATE TABLE raises.
 */
extern Oid	strm_stream_create_table(const StrmStreamOptions *options, const StrmContract *contract);

/* Adds the triggers: after the stream is registered. */
extern void strm_stream_create_triggers(const StrmStreamOptions *options);

#endif							/* STRM_INGEST_STREAM_H */
