/*
 * timestamp_pattern.c
 *	  Compiles patterns of Java's DateTimeFormatter.ofPattern(), and the pattern that ISO 8601 is here.
 *
 *	  Numbers without anything between them share their digits as in the JDK: the first takes what the others, if they
 *	  are of a fixed width, leave. Of the pattern letters, names of zones in full (zzzz), generic zones (v) and periods
 *	  of the day (B) are refused, and everything that could only surprise: an hour of half a day without the half, and
 *	  strftime's percent signs.
 */
#include "postgres.h"

#include "format/timestamp_private.h"

#define MAX_PATTERN 1000
#define MAX_WIDTH 19

typedef struct StrmPatternCompiler
{
	const char *pattern;
	char	   *fault;			/* the first one; compiling stops */
	StrmTimestampItem *items;
	int			nitems;
	int			active;			/* the number that shares digits with those right behind it; -1 is none */
	int			pad;			/* width that the next item is padded to */
	int			depth;			/* of optional parts */
	int			open[MAX_PATTERN + 1];	/* the items that they start with */
} StrmPatternCompiler;

/* What a letter stands for that is a plain field. */
static const struct
{
	char		letter;
	StrmTimestampField field;
}			strm_pattern_fields[] = {
	{'G', STRM_ERA}, {'y', STRM_YEAR_OF_ERA}, {'u', STRM_YEAR},
	{'Q', STRM_QUARTER_OF_YEAR}, {'q', STRM_QUARTER_OF_YEAR},
	{'M', STRM_MONTH_OF_YEAR}, {'L', STRM_MONTH_OF_YEAR}, {'D', STRM_DAY_OF_YEAR}, {'d', STRM_DAY_OF_MONTH},
	{'F', STRM_ALIGNED_DAY_OF_WEEK_IN_MONTH},
	{'E', STRM_DAY_OF_WEEK}, {'c', STRM_DAY_OF_WEEK}, {'e', STRM_DAY_OF_WEEK},
	{'a', STRM_AMPM_OF_DAY}, {'H', STRM_HOUR_OF_DAY}, {'k', STRM_CLOCK_HOUR_OF_DAY}, {'K', STRM_HOUR_OF_AMPM},
	{'h', STRM_CLOCK_HOUR_OF_AMPM}, {'m', STRM_MINUTE_OF_HOUR}, {'s', STRM_SECOND_OF_MINUTE},
	{'S', STRM_NANO_OF_SECOND}, {'n', STRM_NANO_OF_SECOND}, {'A', STRM_MILLI_OF_DAY}, {'N', STRM_NANO_OF_DAY},
	{'g', STRM_MODIFIED_JULIAN_DAY},
};

static bool
strm_pattern_is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static void
strm_pattern_fault(StrmPatternCompiler *compiler, char *fault)
{
	if (compiler->fault == NULL)
		compiler->fault = fault;
}

static void
strm_pattern_too_many(StrmPatternCompiler *compiler, char letter)
{
	strm_pattern_fault(compiler, psprintf("Too many pattern letters: %c", letter));
}

/* Appends an item, padded if that was asked for. The next one is not adjacent to a number. */
static void
strm_pattern_append(StrmPatternCompiler *compiler, StrmTimestampItem item)
{
	item.pad = compiler->pad;
	compiler->pad = 0;
	compiler->items[compiler->nitems++] = item;
	compiler->active = -1;
}

/* Appends a number. fixed: it has always as many digits as item.max. */
static void
strm_pattern_append_number(StrmPatternCompiler *compiler, StrmTimestampItem item, bool fixed)
{
	int			active = compiler->active;

	if (active >= 0 && compiler->items[active].pad > 0)
	{
		strm_pattern_fault(compiler, psprintf(
						   "the padded number before \"%s\" must not be followed by another one at once",
											  compiler->pattern));
		return;
	}
	if (active >= 0 && fixed)
	{
		compiler->items[active].subsequent += item.max;
		strm_pattern_append(compiler, item);
		compiler->active = active;
		return;
	}
	if (active >= 0)
		compiler->items[active].subsequent = 0;
	strm_pattern_append(compiler, item);
	compiler->active = compiler->nitems - 1;
}

/* A number of a field. */
static void
strm_pattern_number(StrmPatternCompiler *compiler, StrmTimestampField field, int min, int max, StrmTimestampSign sign)
{
	StrmTimestampItem item = {.kind = STRM_ITEM_NUMBER, .field = field, .min = min, .max = max, .sign = sign};

	if (min > MAX_WIDTH)
		strm_pattern_fault(compiler, psprintf("The minimum width must be from 1 to 19 inclusive but was %d", min));
	else
		strm_pattern_append_number(compiler, item, min == max && sign == STRM_SIGN_NOT_NEGATIVE);
}

/* A number of one digit or more, or of exactly count. */
static void
strm_pattern_plain_number(StrmPatternCompiler *compiler, StrmTimestampField field, int count)
{
	if (count == 1)
		strm_pattern_number(compiler, field, 1, MAX_WIDTH, STRM_SIGN_NORMAL);
	else
		strm_pattern_number(compiler, field, count, count, STRM_SIGN_NOT_NEGATIVE);
}

/* Two digits of a year, or a year. */
static void
strm_pattern_year(StrmPatternCompiler *compiler, StrmTimestampField field, int count)
{
	StrmTimestampItem item = {.kind = STRM_ITEM_REDUCED, .field = field, .min = 2, .max = 2,
	.sign = STRM_SIGN_NOT_NEGATIVE};

	if (count == 2)
		strm_pattern_append_number(compiler, item, true);
	else if (field == STRM_WEEK_YEAR)
	{
		/* The JDK neither checks its width nor looks at its sign to see whether it is fixed. */
		item.kind = STRM_ITEM_NUMBER;
		item.min = count;
		item.max = MAX_WIDTH;
		item.sign = count < 4 ? STRM_SIGN_NORMAL : STRM_SIGN_EXCEEDS_PAD;
		strm_pattern_append_number(compiler, item, count == MAX_WIDTH);
	}
	else
		strm_pattern_number(compiler, field, count, MAX_WIDTH, count < 4 ? STRM_SIGN_NORMAL : STRM_SIGN_EXCEEDS_PAD);
}

/* A field by its names: style 3 is short, 4 full, 5 narrow. */
static void
strm_pattern_text(StrmPatternCompiler *compiler, StrmTimestampField field, int style)
{
	StrmTimestampItem item = {.kind = STRM_ITEM_TEXT, .field = field, .texts = strm_timestamp_texts(field, style)};

	strm_pattern_append(compiler, item);
}

/* Digits of a second's fraction. */
static void
strm_pattern_fraction(StrmPatternCompiler *compiler, int count)
{
	StrmTimestampItem item = {.kind = STRM_ITEM_FRACTION, .field = STRM_NANO_OF_SECOND, .min = count, .max = count};

	if (count > 9)
		strm_pattern_fault(compiler, psprintf("Minimum width must be from 0 to 9 inclusive but was %d", count));
	else
		strm_pattern_append_number(compiler, item, true);
}

/* Letters that are a number once or twice and names from three times on; e and c count days from Sunday. */
static void
strm_pattern_number_or_text(StrmPatternCompiler *compiler, char letter, StrmTimestampField field, int count)
{
	if (count > 5)
		strm_pattern_too_many(compiler, letter);
	else if (letter == 'c' && count == 2)
		strm_pattern_fault(compiler, pstrdup("Invalid pattern \"cc\""));
	else if (count > 2)
		strm_pattern_text(compiler, field, count);
	else if (letter == 'E')
		strm_pattern_text(compiler, field, 3);
	else if (letter == 'e' || letter == 'c')
		strm_pattern_number(compiler, STRM_LOCAL_DAY_OF_WEEK, count, count, STRM_SIGN_NOT_NEGATIVE);
	else
		strm_pattern_plain_number(compiler, field, count);
}

/* A run of count letters that are a field. */
static void
strm_pattern_field(StrmPatternCompiler *compiler, char letter, StrmTimestampField field, int count)
{
	switch (letter)
	{
		case 'u':
		case 'y':
			strm_pattern_year(compiler, field, count);
			break;
		case 'c':
		case 'L':
		case 'q':
		case 'M':
		case 'Q':
		case 'E':
		case 'e':
			strm_pattern_number_or_text(compiler, letter, field, count);
			break;
		case 'a':
			if (count > 1)
				strm_pattern_too_many(compiler, letter);
			else
				strm_pattern_text(compiler, field, 3);
			break;
		case 'G':
			if (count > 5)
				strm_pattern_too_many(compiler, letter);
			else
				strm_pattern_text(compiler, field, Max(count, 3));
			break;
		case 'S':
			strm_pattern_fraction(compiler, count);
			break;
		case 'D':
			if (count > 3)
				strm_pattern_too_many(compiler, letter);
			else if (count == 1)
				strm_pattern_plain_number(compiler, field, count);
			else
				strm_pattern_number(compiler, field, count, 3, STRM_SIGN_NOT_NEGATIVE);
			break;
		case 'g':
			strm_pattern_number(compiler, field, count, MAX_WIDTH, STRM_SIGN_NORMAL);
			break;
		case 'A':
		case 'n':
		case 'N':
			strm_pattern_number(compiler, field, count, MAX_WIDTH, STRM_SIGN_NOT_NEGATIVE);
			break;
		default:
			if (count > (letter == 'F' ? 1 : 2))
				strm_pattern_too_many(compiler, letter);
			else
				strm_pattern_plain_number(compiler, field, count);
			break;
	}
}

/* An offset: minutes 0 may be absent, 1 must be there; zero is what no offset looks like. */
static void
strm_pattern_offset(StrmPatternCompiler *compiler, bool colon, int minutes, bool seconds, const char *zero)
{
	StrmTimestampItem item = {.kind = STRM_ITEM_OFFSET, .colon = colon, .minutes = minutes, .seconds = seconds,
	.text = zero, .text_size = (int) strlen(zero)};

	strm_pattern_append(compiler, item);
}

/* An item that is nothing but its kind, and perhaps full. */
static void
strm_pattern_kind(StrmPatternCompiler *compiler, StrmTimestampItemKind kind, bool full)
{
	StrmTimestampItem item = {.kind = kind, .full = full};

	strm_pattern_append(compiler, item);
}

/* X and x, one to five. */
static void
strm_pattern_iso_zone(StrmPatternCompiler *compiler, char letter, int count)
{
	if (count > 5)
		strm_pattern_too_many(compiler, letter);
	else
		strm_pattern_offset(compiler, count == 3 || count == 5, count == 1 ? 0 : 1, count > 3,
							letter == 'X' ? "Z" : count == 1 ? "+00" : count % 2 == 0 ? "+0000" : "+00:00");
}

/* Letters of zones. false when letter is none. */
static bool
strm_pattern_zone(StrmPatternCompiler *compiler, char letter, int count)
{
	switch (letter)
	{
		case 'z':
			if (count > 4)
				strm_pattern_too_many(compiler, letter);
			else if (count == 4)
				strm_pattern_fault(compiler, pstrdup(
								   "zzzz, full names of time zones, is not supported; z reads abbreviations and names such as Europe/Paris"));
			else
				strm_pattern_kind(compiler, STRM_ITEM_ZONE_TEXT, false);
			return true;
		case 'V':
			if (count != 2)
				strm_pattern_fault(compiler, pstrdup("Pattern letter count must be 2: V"));
			else
				strm_pattern_kind(compiler, STRM_ITEM_ZONE_ID, false);
			return true;
		case 'v':
			if (count != 1 && count != 4)
				strm_pattern_fault(compiler, pstrdup("Wrong number of pattern letters: v"));
			else
				strm_pattern_fault(compiler, pstrdup(
								   "v, generic names of time zones, is not supported; z reads abbreviations and names such as Europe/Paris"));
			return true;
		case 'Z':
			if (count > 5)
				strm_pattern_too_many(compiler, letter);
			else if (count == 5)
				strm_pattern_offset(compiler, true, 1, true, "Z");
			else if (count == 4)
				strm_pattern_kind(compiler, STRM_ITEM_GMT_OFFSET, true);
			else
				strm_pattern_offset(compiler, false, 1, false, "+0000");
			return true;
		case 'O':
			if (count != 1 && count != 4)
				strm_pattern_fault(compiler, pstrdup("Pattern letter count must be 1 or 4: O"));
			else
				strm_pattern_kind(compiler, STRM_ITEM_GMT_OFFSET, count == 4);
			return true;
		case 'X':
		case 'x':
			strm_pattern_iso_zone(compiler, letter, count);
			return true;
		default:
			return false;
	}
}

/* A run of count letters. */
static void
strm_pattern_letters(StrmPatternCompiler *compiler, char letter, int count)
{
	for (int i = 0; i < lengthof(strm_pattern_fields); i++)
	{
		if (strm_pattern_fields[i].letter == letter)
		{
			strm_pattern_field(compiler, letter, strm_pattern_fields[i].field, count);
			return;
		}
	}
	if (strm_pattern_zone(compiler, letter, count))
		return;
	switch (letter)
	{
		case 'W':
			if (count > 1)
				strm_pattern_too_many(compiler, letter);
			else
				strm_pattern_number(compiler, STRM_WEEK_OF_MONTH, 1, 1, STRM_SIGN_NOT_NEGATIVE);
			break;
		case 'w':
			if (count > 2)
				strm_pattern_too_many(compiler, letter);
			else
				strm_pattern_number(compiler, STRM_WEEK_OF_WEEK_YEAR, count, 2, STRM_SIGN_NOT_NEGATIVE);
			break;
		case 'Y':
			strm_pattern_year(compiler, STRM_WEEK_YEAR, count);
			break;
		case 'B':
			if (count != 1 && count != 4 && count != 5)
				strm_pattern_fault(compiler, pstrdup("Wrong number of pattern letters: B"));
			else
				strm_pattern_fault(compiler, pstrdup("B, periods of the day, is not supported; a reads AM and PM"));
			break;
		default:
			strm_pattern_fault(compiler, psprintf("Unknown pattern letter: %c", letter));
			break;
	}
}

/* A literal of that many bytes of the pattern; two quotes in it are one. */
static void
strm_pattern_literal(StrmPatternCompiler *compiler, const char *text, int size)
{
	StrmTimestampItem item = {.kind = STRM_ITEM_LITERAL};
	char	   *literal = palloc(size + 1);

	for (int i = 0; i < size; i++)
	{
		literal[item.text_size++] = text[i];
		if (text[i] == '\'' && i + 1 < size && text[i + 1] == '\'')
			i++;
	}
	item.text = literal;
	strm_pattern_append(compiler, item);
}

/* Length of the run of letters at p. */
static int
strm_pattern_run(const char *p)
{
	int			n = 1;

	while (p[n] == *p)
		n++;
	return n;
}

/* Letters at p, with the padding before them. Returns what is behind them. */
static const char *
strm_pattern_at_letters(StrmPatternCompiler *compiler, const char *p)
{
	int			count = strm_pattern_run(p);

	if (*p == 'p')
	{
		p += count;
		if (!strm_pattern_is_letter(*p))
		{
			strm_pattern_fault(compiler, psprintf("Pad letter 'p' must be followed by valid pad pattern: %s",
												  compiler->pattern));
			return p;
		}
		compiler->pad = count;
		compiler->active = -1;
		count = strm_pattern_run(p);
	}
	strm_pattern_letters(compiler, *p, count);
	return p + count;
}

/* A quoted text at p. Returns what is behind it. */
static const char *
strm_pattern_at_quote(StrmPatternCompiler *compiler, const char *p)
{
	const char *start = ++p;

	while (*p != '\0' && (*p != '\'' || p[1] == '\''))
		p += *p == '\'' ? 2 : 1;
	if (*p == '\0')
	{
		strm_pattern_fault(compiler, psprintf("Pattern ends with an incomplete string literal: %s", compiler->pattern));
		return p;
	}
	if (p == start)
		strm_pattern_literal(compiler, "'", 1);
	else
		strm_pattern_literal(compiler, start, (int) (p - start));
	return p + 1;
}

/* [ starts an optional part. */
static void
strm_pattern_start_optional(StrmPatternCompiler *compiler)
{
	StrmTimestampItem item = {.kind = STRM_ITEM_OPTIONAL};

	compiler->open[compiler->depth++] = compiler->nitems;
	strm_pattern_append(compiler, item);
}

/* ] ends it; at the end of the pattern those still open end, too. */
static void
strm_pattern_end_optional(StrmPatternCompiler *compiler)
{
	if (compiler->depth == 0)
	{
		strm_pattern_fault(compiler, pstrdup("Pattern invalid as it contains ] without previous ["));
		return;
	}
	compiler->items[compiler->open[--compiler->depth]].end = compiler->nitems;
	compiler->active = -1;
}

/* What is no letter and no quote. Returns what is behind it. */
static const char *
strm_pattern_at_other(StrmPatternCompiler *compiler, const char *p)
{
	int			size = 1;

	switch (*p)
	{
		case '[':
			strm_pattern_start_optional(compiler);
			break;
		case ']':
			strm_pattern_end_optional(compiler);
			break;
		case '{':
		case '}':
		case '#':
			strm_pattern_fault(compiler, psprintf("Pattern includes reserved character: '%c'", *p));
			break;
		case '%':
			if (strm_pattern_is_letter(p[1]))
			{
				strm_pattern_fault(compiler, psprintf(
								   "\"%s\" has percent signs, as strftime's formats have; here letters stand for fields by themselves, as in \"yyyy-MM-dd HH:mm:ss\"",
													  compiler->pattern));
				break;
			}
			/* FALLTHROUGH */
		default:
			/* all bytes of a character */
			while (((unsigned char) p[size] & 0xC0) == 0x80)
				size++;
			strm_pattern_literal(compiler, p, size);
			break;
	}
	return p + size;
}

/* Refuses an hour of half a day without the half: the JDK would silently read the date only. */
static void
strm_pattern_check_halves(StrmPatternCompiler *compiler)
{
	uint32		fields = 0;
	uint32		hours = STRM_FIELD_BIT(STRM_HOUR_OF_AMPM) | STRM_FIELD_BIT(STRM_CLOCK_HOUR_OF_AMPM);
	uint32		enough = STRM_FIELD_BIT(STRM_AMPM_OF_DAY) | STRM_FIELD_BIT(STRM_HOUR_OF_DAY) |
		STRM_FIELD_BIT(STRM_CLOCK_HOUR_OF_DAY) | STRM_FIELD_BIT(STRM_MILLI_OF_DAY) | STRM_FIELD_BIT(STRM_NANO_OF_DAY);

	for (int i = 0; i < compiler->nitems; i++)
	{
		StrmTimestampItemKind kind = compiler->items[i].kind;

		if (kind == STRM_ITEM_NUMBER || kind == STRM_ITEM_TEXT)
			fields |= STRM_FIELD_BIT(compiler->items[i].field);
	}
	if ((fields & hours) != 0 && (fields & enough) == 0)
		strm_pattern_fault(compiler, psprintf(
						   "\"%s\" has an hour of half a day (h, K) but not the half (a): use H for hours 0 to 23",
											  compiler->pattern));
}

/* The items of a pattern, in the current context. NULL and *fault when it is bad. */
StrmTimestampItem *
strm_timestamp_compile(const char *pattern, int *nitems, char **fault)
{
	StrmPatternCompiler compiler;
	const char *p = pattern;

	memset(&compiler, 0, sizeof(compiler));
	compiler.pattern = pattern;
	compiler.active = -1;
	if (strlen(pattern) > MAX_PATTERN)
	{
		*fault = psprintf("the pattern has more than %d bytes", MAX_PATTERN);
		return NULL;
	}
	/* no character makes more than one item */
	compiler.items = palloc0((strlen(pattern) + 1) * sizeof(StrmTimestampItem));
	while (*p != '\0' && compiler.fault == NULL)
	{
		if (strm_pattern_is_letter(*p))
			p = strm_pattern_at_letters(&compiler, p);
		else if (*p == '\'')
			p = strm_pattern_at_quote(&compiler, p);
		else
			p = strm_pattern_at_other(&compiler, p);
	}
	while (compiler.depth > 0 && compiler.fault == NULL)
		strm_pattern_end_optional(&compiler);
	if (compiler.fault == NULL)
		strm_pattern_check_halves(&compiler);
	*fault = compiler.fault;
	*nitems = compiler.nitems;
	return compiler.fault == NULL ? compiler.items : NULL;
}

/*
 * ISO 8601: a date, then perhaps T or a blank and hours and minutes, then perhaps seconds, a fraction of them, and an
 * offset or the name of a zone in brackets.
 */
StrmTimestampItem *
strm_timestamp_compile_iso(int *nitems)
{
	static const StrmTimestampItem iso[] = {
		{.kind = STRM_ITEM_NUMBER, .field = STRM_YEAR, .min = 4, .max = 10, .sign = STRM_SIGN_EXCEEDS_PAD},
		{.kind = STRM_ITEM_LITERAL, .text = "-", .text_size = 1},
		{.kind = STRM_ITEM_NUMBER, .field = STRM_MONTH_OF_YEAR, .min = 2, .max = 2, .sign = STRM_SIGN_NOT_NEGATIVE},
		{.kind = STRM_ITEM_LITERAL, .text = "-", .text_size = 1},
		{.kind = STRM_ITEM_NUMBER, .field = STRM_DAY_OF_MONTH, .min = 2, .max = 2, .sign = STRM_SIGN_NOT_NEGATIVE},
		{.kind = STRM_ITEM_OPTIONAL, .end = 23},
		{.kind = STRM_ITEM_ISO_T},
		{.kind = STRM_ITEM_NUMBER, .field = STRM_HOUR_OF_DAY, .min = 2, .max = 2, .sign = STRM_SIGN_NOT_NEGATIVE},
		{.kind = STRM_ITEM_LITERAL, .text = ":", .text_size = 1},
		{.kind = STRM_ITEM_NUMBER, .field = STRM_MINUTE_OF_HOUR, .min = 2, .max = 2, .sign = STRM_SIGN_NOT_NEGATIVE},
		{.kind = STRM_ITEM_OPTIONAL, .end = 15},
		{.kind = STRM_ITEM_LITERAL, .text = ":", .text_size = 1},
		{.kind = STRM_ITEM_NUMBER, .field = STRM_SECOND_OF_MINUTE, .min = 2, .max = 2, .sign = STRM_SIGN_NOT_NEGATIVE},
		{.kind = STRM_ITEM_OPTIONAL, .end = 15},
		{.kind = STRM_ITEM_ISO_FRACTION, .field = STRM_NANO_OF_SECOND, .min = 1, .max = 9},
		{.kind = STRM_ITEM_OPTIONAL, .end = 19},
		{.kind = STRM_ITEM_OPTIONAL, .end = 18},
		{.kind = STRM_ITEM_LITERAL, .text = " ", .text_size = 1},
		{.kind = STRM_ITEM_ISO_OFFSET},
		{.kind = STRM_ITEM_OPTIONAL, .end = 23},
		{.kind = STRM_ITEM_LITERAL, .text = "[", .text_size = 1},
		{.kind = STRM_ITEM_ZONE_ID},
		{.kind = STRM_ITEM_LITERAL, .text = "]", .text_size = 1},
	};
	StrmTimestampItem *items = palloc(sizeof(iso));

	memcpy(items, iso, sizeof(iso));
	*nitems = lengthof(iso);
	return items;
}
