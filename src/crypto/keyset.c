/*
 * keyset.c
 *	  Writing keysets. The value of a key is its protocol buffer in base64: google.crypto.tink.AesSivKey, whose field 1,
 *	  version, is 0 and so left out, and whose field 2 are the key's bytes. Base64 is libsodium's, which takes the same
 *	  time whatever the bytes are.
 */
#include "crypto/keyset.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

/* Field 2, of variable length; 64 bytes. */
#define TAG_KEY_VALUE 0x12

#define MESSAGE_SIZE (2 + STRM_SIV_KEY_SIZE)
#define VALUE_SIZE sodium_base64_ENCODED_LEN(MESSAGE_SIZE, sodium_base64_VARIANT_ORIGINAL)

/* snprintf and the like may leave the value on the stack or in a buffer of their own, so the value is copied in. */
size_t
strm_keyset_write(uint32_t key_id, const uint8_t key[STRM_SIV_KEY_SIZE], char out[STRM_KEYSET_SIZE])
{
	uint8_t		message[MESSAGE_SIZE] = {TAG_KEY_VALUE, STRM_SIV_KEY_SIZE};
	char		value[VALUE_SIZE];
	int			head;
	int			tail;
	size_t		size = 0;

	memcpy(message + 2, key, STRM_SIV_KEY_SIZE);
	sodium_bin2base64(value, sizeof(value), message, sizeof(message), sodium_base64_VARIANT_ORIGINAL);
	head = snprintf(out, STRM_KEYSET_SIZE,
					"{\"primaryKeyId\":%" PRIu32 ",\"key\":[{\"keyData\":{"
					"\"typeUrl\":\"type.googleapis.com/google.crypto.tink.AesSivKey\",\"value\":\"", key_id);
	if (head > 0 && (size_t) head + sizeof(value) < STRM_KEYSET_SIZE)
	{
		size_t		used = (size_t) head + sizeof(value) - 1;

		memcpy(out + head, value, sizeof(value));
		tail = snprintf(out + used, STRM_KEYSET_SIZE - used,
						"\",\"keyMaterialType\":\"SYMMETRIC\"},\"status\":\"ENABLED\",\"keyId\":%" PRIu32
						",\"outputPrefixType\":\"TINK\"}]}", key_id);
		if (tail > 0 && (size_t) tail < STRM_KEYSET_SIZE - used)
			size = used + (size_t) tail;
	}
	sodium_memzero(message, sizeof(message));
	sodium_memzero(value, sizeof(value));
	return size;
}
