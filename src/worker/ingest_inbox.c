/*
 * ingest_inbox.c
 *	  What an ingest worker does for one inbox: finds rows, moves them batch by batch, sets aside what the stream
 *	  refuses, and keeps the table small.
 *
 *	  Whatever of it can reach the code of a user (a trigger, an expression) happens as the stream's owner in a
 *	  security-restricted operation. There deferred triggers, which would fire at commit with the worker's rights, are
 *	  refused by the server; constraints are made immediate. The worker is itself again before each commit.
 *
 *	  A batch that fails because of a row is done again row by row. Any other failure leaves all rows where they are.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog/cache.h"
#include "catalog/entity_log.h"
#include "common/errors.h"
#include "ingest/inbox_move.h"
#include "ingest/inbox_round.h"
#include "strm_privacy.h"
#include "worker/ingest_inbox.h"
#include "worker/worker.h"

/* ms */
#define STRM_INGEST_BACK_OFF 1000	/* after a first failure */
#define STRM_INGEST_BACK_OFF_MAX 60000

/*
 * ms that it waits for somebody's lock, while the other inboxes wait for it; and the longest back-off then, as a lock
 * is no fault and passes at any time
 */
#define STRM_INGEST_LOCK_TIMEOUT "1s"
#define STRM_INGEST_LOCK_BACK_OFF 5000

/* ms between two messages for strm.entity_log of rows that were set aside */
#define STRM_INGEST_TELL 10000

/* The inbox is vacuumed after that many rows were deleted and its pages were read that many times since. */
#define STRM_INGEST_VACUUM_ROWS 2000
#define STRM_INGEST_VACUUM_SCANS 4
/* Pages beyond which an inbox that is nearly empty is made shorter, and ms between two attempts to. */
#define STRM_INGEST_TRUNCATE_PAGES 1000
#define STRM_INGEST_TRUNCATE_PAUSE 10000

/* The two tables of a stream, in a transaction. */
typedef struct StrmIngestTables
{
	StrmStream *stream;
	Relation	table;
	Relation	inbox;
} StrmIngestTables;

/* What the look at an inbox has found, and how far its moving is. */
typedef struct StrmIngestWork
{
	bool		looked;
	StrmInboxRound round;
	int			done;
	bool		each;			/* the next batch row by row */
	int			each_until;		/* a place */
} StrmIngestWork;

/* Opens the stream first, as commands on it do. false: there is no such stream any more, or no inbox of it. */
static bool
strm_ingest_open(const pg_uuid_t *id, StrmIngestTables *tables)
{
	Oid			inbox;

	tables->stream = strm_catalog_stream(id);
	inbox = strm_inbox_of(id);
	if (tables->stream == NULL || !OidIsValid(inbox))
		return false;
	tables->table = try_table_open(tables->stream->relid, RowExclusiveLock);
	if (tables->table == NULL)
		return false;
	tables->inbox = try_table_open(inbox, RowExclusiveLock);
	/* what was waited for may have changed what is known of it */
	tables->stream = tables->inbox == NULL ? NULL : strm_catalog_stream(id);
	if (tables->stream != NULL && tables->stream->relid == RelationGetRelid(tables->table))
		return true;
	if (tables->inbox != NULL)
		table_close(tables->inbox, NoLock);
	table_close(tables->table, NoLock);
	return false;
}

static void
strm_ingest_close(StrmIngestTables *tables)
{
	table_close(tables->inbox, NoLock);
	table_close(tables->table, NoLock);
}

static void
strm_ingest_begin(void)
{
	if (!strm_worker_begin_transaction())
		proc_exit(0);
	SetConfigOption("lock_timeout", STRM_INGEST_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION);
}

/* Finds what is to be moved; the result is in cxt. */
static void
strm_ingest_look(StrmIngestInbox *inbox, const StrmIngestShare *share, MemoryContext cxt, StrmInboxRound *round)
{
	TimestampTz begun = GetCurrentTimestamp();
	StrmIngestTables tables;
	MemoryContext old;

	memset(round, 0, sizeof(StrmInboxRound));
	strm_ingest_begin();
	if (strm_ingest_open(&inbox->stream, &tables))
	{
		strlcpy(inbox->name, RelationGetRelationName(tables.inbox), NAMEDATALEN);
		old = MemoryContextSwitchTo(cxt);
		strm_inbox_round(tables.stream, tables.inbox, share->index, share->of, round);
		MemoryContextSwitchTo(old);
		strm_inbox_counted(RelationGetRelid(tables.inbox), round->rows);
		if (round->n > 0)
			strm_inbox_move_check(tables.stream);
		strm_ingest_close(&tables);
	}
	strm_worker_end_transaction();
	inbox->scanned += round->pages;
	inbox->scan_ms = TimestampDifferenceMilliseconds(begun, GetCurrentTimestamp());
}

/* One batch as the stream's owner, under whose search_path functions of the owner may rely on. */
static void
strm_ingest_move_as_owner(StrmIngestTables *tables, const StrmQueuedRow *places, int n, bool each,
						  StrmInboxMoved *moved)
{
	ConstraintsSetStmt *immediate = makeNode(ConstraintsSetStmt);
	const char *search_path = GetConfigOptionResetString("search_path");
	Oid			user;
	int			context;
	int			guc_level;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(tables->table->rd_rel->relowner,
						   SECURITY_RESTRICTED_OPERATION | SECURITY_LOCAL_USERID_CHANGE);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	AfterTriggerSetState(immediate);
	(each ? strm_inbox_move_each : strm_inbox_move) (tables->stream, tables->table, tables->inbox, places, n, moved);
	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(user, context);
}

/* A message of the stream for strm.entity_log, in a transaction of its own. What fails here ends here. */
static void
strm_ingest_tell(const StrmIngestInbox *inbox, int sqlstate, const char *message, const char *hint)
{
	MemoryContext cxt = CurrentMemoryContext;

	PG_TRY();
	{
		strm_ingest_begin();
		strm_entity_log("stream", &inbox->stream, WARNING, sqlstate, message, hint);
		strm_worker_end_transaction();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(cxt);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
}

/* Says that rows were set aside: to the server's log, and now and then to strm.entity_log. */
static void
strm_ingest_report_faults(StrmIngestInbox *inbox, const StrmInboxMoved *moved)
{
	TimestampTz now = GetCurrentTimestamp();

	ereport(LOG,
			errcode(moved->sqlstate),
			errmsg("rows of inbox \"%s\" were set aside: %d", inbox->name, moved->faults),
			errdetail_internal("%s", moved->message),
			errhint("See strm_fault in the inbox. Use strm.retry_inbox() when it is mended."),
			errhidestmt(true), errhidecontext(true));
	if (inbox->told != 0 && !TimestampDifferenceExceeds(inbox->told, now, STRM_INGEST_TELL))
		return;
	inbox->told = now;
	strm_ingest_tell(inbox, moved->sqlstate, psprintf("queued rows were set aside: %s", moved->message),
					 "See strm_fault in the inbox. Use strm.retry_inbox() when it is mended.");
}

/* One transaction: moves the next batch of the work. */
static void
strm_ingest_batch(StrmIngestInbox *inbox, StrmIngestWork *work)
{
	int			n = Min(work->round.n - work->done, STRM_INGEST_BATCH);
	MemoryContext cxt = CurrentMemoryContext;
	StrmIngestTables tables;
	StrmInboxMoved moved = {.lost = true};
	Oid			oid = InvalidOid;

	if (work->each)
		n = Min(n, work->each_until - work->done);
	strm_ingest_begin();
	if (strm_ingest_open(&inbox->stream, &tables))
	{
		strm_inbox_move_check(tables.stream);
		strm_ingest_move_as_owner(&tables, work->round.places + work->done, n, work->each, &moved);
		oid = RelationGetRelid(tables.inbox);
		if (moved.message != NULL)
			moved.message = MemoryContextStrdup(cxt, moved.message);
		strm_ingest_close(&tables);
	}
	strm_worker_end_transaction();
	MemoryContextSwitchTo(cxt);

	if (OidIsValid(oid))
		strm_inbox_moved(oid, moved.moved);
	if (moved.faults > 0)
		strm_ingest_report_faults(inbox, &moved);
	inbox->moved += moved.moved + moved.faults;
	inbox->deleted += moved.moved + moved.faults;
	work->done = moved.lost ? work->round.n : work->done + moved.taken;
	if (work->done >= work->each_until)
		work->each = false;
}

/* Leaves the inbox alone for a while, and says why, once. */
static void
strm_ingest_put_off(StrmIngestInbox *inbox, const ErrorData *edata)
{
	StrmErrorText told;

	long		longest = edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ? STRM_INGEST_LOCK_BACK_OFF
		: STRM_INGEST_BACK_OFF_MAX;

	inbox->failures++;
	inbox->next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											  Min(strm_worker_back_off_from(STRM_INGEST_BACK_OFF, inbox->failures),
												  longest));
	inbox->generation = strm_catalog_generation();
	if (inbox->sqlstate == edata->sqlerrcode)
		return;
	inbox->sqlstate = edata->sqlerrcode;
	strm_errors_describe(edata, &told);
	ereport(LOG,
			errcode(edata->sqlerrcode),
			errmsg("rows of inbox \"%s\" wait: %s", inbox->name, told.message),
			told.detail ? errdetail_internal("%s", told.detail) : 0,
			told.hint ? errhint("%s", told.hint) : 0,
			errhidestmt(true), errhidecontext(true));
	strm_ingest_tell(inbox, edata->sqlerrcode, psprintf("queued rows wait: %s", told.message), told.hint);
}

/* After an error: decides what becomes of the work. */
static void
strm_ingest_recover(StrmIngestInbox *inbox, StrmIngestWork *work, MemoryContext cxt)
{
	ErrorData  *edata;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(cxt);
	edata = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(cxt);
	RESUME_INTERRUPTS();
	if (strm_inbox_move_is_fault(edata->sqlerrcode) && work->looked && work->done < work->round.n &&
		!work->each)
	{
		work->each = true;
		work->each_until = Min(work->round.n, work->done + STRM_INGEST_BATCH);
		return;
	}
	strm_ingest_put_off(inbox, edata);
	work->done = work->round.n;
}

/* Makes dead rows' space free; quickly, as there is no index. */
static void
strm_ingest_vacuum(StrmIngestInbox *inbox, bool truncate)
{
	VacuumStmt *statement = makeNode(VacuumStmt);
	MemoryContext old;
	Oid			oid;

	strm_ingest_begin();
	oid = strm_inbox_of(&inbox->stream);
	if (OidIsValid(oid) && get_rel_name(oid) != NULL)
	{
		old = MemoryContextSwitchTo(PortalContext);
		statement->is_vacuumcmd = true;
		statement->options = list_make2(makeDefElem("skip_locked", (Node *) makeBoolean(true), -1),
										makeDefElem("truncate", (Node *) makeBoolean(truncate), -1));
		statement->rels = list_make1(makeVacuumRelation(makeRangeVar(get_namespace_name(get_rel_namespace(oid)),
																	 get_rel_name(oid), -1), oid, NIL));
		MemoryContextSwitchTo(old);
		ExecVacuum(NULL, statement, true);
	}
	else
		PopActiveSnapshot();
	CommitTransactionCommand();
	inbox->deleted = 0;
	inbox->scanned = 0;
}

/* Is it time to? A look at the table costs as much as its pages. */
static bool
strm_ingest_vacuum_is_due(const StrmIngestInbox *inbox, const StrmInboxRound *round)
{
	return inbox->deleted >= STRM_INGEST_VACUUM_ROWS &&
		inbox->scanned >= (int64) STRM_INGEST_VACUUM_SCANS * round->pages;
}

/*
 * Is it long, and nearly empty? After a backlog each look would read all of it. It may be in vain, because of rows at
 * its end, or of old transactions.
 */
static bool
strm_ingest_truncate_is_due(StrmIngestInbox *inbox, const StrmInboxRound *round)
{
	TimestampTz now = GetCurrentTimestamp();

	if (round->pages <= STRM_INGEST_TRUNCATE_PAGES || round->rows - inbox->moved >= round->pages ||
		!TimestampDifferenceExceeds(inbox->truncated, now, STRM_INGEST_TRUNCATE_PAUSE))
		return false;
	inbox->truncated = now;
	return true;
}

/* The first worker cares for the keys. */
static void
strm_ingest_rotate(StrmIngestInbox *inbox, const StrmIngestShare *share)
{
	StrmIngestTables tables;

	if (share->index != 0 || !strm_inbox_rotate_is_due(&inbox->rotation))
		return;
	strm_ingest_begin();
	if (strm_ingest_open(&inbox->stream, &tables))
	{
		strm_inbox_rotate(tables.stream, tables.inbox, &inbox->rotation, GetMemoryChunkContext(inbox));
		strm_ingest_close(&tables);
	}
	strm_worker_end_transaction();
}

/* Moves what one look finds. */
static void
strm_ingest_round(StrmIngestInbox *inbox, const StrmIngestShare *share, StrmIngestWork *work, MemoryContext cxt)
{
	bool		truncate;

	if (!work->looked)
		strm_ingest_look(inbox, share, cxt, &work->round);
	work->looked = true;
	MemoryContextSwitchTo(cxt);
	while (work->done < work->round.n && !strm_ingest_slot_leaving())
	{
		strm_worker_report("moving queued rows");
		strm_ingest_batch(inbox, work);
		CHECK_FOR_INTERRUPTS();
	}
	truncate = strm_ingest_truncate_is_due(inbox, &work->round);
	if (truncate || strm_ingest_vacuum_is_due(inbox, &work->round))
		strm_ingest_vacuum(inbox, truncate);
	strm_ingest_rotate(inbox, share);
}

void
strm_ingest_inbox(StrmIngestInbox *inbox, const StrmIngestShare *share)
{
	MemoryContext cxt = CurrentMemoryContext;
	StrmIngestWork *work = palloc0(sizeof(StrmIngestWork));
	volatile bool again;

	PortalContext = cxt;
	inbox->moved = 0;
	do
	{
		again = false;
		PG_TRY();
		{
			strm_ingest_round(inbox, share, work, cxt);
			inbox->failures = inbox->sqlstate = 0;
		}
		PG_CATCH();
		{
			strm_ingest_recover(inbox, work, cxt);
			again = work->done < work->round.n;
		}
		PG_END_TRY();
	} while (again);
	PortalContext = NULL;
}
