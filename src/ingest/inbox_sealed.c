/*
 * inbox_sealed.c
 *	  Opening queued rows, each under the key whose id it has.
 */
#include "postgres.h"

#include "port/pg_bswap.h"

#include "catalog/inbox.h"
#include "ingest/inbox_sealed.h"
#include "keys/inbox_key.h"
#include "strm_privacy.h"

void
strm_inbox_sealed_put_id(uint8 *out, int32 id)
{
	uint32		big_endian = pg_hton32((uint32) id);

	memcpy(out, &big_endian, sizeof(big_endian));
}

static int32
strm_inbox_sealed_get_id(const bytea *sealed)
{
	uint32		big_endian;

	if (VARSIZE_ANY_EXHDR(sealed) < STRM_INBOX_SEALED_ID)
		return 0;
	memcpy(&big_endian, VARDATA_ANY(sealed), sizeof(big_endian));
	return (int32) pg_ntoh32(big_endian);
}

int32
strm_inbox_sealed_id(Datum sealed)
{
	return strm_inbox_sealed_get_id(DatumGetByteaPSlice(sealed, 0, STRM_INBOX_SEALED_ID));
}

/* The key of that id; NULL when there is none. */
static StrmInboxKey *
strm_inbox_sealed_key(const pg_uuid_t *stream, int32 id)
{
	StrmInboxKey *key = strm_inbox_key_known(stream, id);
	StrmInboxKeyRow *row;

	if (key != NULL || id <= STRM_INBOX_LANE_KEY)
		return id <= STRM_INBOX_LANE_KEY ? NULL : key;
	row = strm_catalog_inbox_key(stream, id);
	return row == NULL ? NULL : strm_inbox_key_get(stream, id, row->key);
}

bool
strm_inbox_sealed_open(const pg_uuid_t *stream, const uint8 ad[STRM_INBOX_AD_SIZE], const bytea *sealed, uint8 **row,
					   Size *size)
{
	Size		whole = VARSIZE_ANY_EXHDR(sealed);
	StrmInboxKey *key = strm_inbox_sealed_key(stream, strm_inbox_sealed_get_id(sealed));

	if (key == NULL || whole < STRM_INBOX_SEALED_OVERHEAD)
		return false;
	*size = whole - STRM_INBOX_SEALED_OVERHEAD;
	*row = palloc(*size);
	return strm_row_open(strm_inbox_key_opener(key), ad, STRM_INBOX_AD_SIZE,
						 (const uint8 *) VARDATA_ANY(sealed) + STRM_INBOX_SEALED_ID, whole - STRM_INBOX_SEALED_ID,
						 *row) == STRM_CRYPTO_OK;
}

void
strm_inbox_sealed_forget(const pg_uuid_t *stream)
{
	List	   *keys = strm_catalog_inbox_keys(stream);
	int32	   *ids = palloc(Max(list_length(keys), 1) * sizeof(int32));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, keys)
		ids[n++] = ((StrmInboxKeyRow *) lfirst(lc))->id;
	strm_inbox_key_forget(stream, ids, n);
}
