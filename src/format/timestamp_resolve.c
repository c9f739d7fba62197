/*
 * timestamp_resolve.c
 *	  From fields to a date and a time of day: what the JDK's Parsed.resolve() does with ResolverStyle.SMART, in its
 *	  order, which decides what is said about a text with several faults.
 *
 *	  Fields are removed as they are used up. Those left in the end must agree with the result.
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "format/timestamp_private.h"

#define NANOS_PER_SEC INT64CONST(1000000000)
#define NANOS_PER_DAY (SECS_PER_DAY * NANOS_PER_SEC)
#define MAX_YEAR INT64CONST(999999999)
#define STRM_TIME_FIELDS (STRM_FIELD_BIT(STRM_DAY_OF_WEEK) - 1)
#define JULIAN_DAY_OFFSET 40587 /* of 1970-01-01, modified */

/* A field's name and the values it may have, written as the JDK writes them where they depend on others. */
typedef struct StrmTimestampFieldInfo
{
	const char *name;
	int64		min;
	int64		max;
	const char *max_text;
} StrmTimestampFieldInfo;

static const StrmTimestampFieldInfo strm_fields[STRM_TIMESTAMP_FIELDS] = {
	[STRM_NANO_OF_SECOND] = {"NanoOfSecond", 0, 999999999},
	[STRM_NANO_OF_DAY] = {"NanoOfDay", 0, NANOS_PER_DAY - 1},
	[STRM_MILLI_OF_DAY] = {"MilliOfDay", 0, SECS_PER_DAY * 1000 - 1},
	[STRM_SECOND_OF_MINUTE] = {"SecondOfMinute", 0, 59},
	[STRM_MINUTE_OF_HOUR] = {"MinuteOfHour", 0, 59},
	[STRM_HOUR_OF_AMPM] = {"HourOfAmPm", 0, 11},
	[STRM_CLOCK_HOUR_OF_AMPM] = {"ClockHourOfAmPm", 1, 12},
	[STRM_HOUR_OF_DAY] = {"HourOfDay", 0, 23},
	[STRM_CLOCK_HOUR_OF_DAY] = {"ClockHourOfDay", 1, 24},
	[STRM_AMPM_OF_DAY] = {"AmPmOfDay", 0, 1},
	[STRM_DAY_OF_WEEK] = {"DayOfWeek", 1, 7},
	[STRM_ALIGNED_DAY_OF_WEEK_IN_MONTH] = {"AlignedDayOfWeekInMonth", 1, 7},
	[STRM_DAY_OF_MONTH] = {"DayOfMonth", 1, 31, "28/31"},
	[STRM_DAY_OF_YEAR] = {"DayOfYear", 1, 366, "365/366"},
	[STRM_MONTH_OF_YEAR] = {"MonthOfYear", 1, 12},
	[STRM_QUARTER_OF_YEAR] = {"QuarterOfYear", 1, 4},
	[STRM_YEAR_OF_ERA] = {"YearOfEra", 1, MAX_YEAR + 1, "999999999/1000000000"},
	[STRM_YEAR] = {"Year", -MAX_YEAR, MAX_YEAR},
	[STRM_ERA] = {"Era", 0, 1},
	[STRM_MODIFIED_JULIAN_DAY] = {"ModifiedJulianDay", INT64CONST(-365243178575), INT64CONST(365241821058)},
	[STRM_LOCAL_DAY_OF_WEEK] = {"DayOfWeek[WeekFields[SUNDAY,1]]", 1, 7},
	[STRM_WEEK_OF_MONTH] = {"WeekOfMonth[WeekFields[SUNDAY,1]]", 0, 6, "4/6"},
	[STRM_WEEK_OF_WEEK_YEAR] = {"WeekOfWeekBasedYear[WeekFields[SUNDAY,1]]", 1, 53, "52/53"},
	[STRM_WEEK_YEAR] = {"WeekBasedYear[WeekFields[SUNDAY,1]]", -MAX_YEAR, MAX_YEAR},
	[STRM_OFFSET_SECONDS] = {"OffsetSeconds", -18 * SECS_PER_HOUR, 18 * SECS_PER_HOUR},
};

static inline bool
strm_timestamp_has(const StrmTimestampParser *parser, StrmTimestampField field)
{
	return (parser->set & STRM_FIELD_BIT(field)) != 0;
}

/* The value of a field, which it then has no more. */
static inline int64
strm_timestamp_take(StrmTimestampParser *parser, StrmTimestampField field)
{
	parser->set &= ~STRM_FIELD_BIT(field);
	return parser->value[field];
}

/* Refuses a value that the field cannot have. */
static bool
strm_timestamp_check(StrmTimestampParser *parser, StrmTimestampField field, int64 value)
{
	const StrmTimestampFieldInfo *info = &strm_fields[field];

	if (value >= info->min && value <= info->max)
		return true;
	if (info->max_text != NULL)
		return strm_timestamp_refuse(parser, ": Invalid value for %s (valid values %lld - %s): %lld", info->name,
									 (long long) info->min, info->max_text, (long long) value);
	return strm_timestamp_refuse(parser, ": Invalid value for %s (valid values %lld - %lld): %lld", info->name,
								 (long long) info->min, (long long) info->max, (long long) value);
}

/* Gives a field the value that another field, of the given name, makes it have. */
static bool
strm_timestamp_derive(StrmTimestampParser *parser, StrmTimestampField field, int64 value, const char *from)
{
	if (strm_timestamp_has(parser, field) && parser->value[field] != value)
	{
		const char *name = strm_fields[field].name;

		return strm_timestamp_refuse(parser, ": Conflict found: %s %lld differs from %s %lld while resolving  %s", name,
									 (long long) parser->value[field], name, (long long) value, from);
	}
	parser->set |= STRM_FIELD_BIT(field);
	parser->value[field] = value;
	return true;
}

/* A date as LocalDate writes it. */
static void
strm_timestamp_date_text(int64 day, char *text, size_t size)
{
	StrmTimestampDate date = strm_timestamp_date(day);

	snprintf(text, size, "%s%04lld-%02d-%02d", date.year < 0 ? "-" : date.year > 9999 ? "+" : "",
			 (long long) (date.year < 0 ? -date.year : date.year), date.month, date.day);
}

/* A time as LocalTime writes it. */
static void
strm_timestamp_time_text(int64 nanos, char *text, size_t size)
{
	int64		seconds = nanos / NANOS_PER_SEC;
	int			fraction = (int) (nanos % NANOS_PER_SEC);
	int			n = snprintf(text, size, "%02d:%02d", (int) (seconds / SECS_PER_HOUR),
							 (int) (seconds / SECS_PER_MINUTE % MINS_PER_HOUR));

	if (seconds % SECS_PER_MINUTE == 0 && fraction == 0)
		return;
	n += snprintf(text + n, size - n, ":%02d", (int) (seconds % SECS_PER_MINUTE));
	if (fraction == 0)
		return;
	if (fraction % 1000000 == 0)
		snprintf(text + n, size - n, ".%03d", fraction / 1000000);
	else if (fraction % 1000 == 0)
		snprintf(text + n, size - n, ".%06d", fraction / 1000);
	else
		snprintf(text + n, size - n, ".%09d", fraction);
}

/* A date that fields resolved to; another one than before is refused. */
static bool
strm_timestamp_found_date(StrmTimestampParser *parser, StrmTimestampResolved *resolved, int64 day)
{
	char		old_text[64];
	char		text[64];

	if (!resolved->has_date || resolved->day == day)
	{
		resolved->has_date = true;
		resolved->day = day;
		return true;
	}
	strm_timestamp_date_text(resolved->day, old_text, sizeof(old_text));
	strm_timestamp_date_text(day, text, sizeof(text));
	return strm_timestamp_refuse(parser, ": Conflict found: Fields resolved to two different dates: %s %s", old_text,
								 text);
}

/* Makes a year of a year of an era. */
static bool
strm_timestamp_resolve_era(StrmTimestampParser *parser)
{
	int64		year;

	if (!strm_timestamp_has(parser, STRM_YEAR_OF_ERA))
		return !strm_timestamp_has(parser, STRM_ERA) || strm_timestamp_check(parser, STRM_ERA, parser->value[STRM_ERA]);

	year = strm_timestamp_take(parser, STRM_YEAR_OF_ERA);
	if (!strm_timestamp_check(parser, STRM_YEAR_OF_ERA, year))
		return false;
	if (strm_timestamp_has(parser, STRM_ERA))
		year = strm_timestamp_take(parser, STRM_ERA) == 1 ? year : 1 - year;
	else if (strm_timestamp_has(parser, STRM_YEAR) && parser->value[STRM_YEAR] <= 0)
		year = 1 - year;
	if (strm_timestamp_has(parser, STRM_YEAR) && parser->value[STRM_YEAR] != year)
		return strm_timestamp_refuse(parser, ": Conflict found: Year %lld differs from Year %lld",
									 (long long) parser->value[STRM_YEAR], (long long) year);
	parser->set |= STRM_FIELD_BIT(STRM_YEAR);
	parser->value[STRM_YEAR] = year;
	return true;
}

/* A date of year, month and day: the month's last day when it has no such day, except where that is refused. */
static bool
strm_timestamp_resolve_month_day(StrmTimestampParser *parser, StrmTimestampResolved *resolved)
{
	static const char *const months[] = {"FEBRUARY", "APRIL", "JUNE", "SEPTEMBER", "NOVEMBER"};
	int64		year = strm_timestamp_take(parser, STRM_YEAR);
	int64		month = strm_timestamp_take(parser, STRM_MONTH_OF_YEAR);
	int64		day = strm_timestamp_take(parser, STRM_DAY_OF_MONTH);
	int			length;

	if (!strm_timestamp_check(parser, STRM_YEAR, year) ||
		!strm_timestamp_check(parser, STRM_MONTH_OF_YEAR, month) ||
		!strm_timestamp_check(parser, STRM_DAY_OF_MONTH, day))
		return false;
	length = strm_timestamp_month_length(year, (int) month);
	if (day > length && parser->format->strict)
	{
		if (month == 2 && day == 29)
			return strm_timestamp_refuse(parser, ": Invalid date 'February 29' as '%lld' is not a leap year",
										 (long long) year);
		return strm_timestamp_refuse(parser, ": Invalid date '%s %d'",
									 months[month == 2 ? 0 : month == 4 ? 1 : month == 6 ? 2 : month == 9 ? 3 : 4],
									 (int) day);
	}
	return strm_timestamp_found_date(parser, resolved,
									 strm_timestamp_day(year, (int) month, (int) Min(day, length)));
}

/* A date of year and day of the year. */
static bool
strm_timestamp_resolve_year_day(StrmTimestampParser *parser, StrmTimestampResolved *resolved)
{
	int64		year = strm_timestamp_take(parser, STRM_YEAR);
	int64		day = strm_timestamp_take(parser, STRM_DAY_OF_YEAR);

	if (!strm_timestamp_check(parser, STRM_YEAR, year) ||
		!strm_timestamp_check(parser, STRM_DAY_OF_YEAR, day))
		return false;
	if (day == 366 && !strm_timestamp_is_leap(year))
		return strm_timestamp_refuse(parser, ": Invalid date 'DayOfYear 366' as '%lld' is not a leap year",
									 (long long) year);
	return strm_timestamp_found_date(parser, resolved, strm_timestamp_day(year, 1, 1) + day - 1);
}

/* A date of a year and what is of it. */
static bool
strm_timestamp_resolve_date(StrmTimestampParser *parser, StrmTimestampResolved *resolved)
{
	if (!strm_timestamp_resolve_era(parser))
		return false;
	if (!strm_timestamp_has(parser, STRM_YEAR))
		return true;
	if (strm_timestamp_has(parser, STRM_MONTH_OF_YEAR) && strm_timestamp_has(parser, STRM_DAY_OF_MONTH))
		return strm_timestamp_resolve_month_day(parser, resolved);
	if (strm_timestamp_has(parser, STRM_DAY_OF_YEAR))
		return strm_timestamp_resolve_year_day(parser, resolved);
	return true;
}

/* A date of a week and a day of it. */
static bool
strm_timestamp_resolve_week(StrmTimestampParser *parser, StrmTimestampResolved *resolved)
{
	int64		day_of_week = parser->value[STRM_DAY_OF_WEEK];
	int64		year;
	int64		week;

	if (!strm_timestamp_has(parser, STRM_DAY_OF_WEEK))
		return true;
	if (strm_timestamp_has(parser, STRM_YEAR))
	{
		int64		month = parser->value[STRM_MONTH_OF_YEAR];

		if (!strm_timestamp_has(parser, STRM_WEEK_OF_MONTH) || !strm_timestamp_has(parser, STRM_MONTH_OF_YEAR))
			return true;
		year = parser->value[STRM_YEAR];
		week = parser->value[STRM_WEEK_OF_MONTH];
		if (!strm_timestamp_check(parser, STRM_DAY_OF_WEEK, day_of_week) ||
			!strm_timestamp_check(parser, STRM_YEAR, year) ||
			!strm_timestamp_check(parser, STRM_MONTH_OF_YEAR, month) ||
			!strm_timestamp_check(parser, STRM_WEEK_OF_MONTH, week))
			return false;
		parser->set &= ~(STRM_FIELD_BIT(STRM_WEEK_OF_MONTH) | STRM_FIELD_BIT(STRM_YEAR) |
						 STRM_FIELD_BIT(STRM_MONTH_OF_YEAR) | STRM_FIELD_BIT(STRM_DAY_OF_WEEK));
		return strm_timestamp_found_date(parser, resolved,
										 strm_timestamp_month_week_date(year, (int) month, week,
																		(int) (day_of_week % 7 + 1)));
	}
	if (!strm_timestamp_has(parser, STRM_WEEK_YEAR) || !strm_timestamp_has(parser, STRM_WEEK_OF_WEEK_YEAR))
		return true;
	year = parser->value[STRM_WEEK_YEAR];
	week = parser->value[STRM_WEEK_OF_WEEK_YEAR];
	if (!strm_timestamp_check(parser, STRM_DAY_OF_WEEK, day_of_week) ||
		!strm_timestamp_check(parser, STRM_WEEK_YEAR, year) ||
		!strm_timestamp_check(parser, STRM_WEEK_OF_WEEK_YEAR, week))
		return false;
	parser->set &= ~(STRM_FIELD_BIT(STRM_WEEK_YEAR) | STRM_FIELD_BIT(STRM_WEEK_OF_WEEK_YEAR) |
					 STRM_FIELD_BIT(STRM_DAY_OF_WEEK));
	return strm_timestamp_found_date(parser, resolved,
									 strm_timestamp_week_date(year, week, (int) (day_of_week % 7 + 1)));
}

/* Fields that are not ChronoFields: days of the locale's week, weeks, days of the Julian calendar. */
static bool
strm_timestamp_resolve_others(StrmTimestampParser *parser, StrmTimestampResolved *resolved)
{
	if (strm_timestamp_has(parser, STRM_LOCAL_DAY_OF_WEEK))
	{
		int64		day = strm_timestamp_take(parser, STRM_LOCAL_DAY_OF_WEEK);

		if (!strm_timestamp_check(parser, STRM_LOCAL_DAY_OF_WEEK, day))
			return false;
		parser->set |= STRM_FIELD_BIT(STRM_DAY_OF_WEEK);
		parser->value[STRM_DAY_OF_WEEK] = day == 1 ? 7 : day - 1;
	}
	if (strm_timestamp_has(parser, STRM_MODIFIED_JULIAN_DAY))
	{
		int64		day = strm_timestamp_take(parser, STRM_MODIFIED_JULIAN_DAY);

		if (!strm_timestamp_check(parser, STRM_MODIFIED_JULIAN_DAY, day) ||
			!strm_timestamp_found_date(parser, resolved, day - JULIAN_DAY_OFFSET))
			return false;
	}
	return strm_timestamp_resolve_week(parser, resolved);
}

/* Makes hours of the day of clock hours and halves of the day. */
static bool
strm_timestamp_resolve_hours(StrmTimestampParser *parser)
{
	if (strm_timestamp_has(parser, STRM_CLOCK_HOUR_OF_DAY))
	{
		int64		hour = strm_timestamp_take(parser, STRM_CLOCK_HOUR_OF_DAY);

		if ((hour != 0 && !strm_timestamp_check(parser, STRM_CLOCK_HOUR_OF_DAY, hour)) ||
			!strm_timestamp_derive(parser, STRM_HOUR_OF_DAY, hour == 24 ? 0 : hour, "ClockHourOfDay"))
			return false;
	}
	if (strm_timestamp_has(parser, STRM_CLOCK_HOUR_OF_AMPM))
	{
		int64		hour = strm_timestamp_take(parser, STRM_CLOCK_HOUR_OF_AMPM);

		if ((hour != 0 && !strm_timestamp_check(parser, STRM_CLOCK_HOUR_OF_AMPM, hour)) ||
			!strm_timestamp_derive(parser, STRM_HOUR_OF_AMPM, hour == 12 ? 0 : hour, "ClockHourOfAmPm"))
			return false;
	}
	if (strm_timestamp_has(parser, STRM_AMPM_OF_DAY) && strm_timestamp_has(parser, STRM_HOUR_OF_AMPM))
	{
		int64		half = strm_timestamp_take(parser, STRM_AMPM_OF_DAY);
		int64		hour = strm_timestamp_take(parser, STRM_HOUR_OF_AMPM);

		return strm_timestamp_check(parser, STRM_HOUR_OF_AMPM, hour) &&
			strm_timestamp_derive(parser, STRM_HOUR_OF_DAY, half * 12 + hour, "AmPmOfDay");
	}
	return true;
}

/* Makes hours, minutes and seconds of a number of seconds of the day. */
static bool
strm_timestamp_resolve_seconds(StrmTimestampParser *parser, int64 seconds, const char *from)
{
	return strm_timestamp_derive(parser, STRM_HOUR_OF_DAY, seconds / SECS_PER_HOUR, from) &&
		strm_timestamp_derive(parser, STRM_MINUTE_OF_HOUR, seconds / SECS_PER_MINUTE % MINS_PER_HOUR, from) &&
		strm_timestamp_derive(parser, STRM_SECOND_OF_MINUTE, seconds % SECS_PER_MINUTE, from);
}

/* Makes hours, minutes, seconds and nanoseconds of all other fields of the time of day. */
static bool
strm_timestamp_resolve_time_fields(StrmTimestampParser *parser)
{
	int64		milli = -1;

	if (!strm_timestamp_resolve_hours(parser))
		return false;
	if (strm_timestamp_has(parser, STRM_NANO_OF_DAY))
	{
		int64		nano = strm_timestamp_take(parser, STRM_NANO_OF_DAY);

		if (!strm_timestamp_check(parser, STRM_NANO_OF_DAY, nano) ||
			!strm_timestamp_resolve_seconds(parser, nano / NANOS_PER_SEC, "NanoOfDay") ||
			!strm_timestamp_derive(parser, STRM_NANO_OF_SECOND, nano % NANOS_PER_SEC, "NanoOfDay"))
			return false;
	}
	if (strm_timestamp_has(parser, STRM_MILLI_OF_DAY))
	{
		int64		millis = strm_timestamp_take(parser, STRM_MILLI_OF_DAY);

		if (!strm_timestamp_check(parser, STRM_MILLI_OF_DAY, millis) ||
			!strm_timestamp_resolve_seconds(parser, millis / 1000, "SecondOfDay"))
			return false;
		milli = millis % 1000;
	}
	if (strm_timestamp_has(parser, STRM_NANO_OF_SECOND))
	{
		int64		nano = parser->value[STRM_NANO_OF_SECOND];

		return strm_timestamp_check(parser, STRM_NANO_OF_SECOND, nano) &&
			(milli < 0 || strm_timestamp_derive(parser, STRM_NANO_OF_SECOND, milli * 1000000 + nano % 1000000,
												"MilliOfSecond"));
	}
	return milli < 0 || strm_timestamp_derive(parser, STRM_NANO_OF_SECOND, milli * 1000000, "MilliOfSecond");
}

/* The value of a field that may be missing, which it then has no more. */
static int64
strm_timestamp_take_or_zero(StrmTimestampParser *parser, StrmTimestampField field)
{
	return strm_timestamp_has(parser, field) ? strm_timestamp_take(parser, field) : 0;
}

/*
 * A time of hours and what is there of minutes, seconds, nanoseconds, without holes. 24:00:00 is the end of the day:
 * then *next_day.
 */
static bool
strm_timestamp_resolve_time(StrmTimestampParser *parser, StrmTimestampResolved *resolved, bool *next_day)
{
	bool		has_minute = strm_timestamp_has(parser, STRM_MINUTE_OF_HOUR);
	bool		has_second = strm_timestamp_has(parser, STRM_SECOND_OF_MINUTE);
	bool		has_nano = strm_timestamp_has(parser, STRM_NANO_OF_SECOND);
	int64		hour;
	int64		minute;
	int64		second;
	int64		nano;

	if (!strm_timestamp_has(parser, STRM_HOUR_OF_DAY))
	{
		if (!has_minute && !has_second && !has_nano && strm_timestamp_has(parser, STRM_AMPM_OF_DAY))
		{
			/* the middle of that half */
			resolved->has_time = true;
			resolved->nanos = (strm_timestamp_take(parser, STRM_AMPM_OF_DAY) * 12 + 6) * SECS_PER_HOUR * NANOS_PER_SEC;
		}
		return true;
	}
	if ((!has_minute && (has_second || has_nano)) || (has_minute && !has_second && has_nano))
	{
		/* the JDK has no more to say about them */
		parser->set &= ~STRM_TIME_FIELDS;
		return true;
	}

	hour = strm_timestamp_take(parser, STRM_HOUR_OF_DAY);
	minute = strm_timestamp_take_or_zero(parser, STRM_MINUTE_OF_HOUR);
	second = strm_timestamp_take_or_zero(parser, STRM_SECOND_OF_MINUTE);
	nano = strm_timestamp_take_or_zero(parser, STRM_NANO_OF_SECOND);
	if (!strm_timestamp_check(parser, STRM_MINUTE_OF_HOUR, minute) ||
		!strm_timestamp_check(parser, STRM_NANO_OF_SECOND, nano))
		return false;
	*next_day = hour == 24 && minute == 0 && second == 0 && nano == 0;
	if (*next_day)
		hour = 0;
	if (!strm_timestamp_check(parser, STRM_HOUR_OF_DAY, hour) ||
		!strm_timestamp_check(parser, STRM_SECOND_OF_MINUTE, second))
		return false;
	resolved->has_time = true;
	resolved->nanos = ((hour * MINS_PER_HOUR + minute) * SECS_PER_MINUTE + second) * NANOS_PER_SEC + nano;
	return true;
}

/* Refuses values left of fields of the time of day that they cannot have. */
static bool
strm_timestamp_check_left(StrmTimestampParser *parser)
{
	for (StrmTimestampField field = 0; field < STRM_DAY_OF_WEEK; field++)
	{
		if (strm_timestamp_has(parser, field) && !strm_timestamp_check(parser, field, parser->value[field]))
			return false;
	}
	return true;
}

/* The value of the time of day in a field. */
static int64
strm_timestamp_time_field(int64 nanos, StrmTimestampField field)
{
	int64		seconds = nanos / NANOS_PER_SEC;

	switch (field)
	{
		case STRM_NANO_OF_SECOND:
			return nanos % NANOS_PER_SEC;
		case STRM_SECOND_OF_MINUTE:
			return seconds % SECS_PER_MINUTE;
		case STRM_MINUTE_OF_HOUR:
			return seconds / SECS_PER_MINUTE % MINS_PER_HOUR;
		case STRM_HOUR_OF_AMPM:
			return seconds / SECS_PER_HOUR % 12;
		case STRM_AMPM_OF_DAY:
			return seconds / (12 * SECS_PER_HOUR);
		default:
			return seconds / SECS_PER_HOUR;
	}
}

/* Refuses fields left that say something else than date and time. */
static bool
strm_timestamp_cross_check(StrmTimestampParser *parser, const StrmTimestampResolved *resolved)
{
	for (StrmTimestampField field = 0; field < STRM_OFFSET_SECONDS; field++)
	{
		bool		of_time = field < STRM_DAY_OF_WEEK;
		char		text[64];
		int64		value;

		if (!strm_timestamp_has(parser, field) || !(of_time ? resolved->has_time : resolved->has_date))
			continue;
		value = of_time ? strm_timestamp_time_field(resolved->nanos, field) :
			strm_timestamp_date_field(resolved->day, field);
		if (value == strm_timestamp_take(parser, field))
			continue;
		if (of_time)
			strm_timestamp_time_text(resolved->nanos, text, sizeof(text));
		else
			strm_timestamp_date_text(resolved->day, text, sizeof(text));
		return strm_timestamp_refuse(parser, ": Conflict found: Field %s %lld differs from %s %lld derived from %s",
									 strm_fields[field].name, (long long) value, strm_fields[field].name,
									 (long long) parser->value[field], text);
	}
	return true;
}

/* Resolves all fields; false, with a message, when they contradict each other or cannot be. */
bool
strm_timestamp_resolve(StrmTimestampParser *parser, StrmTimestampResolved *resolved)
{
	bool		next_day = false;

	memset(resolved, 0, sizeof(*resolved));
	if (!strm_timestamp_resolve_date(parser, resolved) ||
		!strm_timestamp_resolve_time_fields(parser) ||
		!strm_timestamp_resolve_others(parser, resolved) ||
		!strm_timestamp_resolve_time(parser, resolved, &next_day) ||
		!strm_timestamp_check_left(parser) ||
		((parser->set & ~STRM_FIELD_BIT(STRM_OFFSET_SECONDS)) != 0 && !strm_timestamp_cross_check(parser, resolved)))
		return false;
	if (resolved->has_date && next_day)
		resolved->day++;
	return true;
}
