/*
 * definition.h
 *	  What strm.create_derived_stream() was asked for, and checking it.
 */
#ifndef STRM_DERIVED_DEFINITION_H
#define STRM_DERIVED_DEFINITION_H

#include "catalog/derived_stream.h"

/* The arguments; NULL where SQL's NULL was given. */
typedef struct StrmDerivedRequest
{
	const char *source;
	ArrayType  *purposes;
	const char *name;
	const char *consent_level_type;
	ArrayType  *masked_fields;
	const char *mask_seed;
	const char *hash_type;
} StrmDerivedRequest;

/* A checked request. */
typedef struct StrmDerivedDefinition
{
	StrmDerivedStream derived;	/* without relid and mask_seed */
	char	   *schema;
	char	   *name;			/* of the view */
	ArrayType  *masked_fields;	/* one-dimensional, without NULLs */
} StrmDerivedDefinition;

/*
 * Checks request and fills definition, in the current context. Raises one error (22023) with a detail line per fault.
 * The source is locked (ACCESS SHARE) to the end of the transaction.
 */
extern void strm_derived_define(const StrmDerivedRequest *request, StrmDerivedDefinition *definition);

#endif							/* STRM_DERIVED_DEFINITION_H */
