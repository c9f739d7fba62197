/*
 * fuzz.h
 *	  What the fuzz targets share: a check that stops the fuzzer.
 */
#ifndef STRM_TEST_FUZZ_H
#define STRM_TEST_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_CHECK(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* A buffer of exactly that size (at least 1), so that the sanitizer sees one byte too many. */
static inline void *
fuzz_alloc(size_t size)
{
	void	   *p = malloc(size == 0 ? 1 : size);

	FUZZ_CHECK(p != NULL);
	return p;
}

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif							/* STRM_TEST_FUZZ_H */
