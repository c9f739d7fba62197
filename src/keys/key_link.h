/*
 * key_link.h
 *	  Key links: uuids of version 7 (RFC 9562), which tell when their key was made and grow with time.
 */
#ifndef STRM_KEYS_KEY_LINK_H
#define STRM_KEYS_KEY_LINK_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* A new key link, of the present moment; random must be. */
extern void strm_key_link_new(const uint8 random[8], pg_uuid_t *link);

/* The least key link that a key made at that moment or later can have. */
extern void strm_key_link_least(TimestampTz moment, pg_uuid_t *link);

#endif							/* STRM_KEYS_KEY_LINK_H */
