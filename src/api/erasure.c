/*
 * erasure.c
 *	  strm.delete_data_subjects(): erasing data subjects by destroying their keys.
 *
 *	  A tombstone and the removal of the key's rows commit together. A transaction that uses the key at the same time
 *	  may still commit a copy of its row; the tombstone overrides it. Rows under a key link that serves other data
 *	  subjects too are deleted from the stream, as its table's owner and in a security-restricted operation, so that no
 *	  trigger or rule of a user runs with other rights. The subject's id is taken out of its link then, but the link
 *	  stays: a transaction that was writing a row of that subject may rely on it, and what it commits later can be found
 *	  and erased by another call. The write-ahead log has the rows, too: they are noted for Kafka exporters that have
 *	  not read them yet.
 *
 *	  Rows that a stream refused were set aside in its inbox, without a key: they are deleted there.
 *
 *	  Files that batch jobs have written are out of reach. Of a batch job group's key link that serves others, too, only
 *	  the subject's id is taken out: then the key goes with the last of the others, and until then each call says so.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "api/ingest.h"
#include "catalog/cache.h"
#include "catalog/key_store.h"
#include "catalog/registry.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "export/erased.h"
#include "keys/data_key.h"
#include "strm_privacy.h"
#include "transform/value.h"

PG_FUNCTION_INFO_V1(strm_sql_delete_data_subjects);

/* How the erasure went. */
typedef struct StrmErasure
{
	int64		destroyed;		/* key links */
	int64		deleted;		/* rows under shared key links */
	int64		shared;			/* shared key links of streams */
	List	   *shared_files;	/* shared key links of batch job groups, one for each subject */
	int64		queued;			/* rows that were set aside in inboxes, and were deleted there */
} StrmErasure;

static const char links_sql[] =
"SELECT l.key_link, l.owner, "
"  EXISTS (SELECT FROM strm.data_subject_link o WHERE o.key_link = l.key_link AND o.subject_hash <> $1"
"          AND o.subject <> ''), "
"  l.listed, EXISTS (SELECT FROM strm.batch_job_group g WHERE g.id = l.owner) "
"FROM (SELECT key_link, owner, pg_catalog.bool_or(subject <> '') AS listed FROM strm.data_subject_link "
"      WHERE subject_hash = $1 GROUP BY key_link, owner) l "
"WHERE NOT EXISTS (SELECT FROM strm.data_key_tombstone t WHERE t.key_link = l.key_link) ORDER BY l.key_link";

/* Runs a statement that takes a key link, and perhaps an owner or a subject's hash. */
static void
strm_erasure_write(const char *sql, const pg_uuid_t *key_link, const pg_uuid_t *second)
{
	Oid			types[2] = {UUIDOID, UUIDOID};
	Datum		args[2] = {UUIDPGetDatum(key_link), second ? UUIDPGetDatum(second) : (Datum) 0};

	strm_registry_execute(sql, second ? 2 : 1, types, args, NULL);
}

static void
strm_erasure_destroy(const pg_uuid_t *key_link, const pg_uuid_t *owner)
{
	strm_erasure_write("INSERT INTO strm.data_key_tombstone (key_link, owner) VALUES ($1, $2) ON CONFLICT DO NOTHING",
					   key_link, owner);
	strm_erasure_write("DELETE FROM strm.data_key WHERE key_link = $1", key_link, NULL);
	strm_erasure_write("DELETE FROM strm.data_subject_link WHERE key_link = $1", key_link, NULL);
}

/* Takes the subject out of a key link. */
static void
strm_erasure_unlist(const pg_uuid_t *key_link, const pg_uuid_t *hash)
{
	strm_erasure_write("UPDATE strm.data_subject_link SET subject = ''"
					   " WHERE key_link = $1 AND subject_hash = $2 AND subject <> ''",
					   key_link, hash);
	/* sessions remember which subjects are registered: the next row of this one must be registered again */
	strm_catalog_move_generation();
}

/*
 * Removes what transactions that used a key while it was destroyed have committed since: their copies of its row, which
 * nobody can use any more. No transaction is expected to run for more than a week.
 */
static void
strm_erasure_sweep(void)
{
	strm_registry_execute("DELETE FROM strm.data_key k USING strm.data_key_tombstone t"
						  " WHERE k.key_link = t.key_link AND t.destroyed_at > pg_catalog.now() - interval '7 days'",
						  0, NULL, NULL, NULL);
	strm_registry_execute("DELETE FROM strm.data_subject_link l USING strm.data_key_tombstone t"
						  " WHERE l.key_link = t.key_link AND t.destroyed_at > pg_catalog.now() - interval '7 days'",
						  0, NULL, NULL, NULL);
}

/* The subject as the stream's subject column holds it under key: ciphertext if personal, else its own text. */
static Datum
strm_erasure_stored_subject(const StrmField *field, const pg_uuid_t *key_link, text *subject)
{
	if (!field->personal)
		return PointerGetDatum(subject);
	return PointerGetDatum(strm_value_encrypt(strm_data_key_by_link(key_link), VARDATA_ANY(subject),
											  VARSIZE_ANY_EXHDR(subject)));
}

/*
 * Runs "<verb> <stream> WHERE <of that key link and subject>"; returns how many rows it concerned. nonces is NULL, or
 * gets the nonces of these rows. Whatever hides a row from its table's owner is an error.
 */
static uint64
strm_erasure_execute(const char *verb, const StrmStream *stream, Datum key_link, Datum subject,
					 ArrayBuildState *nonces)
{
	const StrmField *field = &stream->contract->fields[stream->contract->subject_field];
	Oid			types[2] = {UUIDOID, TEXTOID};
	Datum		args[2] = {key_link, subject};
	char	   *sql;
	uint64		rows;

	sql = psprintf("%s %s WHERE " STRM_COLUMN_KEY_LINK " OPERATOR(pg_catalog.=) $1"
				   " AND %s::pg_catalog.text OPERATOR(pg_catalog.=) $2%s",
				   verb, strm_catalog_relation_name(stream->relid), quote_identifier(field->column),
				   nonces ? " RETURNING " STRM_COLUMN_NONCE : "");
	SPI_connect();
	if (SPI_execute_with_args(sql, 2, types, args, NULL, false, 0) < 0)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not delete a data subject's rows"));
	rows = SPI_processed;
	for (uint64 i = 0; nonces != NULL && i < rows; i++)
	{
		bool		null;
		Datum		nonce = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null);

		(void) accumArrayResult(nonces, nonce, null, INT4OID, NULL);
	}
	SPI_finish();
	return rows;
}

/*
 * Deletes the subject's rows under a shared key link; returns how many. A trigger of the owner's could keep them, so
 * they are looked for afterwards: what is reported as erased is gone.
 */
static uint64
strm_erasure_delete_rows(const StrmStream *stream, const pg_uuid_t *key_link, text *subject)
{
	const StrmField *field = &stream->contract->fields[stream->contract->subject_field];
	Datum		stored = strm_erasure_stored_subject(field, key_link, subject);
	Oid			user;
	int			context;
	int			guc_level;
	ArrayBuildState *nonces = NULL;
	uint64		deleted = 0;
	uint64		last;
	uint64		found = 0;
	uint64		left;

	/* exporters that have not read the rows from the WAL yet must know */
	if (strm_erased_concern(&stream->id))
		nonces = initArrayResult(INT4OID, CurrentMemoryContext, false);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(strm_catalog_relation_owner(stream->relid),
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* again while there are rows that were committed meanwhile */
	do
	{
		left = found;
		last = strm_erasure_execute("DELETE FROM", stream, UUIDPGetDatum(key_link), stored, nonces);
		deleted += last;
		found = strm_erasure_execute("SELECT FROM", stream, UUIDPGetDatum(key_link), stored, NULL);
	} while (found > 0 && (last > 0 || left == 0));
	if (found > 0)
		strm_ereport_private(errcode(STRM_ERR_STATE),
							 errmsg("rows of a data subject could not be deleted from stream \"%s\"",
									get_rel_name(stream->relid)),
							 errhint("A trigger of the table keeps them. Disable it and try again."));
	AtEOXact_GUC(true, guc_level);
	SetUserIdAndSecContext(user, context);
	if (nonces != NULL && deleted > 0)
		strm_erased_note(&stream->id, key_link,
						 DatumGetArrayTypeP(makeArrayResult(nonces, CurrentMemoryContext)));
	return deleted;
}

/*
 * Erases a subject from a key link that serves others, too: from the stream, and from the link. listed: the link has
 * the subject's id.
 */
static void
strm_erasure_shared(const pg_uuid_t *key_link, const pg_uuid_t *owner, text *subject, const pg_uuid_t *hash,
					bool listed, StrmErasure *erasure)
{
	StrmStream *stream = strm_catalog_stream(owner);
	uint64		deleted = 0;

	if (stream != NULL && stream->contract->subject_field >= 0)
		deleted = strm_erasure_delete_rows(stream, key_link, subject);
	erasure->deleted += deleted;
	if (deleted > 0 || listed)
		erasure->shared++;
	strm_erasure_unlist(key_link, hash);
}

/* Erases one subject. */
static void
strm_erasure_subject(text *subject, StrmErasure *erasure)
{
	Oid			types[1] = {UUIDOID};
	Datum		args[1];
	pg_uuid_t	hash;
	StrmRegistryRows *links;

	if (!strm_data_key_subject_hash(VARDATA_ANY(subject), VARSIZE_ANY_EXHDR(subject), &hash))
		return;
	args[0] = UUIDPGetDatum(&hash);
	links = strm_registry_select(links_sql, 1, types, args, NULL);
	for (uint64 i = 0; i < links->n; i++)
	{
		Datum	   *row = &links->values[i * links->ncolumns];
		pg_uuid_t  *key_link = DatumGetUUIDP(row[0]);
		pg_uuid_t  *owner = DatumGetUUIDP(row[1]);

		if (!DatumGetBool(row[2]))
		{
			strm_erasure_destroy(key_link, owner);
			erasure->destroyed++;
		}
		else if (DatumGetBool(row[4]))
		{
			strm_erasure_unlist(key_link, &hash);
			erasure->shared_files = lappend(erasure->shared_files, key_link);
		}
		else
			strm_erasure_shared(key_link, owner, subject, &hash, DatumGetBool(row[3]), erasure);
	}
}

/* What was shared with a subject that was erased later in the same call is destroyed by now. */
static void
strm_erasure_report(const StrmErasure *erasure)
{
	int64		shared_files = 0;
	ListCell   *cell;

	if (erasure->queued > 0)
		ereport(NOTICE,
				errmsg("rows of the data subjects that were set aside in inboxes were deleted: %lld",
					   (long long) erasure->queued));

	foreach(cell, erasure->shared_files)
	{
		if (!strm_key_store_is_destroyed(lfirst(cell)))
			shared_files++;
	}
	if (erasure->shared > 0)
		ereport(NOTICE,
				errmsg("key links that serve other data subjects too were kept: %lld", (long long) erasure->shared),
				errdetail("Rows of the data subjects that were deleted instead: %lld.", (long long) erasure->deleted));
	if (shared_files > 0)
		ereport(NOTICE,
				errmsg("key links of batch job groups that serve other data subjects too were kept: %lld",
					   (long long) shared_files),
				errdetail("Values of the data subjects in files of these groups can still be decrypted."),
				errhint("Delete them there. A key is destroyed with the last data subject it serves."));
}

/* strm.delete_data_subjects(VARIADIC subjects text[]) */
Datum
strm_sql_delete_data_subjects(PG_FUNCTION_ARGS)
{
	Datum	   *given;
	bool	   *nulls;
	int			ngiven;
	text	  **subjects;
	int			n = 0;
	StrmErasure erasure = {0};

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &given, &nulls, &ngiven);
	subjects = palloc(ngiven * sizeof(text *));
	for (int i = 0; i < ngiven; i++)
	{
		if (!nulls[i])
			subjects[n++] = DatumGetTextPP(given[i]);
	}
	/* what is queued has no key link yet */
	erasure.queued = strm_ingest_erase(subjects, n);
	for (int i = 0; i < n; i++)
		strm_erasure_subject(subjects[i], &erasure);
	strm_erasure_sweep();
	strm_erasure_report(&erasure);
	PG_RETURN_INT64(erasure.destroyed);
}
