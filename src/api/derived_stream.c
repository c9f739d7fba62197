/*
 * derived_stream.c
 *	  strm.create_derived_stream(), strm.drop_derived_stream() and the trigger that keeps derived streams read-only.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/secret.h"
#include "common/statement.h"
#include "common/uuid.h"
#include "derived/view.h"
#include "strm_privacy.h"
#include "transform/mask.h"

#define STRM_RANDOM_SEED_SIZE 32

PG_FUNCTION_INFO_V1(strm_sql_create_derived_stream);
PG_FUNCTION_INFO_V1(strm_sql_drop_derived_stream);
PG_FUNCTION_INFO_V1(strm_sql_refuse_write);

/* Wraps the seed, which is wiped, or a random one when none was given. */
static bytea *
strm_derived_wrap_seed(const pg_uuid_t *id, char *seed)
{
	char		random[STRM_RANDOM_SEED_SIZE];
	bytea	   *wrapped;

	if (seed != NULL)
	{
		wrapped = strm_mask_wrap(id, seed, strlen(seed));
		strm_secret_wipe(seed, strlen(seed));
		return wrapped;
	}
	strm_secret_random(random, sizeof(random));
	wrapped = strm_mask_wrap(id, random, sizeof(random));
	strm_secret_wipe(random, sizeof(random));
	return wrapped;
}

/* Writes the row of strm.derived_stream. */
static void
strm_derived_register(const StrmDerivedDefinition *definition, Oid relid, bytea *wrapped)
{
	const StrmDerivedStream *derived = &definition->derived;
	StrmRegistryArgs args = {0};
	Datum	   *levels = palloc(derived->npurposes * sizeof(Datum));

	for (int i = 0; i < derived->npurposes; i++)
		levels[i] = Int32GetDatum(derived->purposes[i]);

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&derived->id), false);
	strm_registry_add(&args, REGCLASSOID, ObjectIdGetDatum(relid), false);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&derived->stream->id), false);
	strm_registry_add(&args, INT4ARRAYOID,
					  PointerGetDatum(construct_array(levels, derived->npurposes, INT4OID, sizeof(int32), true,
													  TYPALIGN_INT)),
					  false);
	strm_registry_add_text(&args, derived->cumulative ? "CUMULATIVE" : "GRANULAR");
	strm_registry_add(&args, TEXTARRAYOID, PointerGetDatum(definition->masked_fields), false);
	strm_registry_add_text(&args, derived->hash_type == STRM_HASH_MURMUR3 ? "murmur3" : "blake2b");
	strm_registry_add(&args, BYTEAOID, PointerGetDatum(wrapped), wrapped == NULL);
	strm_registry_execute("INSERT INTO strm.derived_stream (id, relation, stream_id, purposes,"
						  " consent_level_type, masked_fields, hash_type, mask_seed)"
						  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
						  STRM_REGISTRY_ARGS(&args));
}

/* Checks, makes the view as the caller, and registers it. */
static Oid
strm_derived_create(const StrmDerivedRequest *request, char *seed)
{
	StrmDerivedDefinition definition;
	bytea	   *wrapped = NULL;
	Oid			relid;

	strm_derived_define(request, &definition);
	definition.derived.id = strm_uuid_new();
	if (ARR_NDIM(definition.masked_fields) > 0)
		wrapped = strm_derived_wrap_seed(&definition.derived.id, seed);
	relid = strm_derived_create_view(&definition);
	strm_derived_register(&definition, relid, wrapped);
	return relid;
}

/* strm.create_derived_stream(source, purposes, name, consent_level_type, masked_fields, mask_seed, hash_type) */
Datum
strm_sql_create_derived_stream(PG_FUNCTION_ARGS)
{
	ErrorContextCallback *context = error_context_stack;
	StrmDerivedRequest request;
	char	   *seed = PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5));
	Oid			relid;

	request.source = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	request.purposes = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	request.name = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	request.consent_level_type = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	request.masked_fields = PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4);
	request.mask_seed = seed;
	request.hash_type = PG_ARGISNULL(6) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(6));

	if (seed == NULL)
		PG_RETURN_OID(strm_derived_create(&request, NULL));

	/* a caller's context line, as PL/pgSQL's, would show the statement with the seed */
	strm_statement_hide();
	error_context_stack = NULL;
	relid = strm_derived_create(&request, seed);
	error_context_stack = context;
	PG_RETURN_OID(relid);
}

/*
 * strm.drop_derived_stream(name text). Strict. The caller must own the view, or be of strm_admin: then it is dropped as
 * its owner.
 */
Datum
strm_sql_drop_derived_stream(PG_FUNCTION_ARGS)
{
	List	   *name = textToQualifiedNameList(PG_GETARG_TEXT_PP(0));
	Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(name), NoLock, true);
	const StrmDerivedStream *derived = OidIsValid(relid) ? strm_catalog_derived_stream_of(relid) : NULL;
	StrmRegistryArgs args = {0};
	pg_uuid_t	id;
	Oid			user;
	int			context;

	if (derived == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("derived stream \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				errhint("strm.derived_streams lists the derived streams."));
	id = derived->id;

	GetUserIdAndSecContext(&user, &context);
	if (!object_ownercheck_relation(relid, user))
	{
		if (!has_privs_of_role(user, get_role_oid("strm_admin", false)))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, get_rel_name(relid));
		SetUserIdAndSecContext(strm_catalog_relation_owner(relid),
							   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	}
	strm_derived_drop_view(relid);
	SetUserIdAndSecContext(user, context);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&id), false);
	strm_registry_execute("DELETE FROM strm.derived_stream WHERE id = $1", STRM_REGISTRY_ARGS(&args));
	PG_RETURN_VOID();
}

/* strm.refuse_write(): INSTEAD OF trigger of derived streams. */
Datum
strm_sql_refuse_write(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("strm.refuse_write() is a trigger function"));

	strm_ereport_private(errcode(STRM_ERR_STATE),
						 errmsg("derived stream is read-only"),
						 errhint("Insert into the stream that \"%s\" is derived from.",
								 RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)));
}
