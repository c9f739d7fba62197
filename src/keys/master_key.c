/*
 * master_key.c
 *	  The unwrapped master keys of this backend, read from the provider when first needed.
 *
 *	  "Sealed" means that they cannot be had: no preload, no file, a file that others may read, a key that is not in it.
 *	  The server runs and the encrypted streams are readable; what needs a key is refused with 55000.
 *
 *	  The keys are loaded lazily in each backend, never in the postmaster, whose children would inherit them, and
 *	  forgotten when the backend ends. They live in one locked static block; this file is its only owner.
 */
#include "postgres.h"

#include <sodium.h>

#include "miscadmin.h"
#include "storage/ipc.h"

#include "common/errors.h"
#include "common/secret.h"
#include "keys/creation_lock.h"
#include "keys/master_key.h"
#include "keys/master_key_file.h"
#include "keys/master_key_mark.h"
#include "strm_privacy.h"

static StrmMasterKeys master_keys;
static bool master_keys_loaded = false;
static bool master_keys_prepared = false;

/* Forgets the master keys; they are read again when needed. */
static void
strm_master_key_forget(void)
{
	sodium_memzero(&master_keys, sizeof(master_keys));
	master_keys_loaded = false;
}

static void
strm_master_key_at_exit(int code, Datum arg)
{
	strm_master_key_forget();
}

/*
 * Locks the block's memory once, and sees to its wiping when the backend ends. Not by before_shmem_exit(): that is a
 * stack, and a caller within PG_ENSURE_ERROR_CLEANUP would find its own entry covered.
 */
static void
strm_master_key_prepare(void)
{
	if (master_keys_prepared)
		return;
	if (strm_crypto_init() != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not initialize the cryptography libraries"));
	if (sodium_mlock(&master_keys, sizeof(master_keys)) != 0)
		ereport(DEBUG1, errmsg("memory of the master key could not be locked: it may be swapped out"));
	on_proc_exit(strm_master_key_at_exit, (Datum) 0);
	master_keys_prepared = true;
}

void
strm_master_key_require(void)
{
	if (master_keys_loaded)
		return;
	if (!strm_creation_lock_ready())
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("strm_privacy is sealed: the library was not preloaded"),
				errhint("Add strm_privacy to shared_preload_libraries and restart the server."));
	strm_master_key_prepare();
	strm_master_key_file_read(&master_keys);
	master_keys_loaded = true;
}

void
strm_master_key_create(void)
{
	bool		existed = strm_master_key_mark_exists();

	strm_master_key_prepare();
	strm_master_key_forget();
	strm_master_key_file_create(existed);
	if (!existed)
		strm_master_key_mark_set();
}

/* The loaded master key of that id, or NULL. */
static const StrmMasterKey *
strm_master_key_find_loaded(uint32 id)
{
	for (int i = 0; i < master_keys.count; i++)
	{
		if (master_keys.keys[i].id == id)
			return &master_keys.keys[i];
	}
	return NULL;
}

/*
 * The master key of that id; reads the provider again if it is not among the loaded ones, for it may have been rotated.
 */
static const StrmMasterKey *
strm_master_key_find(uint32 id)
{
	const StrmMasterKey *master;

	strm_master_key_require();
	master = strm_master_key_find_loaded(id);
	if (master == NULL)
	{
		strm_master_key_forget();
		strm_master_key_require();
		master = strm_master_key_find_loaded(id);
	}
	return master;
}

bytea *
strm_master_key_wrap(const StrmWrapPlace *place, const uint8 *nonce, const uint8 *payload, Size size)
{
	bytea	   *wrapped;
	uint8		own_nonce[STRM_WRAP_NONCE_SIZE];

	strm_master_key_require();
	if (nonce == NULL)
	{
		strm_secret_random(own_nonce, sizeof(own_nonce));
		nonce = own_nonce;
	}

	wrapped = palloc(VARHDRSZ + size + STRM_WRAP_OVERHEAD);
	SET_VARSIZE(wrapped, VARHDRSZ + size + STRM_WRAP_OVERHEAD);
	if (strm_wrap(master_keys.keys[0].key, master_keys.keys[0].id, place, nonce, payload, size,
				  (uint8 *) VARDATA(wrapped)) != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not wrap a key"));
	return wrapped;
}

Size
strm_master_key_payload_size(const bytea *wrapped)
{
	Size		size = VARSIZE_ANY_EXHDR(wrapped);

	return size < STRM_WRAP_OVERHEAD ? 0 : size - STRM_WRAP_OVERHEAD;
}

void
strm_master_key_unwrap(const StrmWrapPlace *place, const bytea *wrapped, uint8 *out, Size size)
{
	const uint8 *in = (const uint8 *) VARDATA_ANY(wrapped);
	Size		in_size = VARSIZE_ANY_EXHDR(wrapped);
	const StrmMasterKey *master;
	uint32		id;

	if (in_size != size + STRM_WRAP_OVERHEAD || !strm_wrap_master_id(in, in_size, &id))
		ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a wrapped key is damaged"));

	master = strm_master_key_find(id);
	if (master == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("strm_privacy is sealed: the master key that wrapped this key is not available"),
				errdetail("The key needs master key %u.", id),
				errhint("Put the master key file that was in use when the key was made back into place."));
	if (strm_unwrap(master->key, place, in, in_size, out) != STRM_CRYPTO_OK)
		ereport(ERROR,
				errcode(STRM_ERR_FORGED),
				errmsg("a wrapped key is damaged, or the master key is another one of the same id"));
}
