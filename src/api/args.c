/*
 * args.c
 *	  Arguments and callers of SQL functions: one check for each mistake, so that it has one message.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "api/args.h"
#include "catalog/cache.h"
#include "catalog/inbox.h"
#include "common/errors.h"
#include "strm_privacy.h"

char *
strm_args_text_or_null(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

void
strm_args_require(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("argument \"%s\" must not be NULL", name));
}

char *
strm_args_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	strm_args_require(fcinfo, n, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* Who takes an inbox for its stream is told that stream. */
static void
strm_args_refuse_stream(Oid relid)
{
	char	   *name = get_rel_name(relid);
	StrmInbox  *inbox = strm_catalog_inbox_of(relid);
	const StrmStream *stream = inbox == NULL ? NULL : strm_catalog_stream(&inbox->stream);

	ereport(ERROR,
			errcode(STRM_ERR_UNDEFINED),
			errmsg("\"%s\" is not a stream", name ? name : psprintf("%u", relid)),
			stream == NULL ? errhint("strm.streams lists the streams.")
			: errhint("It is the inbox of stream %s.", strm_catalog_relation_name(stream->relid)));
}

const StrmStream *
strm_args_stream(Oid relid)
{
	const StrmStream *stream = strm_catalog_stream_of(relid);

	if (stream == NULL)
		strm_args_refuse_stream(relid);
	return stream;
}

/* Has it a control character? */
static bool
strm_args_has_control(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			return true;
	}
	return false;
}

void
strm_args_check_label(const char *value, const char *what, int min, int max)
{
	int			length = pg_mbstrlen(value);

	if (length < min || length > max)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("%s must have %d to %d characters", what, min, max),
				errdetail("It has %d.", length));
	if (strm_args_has_control(value))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("%s must not contain control characters", what));
}

void
strm_args_label_fault(const char *value, const char *what, int min, int max, StrmFaults *faults)
{
	int			length = pg_mbstrlen(value);

	if (length < min || length > max || strm_args_has_control(value))
		strm_faults_add(faults, "%s must have %d to %d characters, none of them a control character", what, min, max);
}

char *
strm_args_current_role(void)
{
	return GetUserNameFromId(GetUserId(), false);
}

bool
strm_args_has_role(const char *role)
{
	Oid			roleid = get_role_oid(role, true);

	return superuser() || (OidIsValid(roleid) && has_privs_of_role(GetUserId(), roleid));
}
