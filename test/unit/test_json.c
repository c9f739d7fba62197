/*
 * test_json.c
 *	  The scanner of JSON: what it takes and refuses, where it stops, what strings mean; agreement with jansson.
 */
#include <jansson.h>

#include "format/json_scan.h"
#include "tap.h"

static const struct
{
	const char *text;
	StrmJsonKind kind;
}			sound[] = {
	{"\"\"", STRM_JSON_STRING},
	{" \t\r\n\"x\" ", STRM_JSON_STRING},
	{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"", STRM_JSON_STRING},
	{"\"\x7f\xc3\xa9\"", STRM_JSON_STRING},
	{"0", STRM_JSON_NUMBER},
	{"-0", STRM_JSON_NUMBER},
	{"-12.50e+07", STRM_JSON_NUMBER},
	{"1E9", STRM_JSON_NUMBER},
	{"1e-9", STRM_JSON_NUMBER},
	{"123456789012345678901234567890", STRM_JSON_NUMBER},
	{"true", STRM_JSON_BOOLEAN},
	{"false", STRM_JSON_BOOLEAN},
	{"null", STRM_JSON_NULL},
	{"{}", STRM_JSON_OBJECT},
	{"{ }", STRM_JSON_OBJECT},
	{"{\"a\" : 1 , \"b\":[ ] , \"a\":{\"c\":null}}", STRM_JSON_OBJECT},
	{"[]", STRM_JSON_ARRAY},
	{"[1,[2,[3]],\"]\"]", STRM_JSON_ARRAY},
};

static const char *const unsound[] = {
	"", " ", "\"", "\"x", "\"\\\"", "\"\\x\"", "\"\\", "\"\\u12\"", "\"\\u123g\"", "\"\\u", "\"a\nb\"", "\"\x01\"",
	"\"\\u0000\"", "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\\ud800\\ue000\"", "\"\\udc00\"",
	"\"\\ud800\\", "01", "-", "-a", "+1", "1.", ".5", "1e", "1e+", "1.e1", "1x", "0x1", "1\"", "NaN", "Infinity", "tru",
	"truE", "nul", "{", "}", "[", "]", "{]", "[}", "{a:1}", "{'a':1}", "{1:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
	"{,}", "{\"a\":1 \"b\":2}", "[1,]", "[,]", "[1 2]", "[1", "[1,", "{\"a\":1", "{\"a\"", "{\"a\":[1}", "/**/1", "[1,2}",
};

static const struct
{
	const char *text;
	const char *meaning;
}			strings[] = {
	{"plain", "plain"},
	{"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
	{"\\u0041\\u00e9\\u20AC\\uffff", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf"},
	{"\\ud83d\\ude00\\ud800\\udc00\\udbff\\udfff", "\xf0\x9f\x98\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
	{"\\\\u0041", "\\u0041"},
};

/* Reads text, in memory of exactly its size; does it hold one value and nothing else? */
static bool
reads(const char *text, size_t size, StrmJsonValue *value)
{
	char	   *copy = malloc(size > 0 ? size : 1);
	StrmJsonScan scan = {copy, copy + size, NULL};
	bool		good;

	memcpy(copy, text, size);
	good = strm_json_value(&scan, value, 0);
	if (good == (scan.fault != NULL))
		bail_out("a fault without an end, or an end without a fault");
	if (good)
	{
		(void) strm_json_peek(&scan);
		good = scan.p == scan.end;
	}
	free(copy);
	return good;
}

/* Does jansson take text? It cannot hold numbers of any size, so they are not compared. */
static bool
jansson_reads(const char *text, size_t size)
{
	json_t	   *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);

	json_decref(json);
	return json != NULL;
}

/* Every prefix of a sound text is read as jansson reads it. */
static void
prefixes(const char *text)
{
	StrmJsonValue value;

	for (size_t size = 0; size <= strlen(text); size++)
		if (reads(text, size, &value) != jansson_reads(text, size))
		{
			ok(false, "%.*s is read as jansson reads it", (int) size, text);
			return;
		}
	ok(true, "%s and its beginnings are read as jansson reads them", text);
}

/* Brackets inside one another, up to the limit and beyond. */
static void
depth(void)
{
	static char text[2 * STRM_JSON_MAX_DEPTH + 2];
	StrmJsonValue value;

	for (int n = STRM_JSON_MAX_DEPTH; n <= STRM_JSON_MAX_DEPTH + 1; n++)
	{
		memset(text, '[', (size_t) n);
		memset(text + n, ']', (size_t) n);
		ok(reads(text, 2 * (size_t) n, &value) == (n == STRM_JSON_MAX_DEPTH), "%d arrays inside one another", n);
	}
}

int
main(void)
{
	StrmJsonValue value;
	char		out[100];

	for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++)
	{
		ok(reads(sound[i].text, strlen(sound[i].text), &value) && value.kind == sound[i].kind, "takes %s", sound[i].text);
		prefixes(sound[i].text);
	}
	for (size_t i = 0; i < sizeof(unsound) / sizeof(unsound[0]); i++)
		ok(!reads(unsound[i], strlen(unsound[i]), &value), "refuses unsound text %d", (int) i);
	ok(!reads("\"a\0b\"", 5, &value) && !reads("1\0", 2, &value) && !reads("\"\\\0\"", 4, &value) && !reads("\0", 1, &value),
	   "refuses NUL");
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
	{
		size_t		size = strm_json_unescape(strings[i].text, strlen(strings[i].text), out);

		ok(size == strlen(strings[i].meaning) && memcmp(out, strings[i].meaning, size) == 0, "meaning of %s", strings[i].text);
	}
	depth();
	return tap_done();
}
