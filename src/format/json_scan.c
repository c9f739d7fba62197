/*
 * json_scan.c
 *	  A strict reader of JSON text.
 *
 *	  The server has one, too, but it copies every token, converts and raises as it goes, and has another interface in
 *	  each version. This one takes the same texts but for two: \u0000, which no text of PostgreSQL's can hold, is a
 *	  fault, and so is a surrogate without its other half, everywhere.
 */
#include <string.h>

#include "format/json_scan.h"

/* Sets the fault. */
static bool
strm_json_fault(StrmJsonScan *scan, const char *fault)
{
	scan->fault = fault;
	return false;
}

char
strm_json_peek(StrmJsonScan *scan)
{
	while (scan->p < scan->end && (*scan->p == ' ' || *scan->p == '\t' || *scan->p == '\n' || *scan->p == '\r'))
		scan->p++;
	return scan->p < scan->end ? *scan->p : '\0';
}

bool
strm_json_take(StrmJsonScan *scan, char c)
{
	if (strm_json_peek(scan) != c || scan->p == scan->end)
		return false;
	scan->p++;
	return true;
}

/* The value of a hexadecimal digit, or -1. */
static int
strm_json_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four hexadecimal digits at p; -1 when there are none before end. */
static int32_t
strm_json_hex(const char *p, const char *end)
{
	int32_t		value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int			digit = strm_json_hex_digit(p[i]);

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* The second half of a surrogate pair at p (\udc00 to \udfff); -1 when it is none. */
static int32_t
strm_json_low_half(const char *p, const char *end)
{
	int32_t		low = -1;

	if (end - p >= 6 && p[0] == '\\' && p[1] == 'u')
		low = strm_json_hex(p + 2, end);
	return low >= 0xdc00 && low <= 0xdfff ? low : -1;
}

/* Checks and skips an escape at the backslash. */
static bool
strm_json_escape(StrmJsonScan *scan)
{
	const char *p = scan->p + 1;
	int32_t		code;

	if (p == scan->end)
		return strm_json_fault(scan, "has a string without an end");
	if (*p != 'u')
	{
		if (*p == '\0' || strchr("\"\\/bfnrt", *p) == NULL)
			return strm_json_fault(scan, "has an escape in a string that JSON does not know");
		scan->p += 2;
		return true;
	}

	code = strm_json_hex(p + 1, scan->end);
	if (code < 0)
		return strm_json_fault(scan, "has \\u without four hexadecimal digits");
	if (code == 0)
		return strm_json_fault(scan, "has \\u0000, which no text can hold");
	if (code >= 0xdc00 && code <= 0xdfff)
		return strm_json_fault(scan, "has the second half of a surrogate pair without the first");
	if (code >= 0xd800 && code <= 0xdbff)
	{
		if (strm_json_low_half(p + 5, scan->end) < 0)
			return strm_json_fault(scan, "has the first half of a surrogate pair without the second");
		scan->p += 6;
	}
	scan->p += 6;
	return true;
}

bool
strm_json_string(StrmJsonScan *scan, StrmJsonValue *value)
{
	if (!strm_json_take(scan, '"'))
		return strm_json_fault(scan, "has something else where a string belongs");
	value->kind = STRM_JSON_STRING;
	value->text = scan->p;
	value->escaped = false;
	for (;;)
	{
		while (scan->p < scan->end && *scan->p != '"' && *scan->p != '\\' && (unsigned char) *scan->p >= ' ')
			scan->p++;
		if (scan->p == scan->end)
			return strm_json_fault(scan, "has a string without an end");
		if (*scan->p == '"')
			break;
		if (*scan->p != '\\')
			return strm_json_fault(scan, "has a control character in a string");
		value->escaped = true;
		if (!strm_json_escape(scan))
			return false;
	}
	value->size = (size_t) (scan->p - value->text);
	scan->p++;
	return true;
}

/* Skips digits; are there any? */
static bool
strm_json_digits(StrmJsonScan *scan)
{
	const char *start = scan->p;

	while (scan->p < scan->end && *scan->p >= '0' && *scan->p <= '9')
		scan->p++;
	return scan->p > start;
}

/* Skips c, if it is next. */
static bool
strm_json_next_is(StrmJsonScan *scan, char c)
{
	if (scan->p == scan->end || *scan->p != c)
		return false;
	scan->p++;
	return true;
}

/* Checks and skips a number. */
static bool
strm_json_number(StrmJsonScan *scan)
{
	static const char fault[] = "has a number that is not written as JSON writes it";

	(void) strm_json_next_is(scan, '-');
	if (!strm_json_next_is(scan, '0') && !strm_json_digits(scan))
		return strm_json_fault(scan, fault);
	if (strm_json_next_is(scan, '.') && !strm_json_digits(scan))
		return strm_json_fault(scan, fault);
	if (strm_json_next_is(scan, 'e') || strm_json_next_is(scan, 'E'))
	{
		if (!strm_json_next_is(scan, '+'))
			(void) strm_json_next_is(scan, '-');
		if (!strm_json_digits(scan))
			return strm_json_fault(scan, fault);
	}
	/* 01, 1x: said here, not as a missing comma */
	if (scan->p < scan->end && *scan->p != '\0' && strchr(" \t\r\n,]}", *scan->p) == NULL)
		return strm_json_fault(scan, fault);
	return true;
}

/* Checks and skips a word. */
static bool
strm_json_word(StrmJsonScan *scan, const char *word)
{
	size_t		size = strlen(word);

	if ((size_t) (scan->end - scan->p) < size || memcmp(scan->p, word, size) != 0)
		return strm_json_fault(scan, "has something else where a value belongs");
	scan->p += size;
	return true;
}

/* Checks and skips what is inside an array or object, whose bracket was taken, and its closing bracket. */
static bool
strm_json_inside(StrmJsonScan *scan, StrmJsonKind kind, int depth)
{
	char		close = kind == STRM_JSON_OBJECT ? '}' : ']';
	StrmJsonValue value;

	if (depth > STRM_JSON_MAX_DEPTH)
		return strm_json_fault(scan, "is nested too deep");
	if (strm_json_take(scan, close))
		return true;
	do
	{
		if (kind == STRM_JSON_OBJECT)
		{
			if (!strm_json_string(scan, &value))
				return false;
			if (!strm_json_take(scan, ':'))
				return strm_json_fault(scan, "has no colon after a member's name");
		}
		if (!strm_json_value(scan, &value, depth))
			return false;
	} while (strm_json_take(scan, ','));
	if (!strm_json_take(scan, close))
		return strm_json_fault(scan, "has no comma or closing bracket after a value");
	return true;
}

bool
strm_json_value(StrmJsonScan *scan, StrmJsonValue *value, int depth)
{
	char		c = strm_json_peek(scan);
	bool		good;

	if (c == '"')
		return strm_json_string(scan, value);

	value->text = scan->p;
	value->escaped = false;
	switch (c)
	{
		case '{':
		case '[':
			value->kind = c == '{' ? STRM_JSON_OBJECT : STRM_JSON_ARRAY;
			scan->p++;
			good = strm_json_inside(scan, value->kind, depth + 1);
			break;
		case 't':
		case 'f':
			value->kind = STRM_JSON_BOOLEAN;
			good = strm_json_word(scan, c == 't' ? "true" : "false");
			break;
		case 'n':
			value->kind = STRM_JSON_NULL;
			good = strm_json_word(scan, "null");
			break;
		default:
			value->kind = STRM_JSON_NUMBER;
			if (c != '-' && (c < '0' || c > '9'))
				return strm_json_fault(scan, "has something else where a value belongs");
			good = strm_json_number(scan);
			break;
	}
	value->size = (size_t) (scan->p - value->text);
	return good;
}

/* Writes a character in UTF-8; how many bytes it took. */
static size_t
strm_json_put_utf8(int32_t code, char *to)
{
	if (code < 0x80)
	{
		to[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		to[0] = (char) (0xc0 | (code >> 6));
		to[1] = (char) (0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000)
	{
		to[0] = (char) (0xe0 | (code >> 12));
		to[1] = (char) (0x80 | ((code >> 6) & 0x3f));
		to[2] = (char) (0x80 | (code & 0x3f));
		return 3;
	}
	to[0] = (char) (0xf0 | (code >> 18));
	to[1] = (char) (0x80 | ((code >> 12) & 0x3f));
	to[2] = (char) (0x80 | ((code >> 6) & 0x3f));
	to[3] = (char) (0x80 | (code & 0x3f));
	return 4;
}

size_t
strm_json_unescape(const char *text, size_t size, char *to)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *end = text + size;
	char	   *begin = to;

	while (text < end)
	{
		int32_t		code;

		if (*text != '\\')
		{
			*to++ = *text++;
			continue;
		}
		if (text[1] != 'u')
		{
			*to++ = meanings[strchr(letters, text[1]) - letters];
			text += 2;
			continue;
		}
		code = strm_json_hex(text + 2, end);
		text += 6;
		if (code >= 0xd800 && code <= 0xdbff)
		{
			code = 0x10000 + ((code - 0xd800) << 10) + (strm_json_low_half(text, end) - 0xdc00);
			text += 6;
		}
		to += strm_json_put_utf8(code, to);
	}
	return (size_t) (to - begin);
}
