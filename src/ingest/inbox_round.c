/*
 * inbox_round.c
 *	  Which rows of an inbox are to be moved next: one scan, from which the rows with the lowest numbers are kept.
 *
 *	  Who commits a row before it queues another one is seen in that order: a snapshot that has the later row has the
 *	  earlier one, and its number is lower. So rows of one lane are moved in the order of their numbers, round by round.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/snapmgr.h"

#include "ingest/inbox_round.h"
#include "strm_privacy.h"

#define STRM_ROUND_FIRST 1024	/* room to begin with */
#define STRM_ROUND_ROWS (512 * 1024)	/* of a round, at most; twice as many are gathered before some are let go */

static int
strm_queued_row_compare(const void *a, const void *b)
{
	int64		x = ((const StrmQueuedRow *) a)->sequence;
	int64		y = ((const StrmQueuedRow *) b)->sequence;

	return x < y ? -1 : x > y;
}

/* Sorts what was gathered, and lets go what a round cannot have. */
static void
strm_inbox_round_cut(StrmInboxRound *round)
{
	qsort(round->places, round->n, sizeof(StrmQueuedRow), strm_queued_row_compare);
	if (round->n > STRM_ROUND_ROWS)
	{
		round->n = STRM_ROUND_ROWS;
		round->more = true;
	}
}

static void
strm_inbox_round_add(StrmInboxRound *round, int *room, int64 sequence, ItemPointer tid)
{
	if (round->more && sequence > round->places[STRM_ROUND_ROWS - 1].sequence)
		return;
	if (round->n == *room && *room == 2 * STRM_ROUND_ROWS)
		strm_inbox_round_cut(round);
	else if (round->n == *room)
	{
		*room *= 2;
		round->places = repalloc(round->places, *room * sizeof(StrmQueuedRow));
	}
	round->places[round->n].sequence = sequence;
	round->places[round->n++].tid = *tid;
}

void
strm_inbox_round(const StrmStream *stream, Relation inbox, int index, int of, StrmInboxRound *round)
{
	StrmInboxReader *reader = strm_inbox_reader(stream, inbox);
	TupleTableSlot *slot = table_slot_create(inbox, NULL);
	TableScanDesc scan = table_beginscan(inbox, GetActiveSnapshot(), 0, NULL);
	int			room = STRM_ROUND_FIRST;

	memset(round, 0, sizeof(StrmInboxRound));
	round->places = palloc(room * sizeof(StrmQueuedRow));
	round->pages = RelationGetNumberOfBlocks(inbox);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		StrmInboxEntry entry;

		CHECK_FOR_INTERRUPTS();
		round->rows++;
		strm_inbox_entry(reader, ExecFetchSlotHeapTuple(slot, false, NULL), &entry);
		if (!entry.fault && entry.lane % of == index)
			strm_inbox_round_add(round, &room, entry.sequence, &slot->tts_tid);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	strm_inbox_round_cut(round);
}
