/*
 * kdf.h
 *	  Sub-keys of a data key's or inbox's 32-byte root: libsodium crypto_kdf, context "strm_v1_".
 */
#ifndef STRM_CRYPTO_KDF_H
#define STRM_CRYPTO_KDF_H

#include "crypto/cmac.h"
#include "crypto/siv.h"

#define STRM_ROOT_SIZE 32

/* id 1: the AES-SIV key, the one that is exported */
extern StrmCryptoStatus strm_kdf_siv_key(const uint8_t root[STRM_ROOT_SIZE], uint8_t out[STRM_SIV_KEY_SIZE]);

/* id 2: the seal's CMAC key; independent of the exported one */
extern StrmCryptoStatus strm_kdf_seal_key(const uint8_t root[STRM_ROOT_SIZE], uint8_t out[STRM_CMAC_KEY_SIZE]);

/* ids 3 and 4, of an inbox's root: what seals queued rows, and what hashes key field values into lanes */
extern StrmCryptoStatus strm_kdf_inbox_keys(const uint8_t root[STRM_ROOT_SIZE], uint8_t row_key[32],
											uint8_t lane_key[16]);

#endif							/* STRM_CRYPTO_KDF_H */
