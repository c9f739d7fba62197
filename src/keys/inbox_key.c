/*
 * inbox_key.c
 *	  Inbox keys: random roots, from which the key that seals rows or the one that hashes key field values into lanes is
 *	  derived.
 *
 *	  The root of an id never changes (rotation of the master key wraps the same one again), so what was unwrapped once
 *	  stays good. A backend knows few inboxes, and of each few keys: only those that the registry has no more go.
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
	MemoryContext cxt;			/* has the key alone */
};

typedef struct StrmInboxKeyId
{
	pg_uuid_t	stream;
	int32		id;
} StrmInboxKeyId;

typedef struct StrmInboxKeySlot
{
	StrmInboxKeyId id;			/* hash key */
	StrmInboxKey *key;
} StrmInboxKeySlot;

static HTAB *inbox_keys = NULL;
static MemoryContext inbox_keys_cxt = NULL;
static uint64 inbox_keys_epoch = 1;

static StrmWrapPlace
strm_inbox_key_place(const pg_uuid_t *stream, int32 id)
{
	StrmWrapPlace place = {.kind = STRM_SECRET_INBOX_KEY,.key_id = (uint32) id};

	memcpy(place.owner, stream->data, UUID_LEN);
	return place;
}

bytea *
strm_inbox_key_new(const pg_uuid_t *stream, int32 id)
{
	StrmWrapPlace place = strm_inbox_key_place(stream, id);
	uint8		root[STRM_ROOT_SIZE];
	bytea	   *wrapped;

	strm_secret_random(root, sizeof(root));
	wrapped = strm_master_key_wrap(&place, NULL, root, sizeof(root));
	strm_secret_wipe(root, sizeof(root));
	return wrapped;
}

/* Unwraps and derives. */
static StrmInboxKey *
strm_inbox_key_unwrap(const pg_uuid_t *stream, int32 id, const bytea *wrapped)
{
	StrmWrapPlace place = strm_inbox_key_place(stream, id);
	MemoryContext cxt;
	StrmInboxKey *key;
	uint8		root[STRM_ROOT_SIZE];
	bool		ok;

	strm_master_key_unwrap(&place, wrapped, root, sizeof(root));
	cxt = AllocSetContextCreate(inbox_keys_cxt, "strm_privacy inbox key", ALLOCSET_SMALL_SIZES);
	key = strm_secret_alloc(cxt, sizeof(StrmInboxKey));
	key->cxt = cxt;
	ok = strm_kdf_inbox_keys(root, key->row_key, key->lane_key) == STRM_CRYPTO_OK;
	strm_secret_wipe(root, sizeof(root));
	if (!ok)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not derive the keys of an inbox"));
	return key;
}

StrmInboxKey *
strm_inbox_key_get(const pg_uuid_t *stream, int32 id, const bytea *wrapped)
{
	HASHCTL		ctl = {.keysize = sizeof(StrmInboxKeyId), .entrysize = sizeof(StrmInboxKeySlot)};
	StrmInboxKeyId name = {.stream = *stream,.id = id};
	StrmInboxKeySlot *slot;
	StrmInboxKey *key;

	if (inbox_keys == NULL)
	{
		inbox_keys_cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy inbox keys", ALLOCSET_SMALL_SIZES);
		ctl.hcxt = inbox_keys_cxt;
		inbox_keys = hash_create("strm_privacy inbox keys", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	strm_master_key_require();
	key = strm_inbox_key_known(stream, id);
	if (key != NULL)
		return key;
	key = strm_inbox_key_unwrap(stream, id, wrapped);
	slot = hash_search(inbox_keys, &name, HASH_ENTER, NULL);
	slot->key = key;
	return key;
}

StrmInboxKey *
strm_inbox_key_known(const pg_uuid_t *stream, int32 id)
{
	StrmInboxKeyId name = {.stream = *stream,.id = id};
	StrmInboxKeySlot *slot = inbox_keys == NULL ? NULL : hash_search(inbox_keys, &name, HASH_FIND, NULL);

	return slot == NULL ? NULL : slot->key;
}

void
strm_inbox_key_forget(const pg_uuid_t *stream, const int32 *ids, int n)
{
	HASH_SEQ_STATUS all;
	StrmInboxKeySlot *slot;

	if (inbox_keys == NULL)
		return;
	hash_seq_init(&all, inbox_keys);
	while ((slot = hash_seq_search(&all)) != NULL)
	{
		StrmInboxKey *key = slot->key;
		bool		kept = slot->id.id == STRM_INBOX_LANE_KEY ||
			memcmp(slot->id.stream.data, stream->data, UUID_LEN) != 0;

		for (int i = 0; i < n && !kept; i++)
			kept = slot->id.id == ids[i];
		if (kept)
			continue;
		inbox_keys_epoch++;
		(void) hash_search(inbox_keys, &slot->id, HASH_REMOVE, NULL);
		strm_row_seal_free(key->seal);
		strm_row_opener_free(key->opener);
		MemoryContextDelete(key->cxt);
	}
}

uint64
strm_inbox_key_epoch(void)
{
	return inbox_keys_epoch;
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
