/*
 * database_location.h
 *	  Where another database is, as a connector of kind database says.
 */
#ifndef STRM_CONNECT_DATABASE_LOCATION_H
#define STRM_CONNECT_DATABASE_LOCATION_H

#include "connect/connector.h"

/* Parameters of libpq; NULL where nothing is said. */
typedef struct StrmDatabaseLocation
{
	bool		remote;			/* else this database, and all else is NULL */
	char	   *host;
	char	   *port;
	char	   *dbname;
	char	   *user;
	char	   *password;		/* of the credentials, in memory that is wiped */
	char	   *sslmode;		/* never NULL when remote */
} StrmDatabaseLocation;

/* Reads a definition, with a fault for everything that is wrong. In the current memory context. */
extern void strm_database_location(const StrmConnector *connector, StrmDatabaseLocation *location, StrmFaults *faults);

#endif							/* STRM_CONNECT_DATABASE_LOCATION_H */
