/*
 * data_key.h
 *	  Data keys: one per (owner, key field value, window); found by a keyed hash of the value, named by their key link.
 */
#ifndef STRM_KEYS_DATA_KEY_H
#define STRM_KEYS_DATA_KEY_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "crypto/cmac.h"
#include "crypto/siv.h"

typedef struct StrmDataKey
{
	pg_uuid_t	key_link;
	pg_uuid_t	owner;			/* stream or batch job group */
	bool		destroyed;		/* a tombstone exists: no key material here, values read as NULL */
	uint32		key_id;			/* in every ciphertext */
	TimestampTz window_start;
	TimestampTz window_end;
	uint64		mark;			/* for who writes under it, to know it again; 0 when new to the cache */
} StrmDataKey;

/*
 * The key of a key link, for reading. Never NULL: raises XX001 when neither key nor tombstone exists (lost data must
 * not look like erased data), 55000 when sealed. Never writes. Valid until the next call of this module.
 */
extern StrmDataKey *strm_data_key_by_link(const pg_uuid_t *key_link);

/* The same; NULL when neither key nor tombstone exists. Raises XX001 for a key that is there and damaged. */
extern StrmDataKey *strm_data_key_find(const pg_uuid_t *key_link);

/*
 * The current key of owner and value, for writing: found, or created with a window from now that lasts rotation. Waits
 * for no other transaction. Valid until the next call of this module.
 */
extern StrmDataKey *strm_data_key_for_value(const pg_uuid_t *owner, const char *value, Size size, TimestampTz now,
											const Interval *rotation);

/* A key that rows are going to ask for, by strm_data_key_for_value and strm_data_key_register_subject. */
typedef struct StrmKeyWanted
{
	const char *value;
	Size		size;
	TimestampTz now;
	const char *subject;		/* NULL: none */
	Size		subject_size;
} StrmKeyWanted;

/*
 * Makes those of them that this backend does not know, and their data subjects' entries, many at once. Only spares
 * time: what is asked for afterwards is found, or made then.
 */
extern void strm_data_key_prepare(const pg_uuid_t *owner, const Interval *rotation, const StrmKeyWanted *wanted, int n);

/*
 * The key of owner and value for the UTC day that begins at day_start, for writing: found, or created with that day as
 * its window. A value may be empty. Otherwise as strm_data_key_for_value; the two never give the same key.
 */
extern StrmDataKey *strm_data_key_for_day(const pg_uuid_t *owner, const char *value, Size size, TimestampTz day_start);

/* Cipher contexts keyed with key (not destroyed); valid until the next call of this module. */
extern StrmSiv *strm_data_key_siv(StrmDataKey *key);
extern StrmCmac *strm_data_key_cmac(StrmDataKey *key);

/* Registers that the rows under key concern this data subject, unless it is known already. */
extern void strm_data_key_register_subject(StrmDataKey *key, const char *subject, Size size);

/*
 * Keyed hash of a data subject's id, as stored in strm.data_subject_link. false when no subject was registered yet and
 * this transaction may only read.
 */
extern bool strm_data_key_subject_hash(const char *subject, Size size, pg_uuid_t *hash);

/* Transaction callbacks; called once, by _PG_init. */
extern void strm_data_key_init(void);

#endif							/* STRM_KEYS_DATA_KEY_H */
