/*
 * layout.h
 *	  Where the columns of a stream are in one of its tables: a partition may have them at other places.
 */
#ifndef STRM_TRANSFORM_LAYOUT_H
#define STRM_TRANSFORM_LAYOUT_H

#include "access/tupdesc.h"

#include "catalog/stream.h"

typedef struct StrmLayout
{
	/* positions in the tuple descriptor, counted from 0 */
	int			contract_version;
	int			nonce;
	int			timestamp;
	int			key_link;
	int			consent_levels;
	int			seal;
	int			nfields;
	int		   *fields;			/* of the contract's fields, by ordinal */
} StrmLayout;

/* Position of the column of that name, counted from 0, or -1. */
extern int	strm_layout_find(TupleDesc desc, const char *name);

/* Finds the columns; the result is in the current context. Raises 55000 when one is missing or has another type. */
extern StrmLayout *strm_layout_make(const StrmStream *stream, TupleDesc desc);

#endif							/* STRM_TRANSFORM_LAYOUT_H */
