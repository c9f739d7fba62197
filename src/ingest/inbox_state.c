/*
 * inbox_state.c
 *	  How many rows wait in which inbox.
 *
 *	  A hash table in shared memory, whose lock guards what is in it; an entry's number of waiting rows is atomic, so
 *	  that producers count under a shared lock. Entries are made by ingest workers, who begin with counting; what no
 *	  worker has counted since the server started is not known, and not limited. When one more does not fit, inboxes in
 *	  which nothing waits make room, among them such as were dropped. What does not fit even so is not limited.
 *
 *	  Rows count when their transaction commits; what a subtransaction that was rolled back had queued is counted, too,
 *	  until the worker counts again, and so is what the owner deletes. Whom that holds up has the worker count.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "common/errors.h"
#include "guc/guc.h"
#include "ingest/inbox.h"
#include "ingest/inbox_state.h"
#include "ingest/inbox_target.h"
#include "strm_privacy.h"

#define STRM_INBOX_TRANCHE "strm_privacy inboxes"

/* Inboxes of the whole server whose rows are counted. */
#define STRM_INBOX_ENTRIES 1024

/* How often a producer that waits for room looks whether the setting was changed, in milliseconds. */
#define STRM_INBOX_NAP 1000

typedef struct StrmInboxPlace
{
	Oid			database;
	Oid			relid;
} StrmInboxPlace;

typedef struct StrmInboxCount
{
	StrmInboxPlace place;		/* hash key */
	pg_atomic_uint64 pending;	/* an int64: may be off, below zero, too */
} StrmInboxCount;

/* What this transaction queued. */
typedef struct StrmInboxQueued
{
	Oid			relid;
	int64		rows;
} StrmInboxQueued;

static HTAB *inbox_counts = NULL;
static LWLock *inbox_lock = NULL;
static ConditionVariable *inbox_room = NULL;
static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

bool		strm_inbox_is_worker = false;
void		(*strm_inbox_recount) (Oid database) = NULL;

/* Of the current transaction: a list in its context, and whether there was any. */
static List *queued = NIL;
static bool queued_any = false;

static void
strm_inbox_state_request(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(add_size(hash_estimate_size(STRM_INBOX_ENTRIES, sizeof(StrmInboxCount)),
									MAXALIGN(sizeof(ConditionVariable))));
	RequestNamedLWLockTranche(STRM_INBOX_TRANCHE, 1);
}

static void
strm_inbox_state_startup(void)
{
	HASHCTL		ctl = {.keysize = sizeof(StrmInboxPlace), .entrysize = sizeof(StrmInboxCount)};
	bool		found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	inbox_lock = &GetNamedLWLockTranche(STRM_INBOX_TRANCHE)->lock;
	inbox_counts = ShmemInitHash(STRM_INBOX_TRANCHE, STRM_INBOX_ENTRIES, STRM_INBOX_ENTRIES, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	inbox_room = ShmemInitStruct(STRM_INBOX_TRANCHE " room", sizeof(ConditionVariable), &found);
	if (!found)
		ConditionVariableInit(inbox_room);
	LWLockRelease(AddinShmemInitLock);
}

/* The count of an inbox of this database, or NULL; under the lock. */
static StrmInboxCount *
strm_inbox_state_find(Oid relid)
{
	StrmInboxPlace place = {.database = MyDatabaseId, .relid = relid};

	return hash_search(inbox_counts, &place, HASH_FIND, NULL);
}

int64
strm_inbox_pending(Oid inbox)
{
	StrmInboxCount *count;
	int64		pending = -1;

	if (inbox_counts == NULL)
		return -1;
	LWLockAcquire(inbox_lock, LW_SHARED);
	count = strm_inbox_state_find(inbox);
	if (count != NULL)
		pending = Max((int64) pg_atomic_read_u64(&count->pending), 0);
	LWLockRelease(inbox_lock);
	return pending;
}

/* With the lock held exclusively: forgets inboxes in which nothing waits. They are counted again. */
static void
strm_inbox_state_make_room(void)
{
	HASH_SEQ_STATUS seq;
	StrmInboxCount *count;

	hash_seq_init(&seq, inbox_counts);
	while ((count = hash_seq_search(&seq)) != NULL)
	{
		if ((int64) pg_atomic_read_u64(&count->pending) <= 0)
			(void) hash_search(inbox_counts, &count->place, HASH_REMOVE, NULL);
	}
}

void
strm_inbox_counted(Oid inbox, int64 pending)
{
	StrmInboxPlace place = {.database = MyDatabaseId, .relid = inbox};
	StrmInboxCount *count;
	bool		found;

	if (inbox_counts == NULL)
		return;
	LWLockAcquire(inbox_lock, LW_EXCLUSIVE);
	count = hash_search(inbox_counts, &place, HASH_ENTER_NULL, &found);
	if (count == NULL)
	{
		strm_inbox_state_make_room();
		count = hash_search(inbox_counts, &place, HASH_ENTER_NULL, &found);
	}
	if (count != NULL && found)
		pg_atomic_write_u64(&count->pending, (uint64) pending);
	else if (count != NULL)
		pg_atomic_init_u64(&count->pending, (uint64) pending);
	LWLockRelease(inbox_lock);
	ConditionVariableBroadcast(inbox_room);
}

/* Adds rows, or takes them away, where they are counted. */
static void
strm_inbox_state_add(Oid inbox, int64 rows)
{
	StrmInboxCount *count;

	LWLockAcquire(inbox_lock, LW_SHARED);
	count = strm_inbox_state_find(inbox);
	if (count != NULL)
		pg_atomic_fetch_add_u64(&count->pending, rows);
	LWLockRelease(inbox_lock);
}

void
strm_inbox_moved(Oid inbox, int64 rows)
{
	if (inbox_counts == NULL)
		return;
	strm_inbox_state_add(inbox, -rows);
	ConditionVariableBroadcast(inbox_room);
}

static bool
strm_inbox_state_full(Oid inbox)
{
	return strm_inbox_max_rows > 0 && strm_inbox_pending(inbox) >= strm_inbox_max_rows;
}

/* Asks for another count, once in a while: rows may have been deleted, or counted though they were rolled back. */
static void
strm_inbox_state_ask(void)
{
	static TimestampTz asked = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (strm_inbox_recount == NULL || !TimestampDifferenceExceeds(asked, now, STRM_INBOX_NAP / 2))
		return;
	asked = now;
	strm_inbox_recount(MyDatabaseId);
}

void
strm_inbox_state_admit(Oid inbox)
{
	if (inbox_counts == NULL || strm_inbox_is_worker || !strm_inbox_state_full(inbox))
		return;
	strm_inbox_state_ask();
	if (strm_inbox_full == STRM_INBOX_FULL_ERROR)
		ereport(ERROR,
				errcode(STRM_ERR_LIMIT),
				errmsg("inbox \"%s\" is full", get_rel_name(inbox)),
				errdetail("It has %d rows or more that are not in the stream yet.", strm_inbox_max_rows),
				errhint("Try again later. strm.streams tells how many rows wait, and how many were set aside; see also strm_privacy.inbox_max_rows and strm_privacy.ingest_workers."));

	ConditionVariablePrepareToSleep(inbox_room);
	while (strm_inbox_state_full(inbox))
	{
		if (ConditionVariableTimedSleep(inbox_room, STRM_INBOX_NAP, PG_WAIT_EXTENSION))
			strm_inbox_state_ask();
	}
	ConditionVariableCancelSleep();
}

void
strm_inbox_state_queued(Oid inbox, int64 rows)
{
	StrmInboxQueued *entry;
	MemoryContext old;
	ListCell   *lc;

	queued_any = true;
	foreach(lc, queued)
	{
		entry = lfirst(lc);
		if (entry->relid == inbox)
		{
			entry->rows += rows;
			return;
		}
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	entry = palloc(sizeof(StrmInboxQueued));
	entry->relid = inbox;
	entry->rows = rows;
	queued = lappend(queued, entry);
	MemoryContextSwitchTo(old);
}

bool
strm_inbox_take(void)
{
	bool		result = queued_any;

	queued_any = false;
	return result;
}

/* What was queued counts when it is committed. The list goes with the transaction. */
static void
strm_inbox_state_transaction_ended(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && inbox_counts != NULL)
	{
		foreach(lc, queued)
		{
			StrmInboxQueued *entry = lfirst(lc);

			strm_inbox_state_add(entry->relid, entry->rows);
		}
	}
	queued = NIL;
}

void
strm_inbox_init(void)
{
	strm_inbox_target_init();
	RegisterXactCallback(strm_inbox_state_transaction_ended, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = strm_inbox_state_request;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = strm_inbox_state_startup;
}
