/*
 * timestamp.h
 *	  Timestamps as batch jobs spell them: patterns of Java's DateTimeFormatter (locale ENGLISH, resolver style SMART),
 *	  ISO 8601, and seconds or milliseconds since 1970.
 */
#ifndef STRM_FORMAT_TIMESTAMP_H
#define STRM_FORMAT_TIMESTAMP_H

#include "lib/stringinfo.h"

/* Formats that are no pattern. */
#define STRM_TIMESTAMP_ISO_8601 "ISO_8601"	/* what no format at all means */
#define STRM_TIMESTAMP_EPOCH_SECONDS "EPOCH_SECONDS"	/* may have a fraction */
#define STRM_TIMESTAMP_EPOCH_MILLIS "EPOCH_MILLIS"

typedef struct StrmTimestampFormat StrmTimestampFormat;

/*
 * Compiles a format, in the current memory context, where it may outlive transactions. default_zone: a zone's name or
 * an offset, for timestamps that have none themselves; NULL is UTC. NULL when either is bad: then *fault says why.
 */
extern StrmTimestampFormat *strm_timestamp_format(const char *format, const char *default_zone, char **fault);

/*
 * Parses text into milliseconds since 1970, cut, not rounded. false when it is none; then *message, if message is not
 * NULL, is the JDK's message. It quotes the text: not for messages about personal fields.
 */
extern bool strm_timestamp_parse(const StrmTimestampFormat *format, const char *text, Size size, int64 *epoch_ms,
								 StringInfo message);

#endif							/* STRM_FORMAT_TIMESTAMP_H */
