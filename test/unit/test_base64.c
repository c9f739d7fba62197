/*
 * test_base64.c
 *	  Strict base64: agreement with OpenSSL's encoder, what is canonical, what has a ciphertext's form.
 */
#include <openssl/evp.h>

#include "crypto/base64.h"
#include "tap.h"

#define MAX_SIZE 300

/* Texts that are not canonical, with why. */
static const struct
{
	const char *text;
	const char *why;
}			refused[] = {
	{"Q", "one character"},
	{"QQ", "no padding"},
	{"QQ=", "half of the padding"},
	{"QUI", "no padding of two bytes"},
	{"QR==", "bits behind one byte"},
	{"QUJ=", "bits behind two bytes"},
	{"QQ==QQ==", "padding inside"},
	{"QUI=QUJD", "padding inside"},
	{"Q===", "three padding characters"},
	{"====", "only padding"},
	{"QQ=Q", "padding before a digit"},
	{"QUJD\n", "a line end"},
	{"QUJD\n\n\n\n", "line ends"},
	{" QUJ", "a space"},
	{"QU-_", "base64url"},
	{"QU\xc3\xa9", "not ASCII"},
	{"QUJDQ", "a character too many"},
	{"QUJDQ===", "too much padding"},
};

/* Encoding equals OpenSSL's; decoding brings it back and writes no more than its size. */
static void
test_reference(void)
{
	uint8_t		in[MAX_SIZE];
	uint8_t		out[MAX_SIZE + 8];
	char		text[STRM_BASE64_SIZE(MAX_SIZE) + 1];
	unsigned char expected[STRM_BASE64_SIZE(MAX_SIZE) + 1];
	bool		equal = true;
	bool		back = true;

	for (int i = 0; i < 3000; i++)
	{
		size_t		n = i <= MAX_SIZE ? (size_t) i : random_next() % (MAX_SIZE + 1);
		size_t		size = 0;

		random_fill(in, n);
		memset(text, '#', sizeof(text));
		memset(out, 0xee, sizeof(out));
		strm_base64_encode(in, n, text);
		EVP_EncodeBlock(expected, in, (int) n);
		equal = equal && memcmp(text, expected, STRM_BASE64_SIZE(n)) == 0 && text[STRM_BASE64_SIZE(n)] == '#';
		back = back && strm_base64_decode(text, STRM_BASE64_SIZE(n), out, &size) && size == n &&
			memcmp(in, out, n) == 0 && out[n] == 0xee;
	}
	ok(equal, "encoding equals OpenSSL's");
	ok(back, "decoding brings it back");
}

/* A byte in any place of a quad is accepted exactly when it is one of the 64 digits. */
static void
test_alphabet(void)
{
	int			wrong = 0;

	for (int place = 0; place < 8; place++)
		for (int byte = 0; byte < 256; byte++)
		{
			char		text[8];
			uint8_t		out[6];
			size_t		size;
			bool		digit = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
				(byte >= '0' && byte <= '9') || byte == '+' || byte == '/';

			memcpy(text, "AQIDBAUG", 8);
			text[place] = (char) byte;
			/* padding may stand last, behind a U (010100) that leaves no bits */
			if (place == 7 && byte == '=')
				digit = true;
			wrong += strm_base64_decode(text, 8, out, &size) != digit;
		}
	ok(wrong == 0, "the alphabet, in every place");
}

static void
test_refused(void)
{
	uint8_t		out[16];
	size_t		size;

	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
	{
		size = 99;
		ok(!strm_base64_decode(refused[i].text, strlen(refused[i].text), out, &size) && size == 0,
		   "refused: %s", refused[i].why);
	}
	ok(strm_base64_decode("", 0, out, &size) && size == 0, "the empty text is empty");
	ok(strm_base64_decode("QQ==", 4, out, &size) && size == 1 && out[0] == 'A', "one byte");
	ok(strm_base64_decode("QUI=", 4, out, &size) && size == 2 && memcmp(out, "AB", 2) == 0, "two bytes");
}

/* The head: whatever follows it. */
static void
test_head(void)
{
	const char *text = "AQECAwSmS/42whIq6hL2LfAJdNZnawwqz557tXg2lA==";
	char		copy[64];
	uint8_t		whole[64];
	uint8_t		head[21];
	size_t		size;
	int			accepted = 0;

	strm_base64_decode(text, strlen(text), whole, &size);
	ok(strm_base64_decode_head(text, strlen(text), head) && memcmp(head, whole, 21) == 0, "the head");
	strcpy(copy, text);
	memset(copy + 28, '#', 16);
	ok(strm_base64_decode_head(copy, 44, head) && memcmp(head, whole, 21) == 0, "the head, the rest not looked at");
	ok(strm_base64_decode_head(text, 28, head), "the head alone");
	ok(!strm_base64_decode_head(text, 27, head) && !strm_base64_decode_head(text, 0, head), "too short for a head");
	for (int i = 0; i < 28; i++)
	{
		strcpy(copy, text);
		copy[i] = '=';
		accepted += strm_base64_decode_head(copy, strlen(copy), head);
	}
	ok(accepted == 0, "no padding in a head");
}

/* is_ciphertext says what decoding and looking would say. */
static void
test_form(void)
{
	uint8_t		in[64];
	uint8_t		out[64];
	char		text[STRM_BASE64_SIZE(64)];
	int			wrong = 0;
	int			yes = 0;

	for (int i = 0; i < 200000; i++)
	{
		size_t		n = random_next() % 41;
		size_t		length = STRM_BASE64_SIZE(n);
		size_t		size;
		bool		expected;

		random_fill(in, n);
		in[0] = random_next() % 4 == 0 ? in[0] : 0x01;
		strm_base64_encode(in, n, text);
		if (length > 0 && random_next() % 2 == 0)
			text[random_next() % length] = (char) ("=A+ \x80Qg"[random_next() % 7]);
		length -= length > 0 && random_next() % 8 == 0 ? 1 : 0;
		expected = strm_base64_decode(text, length, out, &size) && size >= 21 && out[0] == 0x01;
		wrong += strm_base64_is_ciphertext(text, length) != expected;
		yes += expected;
	}
	ok(wrong == 0 && yes > 10000, "is_ciphertext agrees with decoding (%d of 200000 are)", yes);
	ok(strm_base64_is_ciphertext("AQECAwRv9bjvU/w2VgbNPqBHN0iF", 28), "an empty value's ciphertext");
	ok(!strm_base64_is_ciphertext("AQECAwRv9bjvU/w2VgbNPqBHN0i=", 28), "20 bytes are none");
	ok(!strm_base64_is_ciphertext("AAECAwRv9bjvU/w2VgbNPqBHN0iF", 28), "first byte 0 is none");
	ok(!strm_base64_is_ciphertext("AgECAwRv9bjvU/w2VgbNPqBHN0iF", 28), "first byte 2 is none");
	ok(!strm_base64_is_ciphertext("", 0), "the empty text is none");
	ok(!strm_base64_is_ciphertext("AQECAwRv9bjvU/w2VgbNPqBHN0iFgR==", 32), "bits behind the last byte");
}

int
main(void)
{
	test_reference();
	test_alphabet();
	test_refused();
	test_head();
	test_form();
	return tap_done();
}
