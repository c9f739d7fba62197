/*
 * cmac.h
 *	  AES-256-CMAC (RFC 4493 / SP 800-38B), the seal's MAC.
 */
#ifndef STRM_CRYPTO_CMAC_H
#define STRM_CRYPTO_CMAC_H

#include "crypto/crypto.h"

#define STRM_CMAC_KEY_SIZE 32
#define STRM_CMAC_SIZE 16

typedef struct StrmCmac StrmCmac;

extern StrmCmac *strm_cmac_create(void);
extern void strm_cmac_destroy(StrmCmac *cmac);
extern StrmCryptoStatus strm_cmac_set_key(StrmCmac *cmac, const uint8_t key[STRM_CMAC_KEY_SIZE]);
extern StrmCryptoStatus strm_cmac_compute(StrmCmac *cmac, const uint8_t *in, size_t n, uint8_t out[STRM_CMAC_SIZE]);

/* Constant-time comparison of two tags. */
extern bool strm_cmac_equal(const uint8_t a[STRM_CMAC_SIZE], const uint8_t b[STRM_CMAC_SIZE]);

#endif							/* STRM_CRYPTO_CMAC_H */
