/*
 * test_token_answer.c
 *	  Answers of token endpoints: tokens, how long they are valid, codes of errors, and what is none of these.
 */
#include "tap.h"

#include "postgres.h"

#include <time.h>

#include "kafka/token_answer.h"

/* The C library's: the server's own needs more of it than is linked here. */
#undef snprintf

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* What is taken from an answer. */
static void
test_token(const char *answer, const char *token, int64 seconds)
{
	char	   *copy = strdup(answer);
	int64		life = -1;
	char	   *text = strm_kafka_answer_token(copy, &life);

	ok(text != NULL && token != NULL ? strcmp(text, token) == 0 : text == token, "token of %s", answer);
	if (token != NULL)
		ok(life == seconds, "valid for %ld seconds, got %ld", (long) seconds, (long) life);
	free(copy);
}

/* The end that a token has in it. */
static void
test_end(int64 from_now, int64 least, int64 most)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char		claims[100];
	char		answer[300] = "{\"access_token\":\"eyJ9.";
	int			at = strlen(answer);
	int			size = snprintf(claims, sizeof(claims), "{\"sub\":\"\xc3\xbf\xc3\xbe>?\",\"exp\" : %ld}", (long) (time(NULL) + from_now));
	int64		life = -1;
	char	   *text;

	for (int i = 0; i < size; i += 3)
	{
		unsigned	group = (unsigned char) claims[i] << 16;

		group |= i + 1 < size ? (unsigned char) claims[i + 1] << 8 : 0;
		group |= i + 2 < size ? (unsigned char) claims[i + 2] : 0;
		for (int j = 0; j < 4 && i + j <= size; j++)
			answer[at++] = digits[group >> (18 - 6 * j) & 63];
	}
	strcpy(answer + at, ".sig\"}");
	text = strm_kafka_answer_token(answer, &life);
	ok(text != NULL && life >= least && life <= most, "a token that ends in %ld seconds: %ld", (long) from_now, (long) life);
}

/* The code of an error. */
static void
test_error(const char *answer, const char *expected)
{
	char		code[64];

	strm_kafka_answer_error(answer, code, sizeof(code));
	ok(strcmp(code, expected) == 0, "error of %s: \"%s\"", answer, code);
}

/* Anything at all: nothing is read or written that should not be, which sanitizers see. */
static void
test_anything(void)
{
	static const char pieces[] = "{}\":,\\/ \t\n.=abcAZ09-_\x01\xff";
	static const char *const names[] = {"\"access_token\"", "\"expires_in\"", "\"error\"", "\"exp\"", "eyJ"};
	unsigned	seed = 1;
	int			failed = 0;

	for (int i = 0; i < 200000; i++)
	{
		char		answer[200] = "";
		int			size = 0;
		char		code[8];
		char	   *copy;
		char	   *text;
		int64		life;

		for (int n = 0; n < 12; n++)
		{
			seed = seed * 1103515245u + 12345u;
			if (seed >> 28 < 5)
				size += snprintf(answer + size, sizeof(answer) - size, "%s", names[seed >> 28]);
			else
				answer[size++] = pieces[(seed >> 16) % (sizeof(pieces) - 1)];
		}
		answer[size] = '\0';
		strm_kafka_answer_error(answer, code, sizeof(code));
		failed += strlen(code) >= sizeof(code);
		copy = strdup(answer);
		text = strm_kafka_answer_token(copy, &life);
		failed += text != NULL && (text[0] == '\0' || life < 0);
		free(copy);
	}
	ok(failed == 0, "whatever it is");
}

int
main(void)
{
	test_token("{\"access_token\":\"abc\",\"expires_in\":300}", "abc", 300);
	test_token("{ \"expires_in\" : \"300\" ,\r\n\t\"access_token\" :\t\"a\\/b+c==\" }", "a/b+c==", 300);
	test_token("{\"token_type\":\"access_token\",\"scope\":\"expires_in\",\"access_token\":\"abc\",\"expires_in\":1e2}", "abc", 100);
	test_token("{\"issued\":\"access_token\", \"access_token\": \"x\", \"expires_in\": 0}", "x", 0);
	test_token("{\"access_token\":\"opaque\"}", "opaque", 60);
	test_token("{\"access_token\":\"a.b.c\",\"expires_in\":null}", "a.b.c", 60);
	test_token("{\"access_token\":\"abc\",\"expires_in\":-5}", "abc", 60);
	test_token("{\"access_token\":\"abc\",\"expires_in\":1e14}", "abc", 365 * 86400);
	test_token("{\"access_token\":\"abc\",\"expires_in\":nan}", "abc", 60);
	test_token("", NULL, 0);
	test_token("<html>", NULL, 0);
	test_token("{\"access_token\":null}", NULL, 0);
	test_token("{\"access_token\":\"\",\"expires_in\":300}", NULL, 0);
	test_token("{\"access_token\":\"abc", NULL, 0);
	test_token("{\"access_token\":\"abc\\", NULL, 0);
	test_token("{\"access_token\":\"a\\u0001\"}", NULL, 0);
	test_token("{\"access_token\":\"a b\"}", NULL, 0);
	test_token("{\"access_token\":\"a\xc3\xa4\"}", NULL, 0);
	test_token("{\"access_token\":\"a\nb\"}", NULL, 0);
	test_token("{\"access_token\"", NULL, 0);

	test_end(300, 298, 300);
	test_end(3600, 3598, 3600);
	test_end(-10, 0, 0);
	test_end(0, 0, 0);

	test_error("{\"error\":\"invalid_client\",\"error_description\":\"secret\"}", "invalid_client");
	test_error("{\"error_description\":\"x\", \"error\" : \"a.b-c\"}", "a.b-c");
	test_error("{\"error\":\"Basic c3Ry refused\"}", "");
	test_error("{\"error\":\"\"}", "");
	test_error("{\"error\":{\"code\":1}}", "");
	test_error("{\"error\":\"abc", "");
	test_error("{\"error\":\"" LONG "\"}", "");
	test_error("", "");
	test_anything();
	return tap_done();
}
