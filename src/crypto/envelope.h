/*
 * envelope.h
 *	  Tink's ciphertext: 0x01, key id (4 bytes big endian), SIV (16), body.
 */
#ifndef STRM_CRYPTO_ENVELOPE_H
#define STRM_CRYPTO_ENVELOPE_H

#include "crypto/siv.h"

#define STRM_ENVELOPE_PREFIX_SIZE 5
#define STRM_ENVELOPE_OVERHEAD (STRM_ENVELOPE_PREFIX_SIZE + STRM_SIV_TAG_SIZE)

/* out: n + 21 bytes. siv holds the key whose id is key_id. */
extern StrmCryptoStatus strm_envelope_encrypt(StrmSiv *siv, uint32_t key_id, const uint8_t *in, size_t n, uint8_t *out);

/* in: n bytes; out: n - 21 bytes. Anything shorter than 21 bytes or of another prefix or key id is FORGED. */
extern StrmCryptoStatus strm_envelope_decrypt(StrmSiv *siv, uint32_t key_id, const uint8_t *in, size_t n, uint8_t *out);

#endif							/* STRM_CRYPTO_ENVELOPE_H */
