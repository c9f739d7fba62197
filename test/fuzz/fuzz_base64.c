/*
 * fuzz_base64.c
 *	  Arbitrary characters decoded, arbitrary bytes encoded.
 *
 *	  What decodes encodes to the same text (so a value has one text); libsodium's strict decoder agrees on what decodes
 *	  and to what, as far as the text is ASCII (it takes some bytes above for digits); head and form agree with the whole.
 */
#include <sodium.h>

#include "crypto/base64.h"
#include "fuzz.h"

#define HEAD_CHARS 28
#define HEAD_SIZE 21

/* Are all characters below 0x80? */
static bool
is_ascii(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((text[i] & 0x80) != 0)
			return false;
	return true;
}

/* data as text. */
static void
decode(const char *text, size_t n)
{
	uint8_t    *out = fuzz_alloc(n / 4 * 3);
	uint8_t    *expected = fuzz_alloc(n / 4 * 3 + 3);
	uint8_t		head[HEAD_SIZE];
	size_t		size = 0;
	size_t		expected_size = 0;
	bool		decoded = strm_base64_decode(text, n, out, &size);
	bool		reference = is_ascii(text, n) &&
		sodium_base642bin(expected, n / 4 * 3 + 3, text, n, NULL, &expected_size, NULL,
						  sodium_base64_VARIANT_ORIGINAL) == 0;

	FUZZ_CHECK(decoded == reference);
	if (decoded)
	{
		char	   *again = fuzz_alloc(n);

		FUZZ_CHECK(size == expected_size && memcmp(out, expected, size) == 0);
		FUZZ_CHECK(STRM_BASE64_SIZE(size) == n);
		strm_base64_encode(out, size, again);
		FUZZ_CHECK(memcmp(again, text, n) == 0);
		FUZZ_CHECK(strm_base64_decode_head(text, n, head) == (size >= HEAD_SIZE));
		FUZZ_CHECK(size < HEAD_SIZE || memcmp(head, out, HEAD_SIZE) == 0);
		free(again);
	}
	else
		FUZZ_CHECK(size == 0);
	FUZZ_CHECK(strm_base64_is_ciphertext(text, n) == (decoded && size >= HEAD_SIZE && out[0] == 0x01));

	/* the head alone is what its characters decode to */
	if (n >= HEAD_CHARS)
	{
		uint8_t		part[HEAD_SIZE];
		bool		whole = strm_base64_decode(text, HEAD_CHARS, part, &size) && size == HEAD_SIZE;

		FUZZ_CHECK(strm_base64_decode_head(text, n, head) == whole);
		FUZZ_CHECK(!whole || memcmp(head, part, HEAD_SIZE) == 0);
	}
	else
		FUZZ_CHECK(!strm_base64_decode_head(text, n, head));
	free(out);
	free(expected);
}

/* data as bytes. */
static void
encode(const uint8_t *data, size_t n)
{
	size_t		length = STRM_BASE64_SIZE(n);
	char	   *text = fuzz_alloc(length);
	char	   *expected = fuzz_alloc(length + 1);
	uint8_t    *out = fuzz_alloc(length / 4 * 3);
	size_t		size;

	strm_base64_encode(data, n, text);
	sodium_bin2base64(expected, length + 1, data, n, sodium_base64_VARIANT_ORIGINAL);
	FUZZ_CHECK(memcmp(text, expected, length) == 0);
	FUZZ_CHECK(strm_base64_decode(text, length, out, &size) && size == n);
	FUZZ_CHECK(n == 0 || memcmp(out, data, n) == 0);
	FUZZ_CHECK(strm_base64_is_ciphertext(text, length) == (n >= HEAD_SIZE && data[0] == 0x01));
	free(text);
	free(expected);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	decode((const char *) data, size);
	encode(data, size);
	return 0;
}
