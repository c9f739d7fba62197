/*
 * simulate.h
 *	  Plausible random events, for demonstrations and benchmarks.
 */
#ifndef STRM_INGEST_SIMULATE_H
#define STRM_INGEST_SIMULATE_H

#include "catalog/stream.h"

/*
 * Inserts events random rows of sessions different key field values into stream, as the current user, and returns how
 * many rows were inserted. consents are the texts of the int4[] that rows choose from, seed all that is random. Raises
 * 22023 when no value for a field passes the contract's validations; what the INSERT raises passes through.
 */
extern int64 strm_simulate(const StrmStream *stream, int64 events, int32 sessions, uint64 seed,
						   char **consents, int nconsents);

#endif							/* STRM_INGEST_SIMULATE_H */
