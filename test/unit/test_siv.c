/*
 * test_siv.c
 *	  AES-256-SIV: known answers, agreement with OpenSSL's own, forgeries, re-keying, the batch boundaries of CTR.
 */
#include <openssl/evp.h>

#include "crypto/siv.h"
#include "tap.h"

#define MAX_SIZE 1024
#define TAG STRM_SIV_TAG_SIZE

/* V and body; key 00 01 .. 3f, plaintext the first n letters of abc..z, repeated. */
static const struct
{
	size_t		n;
	const char *hex;
}			answers[] = {
	{0, "6ff5b8ef53fc365606cd3ea047374885"},
	{1, "f196e2fbecd4e8cf16e575e8902e15cf0d"},
	{15, "1c2a643678c7d7741a2dcba5a4997ff27daca57b90454f915a801f913112ee"},
	{16, "73b5a1c66fa8838ec69142dff499b9fb78faa8978dc2f4cb44d9ca61703eedba"},
	{17, "7d632172c151e648a3dcf8fc3954a8ad557c06a26c419f7bf2dbe80d816dc604b1"},
	{31, "0b5a48040568d855536aae249c18584fbf90d7f3328d60e92d2d773c37fe81ad044bd2eb67bdecb8960f420063f037"},
	{33, "620b10090cffe1846a510251121c5711a34b60c3096e61bf4d7cfb727579b39d818952c842776f6b32a1046af04e83edaa"},
};

static uint8_t plain[MAX_SIZE];
static uint8_t sealed[MAX_SIZE + TAG];
static uint8_t other[MAX_SIZE + TAG];
static uint8_t opened[MAX_SIZE + TAG];

/* The key of the known answers, every byte XORed with mask. */
static void
count_key(uint8_t *key, uint8_t mask)
{
	for (int i = 0; i < STRM_SIV_KEY_SIZE; i++)
		key[i] = (uint8_t) i ^ mask;
}

/* A context under the key of the known answers. */
static void
rekey(StrmSiv *siv, uint8_t mask)
{
	uint8_t		key[STRM_SIV_KEY_SIZE];

	count_key(key, mask);
	if (strm_siv_set_key(siv, key) != STRM_CRYPTO_OK)
		bail_out("set_key failed");
}

static bool
encrypts(StrmSiv *siv, const uint8_t *in, size_t n, uint8_t *out)
{
	return strm_siv_encrypt(siv, in, n, out) == STRM_CRYPTO_OK;
}

/* Does out open to exactly in? */
static bool
opens(StrmSiv *siv, const uint8_t *in, size_t n, const uint8_t *out)
{
	memset(opened, 0xee, sizeof(opened));
	return strm_siv_decrypt(siv, out, n + TAG, opened) == STRM_CRYPTO_OK && memcmp(opened, in, n) == 0 &&
		opened[n] == 0xee;
}

/* Is it refused, with nothing of it left behind? */
static bool
refuses(StrmSiv *siv, const uint8_t *in, size_t n)
{
	size_t		body = n < TAG ? 0 : n - TAG;

	memset(opened, 0xee, sizeof(opened));
	if (strm_siv_decrypt(siv, in, n, opened) != STRM_CRYPTO_FORGED || opened[body] != 0xee)
		return false;
	for (size_t i = 0; i < body; i++)
		if (opened[i] != 0)
			return false;
	return true;
}

/* OpenSSL's AES-256-SIV with one component, or none when ad is NULL; only right for n > 0 and non-empty components. */
static void
reference(const uint8_t *key, const uint8_t *ad, size_t ad_size, const uint8_t *in, size_t n, uint8_t *out)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int			size;

	if (EVP_EncryptInit_ex2(ctx, cipher, key, NULL, NULL) != 1 ||
		(ad != NULL && EVP_EncryptUpdate(ctx, NULL, &size, ad, (int) ad_size) != 1) ||
		EVP_EncryptUpdate(ctx, out + TAG, &size, in, (int) n) != 1 ||
		EVP_EncryptFinal_ex(ctx, out + TAG + n, &size) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, out) != 1)
		bail_out("OpenSSL's AES-256-SIV failed");
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(cipher);
}

static void
test_answers(StrmSiv *siv)
{
	uint8_t		expected[64];

	rekey(siv, 0);
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++)
	{
		size_t		n = answers[i].n;
		size_t		size = unhex(answers[i].hex, expected);
		char		name[64];

		snprintf(name, sizeof(name), "known answer of %zu bytes", n);
		encrypts(siv, plain, n, sealed);
		same(sealed, expected, size, name);
		ok(size == n + TAG && opens(siv, plain, n, expected), "known answer of %zu bytes opens", n);
	}
}

/* Random keys, sizes 0..600, associated data none, or one component of 1..64 bytes. */
static void
test_reference(StrmSiv *siv)
{
	uint8_t		key[STRM_SIV_KEY_SIZE];
	uint8_t		in[600];
	uint8_t		ad[64];
	bool		equal = true;
	bool		opening = true;

	for (int i = 0; i < 2404; i++)
	{
		size_t		n = i < 600 ? (size_t) i + 1 : 1 + random_next() % 600;
		StrmBytes	component = {ad, 1 + random_next() % sizeof(ad)};
		bool		with_ad = random_next() % 2 == 0;

		random_fill(key, sizeof(key));
		random_fill(in, n);
		random_fill(ad, component.size);
		if (strm_siv_set_key(siv, key) != STRM_CRYPTO_OK ||
			strm_siv_set_ad(siv, &component, with_ad ? 1 : 0) != STRM_CRYPTO_OK)
			bail_out("keying failed");
		equal = equal && encrypts(siv, in, n, sealed);
		reference(key, with_ad ? ad : NULL, component.size, in, n, other);
		equal = equal && memcmp(sealed, other, n + TAG) == 0;
		opening = opening && opens(siv, in, n, other);
	}
	ok(equal, "2404 random messages equal OpenSSL's");
	ok(opening, "OpenSSL's messages open");
}

/* The empty component is the default, comes back with a key, and differs from having no component. */
static void
test_associated_data(StrmSiv *siv)
{
	StrmBytes	empty = {NULL, 0};
	StrmBytes	two[2] = {{(const uint8_t *) "a", 1}, {(const uint8_t *) "b", 1}};
	StrmBytes	joined = {(const uint8_t *) "ab", 2};

	rekey(siv, 0);
	encrypts(siv, plain, 30, sealed);
	strm_siv_set_ad(siv, &empty, 1);
	encrypts(siv, plain, 30, other);
	ok(memcmp(sealed, other, 30 + TAG) == 0, "the default is one empty component");
	strm_siv_set_ad(siv, NULL, 0);
	encrypts(siv, plain, 30, other);
	ok(memcmp(sealed, other, TAG) != 0, "no component is something else");
	ok(refuses(siv, sealed, 30 + TAG), "and does not open it");
	strm_siv_set_ad(siv, two, 2);
	encrypts(siv, plain, 30, other);
	strm_siv_set_ad(siv, &joined, 1);
	ok(refuses(siv, other, 30 + TAG), "two components are not one joined");
	rekey(siv, 0);
	ok(opens(siv, plain, 30, sealed), "a new key brings the empty component back");
}

/* Every truncation and every flipped bit of messages of 0..60 bytes; then an empty message made up. */
static void
test_forgeries(StrmSiv *siv)
{
	int			accepted = 0;
	int			tried = 0;

	rekey(siv, 0);
	for (size_t n = 0; n <= 60; n++)
	{
		encrypts(siv, plain, n, sealed);
		for (size_t cut = 0; cut < n + TAG; cut++, tried++)
			accepted += !refuses(siv, sealed, cut);
		for (size_t bit = 0; bit < 8 * (n + TAG); bit++, tried++)
		{
			sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
			accepted += !refuses(siv, sealed, n + TAG);
			sealed[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
		memcpy(other, sealed, n + TAG);
		other[n + TAG] = 0;
		accepted += !refuses(siv, other, n + TAG + 1);
		tried++;
	}
	ok(accepted == 0, "%d of %d forgeries accepted", accepted, tried);

	memset(other, 0, TAG);
	ok(refuses(siv, other, TAG), "an empty message with a zero tag is refused");
	random_fill(other, TAG);
	ok(refuses(siv, other, TAG), "an empty message with a random tag is refused");
	ok(refuses(siv, other, 0) && refuses(siv, other, TAG - 1), "less than a tag is refused");
}

/* Two keys in turn through one context, against a context of their own each. */
static void
test_two_keys(StrmSiv *siv)
{
	StrmSiv    *own[2] = {strm_siv_create(), strm_siv_create()};
	bool		equal = true;
	bool		foreign = true;

	rekey(own[0], 0);
	rekey(own[1], 0xff);
	for (int i = 0; i < 64; i++)
	{
		size_t		n = (size_t) i * 5 % 70;

		rekey(siv, i % 2 == 0 ? 0 : 0xff);
		equal = equal && encrypts(siv, plain, n, sealed) && encrypts(own[i % 2], plain, n, other) &&
			memcmp(sealed, other, n + TAG) == 0 && opens(siv, plain, n, other);
		foreign = foreign && refuses(own[1 - i % 2], sealed, n + TAG);
	}
	ok(equal, "two keys in turn through one context");
	ok(foreign, "and neither opens the other's");
	strm_siv_destroy(own[0]);
	strm_siv_destroy(own[1]);
}

/* Round trips about the sizes of a block and of a CTR batch; a buffer's neighbours stay untouched. */
static void
test_sizes(StrmSiv *siv)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 271, 272, 273, 511, 512, 513, 769};
	uint8_t		key[STRM_SIV_KEY_SIZE];

	count_key(key, 0);
	rekey(siv, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
	{
		size_t		n = sizes[i];
		StrmBytes	ad = {(const uint8_t *) "x", 1};
		bool		equal = true;

		memset(sealed, 0xee, sizeof(sealed));
		strm_siv_set_ad(siv, &ad, 1);
		encrypts(siv, plain, n, sealed);
		if (n > 0)
		{
			reference(key, ad.data, ad.size, plain, n, other);
			equal = memcmp(sealed, other, n + TAG) == 0;
		}
		ok(equal && sealed[n + TAG] == 0xee && opens(siv, plain, n, sealed), "size %zu", n);
	}
}

/* Without a key nothing works; nothing is left of what could not be opened. */
static void
test_unkeyed(void)
{
	StrmSiv    *siv = strm_siv_create();
	StrmBytes	ad = {(const uint8_t *) "x", 1};

	memset(opened, 0xee, sizeof(opened));
	ok(strm_siv_encrypt(siv, plain, 20, sealed) == STRM_CRYPTO_FAILED, "no encryption without a key");
	ok(strm_siv_decrypt(siv, sealed, 36, opened) == STRM_CRYPTO_FAILED && opened[0] == 0, "no decryption either");
	ok(strm_siv_set_ad(siv, &ad, 1) == STRM_CRYPTO_FAILED, "no associated data either");
	strm_siv_destroy(siv);
	strm_siv_destroy(NULL);
}

int
main(void)
{
	StrmSiv    *siv;

	ok(strm_siv_create() == NULL, "no context before strm_crypto_init");
	if (strm_crypto_init() != STRM_CRYPTO_OK || strm_crypto_init() != STRM_CRYPTO_OK ||
		(siv = strm_siv_create()) == NULL)
		bail_out("no crypto");
	for (int i = 0; i < MAX_SIZE; i++)
		plain[i] = (uint8_t) ('a' + i % 26);

	test_answers(siv);
	test_reference(siv);
	test_associated_data(siv);
	test_forgeries(siv);
	test_two_keys(siv);
	test_sizes(siv);
	test_unkeyed();
	strm_siv_destroy(siv);
	return tap_done();
}
