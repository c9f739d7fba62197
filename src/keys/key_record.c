/*
 * key_record.c
 *	  Data keys as records of a file of keys: what batch jobs and batch exporters write, in the shape of
 *	  strm.export_keys().
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/uuid.h"
#include "keys/key_record.h"
#include "keys/keyset.h"
#include "strm_privacy.h"

const StrmRecordColumn strm_key_record_columns[STRM_KEY_RECORD_COLUMNS] = {
	{"keyLink"}, {"encryptionKey"}, {"policyId"}, {"expiresAt"},
};

bool
strm_key_record_expiry(const StrmPolicy *policy, const StrmDataKey *key, int64 *expiry)
{
	TimestampTz end = strm_catalog_policy_end(policy, key->window_start);

	*expiry = 0;
	if (TIMESTAMP_NOT_FINITE(end))
		return false;
	*expiry = end / 1000 + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;
	return true;
}

static void
strm_key_record_set(StrmRecordValue *value, StrmRecordValueKind kind, const char *text)
{
	value->kind = kind;
	value->text = text;
	value->size = text == NULL ? 0 : strlen(text);
}

void
strm_key_record_values(const StrmPolicy *policy, StrmDataKey *key, StringInfo keyset, StrmRecordValue *values)
{
	int64		expiry;

	resetStringInfo(keyset);
	strm_keyset_append(key, keyset);
	strm_key_record_set(&values[0], STRM_RECORD_TEXT, strm_uuid_text(&key->key_link));
	values[1].kind = STRM_RECORD_TEXT;
	values[1].text = keyset->data;
	values[1].size = keyset->len;
	if (policy->is_default)
		strm_key_record_set(&values[2], STRM_RECORD_NULL, NULL);
	else
		strm_key_record_set(&values[2], STRM_RECORD_TEXT, strm_uuid_text(&policy->id));
	if (strm_key_record_expiry(policy, key, &expiry))
		strm_key_record_set(&values[3], STRM_RECORD_NUMBER, psprintf(INT64_FORMAT, expiry));
	else
		strm_key_record_set(&values[3], STRM_RECORD_NULL, NULL);
}
