/*
 * export_worker.c
 *	  The worker of one Kafka cluster: reads the WAL, and publishes what it finds to the topics of its exporters.
 *
 *	  One round of its loop: definitions when they have changed, each exporter's sink, a part of the WAL into the spool
 *	  when that is empty, rows of the spool to the sinks, existing events. Nothing waits in between; when a round had
 *	  nothing to do, the process waits for a producer's commit, a broker's answer, or a while.
 *
 *	  The position that the slot confirms is the first transaction that some exporter still needs. It follows the WAL
 *	  also when nothing of it is published.
 *
 *	  Errors are put down to an exporter where they can be; others end the process, and the scheduler starts another
 *	  one. SIGINT is ignored, SIGTERM ends the process at once: a later one finds its place in the topics.
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "guc/guc.h"
#include "strm_privacy.h"
#include "worker/export_private.h"
#include "worker/worker.h"

/* Read at once; ms to wait. */
#define STRM_EXPORT_SPOOL (1024 * 1024)
#define STRM_EXPORT_RECORDS 20000
#define STRM_EXPORT_WAIT 200
#define STRM_EXPORT_WAIT_IDLE 1000
#define STRM_EXPORT_WAIT_ROOM 50
#define STRM_EXPORT_WAIT_SOON 10
#define STRM_EXPORT_WAIT_FLUSH 3
#define STRM_EXPORT_WAIT_RIPE 1
#define STRM_EXPORT_WAIT_NOTHING 10000

#define STRM_EXPORT_IDLE_ROUNDS 20	/* in a row, after which it waits longer */
#define STRM_EXPORT_OPENING 2000	/* ms that a new worker waits for its sinks before it reads */
#define STRM_EXPORT_CONFIRM 50	/* ms between two confirmations, while there is work */
#define STRM_EXPORT_LAG 1000	/* ms between two looks at the lag */
#define STRM_EXPORT_UNFLUSHED 1000	/* ms that WAL of a commit may take to be flushed */

/*
 * The process ends: sinks have threads, and records that nobody should find in memory. A server whose first process has
 * died cannot start again before this one is gone: that is no time for farewells.
 */
static void
strm_export_exit(int code, Datum arg)
{
	if (!PostmasterIsAlive())
		_exit(2);
	strm_export_session_close((StrmExportSession *) DatumGetPointer(arg));
}

/* What definitions have changed is known only inside transactions. false: the cluster is gone. */
static bool
strm_export_look(StrmExportSession *session)
{
	bool		there;

	if (!strm_worker_begin_transaction())
		proc_exit(0);
	there = strm_export_refresh(session);
	strm_worker_end_transaction();
	return there;
}

/* The cluster was dropped: its slot goes, too. */
pg_noreturn static void
strm_export_drop(StrmExportSession *session)
{
	strm_slot_drop(session->slot, true);
	proc_exit(0);
}

/* A copy of the database that publishes must not. */
pg_noreturn static void
strm_export_refuse_copy(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
		strm_export_set_state(lfirst(lc), STRM_EXPORTER_BROKEN, STRM_ERR_STATE,
							  "this database is a copy of the one where the Kafka cluster was created",
							  "strm.rebuild_kafka_exporter() makes this one publish.");
	strm_export_write_statuses(session);
	proc_exit(0);
}

/* --- where the slot may go --- */

/* First transaction that some exporter still needs. */
static XLogRecPtr
strm_export_least_hold(StrmExportSession *session)
{
	XLogRecPtr	least = session->floor;
	TimestampTz since;
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->status.state != STRM_EXPORTER_BROKEN)
			least = Min(least, strm_export_hold(exporter, &since));
	}
	foreach(lc, session->seen)
		least = Min(least, ((StrmExportSeen *) lfirst(lc))->lsn);
	return least;
}

static void
strm_export_confirm(StrmExportSession *session, TimestampTz now)
{
	if (!TimestampDifferenceExceeds(session->confirmed_at, now, STRM_EXPORT_CONFIRM))
		return;
	session->confirmed_at = now;
	strm_decoder_confirm(session->decoder, strm_export_least_hold(session));
	strm_export_slot_progress(session->floor, strm_decoder_confirmed(session->decoder));
}

/* Rather than filling the disk, exporters that are too far behind are given up, where the administrator wants that. */
static void
strm_export_limit_lag(StrmExportSession *session, TimestampTz now)
{
	uint64		limit = (uint64) strm_export_max_lag * 1024 * 1024;
	XLogRecPtr	flushed = strm_decoder_flushed();
	TimestampTz since;
	ListCell   *lc;

	if (strm_export_max_lag <= 0 || !TimestampDifferenceExceeds(session->lag_at, now, STRM_EXPORT_LAG))
		return;
	session->lag_at = now;
	if (flushed - strm_decoder_confirmed(session->decoder) <= limit)
		return;
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);
		XLogRecPtr	hold = strm_export_hold(exporter, &since);

		if (exporter->status.state == STRM_EXPORTER_BROKEN || flushed - hold <= limit)
			continue;
		/* who only waits for decoding, like all, is not the one; who keeps it from going on in a transaction is */
		if (hold >= session->floor && exporter->status.state != STRM_EXPORTER_RETRYING)
			continue;
		strm_export_shut(exporter);
		strm_export_set_state(exporter, STRM_EXPORTER_BROKEN, STRM_ERR_LIMIT,
							  "it was further behind than strm_privacy.export_max_lag allows",
							  "strm.rebuild_kafka_exporter() publishes what was missed, from the stream itself.");
	}
}

/* --- the loop --- */

/* Can some exporter go on that could not? Then decoding goes back. */
static void
strm_export_go_back(StrmExportSession *session)
{
	bool		back = false;
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		back |= exporter->blocked != InvalidXLogRecPtr && strm_export_able(exporter);
	}
	if (!back)
		return;
	strm_decoder_confirm(session->decoder, strm_export_least_hold(session));
	strm_decoder_restart(session->decoder);
	session->floor = strm_decoder_position(session->decoder);
	session->spooled = false;
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (strm_export_able(exporter))
			exporter->blocked = InvalidXLogRecPtr;
	}
}

/* Has the worker just begun, and its sinks are about to be open? Reading earlier would be in vain. */
static bool
strm_export_is_early(StrmExportSession *session, TimestampTz now)
{
	ListCell   *lc;

	if (TimestampDifferenceExceeds(session->started, now, STRM_EXPORT_OPENING))
		return false;
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->sink != NULL && !exporter->ready && session->kind->error(exporter->sink) == NULL)
			return true;
	}
	return false;
}

/* Reads WAL when there is nothing to deliver. */
static void
strm_export_read(StrmExportSession *session)
{
	StrmDecodedRow row;

	if (session->spooled)
		return;
	session->more = strm_decoder_read(session->decoder, STRM_EXPORT_SPOOL, STRM_EXPORT_RECORDS);
	session->spooled = strm_decoder_next(session->decoder, &row);
	if (session->spooled)
		strm_decoder_unread(session->decoder);
	else
		session->floor = strm_decoder_position(session->decoder);
}

/* How long (ms) to wait when nothing can be done at once. */
static long
strm_export_pause(StrmExportSession *session)
{
	ListCell   *lc;

	if (strm_decoder_position(session->decoder) < session->target)
	{
		/* a commit that woke us is not in flushed WAL yet */
		if (!TimestampDifferenceExceeds(session->target_since, GetCurrentTimestamp(), STRM_EXPORT_UNFLUSHED))
			return STRM_EXPORT_WAIT_FLUSH;
		session->target = InvalidXLogRecPtr;
	}
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->committing || exporter->settling != NULL || strm_export_start(exporter) == InvalidXLogRecPtr)
			return STRM_EXPORT_WAIT_SOON;
		if (exporter->sink != NULL && (!exporter->ready || strm_progress_outstanding(exporter->progress) > 0))
			return STRM_EXPORT_WAIT;
	}
	return session->idle < STRM_EXPORT_IDLE_ROUNDS ? STRM_EXPORT_WAIT : STRM_EXPORT_WAIT_IDLE;
}

/* One round. Returns how long (ms) to wait for something to happen, 0: not at all. */
static long
strm_export_round(StrmExportSession *session)
{
	TimestampTz now = session->now = GetCurrentTimestamp();
	StrmExportOutcome outcome = STRM_EXPORT_EMPTY;
	bool		more;
	ListCell   *lc;

	foreach(lc, session->exporters)
		strm_export_step(lfirst(lc), now);
	strm_export_write_statuses(session);
	if (strm_export_is_early(session, now))
		return STRM_EXPORT_WAIT_ROOM;
	strm_export_go_back(session);
	strm_export_read(session);
	if (session->spooled)
		outcome = strm_export_deliver(session);
	if (outcome == STRM_EXPORT_EMPTY)
		strm_export_take_up(session);
	more = strm_export_existing(session);
	strm_export_commit(session, outcome != STRM_EXPORT_MORE && !more && !session->more);
	strm_export_write_statuses(session);
	strm_export_confirm(session, now);
	strm_export_limit_lag(session, now);
	strm_export_checkpoint(session, now);
	strm_export_show(session);
	session->stalled = outcome == STRM_EXPORT_STALLED ? session->stalled + 1 : 0;
	if (outcome == STRM_EXPORT_STALLED)
		return session->stalled < STRM_EXPORT_IDLE_ROUNDS ? STRM_EXPORT_WAIT_ROOM : STRM_EXPORT_WAIT;
	session->unripe = outcome == STRM_EXPORT_UNRIPE ? session->unripe + 1 : 0;
	if (outcome == STRM_EXPORT_UNRIPE)
		return session->unripe < STRM_EXPORT_IDLE_ROUNDS ? STRM_EXPORT_WAIT_RIPE : STRM_EXPORT_WAIT_ROOM;
	if (outcome == STRM_EXPORT_MORE || more || session->more || session->again || session->seen != NIL)
		return 0;
	return strm_export_pause(session);
}

/* Waits for a commit, a broker's answer, the end of the server, or so many milliseconds; serves interrupts. */
static void
strm_export_wait(StrmExportSession *session, long ms)
{
	WaitEvent	events[2];
	int			n = WaitEventSetWait(session->events, ms, events, lengthof(events), PG_WAIT_EXTENSION);

	session->idle = n == 0 ? session->idle + 1 : 0;
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			session->target = GetXLogInsertRecPtr();
			session->target_since = GetCurrentTimestamp();
		}
		else
			strm_export_drain_wake(session);
	}
}

/* Signals, and what others ask for. */
static void
strm_export_interrupts(StrmExportSession *session)
{
	/* without a message: that a server which is being shut down ends its workers is nothing to report */
	if (ProcDiePending)
		proc_exit(1);
	if (!PostmasterIsAlive())
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (strm_export_slot_leaving())
		proc_exit(0);
}

static void
strm_export_loop(StrmExportSession *session)
{
	for (;;)
	{
		long		ms = STRM_EXPORT_WAIT_NOTHING;

		strm_export_interrupts(session);
		MemoryContextReset(session->scratch);
		MemoryContextSwitchTo(session->scratch);
		if (!session->spooled && !strm_export_look(session))
			strm_export_drop(session);
		if (!session->cluster->ours)
			strm_export_refuse_copy(session);
		/* the embedded broker comes and goes with the process */
		if (session->cluster->embedded != (session->broker != NULL))
			proc_exit(0);
		if (session->decoder != NULL || strm_export_session_decode(session))
			ms = strm_export_round(session);
		else
			strm_export_show(session);
		if (ms > 0)
			strm_export_wait(session, ms);
	}
}

void
strm_worker_export_main(Datum main_arg)
{
	StrmSlotRef slot = strm_worker_slot(main_arg);
	StrmExportSession *session;
	MemoryContext cxt;

	strm_worker_begin();
	pqsignal(SIGINT, SIG_IGN);
	cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy Kafka worker", ALLOCSET_DEFAULT_SIZES);
	session = MemoryContextAllocZero(cxt, sizeof(StrmExportSession));
	session->cxt = cxt;
	session->scratch = AllocSetContextCreate(cxt, "strm_privacy Kafka worker's round", ALLOCSET_DEFAULT_SIZES);
	session->started = GetCurrentTimestamp();
	if (!strm_export_slot_attach(&slot, &session->id, &session->database))
		proc_exit(0);
	strm_worker_connect(session->database, STRM_WORKER_EXPORT);
	/* what this process writes is not what other servers must have before it goes on */
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION);

	session->slot = MemoryContextStrdup(cxt, strm_kafka_slot_name(&session->id));
	if (!strm_export_look(session))
		strm_export_drop(session);
	if (!session->cluster->ours)
		strm_export_refuse_copy(session);
	before_shmem_exit(strm_export_exit, PointerGetDatum(session));
	strm_export_session_open(session);
	strm_worker_report(psprintf("publishing to Kafka cluster \"%s\"", session->cluster->name));
	strm_export_loop(session);
}
