/*
 * inbox_row.h
 *	  A checked row as bytes, to be sealed whole, and back.
 *
 *	  The same on every machine and server version. Format version (1 byte, 1); the contract's version as a text; the
 *	  consent levels: their number, each in 4 bytes; then the contract's fields in its order. A number is in base 128,
 *	  low bits first, the high bit of a byte set when another follows; a text is its size, a number, and its bytes. A
 *	  scalar value is 0 for NULL, else its size + 1, a number, and its bytes: of a personal field its canonical text; of
 *	  any other the bytes of a STRING, one byte of a BOOLEAN, 4 of an INTEGER, 8 of a LONG, 8 of a FLOAT (IEEE 754). A
 *	  repeated value is 0 for NULL, else the number of dimensions + 1; of each dimension the length, a number, and the
 *	  lower bound in 4 bytes; then its elements, as scalars. What has a fixed size is big endian.
 */
#ifndef STRM_INGEST_INBOX_ROW_H
#define STRM_INGEST_INBOX_ROW_H

#include "lib/stringinfo.h"
#include "utils/array.h"

#include "transform/check.h"
#include "transform/layout.h"

/*
 * Appends a row to out. plains: what checking it gave; values and nulls: its columns, fields at positions by ordinal.
 */
extern void strm_inbox_row_write(const StrmContract *contract, const int *positions, const Datum *values,
								 const bool *nulls, const StrmPlain *plains, const ArrayType *consent_levels,
								 StringInfo out);

/*
 * Reads a row into values and nulls: consent levels and fields by the positions of layout, in the current context.
 * Raises XX001 (private) when it is none of this contract's version.
 */
extern void strm_inbox_row_read(const StrmContract *contract, const uint8 *in, Size n, const StrmLayout *layout,
								Datum *values, bool *nulls);

#endif							/* STRM_INGEST_INBOX_ROW_H */
