/*
 * timestamp_offset.c
 *	  Offsets and zones in texts: X, x, Z, O, VV and z of patterns, and ISO 8601's.
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "format/timestamp_private.h"

#define MAX_OFFSET (18 * SECS_PER_HOUR)

/* The value of the digit at position, -1 when there is none. */
static int
strm_timestamp_digit(const StrmTimestampParser *parser, int position)
{
	char		c = position < parser->size ? parser->text[position] : '\0';

	return c >= '0' && c <= '9' ? c - '0' : -1;
}

/* Reads two digits, 00 to 59, behind a colon where there must be one. The position behind them, or -1. */
static int
strm_timestamp_offset_part(const StrmTimestampParser *parser, bool colon, int position, int *value)
{
	int			tens;
	int			ones;

	if (colon)
	{
		if (position >= parser->size || parser->text[position] != ':')
			return -1;
		position++;
	}
	tens = strm_timestamp_digit(parser, position);
	ones = strm_timestamp_digit(parser, position + 1);
	if (tens < 0 || ones < 0 || tens > 5)
		return -1;
	*value = tens * 10 + ones;
	return position + 2;
}

/*
 * A sign, hours, and minutes and seconds as far as the item says. The position behind them, with the seconds in
 * *offset; -1 when there is no offset; STRM_PARSE_REFUSED when the hours are too many.
 */
static int
strm_timestamp_signed_offset(StrmTimestampParser *parser, const StrmTimestampItem *item, int position, int64 *offset)
{
	bool		negative;
	int			hours = 0;
	int			minutes = 0;
	int			seconds = 0;
	int			next;

	if (position >= parser->size || (parser->text[position] != '+' && parser->text[position] != '-'))
		return -1;
	negative = parser->text[position] == '-';
	position = strm_timestamp_offset_part(parser, false, position + 1, &hours);
	if (position < 0)
		return -1;
	next = strm_timestamp_offset_part(parser, item->colon, position, &minutes);
	if (next < 0 && item->minutes > 0)
		return -1;
	if (next >= 0)
		position = next;
	if (next >= 0 && item->seconds)
	{
		next = strm_timestamp_offset_part(parser, item->colon, position, &seconds);
		if (next >= 0)
			position = next;
	}
	if (hours > 23)
	{
		strm_timestamp_refuse(parser, ": Value out of range: Hour[0-23], Minute[0-59], Second[0-59]");
		return STRM_PARSE_REFUSED;
	}
	*offset = hours * SECS_PER_HOUR + minutes * SECS_PER_MINUTE + seconds;
	if (negative)
		*offset = -*offset;
	return position;
}

/* X, x and Z: the item's text for an offset of zero, or a signed offset. */
int
strm_timestamp_parse_offset(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	int64		offset;
	int			end;

	if (parser->size - position >= item->text_size &&
		memcmp(parser->text + position, item->text, item->text_size) == 0)
		return strm_timestamp_set(parser, STRM_OFFSET_SECONDS, 0, position, position + item->text_size);
	end = strm_timestamp_signed_offset(parser, item, position, &offset);
	if (end == STRM_PARSE_REFUSED)
		return end;
	if (end < 0)
		return strm_timestamp_mismatch(parser, position);
	return strm_timestamp_set(parser, STRM_OFFSET_SECONDS, offset, position, end);
}

/* A text that ends in the middle of an offset after GMT: the JDK's message is that of Java's string. */
static int
strm_timestamp_cut_short(StrmTimestampParser *parser, int position)
{
	strm_timestamp_refuse(parser, ": String index out of range: %lld",
						  (long long) strm_timestamp_java_index(parser->text, position));
	return STRM_PARSE_REFUSED;
}

/* The rest of O behind GMT and a sign: h or hh, then :mm and :ss if they are there. */
static int
strm_timestamp_short_gmt_offset(StrmTimestampParser *parser, int position, int64 *offset)
{
	int			digit = strm_timestamp_digit(parser, position);
	int64		unit = SECS_PER_MINUTE;

	if (digit < 0)
		return -1;
	*offset = digit;
	position++;
	digit = strm_timestamp_digit(parser, position);
	if (digit >= 0)
	{
		*offset = *offset * 10 + digit;
		position++;
	}
	*offset *= SECS_PER_HOUR;
	for (int i = 0; i < 2; i++, unit = 1)
	{
		int			tens = strm_timestamp_digit(parser, position + 1);
		int			ones = strm_timestamp_digit(parser, position + 2);

		if (position + 2 >= parser->size || parser->text[position] != ':' || tens < 0 || ones < 0)
			break;
		*offset += (tens * 10 + ones) * unit;
		position += 3;
	}
	return position;
}

/* The rest of OOOO: hh:mm, then :ss if it is there. STRM_PARSE_REFUSED when the text ends before. */
static int
strm_timestamp_full_gmt_offset(StrmTimestampParser *parser, int position, int64 *offset)
{
	int			digit[4];
	static const int at[4] = {0, 1, 3, 4};

	for (int i = 0; i < 4; i++)
	{
		/* the JDK reads both digits before it looks at them */
		if (position + at[i] >= parser->size)
			return strm_timestamp_cut_short(parser, position + at[i]);
		digit[i] = strm_timestamp_digit(parser, position + at[i]);
		if (i == 1)
		{
			if (digit[0] < 0 || digit[1] < 0)
				return -1;
			if (position + 2 >= parser->size)
				return strm_timestamp_cut_short(parser, position + 2);
			if (parser->text[position + 2] != ':')
				return -1;
		}
	}
	if (digit[2] < 0 || digit[3] < 0)
		return -1;
	*offset = (digit[0] * 10 + digit[1]) * SECS_PER_HOUR + (digit[2] * 10 + digit[3]) * SECS_PER_MINUTE;
	position += 5;
	if (position + 2 < parser->size && parser->text[position] == ':' &&
		strm_timestamp_digit(parser, position + 1) >= 0 && strm_timestamp_digit(parser, position + 2) >= 0)
	{
		*offset += strm_timestamp_digit(parser, position + 1) * 10 + strm_timestamp_digit(parser, position + 2);
		position += 3;
	}
	return position;
}

/* O, OOOO and ZZZZ: GMT, or GMT and an offset. */
int
strm_timestamp_parse_gmt_offset(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	int			sign = position + 3;
	int64		offset = 0;
	int			end;

	if (parser->size - position < 3 || memcmp(parser->text + position, "GMT", 3) != 0)
		return strm_timestamp_mismatch(parser, position);
	if (sign >= parser->size || (parser->text[sign] != '+' && parser->text[sign] != '-'))
		return strm_timestamp_set(parser, STRM_OFFSET_SECONDS, 0, position, sign);
	if (sign + 1 >= parser->size)
		return strm_timestamp_cut_short(parser, sign + 1);
	end = item->full ? strm_timestamp_full_gmt_offset(parser, sign + 1, &offset) :
		strm_timestamp_short_gmt_offset(parser, sign + 1, &offset);
	if (end == STRM_PARSE_REFUSED)
		return end;
	if (end < 0)
		return strm_timestamp_mismatch(parser, position);
	return strm_timestamp_set(parser, STRM_OFFSET_SECONDS, parser->text[sign] == '-' ? -offset : offset, position, end);
}

/* An offset at position (behind UTC, GMT or UT, of which prefix is the start) as a zone of its own. */
static int
strm_timestamp_offset_zone(StrmTimestampParser *parser, int prefix, int position)
{
	static const StrmTimestampItem item = {.colon = true, .minutes = 1, .seconds = true};
	int64		offset = 0;
	int			end = strm_timestamp_signed_offset(parser, &item, position, &offset);

	if (end == STRM_PARSE_REFUSED)
		return end;
	if ((end < 0 && prefix == position) || offset < -MAX_OFFSET || offset > MAX_OFFSET)
		return strm_timestamp_mismatch(parser, prefix);
	strm_timestamp_fixed_zone(&parser->fixed_zone, offset);
	parser->zone = &parser->fixed_zone;
	return end < 0 ? position : end;
}

/* VV, and z (text): an offset, UTC, GMT or UT and perhaps an offset, a region; z also knows abbreviations. */
int
strm_timestamp_parse_zone(StrmTimestampParser *parser, bool text, int position)
{
	const char *p = parser->text + position;
	int			left = parser->size - position;
	StrmTimestampZone *zone;
	int			length;

	if (left <= 0)
		return strm_timestamp_mismatch(parser, position);
	if (*p == '+' || *p == '-')
		return strm_timestamp_offset_zone(parser, position, position);
	if (left >= 3 && memcmp(p, "UTC", 3) == 0)
		return strm_timestamp_offset_zone(parser, position, position + 3);
	if (left >= 2 && memcmp(p, "UT", 2) == 0)
		return strm_timestamp_offset_zone(parser, position, position + 2);
	if (left >= 4 && memcmp(p, "GMT0", 4) == 0)
	{
		strm_timestamp_fixed_zone(&parser->fixed_zone, 0);
		parser->zone = &parser->fixed_zone;
		return position + 4;
	}
	if (left >= 3 && memcmp(p, "GMT", 3) == 0)
		return strm_timestamp_offset_zone(parser, position, position + 3);

	zone = strm_timestamp_named_zone(parser->format->memory, p, left, text, &length);
	if (zone != NULL)
	{
		parser->zone = zone;
		return position + length;
	}
	if (*p != 'Z')
		return strm_timestamp_mismatch(parser, position);
	strm_timestamp_fixed_zone(&parser->fixed_zone, 0);
	parser->zone = &parser->fixed_zone;
	return position + 1;
}

/* ISO 8601's: Z, z, +hh, +hhmm, +hh:mm, +hh:mm:ss. */
int
strm_timestamp_parse_iso_offset(StrmTimestampParser *parser, int position)
{
	StrmTimestampItem item = {.seconds = true};
	int64		offset;
	int			end;

	if (position < parser->size && (parser->text[position] == 'Z' || parser->text[position] == 'z'))
		return strm_timestamp_set(parser, STRM_OFFSET_SECONDS, 0, position, position + 1);
	item.colon = position + 3 < parser->size && parser->text[position + 3] == ':';
	end = strm_timestamp_signed_offset(parser, &item, position, &offset);
	if (end == STRM_PARSE_REFUSED)
		return end;
	if (end < 0)
		return strm_timestamp_mismatch(parser, position);
	return strm_timestamp_set(parser, STRM_OFFSET_SECONDS, offset, position, end);
}
