/*
 * timestamp_private.h
 *	  What the files of timestamp.h share: compiled patterns and the state of parsing one text.
 *
 *	  A format is compiled once into a list of items. Parsing runs in three steps, as in the JDK: the items turn text
 *	  into fields (timestamp_parse.c), the fields resolve to a date and a time (timestamp_resolve.c), and a zone makes
 *	  an instant of them (timestamp_zone.c). Nothing is allocated while parsing.
 */
#ifndef STRM_FORMAT_TIMESTAMP_PRIVATE_H
#define STRM_FORMAT_TIMESTAMP_PRIVATE_H

#include "pgtime.h"

#include "format/timestamp.h"

/* Fields as Java's ChronoField, JulianFields and WeekFields (of Locale.ENGLISH) have them. */
typedef enum StrmTimestampField
{
	STRM_NANO_OF_SECOND,
	STRM_NANO_OF_DAY,
	STRM_MILLI_OF_DAY,
	STRM_SECOND_OF_MINUTE,
	STRM_MINUTE_OF_HOUR,
	STRM_HOUR_OF_AMPM,
	STRM_CLOCK_HOUR_OF_AMPM,
	STRM_HOUR_OF_DAY,
	STRM_CLOCK_HOUR_OF_DAY,
	STRM_AMPM_OF_DAY,
	STRM_DAY_OF_WEEK,			/* the first that is not of the time of day */
	STRM_ALIGNED_DAY_OF_WEEK_IN_MONTH,
	STRM_DAY_OF_MONTH,
	STRM_DAY_OF_YEAR,
	STRM_MONTH_OF_YEAR,
	STRM_QUARTER_OF_YEAR,
	STRM_YEAR_OF_ERA,
	STRM_YEAR,
	STRM_ERA,
	STRM_MODIFIED_JULIAN_DAY,
	STRM_LOCAL_DAY_OF_WEEK,		/* 1 is Sunday */
	STRM_WEEK_OF_MONTH,
	STRM_WEEK_OF_WEEK_YEAR,
	STRM_WEEK_YEAR,
	STRM_OFFSET_SECONDS
} StrmTimestampField;

#define STRM_TIMESTAMP_FIELDS (STRM_OFFSET_SECONDS + 1)
#define STRM_FIELD_BIT(field) ((uint32) 1 << (field))

/* Local time in a zone: a fixed offset, or a region with the piece of it that was looked up last. */
typedef struct StrmTimestampZone
{
	pg_tz	   *region;			/* NULL: a fixed offset */
	int64		offset;			/* seconds east of Greenwich, of the piece */
	int64		local_from;		/* the piece, in seconds since 1970 of local time: from <= t < to */
	int64		local_to;
} StrmTimestampZone;

typedef enum StrmTimestampItemKind
{
	STRM_ITEM_LITERAL,
	STRM_ITEM_NUMBER,
	STRM_ITEM_REDUCED,			/* two digits of a year: 2000 to 2099 */
	STRM_ITEM_FRACTION,			/* of a second, digits only */
	STRM_ITEM_TEXT,
	STRM_ITEM_OFFSET,			/* X, x, Z */
	STRM_ITEM_GMT_OFFSET,		/* O, ZZZZ */
	STRM_ITEM_ZONE_ID,			/* VV */
	STRM_ITEM_ZONE_TEXT,		/* z */
	STRM_ITEM_OPTIONAL,			/* up to the item whose number is end */
	/* ISO 8601's own */
	STRM_ITEM_ISO_T,			/* T, t or a blank */
	STRM_ITEM_ISO_FRACTION,		/* a point or comma and digits */
	STRM_ITEM_ISO_OFFSET,		/* Z, z, +hh, +hhmm, +hh:mm, +hh:mm:ss */
} StrmTimestampItemKind;

/* Java's SignStyle. */
typedef enum StrmTimestampSign
{
	STRM_SIGN_NORMAL,			/* minus, but no plus */
	STRM_SIGN_NOT_NEGATIVE,		/* neither */
	STRM_SIGN_EXCEEDS_PAD,		/* plus if, and only if, there are more digits than needed */
} StrmTimestampSign;

typedef struct StrmTimestampText
{
	const char *text;
	int			value;
} StrmTimestampText;

typedef struct StrmTimestampItem
{
	StrmTimestampItemKind kind;
	StrmTimestampField field;
	StrmTimestampSign sign;
	int			min;			/* digits */
	int			max;
	int			subsequent;		/* digits that the numbers right behind this one need */
	int			pad;			/* width to which it is padded with blanks, 0 is none */
	const char *text;			/* of a literal; what an offset of zero looks like */
	int			text_size;
	const StrmTimestampText *texts; /* ends with a NULL text */
	bool		colon;			/* in an offset */
	bool		full;			/* an offset's full style */
	int			minutes;		/* of an offset: 0 they may be absent, 1 must be there */
	bool		seconds;		/* an offset may have seconds */
	int			end;
} StrmTimestampItem;

typedef enum StrmTimestampKind
{
	STRM_TIMESTAMP_PATTERN,
	STRM_TIMESTAMP_SECONDS,
	STRM_TIMESTAMP_MILLIS
} StrmTimestampKind;

/* Zones that texts named, so that each is looked up once. */
#define STRM_TIMESTAMP_ZONES 8
#define STRM_TIMESTAMP_ZONE_NAME 64

typedef struct StrmTimestampNamedZone
{
	char		name[STRM_TIMESTAMP_ZONE_NAME];
	bool		abbreviations;	/* looked up among them, too */
	bool		exists;
	StrmTimestampZone zone;
} StrmTimestampNamedZone;

/* What a format remembers from text to text. */
typedef struct StrmTimestampMemory
{
	StrmTimestampZone default_zone;
	int			next;			/* the entry to be replaced next */
	StrmTimestampNamedZone zones[STRM_TIMESTAMP_ZONES];
} StrmTimestampMemory;

struct StrmTimestampFormat
{
	StrmTimestampKind kind;
	bool		strict;			/* refuses 30 February instead of taking the month's last day */
	int			nitems;
	StrmTimestampItem *items;
	StrmTimestampMemory *memory;
};

/* The state of parsing one text. Positions are in bytes. */
typedef struct StrmTimestampParser
{
	const StrmTimestampFormat *format;
	const char *text;
	int			size;			/* padding makes it end earlier for a while */
	int			full_size;
	uint32		set;			/* STRM_FIELD_BIT of the fields that have a value */
	int64		value[STRM_TIMESTAMP_FIELDS];
	StrmTimestampZone *zone;	/* that the text names, or NULL */
	StrmTimestampZone fixed_zone;
	int64		error_index;	/* of a mismatch, in Java's characters */
	StringInfo	message;		/* or NULL */
} StrmTimestampParser;

/* What fields resolve to. */
typedef struct StrmTimestampResolved
{
	bool		has_date;
	bool		has_time;
	int64		day;			/* since 1970-01-01 */
	int64		nanos;			/* of the day */
} StrmTimestampResolved;

/* Results of parsing items that are not positions. */
#define STRM_PARSE_MISMATCH (-1)
#define STRM_PARSE_REFUSED (-2) /* strm_timestamp_refuse was called */

/* timestamp_pattern.c: items of a pattern, of ISO 8601. NULL and *fault when the pattern is bad. */
extern StrmTimestampItem *strm_timestamp_compile(const char *pattern, int *nitems, char **fault);
extern StrmTimestampItem *strm_timestamp_compile_iso(int *nitems);

/* timestamp_text.c: the texts of a field, style being the number of pattern letters (3 short, 4 full, 5 narrow). */
extern const StrmTimestampText *strm_timestamp_texts(StrmTimestampField field, int style);

/* timestamp_parse.c */
extern int	strm_timestamp_parse_items(StrmTimestampParser *parser);

/* The index that position has in Java, where characters are units of UTF-16. */
extern int64 strm_timestamp_java_index(const char *text, int position);

/* Records why, when a message is wanted. Always false. */
extern bool strm_timestamp_refuse(StrmTimestampParser *parser, const char *fmt,...) pg_attribute_printf(2, 3);

/* timestamp_offset.c: items of offsets and zones; see strm_timestamp_parse_items for what they return. */
extern int	strm_timestamp_parse_offset(StrmTimestampParser *parser, const StrmTimestampItem *item, int position);
extern int	strm_timestamp_parse_gmt_offset(StrmTimestampParser *parser, const StrmTimestampItem *item, int position);
extern int	strm_timestamp_parse_iso_offset(StrmTimestampParser *parser, int position);
extern int	strm_timestamp_parse_zone(StrmTimestampParser *parser, bool text, int position);

/* A field's value while parsing: a mismatch at error_position when it has another one already. */
extern int	strm_timestamp_set(StrmTimestampParser *parser, StrmTimestampField field, int64 value, int error_position,
							   int position);
extern int	strm_timestamp_mismatch(StrmTimestampParser *parser, int position);

/* timestamp_resolve.c */
extern bool strm_timestamp_resolve(StrmTimestampParser *parser, StrmTimestampResolved *resolved);

/* timestamp_date.c: dates of the proleptic Gregorian calendar, as days since 1970-01-01. */
typedef struct StrmTimestampDate
{
	int64		year;
	int			month;
	int			day;
} StrmTimestampDate;

extern bool strm_timestamp_is_leap(int64 year);
extern int	strm_timestamp_month_length(int64 year, int month);
extern int64 strm_timestamp_day(int64 year, int month, int day);
extern StrmTimestampDate strm_timestamp_date(int64 day);
extern int64 strm_timestamp_date_field(int64 day, StrmTimestampField field);
extern int64 strm_timestamp_week_date(int64 week_year, int64 week, int local_day_of_week);
extern int64 strm_timestamp_month_week_date(int64 year, int month, int64 week, int local_day_of_week);

/* timestamp_zone.c: a zone of that name or offset, false when there is none. */
extern bool strm_timestamp_zone(const char *name, StrmTimestampZone *zone);
extern void strm_timestamp_fixed_zone(StrmTimestampZone *zone, int64 offset);

/* The longest name of a region that text starts with, through the format's memory; *length is the name's. */
extern StrmTimestampZone *strm_timestamp_named_zone(StrmTimestampMemory *memory, const char *text, int size,
													bool abbreviations, int *length);

/*
 * Seconds since 1970 of a local time. What a clock skips moves forward, or, when start_of_day, to the first time after
 * it; what it shows twice is the earlier one.
 */
extern int64 strm_timestamp_zone_instant(StrmTimestampZone *zone, int64 local, bool start_of_day);

#endif							/* STRM_FORMAT_TIMESTAMP_PRIVATE_H */
