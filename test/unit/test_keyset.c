/*
 * test_keyset.c
 *	  Tink's JSON keysets, byte for byte as Tink writes them.
 */
#include <sodium.h>

#include "crypto/keyset.h"
#include "tap.h"

#define KEYSET(id, value) \
	"{\"primaryKeyId\":" id ",\"key\":[{\"keyData\":{\"typeUrl\":\"type.googleapis.com/google.crypto.tink.AesSivKey\"," \
	"\"value\":\"" value "\",\"keyMaterialType\":\"SYMMETRIC\"},\"status\":\"ENABLED\",\"keyId\":" id "," \
	"\"outputPrefixType\":\"TINK\"}]}"

/* The key whose bytes are 00, 01, ... 3f. */
#define COUNTING "EkAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/"

/* All bits set: digits that only standard base64 has. */
#define ONES "EkD/////////////////////////////////////////////////////////////////////////////////////"

static void
check(uint32_t key_id, const uint8_t *key, const char *expected, const char *name)
{
	char		out[STRM_KEYSET_SIZE];
	size_t		size;

	memset(out, 'x', sizeof(out));
	size = strm_keyset_write(key_id, key, out);
	ok(size == strlen(expected), "%s: size", name);
	same(out, expected, strlen(expected) + 1, name);
}

int
main(void)
{
	uint8_t		key[STRM_SIV_KEY_SIZE];

	if (strm_crypto_init() != STRM_CRYPTO_OK)
		bail_out("no crypto");
	ok(strlen(COUNTING) == 88 && strlen(ONES) == 88, "a value has 88 characters");
	for (int i = 0; i < STRM_SIV_KEY_SIZE; i++)
		key[i] = (uint8_t) i;
	check(0x01020304, key, KEYSET("16909060", COUNTING), "a keyset");
	check(1, key, KEYSET("1", COUNTING), "the smallest key id");
	memset(key, 0xff, sizeof(key));
	check(UINT32_MAX, key, KEYSET("4294967295", ONES), "the greatest key id, unsigned");
	return tap_done();
}
