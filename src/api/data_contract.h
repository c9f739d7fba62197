/*
 * data_contract.h
 *	  What the SQL functions on data contracts share.
 */
#ifndef STRM_API_DATA_CONTRACT_H
#define STRM_API_DATA_CONTRACT_H

#include "fmgr.h"

#include "catalog/contract.h"
#include "catalog/registry.h"
#include "strm_privacy.h"

/* The contract that a function works on, as it was when the function judged it. */
typedef struct StrmContractTarget
{
	char	   *ref;
	StrmContractRow row;
} StrmContractTarget;

/* The contract that the first argument names; raises 42704 when there is none. */
extern void strm_data_contract_find(FunctionCallInfo fcinfo, StrmContractTarget *target);

/* Raises 55000: in its state the contract cannot be <verb>. hint may be NULL. */
pg_noreturn extern void strm_data_contract_refuse(const StrmContractTarget *target, const char *verb, const char *hint);

/* Arguments whose $1 and $2 are kept for strm_data_contract_write. */
extern void strm_data_contract_args(StrmRegistryArgs *args);

/*
 * Runs a statement on the contract's row, $1 its id and $2 the revision that was judged; raises 55000 when another
 * transaction changed it meanwhile.
 */
extern void strm_data_contract_write(const StrmContractTarget *target, const char *sql, StrmRegistryArgs *args,
									 const char *verb);

/*
 * Simple Schema in JSON of a table's columns; raises 22023 with all faults when there is none. Needs SELECT on the
 * table.
 */
extern char *strm_data_contract_schema_of(Oid relid);

#endif							/* STRM_API_DATA_CONTRACT_H */
