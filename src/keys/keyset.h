/*
 * keyset.h
 *	  Data keys as Tink keysets: how they leave this database.
 */
#ifndef STRM_KEYS_KEYSET_H
#define STRM_KEYS_KEYSET_H

#include "lib/stringinfo.h"

#include "keys/data_key.h"

/*
 * Appends the cleartext JSON keyset (AesSivKey, prefix TINK, compact, in Tink's order) of a key that is not destroyed.
 * The caller has checked strm_key_exporter, and wipes out.
 */
extern void strm_keyset_append(StrmDataKey *key, StringInfo out);

#endif							/* STRM_KEYS_KEYSET_H */
