/*
 * fuzz_json.c
 *	  Arbitrary bytes as JSON, against jansson.
 *
 *	  jansson takes what we take, and the other way round, as far as they can agree: its numbers have a range, and it
 *	  checks UTF-8, which our caller has done. A string means the same to both.
 */
#include <jansson.h>

#include "format/json_scan.h"
#include "fuzz.h"

/* Is text such that jansson may refuse it and we not? Numbers may be too large, characters none. */
static bool
beyond_jansson(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((text[i] & 0x80) != 0 || text[i] == 'e' || text[i] == 'E')
			return true;
	return size > 200;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_alloc(size);
	StrmJsonScan scan = {text, text + size, NULL};
	StrmJsonValue value;
	json_t	   *json;
	bool		good;

	memcpy(text, data, size);
	json = json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	good = strm_json_value(&scan, &value, 0);
	FUZZ_CHECK(good == (scan.fault == NULL));
	FUZZ_CHECK(scan.p >= text && scan.p <= text + size);
	if (good)
	{
		(void) strm_json_peek(&scan);
		good = scan.p == scan.end;
	}
	if (memchr(text, '\0', size) != NULL)
	{
		/* to jansson that is the end */
		FUZZ_CHECK(!good);
		json_decref(json);
		json = NULL;
	}
	else
		FUZZ_CHECK(json == NULL || good);
	FUZZ_CHECK(json != NULL || !good || beyond_jansson(text, size));
	if (json != NULL && value.kind == STRM_JSON_STRING)
	{
		char	   *meaning = fuzz_alloc(value.size);
		size_t		n = strm_json_unescape(value.text, value.size, meaning);

		FUZZ_CHECK(n == json_string_length(json) && memcmp(meaning, json_string_value(json), n) == 0);
		FUZZ_CHECK(value.escaped || n == value.size);
		free(meaning);
	}
	json_decref(json);
	free(text);
	return 0;
}
