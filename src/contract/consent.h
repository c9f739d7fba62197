/*
 * consent.h
 *	  The algebra of consent levels: normalising what a producer sent, and deciding what a set of purposes may see.
 */
#ifndef STRM_CONTRACT_CONSENT_H
#define STRM_CONTRACT_CONSENT_H

#include "utils/array.h"

/* Different levels that a row may have: a seal counts them in two bytes. */
#define STRM_MAX_CONSENT_LEVELS 65535

/*
 * One-dimensional, sorted, unique int4[] of what the producer sent; NULL gives {}. Raises 22023 on a NULL element, a
 * negative level, or more than one dimension, 54000 on too many levels. The result is new, in the current context,
 * unless levels was normal.
 */
extern ArrayType *strm_consent_normalize(ArrayType *levels);

/* Do the (normal) consent levels contain all of the purposes? */
extern bool strm_consent_contains(const ArrayType *levels, const int32 *purposes, int npurposes);

/* Is the highest (normal) consent level at least level? */
extern bool strm_consent_reaches(const ArrayType *levels, int32 level);

#endif							/* STRM_CONTRACT_CONSENT_H */
