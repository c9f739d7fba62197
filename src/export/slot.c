/*
 * slot.c
 *	  Replication slots of this library's output plugin: what is known of them, how they come and go.
 *
 *	  A slot is made as an ephemeral one, which goes away with the process that makes it and does not survive a crash,
 *	  and becomes persistent at its consistent point. Where standbys can take slots over, they are to.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/spin.h"

#include "common/errors.h"
#include "compat/compat.h"
#include "export/decoder.h"
#include "export/output_plugin.h"
#include "export/slot.h"
#include "export/wal_reader.h"

/* ms between two looks for WAL, or at who holds a slot */
#define STRM_SLOT_POLL 20

void
strm_decoder_require(void)
{
	StrmFaults	faults;

	strm_faults_init(&faults);
	if (RecoveryInProgress())
		strm_faults_add(&faults, "This server is in recovery.");
	if (wal_level < WAL_LEVEL_LOGICAL)
		strm_faults_add(&faults, "wal_level is not \"logical\".");
	if (max_replication_slots == 0)
		strm_faults_add(&faults, "max_replication_slots is 0.");
	strm_faults_raise(&faults, STRM_ERR_STATE, "this server cannot decode its WAL, which publishing needs",
					  "Set wal_level = logical, and max_replication_slots to at least one for each Kafka cluster and one for each database with batch exporters, and "
					  "restart the server; of a standby, publish from its primary.");
}

/* What a slot's WAL is, in the words of pg_replication_slots; NULL: it needs none. */
static const char *
strm_slot_wal_status(const ReplicationSlotPersistentData *data, int active_pid)
{
	if (strm_slot_is_invalidated(data))
		return "lost";
	switch (GetWALAvailability(data->restart_lsn))
	{
		case WALAVAIL_RESERVED:
			return "reserved";
		case WALAVAIL_EXTENDED:
			return "extended";
		case WALAVAIL_UNRESERVED:
			return "unreserved";
		case WALAVAIL_REMOVED:
			/* who holds it may have moved it on meanwhile, or is about to be told */
			return active_pid != 0 ? "unreserved" : "lost";
		case WALAVAIL_INVALID_LSN:
			break;
	}
	return NULL;
}

/* Bytes of WAL that can still be written before the slot may be lost. */
static int64
strm_slot_safe_wal_size(XLogRecPtr restart)
{
	XLogSegNo	segment;
	uint64		keep;
	XLogRecPtr	end;

	if (max_slot_wal_keep_size_mb < 0 || XLogRecPtrIsInvalid(restart))
		return -1;
	XLByteToSeg(restart, segment, wal_segment_size);
	keep = Max(XLogMBVarToSegs(max_slot_wal_keep_size_mb, wal_segment_size),
			   XLogMBVarToSegs(wal_keep_size_mb, wal_segment_size));
	XLogSegNoOffsetToRecPtr(segment + keep + 1, 0, wal_segment_size, end);
	return Max((int64) (end - GetXLogWriteRecPtr()), 0);
}

void
strm_slot_read(const char *name, StrmSlotInfo *info)
{
	ReplicationSlotPersistentData data;
	ReplicationSlot *slot;

	*info = (StrmSlotInfo) {.state = STRM_SLOT_MISSING, .safe_wal_size = -1};
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		data = slot->data;
		info->active_pid = slot->active_pid;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	/* one that is being made, or taken over from another server, is none yet */
	if (slot == NULL || data.persistency != RS_PERSISTENT)
		return;

	info->confirmed = data.confirmed_flush;
	info->restart = data.restart_lsn;
	info->wal_status = strm_slot_wal_status(&data, info->active_pid);
	if (data.database != MyDatabaseId || strcmp(NameStr(data.plugin), STRM_OUTPUT_PLUGIN) != 0)
		info->state = STRM_SLOT_FOREIGN;
	else if (info->wal_status != NULL && strcmp(info->wal_status, "lost") == 0)
		info->state = STRM_SLOT_LOST;
	else
		info->state = STRM_SLOT_USABLE;
	info->safe_wal_size = info->state == STRM_SLOT_LOST ? 0 : strm_slot_safe_wal_size(data.restart_lsn);
}

void
strm_slot_unmark_process(void)
{
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	MyProc->statusFlags &= ~PROC_IN_LOGICAL_DECODING;
	ProcGlobal->statusFlags[MyProc->pgxactoff] = MyProc->statusFlags;
	LWLockRelease(ProcArrayLock);
}

/* Waits until the process is woken, or for a moment. */
static void
strm_slot_wait(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STRM_SLOT_POLL, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Reads WAL until the slot of this process is consistent, and sets its confirmed position there. */
static XLogRecPtr
strm_slot_find_start(LogicalDecodingContext *context)
{
	ReplicationSlot *slot = MyReplicationSlot;

	XLogBeginRead(context->reader, slot->data.restart_lsn);
	while (!DecodingContextReady(context))
	{
		CHECK_FOR_INTERRUPTS();
		if (strm_wal_next(context->reader))
			LogicalDecodingProcessRecord(context, context->reader);
		else
			strm_slot_wait();
	}
	SpinLockAcquire(&slot->mutex);
	slot->data.confirmed_flush = context->reader->EndRecPtr;
	SpinLockRelease(&slot->mutex);
	return context->reader->EndRecPtr;
}

/* The transaction has no snapshot; it is there for the locks that wait for other transactions. */
XLogRecPtr
strm_slot_create(const char *name)
{
	XLogReaderRoutine routine;
	LogicalDecodingContext *context;
	XLogRecPtr	start;

	Assert(!IsTransactionState());
	strm_decoder_require();
	strm_output_plugin_prepare();
	strm_wal_routine(&routine);

	StartTransactionCommand();
	strm_replication_slot_create(name);
	context = CreateInitDecodingContext(STRM_OUTPUT_PLUGIN, NIL, false, InvalidXLogRecPtr, &routine, NULL, NULL, NULL);
	start = strm_slot_find_start(context);
	FreeDecodingContext(context);
	ReplicationSlotPersist();
	ReplicationSlotRelease();
	CommitTransactionCommand();
	return start;
}

void
strm_slot_acquire(const char *name)
{
	StrmSlotInfo info;

	strm_slot_read(name, &info);
	if (info.state == STRM_SLOT_MISSING)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("replication slot \"%s\" does not exist", name),
				errhint(STRM_WAL_LOST_HINT));
	if (info.state == STRM_SLOT_FOREIGN)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("replication slot \"%s\" belongs to another database or output plugin", name));
	if (info.state == STRM_SLOT_USABLE)
		strm_replication_slot_acquire(name);
	/* it may also have been lost while this process waited for it */
	if (info.state == STRM_SLOT_LOST || strm_slot_is_invalidated(&MyReplicationSlot->data))
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("replication slot \"%s\" is lost", name),
				errdetail("The server has removed WAL, or rows of its catalog, that the slot needs."),
				errhint(STRM_WAL_LOST_HINT));
}

void
strm_slot_drop(const char *name, bool wait)
{
	StrmSlotInfo info;

	if (MyReplicationSlot != NULL && strcmp(NameStr(MyReplicationSlot->data.name), name) == 0)
		ReplicationSlotRelease();
	for (;;)
	{
		strm_slot_read(name, &info);
		if (info.state == STRM_SLOT_MISSING || info.state == STRM_SLOT_FOREIGN)
			return;
		if (info.active_pid == 0 || !wait)
			break;
		strm_slot_wait();
	}
	ReplicationSlotDrop(name, true);
}
