/*
 * progress.h
 *	  What one exporter has sent and what of it is acknowledged: pure bookkeeping.
 *
 *	  Events are offered in the order of their positions, from some position on, and again from an earlier one after
 *	  decoding went back. An event is sent when it lies beyond what was considered since the sink was opened, and beyond
 *	  the last record that its partition had then (the tail). Acknowledgements come in any order.
 */
#ifndef STRM_EXPORT_PROGRESS_H
#define STRM_EXPORT_PROGRESS_H

#include "datatype/timestamp.h"

#include "export/position.h"

typedef struct StrmProgress StrmProgress;

/* One partition. */
typedef struct StrmProgressPartition
{
	StrmPosition tail;			/* last record when the sink was opened; epoch 0: none */
	StrmPosition acked;			/* last record known to be in the topic; epoch 0: none */
	int64		offset;			/* of that; -1: none */
} StrmProgressPartition;

/* In the current memory context, which holds all of it. */
extern StrmProgress *strm_progress_create(int npartitions);

/* A sink was opened: nothing is outstanding, no partition has a tail, all positions are to be considered again. */
extern void strm_progress_reset(StrmProgress *progress);

extern void strm_progress_set_tail(StrmProgress *progress, int partition, const StrmPosition *position, int64 offset);
extern const StrmProgressPartition *strm_progress_partition(const StrmProgress *progress, int partition);

/* Does the position lie beyond all that were considered? */
extern bool strm_progress_wants(const StrmProgress *progress, const StrmPosition *position);

/* Is an event of that partition in the topic already? */
extern bool strm_progress_has(const StrmProgress *progress, int partition, const StrmPosition *position);

/* The position was considered: sent or not, it is not wanted again. */
extern void strm_progress_pass(StrmProgress *progress, const StrmPosition *position);

/* Cookie of the record that is about to be sent; sent: it was. committed: when its transaction was, 0: unknown. */
extern uint64 strm_progress_cookie(const StrmProgress *progress);
extern void strm_progress_sent(StrmProgress *progress, const StrmPosition *position, TimestampTz committed);

/* A record is in the topic. */
extern void strm_progress_acked(StrmProgress *progress, uint64 cookie, int partition, int64 offset);

/* Transactional sinks: a record was taken, and counts when all that were sent are committed. */
extern void strm_progress_taken(StrmProgress *progress, uint64 cookie, int partition, int64 offset);
extern void strm_progress_commit(StrmProgress *progress);

/* Records that are sent and not acknowledged, and the first of them; NULL: none. */
extern uint64 strm_progress_outstanding(const StrmProgress *progress);
extern const StrmPosition *strm_progress_first(const StrmProgress *progress, TimestampTz *committed);

/* Are all records with a smaller cookie acknowledged? */
extern bool strm_progress_done(const StrmProgress *progress, uint64 cookie);

/* Records acknowledged since creation. */
extern uint64 strm_progress_count(const StrmProgress *progress);

#endif							/* STRM_EXPORT_PROGRESS_H */
