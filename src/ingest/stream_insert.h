/*
 * stream_insert.h
 *	  Inserting rows that were encrypted and sealed here into a stream, many at once.
 */
#ifndef STRM_INGEST_STREAM_INSERT_H
#define STRM_INGEST_STREAM_INSERT_H

#include "utils/rel.h"

#include "transform/layout.h"

typedef struct StrmStreamInsert StrmStreamInsert;

/*
 * Begins one INSERT into stream, opened with RowExclusiveLock, of rows laid out as layout tells. What belongs to it is
 * in the current context, which must live until its end. All it may call of users runs as the current user.
 */
extern StrmStreamInsert *strm_stream_insert_begin(Relation stream, const StrmLayout *layout);

/*
 * Adds a row: values and nulls of all columns of the stream's table. They stay the caller's, and must live until the
 * end. Columns that are not of the layout are filled in. Raises what an INSERT would.
 */
extern void strm_stream_insert_put(StrmStreamInsert *insert, Datum *values, bool *nulls);

/* Writes what is left, and fires triggers. */
extern void strm_stream_insert_end(StrmStreamInsert *insert);

#endif							/* STRM_INGEST_STREAM_INSERT_H */
