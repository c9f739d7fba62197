/*
 * database_connection.h
 *	  A connection to another database that does not block and can be interrupted.
 */
#ifndef STRM_CONNECT_DATABASE_CONNECTION_H
#define STRM_CONNECT_DATABASE_CONNECTION_H

#include <libpq-fe.h>

#include "connect/database_location.h"
#include "strm_privacy.h"

typedef struct StrmRemote StrmRemote;

/*
 * Connects, in the current memory context, with which it ends at the latest. Values are written and read in UTF-8, ISO
 * dates and shortest floats. Raises STRM_ERR_CONNECT.
 */
extern StrmRemote *strm_remote_open(const StrmConnector *connector, const StrmDatabaseLocation *location);

/* Idempotent, never raises; what is not committed is rolled back. */
extern void strm_remote_close(StrmRemote *remote);

/* The connection, for libpq's functions that do not wait. */
extern PGconn *strm_remote_connection(StrmRemote *remote);

/* Waits for the next result, NULL at the end of them. The caller clears it, and raises what it says. */
extern PGresult *strm_remote_result(StrmRemote *remote);

/* Waits until all that was handed to libpq is sent. */
extern void strm_remote_flush(StrmRemote *remote);

/*
 * Runs SQL and returns its last result, which the caller clears; raises what goes wrong. params may be NULL when there
 * are none: then sql may have several statements. What holds a user's query is never sent that way: what is one
 * statement here may be several there, under other settings.
 */
extern PGresult *strm_remote_query(StrmRemote *remote, const char *sql, int nparams, const char *const *params);

/* The same, when the result does not matter. */
extern void strm_remote_execute(StrmRemote *remote, const char *sql);

/*
 * Raises the error that result holds, which is cleared, or the connection's when it is NULL. Errors of rows are without
 * values; what and row as in strm_database_raise_private().
 */
pg_noreturn extern void strm_remote_raise(StrmRemote *remote, PGresult *result, const char *what, uint64 row);

#endif							/* STRM_CONNECT_DATABASE_CONNECTION_H */
