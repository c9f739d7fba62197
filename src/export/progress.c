/*
 * progress.c
 *	  What one exporter has sent and what of it is acknowledged.
 *
 *	  Records that are sent are numbered: that is their cookie. Those from the first one that is not acknowledged on are
 *	  in a ring, whose size is a power of two and grows with the number of them. Cookies of an earlier sink, which was
 *	  closed, are older than the ring and mean nothing.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "export/progress.h"
#include "strm_privacy.h"

#define STRM_PROGRESS_RING 1024

typedef struct StrmProgressRecord
{
	StrmPosition position;
	TimestampTz committed;
	bool		acked;
} StrmProgressRecord;

struct StrmProgress
{
	StrmPosition passed;		/* epoch 0: nothing */
	uint64		first;			/* cookie of the first one in the ring */
	uint64		next;			/* cookie of the next one to be sent */
	uint64		count;
	uint64		size;
	StrmProgressRecord *ring;
	int			npartitions;
	StrmProgressPartition *partitions;
};

/* The record of a cookie that is in the ring. */
static inline StrmProgressRecord *
strm_progress_at(const StrmProgress *progress, uint64 cookie)
{
	return &progress->ring[cookie & (progress->size - 1)];
}

StrmProgress *
strm_progress_create(int npartitions)
{
	StrmProgress *progress = palloc0(sizeof(StrmProgress));

	progress->size = STRM_PROGRESS_RING;
	progress->ring = palloc(progress->size * sizeof(StrmProgressRecord));
	progress->npartitions = npartitions;
	progress->partitions = palloc0(npartitions * sizeof(StrmProgressPartition));
	strm_progress_reset(progress);
	return progress;
}

void
strm_progress_reset(StrmProgress *progress)
{
	progress->first = progress->next;
	memset(&progress->passed, 0, sizeof(StrmPosition));
	for (int i = 0; i < progress->npartitions; i++)
	{
		memset(&progress->partitions[i], 0, sizeof(StrmProgressPartition));
		progress->partitions[i].offset = -1;
	}
}

void
strm_progress_set_tail(StrmProgress *progress, int partition, const StrmPosition *position, int64 offset)
{
	StrmProgressPartition *p = &progress->partitions[partition];

	p->tail = p->acked = *position;
	p->offset = offset;
}

const StrmProgressPartition *
strm_progress_partition(const StrmProgress *progress, int partition)
{
	return &progress->partitions[partition];
}

bool
strm_progress_wants(const StrmProgress *progress, const StrmPosition *position)
{
	return strm_position_compare(position, &progress->passed) > 0;
}

bool
strm_progress_has(const StrmProgress *progress, int partition, const StrmPosition *position)
{
	return strm_position_compare(position, &progress->partitions[partition].tail) <= 0;
}

void
strm_progress_pass(StrmProgress *progress, const StrmPosition *position)
{
	progress->passed = *position;
}

uint64
strm_progress_cookie(const StrmProgress *progress)
{
	return progress->next;
}

/* Doubles the ring. */
static void
strm_progress_grow(StrmProgress *progress)
{
	StrmProgressRecord *old = progress->ring;
	uint64		size = progress->size;
	MemoryContext cxt = GetMemoryChunkContext(progress);

	progress->ring = MemoryContextAllocHuge(cxt, mul_size(2 * size, sizeof(StrmProgressRecord)));
	progress->size = 2 * size;
	for (uint64 i = progress->first; i < progress->next; i++)
		*strm_progress_at(progress, i) = old[i & (size - 1)];
	pfree(old);
}

void
strm_progress_sent(StrmProgress *progress, const StrmPosition *position, TimestampTz committed)
{
	StrmProgressRecord *record;

	if (progress->next - progress->first == progress->size)
		strm_progress_grow(progress);
	record = strm_progress_at(progress, progress->next++);
	record->position = *position;
	record->committed = committed;
	record->acked = false;
	progress->passed = *position;
}

void
strm_progress_taken(StrmProgress *progress, uint64 cookie, int partition, int64 offset)
{
	StrmProgressPartition *p = &progress->partitions[partition];

	if (cookie < progress->first || cookie >= progress->next)
		return;
	p->acked = strm_progress_at(progress, cookie)->position;
	p->offset = offset;
}

void
strm_progress_acked(StrmProgress *progress, uint64 cookie, int partition, int64 offset)
{
	if (cookie < progress->first || cookie >= progress->next)
		return;
	strm_progress_taken(progress, cookie, partition, offset);
	strm_progress_at(progress, cookie)->acked = true;
	progress->count++;
	while (progress->first < progress->next && strm_progress_at(progress, progress->first)->acked)
		progress->first++;
}

void
strm_progress_commit(StrmProgress *progress)
{
	progress->count += progress->next - progress->first;
	progress->first = progress->next;
}

uint64
strm_progress_outstanding(const StrmProgress *progress)
{
	return progress->next - progress->first;
}

const StrmPosition *
strm_progress_first(const StrmProgress *progress, TimestampTz *committed)
{
	const StrmProgressRecord *record;

	if (progress->first == progress->next)
		return NULL;
	record = strm_progress_at(progress, progress->first);
	*committed = record->committed;
	return &record->position;
}

bool
strm_progress_done(const StrmProgress *progress, uint64 cookie)
{
	return progress->first >= cookie;
}

uint64
strm_progress_count(const StrmProgress *progress)
{
	return progress->count;
}
