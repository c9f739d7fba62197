/*
 * uuid.h
 *	  Uuids of definitions.
 */
#ifndef STRM_COMMON_UUID_H
#define STRM_COMMON_UUID_H

#include "lib/stringinfo.h"
#include "utils/uuid.h"

/* A new random (version 4) uuid. */
extern pg_uuid_t strm_uuid_new(void);

/* The usual spelling, in the current context. */
extern char *strm_uuid_text(const pg_uuid_t *id);

/* Appends it. */
extern void strm_uuid_append(StringInfo out, const pg_uuid_t *id);

#endif							/* STRM_COMMON_UUID_H */
