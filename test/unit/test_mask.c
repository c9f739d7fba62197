/*
 * test_mask.c
 *	  Masks and keyed hashes against answers of other implementations.
 */
#include "crypto/mask.h"
#include "crypto/murmur3.h"
#include "tap.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyz"

/* STRM's documented masks with seed hi-there, then values whose hash has leading zeroes, under an empty seed. */
static const struct
{
	const char *seed;
	const char *value;
	const char *mask;
}			murmur3_masks[] = {
	{"hi-there", "unique-5", "1083e8169d7138e990cc30095578452"},
	{"hi-there", "session-273", "7cc66d130664caa9efacda1026c1c44"},
	{"hi-there", "sensitive-0", "e49bd309eed4a5094437a71ac2bc1cad"},
	{"hi-there", "not-sensitive-6", "538ad30b2aa2781e855c4eb059cf68a3"},
	{"", "", "00"},
	{"", "hello", "cbd8a7b341bd9b025b1e906a48ae1d19"},
	{"", "hello, world", "342fac623a5ebc8e4cdcbc079642414d"},
	{"", "19 Jan 2038 at 3:14:07 AM", "b89e5988b737affc664fc2950231b2cb"},
	{"", "The quick brown fox jumps over the lazy dog", "e34bbc7bbc071b6c7a433ca9c49a9347"},
	{"", "The quick brown fox jumps over the lazy dog.", "cd99481f9ee902c9695da1a38987b6e7"},
	{"", "value-1045", "bb081ae5b660bc7f3263d46dffff6"},
	{"", "value-2248", "e6b9082389b98eedeef3959a603af"},
	{"", "value-66", "5e102b7d9a4d8621a939a3cd1a05a7"},
};

/* The first n letters, repeated: every length of the last block. */
static const struct
{
	size_t		n;
	const char *mask;
}			murmur3_sizes[] = {
	{1, "85555565f6597889e6b53a48510e895a"},
	{7, "a6cd2f9fc09ee4991c3aa23ab155bbb6"},
	{8, "cc8a0ab037ef8c0248890d60eb6940a1"},
	{9, "547c0cff13c796479b53df5b741e033"},
	{15, "8abe2451890c2ffb6a548c2d9c962a61"},
	{16, "c4ca3ca3224cb7234333d695b331eb1a"},
	{17, "7564747f88bda657ecda499da1110de4"},
	{31, "b1732b5e5bcbb97533647ca1e349d8e"},
	{32, "b7a7929719b0b1b4a1f935fbd24c1ca6"},
	{33, "78b8c2e9113c351e856bd2a6ea0ec553"},
	{100, "7e8b0e91e76f8fdc12bd65016c505087"},
};

/* BLAKE2b-128 of the value, keyed with bytes 00 01 02 .. (mod 256) of that number, the first hashed above 64. */
static const struct
{
	size_t		seed_size;
	const char *value;
	const char *mask;
}			blake2b_masks[] = {
	{0, "", "cae66941d9efbd404e4d88758ea67670"},
	{0, "c-42", "253821e7c5d8680b92b40f1de2916a33"},
	{1, "", "667428338d33e26cdee2fcbafffde7fe"},
	{1, "c-42", "f1ae9ecd3c99095ffa920fd0b0a2c34f"},
	{16, "", "083aac7ba77bc664005d821eb8bfa4d9"},
	{16, "c-42", "c0d55f1623114048a5d484a3ce11f173"},
	{64, "", "2ae6b02df83c8d5a85eb7ab86fe3a11f"},
	{64, "c-42", "1ee8b4d336d01b03634830899c5818ec"},
	{65, "", "4d95fac1c300a4099165ada6635807f2"},
	{65, "c-42", "6cce8f222b756d455cd4774545c40395"},
	{1000, "", "35f22a40105361a34c033015b21ae9f3"},
	{1000, "c-42", "2b3cc3efd6cfa3fd5342b8f451111985"},
};

static const uint8_t *
bytes(const char *text)
{
	return (const uint8_t *) text;
}

static void
test_murmur3(void)
{
	char		mask[STRM_MASK_SIZE];
	uint8_t		letters[100];

	for (size_t i = 0; i < sizeof(murmur3_masks) / sizeof(*murmur3_masks); i++)
	{
		const char *seed = murmur3_masks[i].seed;
		const char *value = murmur3_masks[i].value;

		ok(strm_mask_murmur3(bytes(seed), strlen(seed), bytes(value), strlen(value), mask) == STRM_CRYPTO_OK &&
		   strcmp(mask, murmur3_masks[i].mask) == 0, "murmur3 of '%s' '%s': %s", seed, value, mask);
	}
	for (size_t i = 0; i < sizeof(letters); i++)
		letters[i] = (uint8_t) LETTERS[i % 26];
	for (size_t i = 0; i < sizeof(murmur3_sizes) / sizeof(*murmur3_sizes); i++)
	{
		size_t		n = murmur3_sizes[i].n;
		bool		equal = true;

		/* wherever the seed ends and the value begins */
		for (size_t cut = 0; cut <= n; cut++)
			equal = equal && strm_mask_murmur3(letters, cut, letters + cut, n - cut, mask) == STRM_CRYPTO_OK &&
				strcmp(mask, murmur3_sizes[i].mask) == 0;
		ok(equal, "murmur3 of %zu bytes, cut anywhere", n);
	}
}

/* Bytes of 0x80 and above are not signed, and pieces of any size make the same hash. */
static void
test_murmur3_pieces(void)
{
	uint8_t		in[300];
	bool		equal = true;

	random_fill(in, sizeof(in));
	for (int i = 0; i < 500; i++)
	{
		StrmMurmur3 whole = {0};
		StrmMurmur3 pieces = {0};
		size_t		done = 0;

		strm_murmur3_feed(&whole, in, sizeof(in));
		while (done < sizeof(in))
		{
			size_t		step = random_next() % 40;

			step = step < sizeof(in) - done ? step : sizeof(in) - done;
			strm_murmur3_feed(&pieces, in + done, step);
			done += step;
		}
		strm_murmur3_finish(&whole);
		strm_murmur3_finish(&pieces);
		equal = equal && whole.h1 == pieces.h1 && whole.h2 == pieces.h2;
	}
	ok(equal, "murmur3 fed in pieces");
}

static void
test_blake2b(void)
{
	uint8_t		seed[1000];
	char		mask[STRM_MASK_SIZE];

	for (size_t i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t) i;
	for (size_t i = 0; i < sizeof(blake2b_masks) / sizeof(*blake2b_masks); i++)
	{
		const char *value = blake2b_masks[i].value;

		ok(strm_mask_blake2b(seed, blake2b_masks[i].seed_size, bytes(value), strlen(value), mask) == STRM_CRYPTO_OK &&
		   strcmp(mask, blake2b_masks[i].mask) == 0, "BLAKE2b of '%s', seed of %zu bytes", value,
		   blake2b_masks[i].seed_size);
	}
	strm_mask_blake2b(bytes("a secret"), 8, bytes("c-42"), 4, mask);
	ok(strcmp(mask, "6ae64015dc64332da3dfe1a3c10f6335") == 0, "BLAKE2b of 'c-42', seed 'a secret'");
}

static void
test_keyed_hash(void)
{
	uint8_t		key[STRM_HASH_KEY_SIZE];
	uint8_t		expected[STRM_HASH_SIZE];
	uint8_t		hash[STRM_HASH_SIZE];

	for (int i = 0; i < STRM_HASH_KEY_SIZE; i++)
		key[i] = (uint8_t) i;
	unhex("d67ef47d365a853641d21e718d7a1635", expected);
	ok(strm_keyed_hash(key, bytes("prefix"), 6, bytes("value"), 5, hash) == STRM_CRYPTO_OK, "keyed hash");
	same(hash, expected, sizeof(hash), "keyed hash of prefix, value");
	strm_keyed_hash(key, NULL, 0, bytes("prefixvalue"), 11, hash);
	same(hash, expected, sizeof(hash), "keyed hash without a prefix");
	strm_keyed_hash(key, bytes("prefixvalue"), 11, NULL, 0, hash);
	same(hash, expected, sizeof(hash), "keyed hash of an empty value");
	key[31] ^= 1;
	strm_keyed_hash(key, bytes("prefix"), 6, bytes("value"), 5, hash);
	ok(memcmp(hash, expected, sizeof(hash)) != 0, "another key, another hash");
}

int
main(void)
{
	if (strm_crypto_init() != STRM_CRYPTO_OK)
		bail_out("no crypto");
	test_murmur3();
	test_murmur3_pieces();
	test_blake2b();
	test_keyed_hash();
	return tap_done();
}
