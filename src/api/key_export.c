/*
 * key_export.c
 *	  strm.export_keys(): data keys in clear, as Tink keysets. EXECUTE is for strm_key_exporter alone.
 *
 *	  Rows are given one by one and keys read a page at a time, in the order of their key links, so that memory does not
 *	  grow with their number and a new key does not move the pages. Each call is audited: when its memory goes, which an
 *	  error or the end of the session makes happen too, a line in the server's log says who got how many keys of what.
 *	  A keyset is built in memory that is wiped; the result is the only copy left.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "catalog/cache.h"
#include "catalog/key_store.h"
#include "catalog/policy.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "common/secret.h"
#include "common/uuid.h"
#include "keys/key_link.h"
#include "keys/keyset.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_export_keys);

#define STRM_EXPORT_PAGE 1000
#define STRM_EXPORT_BUFFER 1024

typedef struct StrmKeyExport
{
	pg_uuid_t	owner;
	char	   *name;			/* of the owner: for the log */
	char	   *role;			/* who exports: for the log */
	char	   *session_role;
	StrmPolicy	policy;
	TimestampTz since;
	pg_uuid_t	least_link;		/* of a key made then */
	int64		count;			/* keys given so far */
	pg_uuid_t	links[STRM_EXPORT_PAGE];
	int			nlinks;
	int			next;			/* in links */
	StringInfoData keyset;
	MemoryContextCallback audit;
} StrmKeyExport;

/* Runs while memory is being freed, perhaps in a transaction that failed: looks nothing up. */
static void
strm_key_export_audit(void *arg)
{
	StrmKeyExport *export = arg;

	ereport(LOG_SERVER_ONLY,
			errhidestmt(true),
			errhidecontext(true),
			errmsg("role \"%s\" exported %lld data keys of %s", export->role, (long long) export->count, export->name),
			strcmp(export->role, export->session_role) == 0 ? 0 :
			errdetail("The session is of role \"%s\".", export->session_role));
}

/* The policy that a registry row refers to by the id in its first column; none: the default one. */
static void
strm_key_export_policy(const char *sql, StrmKeyExport *export)
{
	Oid			types[1] = {UUIDOID};
	Datum		args[1] = {UUIDPGetDatum(&export->owner)};
	Datum		id;
	bool		isnull;

	if (!strm_registry_fetch(sql, 1, types, args, NULL, &id, &isnull))
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("%s does not exist", export->name),
				errhint("strm.data_keys lists which streams and batch job groups have keys."));
	strm_catalog_policy(isnull ? NULL : strm_uuid_text(DatumGetUUIDP(id)), &export->policy);
}

/* Whose keys: a stream's (argument 0) or a batch job group's (argument 1). */
static void
strm_key_export_owner(FunctionCallInfo fcinfo, StrmKeyExport *export)
{
	if (PG_ARGISNULL(0) == PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("keys are exported of a stream or of a batch job group"),
				errhint("Give one of them, not NULL."));
	if (!PG_ARGISNULL(0))
	{
		const StrmStream *stream = strm_args_stream(PG_GETARG_OID(0));

		export->owner = stream->id;
		export->name = psprintf("stream %s", strm_catalog_relation_name(stream->relid));
		strm_key_export_policy("SELECT policy_id FROM strm.stream WHERE id = $1", export);
	}
	else
	{
		export->owner = *PG_GETARG_UUID_P(1);
		export->name = psprintf("batch job group %s", strm_uuid_text(&export->owner));
		strm_key_export_policy("SELECT policy_id FROM strm.batch_job_group WHERE id = $1", export);
	}
}

/* Begins an export in context, which must be current and live as long as it. */
static StrmKeyExport *
strm_key_export_begin(FunctionCallInfo fcinfo, MemoryContext context)
{
	StrmKeyExport *export = palloc0(sizeof(StrmKeyExport));

	strm_key_export_owner(fcinfo, export);
	export->role = strm_args_current_role();
	export->session_role = GetUserNameFromId(GetSessionUserId(), false);
	export->since = PG_ARGISNULL(2) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(2);
	strm_key_link_least(export->since, &export->least_link);
	/* as if a page had ended before the first key link */
	export->nlinks = export->next = STRM_EXPORT_PAGE;
	export->keyset.data = strm_secret_alloc(context, STRM_EXPORT_BUFFER);
	export->keyset.maxlen = STRM_EXPORT_BUFFER;
	export->audit.func = strm_key_export_audit;
	export->audit.arg = export;
	MemoryContextRegisterResetCallback(context, &export->audit);
	return export;
}

/* The next key that is not destroyed; NULL at the end. */
static StrmDataKey *
strm_key_export_next(StrmKeyExport *export)
{
	for (;;)
	{
		StrmDataKey *key;

		if (export->next == export->nlinks)
		{
			if (export->nlinks < STRM_EXPORT_PAGE)
				return NULL;
			/* opens the table anew, and so hears of keys that were destroyed meanwhile */
			export->nlinks = strm_key_store_links(&export->owner, &export->links[STRM_EXPORT_PAGE - 1],
												  &export->least_link, export->since, export->links, STRM_EXPORT_PAGE);
			export->next = 0;
			continue;
		}
		key = strm_data_key_by_link(&export->links[export->next++]);
		if (!key->destroyed)
			return key;
	}
}

/* The result row of key, in the current context. */
static HeapTuple
strm_key_export_row(StrmKeyExport *export, StrmDataKey *key, TupleDesc desc)
{
	TimestampTz end = strm_catalog_policy_end(&export->policy, key->window_start);
	int64		epoch = (int64) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
	Datum		values[4];
	bool		nulls[4] = {false, false, export->policy.is_default, TIMESTAMP_NOT_FINITE(end)};
	HeapTuple	tuple;
	text	   *keyset;

	export->keyset.len = 0;
	strm_keyset_append(key, &export->keyset);
	keyset = cstring_to_text_with_len(export->keyset.data, export->keyset.len);
	values[0] = UUIDPGetDatum(&key->key_link);
	values[1] = PointerGetDatum(keyset);
	values[2] = UUIDPGetDatum(&export->policy.id);
	values[3] = Int64GetDatum(nulls[3] ? 0 : (end - epoch) / 1000);
	tuple = heap_form_tuple(desc, values, nulls);
	strm_secret_wipe(keyset, VARSIZE(keyset));
	strm_secret_wipe(export->keyset.data, export->keyset.maxlen);
	export->count++;
	return tuple;
}

/* strm.export_keys_of(stream regclass, batch_job_group uuid, since timestamptz) */
Datum
strm_sql_export_keys(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	StrmDataKey *key;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TupleDesc	desc;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("strm.export_keys_of() has no row type"));
		call->tuple_desc = BlessTupleDesc(desc);
		call->user_fctx = strm_key_export_begin(fcinfo, call->multi_call_memory_ctx);
		MemoryContextSwitchTo(old);
	}

	call = SRF_PERCALL_SETUP();
	key = strm_key_export_next(call->user_fctx);
	if (key == NULL)
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, HeapTupleGetDatum(strm_key_export_row(call->user_fctx, key, call->tuple_desc)));
}
