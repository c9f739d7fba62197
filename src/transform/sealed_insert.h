/*
 * sealed_insert.h
 *	  Inserting rows that were encrypted and sealed here, before the INSERT.
 *
 *	  A stream's trigger takes rows that are sealed already from the stream's owner only: anybody else could insert
 *	  again what was deleted. Whoever makes such rows in C says so for the time of its own INSERT. Out of reach of SQL;
 *	  what the trigger checks of the rows' authenticity stays.
 */
#ifndef STRM_TRANSFORM_SEALED_INSERT_H
#define STRM_TRANSFORM_SEALED_INSERT_H

#include "executor/spi.h"

#include "catalog/stream.h"

/*
 * Runs plan, an INSERT of sealed rows into stream, by SPI (connected) as the current user, who needs INSERT and nothing
 * more. values and nulls as in SPI_execute_plan.
 */
extern void strm_sealed_insert(const StrmStream *stream, SPIPlanPtr plan, Datum *values, const char *nulls);

/* Is the current user inserting sealed rows into this stream by strm_sealed_insert? For the stream's trigger. */
extern bool strm_sealed_insert_runs(const pg_uuid_t *stream);

#endif							/* STRM_TRANSFORM_SEALED_INSERT_H */
