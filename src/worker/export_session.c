/*
 * export_session.c
 *	  What all exporters of a Kafka cluster share: the library that talks to brokers, the embedded broker, and the
 *	  replication slot.
 *
 *	  A slot that is lost, or was made once and is not there any more, takes the place of every exporter with it: these
 *	  are BROKEN until somebody rebuilds them. It is made anew for those that have no place in it yet.
 */
#include "postgres.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/secret.h"
#include "strm_privacy.h"
#include "worker/export_private.h"
#include "worker/sink_library.h"
#include "worker/worker.h"

void
strm_export_session_open(StrmExportSession *session)
{
	MemoryContext old = MemoryContextSwitchTo(session->cxt);

	session->kind = strm_sink_library();
	session->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (session->wake_fd < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create an eventfd: %m"));
	session->events = strm_create_wait_event_set(session->cxt, 3);
	AddWaitEventToSet(session->events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(session->events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(session->events, WL_SOCKET_READABLE, session->wake_fd, NULL, NULL);
	session->room = strm_create_wait_event_set(session->cxt, 1);
	AddWaitEventToSet(session->room, WL_SOCKET_READABLE, session->wake_fd, NULL, NULL);
	if (session->cluster->embedded)
	{
		session->broker = session->kind->broker_start();
		strm_export_slot_set_address(session->kind->broker_address(session->broker));
	}
	MemoryContextSwitchTo(old);
}

void
strm_export_drain_wake(StrmExportSession *session)
{
	uint64		count;

	while (read(session->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

void
strm_export_session_close(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->sink != NULL)
			session->kind->close(exporter->sink);
		exporter->sink = NULL;
		strm_secret_wipe(exporter->value.data, exporter->value.maxlen);
	}
	if (session->broker != NULL)
		session->kind->broker_stop(session->broker);
	session->broker = NULL;
}

/* --- the slot --- */

/* Exporters that had a place in a slot which is gone, or in another database's. */
static void
strm_export_break(StrmExportSession *session, const char *message, const char *hint)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->status.start_lsn == InvalidXLogRecPtr || exporter->status.state == STRM_EXPORTER_BROKEN)
			continue;
		strm_export_shut(exporter);
		strm_export_set_state(exporter, STRM_EXPORTER_BROKEN, STRM_ERR_STATE, message, hint);
	}
	strm_export_write_statuses(session);
}

/* Is there an exporter that has no place in the slot yet, and so needs one? */
static bool
strm_export_needs_slot(StrmExportSession *session)
{
	ListCell   *lc;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->status.start_lsn == InvalidXLogRecPtr && exporter->status.state != STRM_EXPORTER_BROKEN)
			return true;
	}
	return false;
}

/* Makes the slot, which may take as long as the longest transaction that runs. */
static void
strm_export_make_slot(StrmExportSession *session)
{
	ListCell   *lc;
	XLogRecPtr	consistent;

	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->status.start_lsn == InvalidXLogRecPtr && exporter->status.state == STRM_EXPORTER_CREATING)
			strm_export_set_state(exporter, STRM_EXPORTER_CREATING, 0,
								  "a replication slot is made, which waits for the transactions that run now", NULL);
	}
	strm_export_write_statuses(session);
	consistent = strm_slot_create(session->slot);
	if (!strm_worker_begin_transaction())
		proc_exit(0);
	strm_kafka_cluster_note_slot(&session->id, consistent);
	strm_worker_end_transaction();
	session->cluster->has_slot = true;
	foreach(lc, session->exporters)
	{
		StrmExportExporter *exporter = lfirst(lc);

		if (exporter->status.state == STRM_EXPORTER_CREATING)
			strm_export_set_state(exporter, STRM_EXPORTER_CREATING, 0, NULL, NULL);
	}
}

/* What is said of exporters whose slot has gone; NULL: nothing, it was never there. */
static const char *
strm_export_slot_complaint(const StrmExportSession *session, StrmSlotState state)
{
	switch (state)
	{
		case STRM_SLOT_LOST:
			return "WAL that was not published yet has been removed, and the replication slot is lost";
		case STRM_SLOT_FOREIGN:
			return psprintf("replication slot \"%s\" belongs to another database or output plugin", session->slot);
		case STRM_SLOT_MISSING:
			return psprintf("replication slot \"%s\" is not there any more", session->slot);
		case STRM_SLOT_USABLE:
			break;
	}
	return NULL;
}

bool
strm_export_session_decode(StrmExportSession *session)
{
	StrmSlotInfo info;
	MemoryContext old;

	strm_slot_read(session->slot, &info);
	if (info.state != STRM_SLOT_USABLE)
	{
		strm_export_break(session, strm_export_slot_complaint(session, info.state),
						  "strm.rebuild_kafka_exporter() publishes what was missed, from the stream itself.");
		if (info.state == STRM_SLOT_FOREIGN || !strm_export_needs_slot(session))
			return false;
		if (info.state == STRM_SLOT_LOST)
			strm_slot_drop(session->slot, true);
		strm_export_make_slot(session);
	}
	old = MemoryContextSwitchTo(session->cxt);
	session->decoder = strm_decoder_open(session->slot, strm_export_wanted, session);
	MemoryContextSwitchTo(old);
	session->floor = strm_decoder_position(session->decoder);
	return true;
}
