/*
 * test_position.c
 *	  Positions of published events: their order and their text; partitions as Kafka's own clients choose them.
 */
#include "tap.h"

#include "postgres.h"

#include "export/position.h"

static const pg_uuid_t exporter = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 1, 2, 3, 4, 5, 6, 0xff}};

#define EXPORTER "01234567-89ab-cdef-0001-0203040506ff"

/* Hashes of the Java client's own tests. With INT_MAX partitions a partition is all but the hash. */
static void
test_partitions(void)
{
	static const struct
	{
		const char *key;
		int32_t		hash;
	}			known[] = {
		{"21", -973932308}, {"foobar", -790332482}, {"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971}, {"abc", 479470107},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		int32_t		positive = known[i].hash & INT32_MAX;
		size_t		size = strlen(known[i].key);

		ok(strm_position_partition(known[i].key, size, INT32_MAX) == positive % INT32_MAX, "murmur2 of %s", known[i].key);
		ok(strm_position_partition(known[i].key, size, 5) == positive % 5, "among 5 partitions");
		ok(strm_position_partition(known[i].key, size, 1) == 0, "one partition");
	}
	for (int n = 0; n < 9; n++)
		ok(strm_position_partition("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", n, 7) < 7, "%d bytes that are no text", n);
}

static void
test_order(void)
{
	static const StrmPosition ascending[] = {
		{0, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 1, 0}, {0, 0, UINT64_MAX, UINT64_MAX}, {0, 1, 0, 0}, {0, 2, 7, 7},
		{0, UINT32_MAX, 0, 0}, {1, 0, 0, 0}, {1, 1, 5, 9}, {1, 1, UINT64_C(0x8000000000000000), 0}, {UINT32_MAX, 0, 0, 0},
	};
	int			n = sizeof(ascending) / sizeof(ascending[0]);
	bool		passed = true;

	for (int i = 0; i < n; i++)
		for (int k = 0; k < n; k++)
			passed &= strm_position_compare(&ascending[i], &ascending[k]) == (i > k) - (i < k);
	ok(passed, "members count in their order");
}

/* Writes, compares with the text, reads again. */
static void
round_trip(const StrmPosition *position, const char *text)
{
	char		out[STRM_POSITION_SIZE];
	int			size = strm_position_write(&exporter, position, out);
	pg_uuid_t	uuid = {{0}};
	StrmPosition again = {0};

	ok(strcmp(out, text) == 0 && size == (int) strlen(text), "%s is written", text);
	ok(strm_position_read(text, strlen(text), &uuid, &again) && strm_position_compare(position, &again) == 0 &&
	   memcmp(&uuid, &exporter, sizeof(uuid)) == 0, "and read");
}

static void
test_text(void)
{
	static const char *const wrong[] = {
		"", "/", EXPORTER, EXPORTER "/1/1/0000000000000001", EXPORTER "/1/1/0000000000000001/",
		EXPORTER "/1/1/0000000000000001/1/", EXPORTER "/1/1/0000000000000001/1 ", EXPORTER "/1/1/00000000000000001/1",
		EXPORTER "/1/1/000000000000001/1", EXPORTER "/1/1/000000000000000G/1", EXPORTER "/1/1/000000000000000A/1",
		EXPORTER "/01/1/0000000000000001/1", EXPORTER "/-1/1/0000000000000001/1", EXPORTER "//1/0000000000000001/1",
		EXPORTER "/4294967296/1/0000000000000001/1", EXPORTER "/1/4294967296/0000000000000001/1",
		EXPORTER "/1/1/0000000000000001/18446744073709551616", EXPORTER "/1/1/0000000000000001/99999999999999999999",
		"0123456789abcdef00010203040506ff/1/1/0000000000000001/1", " " EXPORTER "/1/1/0000000000000001/1",
	};
	pg_uuid_t	uuid;
	StrmPosition position;

	round_trip(&(StrmPosition) {0, 0, 0, 0}, EXPORTER "/0/0/0000000000000000/0");
	round_trip(&(StrmPosition) {1, 2, 0x16B3748, 10}, EXPORTER "/1/2/00000000016b3748/10");
	round_trip(&(StrmPosition) {UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX},
			   EXPORTER "/4294967295/4294967295/ffffffffffffffff/18446744073709551615");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(!strm_position_read(wrong[i], strlen(wrong[i]), &uuid, &position), "no position: %s", wrong[i]);
	ok(!strm_position_read(EXPORTER "/1/1/00000000\00000000/1", 60, &uuid, &position), "no position: with a zero byte");
}

int
main(void)
{
	test_partitions();
	test_order();
	test_text();
	return tap_done();
}
