/*
 * keyset.h
 *	  Google Tink's JSON keyset of one AES-SIV key, in clear: how data keys leave and enter this database.
 */
#ifndef STRM_CRYPTO_KEYSET_H
#define STRM_CRYPTO_KEYSET_H

#include "crypto/siv.h"

/* Room that any keyset and its terminator fit into. */
#define STRM_KEYSET_SIZE 320

/*
 * Writes the keyset of key, enabled, primary and with prefix TINK: compact, members in the order in which Tink and STRM
 * write them. Returns its length without the terminator, 0 when it failed. Nothing secret stays behind but in out,
 * which the caller wipes.
 */
extern size_t strm_keyset_write(uint32_t key_id, const uint8_t key[STRM_SIV_KEY_SIZE], char out[STRM_KEYSET_SIZE]);

#endif							/* STRM_CRYPTO_KEYSET_H */
