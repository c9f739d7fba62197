/*
 * database_remote.c
 *	  Tables, views and queries of another database as sources, tables as targets.
 *
 *	  A source is one query in a read-only transaction with one snapshot, its rows taken one by one as they come. A
 *	  target is written by COPY, in one transaction that publish commits. Errors of the other database do not bring its
 *	  DETAIL and CONTEXT along: these quote rows.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "connect/database_connection.h"
#include "connect/database_private.h"
#include "connect/database_text.h"
#include "strm_privacy.h"

#define STRM_REMOTE_BUFFER 65536

typedef struct StrmRemoteReader
{
	StrmRecordReader reader;
	StrmRemote *remote;
	StrmDatabaseSelect *select;
	StrmRecordValue *values;
	PGresult   *result;			/* the current row, which values point to */
	MemoryContextCallback callback; /* clears it */
	MemoryContext row;
	uint64		number;
} StrmRemoteReader;

typedef struct StrmRemoteWriter
{
	StrmDatabaseWriter base;
	StrmRemote *remote;
	char	   *relation;		/* quoted */
	int			ncolumns;
	StrmDatabaseInput *inputs;
	MemoryContext row;
	StringInfoData value;
	StringInfoData buffer;		/* COPY data */
	uint64		number;
} StrmRemoteWriter;

/* --- sources --- */

/* Fills in the categories of the columns' types. */
static void
strm_remote_categories(StrmRemote *remote, StrmDatabaseColumn *columns, int ncolumns)
{
	StringInfoData oids;
	const char *params[1];
	PGresult   *result;

	initStringInfo(&oids);
	appendStringInfoChar(&oids, '{');
	for (int i = 0; i < ncolumns; i++)
		appendStringInfo(&oids, "%s%u", i > 0 ? "," : "", columns[i].type);
	appendStringInfoChar(&oids, '}');
	params[0] = oids.data;
	result = strm_remote_query(remote, "SELECT t.oid, t.typcategory FROM pg_catalog.pg_type t"
							   " WHERE t.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])", 1, params);
	for (int row = 0; row < PQntuples(result); row++)
	{
		for (int i = 0; i < ncolumns; i++)
		{
			if (columns[i].type == (Oid) strtoul(PQgetvalue(result, row, 0), NULL, 10))
				columns[i].category = PQgetvalue(result, row, 1)[0];
		}
	}
	PQclear(result);
}

/* Runs a statement that has a user's query in it: by the protocol that takes one statement only. */
static PGresult *
strm_remote_query_one(StrmRemote *remote, const char *sql)
{
	static const char *const none[] = {NULL};

	return strm_remote_query(remote, sql, 0, none);
}

/* The columns of what follows FROM. */
static StrmDatabaseColumn *
strm_remote_columns(StrmRemote *remote, const char *from, int *ncolumns)
{
	PGresult   *result = strm_remote_query_one(remote, psprintf("SELECT * FROM %s LIMIT 0", from));
	StrmDatabaseColumn *columns;

	*ncolumns = PQnfields(result);
	columns = palloc0(Max(*ncolumns, 1) * sizeof(StrmDatabaseColumn));
	for (int i = 0; i < *ncolumns; i++)
	{
		columns[i].name = pstrdup(PQfname(result, i));
		columns[i].type = PQftype(result, i);
	}
	PQclear(result);
	strm_remote_categories(remote, columns, *ncolumns);
	return columns;
}

static void
strm_remote_clear_row(void *arg)
{
	StrmRemoteReader *self = arg;

	if (self->result != NULL)
		PQclear(self->result);
	self->result = NULL;
}

static void
strm_remote_take_row(StrmRemoteReader *self)
{
	MemoryContext cxt = MemoryContextSwitchTo(self->row);

	for (int i = 0; i < self->select->n; i++)
	{
		StrmRecordValue *value = &self->values[self->select->wanted[i]];
		int			size = PQgetlength(self->result, 0, i);

		value->kind = STRM_RECORD_NULL;
		if (PQgetisnull(self->result, 0, i))
			continue;
		strm_database_read_value(self->select->forms[i], PQgetvalue(self->result, 0, i), size, value);
		self->reader.bytes += size;
	}
	MemoryContextSwitchTo(cxt);
}

static bool
strm_remote_next(StrmRecordReader *reader, StrmRecord *record)
{
	StrmRemoteReader *self = (StrmRemoteReader *) reader;
	ExecStatusType status;

	strm_remote_clear_row(self);
	MemoryContextReset(self->row);
	if (strm_remote_connection(self->remote) == NULL)
		return false;
	self->result = strm_remote_result(self->remote);
	status = self->result != NULL ? PQresultStatus(self->result) : PGRES_TUPLES_OK;
	if (status == PGRES_TUPLES_OK)
	{
		strm_remote_close(self->remote);
		return false;
	}
	if (status != PGRES_SINGLE_TUPLE)
	{
		PGresult   *result = self->result;

		self->result = NULL;
		strm_remote_raise(self->remote, result, "the source", 0);
	}
	strm_remote_take_row(self);
	record->number = record->line = ++self->number;
	record->fault = NULL;
	record->values = self->values;
	return true;
}

static void
strm_remote_close_reader(StrmRecordReader *reader)
{
	StrmRemoteReader *self = (StrmRemoteReader *) reader;

	strm_remote_clear_row(self);
	strm_remote_close(self->remote);
}

StrmRecordReader *
strm_database_remote_reader(const StrmConnector *connector, const StrmDatabaseLocation *location, const char *from,
							const char *const *wanted, int nwanted)
{
	StrmRemoteReader *self = palloc0(sizeof(StrmRemoteReader));
	StrmDatabaseColumn *columns;
	int			ncolumns;

	self->remote = strm_remote_open(connector, location);
	strm_remote_execute(self->remote, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
	columns = strm_remote_columns(self->remote, from, &ncolumns);
	self->select = strm_database_select(from, columns, ncolumns, wanted, nwanted);
	self->values = palloc0(Max(nwanted, 1) * sizeof(StrmRecordValue));
	self->row = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy row", ALLOCSET_DEFAULT_SIZES);
	self->callback.func = strm_remote_clear_row;
	self->callback.arg = self;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &self->callback);
	if (!PQsendQueryParams(strm_remote_connection(self->remote), self->select->sql, 0, NULL, NULL, NULL, NULL, 0) ||
		!PQsetSingleRowMode(strm_remote_connection(self->remote)))
		strm_remote_raise(self->remote, NULL, NULL, 0);
	self->reader.next = strm_remote_next;
	self->reader.close = strm_remote_close_reader;
	self->reader.missing = self->select->missing;
	self->reader.unknown = self->select->unknown;
	return &self->reader;
}

void
strm_database_remote_check_source(const StrmConnector *connector, const StrmDatabaseLocation *location,
								  const char *from)
{
	StrmRemote *remote = strm_remote_open(connector, location);

	strm_remote_execute(remote, "BEGIN READ ONLY");
	PQclear(strm_remote_query_one(remote, psprintf("SELECT FROM %s LIMIT 0", from)));
	strm_remote_close(remote);
}

/* --- targets --- */

/* Does the table exist? name is quoted. */
static bool
strm_remote_exists(StrmRemote *remote, const char *name)
{
	const char *params[1] = {name};
	PGresult   *result = strm_remote_query(remote, "SELECT pg_catalog.to_regclass($1::pg_catalog.text)", 1, params);
	bool		exists = !PQgetisnull(result, 0, 0);

	PQclear(result);
	return exists;
}

void
strm_database_remote_check_target(const StrmConnector *connector, const StrmDatabaseLocation *location,
								  const char *relation)
{
	StrmRemote *remote = strm_remote_open(connector, location);
	char	   *name = strm_database_quote_relation(relation);

	strm_remote_execute(remote, "BEGIN");
	if (strm_remote_exists(remote, name))
	{
		/* plans, and so checks, an INSERT of nothing */
		strm_remote_execute(remote, psprintf("SELECT FROM %s LIMIT 0", name));
		strm_remote_execute(remote, psprintf("COPY %s FROM STDIN", name));
	}
	else
		strm_remote_execute(remote, psprintf("CREATE TABLE %s (strm_check pg_catalog.text)", name));
	/* without a commit nothing has happened */
	strm_remote_close(remote);
}

/* Makes the table, all text. */
static void
strm_remote_create(StrmRemoteWriter *self, const StrmRecordColumn *columns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", self->relation);
	for (int i = 0; i < self->ncolumns; i++)
	{
		appendStringInfoString(&sql, i > 0 ? ", " : "");
		strm_database_append_name(&sql, columns[i].name);
		appendStringInfoString(&sql, " pg_catalog.text");
	}
	appendStringInfoChar(&sql, ')');
	strm_remote_execute(self->remote, sql.data);
}

/* Empties the table, or raises when it has rows. */
static void
strm_remote_empty(StrmRemoteWriter *self, bool overwrite)
{
	PGresult   *result;
	bool		empty;

	if (overwrite)
	{
		strm_remote_execute(self->remote, psprintf("DELETE FROM %s", self->relation));
		return;
	}
	result = strm_remote_query(self->remote, psprintf("SELECT FROM %s LIMIT 1", self->relation), 0, NULL);
	empty = PQntuples(result) == 0;
	PQclear(result);
	if (!empty)
		strm_database_not_empty(self->relation);
}

/* Begins the COPY, when the table has all columns. */
static void
strm_remote_begin_copy(StrmRemoteWriter *self, const StrmRecordColumn *columns)
{
	StringInfoData sql;
	StrmFaults	faults;
	int			nexisting;
	StrmDatabaseColumn *existing = strm_remote_columns(self->remote, self->relation, &nexisting);

	strm_faults_init(&faults);
	initStringInfo(&sql);
	appendStringInfo(&sql, "COPY %s (", self->relation);
	for (int i = 0; i < self->ncolumns; i++)
	{
		int			at = 0;

		while (at < nexisting && strcmp(existing[at].name, columns[i].name) != 0)
			at++;
		if (at == nexisting)
			strm_faults_add(&faults, "it has no column \"%s\"", columns[i].name);
		else
			self->inputs[i] = strm_database_input(existing[at].type, existing[at].category);
		appendStringInfoString(&sql, i > 0 ? ", " : "");
		strm_database_append_name(&sql, columns[i].name);
	}
	strm_database_raise_missing(self->relation, &faults);
	appendStringInfoString(&sql, ") FROM STDIN");
	strm_remote_execute(self->remote, sql.data);
}

/* Hands the buffer over. When the COPY has failed, its error is raised. */
static void
strm_remote_send(StrmRemoteWriter *self)
{
	PGconn	   *conn = strm_remote_connection(self->remote);

	if (self->buffer.len > 0 && PQputCopyData(conn, self->buffer.data, self->buffer.len) <= 0)
		strm_remote_raise(self->remote, PQgetResult(conn), psprintf("table %s", self->relation), 0);
	resetStringInfo(&self->buffer);
	strm_remote_flush(self->remote);
}

/* Appends a value as COPY's text format has it. */
static void
strm_remote_append(StringInfo out, const char *text, Size size)
{
	for (const char *end = text + size; text < end; text++)
	{
		switch (*text)
		{
			case '\\':
				appendStringInfoString(out, "\\\\");
				break;
			case '\n':
				appendStringInfoString(out, "\\n");
				break;
			case '\r':
				appendStringInfoString(out, "\\r");
				break;
			case '\t':
				appendStringInfoString(out, "\\t");
				break;
			default:
				appendStringInfoCharMacro(out, *text);
		}
	}
}

static void
strm_remote_write(StrmRecordWriter *writer, const StrmRecordValue *values)
{
	StrmRemoteWriter *self = (StrmRemoteWriter *) writer;
	MemoryContext cxt;

	MemoryContextReset(self->row);
	cxt = MemoryContextSwitchTo(self->row);
	for (int i = 0; i < self->ncolumns; i++)
	{
		const char *text;
		Size		size;

		if (i > 0)
			appendStringInfoChar(&self->buffer, '\t');
		if (values[i].kind == STRM_RECORD_NULL)
		{
			appendStringInfoString(&self->buffer, "\\N");
			continue;
		}
		strm_database_write_value(self->inputs[i], &values[i], &self->value, &text, &size);
		strm_remote_append(&self->buffer, text, size);
		writer->bytes += size;
	}
	appendStringInfoChar(&self->buffer, '\n');
	MemoryContextSwitchTo(cxt);
	if (self->buffer.len >= STRM_REMOTE_BUFFER)
		strm_remote_send(self);
}

static void
strm_remote_flush_writer(StrmRecordWriter *writer)
{
	strm_remote_send((StrmRemoteWriter *) writer);
}

/* Ends the COPY, and has constraints checked that wait for the commit. */
static void
strm_remote_finish(StrmDatabaseWriter *writer)
{
	StrmRemoteWriter *self = (StrmRemoteWriter *) writer;
	PGresult   *result;

	strm_remote_send(self);
	if (PQputCopyEnd(strm_remote_connection(self->remote), NULL) < 0)
		strm_remote_raise(self->remote, NULL, NULL, 0);
	while ((result = strm_remote_result(self->remote)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			strm_remote_raise(self->remote, result, psprintf("table %s", self->relation), 0);
		PQclear(result);
	}
	strm_remote_execute(self->remote, "SET CONSTRAINTS ALL IMMEDIATE");
}

static void
strm_remote_publish(StrmDatabaseWriter *writer)
{
	StrmRemoteWriter *self = (StrmRemoteWriter *) writer;

	strm_remote_execute(self->remote, "COMMIT");
	strm_remote_close(self->remote);
}

static void
strm_remote_discard(StrmDatabaseWriter *writer)
{
	strm_remote_close(((StrmRemoteWriter *) writer)->remote);
}

StrmDatabaseWriter *
strm_database_remote_writer(const StrmConnector *connector, const StrmDatabaseLocation *location, const char *relation,
							bool overwrite, const StrmRecordColumn *columns, int ncolumns)
{
	StrmRemoteWriter *self = palloc0(sizeof(StrmRemoteWriter));

	self->base.writer.write = strm_remote_write;
	self->base.writer.flush = strm_remote_flush_writer;
	self->base.finish = strm_remote_finish;
	self->base.publish = strm_remote_publish;
	self->base.discard = strm_remote_discard;
	self->relation = strm_database_quote_relation(relation);
	self->ncolumns = ncolumns;
	self->inputs = palloc0(Max(ncolumns, 1) * sizeof(StrmDatabaseInput));
	self->row = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy row", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&self->value);
	initStringInfo(&self->buffer);
	self->remote = strm_remote_open(connector, location);
	strm_remote_execute(self->remote, "BEGIN");
	if (strm_remote_exists(self->remote, self->relation))
		strm_remote_empty(self, overwrite);
	else
		strm_remote_create(self, columns);
	strm_remote_begin_copy(self, columns);
	return &self->base;
}
