/*
 * validation.h
 *	  Regular expressions of validations, when a contract is defined.
 */
#ifndef STRM_CONTRACT_VALIDATION_H
#define STRM_CONTRACT_VALIDATION_H

#include "common/errors.h"

/*
 * false, and a fault that begins with where, when pattern does not compile or would mean something else than it did in
 * Java.
 */
extern bool strm_validation_check_pattern(StrmFaults *faults, const char *pattern, const char *where);

#endif							/* STRM_CONTRACT_VALIDATION_H */
