/*
 * keyset.c
 *	  Keysets of cached data keys.
 */
#include "postgres.h"

#include "common/errors.h"
#include "common/secret.h"
#include "crypto/keyset.h"
#include "keys/key_cache.h"
#include "keys/keyset.h"
#include "strm_privacy.h"

/* Makes room for a keyset. Unlike enlargeStringInfo it leaves no copy of what out holds in freed memory. */
static void
strm_keyset_enlarge(StringInfo out)
{
	Size		size = (Size) out->maxlen * 2 + STRM_KEYSET_SIZE;
	char	   *data;

	if (out->maxlen - out->len >= STRM_KEYSET_SIZE)
		return;
	data = palloc(size);
	memcpy(data, out->data, out->len + 1);
	strm_secret_wipe(out->data, out->maxlen);
	pfree(out->data);
	out->data = data;
	out->maxlen = (int) size;
}

void
strm_keyset_append(StrmDataKey *key, StringInfo out)
{
	size_t		size;

	Assert(!key->destroyed);
	strm_keyset_enlarge(out);
	size = strm_keyset_write(key->key_id, ((StrmKeyEntry *) key)->siv_key, out->data + out->len);
	if (size == 0)
	{
		strm_secret_wipe(out->data, out->maxlen);
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not write a keyset"));
	}
	out->len += (int) size;
}
