/*
 * key_store.h
 *	  Rows of strm.data_key, strm.data_key_tombstone and strm.data_subject_link.
 */
#ifndef STRM_CATALOG_KEY_STORE_H
#define STRM_CATALOG_KEY_STORE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef struct StrmKeyRow
{
	pg_uuid_t	key_link;
	pg_uuid_t	owner;
	pg_uuid_t	lookup;
	uint32		key_id;
	TimestampTz window_start;
	TimestampTz window_end;
	bytea	   *wrapped;		/* in the current context when read */
	bool		committed;		/* read: by a transaction that has committed */
	bool		kept;			/* read: committed, or inserted by this transaction */
} StrmKeyRow;

/*
 * Opens the tables for writing keys, unless this transaction has done so: a statement may need a million keys. They
 * stay open to the end of the transaction. Before a lock on a key is taken, so that nothing slow happens under it.
 */
extern void strm_key_store_open(void);

/*
 * The current key of lookup at now: not destroyed, its window not over. Sees rows of transactions that have not
 * committed yet (kept is then false) and waits for none. Of several, the one with the lowest key link. false if there
 * is none.
 */
extern bool strm_key_store_find_current(const pg_uuid_t *owner, const pg_uuid_t *lookup,
										TimestampTz now, StrmKeyRow *row);

/* Inserts the row; copy is 0 for a new key. */
extern void strm_key_store_insert(const StrmKeyRow *row, int64 copy);

/* The same for many rows; copies are theirs. */
extern void strm_key_store_insert_many(const StrmKeyRow *rows, const int64 *copies, int n);

/* Any committed row of that lookup; false if there is none. Never writes. */
extern bool strm_key_store_find_lookup(const pg_uuid_t *lookup, StrmKeyRow *row);

/* The key row of that link as committed (or of this transaction); false if there is none. Never writes. */
extern bool strm_key_store_find(const pg_uuid_t *key_link, StrmKeyRow *row);

/* Was the key of that link destroyed? */
extern bool strm_key_store_is_destroyed(const pg_uuid_t *key_link);

/*
 * The next key links of owner, ascending, after the given one: those made at least_link or later, and those whose
 * window starts at since or later. Puts at most size of them into links and returns how many; fewer than size: there
 * are no more. Destroyed keys may be among them.
 */
extern int	strm_key_store_links(const pg_uuid_t *owner, const pg_uuid_t *after, const pg_uuid_t *least_link,
								 TimestampTz since, pg_uuid_t *links, int size);

/* Registers the subject under key_link unless a row that will stay does so already; true when that row is committed. */
extern bool strm_key_store_add_subject(const pg_uuid_t *key_link, const pg_uuid_t *subject_hash, const pg_uuid_t *owner,
									   const bytea *subject, int64 copy);

/* A row of strm.data_subject_link. */
typedef struct StrmSubjectRow
{
	pg_uuid_t	key_link;
	pg_uuid_t	owner;
	pg_uuid_t	subject_hash;
	bytea	   *subject;
	int64		copy;
} StrmSubjectRow;

/* Registers subjects under key links that are new, without looking. */
extern void strm_key_store_add_subjects(const StrmSubjectRow *rows, int n);

/* Closes the tables; called before a transaction commits or is prepared. */
extern void strm_key_store_close(void);

/* The tables were closed by an abort. */
extern void strm_key_store_forget(void);

#endif							/* STRM_CATALOG_KEY_STORE_H */
