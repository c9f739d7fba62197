/*
 * cipher_slots.h
 *	  A fixed number of keyed cipher contexts.
 */
#ifndef STRM_KEYS_CIPHER_SLOTS_H
#define STRM_KEYS_CIPHER_SLOTS_H

#include "keys/key_cache.h"

/* Contexts keyed with entry's keys; valid until another key is asked for. */
extern StrmSiv *strm_cipher_slots_siv(StrmKeyEntry *entry);
extern StrmCmac *strm_cipher_slots_cmac(StrmKeyEntry *entry);

/* Makes the contexts forget their keys. */
extern void strm_cipher_slots_reset(void);

#endif							/* STRM_KEYS_CIPHER_SLOTS_H */
