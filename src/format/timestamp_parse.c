/*
 * timestamp_parse.c
 *	  From text to fields: what the JDK's DateTimeFormatterBuilder calls parsing, as strict as for ofPattern().
 *
 *	  Functions that parse an item take the position where it starts and return the one behind it, STRM_PARSE_MISMATCH
 *	  (an optional part may then be skipped) or STRM_PARSE_REFUSED (the text is bad whatever follows).
 */
#include "postgres.h"

#include "format/timestamp_private.h"

/* What a Java string of one character may need here. */
#define JAVA_QUOTED 64

/* The index that a position has in Java. */
int64
strm_timestamp_java_index(const char *text, int position)
{
	int64		index = 0;

	for (int i = 0; i < position; i++)
	{
		unsigned char c = text[i];

		index += (c & 0xC0) == 0x80 ? 0 : c >= 0xF0 ? 2 : 1;
	}
	return index;
}

/* The position of a number of Java's characters behind a position, or -1 beyond the end. */
static int
strm_timestamp_advance(const StrmTimestampParser *parser, int position, int characters)
{
	while (characters > 0)
	{
		unsigned char c;

		if (position >= parser->size)
			return -1;
		c = parser->text[position++];
		while (position < parser->size && ((unsigned char) parser->text[position] & 0xC0) == 0x80)
			position++;
		characters -= c >= 0xF0 ? 2 : 1;
	}
	return position;
}

/* Writes "Text '...' could not be parsed", with as much of the text as the JDK quotes. */
static void
strm_timestamp_message(StrmTimestampParser *parser)
{
	int			size = parser->size;

	parser->size = parser->full_size;
	size = strm_timestamp_advance(parser, 0, JAVA_QUOTED);
	if (size < 0)
		size = parser->full_size;
	appendStringInfoString(parser->message, "Text '");
	appendBinaryStringInfo(parser->message, parser->text, size);
	if (size < parser->full_size)
		appendStringInfoString(parser->message, "...");
	appendStringInfoString(parser->message, "' could not be parsed");
}

/* Records why the text is none, when a message is wanted. Always false. */
bool
strm_timestamp_refuse(StrmTimestampParser *parser, const char *fmt,...)
{
	int			needed;

	if (parser->message == NULL)
		return false;
	strm_timestamp_message(parser);
	for (;;)
	{
		va_list		args;

		va_start(args, fmt);
		needed = appendStringInfoVA(parser->message, fmt, args);
		va_end(args);
		if (needed == 0)
			return false;
		enlargeStringInfo(parser->message, needed);
	}
}

/* The item is not at position. */
int
strm_timestamp_mismatch(StrmTimestampParser *parser, int position)
{
	parser->error_index = strm_timestamp_java_index(parser->text, Min(position, parser->full_size));
	return STRM_PARSE_MISMATCH;
}

/* Gives a field its value. Another one that it has already is a mismatch. */
int
strm_timestamp_set(StrmTimestampParser *parser, StrmTimestampField field, int64 value, int error_position, int position)
{
	if ((parser->set & STRM_FIELD_BIT(field)) != 0 && parser->value[field] != value)
		return strm_timestamp_mismatch(parser, error_position);
	parser->set |= STRM_FIELD_BIT(field);
	parser->value[field] = value;
	return position;
}

/* How many digits start at position, no more than max. */
static int
strm_timestamp_digits(const StrmTimestampParser *parser, int position, int max)
{
	int			n = 0;

	while (n < max && position + n < parser->size && parser->text[position + n] >= '0' &&
		   parser->text[position + n] <= '9')
		n++;
	return n;
}

/* The number of some digits, up to 19; one digit less when it would not fit. */
static int64
strm_timestamp_digits_value(const char *text, int *digits)
{
	uint64		value = 0;

	for (int i = 0; i < *digits; i++)
	{
		if (i == 18 && (value > PG_INT64_MAX / 10 ||
						value * 10 + (text[i] - '0') > PG_INT64_MAX))
		{
			*digits = i;
			break;
		}
		value = value * 10 + (text[i] - '0');
	}
	return (int64) value;
}

/* A number, with a sign where its style allows one; leaves digits to the numbers right behind it. */
static int
strm_timestamp_parse_number(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	char		sign = '\0';
	int			digits;
	int64		value;

	if (position >= parser->size)
		return strm_timestamp_mismatch(parser, position);
	if (parser->text[position] == '+' || parser->text[position] == '-')
	{
		sign = parser->text[position];
		if (item->sign == STRM_SIGN_NOT_NEGATIVE || (sign == '+' && item->sign == STRM_SIGN_NORMAL))
			return strm_timestamp_mismatch(parser, position);
		position++;
	}
	digits = strm_timestamp_digits(parser, position, item->max + item->subsequent);
	if (digits < item->min)
		return strm_timestamp_mismatch(parser, position);
	if (item->subsequent > 0)
		digits = Max(item->min, digits - item->subsequent);
	value = strm_timestamp_digits_value(parser->text + position, &digits);

	if (sign == '-')
	{
		if (value == 0)
			return strm_timestamp_mismatch(parser, position - 1);
		value = -value;
	}
	else if (item->sign == STRM_SIGN_EXCEEDS_PAD)
	{
		if (sign == '+' && digits <= item->min)
			return strm_timestamp_mismatch(parser, position - 1);
		if (sign == '\0' && digits > item->min)
			return strm_timestamp_mismatch(parser, position);
	}
	if (item->kind == STRM_ITEM_REDUCED)
		value += 2000;
	return strm_timestamp_set(parser, item->field, value, position, position + digits);
}

/* Digits behind the point, min to max of them, as nanoseconds. */
static int
strm_timestamp_parse_fraction(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	int			digits = strm_timestamp_digits(parser, position, item->max);
	int64		value;

	if (digits < item->min)
		return strm_timestamp_mismatch(parser, position);
	value = strm_timestamp_digits_value(parser->text + position, &digits);
	for (int i = digits; i < 9; i++)
		value *= 10;
	return strm_timestamp_set(parser, item->field, value, position, position + digits);
}

/* ISO 8601's fraction: a point or comma and any number of digits, of which nine count. */
static int
strm_timestamp_parse_iso_fraction(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	int			end;

	if (position >= parser->size || (parser->text[position] != '.' && parser->text[position] != ','))
		return strm_timestamp_mismatch(parser, position);
	end = strm_timestamp_parse_fraction(parser, item, position + 1);
	while (end >= 0 && end < parser->size && parser->text[end] >= '0' && parser->text[end] <= '9')
		end++;
	return end;
}

/* Does the text go on with exactly that? */
static inline bool
strm_timestamp_at(const StrmTimestampParser *parser, int position, const char *text, int size)
{
	return parser->size - position >= size && memcmp(parser->text + position, text, size) == 0;
}

/* One of a field's names. */
static int
strm_timestamp_parse_text(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	for (const StrmTimestampText *text = item->texts; text->text != NULL; text++)
	{
		int			size = (int) strlen(text->text);

		if (strm_timestamp_at(parser, position, text->text, size))
			return strm_timestamp_set(parser, item->field, text->value, position, position + size);
	}
	return strm_timestamp_mismatch(parser, position);
}

/* T, t or a blank. */
static int
strm_timestamp_parse_iso_t(StrmTimestampParser *parser, int position)
{
	if (position < parser->size && strchr("Tt ", parser->text[position]) != NULL && parser->text[position] != '\0')
		return position + 1;
	return strm_timestamp_mismatch(parser, position);
}

/* Any item but an optional part. */
static int
strm_timestamp_parse_item(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	switch (item->kind)
	{
		case STRM_ITEM_LITERAL:
			if (strm_timestamp_at(parser, position, item->text, item->text_size))
				return position + item->text_size;
			return strm_timestamp_mismatch(parser, position);
		case STRM_ITEM_NUMBER:
		case STRM_ITEM_REDUCED:
			return strm_timestamp_parse_number(parser, item, position);
		case STRM_ITEM_FRACTION:
			return strm_timestamp_parse_fraction(parser, item, position);
		case STRM_ITEM_TEXT:
			return strm_timestamp_parse_text(parser, item, position);
		case STRM_ITEM_OFFSET:
			return strm_timestamp_parse_offset(parser, item, position);
		case STRM_ITEM_GMT_OFFSET:
			return strm_timestamp_parse_gmt_offset(parser, item, position);
		case STRM_ITEM_ISO_T:
			return strm_timestamp_parse_iso_t(parser, position);
		case STRM_ITEM_ISO_FRACTION:
			return strm_timestamp_parse_iso_fraction(parser, item, position);
		case STRM_ITEM_ISO_OFFSET:
			return strm_timestamp_parse_iso_offset(parser, position);
		default:
			return strm_timestamp_parse_zone(parser, item->kind == STRM_ITEM_ZONE_TEXT, position);
	}
}

/* An item that is padded on its left with blanks to a width. */
static int
strm_timestamp_parse_padded(StrmTimestampParser *parser, const StrmTimestampItem *item, int position)
{
	int			size = parser->size;
	int			end = strm_timestamp_advance(parser, position, item->pad);
	int			start = position;
	int			result;

	if (position >= size || end < 0)
		return strm_timestamp_mismatch(parser, position);
	while (start < end && parser->text[start] == ' ')
		start++;
	parser->size = end;
	result = strm_timestamp_parse_item(parser, item, start);
	parser->size = size;
	if (result == STRM_PARSE_REFUSED || result == end)
		return result;
	/* the sum is what the JDK says */
	parser->error_index = strm_timestamp_java_index(parser->text, position) +
		strm_timestamp_java_index(parser->text, start);
	return STRM_PARSE_MISMATCH;
}

/* The items from first up to, not including, end. */
static int
strm_timestamp_parse_range(StrmTimestampParser *parser, int first, int end, int position)
{
	const StrmTimestampItem *items = parser->format->items;

	for (int i = first; i < end && position >= 0; i++)
	{
		if (items[i].kind == STRM_ITEM_OPTIONAL)
		{
			/* no field's value ever changes, so this undoes everything */
			uint32		set = parser->set;
			StrmTimestampZone *zone = parser->zone;
			StrmTimestampZone fixed_zone = parser->fixed_zone;
			int			behind = strm_timestamp_parse_range(parser, i + 1, items[i].end, position);

			if (behind == STRM_PARSE_MISMATCH)
			{
				parser->set = set;
				parser->zone = zone;
				parser->fixed_zone = fixed_zone;
			}
			else
				position = behind;
			i = items[i].end - 1;
		}
		else if (items[i].pad > 0)
			position = strm_timestamp_parse_padded(parser, &items[i], position);
		else
			position = strm_timestamp_parse_item(parser, &items[i], position);
	}
	return position;
}

/* All items: the position behind them, or one of STRM_PARSE_... */
int
strm_timestamp_parse_items(StrmTimestampParser *parser)
{
	return strm_timestamp_parse_range(parser, 0, parser->format->nitems, 0);
}
