/*
 * creation_lock.h
 *	  Short locks, partitioned by a hash, that make looking a key up and creating it one step.
 */
#ifndef STRM_KEYS_CREATION_LOCK_H
#define STRM_KEYS_CREATION_LOCK_H

#include "utils/uuid.h"

/* Asks for the locks' shared memory; called once, by _PG_init, while shared libraries are preloaded. */
extern void strm_creation_lock_init(void);

/* Was the library preloaded, so that the locks exist? */
extern bool strm_creation_lock_ready(void);

/* Which of the locks is that of lookup's value: equal numbers, one lock. */
extern int	strm_creation_lock_number(const pg_uuid_t *lookup);

/* Never two at once. Errors release it. */
extern void strm_creation_lock_acquire(const pg_uuid_t *lookup);
extern void strm_creation_lock_release(const pg_uuid_t *lookup);

#endif							/* STRM_KEYS_CREATION_LOCK_H */
