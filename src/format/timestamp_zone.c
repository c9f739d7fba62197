/*
 * timestamp_zone.c
 *	  Zones: the regions of the server's own time zone database, and fixed offsets.
 *
 *	  Names are compared as they are written. What the server would read as a POSIX rule ("FOO+5", of which the sign
 *	  means the opposite of what it seems to) is no zone here.
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "format/timestamp_private.h"

#define ZONE_MAX_OFFSET (18 * SECS_PER_HOUR)

/*
 * Abbreviations that z reads, and the regions whose clocks they mean, as in the JDK: a local time is that of the
 * region, whichever of standard and daylight time the abbreviation says. Those that mean several regions of the world,
 * such as IST, are left out.
 */
static const struct
{
	const char *abbreviation;
	const char *region;
}			strm_zone_abbreviations[] = {
	{"ADT", "America/Halifax"},
	{"AEDT", "Australia/Sydney"},
	{"AEST", "Australia/Sydney"},
	{"AKDT", "America/Juneau"},
	{"AKST", "America/Juneau"},
	{"ART", "America/Argentina/Buenos_Aires"},
	{"AST", "America/Halifax"},
	{"AWST", "Australia/Perth"},
	{"BRST", "America/Sao_Paulo"},
	{"BRT", "America/Sao_Paulo"},
	{"CAT", "Africa/Maputo"},
	{"CDT", "America/Chicago"},
	{"CEST", "Europe/Paris"},
	{"CET", "Europe/Paris"},
	{"COT", "America/Bogota"},
	{"CST", "America/Chicago"},
	{"EAT", "Africa/Nairobi"},
	{"EDT", "America/New_York"},
	{"EEST", "Europe/Bucharest"},
	{"EET", "Europe/Bucharest"},
	{"EST", "America/New_York"},
	{"HKT", "Asia/Hong_Kong"},
	{"HST", "Pacific/Honolulu"},
	{"JST", "Asia/Tokyo"},
	{"KST", "Asia/Seoul"},
	{"LHDT", "Australia/Lord_Howe"},
	{"LHST", "Australia/Lord_Howe"},
	{"MDT", "America/Denver"},
	{"MEST", "Europe/Paris"},
	{"MET", "Europe/Paris"},
	{"MSK", "Europe/Moscow"},
	{"MST", "America/Denver"},
	{"NDT", "America/St_Johns"},
	{"NPT", "Asia/Kathmandu"},
	{"NST", "America/St_Johns"},
	{"NZDT", "Pacific/Auckland"},
	{"NZST", "Pacific/Auckland"},
	{"PDT", "America/Los_Angeles"},
	{"PET", "America/Lima"},
	{"PKT", "Asia/Karachi"},
	{"PST", "America/Los_Angeles"},
	{"SAST", "Africa/Johannesburg"},
	{"SGT", "Asia/Singapore"},
	{"TRT", "Europe/Istanbul"},
	{"WAT", "Africa/Lagos"},
	{"WEST", "Atlantic/Canary"},
	{"WET", "Atlantic/Canary"},
};

/* Abbreviations that the server has as regions, too, and the JDK has not; and names that only look like POSIX rules. */
static const char *const strm_zone_no_regions[] = {"EST", "HST", "MST", "ROC", NULL};
static const char *const strm_zone_with_digits[] = {"CST6CDT", "EST5EDT", "GMT0", "MST7MDT", "PST8PDT", NULL};

/* Is name one of a list? */
static bool
strm_timestamp_listed(const char *const *list, const char *name)
{
	for (; *list != NULL; list++)
	{
		if (strcmp(*list, name) == 0)
			return true;
	}
	return false;
}

/* A zone that is always the same number of seconds east of Greenwich. */
void
strm_timestamp_fixed_zone(StrmTimestampZone *zone, int64 offset)
{
	memset(zone, 0, sizeof(*zone));
	zone->offset = offset;
	zone->local_from = PG_INT64_MIN;
	zone->local_to = PG_INT64_MAX;
}

/* The server's region of exactly that name. */
static bool
strm_timestamp_region(const char *name, StrmTimestampZone *zone)
{
	bool		lower = false;

	/* which leaves out "posix/...", "right/...", "localtime" */
	if (name[0] < 'A' || name[0] > 'Z' || strlen(name) >= STRM_TIMESTAMP_ZONE_NAME)
		return false;
	for (const char *c = name; *c != '\0'; c++)
		lower |= *c >= 'a' && *c <= 'z';
	if (strm_timestamp_listed(strm_zone_no_regions, name) ||
		(!lower && strpbrk(name, "0123456789") != NULL && !strm_timestamp_listed(strm_zone_with_digits, name)))
		return false;

	memset(zone, 0, sizeof(*zone));
	zone->region = pg_tzset(name);
	/* The server's look-up ignores case; of a POSIX rule it keeps the name in upper case. */
	return zone->region != NULL && strcmp(pg_get_timezone_name(zone->region), name) == 0 &&
		pg_tz_acceptable(zone->region);
}

/* Reads one or two digits. false when there are none, or fewer than wanted. */
static bool
strm_timestamp_two_digits(const char **p, bool both, int *value)
{
	const char *c = *p;

	if (*c < '0' || *c > '9')
		return false;
	*value = *c++ - '0';
	if (*c >= '0' && *c <= '9')
		*value = *value * 10 + (*c++ - '0');
	else if (both)
		return false;
	*p = c;
	return true;
}

/* An offset as the JDK's ZoneOffset.of() reads it: +h, +hh, +hh:mm, +hhmm, +hh:mm:ss, +hhmmss. */
static bool
strm_timestamp_offset_name(const char *name, int64 *offset)
{
	const char *p = name + 1;
	bool		colon;
	int			part[3] = {0, 0, 0};

	if ((*name != '+' && *name != '-') || !strm_timestamp_two_digits(&p, strlen(name) > 2, &part[0]))
		return false;
	colon = *p == ':';
	for (int i = 1; i < 3 && *p != '\0'; i++)
	{
		if (colon && *p++ != ':')
			return false;
		if (!strm_timestamp_two_digits(&p, true, &part[i]) || part[i] > 59)
			return false;
	}
	*offset = part[0] * SECS_PER_HOUR + part[1] * SECS_PER_MINUTE + part[2];
	if (*name == '-')
		*offset = -*offset;
	return *p == '\0' && *offset >= -ZONE_MAX_OFFSET && *offset <= ZONE_MAX_OFFSET;
}

/* A zone by its name as the JDK's ZoneId.of() reads it: "Z", an offset, one after UTC, GMT or UT, a region. */
bool
strm_timestamp_zone(const char *name, StrmTimestampZone *zone)
{
	static const char *const prefixes[] = {"UTC", "GMT", "UT", ""};
	int64		offset = 0;

	if (strcmp(name, "Z") == 0)
	{
		strm_timestamp_fixed_zone(zone, 0);
		return true;
	}
	for (int i = 0; i < lengthof(prefixes); i++)
	{
		size_t		length = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], length) != 0)
			continue;
		if ((length > 0 && name[length] == '\0') || strm_timestamp_offset_name(name + length, &offset))
		{
			strm_timestamp_fixed_zone(zone, offset);
			return true;
		}
	}
	return strm_timestamp_region(name, zone);
}

/* The zone that an abbreviation or name of exactly that spelling means. */
static bool
strm_timestamp_look_up(const char *name, bool abbreviations, StrmTimestampZone *zone)
{
	if (abbreviations)
	{
		for (int i = 0; i < lengthof(strm_zone_abbreviations); i++)
		{
			if (strcmp(strm_zone_abbreviations[i].abbreviation, name) == 0)
				return strm_timestamp_region(strm_zone_abbreviations[i].region, zone);
		}
	}
	return strm_timestamp_region(name, zone);
}

/* The memory's entry of a name, looked up if it is not there yet. */
static StrmTimestampNamedZone *
strm_timestamp_remember(StrmTimestampMemory *memory, const char *name, bool abbreviations)
{
	StrmTimestampNamedZone *entry;

	for (int i = 0; i < STRM_TIMESTAMP_ZONES; i++)
	{
		if (memory->zones[i].abbreviations == abbreviations && strcmp(memory->zones[i].name, name) == 0)
			return &memory->zones[i];
	}
	entry = &memory->zones[memory->next];
	memory->next = (memory->next + 1) % STRM_TIMESTAMP_ZONES;
	strlcpy(entry->name, name, sizeof(entry->name));
	entry->abbreviations = abbreviations;
	entry->exists = strm_timestamp_look_up(name, abbreviations, &entry->zone);
	return entry;
}

/* Can the character be part of a region's name? */
static bool
strm_timestamp_name_character(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		c == '/' || c == '_' || c == '+' || c == '-';
}

/*
 * The longest name of a region, or abbreviation, that text starts with, and its length. A name may end before other
 * letters of the text, but not in the middle of a word.
 */
StrmTimestampZone *
strm_timestamp_named_zone(StrmTimestampMemory *memory, const char *text, int size, bool abbreviations, int *length)
{
	char		name[STRM_TIMESTAMP_ZONE_NAME];
	int			n = 0;

	while (n < size && n < STRM_TIMESTAMP_ZONE_NAME - 1 && strm_timestamp_name_character(text[n]))
		n++;
	for (; n > 0; n--)
	{
		StrmTimestampNamedZone *entry;

		if (n < size && text[n] >= 'a' && text[n] <= 'z')
			continue;
		memcpy(name, text, n);
		name[n] = '\0';
		entry = strm_timestamp_remember(memory, name, abbreviations);
		if (entry->exists)
		{
			*length = n;
			return &entry->zone;
		}
	}
	return NULL;
}

/*
 * Looks up the piece of a region that holds a local time. In a gap there is none: then false, offset is the one before
 * the gap, and *gap the instant of it.
 */
static bool
strm_timestamp_look_up_piece(StrmTimestampZone *zone, int64 local, int64 *gap)
{
	/* No offset is a day long, so this is before the local time in any of them. */
	pg_time_t	from = local - SECS_PER_DAY;

	for (;;)
	{
		pg_time_t	boundary;
		long int	before;
		long int	after;
		int			is_dst[2];
		int			next = pg_next_dst_boundary(&from, &before, &is_dst[0], &boundary, &after, &is_dst[1],
												zone->region);

		if (next <= 0 || local - before < boundary)
		{
			int64		to = next == 0 ? PG_INT64_MAX : next < 0 ? local + 1 : boundary + before;

			if (to != zone->local_to || before != zone->offset || local < zone->local_from)
				zone->local_from = local;
			zone->local_to = to;
			zone->offset = before;
			return true;
		}
		if (local - after < boundary)
		{
			zone->local_from = zone->local_to = 0;
			zone->offset = before;
			*gap = boundary;
			return false;
		}
		from = boundary;
	}
}

/* Seconds since 1970 of a local time; see the header for times that clocks skip or show twice. */
int64
strm_timestamp_zone_instant(StrmTimestampZone *zone, int64 local, bool start_of_day)
{
	int64		gap;

	if (local >= zone->local_from && local < zone->local_to)
		return local - zone->offset;
	if (!strm_timestamp_look_up_piece(zone, local, &gap) && start_of_day)
		return gap;
	return local - zone->offset;
}
