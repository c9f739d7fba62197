/*
 * database_location.c
 *	  Where another database is: {"uri": "postgresql://host/db"} or {"jdbcUri": "jdbc:postgresql://host/db"}, with
 *	  credentials {"username": ..., "password": ...}.
 *
 *	  A URI may say a lot that would make the server use its own files, identity or environment for somebody else: only
 *	  what is listed here is let through. Connections over a network are encrypted and the server's certificate is
 *	  verified: sslmode is verify-full unless verify-ca is asked for, and "require", or JDBC's ssl=true, counts as
 *	  verify-full. Only to this machine itself it may be weaker.
 */
#include "postgres.h"

#include <libpq-fe.h>

#include "miscadmin.h"

#include "common/secret.h"
#include "connect/database_location.h"
#include "contract/document.h"
#include "strm_privacy.h"

#define STRM_JDBC_PREFIX "jdbc:"

/* What a URI may say. Applications' and time-out parameters are accepted for convenience and not used. */
static const char *const known_parameters[] = {
	"host", "port", "dbname", "user", "sslmode", "application_name", "connect_timeout", "channel_binding",
};

/* Does the host's name say that it is this machine? What it resolves to is another question. */
static bool
strm_database_host_is_local(const char *host)
{
	return pg_strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

/* Takes one parameter of the URI over. */
static void
strm_database_location_take(StrmDatabaseLocation *location, const char *keyword, const char *value)
{
	if (strcmp(keyword, "host") == 0)
		location->host = pstrdup(value);
	else if (strcmp(keyword, "port") == 0)
		location->port = pstrdup(value);
	else if (strcmp(keyword, "dbname") == 0)
		location->dbname = pstrdup(value);
	else if (strcmp(keyword, "user") == 0)
		location->user = pstrdup(value);
	else if (strcmp(keyword, "sslmode") == 0)
		location->sslmode = pstrdup(value);
}

static bool
strm_database_location_knows(const char *keyword)
{
	for (int i = 0; i < lengthof(known_parameters); i++)
	{
		if (strcmp(known_parameters[i], keyword) == 0)
			return true;
	}
	return false;
}

/* Reads the URI. libpq's messages may quote any part of it, so they are not passed on. */
static void
strm_database_location_uri(const char *uri, StrmDatabaseLocation *location, StrmFaults *faults)
{
	PQconninfoOption *options;

	if (strncmp(uri, "postgresql://", 13) != 0 && strncmp(uri, "postgres://", 11) != 0)
	{
		strm_faults_add(faults,
						"the location's URI must begin with postgresql:// or jdbc:postgresql://");
		return;
	}
	options = PQconninfoParse(uri, NULL);
	if (options == NULL)
	{
		strm_faults_add(faults, "the location's URI is not valid, or has a parameter that libpq does not know");
		return;
	}
	for (PQconninfoOption *option = options; option->keyword != NULL; option++)
	{
		if (option->val == NULL || option->val[0] == '\0')
			continue;
		if (strcmp(option->keyword, "password") == 0)
			strm_faults_add(faults, "the location's URI must not hold a password");
		else if (!strm_database_location_knows(option->keyword))
			strm_faults_add(faults, "the location's URI must not set the parameter \"%s\"", option->keyword);
		else
			strm_database_location_take(location, option->keyword, option->val);
	}
	PQconninfoFree(options);
}

/* What a URI must have, and what is not allowed in it. */
static void
strm_database_location_check(StrmDatabaseLocation *location, StrmFaults *faults)
{
	const char *host = location->host;
	bool		local;

	if (host == NULL)
		strm_faults_add(faults, "the location's URI must name a host");
	else if (host[0] == '/' || host[0] == '@')
		strm_faults_add(faults, "the location's URI must name a host, not a socket");
	else if (strchr(host, ',') != NULL)
		strm_faults_add(faults, "the location's URI must name one host");
	else if (location->port != NULL && (strspn(location->port, "0123456789") != strlen(location->port) ||
								   atol(location->port) < 1 || atol(location->port) > 65535))
		strm_faults_add(faults, "the location's port must be a number from 1 to 65535");
	if (location->dbname == NULL)
		strm_faults_add(faults, "the location's URI must name a database");

	local = host != NULL && strm_database_host_is_local(host);
	if (location->sslmode == NULL)
		location->sslmode = local ? "prefer" : "verify-full";
	else if (strcmp(location->sslmode, "require") == 0 && !local)
		location->sslmode = "verify-full";
	else if (strcmp(location->sslmode, "verify-full") != 0 && strcmp(location->sslmode, "verify-ca") != 0 && !local)
		strm_faults_add(faults, "the location's sslmode must be verify-full or verify-ca");
}

/* A string of the credentials, in memory that is wiped. */
static char *
strm_database_location_secret(StrmDocument *document, const StrmMember *member)
{
	char	   *plain = strm_document_string(document, member, "the credentials");
	char	   *copy;

	if (plain == NULL)
		return NULL;
	copy = strm_secret_alloc(CurrentMemoryContext, strlen(plain) + 1);
	strcpy(copy, plain);
	strm_secret_wipe(plain, strlen(plain));
	return copy;
}

/* User and password. Only a superuser may do without a password: the server's own identity is not anybody's. */
static void
strm_database_location_credentials(const StrmConnector *connector, StrmDatabaseLocation *location,
								   StrmDocument *document)
{
	StrmMember	members[] = {{.name = "username"}, {.name = "password"}};
	char	   *username = NULL;

	if (connector->credentials != NULL)
	{
		strm_document_members(document, &connector->credentials->root, "the credentials", members, lengthof(members));
		username = strm_document_string(document, &members[0], "the credentials");
		location->password = strm_database_location_secret(document, &members[1]);
	}
	if (username != NULL && location->user != NULL && strcmp(username, location->user) != 0)
		strm_faults_add(document->faults, "the location's URI and the credentials name different users");
	if (username != NULL)
		location->user = username;
	if (location->user == NULL || location->user[0] == '\0')
		strm_faults_add(document->faults, "the credentials must have a username");
	if ((location->password == NULL || location->password[0] == '\0') && !superuser())
		strm_faults_add(document->faults, "the credentials must have a password");
}

void
strm_database_location(const StrmConnector *connector, StrmDatabaseLocation *location, StrmFaults *faults)
{
	StrmDocument document = {.faults = faults};
	StrmMember	members[] = {{.name = "uri"}, {.name = "jdbcUri"}};
	char	   *uri;
	char	   *jdbc;

	memset(location, 0, sizeof(*location));
	initStringInfo(&document.ignored);
	strm_document_members(&document, &connector->location->root, "the location", members, lengthof(members));
	uri = strm_document_string(&document, &members[0], "the location");
	jdbc = strm_document_string(&document, &members[1], "the location");
	if (uri != NULL && jdbc != NULL)
		strm_faults_add(faults, "the location must have uri or jdbcUri, not both");
	if (jdbc != NULL)
		uri = jdbc;
	if (uri != NULL && strncmp(uri, STRM_JDBC_PREFIX, strlen(STRM_JDBC_PREFIX)) == 0)
		uri += strlen(STRM_JDBC_PREFIX);
	location->remote = uri != NULL;
	if (uri != NULL)
	{
		int			before = faults->count;

		strm_database_location_uri(uri, location, faults);
		if (faults->count == before)
			strm_database_location_check(location, faults);
		strm_database_location_credentials(connector, location, &document);
	}
	else if (connector->credentials != NULL)
		strm_faults_add(faults, "this database needs no credentials");
}
