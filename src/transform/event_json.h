/*
 * event_json.h
 *	  A stream's row as event JSON.
 */
#ifndef STRM_TRANSFORM_EVENT_JSON_H
#define STRM_TRANSFORM_EVENT_JSON_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "contract/contract.h"

/* Server columns of an event, in the order of a stream's and a derived stream's columns. */
typedef enum StrmEventColumn
{
	STRM_EVENT_VERSION,
	STRM_EVENT_NONCE,
	STRM_EVENT_TIMESTAMP,
	STRM_EVENT_KEY_LINK,
	STRM_EVENT_CONSENT_LEVELS,
	STRM_EVENT_COLUMNS
} StrmEventColumn;

typedef struct StrmEventEncoder StrmEventEncoder;

/*
 * An encoder of rows under contract, in the current memory context; contract must outlive it. types are those of the
 * fields' columns, in contract order: of a stream, or of a derived stream, where decrypted fields have their native
 * type and masked ones are text. Raises XX000 on a type that no contract gives.
 */
extern StrmEventEncoder *strm_event_encoder(const StrmContract *contract, const Oid *types);

/* A timestamp as events show it: epoch milliseconds, rounded down. */
extern int64 strm_event_epoch_ms(TimestampTz timestamp);

/*
 * Appends one row to out. server is an array of STRM_EVENT_COLUMNS, fields one of the contract's fields. Detoasted
 * copies stay in the current memory context, which callers reset per row.
 */
extern void strm_event_encode(const StrmEventEncoder *encoder, const Datum *server, const bool *server_null,
							  const Datum *fields, const bool *fields_null, StringInfo out);

#endif							/* STRM_TRANSFORM_EVENT_JSON_H */
