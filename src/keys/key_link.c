/*
 * key_link.c
 *	  Key links from the clock and random bytes. The fraction of the millisecond is in 12 bits (RFC 9562, method 3), so
 *	  that links grow even within one statement and the index on them is extended at its right end.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "keys/key_link.h"
#include "strm_privacy.h"

/* Of what a uuid can hold: 1970 to 10889. */
#define STRM_KEY_LINK_LAST_MS ((UINT64CONST(1) << 48) - 1)

void
strm_key_link_least(TimestampTz moment, pg_uuid_t *link)
{
	int64		epoch = (int64) (UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
	uint64		us = moment <= epoch ? 0 : (uint64) moment - (uint64) epoch;
	uint64		ms = Min(us / 1000, STRM_KEY_LINK_LAST_MS);
	uint32		fraction = (uint32) (us % 1000) * 4096 / 1000;

	memset(link, 0, sizeof(pg_uuid_t));
	for (int i = 0; i < 6; i++)
		link->data[i] = (uint8) (ms >> (8 * (5 - i)));
	link->data[6] = (uint8) (0x70 | (fraction >> 8));
	link->data[7] = (uint8) fraction;
	link->data[8] = 0x80;
}

void
strm_key_link_new(const uint8 random[8], pg_uuid_t *link)
{
	strm_key_link_least(GetCurrentTimestamp(), link);
	memcpy(link->data + 8, random, 8);
	link->data[8] = (link->data[8] & 0x3f) | 0x80;
}
