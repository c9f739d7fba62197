/*
 * inbox_key.c
 *	  Inbox keys: a random root, from which the key that seals rows and the one that hashes key field values into lanes
 *	  are derived.
 *
 *	  A stream's inbox keeps its root for life (rotation of the master key wraps the same one again), so what was
 *	  unwrapped once stays good. A backend knows few inboxes; nothing is evicted.
 */
#include "postgres.h"

#include <sodium.h>

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/secret.h"
#include "crypto/kdf.h"
#include "keys/inbox_key.h"
#include "keys/master_key.h"
#include "strm_privacy.h"

struct StrmInboxKey
{
	uint8		row_key[STRM_ROW_KEY_SIZE];
	uint8		lane_key[crypto_shorthash_KEYBYTES];
	StrmRowSeal *seal;			/* NULL: not needed yet */
	StrmRowOpener *opener;
};

typedef struct StrmInboxKeySlot
{
	pg_uuid_t	stream;
	StrmInboxKey *key;
} StrmInboxKeySlot;

static HTAB *inbox_keys = NULL;
static MemoryContext inbox_keys_cxt = NULL;

static StrmWrapPlace
strm_inbox_key_place(const pg_uuid_t *stream)
{
	StrmWrapPlace place = {.kind = STRM_SECRET_INBOX_KEY};

	memcpy(place.owner, stream->data, UUID_LEN);
	return place;
}

bytea *
strm_inbox_key_new(const pg_uuid_t *stream)
{
	StrmWrapPlace place = strm_inbox_key_place(stream);
	uint8		root[STRM_ROOT_SIZE];
	bytea	   *wrapped;

	strm_secret_random(root, sizeof(root));
	wrapped = strm_master_key_wrap(&place, NULL, root, sizeof(root));
	strm_secret_wipe(root, sizeof(root));
	return wrapped;
}

/* Unwraps and derives. */
static StrmInboxKey *
strm_inbox_key_unwrap(const pg_uuid_t *stream, const bytea *wrapped)
{
	StrmWrapPlace place = strm_inbox_key_place(stream);
	StrmInboxKey *key;
	uint8		root[STRM_ROOT_SIZE];
	bool		ok;

	strm_master_key_unwrap(&place, wrapped, root, sizeof(root));
	key = strm_secret_alloc(inbox_keys_cxt, sizeof(StrmInboxKey));
	ok = strm_kdf_inbox_keys(root, key->row_key, key->lane_key) == STRM_CRYPTO_OK;
	strm_secret_wipe(root, sizeof(root));
	if (!ok)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not derive the keys of an inbox"));
	return key;
}

StrmInboxKey *
strm_inbox_key_get(const pg_uuid_t *stream, const bytea *wrapped)
{
	HASHCTL		ctl = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(StrmInboxKeySlot)};
	StrmInboxKeySlot *slot;
	StrmInboxKey *key;

	if (inbox_keys == NULL)
	{
		inbox_keys_cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy inbox keys", ALLOCSET_SMALL_SIZES);
		ctl.hcxt = inbox_keys_cxt;
		inbox_keys = hash_create("strm_privacy inbox keys", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	strm_master_key_require();
	slot = hash_search(inbox_keys, stream, HASH_FIND, NULL);
	if (slot != NULL)
		return slot->key;
	key = strm_inbox_key_unwrap(stream, wrapped);
	slot = hash_search(inbox_keys, stream, HASH_ENTER, NULL);
	slot->key = key;
	return key;
}

StrmRowSeal *
strm_inbox_key_seal(StrmInboxKey *key)
{
	uint8		salt[STRM_ROW_SALT_SIZE];

	if (key->seal == NULL)
	{
		strm_secret_random(salt, sizeof(salt));
		key->seal = strm_row_seal_create(key->row_key, salt);
		if (key->seal == NULL)
			ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not prepare the encryption of queued rows"));
	}
	return key->seal;
}

StrmRowOpener *
strm_inbox_key_opener(StrmInboxKey *key)
{
	if (key->opener == NULL)
	{
		key->opener = strm_row_opener_create(key->row_key);
		if (key->opener == NULL)
			ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not prepare the decryption of queued rows"));
	}
	return key->opener;
}

uint64
strm_inbox_key_hash(const StrmInboxKey *key, const char *value, Size size)
{
	uint8		hash[crypto_shorthash_BYTES];
	uint64		result = 0;

	crypto_shorthash(hash, (const unsigned char *) value, size, key->lane_key);
	for (int i = 0; i < crypto_shorthash_BYTES; i++)
		result = result << 8 | hash[i];
	return result;
}
