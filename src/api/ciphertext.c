/*
 * ciphertext.c
 *	  strm.check_ciphertext(): the CHECK constraint of a stream's personal columns.
 *
 *	  It holds whatever happens to the triggers: session_replication_role, DISABLE TRIGGER, logical replication. It
 *	  raises its own error and never returns false, because the server's error for a failed CHECK prints the row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "common/errors.h"
#include "crypto/base64.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_check_ciphertext);

static bool
strm_ciphertext_is_text(Datum value)
{
	text	   *string = DatumGetTextPP(value);
	bool		ok = strm_base64_is_ciphertext(VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));

	if ((Pointer) string != DatumGetPointer(value))
		pfree(string);
	return ok;
}

static bool
strm_ciphertext_is_array(Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	bool		ok = true;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n && ok; i++)
		ok = nulls[i] || strm_ciphertext_is_text(elements[i]);
	return ok;
}

/* The types of the arguments, found at the first call of a statement. */
static Oid *
strm_ciphertext_types(FunctionCallInfo fcinfo)
{
	Oid		   *types = fcinfo->flinfo->fn_extra;

	if (types != NULL)
		return types;
	types = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, PG_NARGS() * sizeof(Oid));
	for (int i = 0; i < PG_NARGS(); i++)
	{
		types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
		if (types[i] != TEXTOID && types[i] != TEXTARRAYOID)
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("strm.check_ciphertext() takes text and text[] only"));
	}
	fcinfo->flinfo->fn_extra = types;
	return types;
}

/* strm.check_ciphertext(VARIADIC "any"): true, or an error that does not show the row. */
Datum
strm_sql_check_ciphertext(PG_FUNCTION_ARGS)
{
	Oid		   *types = strm_ciphertext_types(fcinfo);

	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			continue;
		if (types[i] == TEXTOID ? !strm_ciphertext_is_text(PG_GETARG_DATUM(i))
			: !strm_ciphertext_is_array(PG_GETARG_DATUM(i)))
			strm_ereport_private(errcode(STRM_ERR_VALIDATION),
								 errmsg("a personal column of a stream takes ciphertext only"),
								 errdetail("Personal column number %d of the constraint holds something else.", i + 1),
								 errhint("The stream's triggers encrypt on INSERT; let them be enabled."));
	}
	PG_RETURN_BOOL(true);
}
