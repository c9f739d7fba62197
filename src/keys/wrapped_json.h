/*
 * wrapped_json.h
 *	  JSON with secrets in it (credentials, seeds), stored wrapped by the master key.
 */
#ifndef STRM_KEYS_WRAPPED_JSON_H
#define STRM_KEYS_WRAPPED_JSON_H

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "crypto/wrap.h"

/* The document as it is stored, with owner's id bound to it; palloc'd. Raises as strm_master_key_wrap() does. */
extern bytea *strm_wrapped_json_make(StrmSecretKind kind, const pg_uuid_t *owner, Jsonb *document);

/* The other way round: in the current memory context, wiped with it. Raises as strm_master_key_unwrap() does. */
extern Jsonb *strm_wrapped_json_open(StrmSecretKind kind, const pg_uuid_t *owner, const bytea *wrapped);

#endif							/* STRM_KEYS_WRAPPED_JSON_H */
