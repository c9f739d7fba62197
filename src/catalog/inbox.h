/*
 * inbox.h
 *	  Rows of strm.inbox and strm.inbox_key: which table is the queue of which stream, and what seals its rows.
 */
#ifndef STRM_CATALOG_INBOX_H
#define STRM_CATALOG_INBOX_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "common/errors.h"

typedef struct StrmInbox
{
	pg_uuid_t	stream;			/* id of the stream */
	Oid			relid;			/* the inbox's own table */
	bytea	   *key;			/* of its lanes, wrapped by the master key */
} StrmInbox;

/* A row of strm.inbox_key. */
typedef struct StrmInboxKeyRow
{
	int32		id;
	bytea	   *key;			/* wrapped by the master key */
	TimestampTz created_at;
} StrmInboxKeyRow;

/*
 * The inbox of a stream, or the one that a table is; NULL when there is none. Read with a catalog snapshot, not cached;
 * the result is in the current context.
 */
extern StrmInbox *strm_catalog_inbox(const pg_uuid_t *stream);
extern StrmInbox *strm_catalog_inbox_of(Oid relid);

/* All inboxes of this database, as list of StrmInbox, in the current context. */
extern List *strm_catalog_inboxes(void);

/*
 * The keys that seal rows of a stream's inbox, as list of StrmInboxKeyRow by id, or the one of that id (NULL: there is
 * none); read and given in the same way. Empty while a dump is restored.
 */
extern List *strm_catalog_inbox_keys(const pg_uuid_t *stream);
extern StrmInboxKeyRow *strm_catalog_inbox_key(const pg_uuid_t *stream, int32 id);

/*
 * Notes what at an inbox's table could see rows before they are sealed: the executor evaluates triggers, constraints
 * and policies before the access method gets a row.
 */
extern void strm_catalog_inbox_exposed(Relation rel, StrmFaults *faults);

#endif							/* STRM_CATALOG_INBOX_H */
