/*
 * watched.h
 *	  The names by which a statement may reach a stream, known without reading a catalog.
 */
#ifndef STRM_GUARD_WATCHED_H
#define STRM_GUARD_WATCHED_H


/* Reads the names anew if they may have changed. Needs a transaction that is not aborted. */
extern void strm_watched_refresh(void);

/* Are the names up to date? Never throws. */
extern bool strm_watched_current(void);

/* Is there nothing to watch in this database? Meaningful only when current. */
extern bool strm_watched_empty(void);

/* Is that relation a stream, or a relation through which one is read or written? */
extern bool strm_watched_relation(Oid relid);

/*
 * Does this text name a stream, or anything through which one is reached? Errs towards true. Reads no catalog,
 * allocates nothing and never throws: usable in an aborted transaction.
 */
extern bool strm_watched_text(const char *text);

/* Registers invalidation callbacks; called once. */
extern void strm_watched_init(void);

#endif							/* STRM_GUARD_WATCHED_H */
