/*
 * test_wycheproof.c
 *	  Google's Wycheproof vectors for AES-SIV: every case with a 512-bit key, encrypting (valid ones) and decrypting.
 *
 *	  The vectors are not part of this repository: they are looked for in $STRM_SHARED/data/wycheproof, and the program
 *	  skips where they are absent. As AEAD, the nonce is a second component after the associated data.
 */
#include <jansson.h>
#include <unistd.h>

#include "crypto/siv.h"
#include "tap.h"

#define MAX_SIZE 4096

static uint8_t key[MAX_SIZE];
static uint8_t aad[MAX_SIZE];
static uint8_t iv[MAX_SIZE];
static uint8_t msg[MAX_SIZE];
static uint8_t sealed[2 * MAX_SIZE];
static uint8_t got[2 * MAX_SIZE];

/* A member as bytes; absent is empty. */
static size_t
member(const json_t *test, const char *name, uint8_t *out)
{
	const char *hex = json_string_value(json_object_get(test, name));

	if (hex == NULL)
		return 0;
	if (strlen(hex) > 2 * MAX_SIZE)
		bail_out("vector too long");
	return unhex(hex, out);
}

/* One vector: does it behave as its result says? The tag stands before the body in ours, apart in AEAD vectors. */
static bool
passes(StrmSiv *siv, const json_t *test)
{
	bool		valid = strcmp(json_string_value(json_object_get(test, "result")), "valid") == 0;
	size_t		msg_size = member(test, "msg", msg);
	size_t		iv_size = member(test, "iv", iv);
	size_t		tag_size = member(test, "tag", sealed);
	size_t		size = tag_size + member(test, "ct", sealed + tag_size);
	StrmBytes	ad[2] = {{aad, member(test, "aad", aad)}, {iv, iv_size}};
	size_t		ad_count = json_object_get(test, "iv") != NULL ? 2 : 1;
	StrmCryptoStatus status;

	if (member(test, "key", key) != STRM_SIV_KEY_SIZE ||
		strm_siv_set_key(siv, key) != STRM_CRYPTO_OK || strm_siv_set_ad(siv, ad, ad_count) != STRM_CRYPTO_OK)
		return false;

	if (valid && (strm_siv_encrypt(siv, msg, msg_size, got) != STRM_CRYPTO_OK ||
				  size != msg_size + STRM_SIV_TAG_SIZE || memcmp(got, sealed, size) != 0))
		return false;
	status = strm_siv_decrypt(siv, sealed, size, got);
	if (!valid)
		return status == STRM_CRYPTO_FORGED;
	return status == STRM_CRYPTO_OK && memcmp(got, msg, msg_size) == 0;
}

/* All 512-bit groups of a file. */
static void
run_file(StrmSiv *siv, const char *folder, const char *name, int expected)
{
	char		path[4096];
	json_error_t error;
	json_t	   *root;
	json_t	   *group;
	json_t	   *test;
	size_t		i;
	size_t		k;
	int			run = 0;
	int			passed = 0;

	snprintf(path, sizeof(path), "%s/data/wycheproof/%s", folder, name);
	if (access(path, R_OK) != 0)
	{
		ok(true, "%s # SKIP no vectors at %s", name, path);
		return;
	}
	root = json_load_file(path, 0, &error);
	if (root == NULL)
		bail_out(error.text);
	json_array_foreach(json_object_get(root, "testGroups"), i, group)
	{
		if (json_integer_value(json_object_get(group, "keySize")) != 8 * STRM_SIV_KEY_SIZE)
			continue;
		json_array_foreach(json_object_get(group, "tests"), k, test)
		{
			run++;
			if (passes(siv, test))
				passed++;
			else
				printf("# failed: tcId %lld\n", (long long) json_integer_value(json_object_get(test, "tcId")));
		}
	}
	json_decref(root);
	ok(run == expected && passed == expected, "%s: %d of %d cases pass, %d expected", name, passed, run, expected);
}

int
main(void)
{
	const char *folder = getenv("STRM_SHARED");
	StrmSiv    *siv;

	if (strm_crypto_init() != STRM_CRYPTO_OK || (siv = strm_siv_create()) == NULL)
		bail_out("no crypto");
	if (folder == NULL || *folder == '\0')
		folder = "../shared";
	run_file(siv, folder, "aes_siv_cmac_test.json", 147);
	run_file(siv, folder, "aead_aes_siv_cmac_test.json", 300);
	strm_siv_destroy(siv);
	return tap_done();
}
