/*
 * position.c
 *	  Where an event stands in the order in which an exporter publishes; partitions.
 *
 *	  Written and read for each record, so without format strings. Calls nothing of the server, and nothing throws.
 *
 *	  The partition of a key is the one of Kafka's Java client (BuiltInPartitioner): toPositive(murmur2(key)) % n, with
 *	  murmur2 being MurmurHash2 (Austin Appleby, public domain) of 32 bits with a seed of Kafka's, and toPositive
 *	  clearing the sign.
 */
#include "postgres.h"

#include "export/position.h"

#define MURMUR2_SEED 0x9747b28cu
#define MURMUR2_M 0x5bd1e995u

#define POSITION_LSN_DIGITS 16

static const char position_digits[] = "0123456789abcdef";

/* -1, 0 or 1, as a is less than, equal to or greater than b. */
static inline int
strm_position_compare_numbers(uint64 a, uint64 b)
{
	return (a > b) - (a < b);
}

int
strm_position_compare(const StrmPosition *a, const StrmPosition *b)
{
	int			order = strm_position_compare_numbers(a->epoch, b->epoch);

	if (order == 0)
		order = strm_position_compare_numbers(a->timeline, b->timeline);
	if (order == 0)
		order = strm_position_compare_numbers(a->lsn, b->lsn);
	if (order == 0)
		order = strm_position_compare_numbers(a->sequence, b->sequence);
	return order;
}

/* Writes hexadecimal digits, leading zeros too; returns the end. */
static char *
strm_position_write_hex(char *out, uint64 number, int digits)
{
	for (int i = digits - 1; i >= 0; i--)
	{
		out[i] = position_digits[number & 0xf];
		number >>= 4;
	}
	return out + digits;
}

/* Writes a decimal number; returns the end. */
static char *
strm_position_write_decimal(char *out, uint64 number)
{
	char		digits[20];
	int			n = 0;

	do
	{
		digits[n++] = position_digits[number % 10];
		number /= 10;
	} while (number > 0);
	while (n > 0)
		*out++ = digits[--n];
	return out;
}

/* Writes a UUID in its usual form; returns the end. */
static char *
strm_position_write_uuid(char *out, const pg_uuid_t *uuid)
{
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		out = strm_position_write_hex(out, uuid->data[i], 2);
	}
	return out;
}

int
strm_position_write(const pg_uuid_t *exporter, const StrmPosition *position, char out[STRM_POSITION_SIZE])
{
	char	   *end = strm_position_write_uuid(out, exporter);

	*end++ = '/';
	end = strm_position_write_decimal(end, position->epoch);
	*end++ = '/';
	end = strm_position_write_decimal(end, position->timeline);
	*end++ = '/';
	end = strm_position_write_hex(end, position->lsn, POSITION_LSN_DIGITS);
	*end++ = '/';
	end = strm_position_write_decimal(end, position->sequence);
	*end = '\0';
	return (int) (end - out);
}

/* What is still to be read of a text. */
typedef struct StrmPositionText
{
	const char *next;
	const char *end;
} StrmPositionText;

static bool
strm_position_read_char(StrmPositionText *text, char c)
{
	if (text->next == text->end || *text->next != c)
		return false;
	text->next++;
	return true;
}

/* Reads that many hexadecimal digits. */
static bool
strm_position_read_hex(StrmPositionText *text, int digits, uint64 *number)
{
	*number = 0;
	for (int i = 0; i < digits; i++)
	{
		const char *digit = text->next < text->end && *text->next != '\0' ? strchr(position_digits, *text->next) : NULL;

		if (digit == NULL)
			return false;
		*number = *number << 4 | (uint64) (digit - position_digits);
		text->next++;
	}
	return true;
}

/* Reads a decimal number of at most max, without leading zeros. */
static bool
strm_position_read_decimal(StrmPositionText *text, uint64 max, uint64 *number)
{
	const char *begin = text->next;

	*number = 0;
	for (; text->next < text->end && *text->next >= '0' && *text->next <= '9'; text->next++)
	{
		uint64		digit = (uint64) (*text->next - '0');

		if (*number > (max - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return text->next > begin && (*begin != '0' || text->next == begin + 1);
}

static bool
strm_position_read_uuid(StrmPositionText *text, pg_uuid_t *uuid)
{
	for (int i = 0; i < UUID_LEN; i++)
	{
		uint64		byte;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && !strm_position_read_char(text, '-'))
			return false;
		if (!strm_position_read_hex(text, 2, &byte))
			return false;
		uuid->data[i] = (unsigned char) byte;
	}
	return true;
}

bool
strm_position_read(const char *text, Size size, pg_uuid_t *exporter, StrmPosition *position)
{
	StrmPositionText rest = {text, text + size};
	uint64		epoch,
				timeline;

	if (!strm_position_read_uuid(&rest, exporter) ||
		!strm_position_read_char(&rest, '/') || !strm_position_read_decimal(&rest, PG_UINT32_MAX, &epoch) ||
		!strm_position_read_char(&rest, '/') || !strm_position_read_decimal(&rest, PG_UINT32_MAX, &timeline) ||
		!strm_position_read_char(&rest, '/') || !strm_position_read_hex(&rest, POSITION_LSN_DIGITS, &position->lsn) ||
		!strm_position_read_char(&rest, '/') ||
		!strm_position_read_decimal(&rest, PG_UINT64_MAX, &position->sequence) || rest.next != rest.end)
		return false;
	position->epoch = (uint32) epoch;
	position->timeline = (TimeLineID) timeline;
	return true;
}

/* MurmurHash2, reading little endian on every machine. */
static uint32
strm_position_murmur2(const unsigned char *key, Size size)
{
	uint32		hash = MURMUR2_SEED ^ (uint32) size;

	for (; size >= 4; key += 4, size -= 4)
	{
		uint32		k = key[0] | key[1] << 8 | key[2] << 16 | (uint32) key[3] << 24;

		k *= MURMUR2_M;
		k ^= k >> 24;
		hash = hash * MURMUR2_M ^ k * MURMUR2_M;
	}
	if (size > 0)
	{
		for (Size i = 0; i < size; i++)
			hash ^= (uint32) key[i] << (8 * i);
		hash *= MURMUR2_M;
	}
	hash ^= hash >> 13;
	hash *= MURMUR2_M;
	return hash ^ hash >> 15;
}

int
strm_position_partition(const char *key, Size size, int n)
{
	return (int) ((strm_position_murmur2((const unsigned char *) key, size) & PG_INT32_MAX) % (uint32) n);
}
