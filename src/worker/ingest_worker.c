/*
 * ingest_worker.c
 *	  An ingest worker: moves the rows of its lanes out of all inboxes of its database.
 *
 *	  It sleeps until a commit wakes it. While rows come steadily it looks every few milliseconds instead, so that a
 *	  batch is more than a row, and commits need not wake it. An error concerns one inbox: that one is left alone for
 *	  a while, what is wrong is said once, and the others go on. What is not about an inbox ends the process: the
 *	  scheduler starts another one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "catalog/cache.h"
#include "ingest/inbox.h"
#include "strm_privacy.h"
#include "worker/ingest_inbox.h"
#include "worker/ingest_slot.h"
#include "worker/worker.h"

/* ms */
#define STRM_INGEST_IDLE 10000	/* prepared transactions, for one, do not wake it when they commit */
#define STRM_INGEST_PACE 20		/* between two looks while rows come */
#define STRM_INGEST_PACE_MAX 1000

typedef struct StrmIngestWorker
{
	StrmIngestShare share;
	MemoryContext cxt;			/* of the inboxes */
	MemoryContext pass_cxt;		/* reset with each pass */
	List	   *inboxes;		/* StrmIngestInbox */
	long		wait;			/* ms until an inbox that is left alone is due */
	int64		moved;			/* in this pass */
	int64		scan_ms;		/* that looking took, in this pass */
} StrmIngestWorker;

static StrmIngestInbox *
strm_ingest_find(StrmIngestWorker *worker, const pg_uuid_t *stream)
{
	MemoryContext old;
	StrmIngestInbox *inbox;
	ListCell   *lc;

	foreach(lc, worker->inboxes)
	{
		inbox = lfirst(lc);
		if (memcmp(&inbox->stream, stream, sizeof(pg_uuid_t)) == 0)
			return inbox;
	}
	old = MemoryContextSwitchTo(worker->cxt);
	inbox = palloc0(sizeof(StrmIngestInbox));
	inbox->stream = *stream;
	worker->inboxes = lappend(worker->inboxes, inbox);
	MemoryContextSwitchTo(old);
	return inbox;
}

/* Which inboxes there are. Those that are gone are forgotten. */
static void
strm_ingest_list(StrmIngestWorker *worker)
{
	ListCell   *lc;

	if (!strm_worker_begin_transaction())
		proc_exit(0);
	foreach(lc, worker->inboxes)
		((StrmIngestInbox *) lfirst(lc))->listed = false;
	foreach(lc, strm_inbox_streams())
		strm_ingest_find(worker, &((StrmStream *) lfirst(lc))->id)->listed = true;
	strm_worker_end_transaction();

	foreach(lc, worker->inboxes)
	{
		StrmIngestInbox *inbox = lfirst(lc);

		if (inbox->listed)
			continue;
		worker->inboxes = foreach_delete_current(worker->inboxes, lc);
		if (inbox->rotation.users != NULL)
			pfree(inbox->rotation.users);
		pfree(inbox);
	}
}

/* One look at every inbox, and whatever follows from it. */
static void
strm_ingest_pass(StrmIngestWorker *worker)
{
	ListCell   *lc;

	worker->moved = 0;
	worker->scan_ms = 0;
	worker->wait = STRM_INGEST_IDLE;
	strm_ingest_list(worker);
	foreach(lc, worker->inboxes)
	{
		StrmIngestInbox *inbox = lfirst(lc);
		TimestampTz now = GetCurrentTimestamp();

		if (strm_ingest_slot_leaving())
			return;
		if (inbox->next <= now || inbox->generation != strm_catalog_generation())
		{
			MemoryContextSwitchTo(worker->pass_cxt);
			strm_ingest_inbox(inbox, &worker->share);
			MemoryContextReset(worker->pass_cxt);
			worker->moved += inbox->moved;
			worker->scan_ms += inbox->scan_ms;
		}
		if (inbox->next > now)
			worker->wait = Min(worker->wait, Max(TimestampDifferenceMilliseconds(now, inbox->next), 1));
	}
}

/* Rows that come steadily are looked for at a pace; a full batch, at once. */
static long
strm_ingest_pace(const StrmIngestWorker *worker)
{
	if (worker->moved >= STRM_INGEST_BATCH)
		return 0;
	return Max(STRM_INGEST_PACE, Min(2 * worker->scan_ms, STRM_INGEST_PACE_MAX));
}

void
strm_worker_ingest_main(Datum main_arg)
{
	StrmSlotRef slot = strm_worker_slot(main_arg);
	StrmIngestWorker worker = {0};
	bool		listening = false;
	Oid			database;

	strm_worker_begin();
	if (!strm_ingest_slot_attach(&slot, &worker.share, &database))
		proc_exit(0);
	strm_worker_connect(database, STRM_WORKER_INGEST);
	strm_inbox_is_worker = true;
	/* warnings of users' functions may hold values */
	SetConfigOption("log_min_messages", "error", PGC_SUSET, PGC_S_SESSION);
	worker.cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy inboxes", ALLOCSET_DEFAULT_SIZES);
	worker.pass_cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy ingest pass", ALLOCSET_DEFAULT_SIZES);

	while (!strm_ingest_slot_leaving())
	{
		strm_worker_report("looking for queued rows");
		strm_ingest_pass(&worker);
		strm_worker_report(NULL);
		if (worker.moved > 0)
		{
			if (listening)
				strm_ingest_slot_listen(false);
			listening = false;
			strm_worker_wait(strm_ingest_pace(&worker));
		}
		else if (!listening)
		{
			/* what was committed before this must be looked for once more */
			strm_ingest_slot_listen(true);
			listening = true;
		}
		else
			strm_worker_wait(worker.wait);
	}
	proc_exit(0);
}
