/*
 * encrypt.h
 *	  Turning a row as a producer sent it into the row that is stored.
 */
#ifndef STRM_TRANSFORM_ENCRYPT_H
#define STRM_TRANSFORM_ENCRYPT_H

#include "transform/layout.h"
#include "transform/seal.h"

/*
 * Checks a producer's row against the stream's contract, encrypts its personal fields, fills the server's columns and
 * seals it. values and nulls are by position in the tuple descriptor and changed in place; new values are in the
 * current context. timestamp: in whole milliseconds. Raises private errors (23502, 22P02, 23514, 22023, 54000) that
 * name contract, field and rule, never a value.
 */
extern void strm_encrypt_row(const StrmStream *stream, const StrmLayout *layout, TimestampTz timestamp, Datum *values,
							 bool *nulls);

/* A row that waits to be encrypted; its timestamp in whole milliseconds. */
typedef struct StrmEncryptRow
{
	Datum	   *values;
	bool	   *nulls;
	TimestampTz timestamp;
} StrmEncryptRow;

/*
 * The same for rows that were checked against the contract before, and whose personal values are canonical texts: they
 * are not checked again, and the keys that they need are made many at once.
 */
extern void strm_encrypt_rows(const StrmStream *stream, const StrmLayout *layout, StrmEncryptRow *rows, int n);

/* The server's columns and personal columns of a stored row, as the seal sees them. row's arrays are palloc'd. */
extern void strm_sealed_row_read(const StrmStream *stream, const StrmLayout *layout, const Datum *values,
								 const bool *nulls, StrmSealedRow *row);

#endif							/* STRM_TRANSFORM_ENCRYPT_H */
