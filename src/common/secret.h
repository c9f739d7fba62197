/*
 * secret.h
 *	  Memory for secrets, and their wiping.
 */
#ifndef STRM_COMMON_SECRET_H
#define STRM_COMMON_SECRET_H

/*
 * Allocates size zeroed bytes in cxt that are wiped when cxt is reset or deleted, also on error paths.
 * Do not pfree the result.
 */
extern void *strm_secret_alloc(MemoryContext cxt, Size size);

/* Overwrites size bytes at p with zeroes; never optimised away. */
extern void strm_secret_wipe(void *p, Size size);

/* Fills size bytes at out with strong random ones; raises XX000 when there are none to be had. */
extern void strm_secret_random(void *out, Size size);

#endif							/* STRM_COMMON_SECRET_H */
