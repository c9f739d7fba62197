/*
 * guard.h
 *	  Keeping streams as they were made, and their values out of the server log.
 */
#ifndef STRM_GUARD_H
#define STRM_GUARD_H

#include "nodes/pg_list.h"

/* Installs the hooks of this folder; called once, by _PG_init. */
extern void strm_guard_init(void);

/*
 * Checks the streams that the given relations are, or are partitions of, after a definition changed. What could bring
 * plaintext out or in is an error for everybody; any other damage is an error (2BP01), or for a superuser a warning.
 * require_triggers: also missing managed triggers are a fault (not while a restore makes them one after the other).
 */
extern void strm_protect_check(List *relids, bool require_triggers);

/* Refuses an ALTER TABLE that computes the rows of a stream or partition anew, but to a superuser. */
extern void strm_protect_rewrite(Oid relid);

/* Deletes the registry's rows of tables and views that were dropped. Their keys stay. */
extern void strm_protect_forget(List *relids);

/* Was anything dropped in this transaction that may be a stream or a part of one? */
extern bool strm_guard_dropped(void);

/* Refuses to drop the extension (or its table of streams) while streams exist. For object_access_hook. */
extern void strm_protect_drop(Oid class_id, Oid object_id);

/* Does any stream exist in this database? false, too, without the extension. */
extern bool strm_protect_needed(void);

#endif							/* STRM_GUARD_H */
