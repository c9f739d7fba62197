/*
 * tap.h
 *	  The whole test harness: checks that print TAP lines, hexadecimal, repeatable pseudo-random bytes.
 *
 *	  Each test program is one file with a main that ends in `return tap_done();`.
 */
#ifndef STRM_TEST_TAP_H
#define STRM_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tap_run;
static int	tap_failed;

/* One test: prints ok or not ok with a name made like printf does. */
__attribute__((format(printf, 2, 3)))
static inline bool
ok(bool passed, const char *format,...)
{
	va_list		args;

	tap_run++;
	tap_failed += !passed;
	printf("%sok %d - ", passed ? "" : "not ", tap_run);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return passed;
}

/* One test: are n bytes equal? Prints both when not. */
static inline bool
same(const void *got, const void *expected, size_t n, const char *name)
{
	const uint8_t *side[2] = {got, expected};

	if (ok(n == 0 || memcmp(got, expected, n) == 0, "%s", name))
		return true;
	for (int i = 0; i < 2; i++)
	{
		printf("# %s ", i == 0 ? "got     " : "expected");
		for (size_t k = 0; k < n; k++)
			printf("%02x", side[i][k]);
		putchar('\n');
	}
	return false;
}

/* Prints the plan; the exit status of main. */
static inline int
tap_done(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed == 0 ? 0 : 1;
}

/* Stops the program: what follows would make no sense. */
__attribute__((noreturn))
static inline void
bail_out(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(255);
}

/* Hexadecimal to bytes; the number of bytes. out has room for strlen(hex) / 2. */
static inline size_t
unhex(const char *hex, uint8_t *out)
{
	size_t		n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++)
	{
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			bail_out("bad hexadecimal");
		out[i] = (uint8_t) byte;
	}
	return n;
}

/* The next number of a fixed sequence (xorshift64*), so that a failure repeats. */
static inline uint64_t
random_next(void)
{
	static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Fills n bytes from that sequence. */
static inline void
random_fill(uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t) (random_next() >> 56);
}

#endif							/* STRM_TEST_TAP_H */
