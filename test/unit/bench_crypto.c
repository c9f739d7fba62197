/*
 * bench_crypto.c
 *	  Nanoseconds per operation of the cryptography layer: medians of 21 batches. `make -C test/unit bench`.
 */
#include <time.h>

#include "crypto/base64.h"
#include "crypto/cmac.h"
#include "crypto/envelope.h"
#include "crypto/kdf.h"
#include "crypto/mask.h"
#include "tap.h"

#define BATCHES 21
#define OPERATIONS 20000

static StrmSiv *siv;
static StrmCmac *cmac;
static uint8_t key[64];
static uint8_t in[1024];
static uint8_t out[1024];
static char text[2048];
static volatile size_t sink;

static void
bench_encrypt(size_t n)
{
	sink = strm_envelope_encrypt(siv, 1, in, n, out);
}

static void
bench_decrypt(size_t n)
{
	uint8_t		opened[1024];

	sink = strm_envelope_decrypt(siv, 1, out, n + STRM_ENVELOPE_OVERHEAD, opened);
}

static void
bench_cold_encrypt(size_t n)
{
	key[0]++;
	sink = strm_siv_set_key(siv, key);
	bench_encrypt(n);
}

static void
bench_cmac(size_t n)
{
	sink = strm_cmac_compute(cmac, in, n, out);
}

static void
bench_base64_encode(size_t n)
{
	strm_base64_encode(in, n, text);
}

static void
bench_base64_decode(size_t n)
{
	size_t		size;

	sink = strm_base64_decode(text, STRM_BASE64_SIZE(n), out, &size);
}

static void
bench_base64_form(size_t n)
{
	sink = strm_base64_is_ciphertext(text, STRM_BASE64_SIZE(n));
}

static void
bench_kdf(size_t n)
{
	(void) n;
	sink = strm_kdf_siv_key(key, out);
}

static void
bench_blake2b(size_t n)
{
	sink = strm_mask_blake2b(key, 32, in, n, text);
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Runs an operation and prints its median time. */
static void
bench(const char *name, void (*operation) (size_t), size_t n)
{
	double		times[BATCHES];

	for (int b = 0; b < BATCHES; b++)
	{
		struct timespec start;
		struct timespec end;

		clock_gettime(CLOCK_MONOTONIC, &start);
		for (int i = 0; i < OPERATIONS; i++)
			operation(n);
		clock_gettime(CLOCK_MONOTONIC, &end);
		times[b] = ((double) (end.tv_sec - start.tv_sec) * 1e9 + (double) (end.tv_nsec - start.tv_nsec)) / OPERATIONS;
	}
	qsort(times, BATCHES, sizeof(*times), compare);
	printf("%-24s %5zu B %8.0f ns\n", name, n, times[BATCHES / 2]);
}

int
main(void)
{
	static const size_t sizes[] = {0, 10, 30, 100, 1000};

	if (strm_crypto_init() != STRM_CRYPTO_OK || (siv = strm_siv_create()) == NULL || (cmac = strm_cmac_create()) == NULL)
		bail_out("no crypto");
	random_fill(key, sizeof(key));
	random_fill(in, sizeof(in));
	strm_siv_set_key(siv, key);
	strm_cmac_set_key(cmac, key);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
	{
		bench("encrypt", bench_encrypt, sizes[i]);
		bench("decrypt", bench_decrypt, sizes[i]);
	}
	bench("set_key + encrypt", bench_cold_encrypt, 30);
	bench("cmac", bench_cmac, 30);
	bench("cmac", bench_cmac, 128);
	bench("cmac", bench_cmac, 300);
	in[0] = 1;
	bench("base64 encode", bench_base64_encode, 51);
	bench("base64 decode", bench_base64_decode, 51);
	bench("base64 is_ciphertext", bench_base64_form, 51);
	bench("kdf siv key", bench_kdf, 64);
	bench("mask blake2b", bench_blake2b, 30);
	strm_siv_destroy(siv);
	strm_cmac_destroy(cmac);
	return 0;
}
