/*
 * data_contract_state.c
 *	  Life cycle of data contracts: DRAFT, IN_REVIEW, APPROVED, ACTIVE, ARCHIVED, and back to ACTIVE.
 *
 *	  EXECUTE on these functions is for roles that may approve. Four eyes: who made the last change of schema or
 *	  contract does not approve it, nor activate it straight from DRAFT, unless superuser.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "api/args.h"
#include "api/data_contract.h"
#include "common/errors.h"
#include "strm_privacy.h"
#include "worker/database_command.h"

PG_FUNCTION_INFO_V1(strm_sql_review_data_contract);
PG_FUNCTION_INFO_V1(strm_sql_approve_data_contract);
PG_FUNCTION_INFO_V1(strm_sql_activate_data_contract);
PG_FUNCTION_INFO_V1(strm_sql_archive_data_contract);

/*
 * Raises 42501 when the caller is the author of the last change: as the current role, or as the role that logged in, so
 * that SET ROLE does not make two eyes four. In a security-restricted operation (a batch job, the refresh of a
 * materialized view) nobody can tell who logged in to have it done.
 */
static void
strm_data_contract_check_author(const StrmContractTarget *target, const char *verb)
{
	Oid			author = get_role_oid(target->row.author, true);

	if (superuser() || !OidIsValid(author))
		return;
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("data contract \"%s\" cannot be %s within a security-restricted operation", target->ref, verb));
	if (author != GetUserId() && (author != GetSessionUserId() || superuser_arg(GetSessionUserId())))
		return;
	ereport(ERROR,
			errcode(STRM_ERR_PRIVILEGE),
			errmsg("data contract \"%s\" cannot be %s by the author of its last change", target->ref, verb),
			errdetail("The author is role \"%s\".", target->row.author),
			errhint("Another member of strm_approver or strm_admin may do it."));
}

/* Moves the contract to state; an approval records who gave it. */
static Datum
strm_data_contract_move(const StrmContractTarget *target, StrmContractState state, bool approves, const char *verb)
{
	StrmRegistryArgs args;

	strm_data_contract_args(&args);
	strm_registry_add_text(&args, strm_catalog_contract_state_name(state));
	strm_registry_add_text(&args, approves ? strm_args_current_role() : NULL);
	strm_data_contract_write(target,
							 "UPDATE strm.data_contract SET revision = revision + 1, changed_at = now(), state = $3,"
							 " approved_by = coalesce($4, approved_by) WHERE id = $1 AND revision = $2", &args, verb);
	/* rows of inboxes may wait for it */
	strm_worker_nudge_at_commit();
	return (Datum) 0;
}

/* strm.review_data_contract(ref text) RETURNS void */
Datum
strm_sql_review_data_contract(PG_FUNCTION_ARGS)
{
	StrmContractTarget target;

	strm_data_contract_find(fcinfo, &target);
	if (target.row.state != STRM_CONTRACT_DRAFT)
		strm_data_contract_refuse(&target, "reviewed", NULL);
	return strm_data_contract_move(&target, STRM_CONTRACT_IN_REVIEW, false, "reviewed");
}

/* strm.approve_data_contract(ref text) RETURNS void */
Datum
strm_sql_approve_data_contract(PG_FUNCTION_ARGS)
{
	StrmContractTarget target;

	strm_data_contract_find(fcinfo, &target);
	if (target.row.state != STRM_CONTRACT_IN_REVIEW)
		strm_data_contract_refuse(&target, "approved",
								  "A contract is approved from IN_REVIEW: use strm.review_data_contract().");
	strm_data_contract_check_author(&target, "approved");
	return strm_data_contract_move(&target, STRM_CONTRACT_APPROVED, true, "approved");
}

/* strm.activate_data_contract(ref text) RETURNS void */
Datum
strm_sql_activate_data_contract(PG_FUNCTION_ARGS)
{
	StrmContractTarget target;
	bool		approves;

	strm_data_contract_find(fcinfo, &target);
	if (target.row.state == STRM_CONTRACT_IN_REVIEW)
		strm_data_contract_refuse(&target, "activated", "Approve it with strm.approve_data_contract().");
	if (target.row.state == STRM_CONTRACT_ACTIVE)
		strm_data_contract_refuse(&target, "activated", NULL);
	approves = target.row.state == STRM_CONTRACT_DRAFT;
	if (approves)
		strm_data_contract_check_author(&target, "activated");
	return strm_data_contract_move(&target, STRM_CONTRACT_ACTIVE, approves, "activated");
}

/* strm.archive_data_contract(ref text) RETURNS void */
Datum
strm_sql_archive_data_contract(PG_FUNCTION_ARGS)
{
	StrmContractTarget target;

	strm_data_contract_find(fcinfo, &target);
	if (target.row.state != STRM_CONTRACT_ACTIVE)
		strm_data_contract_refuse(&target, "archived", NULL);
	return strm_data_contract_move(&target, STRM_CONTRACT_ARCHIVED, false, "archived");
}
