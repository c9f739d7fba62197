/*
 * database.h
 *	  Tables, views and queries of this database or, through libpq, of another one, as sources of records; tables as
 *	  targets.
 *
 *	  Of this database everything runs as the current user. One transaction holds a source's snapshot and all that is
 *	  written to a target: whoever uses them does not commit in between.
 */
#ifndef STRM_CONNECT_DATABASE_H
#define STRM_CONNECT_DATABASE_H

#include "connect/connector.h"
#include "format/record.h"

/*
 * Rows of a table or view (relation: a name as in SQL, quoted where needed) or of a query, exactly one of which is
 * given.
 * connector NULL: this database. In the current memory context.
 */
extern StrmRecordReader *strm_database_reader(const StrmConnector *connector, const char *relation, const char *query,
											  const char *const *wanted, int nwanted);

/* A table that records are inserted into. */
typedef struct StrmDatabaseWriter StrmDatabaseWriter;

/*
 * A writer of records to a table that exists and has the columns, or, when it does not exist, is made with them, all
 * text. overwrite: its rows are removed first; else it must be empty (42710). Everything happens in this transaction,
 * or in one of the other database that publish commits.
 */
extern StrmDatabaseWriter *strm_database_writer(const StrmConnector *connector, const char *relation, bool overwrite,
												const StrmRecordColumn *columns, int ncolumns,
												StrmRecordWriter **writer);

/* Does it write to this database, so that its rows appear when the current transaction commits? */
extern bool strm_database_writer_is_local(const StrmDatabaseWriter *writer);

/* All is written and, in another database, prepared to be committed as far as that goes. */
extern void strm_database_writer_finish(StrmDatabaseWriter *writer);

/* Commits in another database; nothing to do in this one. */
extern void strm_database_writer_publish(StrmDatabaseWriter *writer);

/* Rolls back in another database and closes the connection; never raises; idempotent. */
extern void strm_database_writer_discard(StrmDatabaseWriter *writer);

/* Raises unless the current user can do what the definition asks for: for when a job is created. */
extern void strm_database_check_source(const StrmConnector *connector, const char *relation, const char *query);
extern void strm_database_check_target(const StrmConnector *connector, const char *relation);

/* connect's part of StrmConnectorKind.check_definition for kind database. */
extern const StrmConnectorKind strm_database_kind;

#endif							/* STRM_CONNECT_DATABASE_H */
