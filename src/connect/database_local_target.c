/*
 * database_local_target.c
 *	  Tables of this database as targets.
 *
 *	  Everything runs through SPI as the current user, so its privileges and row security apply, within the current
 *	  transaction: there is nothing to publish, and nothing to take back.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "catalog/stream.h"
#include "common/errors.h"
#include "connect/database_private.h"
#include "connect/database_text.h"
#include "strm_privacy.h"

typedef struct StrmLocalWriter
{
	StrmDatabaseWriter base;
	char	   *relation;		/* quoted */
	int			ncolumns;
	SPIPlanPtr	plan;			/* the INSERT, kept by SPI */
	MemoryContextCallback callback; /* frees it */
	StrmDatabaseInput *inputs;	/* per column */
	Datum	   *values;
	char	   *nulls;
	MemoryContext row;
	StringInfoData buffer;
	uint64		number;
} StrmLocalWriter;

/* The table of that name, or InvalidOid. Raises when it is of a kind that is not written to. */
static Oid
strm_local_target(const char *relation, RangeVar **range)
{
	Oid			relid;
	char		relkind;

	*range = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(relation)));
	relid = RangeVarGetRelid(*range, NoLock, true);
	if (!OidIsValid(relid))
		return InvalidOid;
	relkind = get_rel_relkind(relid);
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE && relkind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a table", relation));
	if (strm_catalog_stream_of(relid) != NULL)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is a stream", relation),
				errhint("Name it as {\"stream\": ...} to have the records encrypted into it."));
	if (get_rel_namespace(relid) == get_namespace_oid(STRM_SCHEMA_NAME, true))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("permission denied for table %s", relation),
				errdetail("It belongs to extension \"%s\".", STRM_EXTENSION_NAME));
	return relid;
}

/* Raises unless the current user may read (to see whether it is empty) and insert into the table. */
static void
strm_local_check_rights(Oid relid)
{
	static const AclMode modes[] = {ACL_SELECT, ACL_INSERT};

	for (int i = 0; i < lengthof(modes); i++)
	{
		if (pg_class_aclcheck(relid, GetUserId(), modes[i]) != ACLCHECK_OK &&
			pg_attribute_aclcheck_all(relid, GetUserId(), modes[i], ACLMASK_ANY) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
	}
}

void
strm_database_local_check_target(const char *relation)
{
	RangeVar   *range;
	Oid			relid = strm_local_target(relation, &range);
	Oid			schema;

	if (OidIsValid(relid))
	{
		strm_local_check_rights(relid);
		return;
	}
	schema = RangeVarGetCreationNamespace(range);
	if (strm_schema_aclcheck(schema, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(schema));
}

/* Runs a statement as the current user and returns the number of rows; within SPI. */
static uint64
strm_local_execute(const char *sql, long limit)
{
	int			result = SPI_execute(sql, false, limit);

	if (result < 0)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("a statement on a target failed: %s", SPI_result_code_string(result)));
	return SPI_processed;
}

/* Makes the table, all text. */
static void
strm_local_create(const char *quoted, const StrmRecordColumn *columns, int ncolumns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", quoted);
	for (int i = 0; i < ncolumns; i++)
	{
		appendStringInfoString(&sql, i > 0 ? ", " : "");
		strm_database_append_name(&sql, columns[i].name);
		appendStringInfoString(&sql, " pg_catalog.text");
	}
	appendStringInfoChar(&sql, ')');
	(void) strm_local_execute(sql.data, 0);
}

/*
 * The INSERT of one record: each parameter is a text, cast to its column's type as its input function does; lengths are
 * checked as with any assignment. Sets self->inputs.
 */
static char *
strm_local_insert(StrmLocalWriter *self, Oid relid, const StrmRecordColumn *columns)
{
	StringInfoData names;
	StringInfoData values;
	StrmFaults	faults;

	strm_faults_init(&faults);
	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < self->ncolumns; i++)
	{
		AttrNumber	number = get_attnum(relid, columns[i].name);
		Oid			type = number > 0 ? get_atttype(relid, number) : InvalidOid;
		char		category;
		bool		preferred;

		if (!OidIsValid(type))
		{
			strm_faults_add(&faults, "it has no column \"%s\"", columns[i].name);
			continue;
		}
		get_type_category_preferred(getBaseType(type), &category, &preferred);
		self->inputs[i] = strm_database_input(getBaseType(type), category);
		appendStringInfoString(&names, names.len > 0 ? ", " : "");
		strm_database_append_name(&names, columns[i].name);
		appendStringInfo(&values, "%sCAST($%d AS %s)", values.len > 0 ? ", " : "", i + 1,
						 format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	}
	strm_database_raise_missing(self->relation, &faults);
	return psprintf("INSERT INTO %s (%s) VALUES (%s)", self->relation, names.data, values.data);
}

static void
strm_local_write(StrmRecordWriter *writer, const StrmRecordValue *values)
{
	StrmLocalWriter *self = (StrmLocalWriter *) writer;
	MemoryContext cxt;

	MemoryContextReset(self->row);
	cxt = MemoryContextSwitchTo(self->row);
	self->number++;
	PG_TRY();
	{
		for (int i = 0; i < self->ncolumns; i++)
		{
			const char *text;
			Size		size;

			self->nulls[i] = values[i].kind == STRM_RECORD_NULL ? 'n' : ' ';
			if (values[i].kind == STRM_RECORD_NULL)
				continue;
			strm_database_write_value(self->inputs[i], &values[i], &self->buffer, &text, &size);
			self->values[i] = PointerGetDatum(cstring_to_text_with_len(text, size));
			writer->bytes += size;
		}
		SPI_connect();
		(void) SPI_execute_plan(self->plan, self->values, self->nulls, false, 0);
		SPI_finish();
	}
	PG_CATCH();
	{
		strm_database_rethrow(cxt, psprintf("table %s", self->relation), self->number);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
}

static void
strm_local_flush(StrmRecordWriter *writer)
{
}

/* Everything is in this transaction already. */
static void
strm_local_nothing(StrmDatabaseWriter *writer)
{
}

static void
strm_local_reset_writer(void *arg)
{
	StrmLocalWriter *self = arg;

	if (self->plan != NULL)
		(void) SPI_freeplan(self->plan);
	self->plan = NULL;
}

/* Makes or empties the table, and plans the INSERT. */
static void
strm_local_prepare_target(StrmLocalWriter *self, const char *relation, bool overwrite, const StrmRecordColumn *columns)
{
	Oid		   *types = palloc(Max(self->ncolumns, 1) * sizeof(Oid));
	RangeVar   *range;
	Oid			relid = strm_local_target(relation, &range);
	char	   *sql;

	SPI_connect();
	if (!OidIsValid(relid))
	{
		strm_local_create(self->relation, columns, self->ncolumns);
		relid = RangeVarGetRelid(range, NoLock, false);
	}
	else if (overwrite)
		(void) strm_local_execute(psprintf("DELETE FROM %s", self->relation), 0);
	else if (strm_local_execute(psprintf("SELECT FROM %s LIMIT 1", self->relation), 1) > 0)
		strm_database_not_empty(self->relation);
	for (int i = 0; i < self->ncolumns; i++)
		types[i] = TEXTOID;
	sql = strm_local_insert(self, relid, columns);
	self->plan = SPI_prepare(sql, self->ncolumns, types);
	if (self->plan == NULL || SPI_keepplan(self->plan) != 0)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not prepare to write to table %s", self->relation));
	SPI_finish();
}

StrmDatabaseWriter *
strm_database_local_writer(const char *relation, bool overwrite, const StrmRecordColumn *columns, int ncolumns)
{
	StrmLocalWriter *self = palloc0(sizeof(StrmLocalWriter));

	self->base.writer.write = strm_local_write;
	self->base.writer.flush = strm_local_flush;
	self->base.finish = strm_local_nothing;
	self->base.publish = strm_local_nothing;
	self->base.discard = strm_local_nothing;
	self->base.local = true;
	self->relation = strm_database_quote_relation(relation);
	self->ncolumns = ncolumns;
	self->inputs = palloc0(Max(ncolumns, 1) * sizeof(StrmDatabaseInput));
	self->values = palloc0(Max(ncolumns, 1) * sizeof(Datum));
	self->nulls = palloc0(Max(ncolumns, 1));
	self->row = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy row", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&self->buffer);
	self->callback.func = strm_local_reset_writer;
	self->callback.arg = self;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &self->callback);
	strm_local_prepare_target(self, relation, overwrite, columns);
	return &self->base;
}
