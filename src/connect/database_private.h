/*
 * database_private.h
 *	  The two ways of reading and writing tables, behind connect/database.h.
 */
#ifndef STRM_CONNECT_DATABASE_PRIVATE_H
#define STRM_CONNECT_DATABASE_PRIVATE_H

#include "connect/database.h"
#include "connect/database_location.h"
#include "strm_privacy.h"

struct StrmDatabaseWriter
{
	StrmRecordWriter writer;
	void		(*finish) (StrmDatabaseWriter *self);
	void		(*publish) (StrmDatabaseWriter *self);
	void		(*discard) (StrmDatabaseWriter *self);
	bool		local;			/* writes to this database, within the current transaction */
};

/* This database: database_local_source.c, database_local_target.c. from as strm_database_from() makes it. */
extern StrmRecordReader *strm_database_local_reader(const char *from, bool is_query,
													const char *const *wanted, int nwanted);
extern StrmDatabaseWriter *strm_database_local_writer(const char *relation, bool overwrite,
													  const StrmRecordColumn *columns, int ncolumns);
extern void strm_database_local_check_source(const char *from);
extern void strm_database_local_check_target(const char *relation);

/* Another one: database_remote.c */
extern StrmRecordReader *strm_database_remote_reader(const StrmConnector *connector,
													 const StrmDatabaseLocation *location, const char *from,
													 const char *const *wanted, int nwanted);
extern StrmDatabaseWriter *strm_database_remote_writer(const StrmConnector *connector,
													   const StrmDatabaseLocation *location, const char *relation,
													   bool overwrite, const StrmRecordColumn *columns, int ncolumns);
extern void strm_database_remote_check_source(const StrmConnector *connector, const StrmDatabaseLocation *location,
											  const char *from);
extern void strm_database_remote_check_target(const StrmConnector *connector, const StrmDatabaseLocation *location,
											  const char *relation);

/* Raises 42710: a table that has rows is not written to. */
pg_noreturn extern void strm_database_not_empty(const char *relation);

/* Raises 42703 with all columns that a target lacks, if there are any. */
extern void strm_database_raise_missing(const char *relation, StrmFaults *faults);

#endif							/* STRM_CONNECT_DATABASE_PRIVATE_H */
