/*
 * test_cmac.c
 *	  AES-256-CMAC: the vectors of SP 800-38B and agreement with OpenSSL's.
 */
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/core_names.h>

#include "crypto/cmac.h"
#include "tap.h"

#define KEY "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
#define MESSAGE \
	"6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" \
	"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"

static const struct
{
	size_t		n;
	const char *hex;
}			answers[] = {
	{0, "028962f61b7bf89efc6b551f4667d983"},
	{16, "28a7023f452e8f82bd4bf28d8c37c35c"},
	{40, "aaf3d8f1de5640c232f5b169b9c911e6"},
	{64, "e1992190549f6ed5696a2c056c315410"},
};

/* OpenSSL's CMAC. */
static void
reference(const uint8_t *key, const uint8_t *in, size_t n, uint8_t *out)
{
	EVP_MAC    *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	char		name[] = "AES-256-CBC";
	OSSL_PARAM	params[2] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, name, 0),
		OSSL_PARAM_construct_end(),
	};
	size_t		size;

	if (EVP_MAC_init(ctx, key, STRM_CMAC_KEY_SIZE, params) != 1 || EVP_MAC_update(ctx, in, n) != 1 ||
		EVP_MAC_final(ctx, out, &size, STRM_CMAC_SIZE) != 1)
		bail_out("OpenSSL's CMAC failed");
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

static void
test_answers(StrmCmac *cmac)
{
	uint8_t		key[STRM_CMAC_KEY_SIZE];
	uint8_t		message[64];
	uint8_t		expected[STRM_CMAC_SIZE];
	uint8_t		tag[STRM_CMAC_SIZE];

	unhex(KEY, key);
	unhex(MESSAGE, message);
	strm_cmac_set_key(cmac, key);
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
	{
		char		name[64];

		snprintf(name, sizeof(name), "SP 800-38B, %zu bytes", answers[i].n);
		unhex(answers[i].hex, expected);
		strm_cmac_compute(cmac, message, answers[i].n, tag);
		same(tag, expected, sizeof(tag), name);
	}
}

/* Every size 0..600, each under its own key, through one context. */
static void
test_reference(StrmCmac *cmac)
{
	uint8_t		key[STRM_CMAC_KEY_SIZE];
	uint8_t		in[600];
	uint8_t		tag[STRM_CMAC_SIZE];
	uint8_t		expected[STRM_CMAC_SIZE];
	bool		equal = true;

	for (size_t n = 0; n <= sizeof(in); n++)
	{
		random_fill(key, sizeof(key));
		random_fill(in, n);
		equal = equal && strm_cmac_set_key(cmac, key) == STRM_CRYPTO_OK &&
			strm_cmac_compute(cmac, in, n, tag) == STRM_CRYPTO_OK;
		reference(key, in, n, expected);
		equal = equal && strm_cmac_equal(tag, expected);
	}
	ok(equal, "sizes 0 to 600 equal OpenSSL's");
}

static void
test_equal(void)
{
	uint8_t		a[STRM_CMAC_SIZE] = {0};
	uint8_t		b[STRM_CMAC_SIZE] = {0};
	int			equal = 0;

	for (int bit = 0; bit < 8 * STRM_CMAC_SIZE; bit++)
	{
		b[bit / 8] ^= (uint8_t) (1 << bit % 8);
		equal += strm_cmac_equal(a, b);
		b[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	ok(equal == 0, "tags that differ in one bit are not equal");
	ok(strm_cmac_equal(a, b), "equal tags are");
}

int
main(void)
{
	StrmCmac   *cmac;
	uint8_t		tag[STRM_CMAC_SIZE];

	ok(strm_cmac_create() == NULL, "no context before strm_crypto_init");
	if (strm_crypto_init() != STRM_CRYPTO_OK || (cmac = strm_cmac_create()) == NULL)
		bail_out("no crypto");
	ok(strm_cmac_compute(cmac, tag, 0, tag) == STRM_CRYPTO_FAILED, "nothing without a key");
	test_answers(cmac);
	test_reference(cmac);
	test_equal();
	strm_cmac_destroy(cmac);
	strm_cmac_destroy(NULL);
	return tap_done();
}
