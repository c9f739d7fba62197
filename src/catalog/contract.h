/*
 * contract.h
 *	  Rows of strm.data_contract as structs.
 */
#ifndef STRM_CATALOG_CONTRACT_H
#define STRM_CATALOG_CONTRACT_H

#include "contract/contract.h"

/*
 * The compiled contract of that id; NULL when there is none. Read with a catalog snapshot: works for any role, in
 * parallel workers and on standbys. Cached; the result stays valid to the end of the transaction, whatever changes
 * meanwhile.
 */
extern StrmContract *strm_catalog_contract(int id);

/* What decides about a contract's life cycle. */
typedef struct StrmContractRow
{
	int			id;
	StrmContractState state;
	int			revision;
	char	   *author;
	char	   *owner;
	Jsonb	   *schema;
	Jsonb	   *contract;
} StrmContractRow;

/*
 * The row of handle/name/version (canonical, as strm_contract_parse_ref gives it), in the current context; false when
 * none.
 */
extern bool strm_catalog_contract_row(const char *handle, const char *name, const char *version, StrmContractRow *row);

/* Id of handle/name/version, or 0. */
extern int	strm_catalog_contract_id(const char *handle, const char *name, const char *version);

/* "ACTIVE" and so on: how the state is stored and shown. */
extern const char *strm_catalog_contract_state_name(StrmContractState state);

#endif							/* STRM_CATALOG_CONTRACT_H */
