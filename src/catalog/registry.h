/*
 * registry.h
 *	  Writing the extension's own tables, on behalf of users who have no rights on them.
 */
#ifndef STRM_CATALOG_REGISTRY_H
#define STRM_CATALOG_REGISTRY_H

/*
 * Runs one statement on the strm.* tables as their owner and returns the number of rows processed. nulls as in
 * SPI_execute_with_args ('n' is NULL; the pointer may be NULL). The statement must be a constant text that qualifies every
 * strm object: values go into args. The caller has checked the user's privileges. Raises whatever the statement raises.
 */
extern uint64 strm_registry_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls);

/*
 * The same, and copies the first column of the first row into the current memory context. false when there was no row;
 * then *isnull is true.
 */
extern bool strm_registry_fetch(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
								Datum *result, bool *isnull);

#endif							/* STRM_CATALOG_REGISTRY_H */
