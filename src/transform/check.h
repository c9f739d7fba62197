/*
 * check.h
 *	  Checking a producer's row against its data contract, without any key.
 */
#ifndef STRM_TRANSFORM_CHECK_H
#define STRM_TRANSFORM_CHECK_H

#include "contract/contract.h"

/* The elements of one field's value, in canonical text. A scalar has one element, NULL none. */
typedef struct StrmPlain
{
	int			n;
	bool		null;			/* the whole value */
	bool		bad;			/* not of its type: text and size are not set */
	const char **text;
	Size	   *size;
	bool	   *nulls;
	/* room for the one element of a scalar */
	const char *text1;
	Size		size1;
	bool		null1;
} StrmPlain;

/*
 * Reads all fields of a row, raises everything that is wrong with them, then checks the validations. positions: of the
 * contract's fields in values and nulls, by ordinal. The result, in the current context, is by ordinal: set for fields
 * that are NULL, personal, the key or data subject field, or validated; of others nothing is looked at. Raises private
 * errors (23502, 22P02, 23514, 54000) that name contract, field and rule, never a value.
 */
extern StrmPlain *strm_check_row(const StrmContract *contract, const int *positions, const Datum *values,
								 const bool *nulls);

#endif							/* STRM_TRANSFORM_CHECK_H */
