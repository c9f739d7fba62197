/*
 * database.c
 *	  Kind "database": tables, views and queries of this database or another one.
 */
#include "postgres.h"

#include "connect/database.h"
#include "connect/database_location.h"
#include "strm_privacy.h"

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
