/*
 * data_subject.c
 *	  SQL entry points that find data subjects' key links, and list data subjects.
 *
 *	  The registry is read as its owner, with constant statements; subject ids reach it only as keyed hashes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog/policy.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "crypto/envelope.h"
#include "keys/data_key.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_data_subject_key_links);
PG_FUNCTION_INFO_V1(strm_sql_data_subjects);

#define STRM_SUBJECT_PAGE_MAX 100000

/* Of what has no policy of its own. */
#define STRM_DEFAULT_RETENTION CppAsString2(STRM_POLICY_DEFAULT_DAYS) " days"

/* The end of the policy as strm_catalog_policy_end() has it. */
static const char key_links_sql[] =
"SELECT DISTINCT ON (l.key_link) s.relation, g.id, l.key_link, k.window_start, k.window_end, "
"  (k.window_start AT TIME ZONE 'UTC' + COALESCE(p.retention, interval '" STRM_DEFAULT_RETENTION "')) AT TIME ZONE 'UTC' "
"FROM strm.data_subject_link l JOIN strm.data_key k ON k.key_link = l.key_link "
"LEFT JOIN strm.stream s ON s.id = l.owner LEFT JOIN strm.batch_job_group g ON g.id = l.owner "
"LEFT JOIN strm.policy p ON p.id = COALESCE(s.policy_id, g.policy_id) "
"WHERE l.subject_hash = $1 AND l.subject <> '' "
"AND NOT EXISTS (SELECT FROM strm.data_key_tombstone t WHERE t.key_link = l.key_link) "
"ORDER BY l.key_link";

static const char subjects_sql[] =
"SELECT l.subject_hash, pg_catalog.count(DISTINCT l.key_link), "
"  (pg_catalog.array_agg(l.key_link ORDER BY l.key_link, l.copy))[1], "
"  (pg_catalog.array_agg(l.subject ORDER BY l.key_link, l.copy))[1] "
"FROM strm.data_subject_link l WHERE ($1 IS NULL OR l.subject_hash > $1) "
"AND l.subject <> '' AND NOT EXISTS (SELECT FROM strm.data_key_tombstone t WHERE t.key_link = l.key_link) "
"GROUP BY l.subject_hash ORDER BY l.subject_hash LIMIT $2";

/* Appends the key links of one subject to a result set. */
static void
strm_data_subject_put_key_links(ReturnSetInfo *result, text *subject)
{
	Oid			types[1] = {UUIDOID};
	Datum		args[1];
	pg_uuid_t	hash;
	StrmRegistryRows *rows;

	if (!strm_data_key_subject_hash(VARDATA_ANY(subject), VARSIZE_ANY_EXHDR(subject), &hash))
		return;
	args[0] = UUIDPGetDatum(&hash);
	rows = strm_registry_select(key_links_sql, 1, types, args, NULL);
	for (uint64 i = 0; i < rows->n; i++)
	{
		Datum		values[7];
		bool		nulls[7] = {false};

		values[0] = PointerGetDatum(subject);
		for (int j = 0; j < rows->ncolumns; j++)
		{
			values[j + 1] = rows->values[i * rows->ncolumns + j];
			nulls[j + 1] = rows->nulls[i * rows->ncolumns + j];
		}
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* strm.data_subject_key_links(VARIADIC subjects text[]) */
Datum
strm_sql_data_subject_key_links(PG_FUNCTION_ARGS)
{
	Datum	   *subjects;
	bool	   *nulls;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &subjects, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			strm_data_subject_put_key_links((ReturnSetInfo *) fcinfo->resultinfo, DatumGetTextPP(subjects[i]));
	}
	return (Datum) 0;
}

/* The id of a subject, decrypted with the key of one of its links; NULL when that key is gone meanwhile. */
static text *
strm_data_subject_decrypt(const pg_uuid_t *key_link, const bytea *cipher)
{
	StrmDataKey *key = strm_data_key_by_link(key_link);
	Size		size = VARSIZE_ANY_EXHDR(cipher);
	text	   *subject;

	if (key->destroyed)
		return NULL;
	if (size < STRM_ENVELOPE_OVERHEAD)
		ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a data subject's entry is damaged"));
	subject = palloc(VARHDRSZ + size - STRM_ENVELOPE_OVERHEAD);
	SET_VARSIZE(subject, VARHDRSZ + size - STRM_ENVELOPE_OVERHEAD);
	if (strm_envelope_decrypt(strm_data_key_siv(key), key->key_id, (const uint8 *) VARDATA_ANY(cipher), size,
							  (uint8 *) VARDATA(subject)) != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a data subject's entry is damaged"));
	return subject;
}

/* strm.data_subjects(after text, max_rows int) */
Datum
strm_sql_data_subjects(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {UUIDOID, INT4OID};
	Datum		args[2];
	char		arg_nulls[2] = {'n', ' '};
	pg_uuid_t	hash;
	int			max_rows = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	ReturnSetInfo *result;
	StrmRegistryRows *rows;

	if (max_rows < 1 || max_rows > STRM_SUBJECT_PAGE_MAX)
		ereport(ERROR, errcode(STRM_ERR_ARGUMENT), errmsg("max_rows must be between 1 and %d", STRM_SUBJECT_PAGE_MAX));
	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	args[0] = UUIDPGetDatum(&hash);
	args[1] = Int32GetDatum(max_rows);
	if (!PG_ARGISNULL(0))
	{
		text	   *after = PG_GETARG_TEXT_PP(0);

		if (!strm_data_key_subject_hash(VARDATA_ANY(after), VARSIZE_ANY_EXHDR(after), &hash))
			return (Datum) 0;
		arg_nulls[0] = ' ';
	}

	rows = strm_registry_select(subjects_sql, 2, types, args, arg_nulls);
	for (uint64 i = 0; i < rows->n; i++)
	{
		Datum	   *row = &rows->values[i * rows->ncolumns];
		text	   *subject = strm_data_subject_decrypt(DatumGetUUIDP(row[2]), DatumGetByteaPP(row[3]));
		Datum		values[2] = {PointerGetDatum(subject), row[1]};
		bool		nulls[2] = {false, false};

		if (subject != NULL)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
