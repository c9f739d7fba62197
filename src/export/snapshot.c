/*
 * snapshot.c
 *	  Snapshots that are kept beyond their transaction.
 *
 *	  Subtransactions. A row's xmin may be a subtransaction's, so a snapshot needs all that run. The server's own has
 *	  them as long as no transaction has more than 64; then it only says so. In that case each transaction number
 *	  between xmin and xmax is looked up in pg_subtrans, which is kept for those as long as the server's snapshot is
 *	  in use. A subtransaction has its number a moment before it is in pg_subtrans: so what has not ended counts as
 *	  running, too.
 *
 *	  Settling: why existing rows and decoded transactions join without gap or double. Take a position L0 in flushed
 *	  WAL, from which on transactions are decoded, then a snapshot S whose rows are read from the table. Decoded
 *	  transactions that S has are skipped. A transaction with commit record at C is then published
 *	  - by S only, when C < L0: if S has it;
 *	  - by S only, when C >= L0 and S has it; by decoding only, when C >= L0 and S has it not.
 *
 *	  So all that is needed is that S has every transaction with C < L0. Committing, a process (1) sets
 *	  DELAY_CHKPT_START, (2) writes the commit record and flushes it, (3) marks the transaction and its
 *	  subtransactions in the commit log, (4) clears the flag, (5) waits for synchronous standbys, which may take for
 *	  ever, and (6) leaves the array of running transactions, with its subtransactions at once. Snapshots have it
 *	  after (6). COMMIT PREPARED goes the same way, with the flag at the process that executes it and (6) for the
 *	  prepared transaction's entry. When begin is called, a transaction with C < L0 is past (2): either its process
 *	  has the flag, or (3) is done. begin notes who has the flag; once none of these has it still, (3) is done for
 *	  every such transaction. Those before (6) now are among the transactions that a snapshot S0 calls running, or
 *	  that had numbers from its xmax on, and that the commit log calls committed (the suspects, maybe with others
 *	  that committed after L0). Once no suspect is running, any snapshot will do as S. What does not commit is never
 *	  waited for. A transaction that S has was past (6) when S was taken, so its C is less than the insert position
 *	  read afterwards: from there on, nothing needs to be looked up in S.
 *
 *	  Frozen rows keep their xmin, but it may be older than 2^32 transactions, and then looks like a recent one. It
 *	  is none that had no number when the snapshot was taken if its page was not changed since, and pages with such
 *	  old rows seldom were. What remains: a frozen row older than 2^32 transactions, on a page changed since the
 *	  snapshot, whose number happens to be that of a transaction since the snapshot (or, on any page, of one running
 *	  then), counts as not in the snapshot. Rows that are not frozen have no such limit.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/subtrans.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "export/snapshot.h"
#include "strm_privacy.h"

/* Transaction numbers as a growing list. */
typedef struct StrmXidList
{
	int			n;
	int			room;
	TransactionId *xids;
} StrmXidList;

struct StrmSettling
{
	MemoryContext cxt;
	int			ncommitting;
	VirtualTransactionId *committing;	/* had DELAY_CHKPT_START; NULL: none of them has it still */
	int			nsuspects;
	TransactionId *suspects;
};

static void
strm_xid_list_add(StrmXidList *list, TransactionId xid)
{
	if (list->n == list->room)
	{
		Size		room = list->room == 0 ? 64 : mul_size(list->room, 2);

		list->xids = list->xids == NULL ? palloc(mul_size(room, sizeof(TransactionId)))
			: repalloc_huge(list->xids, mul_size(room, sizeof(TransactionId)));
		list->room = (int) room;
	}
	list->xids[list->n++] = xid;
}

/* The latest transaction of that number that may have begun when next was the next one. */
static FullTransactionId
strm_snapshot_widen(FullTransactionId next, TransactionId xid)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid >= XidFromFullTransactionId(next) && epoch > 0)
		epoch--;
	return FullTransactionIdFromEpochAndXid(epoch, xid);
}

/* Order of age among numbers that are less than 2^31 apart, as those of one snapshot are. */
static int
strm_xid_compare_age(const void *a, const void *b)
{
	int32		difference = (int32) (*(const TransactionId *) a - *(const TransactionId *) b);

	return (difference > 0) - (difference < 0);
}

static bool
strm_xid_search(const TransactionId *xids, int n, TransactionId xid)
{
	return n > 0 && bsearch(&xid, xids, n, sizeof(TransactionId), strm_xid_compare_age) != NULL;
}

static void
strm_xid_list_sort(StrmXidList *list)
{
	int			unique = 0;

	if (list->n > 1)
		qsort(list->xids, list->n, sizeof(TransactionId), strm_xid_compare_age);
	for (int i = 0; i < list->n; i++)
		if (i == 0 || list->xids[i] != list->xids[unique - 1])
			list->xids[unique++] = list->xids[i];
	list->n = unique;
}

/*
 * Adds the subtransactions of the (sorted) transactions in list, between xmin and xmax, as pg_subtrans has them, and
 * what has not ended. The commit log is asked first: what has ended was in pg_subtrans.
 */
static void
strm_snapshot_add_subtransactions(StrmXidList *list, TransactionId xmin, TransactionId xmax)
{
	int			known = list->n;
	TransactionId xid = xmin;

	while (TransactionIdPrecedes(xid, xmax))
	{
		CHECK_FOR_INTERRUPTS();
		if (!strm_xid_search(list->xids, known, xid))
		{
			bool		ended = TransactionIdDidCommit(xid) || TransactionIdDidAbort(xid);

			if (!ended || strm_xid_search(list->xids, known, SubTransGetTopmostTransaction(xid)))
				strm_xid_list_add(list, xid);
		}
		TransactionIdAdvance(xid);
	}
	strm_xid_list_sort(list);
}

/* Adds one that runs; those from xmax on need not be there, though the server lists their subtransactions, too. */
static void
strm_snapshot_add(StrmXidList *list, TransactionId xid, TransactionId xmax)
{
	if (TransactionIdIsValid(xid) && TransactionIdPrecedes(xid, xmax))
		strm_xid_list_add(list, xid);
}

/* Adds the current transaction, which the server's snapshots lack. */
static void
strm_snapshot_add_own(StrmXidList *list, TransactionId xmax)
{
	strm_snapshot_add(list, GetTopTransactionIdIfAny(), xmax);
	for (int i = 0; i < MyProc->subxidStatus.count; i++)
		strm_snapshot_add(list, MyProc->subxids.xids[i], xmax);
}

StrmSnapshot *
strm_snapshot_take(void)
{
	StrmSnapshot *result = palloc0(sizeof(StrmSnapshot));
	XLogRecPtr	lsn = GetXLogInsertRecPtr();
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	FullTransactionId next = ReadNextFullTransactionId();
	StrmXidList list = {0};

	for (uint32 i = 0; i < snapshot->xcnt; i++)
		strm_snapshot_add(&list, snapshot->xip[i], snapshot->xmax);
	/* incomplete, and not even copied, when there are too many */
	for (int32 i = 0; i < snapshot->subxcnt && !snapshot->suboverflowed; i++)
		strm_snapshot_add(&list, snapshot->subxip[i], snapshot->xmax);
	strm_snapshot_add_own(&list, snapshot->xmax);
	strm_xid_list_sort(&list);
	if (snapshot->suboverflowed || MyProc->subxidStatus.overflowed)
		strm_snapshot_add_subtransactions(&list, snapshot->xmin, snapshot->xmax);

	result->xmin = strm_snapshot_widen(next, snapshot->xmin);
	result->xmax = XidFromFullTransactionId(next) == snapshot->xmax ? next : strm_snapshot_widen(next, snapshot->xmax);
	result->nrunning = list.n;
	result->running = list.xids;
	result->next = next;
	result->lsn = lsn;
	UnregisterSnapshot(snapshot);
	return result;
}

StrmSettling *
strm_settling_begin(void)
{
	StrmSettling *settling = palloc0(sizeof(StrmSettling));

	settling->cxt = CurrentMemoryContext;
	settling->committing = GetVirtualXIDsDelayingChkpt(&settling->ncommitting, DELAY_CHKPT_START);
	return settling;
}

/*
 * Once those that were committing are through: notes who has committed and may be running still. Those are among the
 * running ones of a snapshot and those from its xmax on, of which it says nothing.
 */
static bool
strm_settling_find_suspects(StrmSettling *settling)
{
	StrmXidList suspects = {0};
	StrmSnapshot *now;
	TransactionId xid;
	MemoryContext old;

	if (settling->committing == NULL)
		return true;
	if (HaveVirtualXIDsDelayingChkpt(settling->committing, settling->ncommitting, DELAY_CHKPT_START))
		return false;

	now = strm_snapshot_take();
	old = MemoryContextSwitchTo(settling->cxt);
	for (int i = 0; i < now->nrunning; i++)
		if (TransactionIdDidCommit(now->running[i]))
			strm_xid_list_add(&suspects, now->running[i]);
	xid = XidFromFullTransactionId(now->xmax);
	while (xid != XidFromFullTransactionId(now->next))
	{
		CHECK_FOR_INTERRUPTS();
		if (TransactionIdDidCommit(xid))
			strm_xid_list_add(&suspects, xid);
		TransactionIdAdvance(xid);
	}
	MemoryContextSwitchTo(old);
	settling->suspects = suspects.xids;
	settling->nsuspects = suspects.n;
	pfree(settling->committing);
	settling->committing = NULL;
	return true;
}

StrmSnapshot *
strm_settling_take(StrmSettling *settling, XLogRecPtr *lsn)
{
	StrmSnapshot *result;

	if (!strm_settling_find_suspects(settling))
		return NULL;
	while (settling->nsuspects > 0)
	{
		if (TransactionIdIsInProgress(settling->suspects[settling->nsuspects - 1]))
			return NULL;
		settling->nsuspects--;
	}

	result = strm_snapshot_take();
	*lsn = GetXLogInsertRecPtr();
	if (settling->suspects != NULL)
		pfree(settling->suspects);
	pfree(settling);
	return result;
}

/* The same for a number that was made wide. */
static bool
strm_snapshot_has_full(const StrmSnapshot *snapshot, FullTransactionId full)
{
	if (FullTransactionIdPrecedes(full, snapshot->xmin))
		return true;
	return FullTransactionIdPrecedes(full, snapshot->xmax) &&
		!strm_xid_search(snapshot->running, snapshot->nrunning, XidFromFullTransactionId(full));
}

bool
strm_snapshot_has(const StrmSnapshot *snapshot, TransactionId xid)
{
	return !TransactionIdIsNormal(xid) ||
		strm_snapshot_has_full(snapshot, strm_snapshot_widen(ReadNextFullTransactionId(), xid));
}

bool
strm_snapshot_has_row(const StrmSnapshot *snapshot, HeapTupleHeader row, XLogRecPtr page_lsn)
{
	TransactionId xid = HeapTupleHeaderGetRawXmin(row);
	FullTransactionId full;

	if (!TransactionIdIsNormal(xid))
		return true;
	full = strm_snapshot_widen(ReadNextFullTransactionId(), xid);
	if (strm_snapshot_has_full(snapshot, full))
		return true;
	return HeapTupleHeaderXminFrozen(row) && page_lsn != InvalidXLogRecPtr && page_lsn < snapshot->lsn &&
		!FullTransactionIdPrecedes(full, snapshot->next);
}
