/*
 * timestamp_date.c
 *	  Dates of the proleptic Gregorian calendar, and weeks as the JDK's locale ENGLISH has them: they start on Sunday,
 *	  and the week of 1 January is the first one of the year.
 */
#include "postgres.h"

#include "format/timestamp_private.h"

#define DAYS_PER_ERA 146097		/* 400 years */

/* Division that rounds down, and its remainder. */
static int64
strm_timestamp_floor_div(int64 a, int64 b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

static int64
strm_timestamp_floor_mod(int64 a, int64 b)
{
	int64		r = a % b;

	return r < 0 ? r + b : r;
}

/* Has the year a 29 February? */
bool
strm_timestamp_is_leap(int64 year)
{
	return (year & 3) == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days of a month, 1 to 12. */
int
strm_timestamp_month_length(int64 year, int month)
{
	if (month == 2)
		return strm_timestamp_is_leap(year) ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* The day of a date. Years that start in March make the leap day the last one. */
int64
strm_timestamp_day(int64 year, int month, int day)
{
	int64		y = month <= 2 ? year - 1 : year;
	int64		era = strm_timestamp_floor_div(y, 400);
	int64		year_of_era = y - era * 400;
	int64		day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* The date of a day. */
StrmTimestampDate
strm_timestamp_date(int64 day)
{
	int64		z = day + 719468;
	int64		era = strm_timestamp_floor_div(z, DAYS_PER_ERA);
	int64		day_of_era = z - era * DAYS_PER_ERA;
	int64		year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64		day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64		month = (5 * day_of_year + 2) / 153;
	StrmTimestampDate date;

	date.day = (int) (day_of_year - (153 * month + 2) / 5 + 1);
	date.month = (int) (month < 10 ? month + 3 : month - 9);
	date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
	return date;
}

/* 1 is Monday, 7 is Sunday. */
static int
strm_timestamp_day_of_week(int64 day)
{
	return (int) strm_timestamp_floor_mod(day + 3, 7) + 1;
}

/* 1 is Sunday, 7 is Saturday. */
static int
strm_timestamp_local_day_of_week(int64 day)
{
	return strm_timestamp_day_of_week(day) % 7 + 1;
}

/* The number, within a month or year, of the week of its day-th day (from 1), which is that day of the week. */
static int64
strm_timestamp_week(int64 day, int local_day_of_week)
{
	int64		week_start = strm_timestamp_floor_mod(day - local_day_of_week, 7);
	int64		offset = week_start > 0 ? 7 - week_start : 0;

	return (7 + offset + day - 1) / 7;
}

/* Year and week of the year of a day: the last days of December may be in the first week of the next year. */
static void
strm_timestamp_week_of_year(int64 day, int64 *week_year, int64 *week)
{
	int64		year = strm_timestamp_date(day).year;
	int64		next_year = strm_timestamp_day(year + 1, 1, 1);
	int64		next_first_week = next_year - (strm_timestamp_local_day_of_week(next_year) - 1);

	if (day >= next_first_week)
	{
		*week_year = year + 1;
		*week = 1;
		return;
	}
	*week_year = year;
	*week = strm_timestamp_week(day - strm_timestamp_day(year, 1, 1) + 1, strm_timestamp_local_day_of_week(day));
}

/* The value that a date has in a field of dates. */
int64
strm_timestamp_date_field(int64 day, StrmTimestampField field)
{
	StrmTimestampDate date = strm_timestamp_date(day);
	int64		week_year;
	int64		week;

	switch (field)
	{
		case STRM_DAY_OF_WEEK:
			return strm_timestamp_day_of_week(day);
		case STRM_ALIGNED_DAY_OF_WEEK_IN_MONTH:
			return (date.day - 1) % 7 + 1;
		case STRM_DAY_OF_MONTH:
			return date.day;
		case STRM_DAY_OF_YEAR:
			return day - strm_timestamp_day(date.year, 1, 1) + 1;
		case STRM_MONTH_OF_YEAR:
			return date.month;
		case STRM_QUARTER_OF_YEAR:
			return (date.month + 2) / 3;
		case STRM_ERA:
			return date.year >= 1 ? 1 : 0;
		case STRM_WEEK_OF_MONTH:
			return strm_timestamp_week(date.day, strm_timestamp_local_day_of_week(day));
		case STRM_WEEK_OF_WEEK_YEAR:
			strm_timestamp_week_of_year(day, &week_year, &week);
			return week;
		case STRM_WEEK_YEAR:
			strm_timestamp_week_of_year(day, &week_year, &week);
			return week_year;
		default:
			return date.year;
	}
}

/* The day of a week of a year; week 53 of a year that has only 52 is its last one. */
int64
strm_timestamp_week_date(int64 week_year, int64 week, int local_day_of_week)
{
	int64		first = strm_timestamp_day(week_year, 1, 1);
	int64		next = strm_timestamp_day(week_year + 1, 1, 1);
	int64		first_week = first - (strm_timestamp_local_day_of_week(first) - 1);
	int64		next_week = next - (strm_timestamp_local_day_of_week(next) - 1);
	int64		weeks = (next_week - first_week) / 7;

	return first_week + (Min(week, weeks) - 1) * 7 + local_day_of_week - 1;
}

/* The day of a week of a month. */
int64
strm_timestamp_month_week_date(int64 year, int month, int64 week, int local_day_of_week)
{
	int64		first = strm_timestamp_day(year, month, 1);

	return first - (strm_timestamp_local_day_of_week(first) - 1) + (week - 1) * 7 + local_day_of_week - 1;
}
