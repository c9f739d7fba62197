/*
 * spool.c
 *	  Rows that were decoded and not yet taken: in memory up to a limit, then in a temporary file.
 *
 *	  Both hold the same: an entry's head, then its tuple, each aligned for any type. Rows that lie in memory are handed
 *	  out in place. The file holds what the table held, so ciphertext; the server deletes it with the process, and after
 *	  a crash. It belongs to no transaction, so it has a resource owner of its own.
 */
#include "postgres.h"

#include "storage/buffile.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "common/errors.h"
#include "compat/compat.h"
#include "export/spool.h"

#define STRM_SPOOL_MEMORY_FIRST (64 * 1024)
#define STRM_SPOOL_MEMORY_MAX (4 * 1024 * 1024)
/* a buffer for rows of the file that is kept */
#define STRM_SPOOL_ROW_KEPT (256 * 1024)

/* What stands before a tuple. */
typedef struct StrmSpoolHead
{
	uint32		size;			/* of the tuple */
	Oid			relid;
	TransactionId xid;
	TimeLineID	timeline;
	XLogRecPtr	lsn;
	XLogRecPtr	end_lsn;
	uint64		sequence;
	TimestampTz committed;
} StrmSpoolHead;

struct StrmSpool
{
	MemoryContext context;
	ResourceOwner owner;		/* of the file */
	char	   *memory;
	Size		room;			/* of memory, allocated */
	Size		filled;			/* of memory */
	Size		taken;			/* of memory */
	BufFile    *file;			/* NULL: memory sufficed */
	uint64		file_rows;		/* not yet taken */
	bool		file_is_read;	/* it is at the first row not taken; no more can be added */
	char	   *row;			/* the file's row that was taken last */
	Size		row_room;
	uint64		size;			/* of all rows added */
	StrmDecodedRow last;		/* taken last */
	bool		again;			/* and is to be given again */
};

StrmSpool *
strm_spool_create(void)
{
	StrmSpool  *spool = palloc0(sizeof(StrmSpool));

	spool->context = CurrentMemoryContext;
	spool->owner = ResourceOwnerCreate(NULL, "strm spool");
	spool->room = STRM_SPOOL_MEMORY_FIRST;
	spool->memory = palloc(spool->room);
	return spool;
}

/* Room for that many bytes more in memory; NULL when memory is used up. */
static char *
strm_spool_reserve(StrmSpool *spool, Size size)
{
	char	   *place;

	if (size > STRM_SPOOL_MEMORY_MAX - spool->filled)
		return NULL;
	if (size > spool->room - spool->filled)
	{
		do
			spool->room *= 2;
		while (size > spool->room - spool->filled);
		spool->memory = repalloc(spool->memory, spool->room);
	}
	place = spool->memory + spool->filled;
	spool->filled += size;
	return place;
}

/* An empty temporary file. */
static BufFile *
strm_spool_create_file(StrmSpool *spool)
{
	MemoryContext caller = MemoryContextSwitchTo(spool->context);
	ResourceOwner owner = CurrentResourceOwner;
	BufFile    *file;

	/* it keeps the owner for its later segments */
	CurrentResourceOwner = spool->owner;
	file = BufFileCreateTemp(true);
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(caller);
	return file;
}

void
strm_spool_add(StrmSpool *spool, const StrmDecodedRow *row)
{
	StrmSpoolHead head = {
		.size = row->tuple.t_len, .relid = row->relid, .xid = row->xid, .timeline = row->timeline, .lsn = row->lsn,
		.end_lsn = row->end_lsn, .sequence = row->sequence, .committed = row->committed,
	};
	Size		size = MAXALIGN(sizeof(head)) + MAXALIGN(row->tuple.t_len);
	char	   *place = spool->file == NULL ? strm_spool_reserve(spool, size) : NULL;

	Assert(!spool->file_is_read);
	spool->size += size;
	if (place != NULL)
	{
		memcpy(place, &head, sizeof(head));
		memcpy(place + MAXALIGN(sizeof(head)), row->tuple.t_data, row->tuple.t_len);
		return;
	}
	if (spool->file == NULL)
		spool->file = strm_spool_create_file(spool);
	BufFileWrite(spool->file, &head, sizeof(head));
	BufFileWrite(spool->file, row->tuple.t_data, row->tuple.t_len);
	spool->file_rows++;
}

/* The row that a head and a tuple in memory make. */
static void
strm_spool_row(StrmDecodedRow *row, const StrmSpoolHead *head, char *tuple)
{
	row->relid = head->relid;
	row->xid = head->xid;
	row->timeline = head->timeline;
	row->lsn = head->lsn;
	row->end_lsn = head->end_lsn;
	row->sequence = head->sequence;
	row->committed = head->committed;
	row->tuple.t_len = head->size;
	ItemPointerSetInvalid(&row->tuple.t_self);
	row->tuple.t_tableOid = head->relid;
	row->tuple.t_data = (HeapTupleHeader) tuple;
}

static void
strm_spool_next_in_memory(StrmSpool *spool)
{
	const StrmSpoolHead *head = (const StrmSpoolHead *) (spool->memory + spool->taken);

	spool->taken += MAXALIGN(sizeof(*head));
	strm_spool_row(&spool->last, head, spool->memory + spool->taken);
	spool->taken += MAXALIGN(head->size);
}

/* Reads that many bytes of the file; there are as many. */
static void
strm_spool_read_file(StrmSpool *spool, void *data, Size size)
{
	if (strm_buffile_read(spool->file, data, size) != size)
		ereport(ERROR, errcode(STRM_ERR_STORE), errmsg("a temporary file of decoded rows is too short"));
}

static void
strm_spool_next_in_file(StrmSpool *spool)
{
	StrmSpoolHead head;

	if (!spool->file_is_read)
	{
		if (BufFileSeek(spool->file, 0, 0, SEEK_SET) != 0)
			ereport(ERROR, errcode(STRM_ERR_STORE), errmsg("could not rewind a temporary file of decoded rows"));
		spool->file_is_read = true;
	}
	strm_spool_read_file(spool, &head, sizeof(head));
	if (spool->row_room < head.size)
	{
		if (spool->row != NULL)
			pfree(spool->row);
		spool->row = NULL;
		spool->row_room = Max(head.size, 8192);
		spool->row = MemoryContextAllocHuge(spool->context, spool->row_room);
	}
	strm_spool_read_file(spool, spool->row, head.size);
	spool->file_rows--;
	strm_spool_row(&spool->last, &head, spool->row);
}

bool
strm_spool_next(StrmSpool *spool, StrmDecodedRow *row)
{
	if (spool->again)
		spool->again = false;
	else if (spool->taken < spool->filled)
		strm_spool_next_in_memory(spool);
	else if (spool->file_rows > 0)
		strm_spool_next_in_file(spool);
	else
	{
		strm_spool_reset(spool);
		return false;
	}
	*row = spool->last;
	return true;
}

void
strm_spool_unread(StrmSpool *spool)
{
	Assert(spool->last.tuple.t_data != NULL);
	spool->again = true;
}

void
strm_spool_reset(StrmSpool *spool)
{
	spool->filled = 0;
	spool->taken = 0;
	spool->size = 0;
	spool->again = false;
	spool->last.tuple.t_data = NULL;
	if (spool->file != NULL)
	{
		BufFileClose(spool->file);
		spool->file = NULL;
		spool->file_rows = 0;
		spool->file_is_read = false;
	}
	if (spool->row_room > STRM_SPOOL_ROW_KEPT)
	{
		pfree(spool->row);
		spool->row = NULL;
		spool->row_room = 0;
	}
}

uint64
strm_spool_size(const StrmSpool *spool)
{
	return spool->size;
}

bool
strm_spool_is_empty(const StrmSpool *spool)
{
	return !spool->again && spool->taken == spool->filled && spool->file_rows == 0;
}
