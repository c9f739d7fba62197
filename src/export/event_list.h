/*
 * event_list.h
 *	  Rows of a stream or of a derived stream as event JSON, read by SQL as the current user.
 */
#ifndef STRM_EXPORT_EVENT_LIST_H
#define STRM_EXPORT_EVENT_LIST_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

typedef struct StrmEventListRequest
{
	Oid			relid;			/* a stream's table or a derived stream's view */
	bool		has_since;
	TimestampTz since;			/* inclusive */
	bool		has_limit;
	int64		limit;			/* >= 0 */
} StrmEventListRequest;

/* Takes one event; json lives until the callback returns. */
typedef void (*StrmEventConsumer) (void *arg, const StringInfo json);

/*
 * Calls consume for each event, oldest first. With since: the first limit events at or after it; without: the last
 * limit events. Raises 42704 when relid is neither a stream nor a derived stream; what the SELECT raises passes
 * through.
 */
extern void strm_event_list(const StrmEventListRequest *request, StrmEventConsumer consume, void *arg);

#endif							/* STRM_EXPORT_EVENT_LIST_H */
