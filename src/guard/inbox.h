/*
 * inbox.h
 *	  Inboxes stay as they were made, and go with their streams.
 */
#ifndef STRM_GUARD_INBOX_H
#define STRM_GUARD_INBOX_H

#include "nodes/pg_list.h"

/*
 * For tables that were dropped. The inbox of a stream among them is dropped, too, and forgotten. One without its stream
 * is refused (2BP01), or for a superuser a warning. To be called before the streams are forgotten.
 */
extern void strm_guard_inbox_dropped(List *relids);

#endif							/* STRM_GUARD_INBOX_H */
