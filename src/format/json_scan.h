/*
 * json_scan.h
 *	  A strict reader of JSON text (RFC 8259), value by value. Knows nothing of PostgreSQL: no palloc, no ereport.
 *
 *	  The text is valid UTF-8 already. Nothing is copied: a value is the part of the text that it stands in.
 */
#ifndef STRM_FORMAT_JSON_SCAN_H
#define STRM_FORMAT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays and objects inside one another */
#define STRM_JSON_MAX_DEPTH 1000

typedef enum StrmJsonKind
{
	STRM_JSON_STRING,
	STRM_JSON_NUMBER,
	STRM_JSON_BOOLEAN,
	STRM_JSON_NULL,
	STRM_JSON_OBJECT,
	STRM_JSON_ARRAY
} StrmJsonKind;

typedef struct StrmJsonScan
{
	const char *p;				/* the next byte; where the fault is */
	const char *end;
	const char *fault;			/* NULL, or what is wrong: "has no colon after a member's name" */
} StrmJsonScan;

typedef struct StrmJsonValue
{
	StrmJsonKind kind;
	const char *text;			/* as written; of a string what is between the quotes */
	size_t		size;
	bool		escaped;		/* a string with escapes: strm_json_unescape() it */
} StrmJsonValue;

/* Skips blanks; the next byte, NUL at the end. */
extern char strm_json_peek(StrmJsonScan *scan);

/* Skips blanks and c; false when there is something else. */
extern bool strm_json_take(StrmJsonScan *scan, char c);

/* Reads a string, after blanks. false sets the fault. */
extern bool strm_json_string(StrmJsonScan *scan, StrmJsonValue *value);

/* Reads any value, after blanks; depth is that of what it stands in, 0 outside of all. false sets the fault. */
extern bool strm_json_value(StrmJsonScan *scan, StrmJsonValue *value, int depth);

/* Writes what a string with escapes means to to, which has room for size bytes; how many it took. */
extern size_t strm_json_unescape(const char *text, size_t size, char *to);

#endif							/* STRM_FORMAT_JSON_SCAN_H */
