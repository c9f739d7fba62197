/*
 * inbox.h
 *	  Rows of strm.inbox: which table is the queue of which stream.
 */
#ifndef STRM_CATALOG_INBOX_H
#define STRM_CATALOG_INBOX_H

#include "utils/uuid.h"

#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "common/errors.h"

typedef struct StrmInbox
{
	pg_uuid_t	stream;			/* id of the stream */
	Oid			relid;			/* the inbox's own table */
	bytea	   *key;			/* wrapped by the master key */
} StrmInbox;

/*
 * The inbox of a stream, or the one that a table is; NULL when there is none. Read with a catalog snapshot, not cached;
 * the result is in the current context.
 */
extern StrmInbox *strm_catalog_inbox(const pg_uuid_t *stream);
extern StrmInbox *strm_catalog_inbox_of(Oid relid);

/* All inboxes of this database, as list of StrmInbox, in the current context. */
extern List *strm_catalog_inboxes(void);

/*
 * Notes what at an inbox's table could see rows before they are sealed: the executor evaluates triggers, constraints
 * and policies before the access method gets a row.
 */
extern void strm_catalog_inbox_exposed(Relation rel, StrmFaults *faults);

#endif							/* STRM_CATALOG_INBOX_H */
