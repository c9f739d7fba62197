/*
 * definition.h
 *	  Expressions in the definition of a stream's table: what its ciphertext constraints check, what its partition keys
 *	  read.
 */
#ifndef STRM_GUARD_DEFINITION_H
#define STRM_GUARD_DEFINITION_H

#include "utils/rel.h"

#include "contract/contract.h"

/* How many ciphertext constraints a stream of this contract has. */
extern int	strm_definition_ciphertext_constraints(const StrmContract *contract);

/* The name of the ciphertext constraint of that number, from 0. Palloc'd. */
extern char *strm_definition_ciphertext_name(int number);

/*
 * Does rel, a stream's table, have the ciphertext constraint of that number, as strm.create_stream() makes it? One that
 * only has its name does not count.
 */
extern bool strm_definition_checks_ciphertext(Relation rel, const StrmContract *contract, int number);

/* Is rel partitioned by something that reads a personal field? Rows are routed before they are encrypted. */
extern bool strm_definition_routes_by_personal(Relation rel, const StrmContract *contract);

#endif							/* STRM_GUARD_DEFINITION_H */
