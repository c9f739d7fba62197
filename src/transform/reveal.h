/*
 * reveal.h
 *	  Decrypting or masking personal fields of sealed rows for a derived stream.
 */
#ifndef STRM_TRANSFORM_REVEAL_H
#define STRM_TRANSFORM_REVEAL_H

#include "lib/stringinfo.h"

#include "catalog/derived_stream.h"
#include "transform/mask.h"
#include "transform/seal.h"
#include "strm_privacy.h"

/* One field of one derived stream, revealed for many rows. */
typedef struct StrmReveal
{
	const StrmDerivedStream *derived;
	int			ordinal;		/* of a personal field */
	const StrmMaskSeed *seed;	/* when the field is masked */
	StringInfoData plain;		/* scratch; holds nothing between calls */
} StrmReveal;

/* Type of the revealed value: the field's own, or text (text[]) when masked. */
extern Oid	strm_reveal_type(const StrmDerivedStream *derived, int ordinal);

/* Do these consent levels satisfy the derived stream? The levels are normal. */
extern bool strm_reveal_consented(const StrmDerivedStream *derived, const ArrayType *levels);

/* Did the server seal row for the derived stream's source under key, which is not destroyed? */
extern bool strm_reveal_authentic(const StrmDerivedStream *derived, StrmDataKey *key, const StrmSealedRow *row);

/*
 * Reveals the field, which is allowed, of an authentic row into *result, allocated in the current context, or *null.
 * false when its ciphertext is not authentic, or not of the field's type.
 */
extern bool strm_reveal_field(StrmReveal *reveal, StrmDataKey *key, const StrmSealedRow *row, Datum *result,
							  bool *null);

/* Wipes what an error within strm_reveal_field() may have left in the scratch buffer. */
extern void strm_reveal_wipe(StrmReveal *reveal);

/*
 * All of this for one field of a row that may come from anybody, checked in this order: key, seal, consent, purpose.
 * Reveals the field of row into *result, allocated in the current context; false for NULL: the value is NULL or its key
 * was destroyed. Raises XX001 for anything that the server did not seal for this stream, 42501 when the row's consent
 * or the field's purpose is not the derived stream's. That the caller may read the derived stream is the caller's to
 * check, before.
 */
extern bool strm_reveal(StrmReveal *reveal, const StrmSealedRow *row, Datum *result);

/* The one error (XX001) for every kind of forgery: which check failed is nobody's business. */
pg_noreturn extern void strm_reveal_raise_forged(const StrmDerivedStream *derived);

#endif							/* STRM_TRANSFORM_REVEAL_H */
