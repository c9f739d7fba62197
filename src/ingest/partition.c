/*
 * partition.c
 *	  Range partitions of a stream's table on strm_timestamp.
 *
 *	  Windows are counted in UTC from Monday 2001-01-01 00:00, so that weeks begin on Mondays, and months and years with
 *	  their first day. What a partition is made of that attaching does not copy (REPLICA IDENTITY) is set here. A
 *	  default partition takes the rows of windows that have none, so no INSERT fails when nobody makes partitions for a
 *	  while.
 *
 *	  Bounds of a partition name times only; never partition by a personal field: "no partition found" prints the key.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "ingest/partition.h"
#include "ingest/stream.h"
#include "strm_privacy.h"

#define STRM_PARTITION_ORIGIN_YEAR 2001
#define STRM_PARTITION_ORIGIN (INT64CONST(366) * USECS_PER_DAY)	/* 2001-01-01 UTC */
#define STRM_PARTITION_MAX_YEARS 100
#define STRM_PARTITION_MAX_DAYS (STRM_PARTITION_MAX_YEARS * 366)

typedef struct StrmWindow
{
	TimestampTz start;
	TimestampTz end;			/* exclusive */
} StrmWindow;

/* The width of a window that has no months. */
static int64
strm_partition_span(const Interval *width)
{
	return width->day * USECS_PER_DAY + width->time;
}

void
strm_partition_check_width(const Interval *width, StrmFaults *faults)
{
	if (width->month > 0 && width->month <= STRM_PARTITION_MAX_YEARS * MONTHS_PER_YEAR && width->day == 0 &&
		width->time == 0)
		return;
	/* the limits on each part come first: the sum could overflow */
	if (width->month != 0 || width->day < 0 || width->day > STRM_PARTITION_MAX_DAYS || width->time < 0 ||
		width->time > STRM_PARTITION_MAX_DAYS * USECS_PER_DAY || strm_partition_span(width) < USECS_PER_HOUR ||
		strm_partition_span(width) > STRM_PARTITION_MAX_DAYS * USECS_PER_DAY ||
		strm_partition_span(width) % USECS_PER_MINUTE != 0)
		strm_faults_add(faults,
						"partition_by must be between 1 hour and %d years: whole months, or days, hours and minutes.",
						STRM_PARTITION_MAX_YEARS);
}

static int64
strm_partition_floor_divide(int64 a, int64 b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

/* First moment of a month, counted from the origin's. */
static TimestampTz
strm_partition_month(int64 month)
{
	int			year = STRM_PARTITION_ORIGIN_YEAR + (int) strm_partition_floor_divide(month, MONTHS_PER_YEAR);
	int			of_year = (int) (month - strm_partition_floor_divide(month, MONTHS_PER_YEAR) * MONTHS_PER_YEAR);

	return (TimestampTz) (date2j(year, of_year + 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
}

/* The month, counted from the origin's, in which a moment is. */
static int64
strm_partition_month_of(TimestampTz moment)
{
	int			year,
				month,
				day;

	j2date((int) strm_partition_floor_divide(moment, USECS_PER_DAY) + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return (int64) (year - STRM_PARTITION_ORIGIN_YEAR) * MONTHS_PER_YEAR + month - 1;
}

/* The window that is n after the one of moment. */
static StrmWindow
strm_partition_window(const Interval *width, TimestampTz moment, int n)
{
	StrmWindow	window;
	int64		index;

	if (width->month > 0)
	{
		index = strm_partition_floor_divide(strm_partition_month_of(moment), width->month) + n;
		window.start = strm_partition_month(index * width->month);
		window.end = strm_partition_month((index + 1) * width->month);
	}
	else
	{
		index = strm_partition_floor_divide(moment - STRM_PARTITION_ORIGIN, strm_partition_span(width)) + n;
		window.start = STRM_PARTITION_ORIGIN + index * strm_partition_span(width);
		window.end = window.start + strm_partition_span(width);
	}
	return window;
}

/* Compares a bound of a range partition with a moment, as strcmp does. */
static int
strm_partition_compare_bound(PartitionBoundInfo bounds, int i, TimestampTz moment)
{
	TimestampTz bound;

	if (bounds->kind[i][0] != PARTITION_RANGE_DATUM_VALUE)
		return bounds->kind[i][0] == PARTITION_RANGE_DATUM_MINVALUE ? -1 : 1;
	bound = DatumGetTimestampTz(bounds->datums[i][0]);
	return bound < moment ? -1 : bound > moment;
}

/* Is a partition other than the default one there for any moment of the window? */
static bool
strm_partition_exists(Oid relid, StrmWindow window)
{
	Relation	rel = table_open(relid, ShareUpdateExclusiveLock);
	PartitionBoundInfo bounds = RelationGetPartitionDesc(rel, true)->boundinfo;
	bool		found = false;

	/* between bounds i - 1 and i is the partition indexes[i], if any */
	for (int i = 1; bounds != NULL && i < bounds->ndatums && !found; i++)
		found = bounds->indexes[i] >= 0 && strm_partition_compare_bound(bounds, i - 1, window.end) < 0 &&
			strm_partition_compare_bound(bounds, i, window.start) > 0;
	table_close(rel, NoLock);
	return found;
}

/* The default partition's qualified name, or NULL. */
static char *
strm_partition_default(Oid relid)
{
	Oid			partition = get_default_partition_oid(relid);

	if (!OidIsValid(partition))
		return NULL;
	return strm_catalog_relation_name(partition);
}

/* A moment as ISO 8601 text, which every DateStyle reads alike. */
static char *
strm_partition_moment(TimestampTz moment)
{
	int			year,
				month,
				day;
	int64		days = strm_partition_floor_divide(moment, USECS_PER_DAY);
	int			minutes = (int) ((moment - days * USECS_PER_DAY) / USECS_PER_MINUTE);

	j2date((int) days + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return psprintf("%04d-%02d-%02d %02d:%02d:00+00", year, month, day, minutes / 60, minutes % 60);
}

/* What the name of a window's partition ends with: p202611 for months, p20261122 for days, else p20261122_1400. */
static char *
strm_partition_label(const Interval *width, TimestampTz start)
{
	int			year,
				month,
				day,
				hour,
				minute;

	sscanf(strm_partition_moment(start), "%d-%d-%d %d:%d", &year, &month, &day, &hour, &minute);
	if (width->month > 0)
		return psprintf("p%04d%02d", year, month);
	if (strm_partition_span(width) % USECS_PER_DAY == 0)
		return psprintf("p%04d%02d%02d", year, month, day);
	return psprintf("p%04d%02d%02d_%02d%02d", year, month, day, hour, minute);
}

/*
 * Creates a table that can become a partition, with a name that is free, and returns its qualified name. It has the
 * stream's ciphertext constraints, so what is moved there is checked; it gets the triggers when it is attached.
 */
static char *
strm_partition_create_table(Oid relid, const char *label)
{
	Oid			schema = get_rel_namespace(relid);
	char	   *schema_name = get_namespace_name(schema);
	char	   *name = quote_qualified_identifier(schema_name,
												  ChooseRelationName(get_rel_name(relid), NULL, label, schema, false));
	char	   *stream = quote_qualified_identifier(schema_name, get_rel_name(relid));

	strm_stream_execute(psprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)", name,
								 stream));
	strm_stream_execute(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", name));
	return name;
}

void
strm_partition_create_default(Oid relid)
{
	char	   *stream = strm_catalog_relation_name(relid);
	char	   *name = strm_partition_create_table(relid, "default");

	strm_stream_execute(psprintf("ALTER TABLE %s ATTACH PARTITION %s DEFAULT", stream, name));
}

/*
 * Does an exporter of the stream read existing events, or may it yet? Moved rows look like new ones to it: it
 * would not publish them. It locks the stream's tables before it fixes what it reads; the caller has locked the default
 * partition.
 */
static bool
strm_partition_is_read(Oid relid)
{
	StrmRegistryArgs args = {0};
	Datum		found;
	bool		isnull;

	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(relid), false);
	return strm_registry_fetch("SELECT 1 FROM strm.kafka_exporter e"
							   " JOIN strm.kafka_exporter_state x ON x.exporter_id = e.id"
							   " JOIN strm.stream s ON s.id = e.stream_id"
							   " WHERE s.relation = $1"
							   "  AND (x.start_lsn IS NULL OR split_part(x.backfill, ' ', 2) = '0')"
							   " UNION ALL SELECT 1 FROM strm.batch_exporter e"
							   " JOIN strm.batch_exporter_state x ON x.exporter_id = e.id"
							   " JOIN strm.stream s ON s.id = e.stream_id"
							   " WHERE s.relation = $1 AND NOT e.keys"
							   "  AND (coalesce(x.done_lsn, '0/0') = '0/0' OR x.pending_plan IS NOT NULL) LIMIT 1",
							   STRM_REGISTRY_ARGS(&args), &found, &isnull);
}

/* Has the default partition rows of the window that is given by these quoted moments? */
static bool
strm_partition_has_rows(const char *rest, const char *start, const char *end)
{
	int			result = SPI_execute(psprintf("SELECT FROM %s WHERE " STRM_COLUMN_TIMESTAMP
											  " OPERATOR(pg_catalog.>=) %s::pg_catalog.timestamptz AND "
											  STRM_COLUMN_TIMESTAMP
											  " OPERATOR(pg_catalog.<) %s::pg_catalog.timestamptz", rest, start, end),
									 false, 1);

	return result == SPI_OK_SELECT && SPI_processed > 0;
}

/*
 * Moves the default partition's rows of a window to a table. They came into the stream before: what is written bears
 * the origin that says so, for exporters that read the WAL.
 */
static void
strm_partition_move(const char *stream, const char *start, const char *end, const char *to)
{
	RepOriginId origin = replorigin_session_origin;

	replorigin_session_origin = DoNotReplicateId;
	PG_TRY();
	{
		strm_stream_execute(psprintf("WITH moved AS (DELETE FROM %s WHERE " STRM_COLUMN_TIMESTAMP
									 " OPERATOR(pg_catalog.>=) %s::pg_catalog.timestamptz AND " STRM_COLUMN_TIMESTAMP
									 " OPERATOR(pg_catalog.<) %s::pg_catalog.timestamptz RETURNING *)"
									 " INSERT INTO %s SELECT * FROM moved", stream, start, end, to));
	}
	PG_FINALLY();
	{
		replorigin_session_origin = origin;
	}
	PG_END_TRY();
}

/*
 * Creates one window's partition. Rows that come meanwhile are of the present window: they must not be on their way to
 * the default partition, which would refuse them in the end, so the stream is locked when it is that one. false when
 * it cannot be made for now.
 */
static bool
strm_partition_create_window(Oid relid, const Interval *width, StrmWindow window, bool present)
{
	char	   *stream = strm_catalog_relation_name(relid);
	char	   *start = quote_literal_cstr(strm_partition_moment(window.start));
	char	   *end = quote_literal_cstr(strm_partition_moment(window.end));
	char	   *rest = strm_partition_default(relid);
	char	   *name;
	bool		has_rows;

	if (present)
		strm_stream_execute(psprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", stream));
	/* attaching takes the same lock, but that is after the rows were looked for */
	if (rest != NULL)
		strm_stream_execute(psprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", rest));
	has_rows = rest != NULL && strm_partition_has_rows(rest, start, end);
	if (has_rows && strm_partition_is_read(relid))
	{
		ereport(NOTICE,
				errmsg("partition \"%s\" of stream \"%s\" is left for later",
					   strm_partition_label(width, window.start), get_rel_name(relid)),
				errdetail("The default partition has rows for it, which stay while an exporter reads existing events."));
		return false;
	}
	name = strm_partition_create_table(relid, strm_partition_label(width, window.start));
	if (has_rows)
		strm_partition_move(stream, start, end, name);
	strm_stream_execute(psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)", stream, name, start,
								 end));
	return true;
}

int
strm_partition_create(Oid relid, const Interval *width, int ahead)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	int			created = 0;

	for (int i = 0; i <= ahead; i++)
	{
		StrmWindow	window = strm_partition_window(width, now, i);

		if (!strm_partition_exists(relid, window) && strm_partition_create_window(relid, width, window, i == 0))
			created++;
	}
	return created;
}
