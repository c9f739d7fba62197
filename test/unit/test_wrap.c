/*
 * test_wrap.c
 *	  Wrapping: the documented bytes, round trips, and that a wrapped secret opens nowhere but in its place.
 */
#include <sodium.h>

#include "crypto/wrap.h"
#include "tap.h"

#define MASTER_ID 0xa1b2c3d4
#define SECRET 96

static uint8_t master[STRM_MASTER_KEY_SIZE];
static uint8_t nonce[24];
static uint8_t secret[1000];
static uint8_t wrapped[1000 + STRM_WRAP_OVERHEAD];
static uint8_t opened[1000 + 1];

static const StrmWrapPlace home = {
	.kind = STRM_SECRET_IMPORTED_KEY,
	.owner = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	.key_link = {16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
	.key_id = 0x01020304,
};

/* Is it refused, with nothing left behind? */
static bool
refuses(const uint8_t *key, const StrmWrapPlace *place, const uint8_t *in, size_t n)
{
	size_t		size = n < STRM_WRAP_OVERHEAD ? 0 : n - STRM_WRAP_OVERHEAD;

	memset(opened, 0xee, sizeof(opened));
	return strm_unwrap(key, place, in, n, opened) == STRM_CRYPTO_FORGED && sodium_is_zero(opened, size) == 1 &&
		opened[size] == 0xee;
}

static void
wrap_home(size_t n)
{
	if (strm_wrap(master, MASTER_ID, &home, nonce, secret, n, wrapped) != STRM_CRYPTO_OK)
		bail_out("strm_wrap failed");
}

static void
test_round_trips(void)
{
	static const size_t sizes[] = {0, 1, 32, 96, 1000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
	{
		size_t		n = sizes[i];
		uint32_t	id = 0;

		memset(opened, 0xee, sizeof(opened));
		wrap_home(n);
		ok(strm_unwrap(master, &home, wrapped, n + STRM_WRAP_OVERHEAD, opened) == STRM_CRYPTO_OK &&
		   memcmp(opened, secret, n) == 0 && opened[n] == 0xee, "round trip of %zu bytes", n);
		ok(strm_wrap_master_id(wrapped, n + STRM_WRAP_OVERHEAD, &id) && id == MASTER_ID, "its master key's id");
	}
}

/* The bytes that wrap.h documents, put together by hand. */
static void
test_format(void)
{
	static const uint8_t header[] = {1, 2, 0xa1, 0xb2, 0xc3, 0xd4};
	uint8_t		ad[42] = {1, 2};
	uint8_t		body[SECRET + 16];

	memcpy(ad + 2, home.owner, 16);
	memcpy(ad + 18, header + 2, 4);
	memcpy(ad + 22, home.key_link, 16);
	memcpy(ad + 38, "\x01\x02\x03\x04", 4);
	crypto_aead_xchacha20poly1305_ietf_encrypt(body, NULL, secret, SECRET, ad, sizeof(ad), NULL, nonce, master);

	wrap_home(SECRET);
	same(wrapped, header, sizeof(header), "version, kind, master key id");
	same(wrapped + 6, nonce, sizeof(nonce), "nonce");
	same(wrapped + 30, body, sizeof(body), "payload and tag under the documented associated data");
}

/* Everything that says where a secret belongs, changed one at a time. */
static void
test_places(void)
{
	size_t		size = SECRET + STRM_WRAP_OVERHEAD;
	StrmWrapPlace place;
	uint8_t		key[STRM_MASTER_KEY_SIZE];
	int			accepted = 0;

	wrap_home(SECRET);
	for (int kind = STRM_SECRET_DATA_KEY; kind <= STRM_SECRET_MASK_SEED; kind++)
	{
		place = home;
		place.kind = (StrmSecretKind) kind;
		ok(refuses(master, &place, wrapped, size) == (kind != (int) home.kind), "as kind %d", kind);

		/* also when the kind in the header is made to agree */
		wrapped[1] = (uint8_t) kind;
		ok(refuses(master, &place, wrapped, size) == (kind != (int) home.kind), "as kind %d, header edited", kind);
		wrapped[1] = (uint8_t) home.kind;
	}
	for (int bit = 0; bit < 128; bit++)
	{
		place = home;
		place.owner[bit / 8] ^= (uint8_t) (1 << bit % 8);
		accepted += !refuses(master, &place, wrapped, size);
		place = home;
		place.key_link[bit / 8] ^= (uint8_t) (1 << bit % 8);
		accepted += !refuses(master, &place, wrapped, size);
	}
	ok(accepted == 0, "refused for another owner or key link");
	for (int bit = 0; bit < 32; bit++)
	{
		place = home;
		place.key_id ^= UINT32_C(1) << bit;
		accepted += !refuses(master, &place, wrapped, size);
	}
	ok(accepted == 0, "refused for another key id");
	for (int bit = 0; bit < 256; bit++)
	{
		memcpy(key, master, sizeof(key));
		key[bit / 8] ^= (uint8_t) (1 << bit % 8);
		accepted += !refuses(key, &home, wrapped, size);
	}
	ok(accepted == 0, "refused under another master key");
}

/* Every bit, header included, and every truncation. */
static void
test_forgeries(void)
{
	size_t		size = SECRET + STRM_WRAP_OVERHEAD;
	uint32_t	id;
	int			accepted = 0;

	wrap_home(SECRET);
	for (size_t bit = 0; bit < 8 * size; bit++)
	{
		wrapped[bit / 8] ^= (uint8_t) (1 << bit % 8);
		accepted += !refuses(master, &home, wrapped, size);
		wrapped[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	for (size_t cut = 0; cut < size; cut++)
		accepted += !refuses(master, &home, wrapped, cut);
	ok(accepted == 0, "no flipped bit and no truncation is accepted");
	ok(!strm_wrap_master_id(wrapped, STRM_WRAP_OVERHEAD - 1, &id), "too short to have a master key's id");
	wrapped[0] = 2;
	ok(!strm_wrap_master_id(wrapped, size, &id), "another version has none");
}

int
main(void)
{
	if (strm_crypto_init() != STRM_CRYPTO_OK)
		bail_out("no crypto");
	random_fill(master, sizeof(master));
	random_fill(nonce, sizeof(nonce));
	random_fill(secret, sizeof(secret));
	test_round_trips();
	test_format();
	test_places();
	test_forgeries();
	return tap_done();
}
