/*
 * database_text.h
 *	  Values and names on their way between records and SQL: what this database and another one have in common.
 */
#ifndef STRM_CONNECT_DATABASE_TEXT_H
#define STRM_CONNECT_DATABASE_TEXT_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "format/record.h"
#include "strm_privacy.h"

/* A column of a source. type is of the server it is on, domains resolved; category as in pg_type.typcategory. */
typedef struct StrmDatabaseColumn
{
	char	   *name;
	Oid			type;
	char		category;
} StrmDatabaseColumn;

typedef enum StrmDatabaseForm
{
	STRM_DATABASE_TEXT,
	STRM_DATABASE_NUMBER,		/* or NaN and the like */
	STRM_DATABASE_BOOLEAN,
	STRM_DATABASE_JSON			/* any JSON */
} StrmDatabaseForm;

/* A query for the wanted columns, each as text. */
typedef struct StrmDatabaseSelect
{
	char	   *sql;
	int			n;				/* columns of its result */
	int		   *wanted;			/* per column: position among the wanted ones */
	StrmDatabaseForm *forms;	/* per column */
	bool		computed;		/* there are columns that are made, in memory, when a row is fetched */
	bool	   *missing;		/* per wanted column */
	List	   *unknown;		/* names of the source's other columns */
} StrmDatabaseSelect;

/*
 * What follows FROM: a relation's name or a query in parentheses, which is checked to be one SELECT, VALUES, TABLE or
 * WITH ... SELECT. All results here are in the current memory context.
 */
extern char *strm_database_from(const char *relation, const char *query);

/* A relation's name as in SQL, with every part quoted. */
extern char *strm_database_quote_relation(const char *relation);

/* Appends an identifier, quoted. */
extern void strm_database_append_name(StringInfo out, const char *name);

extern StrmDatabaseSelect *strm_database_select(const char *from, const StrmDatabaseColumn *columns, int ncolumns,
												const char *const *wanted, int nwanted);

/* Sets value, which is not NULL, from the text of a result's column; text stays where it is, or is in this context. */
extern void strm_database_read_value(StrmDatabaseForm form, const char *text, Size size, StrmRecordValue *value);

/* How a column of a target takes values. */
typedef enum StrmDatabaseInput
{
	STRM_DATABASE_PLAIN,
	STRM_DATABASE_ARRAY,
	STRM_DATABASE_DOCUMENT		/* json and jsonb */
} StrmDatabaseInput;

extern StrmDatabaseInput strm_database_input(Oid type, char category);

/* Text for a column's input function, of a value that is not NULL: its own, or written to buffer, which is reset. */
extern void strm_database_write_value(StrmDatabaseInput input, const StrmRecordValue *value, StringInfo buffer,
									  const char **text, Size *size);

/*
 * Raises what went wrong with SQL, for errors that may quote values of rows (classes 22 and 23): with what names no
 * value. what: "table s.t"; row 0: not known; message NULL: it may quote values whatever its class is. Returns for
 * others.
 */
extern void strm_database_raise_private(int sqlstate, const char *message, const char *what, uint64 row);

/* In PG_CATCH: the same with the error being handled, cxt being where to; others go on as they are. */
pg_noreturn extern void strm_database_rethrow(MemoryContext cxt, const char *what, uint64 row);

#endif							/* STRM_CONNECT_DATABASE_TEXT_H */
