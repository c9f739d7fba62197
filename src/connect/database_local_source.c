/*
 * database_local_source.c
 *	  Tables, views and queries of this database as sources.
 *
 *	  Everything runs through SPI as the current user, so its privileges and row security apply. A source is a cursor
 *	  that cannot write, read in batches; it ends with the transaction. Large texts stay out of line until their row is
 *	  asked for; rows whose values are made when they are fetched come a few at a time.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "common/errors.h"
#include "connect/database_private.h"
#include "connect/database_text.h"

#define STRM_DATABASE_BATCH 1000
#define STRM_DATABASE_BATCH_COMPUTED 16

typedef struct StrmLocalReader
{
	StrmRecordReader reader;
	StrmDatabaseSelect *select;
	StrmRecordValue *values;	/* per wanted column */
	char	   *portal;			/* name of the cursor; NULL when closed */
	int			batch_size;
	MemoryContext batch;		/* what is in rows */
	MemoryContext row;			/* what values point to */
	NullableDatum *rows;		/* texts, select->n a row */
	int			nrows;
	int			next_row;
	bool		ended;
	uint64		number;
} StrmLocalReader;

/* Settings that decide how values are written, for as long as the returned level. */
static int
strm_local_pin_settings(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("extra_float_digits", "1", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("bytea_output", "hex", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("IntervalStyle", "postgres", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("DateStyle", "ISO", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* A plan for a cursor, within SPI. */
static SPIPlanPtr
strm_local_prepare(const char *sql)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, 0, NULL, CURSOR_OPT_NO_SCROLL);

	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not prepare to read a source: %s", SPI_result_code_string(SPI_result)));
	return plan;
}

/* The columns of a source, in cxt; within SPI. */
static StrmDatabaseColumn *
strm_local_columns(MemoryContext cxt, const char *from, int *ncolumns)
{
	SPIPlanPtr	plan = strm_local_prepare(psprintf("SELECT * FROM %s", from));
	TupleDesc	desc = ((CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan)))->resultDesc;
	StrmDatabaseColumn *columns = MemoryContextAllocZero(cxt, Max(desc->natts, 1) * sizeof(StrmDatabaseColumn));

	*ncolumns = desc->natts;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		bool		preferred;

		columns[i].name = MemoryContextStrdup(cxt, NameStr(column->attname));
		columns[i].type = getBaseType(column->atttypid);
		get_type_category_preferred(columns[i].type, &columns[i].category, &preferred);
	}
	return columns;
}

/* Opens a cursor that cannot write and returns its name, in cxt; within SPI. */
static char *
strm_local_open(MemoryContext cxt, const char *sql)
{
	bool		push = !ActiveSnapshotSet();
	Portal		portal;

	if (push)
		PushActiveSnapshot(GetTransactionSnapshot());
	portal = SPI_cursor_open(NULL, strm_local_prepare(sql), NULL, NULL, true);
	if (push)
		PopActiveSnapshot();
	return MemoryContextStrdup(cxt, portal->name);
}

/* Fetches the next batch. Only texts come, and those that a table has out of line stay there. */
static void
strm_local_fetch(StrmLocalReader *self)
{
	MemoryContext cxt = CurrentMemoryContext;
	Portal		portal;
	int			level;

	MemoryContextReset(self->batch);
	SPI_connect();
	portal = SPI_cursor_find(self->portal);
	if (portal == NULL)
		ereport(ERROR, errcode(ERRCODE_INVALID_CURSOR_STATE), errmsg("the source was closed while it was read"));
	level = strm_local_pin_settings();
	PG_TRY();
	{
		SPI_cursor_fetch(portal, true, self->batch_size);
	}
	PG_CATCH();
	{
		strm_database_rethrow(cxt, "the source", 0);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, level);

	self->nrows = (int) SPI_processed;
	self->next_row = 0;
	self->ended = self->nrows < self->batch_size;
	MemoryContextSwitchTo(self->batch);
	self->rows = palloc(Max(self->nrows * self->select->n, 1) * sizeof(NullableDatum));
	for (int i = 0; i < self->nrows * self->select->n; i++)
	{
		NullableDatum *to = &self->rows[i];

		to->value = SPI_getbinval(SPI_tuptable->vals[i / self->select->n], SPI_tuptable->tupdesc,
								  i % self->select->n + 1, &to->isnull);
		if (!to->isnull)
			to->value = datumCopy(to->value, false, -1);
	}
	MemoryContextSwitchTo(cxt);
	SPI_finish();
}

static bool
strm_local_next(StrmRecordReader *reader, StrmRecord *record)
{
	StrmLocalReader *self = (StrmLocalReader *) reader;
	MemoryContext cxt;
	NullableDatum *row;

	if (self->next_row == self->nrows && !self->ended && self->portal != NULL)
		strm_local_fetch(self);
	if (self->next_row == self->nrows)
		return false;

	MemoryContextReset(self->row);
	cxt = MemoryContextSwitchTo(self->row);
	row = &self->rows[self->next_row++ * self->select->n];
	for (int i = 0; i < self->select->n; i++)
	{
		StrmRecordValue *value = &self->values[self->select->wanted[i]];
		text	   *detoasted;

		value->kind = STRM_RECORD_NULL;
		if (row[i].isnull)
			continue;
		detoasted = DatumGetTextPP(row[i].value);
		strm_database_read_value(self->select->forms[i], VARDATA_ANY(detoasted), VARSIZE_ANY_EXHDR(detoasted), value);
		reader->bytes += VARSIZE_ANY_EXHDR(detoasted);
	}
	MemoryContextSwitchTo(cxt);
	record->number = record->line = ++self->number;
	record->fault = NULL;
	record->values = self->values;
	return true;
}

/* The cursor may be gone already, with its transaction. */
static void
strm_local_close(StrmRecordReader *reader)
{
	StrmLocalReader *self = (StrmLocalReader *) reader;
	Portal		portal = self->portal != NULL ? GetPortalByName(self->portal) : NULL;

	if (PortalIsValid(portal))
		SPI_cursor_close(portal);
	self->portal = NULL;
	self->next_row = self->nrows;
	self->ended = true;
}

StrmRecordReader *
strm_database_local_reader(const char *from, bool is_query, const char *const *wanted, int nwanted)
{
	MemoryContext cxt = CurrentMemoryContext;
	StrmLocalReader *self = palloc0(sizeof(StrmLocalReader));
	StrmDatabaseColumn *columns;
	int			ncolumns;

	SPI_connect();
	columns = strm_local_columns(cxt, from, &ncolumns);
	MemoryContextSwitchTo(cxt);
	self->select = strm_database_select(from, columns, ncolumns, wanted, nwanted);
	self->portal = strm_local_open(cxt, self->select->sql);
	SPI_finish();

	/* a missing column is NULL for good */
	self->values = palloc0(Max(nwanted, 1) * sizeof(StrmRecordValue));
	self->batch_size = is_query || self->select->computed ? STRM_DATABASE_BATCH_COMPUTED : STRM_DATABASE_BATCH;
	self->batch = AllocSetContextCreate(cxt, "strm_privacy batch of rows", ALLOCSET_DEFAULT_SIZES);
	self->row = AllocSetContextCreate(cxt, "strm_privacy row", ALLOCSET_DEFAULT_SIZES);
	self->reader.next = strm_local_next;
	self->reader.close = strm_local_close;
	self->reader.missing = self->select->missing;
	self->reader.unknown = self->select->unknown;
	return &self->reader;
}

void
strm_database_local_check_source(const char *from)
{
	char	   *name;

	SPI_connect();
	/* opening it checks the privileges */
	name = strm_local_open(CurrentMemoryContext, psprintf("SELECT * FROM %s", from));
	SPI_cursor_close(SPI_cursor_find(name));
	SPI_finish();
}
