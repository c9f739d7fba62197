/*
 * data_subject.c
 *	  Registering which data subjects a key concerns, at ingest.
 *
 *	  The id is stored as a keyed hash, to find it, and encrypted under the data key itself, to list it: destroying the
 *	  key destroys the id with it. Identical rows of transactions that register one pair at the same time are harmless.
 */
#include "postgres.h"

#include "catalog/key_store.h"
#include "common/errors.h"
#include "crypto/envelope.h"
#include "keys/data_key.h"
#include "keys/data_key_private.h"
#include "keys/key_cache.h"
#include "strm_privacy.h"

/* The id encrypted under key. */
static bytea *
strm_data_subject_encrypt(StrmDataKey *key, const char *subject, Size size)
{
	bytea	   *cipher = palloc(VARHDRSZ + size + STRM_ENVELOPE_OVERHEAD);

	SET_VARSIZE(cipher, VARHDRSZ + size + STRM_ENVELOPE_OVERHEAD);
	if (strm_envelope_encrypt(strm_data_key_siv(key), key->key_id, (const uint8 *) subject, size,
							  (uint8 *) VARDATA(cipher)) != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not encrypt a data subject's id"));
	return cipher;
}

void
strm_data_key_register_subject(StrmDataKey *key, const char *subject, Size size)
{
	StrmKeyEntry *entry = (StrmKeyEntry *) key;
	pg_uuid_t	hash;

	if (strm_cached_text_equals(&entry->subject, subject, size))
		return;

	(void) strm_data_key_hash_subject(subject, size, &hash);
	if (!strm_key_cache_has_subject(&key->key_link, &hash))
	{
		bytea	   *cipher = strm_data_subject_encrypt(key, subject, size);

		if (!strm_key_store_add_subject(&key->key_link, &hash, &key->owner, cipher, strm_data_key_copy_number()))
			strm_data_key_mark_pending();
		pfree(cipher);
		/* only alternating subjects need the table; the one subject of a session is in its entry */
		if (entry->subject.size != 0)
			strm_key_cache_add_subject(&key->key_link, &hash);
	}
	strm_cached_text_set(&entry->subject, subject, size);
}

/* A subject may be registered twice, when somebody adopts the key before it is committed: that is harmless. */
void
strm_data_key_register_subjects(const StrmSubjectNew *subjects, int n)
{
	StrmSubjectRow *rows = palloc(mul_size(n, sizeof(StrmSubjectRow)));

	for (int i = 0; i < n; i++)
	{
		StrmDataKey *key = &subjects[i].entry->key;

		rows[i].key_link = key->key_link;
		rows[i].owner = key->owner;
		(void) strm_data_key_hash_subject(subjects[i].subject, subjects[i].size, &rows[i].subject_hash);
		rows[i].subject = strm_data_subject_encrypt(key, subjects[i].subject, subjects[i].size);
		rows[i].copy = strm_data_key_copy_number();
	}
	strm_data_key_mark_pending();
	strm_key_store_add_subjects(rows, n);
	for (int i = 0; i < n; i++)
	{
		strm_cached_text_set(&subjects[i].entry->subject, subjects[i].subject, subjects[i].size);
		pfree(rows[i].subject);
	}
	pfree(rows);
}
