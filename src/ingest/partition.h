/*
 * partition.h
 *	  The partitions of a stream.
 */
#ifndef STRM_INGEST_PARTITION_H
#define STRM_INGEST_PARTITION_H

#include "datatype/timestamp.h"

#include "common/errors.h"

/* Windows after the present one that a new stream has partitions for, and the most that may be asked for. */
#define STRM_PARTITIONS_AHEAD 4
#define STRM_PARTITIONS_AHEAD_MAX 1000

/* Adds a fault unless a window may have that width. */
extern void strm_partition_check_width(const Interval *width, StrmFaults *faults);

/* Creates the default partition, which takes the rows that no other does. As the current user, by SPI (connected). */
extern void strm_partition_create_default(Oid relid);

/*
 * Creates partitions for the present window and as many as ahead after it, except where partitions overlap a window
 * already. Rows of such a window move there from the default partition, if there is one, which is locked meanwhile; so
 * is the stream while the present window's is created. As the current user, by SPI (connected). Returns how many were
 * created.
 */
extern int	strm_partition_create(Oid relid, const Interval *width, int ahead);

#endif							/* STRM_INGEST_PARTITION_H */
