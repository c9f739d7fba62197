/*
 * gzip.h
 *	  gzip (RFC 1952) on the way from a source or to a sink, by zlib.
 */
#ifndef STRM_FORMAT_GZIP_H
#define STRM_FORMAT_GZIP_H

#include "common/bytes.h"

/*
 * The decompressed bytes of source; several members one after the other count as one. Raises STRM_ERR_ARGUMENT when it
 * is not gzip, damaged or cut off. Closing it closes source.
 */
extern StrmByteSource *strm_gzip_source(StrmByteSource *source);

/* Compresses into sink, which finish, publish and discard are passed on to. */
extern StrmByteSink *strm_gzip_sink(StrmByteSink *sink);

/*
 * Ends the compressed stream without finishing sink: everything is in what strm_gzip_sink() was given. Writing more
 * begins another member.
 */
extern void strm_gzip_sink_end(StrmByteSink *sink);

/* Does the file name ask for gzip (".gz")? */
extern bool strm_gzip_by_name(const char *file_name);

#endif							/* STRM_FORMAT_GZIP_H */
