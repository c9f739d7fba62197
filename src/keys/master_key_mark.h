/*
 * master_key_mark.h
 *	  A mark, in the catalog that all databases of the cluster share, that a master key exists.
 */
#ifndef STRM_KEYS_MASTER_KEY_MARK_H
#define STRM_KEYS_MASTER_KEY_MARK_H

/* Is the mark there? Also keeps others from asking until the end of the transaction. */
extern bool strm_master_key_mark_exists(void);

/* Sets the mark, with the transaction. Only after strm_master_key_mark_exists() said that there is none. */
extern void strm_master_key_mark_set(void);

#endif							/* STRM_KEYS_MASTER_KEY_MARK_H */
