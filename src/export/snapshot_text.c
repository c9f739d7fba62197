/*
 * snapshot_text.c
 *	  Snapshots as text: "xmin:xmax:running:next:lsn", numbers of transactions with their epoch, in decimal; running
 *	  is a list with commas of numbers and of ranges (a-b, both included); lsn in hexadecimal, as 0/16B3748.
 *
 *	  Without next and lsn it is what pg_current_snapshot() prints.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "common/errors.h"
#include "export/snapshot.h"
#include "strm_privacy.h"

/* Epoch of a running transaction of that number. */
static uint64
strm_snapshot_running_full(const StrmSnapshot *snapshot, TransactionId xid)
{
	uint64		xmin = U64FromFullTransactionId(snapshot->xmin);

	return xmin + (TransactionId) (xid - (TransactionId) xmin);
}

char *
strm_snapshot_text(const StrmSnapshot *snapshot)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, UINT64_FORMAT ":" UINT64_FORMAT ":", U64FromFullTransactionId(snapshot->xmin),
					 U64FromFullTransactionId(snapshot->xmax));
	for (int i = 0; i < snapshot->nrunning; i++)
	{
		uint64		first = strm_snapshot_running_full(snapshot, snapshot->running[i]);
		uint64		last = first;

		while (i + 1 < snapshot->nrunning && strm_snapshot_running_full(snapshot, snapshot->running[i + 1]) == last + 1)
		{
			last++;
			i++;
		}
		appendStringInfo(&out, UINT64_FORMAT, first);
		if (last > first)
			appendStringInfo(&out, "-" UINT64_FORMAT, last);
		if (i + 1 < snapshot->nrunning)
			appendStringInfoChar(&out, ',');
	}
	appendStringInfo(&out, ":" UINT64_FORMAT ":%X/%X", U64FromFullTransactionId(snapshot->next),
					 LSN_FORMAT_ARGS(snapshot->lsn));
	return out.data;
}

static void
strm_snapshot_raise_damaged(void)
{
	ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a stored snapshot is damaged"));
}

/* Reads the digits at *text, which moves behind them. */
static uint64
strm_snapshot_read_number(const char **text)
{
	uint64		value = 0;
	const char *start = *text;

	for (; **text >= '0' && **text <= '9'; (*text)++)
	{
		if (value > (PG_UINT64_MAX - 9) / 10)
			strm_snapshot_raise_damaged();
		value = value * 10 + (uint64) (**text - '0');
	}
	if (*text == start)
		strm_snapshot_raise_damaged();
	return value;
}

/* The character at *text must be that one; moves behind it. */
static void
strm_snapshot_expect(const char **text, char wanted)
{
	if (**text != wanted)
		strm_snapshot_raise_damaged();
	(*text)++;
}

/* Reads one number or range of the list of running transactions; *last is the last one before, and moves. */
static void
strm_snapshot_read_running(StrmSnapshot *snapshot, const char **text, uint64 *last, int *room)
{
	uint64		first = strm_snapshot_read_number(text);
	uint64		end = first;

	if (**text == '-')
	{
		(*text)++;
		end = strm_snapshot_read_number(text);
	}
	if (first <= *last || end < first || first < U64FromFullTransactionId(snapshot->xmin) ||
		end >= U64FromFullTransactionId(snapshot->xmax))
		strm_snapshot_raise_damaged();
	for (uint64 xid = first; xid <= end; xid++)
	{
		if (snapshot->nrunning == *room)
		{
			*room *= 2;
			snapshot->running = repalloc_huge(snapshot->running, mul_size(*room, sizeof(TransactionId)));
		}
		snapshot->running[snapshot->nrunning++] = (TransactionId) xid;
	}
	*last = end;
}

StrmSnapshot *
strm_snapshot_parse(const char *text)
{
	StrmSnapshot *result = palloc0(sizeof(StrmSnapshot));
	int			room = 16;
	uint64		last = 0;
	uint32		high;
	uint32		low;
	int			used = 0;

	result->xmin = FullTransactionIdFromU64(strm_snapshot_read_number(&text));
	strm_snapshot_expect(&text, ':');
	result->xmax = FullTransactionIdFromU64(strm_snapshot_read_number(&text));
	strm_snapshot_expect(&text, ':');
	if (FullTransactionIdPrecedes(result->xmax, result->xmin) ||
		U64FromFullTransactionId(result->xmax) - U64FromFullTransactionId(result->xmin) > PG_INT32_MAX)
		strm_snapshot_raise_damaged();
	result->running = palloc(mul_size(room, sizeof(TransactionId)));
	while (*text != '\0' && *text != ':')
	{
		if (last > 0)
			strm_snapshot_expect(&text, ',');
		strm_snapshot_read_running(result, &text, &last, &room);
	}
	result->next = result->xmax;
	if (*text == '\0')
		return result;

	strm_snapshot_expect(&text, ':');
	result->next = FullTransactionIdFromU64(strm_snapshot_read_number(&text));
	strm_snapshot_expect(&text, ':');
	if (sscanf(text, "%X/%X%n", &high, &low, &used) != 2 || text[used] != '\0')
		strm_snapshot_raise_damaged();
	result->lsn = ((uint64) high << 32) | low;
	return result;
}
