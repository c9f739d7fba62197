/*
 * position.h
 *	  Where an event stands in the order in which an exporter publishes: what a record's header says, and what tells
 *	  after a restart which events were published already.
 */
#ifndef STRM_EXPORT_POSITION_H
#define STRM_EXPORT_POSITION_H

#include "access/xlogdefs.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

/* Compared member by member. */
typedef struct StrmPosition
{
	uint32		epoch;			/* moved when positions begin anew: a rebuilt exporter, another server */
	TimeLineID	timeline;		/* of the LSN */
	XLogRecPtr	lsn;			/* of the commit record; of existing events: one less than where live ones begin */
	uint64		sequence;		/* within the transaction; of existing events: their place in the tables */
} StrmPosition;

extern int	strm_position_compare(const StrmPosition *a, const StrmPosition *b);

/* Room for the text of a position with its exporter and the terminator. */
#define STRM_POSITION_SIZE 104

/* Writes <exporter uuid>/<epoch>/<timeline>/<LSN, 16 hex digits>/<sequence>; returns its length. */
extern int	strm_position_write(const pg_uuid_t *exporter, const StrmPosition *position, char out[STRM_POSITION_SIZE]);

/* Reads such a text of that size (not terminated); false when it is none. */
extern bool strm_position_read(const char *text, Size size, pg_uuid_t *exporter, StrmPosition *position);

/* The partition of a key among n, as Kafka's own clients choose it (murmur2). */
extern int	strm_position_partition(const char *key, Size size, int n);

#endif							/* STRM_EXPORT_POSITION_H */
