/*
 * registry.h
 *	  Writing the extension's own tables, on behalf of users who have no rights on them.
 */
#ifndef STRM_CATALOG_REGISTRY_H
#define STRM_CATALOG_REGISTRY_H

/*
 * Runs one statement on the strm.* tables as their owner and returns the number of rows processed. nulls as in
 * SPI_execute_with_args ('n' is NULL; the pointer may be NULL). The statement must be a constant text that qualifies
 * every strm object: values go into args. The caller has checked the user's privileges. Raises whatever the statement
 * raises.
 */
extern uint64 strm_registry_execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls);

/*
 * The same, and copies the first column of the first row into the current memory context. false when there was no row;
 * then *isnull is true.
 */
extern bool strm_registry_fetch(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
								Datum *result, bool *isnull);

/* Bind parameters collected one by one, $1 first; at most STRM_REGISTRY_MAX_ARGS. Start from {0}. */
#define STRM_REGISTRY_MAX_ARGS 32

typedef struct StrmRegistryArgs
{
	int			count;
	Oid			types[STRM_REGISTRY_MAX_ARGS];
	Datum		values[STRM_REGISTRY_MAX_ARGS];
	char		nulls[STRM_REGISTRY_MAX_ARGS];
} StrmRegistryArgs;

extern void strm_registry_add(StrmRegistryArgs *args, Oid type, Datum value, bool isnull);

/* A text parameter; NULL is NULL. */
extern void strm_registry_add_text(StrmRegistryArgs *args, const char *value);

/* What to pass on. */
#define STRM_REGISTRY_ARGS(args) (args)->count, (args)->types, (args)->values, (args)->nulls

/* All rows of a result: the value of column j of row i is values[i * ncolumns + j]. In the caller's memory context. */
typedef struct StrmRegistryRows
{
	uint64		n;
	int			ncolumns;
	Datum	   *values;
	bool	   *nulls;
} StrmRegistryRows;

/* The same, for a statement whose result is small. */
extern StrmRegistryRows *strm_registry_select(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls);

#endif							/* STRM_CATALOG_REGISTRY_H */
