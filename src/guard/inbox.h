/*
 * inbox.h
 *	  Inboxes stay as they were made, and go with their streams.
 */
#ifndef STRM_GUARD_INBOX_H
#define STRM_GUARD_INBOX_H

#include "nodes/pg_list.h"

#include "catalog/inbox.h"

/*
 * For tables that were dropped. The inbox of a stream among them is dropped, too, and forgotten. One without its stream
 * is refused (2BP01), or for a superuser a warning. To be called before the streams are forgotten.
 */
extern void strm_guard_inbox_dropped(List *relids);

/*
 * Checks an inbox after its definition changed, as strm_protect_check() does: what could see plaintext, or store it, is
 * an error for everybody; any other damage an error (2BP01), or for a superuser a warning.
 */
extern void strm_guard_inbox_check(const StrmInbox *inbox, bool require_triggers);

/* For object_access_hook, with a new relation: refuses an index of an inbox. */
extern void strm_guard_inbox_index(Oid relid);

#endif							/* STRM_GUARD_INBOX_H */
