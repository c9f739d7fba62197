/*
 * database.c
 *	  Kind "database": tables, views and queries of this database or another one. Here it is decided which one.
 */
#include "postgres.h"

#include "common/errors.h"
#include "connect/database.h"
#include "connect/database_location.h"
#include "connect/database_private.h"
#include "connect/database_text.h"
#include "strm_privacy.h"

/*
 * Where a connector leads; NULL is this database. Raises when its definition is not good for the current user: a
 * superuser's may lack a password.
 */
static void
strm_database_locate(const StrmConnector *connector, StrmDatabaseLocation *location)
{
	StrmFaults	faults;

	memset(location, 0, sizeof(*location));
	if (connector == NULL)
		return;
	if (connector->kind != &strm_database_kind)
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("data connector \"%s\" leads to files, not to tables", connector->name),
				errdetail("It is of kind \"%s\".", connector->kind->name));
	strm_faults_init(&faults);
	strm_database_location(connector, location, &faults);
	strm_connector_raise(&faults, connector->name);
}

void
strm_database_not_empty(const char *relation)
{
	ereport(ERROR,
			errcode(STRM_ERR_DUPLICATE),
			errmsg("table %s is not empty", relation),
			errhint("Choose another table, or let the job overwrite it."));
}

void
strm_database_raise_missing(const char *relation, StrmFaults *faults)
{
	strm_faults_raise(faults, ERRCODE_UNDEFINED_COLUMN, psprintf("table %s does not fit the records", relation),
					  "A table that does not exist is made as needed.");
}

StrmRecordReader *
strm_database_reader(const StrmConnector *connector, const char *relation, const char *query,
					 const char *const *wanted, int nwanted)
{
	StrmDatabaseLocation location;
	char	   *from = strm_database_from(relation, query);

	strm_database_locate(connector, &location);
	return location.remote ? strm_database_remote_reader(connector, &location, from, wanted, nwanted)
		: strm_database_local_reader(from, relation == NULL, wanted, nwanted);
}

StrmDatabaseWriter *
strm_database_writer(const StrmConnector *connector, const char *relation, bool overwrite,
					 const StrmRecordColumn *columns, int ncolumns, StrmRecordWriter **writer)
{
	StrmDatabaseLocation location;
	StrmDatabaseWriter *result;

	strm_database_locate(connector, &location);
	result = location.remote
		? strm_database_remote_writer(connector, &location, relation, overwrite, columns, ncolumns)
		: strm_database_local_writer(relation, overwrite, columns, ncolumns);
	*writer = &result->writer;
	return result;
}

bool
strm_database_writer_is_local(const StrmDatabaseWriter *writer)
{
	return writer->local;
}

void
strm_database_writer_finish(StrmDatabaseWriter *writer)
{
	writer->finish(writer);
}

void
strm_database_writer_publish(StrmDatabaseWriter *writer)
{
	writer->publish(writer);
}

void
strm_database_writer_discard(StrmDatabaseWriter *writer)
{
	writer->discard(writer);
}

void
strm_database_check_source(const StrmConnector *connector, const char *relation, const char *query)
{
	StrmDatabaseLocation location;
	char	   *from = strm_database_from(relation, query);

	strm_database_locate(connector, &location);
	if (location.remote)
		strm_database_remote_check_source(connector, &location, from);
	else
		strm_database_local_check_source(from);
}

void
strm_database_check_target(const StrmConnector *connector, const char *relation)
{
	StrmDatabaseLocation location;

	strm_database_locate(connector, &location);
	if (location.remote)
		strm_database_remote_check_target(connector, &location, relation);
	else
		strm_database_local_check_target(relation);
}

static void
strm_database_check_definition(const StrmConnector *connector, StrmFaults *faults)
{
	StrmDatabaseLocation location;

	strm_database_location(connector, &location, faults);
}

/* It has no files: connect/database.h has what it can do. */
const StrmConnectorKind strm_database_kind = {
	.name = "database",
	.check_definition = strm_database_check_definition,
};
