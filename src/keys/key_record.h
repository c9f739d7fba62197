/*
 * key_record.h
 *	  Data keys as records of a file of keys: keyLink, encryptionKey, policyId, expiresAt.
 */
#ifndef STRM_KEYS_KEY_RECORD_H
#define STRM_KEYS_KEY_RECORD_H

#include "lib/stringinfo.h"

#include "catalog/policy.h"
#include "format/record.h"
#include "keys/data_key.h"

#define STRM_KEY_RECORD_COLUMNS 4

extern const StrmRecordColumn strm_key_record_columns[STRM_KEY_RECORD_COLUMNS];

/* When the policy's retention of a key ends, in epoch milliseconds; false: never. */
extern bool strm_key_record_expiry(const StrmPolicy *policy, const StrmDataKey *key, int64 *expiry);

/*
 * The values of a key that is not destroyed, in the current context but for the keyset, which is in keyset: the caller,
 * who has checked strm_key_exporter, wipes that.
 */
extern void strm_key_record_values(const StrmPolicy *policy, StrmDataKey *key, StringInfo keyset,
								   StrmRecordValue *values);

#endif							/* STRM_KEYS_KEY_RECORD_H */
