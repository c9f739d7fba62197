/*
 * decoder.c
 *	  Logical decoding in this process: committed rows of streams, in the order of their commits, out of the WAL.
 *
 *	  The decoding context is the server's. Between two WAL records its caller has control, so it may run transactions
 *	  of its own there; the server's run and end within a record. Errors end the process, which releases the slot; but
 *	  for the first one, which may have come of a database that was moved (moved_database.h).
 *
 *	  After a restart WAL is read again from the slot's restart position, but transactions that committed before the
 *	  confirmed position come no more, so what counts as read begins there.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "utils/memutils.h"

#include "compat/compat.h"
#include "export/decoder.h"
#include "export/moved_database.h"
#include "export/output_plugin.h"
#include "export/slot.h"

struct StrmDecoder
{
	MemoryContext memory;		/* all below */
	LogicalDecodingContext *context;
	StrmPlugin	plugin;
	XLogRecPtr	start;			/* confirmed position when the context was made */
	XLogRecPtr	confirmed;
	List	   *moves;			/* of the database, when decoding failed for one */
};

/* Begins at the slot's confirmed position. */
static void
strm_decoder_begin(StrmDecoder *decoder)
{
	MemoryContext caller = MemoryContextSwitchTo(decoder->memory);
	XLogReaderRoutine routine;

	Assert(!IsTransactionState());
	strm_wal_routine(&routine);
	decoder->context = CreateDecodingContext(InvalidXLogRecPtr, NIL, false, &routine, NULL, NULL, NULL);
	decoder->context->output_plugin_private = &decoder->plugin;
	MemoryContextSwitchTo(caller);
	strm_slot_unmark_process();

	decoder->start = MyReplicationSlot->data.confirmed_flush;
	decoder->confirmed = decoder->start;
	XLogBeginRead(decoder->context->reader, MyReplicationSlot->data.restart_lsn);
}

StrmDecoder *
strm_decoder_open(const char *slot, StrmDecoderWanted wanted, void *arg)
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "strm decoder", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(memory);
	StrmDecoder *decoder = palloc0(sizeof(StrmDecoder));

	strm_decoder_require();
	strm_output_plugin_prepare();
	decoder->memory = memory;
	decoder->plugin.wanted = wanted;
	decoder->plugin.arg = arg;
	decoder->plugin.spool = strm_spool_create();
	decoder->plugin.row_context = AllocSetContextCreate(memory, "strm decoded row", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(caller);

	strm_slot_acquire(slot);
	strm_decoder_begin(decoder);
	return decoder;
}

/* After an error, as it is given: begins again where the database was moved since, or raises it. */
static void
strm_decoder_recover(StrmDecoder *decoder, ErrorData *error)
{
	MemoryContext caller = MemoryContextSwitchTo(decoder->memory);

	if (decoder->moves == NIL)
		decoder->moves = strm_moves_find(MyReplicationSlot->data.restart_lsn);
	else
		decoder->moves = NIL;
	MemoryContextSwitchTo(caller);
	if (decoder->moves == NIL)
		ReThrowError(error);
	FreeErrorData(error);
	strm_decoder_restart(decoder);
}

/* Decodes the record that was read. The server ends its own transactions when it fails. */
static void
strm_decoder_process(StrmDecoder *decoder)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	strm_moves_apply(decoder->moves, decoder->context->reader);
	PG_TRY();
	{
		LogicalDecodingProcessRecord(decoder->context, decoder->context->reader);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (error != NULL)
		strm_decoder_recover(decoder, error);
}

bool
strm_decoder_read(StrmDecoder *decoder, Size bytes, int max_records)
{
	StrmSpool  *spool = decoder->plugin.spool;

	Assert(!IsTransactionState());
	if (!strm_spool_is_empty(spool))
		return true;
	strm_spool_reset(spool);
	for (int i = 0; i < max_records && strm_spool_size(spool) < bytes; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!strm_wal_next(decoder->context->reader))
			return false;
		strm_decoder_process(decoder);
	}
	return true;
}

XLogRecPtr
strm_decoder_position(StrmDecoder *decoder)
{
	return Max(decoder->context->reader->EndRecPtr, decoder->start);
}

bool
strm_decoder_next(StrmDecoder *decoder, StrmDecodedRow *row)
{
	return strm_spool_next(decoder->plugin.spool, row);
}

void
strm_decoder_unread(StrmDecoder *decoder)
{
	strm_spool_unread(decoder->plugin.spool);
}

void
strm_decoder_restart(StrmDecoder *decoder)
{
	strm_spool_reset(decoder->plugin.spool);
	FreeDecodingContext(decoder->context);
	strm_decoder_begin(decoder);
}

/* Not every minor release keeps the server's own position from going back. */
void
strm_decoder_confirm(StrmDecoder *decoder, XLogRecPtr lsn)
{
	Assert(!IsTransactionState() && lsn <= strm_decoder_position(decoder));
	if (lsn <= decoder->confirmed)
		return;
	LogicalConfirmReceivedLocation(lsn);
	decoder->confirmed = lsn;
}

XLogRecPtr
strm_decoder_confirmed(StrmDecoder *decoder)
{
	return decoder->confirmed;
}

XLogRecPtr
strm_decoder_flushed(void)
{
	return RecoveryInProgress() ? GetXLogReplayRecPtr(NULL) : GetFlushRecPtr(NULL);
}

bool
strm_decoder_may_publish(XLogRecPtr lsn)
{
	return strm_standbys_have(lsn);
}
