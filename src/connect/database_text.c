/*
 * database_text.c
 *	  Values and names on their way between records and SQL.
 *
 *	  Values are read as one text each, whatever the settings: dates and times in ISO 8601 as JSON has them, arrays and
 *	  composite values as JSON, the others as their output functions write them under the settings that the readers
 *	  pin. A wanted name that is no column but has a dot is a member of a JSON or composite column.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/varlena.h"

#include "common/errors.h"
#include "connect/database_text.h"
#include "strm_privacy.h"

void
strm_database_append_name(StringInfo out, const char *name)
{
	appendStringInfoChar(out, '"');
	for (; *name != '\0'; name++)
	{
		if (*name == '"')
			appendStringInfoChar(out, '"');
		appendStringInfoChar(out, *name);
	}
	appendStringInfoChar(out, '"');
}

char *
strm_database_quote_relation(const char *relation)
{
	List	   *parts = textToQualifiedNameList(cstring_to_text(relation));
	StringInfoData name;
	ListCell   *cell;

	initStringInfo(&name);
	foreach(cell, parts)
	{
		if (name.len > 0)
			appendStringInfoChar(&name, '.');
		strm_database_append_name(&name, strVal(lfirst(cell)));
	}
	return name.data;
}

/* The query's text without what follows its end; raises unless it is one that only reads, by its form. */
static char *
strm_database_check_query(const char *query)
{
	List	   *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt    *statement = list_length(statements) == 1 ? linitial_node(RawStmt, statements) : NULL;

	if (statement == NULL || !IsA(statement->stmt, SelectStmt) || ((SelectStmt *) statement->stmt)->intoClause != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("the query of a source must be one SELECT, VALUES or TABLE statement"));
	query += statement->stmt_location;
	return statement->stmt_len > 0 ? pnstrdup(query, statement->stmt_len) : pstrdup(query);
}

char *
strm_database_from(const char *relation, const char *query)
{
	/* the line feed ends a comment */
	return relation != NULL ? strm_database_quote_relation(relation)
		: psprintf("(%s\n) AS strm_source", strm_database_check_query(query));
}

static bool
strm_database_is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == FLOAT4OID || type == FLOAT8OID ||
		type == NUMERICOID || type == OIDOID;
}

/* Is it a text that a row can hold out of line? Not made when a row is fetched. */
static bool
strm_database_is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID;
}

/* Appends the expression of a whole column. */
static StrmDatabaseForm
strm_database_append_column(StringInfo sql, const StrmDatabaseColumn *column, bool *computed)
{
	if (column->type == DATEOID || column->type == TIMESTAMPOID || column->type == TIMESTAMPTZOID)
	{
		appendStringInfoString(sql, "pg_catalog.to_json(");
		strm_database_append_name(sql, column->name);
		appendStringInfoString(sql, ") OPERATOR(pg_catalog.#>>) '{}'");
		return STRM_DATABASE_TEXT;
	}
	if (column->category == TYPCATEGORY_ARRAY || column->category == TYPCATEGORY_COMPOSITE ||
		column->type == JSONOID || column->type == JSONBOID)
	{
		*computed = true;
		appendStringInfoString(sql, "CAST(pg_catalog.to_json(");
		strm_database_append_name(sql, column->name);
		appendStringInfoString(sql, ") AS pg_catalog.text)");
		return STRM_DATABASE_JSON;
	}
	*computed |= !strm_database_is_text(column->type) && !strm_database_is_number(column->type);
	appendStringInfoString(sql, "CAST(");
	strm_database_append_name(sql, column->name);
	appendStringInfoString(sql, " AS pg_catalog.text)");
	return strm_database_is_number(column->type) ? STRM_DATABASE_NUMBER
		: column->type == BOOLOID ? STRM_DATABASE_BOOLEAN : STRM_DATABASE_TEXT;
}

/* Appends the expression of a member, path as in "a.b" after its column, of a JSON or composite column. */
static void
strm_database_append_member(StringInfo sql, const StrmDatabaseColumn *column, const char *path)
{
	StringInfoData elements;

	initStringInfo(&elements);
	for (;;)
	{
		size_t		size = strcspn(path, ".");

		appendStringInfo(&elements, "%s%s", elements.len > 0 ? ", " : "",
						 quote_literal_cstr(pnstrdup(path, size)));
		if (path[size] == '\0')
			break;
		path += size + 1;
	}
	appendStringInfoString(sql, "CAST(pg_catalog.to_json(");
	strm_database_append_name(sql, column->name);
	appendStringInfo(sql, ") OPERATOR(pg_catalog.#>) ARRAY[%s]::pg_catalog.text[] AS pg_catalog.text)", elements.data);
}

/* The position of a column of that name (size bytes), or -1. */
static int
strm_database_position(const StrmDatabaseColumn *columns, int ncolumns, const char *name, size_t size)
{
	for (int i = 0; i < ncolumns; i++)
	{
		if (strlen(columns[i].name) == size && memcmp(columns[i].name, name, size) == 0)
			return i;
	}
	return -1;
}

/* Appends the expression of one wanted column. -1 when the source does not have it, else the column that it is of. */
static int
strm_database_append_wanted(StringInfo sql, const StrmDatabaseColumn *columns, int ncolumns, const char *name,
							StrmDatabaseForm *form, bool *computed)
{
	size_t		size = strlen(name);
	int			at = strm_database_position(columns, ncolumns, name, size);
	const char *separator = sql->len > strlen("SELECT ") ? ", " : "";

	if (at >= 0)
	{
		appendStringInfoString(sql, separator);
		*form = strm_database_append_column(sql, &columns[at], computed);
		return at;
	}
	size = strcspn(name, ".");
	at = name[size] == '.' ? strm_database_position(columns, ncolumns, name, size) : -1;
	if (at < 0 || (columns[at].category != TYPCATEGORY_COMPOSITE && columns[at].type != JSONOID &&
				   columns[at].type != JSONBOID))
		return -1;
	appendStringInfoString(sql, separator);
	strm_database_append_member(sql, &columns[at], name + size + 1);
	*form = STRM_DATABASE_JSON;
	*computed = true;
	return at;
}

StrmDatabaseSelect *
strm_database_select(const char *from, const StrmDatabaseColumn *columns, int ncolumns,
					 const char *const *wanted, int nwanted)
{
	StrmDatabaseSelect *select = palloc0(sizeof(StrmDatabaseSelect));
	bool	   *used = palloc0(Max(ncolumns, 1) * sizeof(bool));
	StringInfoData sql;

	select->wanted = palloc0(Max(nwanted, 1) * sizeof(int));
	select->forms = palloc0(Max(nwanted, 1) * sizeof(StrmDatabaseForm));
	select->missing = palloc0(Max(nwanted, 1) * sizeof(bool));
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < nwanted; i++)
	{
		int			at = strm_database_append_wanted(&sql, columns, ncolumns, wanted[i], &select->forms[select->n],
													 &select->computed);

		select->missing[i] = at < 0;
		if (at < 0)
			continue;
		used[at] = true;
		select->wanted[select->n++] = i;
	}
	for (int i = 0; i < ncolumns && list_length(select->unknown) < 100; i++)
	{
		if (!used[i])
			select->unknown = lappend(select->unknown, pstrdup(columns[i].name));
	}
	appendStringInfo(&sql, " FROM %s", from);
	select->sql = sql.data;
	return select;
}

/* The kind of a JSON text, and for a string its value. */
static void
strm_database_read_json(const char *text, Size size, StrmRecordValue *value)
{
	char	   *copy;
	JsonbValue	scalar;
	Jsonb	   *document;

	while (size > 0 && (*text == ' ' || *text == '\t' || *text == '\n' || *text == '\r'))
	{
		text++;
		size--;
	}
	value->text = text;
	value->size = size;
	value->kind = size == 0 || *text == 'n' ? STRM_RECORD_NULL
		: *text == '{' || *text == '[' ? STRM_RECORD_JSON
		: *text == 't' || *text == 'f' ? STRM_RECORD_BOOLEAN
		: *text == '"' ? STRM_RECORD_TEXT : STRM_RECORD_NUMBER;
	if (value->kind != STRM_RECORD_TEXT)
		return;
	copy = pnstrdup(text, size);
	document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(copy)));
	if (!JsonbExtractScalar(&document->root, &scalar) || scalar.type != jbvString)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("a JSON text is not a string"));
	value->text = scalar.val.string.val;
	value->size = scalar.val.string.len;
}

void
strm_database_read_value(StrmDatabaseForm form, const char *text, Size size, StrmRecordValue *value)
{
	value->text = text;
	value->size = size;
	switch (form)
	{
		case STRM_DATABASE_TEXT:
			value->kind = STRM_RECORD_TEXT;
			break;
		case STRM_DATABASE_NUMBER:
			/* NaN, Infinity and -Infinity are no numbers in JSON */
			value->kind = size > 0 && text[size - 1] >= '0' && text[size - 1] <= '9' ? STRM_RECORD_NUMBER
				: STRM_RECORD_TEXT;
			break;
		case STRM_DATABASE_BOOLEAN:
			value->kind = STRM_RECORD_BOOLEAN;
			break;
		case STRM_DATABASE_JSON:
			strm_database_read_json(text, size, value);
			break;
	}
}

StrmDatabaseInput
strm_database_input(Oid type, char category)
{
	if (type == JSONOID || type == JSONBOID)
		return STRM_DATABASE_DOCUMENT;
	return category == TYPCATEGORY_ARRAY ? STRM_DATABASE_ARRAY : STRM_DATABASE_PLAIN;
}

/* Appends an element of an array's text, quoted. */
static void
strm_database_append_element(StringInfo out, const JsonbValue *element)
{
	const char *text;
	int			size;

	if (element->type == jbvNull)
	{
		appendStringInfoString(out, "NULL");
		return;
	}
	if (element->type == jbvString)
	{
		text = element->val.string.val;
		size = element->val.string.len;
	}
	else
	{
		text = element->type == jbvBool ? (element->val.boolean ? "true" : "false")
			: element->type == jbvNumeric ? DatumGetCString(DirectFunctionCall1(numeric_out,
																				 NumericGetDatum(element->val.numeric)))
			: JsonbToCString(NULL, element->val.binary.data, element->val.binary.len);
		size = strlen(text);
	}
	appendStringInfoChar(out, '"');
	for (int i = 0; i < size; i++)
	{
		if (text[i] == '"' || text[i] == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, text[i]);
	}
	appendStringInfoChar(out, '"');
}

/* Appends a JSON array as the text of an SQL one. */
static void
strm_database_append_array(StringInfo out, JsonbContainer *array)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	element;
	bool		first = true;

	appendStringInfoChar(out, '{');
	(void) JsonbIteratorNext(&iterator, &element, true);	/* the array's begin */
	while ((token = JsonbIteratorNext(&iterator, &element, true)) == WJB_ELEM)
	{
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		if (element.type == jbvBinary && JsonContainerIsArray(element.val.binary.data))
			strm_database_append_array(out, element.val.binary.data);
		else
			strm_database_append_element(out, &element);
	}
	appendStringInfoChar(out, '}');
}

void
strm_database_write_value(StrmDatabaseInput input, const StrmRecordValue *value, StringInfo buffer,
						  const char **text, Size *size)
{
	*text = value->text;
	*size = value->size;
	if (input == STRM_DATABASE_DOCUMENT && value->kind == STRM_RECORD_TEXT)
	{
		resetStringInfo(buffer);
		escape_json(buffer, pnstrdup(value->text, value->size));
	}
	else if (input == STRM_DATABASE_ARRAY && value->size > 0 && value->text[0] == '[')
	{
		char	   *copy = pnstrdup(value->text, value->size);
		Jsonb	   *array = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(copy)));

		resetStringInfo(buffer);
		strm_database_append_array(buffer, &array->root);
	}
	else
		return;
	*text = buffer->data;
	*size = buffer->len;
}

void
strm_database_rethrow(MemoryContext cxt, const char *what, uint64 row)
{
	MemoryContext error_cxt = MemoryContextSwitchTo(cxt);
	ErrorData  *error = CopyErrorData();
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
	{
		FlushErrorState();
		strm_database_raise_private(error->sqlerrcode, strm_errors_message_is_safe(error) ? error->message : NULL,
									what, row);
	}
	MemoryContextSwitchTo(error_cxt);
	PG_RE_THROW();
}

void
strm_database_raise_private(int sqlstate, const char *message, const char *what, uint64 row)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);
	char	   *where = row > 0 ? psprintf("record " UINT64_FORMAT " of %s", row, what) : pstrdup(what);

	if (category == ERRCODE_DATA_EXCEPTION)
		strm_ereport_private(errcode(sqlstate), errmsg("a value of %s is not valid for its column or the query", where),
							 errdetail("The message itself is left out, because it may quote values."));
	if (category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION && message != NULL)
		strm_ereport_private(errcode(sqlstate), errmsg("%s: %s", where, message));
	if (category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		strm_ereport_private(errcode(sqlstate), errmsg("%s violates a constraint", where),
							 errdetail("The message itself is left out, because it may quote values."));
}
