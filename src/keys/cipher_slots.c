/*
 * cipher_slots.c
 *	  A data key is cached as 96 bytes; a keyed cipher context takes about 2 kB. So a few contexts of process lifetime
 *	  are kept (they are the cryptography library's memory, not a memory context's) and keyed again in place. A slot
 *	  knows by its serial which entry it is keyed for; serials are never used twice, so a slot never outlives its key
 *	  unnoticed.
 */
#include "postgres.h"

#include "common/errors.h"
#include "keys/cipher_slots.h"
#include "strm_privacy.h"

#define STRM_CIPHER_SLOTS 1024

typedef struct StrmCipherSlot
{
	uint64		siv_serial;
	uint64		cmac_serial;
	StrmSiv    *siv;
	StrmCmac   *cmac;
} StrmCipherSlot;

static StrmCipherSlot slots[STRM_CIPHER_SLOTS];

static void
strm_cipher_slots_check(bool ok)
{
	if (!ok)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not set up a cipher"));
}

StrmSiv *
strm_cipher_slots_siv(StrmKeyEntry *entry)
{
	StrmCipherSlot *slot = &slots[entry->serial % STRM_CIPHER_SLOTS];

	if (slot->siv_serial == entry->serial)
		return slot->siv;
	slot->siv_serial = 0;
	if (slot->siv == NULL)
		slot->siv = strm_siv_create();
	strm_cipher_slots_check(slot->siv != NULL && strm_siv_set_key(slot->siv, entry->siv_key) == STRM_CRYPTO_OK);
	slot->siv_serial = entry->serial;
	return slot->siv;
}

StrmCmac *
strm_cipher_slots_cmac(StrmKeyEntry *entry)
{
	StrmCipherSlot *slot = &slots[entry->serial % STRM_CIPHER_SLOTS];

	if (slot->cmac_serial == entry->serial)
		return slot->cmac;
	slot->cmac_serial = 0;
	if (slot->cmac == NULL)
		slot->cmac = strm_cmac_create();
	strm_cipher_slots_check(slot->cmac != NULL && strm_cmac_set_key(slot->cmac, entry->seal_key) == STRM_CRYPTO_OK);
	slot->cmac_serial = entry->serial;
	return slot->cmac;
}

void
strm_cipher_slots_reset(void)
{
	static const uint8 zero[STRM_SIV_KEY_SIZE] = {0};

	for (int i = 0; i < STRM_CIPHER_SLOTS; i++)
	{
		if (slots[i].siv_serial != 0)
			(void) strm_siv_set_key(slots[i].siv, zero);
		if (slots[i].cmac_serial != 0)
			(void) strm_cmac_set_key(slots[i].cmac, zero);
		slots[i].siv_serial = slots[i].cmac_serial = 0;
	}
}
