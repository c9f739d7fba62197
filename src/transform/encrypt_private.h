/*
 * encrypt_private.h
 *	  What encrypt.c offers to encrypt_rows.c.
 */
#ifndef STRM_TRANSFORM_ENCRYPT_PRIVATE_H
#define STRM_TRANSFORM_ENCRYPT_PRIVATE_H

#include "transform/check.h"
#include "transform/encrypt.h"

/* Makes the row of its fields' texts: key, ciphertexts, the server's columns. */
extern void strm_encrypt_plains(const StrmStream *stream, const StrmLayout *layout, TimestampTz timestamp,
								const StrmPlain *plains, Datum *values, bool *nulls);

#endif							/* STRM_TRANSFORM_ENCRYPT_PRIVATE_H */
