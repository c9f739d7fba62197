/*
 * timestamp.c
 *	  Compiled formats of timestamps, and the way from a text to milliseconds since 1970.
 *
 *	  A format remembers the zones it looked up, so it is for one user at a time.
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "format/timestamp_private.h"

#define NANOS_PER_MILLI 1000000
/* What a timestamptz can be, in seconds since 1970: 4714-11-24 BC to the end of 294276. */
#define UNIX_OF(timestamp) ((timestamp) / USECS_PER_SEC + \
							(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY)
#define MIN_SECONDS UNIX_OF(MIN_TIMESTAMP)
#define END_SECONDS UNIX_OF(END_TIMESTAMP)

/* Why a zone is none. */
static char *
strm_timestamp_zone_fault(const char *name)
{
	pg_tz	   *region = name[0] != '\0' && strchr(name, '/') != NULL ? pg_tzset(name) : NULL;

	if (region != NULL && strcmp(pg_get_timezone_name(region), name) != 0)
		return psprintf("there is no time zone \"%s\"; perhaps it is \"%s\"", name, pg_get_timezone_name(region));
	return psprintf("there is no time zone \"%s\"; one is named as in \"Europe/Amsterdam\", \"UTC\", \"+01:00\"", name);
}

/* Compiles a format in the current context; NULL and *fault when it or the zone is bad. */
StrmTimestampFormat *
strm_timestamp_format(const char *format, const char *default_zone, char **fault)
{
	StrmTimestampFormat *compiled = palloc0(sizeof(StrmTimestampFormat));

	*fault = NULL;
	compiled->memory = palloc0(sizeof(StrmTimestampMemory));
	strm_timestamp_fixed_zone(&compiled->memory->default_zone, 0);
	if (default_zone != NULL && !strm_timestamp_zone(default_zone, &compiled->memory->default_zone))
	{
		*fault = strm_timestamp_zone_fault(default_zone);
		return NULL;
	}
	if (format == NULL || strcmp(format, STRM_TIMESTAMP_ISO_8601) == 0)
	{
		compiled->strict = true;
		compiled->items = strm_timestamp_compile_iso(&compiled->nitems);
	}
	else if (strcmp(format, STRM_TIMESTAMP_EPOCH_SECONDS) == 0)
		compiled->kind = STRM_TIMESTAMP_SECONDS;
	else if (strcmp(format, STRM_TIMESTAMP_EPOCH_MILLIS) == 0)
		compiled->kind = STRM_TIMESTAMP_MILLIS;
	else
	{
		compiled->items = strm_timestamp_compile(format, &compiled->nitems, fault);
		if (compiled->items == NULL)
			return NULL;
	}
	return compiled;
}

/* Seconds and nanoseconds as milliseconds, if a timestamptz can be that. */
static bool
strm_timestamp_millis(StrmTimestampParser *parser, int64 seconds, int64 nanos, int64 *epoch_ms)
{
	if (seconds < MIN_SECONDS || seconds >= END_SECONDS)
		return strm_timestamp_refuse(parser, ": it is not between 4714-11-24 BC and 294276-12-31");
	*epoch_ms = seconds * 1000 + nanos / NANOS_PER_MILLI;
	return true;
}

/* Parses seconds, with or without a fraction, or milliseconds since 1970. */
static bool
strm_timestamp_parse_epoch(StrmTimestampParser *parser, int64 *epoch_ms)
{
	bool		millis = parser->format->kind == STRM_TIMESTAMP_MILLIS;
	const char *text = parser->text;
	int			size = parser->size;
	int			i = size > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
	bool		negative = i == 1 && text[0] == '-';
	int			start = i;
	int64		value = 0;
	int64		nanos = 0;

	for (; i < size && text[i] >= '0' && text[i] <= '9'; i++)
	{
		/* so large that it is out of range anyway */
		if (value < PG_INT64_MAX / 100)
			value = value * 10 + (text[i] - '0');
	}
	if (i > start && !millis && i + 1 < size && text[i] == '.' && text[i + 1] >= '0' && text[i + 1] <= '9')
	{
		int64		unit = INT64CONST(100000000);

		for (i++; i < size && text[i] >= '0' && text[i] <= '9'; i++, unit /= 10)
			nanos += unit * (text[i] - '0');
	}
	if (i < size || i == start)
		return strm_timestamp_refuse(parser, " at index %lld", (long long) strm_timestamp_java_index(text, i));
	if (millis)
	{
		nanos = value % 1000 * NANOS_PER_MILLI;
		value /= 1000;
	}
	if (negative)
	{
		/* cut to the millisecond before, as it is behind 1970 */
		value = -value;
		if (nanos > 0)
		{
			value--;
			nanos = 1000 * INT64CONST(1000000) - nanos;
		}
	}
	return strm_timestamp_millis(parser, value, nanos, epoch_ms);
}

/* Makes an instant of a date, perhaps a time, and perhaps an offset or a zone. */
static bool
strm_timestamp_instant(StrmTimestampParser *parser, const StrmTimestampResolved *resolved, int64 *epoch_ms)
{
	StrmTimestampZone *zone = &parser->format->memory->default_zone;
	int64		local;

	/* far beyond any timestamptz, and so that nothing overflows */
	if (resolved->day < MIN_SECONDS / SECS_PER_DAY - 2 || resolved->day > END_SECONDS / SECS_PER_DAY + 2)
		return strm_timestamp_millis(parser, resolved->day < 0 ? PG_INT64_MIN : PG_INT64_MAX, 0, epoch_ms);
	local = resolved->day * SECS_PER_DAY + resolved->nanos / 1000 / USECS_PER_SEC;
	if (!resolved->has_time)
		/* a day starts in the default zone: without a time, offset and zone have no effect */
		return strm_timestamp_millis(parser, strm_timestamp_zone_instant(zone, local, true), 0, epoch_ms);
	if ((parser->set & STRM_FIELD_BIT(STRM_OFFSET_SECONDS)) != 0)
	{
		int64		offset = parser->value[STRM_OFFSET_SECONDS];

		if (offset < -18 * SECS_PER_HOUR || offset > 18 * SECS_PER_HOUR)
			return strm_timestamp_refuse(parser, ": Zone offset not in valid range: -18:00 to +18:00");
		local -= offset;
	}
	else
		local = strm_timestamp_zone_instant(parser->zone != NULL ? parser->zone : zone, local, false);
	return strm_timestamp_millis(parser, local, resolved->nanos % (1000 * INT64CONST(1000000)), epoch_ms);
}

/* Parses text into milliseconds since 1970; false, with the JDK's message if one is wanted, when it is none. */
bool
strm_timestamp_parse(const StrmTimestampFormat *format, const char *text, Size size, int64 *epoch_ms,
					 StringInfo message)
{
	StrmTimestampParser parser;
	StrmTimestampResolved resolved;
	int			end;

	parser.format = format;
	parser.text = text;
	parser.size = parser.full_size = (int) Min(size, PG_INT32_MAX / 2);
	parser.set = 0;
	parser.zone = NULL;
	strm_timestamp_fixed_zone(&parser.fixed_zone, 0);
	parser.error_index = 0;
	parser.message = message;
	if (format->kind != STRM_TIMESTAMP_PATTERN)
		return strm_timestamp_parse_epoch(&parser, epoch_ms);

	end = strm_timestamp_parse_items(&parser);
	if (end == STRM_PARSE_REFUSED)
		return false;
	if (end == STRM_PARSE_MISMATCH)
		return strm_timestamp_refuse(&parser, " at index %lld", (long long) parser.error_index);
	if (end < parser.size)
		return strm_timestamp_refuse(&parser, ", unparsed text found at index %lld",
									 (long long) strm_timestamp_java_index(text, end));
	if (!strm_timestamp_resolve(&parser, &resolved))
		return false;
	if (!resolved.has_date)
		return strm_timestamp_refuse(&parser, ": Unable to convert parsed text using any of the specified queries");
	return strm_timestamp_instant(&parser, &resolved, epoch_ms);
}
