/*
 * simulate_set.h
 *	  Sets of ASCII characters, as regular expressions name them.
 */
#ifndef STRM_INGEST_SIMULATE_SET_H
#define STRM_INGEST_SIMULATE_SET_H

#include "common/pg_prng.h"

typedef struct StrmSimulateSet
{
	bool		member[128];
} StrmSimulateSet;

/* Adds the characters from first to last; NUL and those above ASCII are left out. */
extern void strm_simulate_set_add_range(StrmSimulateSet *set, int first, int last);

/* Adds the members of the class escape \c: d, s or w, or in upper case their complements. false when c is none. */
extern bool strm_simulate_set_add_escape(StrmSimulateSet *set, char c);

/* Adds the printable members of the class [:name:]. false when there is no such class. */
extern bool strm_simulate_set_add_named(StrmSimulateSet *set, const char *name, Size size);

/* The printable characters that are not in set; only lower-case letters and digits if there are any. */
extern StrmSimulateSet strm_simulate_set_complement(const StrmSimulateSet *set);

extern bool strm_simulate_set_is_empty(const StrmSimulateSet *set);

/* A random member of a set that is not empty. */
extern char strm_simulate_set_choose(const StrmSimulateSet *set, pg_prng_state *prng);

#endif							/* STRM_INGEST_SIMULATE_SET_H */
