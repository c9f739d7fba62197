/*
 * base64.h
 *	  Standard padded base64 (RFC 4648), strict: no white space, no missing padding, zero trailing bits. For ciphertext
 *	  only (tables, not constant time); keys go through libsodium's codec.
 */
#ifndef STRM_CRYPTO_BASE64_H
#define STRM_CRYPTO_BASE64_H

#include "crypto/crypto.h"

#define STRM_BASE64_SIZE(n) ((((n) + 2) / 3) * 4)

/* Writes STRM_BASE64_SIZE(n) characters, no terminator. */
extern void strm_base64_encode(const uint8_t *in, size_t n, char *out);

/*
 * Decodes n characters; out needs room for n / 4 * 3 bytes; *size gets the bytes written. false when not canonical.
 */
extern bool strm_base64_decode(const char *in, size_t n, uint8_t *out, size_t *size);

/*
 * Decodes only the first 28 characters of a ciphertext (its prefix and SIV, 21 bytes) into out without looking at the
 * rest. false when n < 28 or these characters are not canonical.
 */
extern bool strm_base64_decode_head(const char *in, size_t n, uint8_t out[21]);

/* Is this canonical base64 of something of a Tink ciphertext's form: at least 21 bytes, first byte 0x01? */
extern bool strm_base64_is_ciphertext(const char *in, size_t n);

#endif							/* STRM_CRYPTO_BASE64_H */
