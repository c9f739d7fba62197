/*
 * wal_reader.c
 *	  Reads the WAL of this server for decoding: all that is flushed, without waiting for more.
 *
 *	  The server's own functions sleep in a loop until there is WAL, or cannot serve a decoding context. Here a page
 *	  that is not flushed far enough ends the attempt to read a record, which begins again at the next call: so also for
 *	  a record of which only a part is flushed. Records on older timelines (of before a promotion) are read from
 *	  whichever file has them. This is for servers that are not in recovery.
 */
#include "postgres.h"

#include <fcntl.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogutils.h"
#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "export/wal_reader.h"

static void
strm_wal_report_lost(XLogSegNo segment, TimeLineID timeline)
{
	char		name[MAXFNAMELEN];

	XLogFileName(name, timeline, segment, wal_segment_size);
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("WAL that is still to be published was removed"),
			errdetail("File %s is missing.", name),
			errhint(STRM_WAL_LOST_HINT));
}

/* Opens a segment, in reader->seg.ws_file. */
static void
strm_wal_open(XLogReaderState *reader, XLogSegNo segment, TimeLineID *timeline)
{
	char		path[MAXPGPATH];

	XLogFilePath(path, *timeline, segment, wal_segment_size);
	reader->seg.ws_file = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	if (reader->seg.ws_file >= 0)
		return;
	if (errno == ENOENT)
		strm_wal_report_lost(segment, *timeline);
	ereport(ERROR, errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path));
}

/*
 * Reads a page as far as it is flushed; returns the number of bytes, or -1 when that is less than size. The segment may
 * be recycled while it is read, so whether it was still there is asked afterwards.
 */
static int
strm_wal_read_page(XLogReaderState *reader, XLogRecPtr page, int size, XLogRecPtr record, char *buffer)
{
	TimeLineID	present;
	XLogRecPtr	flushed = GetFlushRecPtr(&present);
	XLogSegNo	segment;
	WALReadError error;
	int			count;

	if (page + size > flushed)
		return -1;
	count = (int) Min(flushed - page, XLOG_BLCKSZ);
	/* of an older timeline, whole segments are read from the newest timeline that has them */
	XLogReadDetermineTimeline(reader, page, size, present);
	if (!WALRead(reader, buffer, page, count, reader->currTLI, &error))
		WALReadRaiseError(&error);
	XLByteToSeg(page, segment, wal_segment_size);
	if (segment <= XLogGetLastRemovedSegno())
		strm_wal_report_lost(segment, reader->seg.ws_tli);
	return count;
}

void
strm_wal_routine(XLogReaderRoutine *routine)
{
	*routine = (XLogReaderRoutine) {
		.page_read = strm_wal_read_page,
		.segment_open = strm_wal_open,
		.segment_close = wal_segment_close,
	};
}

bool
strm_wal_is_ours(const XLogReaderState *reader)
{
	return reader->routine.page_read == strm_wal_read_page;
}

/* What the reader keeps (its buffer, and records that are too long for it) has to live as long as it does. */
bool
strm_wal_next(XLogReaderState *reader)
{
	MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(reader));
	char	   *error = NULL;
	bool		found = XLogReadRecord(reader, &error) != NULL;

	MemoryContextSwitchTo(caller);
	if (found)
		return true;
	if (error != NULL)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("could not read WAL at %X/%X: %s", LSN_FORMAT_ARGS(reader->EndRecPtr), error));
	return false;
}

TimeLineID
strm_wal_timeline(StrmTimeline *timeline, XLogRecPtr lsn)
{
	List	   *history;
	ListCell   *lc;

	if (timeline->id != 0 && lsn >= timeline->begin && (lsn < timeline->end || XLogRecPtrIsInvalid(timeline->end)))
		return timeline->id;
	history = readTimeLineHistory(GetWALInsertionTimeLine());
	foreach(lc, history)
	{
		const TimeLineHistoryEntry *entry = lfirst(lc);

		if (lsn >= entry->begin && (lsn < entry->end || XLogRecPtrIsInvalid(entry->end)))
			*timeline = (StrmTimeline) {.id = entry->tli, .begin = entry->begin, .end = entry->end};
	}
	list_free_deep(history);
	return timeline->id;
}
