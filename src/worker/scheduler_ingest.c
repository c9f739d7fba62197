/*
 * scheduler_ingest.c
 *	  What a scheduler does for queued ingestion: keeps ingest workers running in a database that has inboxes.
 *
 *	  When their number changes, all of them leave before new ones come: a lane may then belong to another worker.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "common/errors.h"
#include "guc/guc.h"
#include "ingest/inbox.h"
#include "strm_privacy.h"
#include "worker/ingest_slot.h"
#include "worker/scheduler_ingest.h"
#include "worker/worker.h"

/* ms */
#define STRM_INGEST_BACK_OFF 1000	/* after a first failure; also the shortest time between two starts */
#define STRM_INGEST_LIVED_LONG 60000	/* a worker that fails later than this begins anew with the back-off */
#define STRM_INGEST_RETRY_NO_ROOM 10000
#define STRM_INGEST_RETRY_SHARE 1000	/* others have still to leave */

/* Learns from workers that have ended. */
static void
strm_scheduler_ingest_reap(StrmSchedulerIngest *ingest)
{
	StrmIngestEnd end;

	while (strm_ingest_slot_reap(&end))
	{
		TimestampTz now = GetCurrentTimestamp();
		int		   *failures = &ingest->workers[end.index].failures;

		if (!end.failed)
		{
			*failures = 0;
			ingest->workers[end.index].next = 0;
			continue;
		}
		*failures = TimestampDifferenceExceeds(end.since, now, STRM_INGEST_LIVED_LONG) ? 1 : *failures + 1;
		ingest->workers[end.index].next =
			TimestampTzPlusMilliseconds(now, strm_worker_back_off_from(STRM_INGEST_BACK_OFF, *failures));
	}
}

/* Says once that the server has no room for another worker, until it has. */
static void
strm_scheduler_ingest_report_room(StrmSchedulerIngest *ingest, bool room)
{
	if (!room && !ingest->no_room)
		ereport(WARNING,
				errcode(STRM_ERR_WORKERS),
				errmsg("there is no room for a background worker to move rows out of inboxes"),
				errdetail("All background workers that the server may have are in use."),
				errhint("Raise max_worker_processes, or lower strm_privacy.ingest_workers."));
	ingest->no_room = !room;
}

/* false when there is no room for another worker. */
static bool
strm_scheduler_ingest_start(const StrmIngestShare *share)
{
	StrmSlotRef slot;

	if (!strm_ingest_slot_reserve(share, &slot))
		return false;
	if (strm_worker_start(STRM_WORKER_INGEST, "strm_worker_ingest_main", &slot, NULL))
		return true;
	strm_ingest_slot_unreserve(&slot);
	return false;
}

/* Starts the worker of that index if it is time to. Returns the milliseconds until it should be considered again. */
static long
strm_scheduler_ingest_consider(StrmSchedulerIngest *ingest, const StrmIngestShare *share, long idle)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = ingest->workers[share->index].next;
	bool		room;

	if (strm_ingest_slot_taken(share->index))
		return idle;
	if (next > now)
		return Max(TimestampDifferenceMilliseconds(now, next), 1);
	room = strm_scheduler_ingest_start(share);
	strm_scheduler_ingest_report_room(ingest, room);
	return room ? idle : STRM_INGEST_RETRY_NO_ROOM;
}

long
strm_scheduler_ingest_look(StrmSchedulerIngest *ingest, long idle)
{
	StrmIngestShare share;
	long		wait = idle;

	share.of = strm_inbox_streams() == NIL ? 0 : strm_ingest_workers;
	strm_ingest_slot_sweep();
	strm_scheduler_ingest_reap(ingest);
	if (!strm_ingest_slot_share(share.of))
		return Min(wait, STRM_INGEST_RETRY_SHARE);
	for (share.index = 0; share.index < share.of; share.index++)
		wait = Min(wait, strm_scheduler_ingest_consider(ingest, &share, idle));
	return wait;
}
