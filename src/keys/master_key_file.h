/*
 * master_key_file.h
 *	  The provider that keeps master keys in a file (strm_privacy.master_key_file).
 */
#ifndef STRM_KEYS_MASTER_KEY_FILE_H
#define STRM_KEYS_MASTER_KEY_FILE_H

#include "crypto/wrap.h"

/* The current key and earlier ones that still open what they wrapped. */
#define STRM_MAX_MASTER_KEYS 16

typedef struct StrmMasterKey
{
	uint32		id;
	uint8		key[STRM_MASTER_KEY_SIZE];
} StrmMasterKey;

typedef struct StrmMasterKeys
{
	int			count;
	StrmMasterKey keys[STRM_MAX_MASTER_KEYS];	/* the current one first */
} StrmMasterKeys;

/* Reads the file; raises 55000 when it is missing, malformed, or may be read by others. */
extern void strm_master_key_file_read(StrmMasterKeys *keys);

/*
 * Creates the file with a new key if it does not exist. Raises 55000 when it may not be created, because there was one
 * before (existed) or because of its place, or when the file that exists cannot be used.
 */
extern void strm_master_key_file_create(bool existed);

#endif							/* STRM_KEYS_MASTER_KEY_FILE_H */
