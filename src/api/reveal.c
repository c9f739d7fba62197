/*
 * reveal.c
 *	  strm.reveal(), strm.mask_value() and strm.mask_values(): what the views of derived streams call.
 *
 *	  PostgreSQL checks EXECUTE on the functions of a view against the view's reader, so a reader can call them
 *	  directly, with any arguments. strm.reveal() therefore checks everything itself, first of all that the caller may
 *	  SELECT that column of the derived stream. What a call site (fn_extra) has found out is good for one user, one
 *	  statement and one generation of the catalog: a REVOKE takes effect with the next statement or FETCH, as in
 *	  PostgreSQL.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "common/array.h"
#include "common/errors.h"
#include "strm_privacy.h"
#include "transform/reveal.h"

/* Arguments of strm.reveal before the personal columns. */
enum
{
	REVEAL_DERIVED, REVEAL_FIELD, REVEAL_VERSION, REVEAL_NONCE, REVEAL_TIMESTAMP, REVEAL_KEY_LINK, REVEAL_CONSENT,
	REVEAL_SEAL, REVEAL_RESULT_TYPE, REVEAL_PERSONAL
};

/* For what the findings of a call site hold. */
typedef struct StrmCallKey
{
	Oid			user;
	TimestampTz statement;
	TimestampTz transaction;
	uint64		generation;
} StrmCallKey;

typedef struct StrmRevealCall
{
	StrmCallKey key;
	pg_uuid_t	derived;
	int			ordinal;
	bool		valid;
	MemoryContext cxt;			/* of the seed and the scratch buffer; reset when the findings no longer hold */
	StrmReveal	reveal;
} StrmRevealCall;

typedef struct StrmMaskCall
{
	StrmCallKey key;
	int			ordinal;
	bytea	   *token;			/* what seed was made of; NULL: nothing yet */
	MemoryContext cxt;			/* of token and seed */
	StrmMaskSeed *seed;
	const StrmField *field;
	StringInfoData buffer;		/* scratch */
} StrmMaskCall;

PG_FUNCTION_INFO_V1(strm_sql_reveal);
PG_FUNCTION_INFO_V1(strm_sql_mask_value);
PG_FUNCTION_INFO_V1(strm_sql_mask_values);

static StrmCallKey
strm_call_key(void)
{
	StrmCallKey key;

	key.user = GetUserId();
	key.statement = GetCurrentStatementStartTimestamp();
	key.transaction = GetCurrentTransactionStartTimestamp();
	key.generation = strm_catalog_generation();
	return key;
}

static inline bool
strm_call_key_holds(const StrmCallKey *key)
{
	return key->user == GetUserId() &&
		key->statement == GetCurrentStatementStartTimestamp() &&
		key->transaction == GetCurrentTransactionStartTimestamp() &&
		key->generation == strm_catalog_generation();
}

/* Raises 42501 unless the current user may SELECT the field's column of the derived stream's view. */
static void
strm_reveal_check_privilege(const StrmDerivedStream *derived, int ordinal)
{
	bool		missing = false;
	AclResult	result = pg_class_aclcheck_ext(derived->relid, GetUserId(), ACL_SELECT, &missing);

	if (result != ACLCHECK_OK && !missing)
		result = pg_attribute_aclcheck_ext(derived->relid, STRM_DERIVED_ATTNUM(ordinal), GetUserId(), ACL_SELECT,
										   &missing);
	if (missing)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("the view of this derived stream does not exist"));
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_VIEW, get_rel_name(derived->relid));
}

/* Raises 22023 unless the call's argument types are those of the derived stream's field and personal columns. */
static void
strm_reveal_check_types(FunctionCallInfo fcinfo, const StrmDerivedStream *derived, int ordinal)
{
	const StrmContract *contract = derived->stream->contract;

	if (get_fn_expr_variadic(fcinfo->flinfo) || PG_NARGS() != REVEAL_PERSONAL + contract->npersonal)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("derived stream \"%s\" has %d personal columns", get_rel_name(derived->relid),
					   contract->npersonal));
	if (get_fn_expr_argtype(fcinfo->flinfo, REVEAL_RESULT_TYPE) != strm_reveal_type(derived, ordinal))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("field \"%s\" is revealed as type %s", contract->fields[ordinal].name,
					   format_type_be(strm_reveal_type(derived, ordinal))));
	for (int i = 0; i < contract->npersonal; i++)
	{
		const StrmField *field = &contract->fields[contract->personal[i]];
		Oid			stored = field->repeated ? TEXTARRAYOID : TEXTOID;

		if (get_fn_expr_argtype(fcinfo->flinfo, REVEAL_PERSONAL + i) != stored)
			ereport(ERROR,
					errcode(STRM_ERR_ARGUMENT),
					errmsg("column \"%s\" is of type %s", field->column, format_type_be(stored)));
	}
}

/* Finds out for this call site all that does not depend on the row. */
static void
strm_reveal_resolve(FunctionCallInfo fcinfo, StrmRevealCall *call, const pg_uuid_t *id, int ordinal)
{
	const StrmDerivedStream *derived;
	StrmReveal *reveal = &call->reveal;
	MemoryContext old;

	call->valid = false;
	MemoryContextReset(call->cxt);
	call->key = strm_call_key();
	derived = strm_catalog_derived_stream(id);
	if (derived == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("derived stream does not exist"));
	if (ordinal < 0 || ordinal >= derived->stream->contract->nfields)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("derived stream \"%s\" has no field of this number", get_rel_name(derived->relid)));
	strm_reveal_check_privilege(derived, ordinal);
	if (!derived->stream->contract->fields[ordinal].personal)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("field \"%s\" is not personal", derived->stream->contract->fields[ordinal].name));
	strm_reveal_check_types(fcinfo, derived, ordinal);

	memset(reveal, 0, sizeof(*reveal));
	reveal->derived = derived;
	reveal->ordinal = ordinal;
	old = MemoryContextSwitchTo(call->cxt);
	initStringInfo(&reveal->plain);
	MemoryContextSwitchTo(old);
	if (derived->fields[ordinal].masked)
		reveal->seed = strm_mask_unwrap(call->cxt, &derived->id, derived->hash_type, derived->mask_seed);
	call->derived = *id;
	call->ordinal = ordinal;
	call->valid = true;
}

/* The call site's state, resolved for this user, statement, derived stream and field. */
static inline StrmReveal *
strm_reveal_call(FunctionCallInfo fcinfo)
{
	StrmRevealCall *call = fcinfo->flinfo->fn_extra;
	const pg_uuid_t *id;
	int			ordinal;

	if (PG_ARGISNULL(REVEAL_DERIVED) || PG_ARGISNULL(REVEAL_FIELD))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("derived stream and field must not be NULL"));
	id = PG_GETARG_UUID_P(REVEAL_DERIVED);
	ordinal = PG_GETARG_INT32(REVEAL_FIELD);

	if (unlikely(call == NULL))
	{
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(StrmRevealCall));
		call->cxt = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "strm reveal", ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = call;
	}
	if (unlikely(!call->valid || call->ordinal != ordinal || memcmp(&call->derived, id, UUID_LEN) != 0 ||
				 !strm_call_key_holds(&call->key)))
		strm_reveal_resolve(fcinfo, call, id, ordinal);
	return &call->reveal;
}

/*
 * The row of the arguments; false when a column that no sealed row lacks is NULL. buffer is of the caller's lifetime.
 */
static inline bool
strm_reveal_row(FunctionCallInfo fcinfo, StrmSealedRow *row, StrmArrayBuffer *buffer, Datum *personal, bool *nulls)
{
	text	   *version;

	for (int i = REVEAL_VERSION; i <= REVEAL_SEAL; i++)
		if (PG_ARGISNULL(i))
			return false;

	version = PG_GETARG_TEXT_PP(REVEAL_VERSION);
	row->version = VARDATA_ANY(version);
	row->version_size = VARSIZE_ANY_EXHDR(version);
	row->nonce = PG_GETARG_INT32(REVEAL_NONCE);
	row->timestamp = PG_GETARG_TIMESTAMPTZ(REVEAL_TIMESTAMP);
	row->key_link = PG_GETARG_UUID_P(REVEAL_KEY_LINK);
	row->consent_levels = strm_array_plain(PG_GETARG_DATUM(REVEAL_CONSENT), buffer);
	row->seal = PG_GETARG_BYTEA_PP(REVEAL_SEAL);
	row->npersonal = PG_NARGS() - REVEAL_PERSONAL;
	for (int i = 0; i < row->npersonal; i++)
	{
		nulls[i] = PG_ARGISNULL(REVEAL_PERSONAL + i);
		personal[i] = PG_GETARG_DATUM(REVEAL_PERSONAL + i);
	}
	row->personal = personal;
	row->personal_null = nulls;
	return true;
}

/*
 * strm.reveal(derived uuid, field int4, the server columns, result_type anyelement, VARIADIC personal "any")
 *
 * The field of that ordinal as the derived stream shows it. For what it checks see transform/reveal.c.
 */
Datum
strm_sql_reveal(PG_FUNCTION_ARGS)
{
	StrmReveal *reveal = strm_reveal_call(fcinfo);
	Datum		personal[FUNC_MAX_ARGS];
	bool		nulls[FUNC_MAX_ARGS];
	StrmArrayBuffer buffer;
	StrmSealedRow row;
	Datum		result;

	if (!strm_reveal_row(fcinfo, &row, &buffer, personal, nulls))
		strm_reveal_raise_forged(reveal->derived);
	if (!strm_reveal(reveal, &row, &result))
		PG_RETURN_NULL();
	return result;
}

/*
 * Resolves a mask call site. A token is a derived stream's id and its wrapped seed; only owners of derived streams can
 * read it (see strm.mask_token), and unwrapping proves that it was not made up.
 */
static void
strm_mask_resolve(FunctionCallInfo fcinfo, StrmMaskCall *call, const bytea *token, int ordinal)
{
	const StrmDerivedStream *derived = NULL;
	pg_uuid_t	id;
	bytea	   *wrapped;
	Size		size = VARSIZE_ANY_EXHDR(token);
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 2);
	MemoryContext old;

	call->token = NULL;
	MemoryContextReset(call->cxt);
	call->key = strm_call_key();
	if (size > UUID_LEN)
	{
		memcpy(id.data, VARDATA_ANY(token), UUID_LEN);
		derived = strm_catalog_derived_stream(&id);
	}
	if (derived == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("not a token of a derived stream that masks fields"));
	if (ordinal < 0 || ordinal >= derived->stream->contract->nfields || !derived->fields[ordinal].masked ||
		strm_field_type(&derived->stream->contract->fields[ordinal]) != type)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("derived stream \"%s\" masks no such field", get_rel_name(derived->relid)));

	old = MemoryContextSwitchTo(call->cxt);
	wrapped = palloc(VARHDRSZ + size - UUID_LEN);
	SET_VARSIZE(wrapped, VARHDRSZ + size - UUID_LEN);
	memcpy(VARDATA(wrapped), VARDATA_ANY(token) + UUID_LEN, size - UUID_LEN);
	call->seed = strm_mask_unwrap(call->cxt, &id, derived->hash_type, wrapped);
	call->field = &derived->stream->contract->fields[ordinal];
	call->ordinal = ordinal;
	initStringInfo(&call->buffer);
	call->token = memcpy(palloc(VARSIZE_ANY(token)), token, VARSIZE_ANY(token));
	MemoryContextSwitchTo(old);
}

/* The call site's state, resolved for this token and field. */
static StrmMaskCall *
strm_mask_call(FunctionCallInfo fcinfo)
{
	StrmMaskCall *call = fcinfo->flinfo->fn_extra;
	bytea	   *token = PG_GETARG_BYTEA_PP(0);
	int			ordinal = PG_GETARG_INT32(1);

	if (call == NULL)
	{
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(StrmMaskCall));
		call->cxt = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "strm mask", ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = call;
	}
	if (call->token == NULL || call->ordinal != ordinal || !strm_call_key_holds(&call->key) ||
		VARSIZE_ANY(call->token) != VARSIZE_ANY(token) || memcmp(call->token, token, VARSIZE_ANY(token)) != 0)
		strm_mask_resolve(fcinfo, call, token, ordinal);
	return call;
}

/* strm.mask_value(token bytea, field int4, value anynonarray): the mask of a field that is not personal. Strict. */
Datum
strm_sql_mask_value(PG_FUNCTION_ARGS)
{
	StrmMaskCall *call = strm_mask_call(fcinfo);

	PG_RETURN_TEXT_P(strm_mask_value(call->seed, call->field, PG_GETARG_DATUM(2), &call->buffer));
}

/* strm.mask_values(token bytea, field int4, value anyarray): the masks of a repeated field's elements. Strict. */
Datum
strm_sql_mask_values(PG_FUNCTION_ARGS)
{
	StrmMaskCall *call = strm_mask_call(fcinfo);

	PG_RETURN_ARRAYTYPE_P(strm_mask_array(call->seed, call->field, PG_GETARG_ARRAYTYPE_P(2), &call->buffer));
}
