/*
 * launcher.c
 *	  The launcher: one process of the server that keeps a scheduler running in each database that has the extension.
 *
 *	  It is connected to no database and reads only pg_database. Whether a database has the extension only a process
 *	  inside can see, so a scheduler is started in each database that is not known yet; it ends at once where there is
 *	  none, and that is remembered until a session says otherwise (CREATE EXTENSION does, when it commits). So after a
 *	  start of the server each database is looked into once, a few at a time, and then no more.
 *
 *	  What it knows lives in its own memory; should the launcher itself be replaced, the new one finds the running
 *	  schedulers in shared memory.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/worker.h"

/* ms */
#define STRM_LIST_DATABASES 60000
#define STRM_RETRY_BUSY 1000	/* a database that a command has locked */
#define STRM_RETRY_NO_ROOM 10000
#define STRM_START_TIMEOUT 60000
#define STRM_LIVED_LONG 60000	/* a scheduler that fails later than this begins anew with the back-off */

#define STRM_STARTS_AT_ONCE 3

/* datconnlimit of a database whose DROP was interrupted */
#define STRM_DATABASE_INVALID (-2)

typedef struct StrmLauncherDatabase
{
	Oid			database;		/* hash key */
	bool		listed;			/* still there */
	bool		absent;			/* has no extension */
	bool		running;		/* has a scheduler, or one that is starting */
	int			failures;		/* in a row */
	TimestampTz next;			/* when to start a scheduler */
	StrmSlotRef slot;
	BackgroundWorkerHandle *handle; /* for that slot, until the server knows that the worker is gone; else NULL */
} StrmLauncherDatabase;

typedef struct StrmLauncher
{
	HTAB	   *databases;
	bool		no_room;		/* it was reported that no more workers can be started */
} StrmLauncher;

static StrmLauncherDatabase *
strm_launcher_database(StrmLauncher *launcher, Oid oid)
{
	bool		found;
	StrmLauncherDatabase *database = hash_search(launcher->databases, &oid, HASH_ENTER, &found);

	if (!found)
	{
		memset(database, 0, sizeof(StrmLauncherDatabase));
		database->database = oid;
	}
	return database;
}

/* Reads pg_database: databases that one can connect to are known from then on, others forgotten. */
static void
strm_launcher_list(StrmLauncher *launcher)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	HASH_SEQ_STATUS all;
	StrmLauncherDatabase *database;

	hash_seq_init(&all, launcher->databases);
	while ((database = hash_seq_search(&all)) != NULL)
		database->listed = false;

	StartTransactionCommand();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (form->datallowconn && form->datconnlimit != STRM_DATABASE_INVALID)
			strm_launcher_database(launcher, form->oid)->listed = true;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();

	hash_seq_init(&all, launcher->databases);
	while ((database = hash_seq_search(&all)) != NULL)
	{
		if (!database->listed && !database->running && database->handle == NULL)
			(void) hash_search(launcher->databases, &database->database, HASH_REMOVE, NULL);
	}
}

/* Schedulers that a previous launcher started. */
static void
strm_launcher_adopt(StrmLauncher *launcher)
{
	StrmSchedulerInfo *schedulers;
	int			n = strm_state_schedulers(&schedulers);

	for (int i = 0; i < n; i++)
	{
		StrmLauncherDatabase *database = strm_launcher_database(launcher, schedulers[i].database);

		database->running = true;
	}
	if (schedulers != NULL)
		pfree(schedulers);
}

/* Learns from schedulers that have ended. */
static void
strm_launcher_reap(StrmLauncher *launcher)
{
	Oid			oid;
	TimestampTz since;
	StrmSchedulerOutcome outcome;

	while (strm_state_scheduler_reap(&oid, &since, &outcome))
	{
		StrmLauncherDatabase *database = strm_launcher_database(launcher, oid);
		TimestampTz now = GetCurrentTimestamp();

		database->running = false;
		database->absent = outcome == STRM_SCHEDULER_ABSENT;
		database->next = now;
		if (outcome != STRM_SCHEDULER_FAILED)
			database->failures = 0;
		else
		{
			database->failures = TimestampDifferenceExceeds(since, now, STRM_LIVED_LONG) ? 1 : database->failures + 1;
			database->next = TimestampTzPlusMilliseconds(now, strm_worker_back_off(database->failures));
		}
	}
}

/* Learns from the server which workers are gone, and gives up on schedulers that did not come to themselves. */
static void
strm_launcher_watch(StrmLauncher *launcher)
{
	TimestampTz now = GetCurrentTimestamp();
	StrmLauncherDatabase *database;
	HASH_SEQ_STATUS all;
	StrmSchedulerInfo *schedulers;
	int			n;

	hash_seq_init(&all, launcher->databases);
	while ((database = hash_seq_search(&all)) != NULL)
	{
		pid_t		pid;

		if (database->handle == NULL || GetBackgroundWorkerPid(database->handle, &pid) != BGWH_STOPPED)
			continue;
		strm_state_scheduler_abandon(&database->slot);
		pfree(database->handle);
		database->handle = NULL;
	}

	n = strm_state_schedulers(&schedulers);
	for (int i = 0; i < n; i++)
	{
		if (schedulers[i].pid == 0 && TimestampDifferenceExceeds(schedulers[i].since, now, STRM_START_TIMEOUT))
			strm_state_scheduler_abandon(&schedulers[i].slot);
	}
	if (schedulers != NULL)
		pfree(schedulers);
}

/*
 * Number of schedulers that are being started, or have ended and still take one of the server's background workers: it
 * tells when they do not any more.
 */
static int
strm_launcher_starting(StrmLauncher *launcher)
{
	StrmSchedulerInfo *schedulers;
	int			n = strm_state_schedulers(&schedulers);
	int			starting = 0;
	HASH_SEQ_STATUS all;
	StrmLauncherDatabase *database;

	for (int i = 0; i < n; i++)
		starting += schedulers[i].connected ? 0 : 1;
	if (schedulers != NULL)
		pfree(schedulers);

	hash_seq_init(&all, launcher->databases);
	while ((database = hash_seq_search(&all)) != NULL)
		starting += database->handle != NULL && !database->running ? 1 : 0;
	return starting;
}

/*
 * Can one connect to the database now? Not while a command holds it: a worker would wait for that with a slot of the
 * server taken, and fail when the database is gone.
 */
static bool
strm_launcher_connectable(Oid database)
{
	LOCKTAG		tag;
	bool		connectable;

	StartTransactionCommand();
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	connectable = LockAcquire(&tag, RowExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return connectable;
}

/* Says once that the server has no room for another worker, until it has. */
static void
strm_launcher_report_room(StrmLauncher *launcher, bool room)
{
	if (!room && !launcher->no_room)
		ereport(WARNING,
				errcode(STRM_ERR_WORKERS),
				errmsg("strm_privacy cannot start a background worker"),
				errdetail("All background workers that the server may have are in use."),
				errhint("Raise max_worker_processes: each database with the extension takes one, and so do each batch job and Kafka cluster, and workers of inboxes and batch exporters."));
	launcher->no_room = !room;
}

/* Returns false when there is no room for another worker. */
static bool
strm_launcher_start(StrmLauncherDatabase *database, TimestampTz now)
{
	if (!strm_launcher_connectable(database->database))
	{
		database->next = TimestampTzPlusMilliseconds(now, STRM_RETRY_BUSY);
		return true;
	}
	if (!strm_state_scheduler_reserve(database->database, &database->slot))
		return false;
	if (!strm_worker_start(STRM_WORKER_SCHEDULER, "strm_worker_scheduler_main", &database->slot, &database->handle))
	{
		strm_state_scheduler_unreserve(&database->slot);
		database->handle = NULL;
		return false;
	}
	database->running = true;
	return true;
}

/* Databases where a scheduler should be started now. *wait: milliseconds until there will be another one, if less. */
static List *
strm_launcher_due(StrmLauncher *launcher, TimestampTz now, long *wait)
{
	List	   *due = NIL;
	HASH_SEQ_STATUS all;
	StrmLauncherDatabase *database;

	hash_seq_init(&all, launcher->databases);
	while ((database = hash_seq_search(&all)) != NULL)
	{
		if (!database->listed || database->absent || database->running || database->handle != NULL)
			continue;
		if (database->next <= now)
			due = lappend(due, database);
		else
			*wait = Min(*wait, TimestampDifferenceMilliseconds(now, database->next));
	}
	return due;
}

/*
 * Starts what is due, a few at a time. Returns the number of milliseconds after which something will be; the end of a
 * scheduler sets the latch. (Transactions end scans of hash tables: hence the list.)
 */
static long
strm_launcher_start_due(StrmLauncher *launcher)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait = STRM_LIST_DATABASES;
	List	   *due = strm_launcher_due(launcher, now, &wait);
	int			starting = strm_launcher_starting(launcher);
	bool		room = true;
	ListCell   *lc;

	foreach(lc, due)
	{
		StrmLauncherDatabase *database = lfirst(lc);

		if (starting >= STRM_STARTS_AT_ONCE || !room)
			break;
		room = strm_launcher_start(database, now);
		starting += database->running ? 1 : 0;
	}
	if (due != NIL)
		strm_launcher_report_room(launcher, room);
	if (!room)
		wait = Min(wait, STRM_RETRY_NO_ROOM);
	else if (due != NIL || starting > 0)
		wait = Min(wait, STRM_RETRY_BUSY);
	list_free(due);
	return Max(wait, 1);
}

/* Databases that a session wants looked at. */
static void
strm_launcher_take_wanted(StrmLauncher *launcher)
{
	bool		everything;
	List	   *wanted = strm_state_take_wanted(&everything);
	HASH_SEQ_STATUS all;
	StrmLauncherDatabase *database;

	hash_seq_init(&all, launcher->databases);
	while ((database = hash_seq_search(&all)) != NULL)
	{
		if (!everything && !list_member_oid(wanted, database->database))
			continue;
		database->absent = false;
		database->failures = 0;
		database->next = 0;
	}
	list_free(wanted);
}

void
strm_worker_launcher_main(Datum main_arg)
{
	StrmLauncher launcher = {0};
	HASHCTL		control = {0};
	bool		first = true;

	strm_worker_begin();
	strm_state_launcher_attach();
	strm_worker_connect(InvalidOid, STRM_WORKER_LAUNCHER);

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(StrmLauncherDatabase);
	control.hcxt = TopMemoryContext;
	launcher.databases = hash_create("strm_privacy databases", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	for (;;)
	{
		MemoryContextSwitchTo(TopMemoryContext);
		/* what ended comes first: a session may want a database looked at that was found without the extension */
		strm_launcher_watch(&launcher);
		strm_launcher_reap(&launcher);
		strm_launcher_list(&launcher);
		if (first)
			strm_launcher_adopt(&launcher);
		first = false;
		strm_launcher_take_wanted(&launcher);
		strm_worker_wait(strm_launcher_start_due(&launcher));
	}
}
