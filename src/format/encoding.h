/*
 * encoding.h
 *	  Conversion between UTF-8 and a file's encoding, on the way from a source or to a sink.
 */
#ifndef STRM_FORMAT_ENCODING_H
#define STRM_FORMAT_ENCODING_H

#include "common/bytes.h"

/*
 * Raises STRM_ERR_ARGUMENT when a file that begins with these bytes is in UTF-16 or UTF-32, or compressed: no encoding
 * of PostgreSQL's is either.
 */
extern void strm_encoding_check_head(const char *data, Size size);

/*
 * What source holds in encoding, in UTF-8, in the current memory context. Bytes that mean nothing in encoding become
 * bytes that mean nothing in UTF-8, and a NUL remains one, so that records which hold them can be told apart. Closing
 * it closes source. Needs a transaction here, but not later. Raises STRM_ERR_ARGUMENT when there is no such conversion.
 */
extern StrmByteSource *strm_encoding_source(StrmByteSource *source, int encoding);

/*
 * Converts UTF-8 to encoding on the way to sink, which finish, publish and discard are passed on to; in the current
 * memory context. Each write must hold whole characters. Raises ERRCODE_UNTRANSLATABLE_CHARACTER (22P05) at one that
 * encoding does not have. Otherwise like strm_encoding_source().
 */
extern StrmByteSink *strm_encoding_sink(StrmByteSink *sink, int encoding);

#endif							/* STRM_FORMAT_ENCODING_H */
