/*
 * snapshot.h
 *	  Snapshots that are kept beyond their transaction, to tell later which rows are older than a moment.
 *
 *	  As pg_snapshot, but with the running subtransactions, so that it answers for the xmin of any row.
 */
#ifndef STRM_EXPORT_SNAPSHOT_H
#define STRM_EXPORT_SNAPSHOT_H

#include "access/htup.h"
#include "access/transam.h"
#include "access/xlogdefs.h"

typedef struct StrmSnapshot
{
	FullTransactionId xmin;		/* all before have ended */
	FullTransactionId xmax;		/* this and all later ones had not begun */
	int			nrunning;
	TransactionId *running;		/* ascending in age (xmin first); top-level and subtransactions */
	FullTransactionId next;		/* this and all later ones had no number; all of these wrote their WAL ... */
	XLogRecPtr	lsn;			/* ... from here on; 0: not known */
} StrmSnapshot;

/*
 * Takes one of the present moment, in the current context and transaction, which itself counts as running. Never NULL.
 * Only where transactions can write.
 */
extern StrmSnapshot *strm_snapshot_take(void);

/*
 * A snapshot that has every transaction whose commit record lies before a WAL position that was read (flushed) when
 * begin was called: a transaction is seen as running for a while after its commit record was written (as long as it
 * waits for synchronous standbys), and waits only for those. begin: inside a transaction or outside; the result lives
 * in the current context. take: in a transaction; NULL: not yet, try again soon. When it gives the snapshot (in the
 * current context), settling is freed. *lsn: transactions that commit at or after it are not in the snapshot.
 */
typedef struct StrmSettling StrmSettling;
extern StrmSettling *strm_settling_begin(void);
extern StrmSnapshot *strm_settling_take(StrmSettling *settling, XLogRecPtr *lsn);

/*
 * As text without blanks, and back: "xmin:xmax:a,b,c-d:next:lsn". Also reads what pg_current_snapshot() gives (which
 * lacks subtransactions: their rows are then taken for older ones). ERROR XX001 for anything else.
 */
extern char *strm_snapshot_text(const StrmSnapshot *snapshot);
extern StrmSnapshot *strm_snapshot_parse(const char *text);

/* Had this transaction (or subtransaction), known to have committed, ended when the snapshot was taken? */
extern bool strm_snapshot_has(const StrmSnapshot *snapshot, TransactionId xid);

/*
 * The same for a row's inserter, also when the row is frozen. page_lsn: of the row's page, read with the row or later;
 * 0: not known, or of a table whose changes are not WAL-logged. See snapshot.c for the limit.
 */
extern bool strm_snapshot_has_row(const StrmSnapshot *snapshot, HeapTupleHeader row, XLogRecPtr page_lsn);

#endif							/* STRM_EXPORT_SNAPSHOT_H */
