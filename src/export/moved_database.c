/*
 * moved_database.c
 *	  Decoding WAL of before the database was moved to another tablespace.
 *
 *	  Tables with a tablespace of their own keep it: the server moves a database only to one where none of its tables
 *	  is. Positions in records' data that name a file, too, are those of catalog changes (xl_heap_new_cid).
 */
#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/rmgr.h"
#include "access/xlog.h"
#include "commands/dbcommands_xlog.h"
#include "miscadmin.h"

#include "common/errors.h"
#include "compat/compat.h"
#include "export/moved_database.h"
#include "export/wal_reader.h"

typedef struct StrmMove
{
	XLogRecPtr	lsn;			/* of its record: what lies before is of the old tablespace */
	Oid			before;
	Oid			after;
} StrmMove;

/* The move that a record is of, or NULL. */
static StrmMove *
strm_moves_read(XLogReaderState *reader)
{
	xl_dbase_create_file_copy_rec *data;
	StrmMove   *move;

	if (XLogRecGetRmid(reader) != RM_DBASE_ID ||
		(XLogRecGetInfo(reader) & ~XLR_INFO_MASK) != XLOG_DBASE_CREATE_FILE_COPY)
		return NULL;
	data = (xl_dbase_create_file_copy_rec *) XLogRecGetData(reader);
	if (data->db_id != MyDatabaseId || data->src_db_id != MyDatabaseId)
		return NULL;
	move = palloc(sizeof(StrmMove));
	move->lsn = reader->ReadRecPtr;
	move->before = data->src_tablespace_id;
	move->after = data->tablespace_id;
	return move;
}

List *
strm_moves_find(XLogRecPtr start)
{
	List	   *moves = NIL;
	XLogReaderRoutine routine;
	XLogReaderState *reader;

	strm_wal_routine(&routine);
	reader = XLogReaderAllocate(wal_segment_size, NULL, &routine, NULL);
	if (reader == NULL)
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	XLogBeginRead(reader, start);
	while (strm_wal_next(reader))
	{
		StrmMove   *move = strm_moves_read(reader);

		if (move != NULL)
			moves = lappend(moves, move);
		CHECK_FOR_INTERRUPTS();
	}
	XLogReaderFree(reader);
	return moves;
}

/* What a file's tablespace at that position is called now. */
static void
strm_moves_follow(List *moves, XLogRecPtr lsn, StrmFileLocator *file)
{
	ListCell   *lc;

	foreach(lc, moves)
	{
		const StrmMove *move = lfirst(lc);

		if (move->lsn > lsn && file->strm_database == MyDatabaseId && file->strm_tablespace == move->before)
			file->strm_tablespace = move->after;
	}
}

void
strm_moves_apply(List *moves, XLogReaderState *reader)
{
	DecodedXLogRecord *record = reader->record;

	if (moves == NIL || ((StrmMove *) llast(moves))->lsn <= reader->ReadRecPtr)
		return;
	for (int i = 0; i <= record->max_block_id; i++)
	{
		if (record->blocks[i].in_use)
			strm_moves_follow(moves, reader->ReadRecPtr, &record->blocks[i].strm_locator);
	}
	if (XLogRecGetRmid(reader) == RM_HEAP2_ID &&
		(XLogRecGetInfo(reader) & XLOG_HEAP_OPMASK) == XLOG_HEAP2_NEW_CID)
		strm_moves_follow(moves, reader->ReadRecPtr, &((xl_heap_new_cid *) XLogRecGetData(reader))->strm_target);
}
