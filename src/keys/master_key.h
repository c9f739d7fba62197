/*
 * master_key.h
 *	  Wrapping and unwrapping under the master key.
 */
#ifndef STRM_KEYS_MASTER_KEY_H
#define STRM_KEYS_MASTER_KEY_H

#include "crypto/wrap.h"

/*
 * Wraps size bytes under a nonce of 24 random bytes, or one made here when nonce is NULL; the result is palloc'd.
 * Raises 55000 when sealed: no preload, no master key file, or one that may not be used.
 */
extern bytea *strm_master_key_wrap(const StrmWrapPlace *place, const uint8 *nonce, const uint8 *payload, Size size);

/*
 * Unwraps into out, which has room for size bytes; the payload must have exactly that size. Raises 55000 when sealed or
 * when the file lacks the master key that wrapped it; XX001 when it is not authentic.
 */
extern void strm_master_key_unwrap(const StrmWrapPlace *place, const bytea *wrapped, uint8 *out, Size size);

/* Payload size of a wrapped secret; 0 when it is too short. */
extern Size strm_master_key_payload_size(const bytea *wrapped);

/* Raises 55000 unless the library was preloaded and a master key can be read. */
extern void strm_master_key_require(void);

/* Creates the master key file if there is none; see the .c file for when that is refused. */
extern void strm_master_key_create(void);

#endif							/* STRM_KEYS_MASTER_KEY_H */
