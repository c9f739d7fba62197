/*
 * definition.c
 *	  Expressions in the definition of a stream's table.
 *
 *	  A name proves nothing: an owner may drop a constraint and add another one of its name in one command. And a
 *	  partition of a stream may be partitioned itself: the key of that is computed from the row as the producer sent it,
 *	  and an error of routing prints it.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "nodes/bitmapset.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"

#include "catalog/namespace.h"
#include "guard/definition.h"
#include "strm_privacy.h"

int
strm_definition_ciphertext_constraints(const StrmContract *contract)
{
	return (contract->npersonal + STRM_CIPHERTEXT_COLUMNS - 1) / STRM_CIPHERTEXT_COLUMNS;
}

char *
strm_definition_ciphertext_name(int number)
{
	return number == 0 ? pstrdup(STRM_CIPHERTEXT_CONSTRAINT)
		: psprintf("%s_%d", STRM_CIPHERTEXT_CONSTRAINT, number + 1);
}

/* Is it strm.check_ciphertext(...) of these personal fields' columns? */
static bool
strm_definition_is_check(const Node *node, Relation rel, const StrmContract *contract, const int *ordinals, int n)
{
	const FuncExpr *call = (const FuncExpr *) node;
	char	   *function;

	if (!IsA(node, FuncExpr) || call->funcvariadic || list_length(call->args) != n ||
		get_func_namespace(call->funcid) != get_namespace_oid(STRM_SCHEMA_NAME, true))
		return false;
	function = get_func_name(call->funcid);
	if (function == NULL || strcmp(function, "check_ciphertext") != 0)
		return false;
	for (int i = 0; i < n; i++)
	{
		const Var  *var = list_nth(call->args, i);
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), contract->fields[ordinals[i]].column);

		if (!IsA(var, Var) || attnum == InvalidAttrNumber || var->varattno != attnum)
			return false;
	}
	return true;
}

bool
strm_definition_checks_ciphertext(Relation rel, const StrmContract *contract, int number)
{
	TupleConstr *constraints = RelationGetDescr(rel)->constr;
	char	   *name = strm_definition_ciphertext_name(number);
	int			first = number * STRM_CIPHERTEXT_COLUMNS;
	int			n = Min(contract->npersonal - first, STRM_CIPHERTEXT_COLUMNS);

	for (int i = 0; constraints != NULL && i < constraints->num_check; i++)
	{
		const ConstrCheck *check = &constraints->check[i];

		if (strcmp(check->ccname, name) == 0)
			return strm_check_is_enforced(check) && !check->ccnoinherit &&
				strm_definition_is_check(stringToNode(check->ccbin), rel, contract, contract->personal + first, n);
	}
	return false;
}

bool
strm_definition_routes_by_personal(Relation rel, const StrmContract *contract)
{
	PartitionKey key = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? RelationGetPartitionKey(rel) : NULL;
	Bitmapset  *read = NULL;

	if (key == NULL)
		return false;
	for (int i = 0; i < key->partnatts; i++)
	{
		if (key->partattrs[i] != InvalidAttrNumber)
			read = bms_add_member(read, key->partattrs[i] - FirstLowInvalidHeapAttributeNumber);
	}
	pull_varattnos((Node *) key->partexprs, 1, &read);

	/* the whole row */
	if (bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, read))
		return true;
	for (int i = 0; i < contract->npersonal; i++)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), contract->fields[contract->personal[i]].column);

		if (attnum != InvalidAttrNumber && bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, read))
			return true;
	}
	return false;
}
