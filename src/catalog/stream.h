/*
 * stream.h
 *	  Rows of strm.stream as structs.
 */
#ifndef STRM_CATALOG_STREAM_H
#define STRM_CATALOG_STREAM_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "contract/contract.h"

typedef struct StrmStream
{
	pg_uuid_t	id;
	Oid			relid;
	StrmContract *contract;
	Interval	key_rotation;
	bool		partitioned;
	Interval	partition_by;	/* width of a partition's window, if partitioned */
} StrmStream;

/*
 * The stream of that id, or of that table; NULL when there is none. Read with a catalog snapshot: works for any role,
 * in parallel workers and on standbys. The result stays valid to the end of the transaction.
 */
extern StrmStream *strm_catalog_stream(const pg_uuid_t *id);
extern StrmStream *strm_catalog_stream_of(Oid relid);

#endif							/* STRM_CATALOG_STREAM_H */
