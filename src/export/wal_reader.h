/*
 * wal_reader.h
 *	  Reads the WAL of this server for decoding: all that is flushed, without waiting for more.
 */
#ifndef STRM_EXPORT_WAL_READER_H
#define STRM_EXPORT_WAL_READER_H

#include "access/xlogreader.h"

/* What to do when WAL that a slot needs is gone. */
#define STRM_WAL_LOST_HINT \
	"A new slot is made, and events that were missed are read from their streams: by batch exporters without being asked, for the exporters of a Kafka cluster by strm.rebuild_kafka_exporter()."

/* Fills in how a decoding context is to read. */
extern void strm_wal_routine(XLogReaderRoutine *routine);

/* Does this reader read as strm_wal_routine() says? Nothing outside this library can make it so. */
extern bool strm_wal_is_ours(const XLogReaderState *reader);

/*
 * Reads the next record. false: it is not flushed yet, call again later. Raises 55000 when the WAL was removed, XX001
 * when it cannot be understood.
 */
extern bool strm_wal_next(XLogReaderState *reader);

/* A part of this server's history: all of it that is on one timeline. All zero: not known yet. */
typedef struct StrmTimeline
{
	TimeLineID	id;
	XLogRecPtr	begin;
	XLogRecPtr	end;			/* exclusive; 0: it goes on */
} StrmTimeline;

/* The timeline that a past position is on. timeline remembers the answer for the positions near it. */
extern TimeLineID strm_wal_timeline(StrmTimeline *timeline, XLogRecPtr lsn);

#endif							/* STRM_EXPORT_WAL_READER_H */
