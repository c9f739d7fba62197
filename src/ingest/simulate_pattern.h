/*
 * simulate_pattern.h
 *	  Random texts that match a regular expression.
 */
#ifndef STRM_INGEST_SIMULATE_PATTERN_H
#define STRM_INGEST_SIMULATE_PATTERN_H

#include "common/pg_prng.h"
#include "lib/stringinfo.h"

typedef struct StrmPattern StrmPattern;

/*
 * Compiles an advanced regular expression that the server accepts, in the current memory context. NULL when it uses
 * what is not understood here (back references, collating elements, character escapes above ASCII).
 */
extern StrmPattern *strm_pattern_compile(const char *regex);

/*
 * Appends a random text that probably matches: look-around constraints and word boundaries are not regarded, so callers
 * verify. false when the text would grow too long.
 */
extern bool strm_pattern_generate(const StrmPattern *pattern, pg_prng_state *prng, StringInfo out);

#endif							/* STRM_INGEST_SIMULATE_PATTERN_H */
