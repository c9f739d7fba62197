/*
 * base64.c
 *	  Strict base64 by tables. One ciphertext has exactly one text: what is refused here would decode to the same bytes
 *	  but compare as a different value.
 */
#include "crypto/base64.h"

#include <string.h>

/* Not a digit; no valid digit has this bit. */
#define NO 0x80

/* Characters and bytes of a ciphertext's head: prefix, key id and SIV. */
#define HEAD_CHARS 28

static const char base64_digits[64] = {
	'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P',
	'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
	'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
	'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '/',
};

static const uint8_t base64_values[256] = {
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO, NO, 63,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
	NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, NO,
	NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
};

/* Encodes n bytes; out gets STRM_BASE64_SIZE(n) characters. */
void
strm_base64_encode(const uint8_t *in, size_t n, char *out)
{
	for (; n >= 3; in += 3, n -= 3, out += 4)
	{
		uint32_t	v = (uint32_t) in[0] << 16 | (uint32_t) in[1] << 8 | in[2];

		out[0] = base64_digits[v >> 18];
		out[1] = base64_digits[v >> 12 & 63];
		out[2] = base64_digits[v >> 6 & 63];
		out[3] = base64_digits[v & 63];
	}
	if (n > 0)
	{
		uint32_t	v = (uint32_t) in[0] << 16 | (n == 2 ? (uint32_t) in[1] << 8 : 0);

		out[0] = base64_digits[v >> 18];
		out[1] = base64_digits[v >> 12 & 63];
		out[2] = n == 2 ? base64_digits[v >> 6 & 63] : '=';
		out[3] = '=';
	}
}

/* Decodes n characters without padding, n a multiple of 4; false when one of them is no digit. */
static bool
strm_base64_decode_quads(const char *in, size_t n, uint8_t *out)
{
	const uint8_t *p = (const uint8_t *) in;
	const uint8_t *end = p + n;
	uint32_t	seen = 0;

	for (; p < end; p += 4, out += 3)
	{
		uint32_t	a = base64_values[p[0]];
		uint32_t	b = base64_values[p[1]];
		uint32_t	c = base64_values[p[2]];
		uint32_t	d = base64_values[p[3]];

		seen |= a | b | c | d;
		out[0] = (uint8_t) (a << 2 | b >> 4);
		out[1] = (uint8_t) (b << 4 | c >> 2);
		out[2] = (uint8_t) (c << 6 | d);
	}
	return (seen & NO) == 0;
}

/*
 * Decodes the last four characters, which may be padded, into block; the number of bytes, or 0 when they are not
 * canonical: a character that is no digit, or bits set that stand for no byte.
 */
static size_t
strm_base64_decode_last(const char in[4], uint8_t block[3])
{
	char		quad[4];
	size_t		size = 3;

	memcpy(quad, in, sizeof(quad));
	if (quad[3] == '=')
	{
		quad[3] = 'A';
		size = 2;
		if (quad[2] == '=')
		{
			quad[2] = 'A';
			size = 1;
		}
	}
	if (!strm_base64_decode_quads(quad, sizeof(quad), block))
		return 0;
	if ((size < 3 && block[2] != 0) || (size < 2 && block[1] != 0))
		return 0;
	return size;
}

/* Decodes strictly; *size is 0 when refused. */
bool
strm_base64_decode(const char *in, size_t n, uint8_t *out, size_t *size)
{
	uint8_t		block[3];
	size_t		last;

	*size = 0;
	if (n == 0)
		return true;
	if (n % 4 != 0 || !strm_base64_decode_quads(in, n - 4, out))
		return false;
	last = strm_base64_decode_last(in + n - 4, block);
	if (last == 0)
		return false;
	out += n / 4 * 3 - 3;
	for (size_t i = 0; i < last; i++)
		out[i] = block[i];
	*size = n / 4 * 3 - 3 + last;
	return true;
}

/* Decodes a ciphertext's head alone: enough for its key id and its seal. */
bool
strm_base64_decode_head(const char *in, size_t n, uint8_t out[21])
{
	return n >= HEAD_CHARS && strm_base64_decode_quads(in, HEAD_CHARS, out);
}

/*
 * Checks the form without decoding into memory. The first byte is 0x01 when the text begins with A and one of Q to f.
 */
bool
strm_base64_is_ciphertext(const char *in, size_t n)
{
	const uint8_t *p = (const uint8_t *) in;
	const uint8_t *tail;
	uint8_t		block[3];
	uint32_t	seen = 0;
	size_t		last;

	if (n < HEAD_CHARS || n % 4 != 0 || p[0] != 'A' || base64_values[p[1]] >> 4 != 1)
		return false;
	for (tail = p + n - 4; p < tail; p += 4)
		seen |= (uint32_t) base64_values[p[0]] | base64_values[p[1]] | base64_values[p[2]] | base64_values[p[3]];
	if ((seen & NO) != 0)
		return false;
	last = strm_base64_decode_last((const char *) tail, block);
	return last > 0 && (n - 4) / 4 * 3 + last >= HEAD_CHARS / 4 * 3;
}
