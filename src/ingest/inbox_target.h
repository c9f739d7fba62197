/*
 * inbox_target.h
 *	  What inserting into an inbox needs to know, kept by this backend as long as nothing of it changes.
 */
#ifndef STRM_INGEST_INBOX_TARGET_H
#define STRM_INGEST_INBOX_TARGET_H

#include "access/htup.h"
#include "executor/tuptable.h"
#include "utils/rel.h"

typedef struct StrmInboxTarget StrmInboxTarget;

/*
 * Ready to insert into rel, as its access method. Raises 55000 when rel is no inbox, its contract is not active, or
 * something at the table could see rows before they are sealed. Valid to the end of the command.
 */
extern StrmInboxTarget *strm_inbox_target(Relation rel);

/* For what inserting rows allocates: reset at the begin and end of each call of the access method. */
extern MemoryContext strm_inbox_target_context(StrmInboxTarget *target);

/* Rows that go to heap_multi_insert() at once: enough to fill pages. */
#define STRM_INBOX_BATCH 128

/* Begins a batch of at most STRM_INBOX_BATCH rows: takes the number that their sequence numbers begin with. */
extern void strm_inbox_target_begin(StrmInboxTarget *target);

/* Checks the row in slot and gives the tuple to be stored, in the current context. */
extern HeapTuple strm_inbox_target_form(StrmInboxTarget *target, Relation rel, TupleTableSlot *slot);

/* Gives memory back that long rows needed. */
extern void strm_inbox_target_end(StrmInboxTarget *target);

/* As many slots for heap tuples of rel, as long as the target. */
extern TupleTableSlot **strm_inbox_target_slots(StrmInboxTarget *target, Relation rel);

/* Registers the invalidation callback; called once. */
extern void strm_inbox_target_init(void);

#endif							/* STRM_INGEST_INBOX_TARGET_H */
