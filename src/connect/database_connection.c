/*
 * database_connection.c
 *	  A connection to another database, by libpq without blocking: all waiting, but for the resolver's, wakes up for
 *	  interrupts.
 *
 *	  The host is resolved here and libpq gets the addresses that strm_address_refuse() lets through, so that the
 *	  address that was checked is the one that is used. A password must be given and used, unless the current user is a
 *	  superuser: else the other server could take our server's identity for the user's. None of the server's files
 *	  (passwords, certificates, keys, services) is used.
 */
#include "postgres.h"

#include <netdb.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "common/errors.h"
#include "connect/address.h"
#include "connect/database_connection.h"
#include "connect/database_text.h"
#include "guc/guc.h"
#include "strm_privacy.h"

#define STRM_REMOTE_MAX_ADDRESSES 8
#define STRM_REMOTE_SETTINGS \
	"SET datestyle = ISO; SET intervalstyle = postgres; SET extra_float_digits = 3; SET bytea_output = hex"

struct StrmRemote
{
	const char *name;			/* of the connector */
	PGconn	   *conn;
	bool		held;			/* counts as one of the server's descriptors */
	MemoryContextCallback callback;
};

/* Addresses of a host as libpq takes them: two lists of equal length. */
typedef struct StrmRemoteAddresses
{
	int			count;
	StringInfoData hosts;
	StringInfoData addresses;
	const char *refused;		/* why the last one was left out */
} StrmRemoteAddresses;

PGconn *
strm_remote_connection(StrmRemote *remote)
{
	return remote->conn;
}

void
strm_remote_close(StrmRemote *remote)
{
	if (remote->conn != NULL)
		PQfinish(remote->conn);
	remote->conn = NULL;
	if (remote->held)
		ReleaseExternalFD();
	remote->held = false;
}

static void
strm_remote_reset(void *arg)
{
	strm_remote_close(arg);
}

/* Raises that the connection failed. detail is libpq's or the other server's; neither shows a password. */
pg_noreturn static void strm_remote_fail(StrmRemote *remote, const char *detail);

static void
strm_remote_fail(StrmRemote *remote, const char *detail)
{
	ereport(ERROR,
			errcode(STRM_ERR_CONNECT),
			errmsg("could not connect to the database of data connector \"%s\": %s", remote->name, detail));
}

/* libpq's message about the connection, in one line. */
static char *
strm_remote_message(StrmRemote *remote)
{
	char	   *message = pstrdup(remote->conn != NULL ? PQerrorMessage(remote->conn) : "it is closed");
	size_t		size = strlen(message);

	while (size > 0 && message[size - 1] == '\n')
		message[--size] = '\0';
	for (char *p = message; *p != '\0'; p++)
	{
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	return message;
}

/* Adds one resolved address, if it may be reached. */
static void
strm_remote_add_address(StrmRemoteAddresses *list, const struct addrinfo *info, const char *host, bool trusted,
						bool local_only)
{
	const char *refused = strm_address_refuse(info->ai_addr, trusted, local_only);
	char		text[NI_MAXHOST];

	if (refused != NULL)
		list->refused = refused;
	if (refused != NULL || list->count == STRM_REMOTE_MAX_ADDRESSES ||
		getnameinfo(info->ai_addr, info->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
		return;
	appendStringInfo(&list->hosts, "%s%s", list->count > 0 ? "," : "", host);
	appendStringInfo(&list->addresses, "%s%s", list->count > 0 ? "," : "", text);
	list->count++;
}

/* Resolves the host; raises when nothing is left to connect to. */
static void
strm_remote_resolve(StrmRemote *remote, const StrmConnector *connector, const StrmDatabaseLocation *location,
					StrmRemoteAddresses *list)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	bool		local_only = strncmp(location->sslmode, "verify-", 7) != 0;
	int			result = getaddrinfo(location->host, NULL, &hints, &found);

	if (result != 0)
		strm_remote_fail(remote, psprintf("the name of the host cannot be resolved: %s", gai_strerror(result)));
	memset(list, 0, sizeof(*list));
	initStringInfo(&list->hosts);
	initStringInfo(&list->addresses);
	for (struct addrinfo *info = found; info != NULL; info = info->ai_next)
		strm_remote_add_address(list, info, location->host, connector->trusted, local_only);
	freeaddrinfo(found);
	if (list->count == 0)
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("the host of data connector \"%s\" may not be reached: %s", remote->name,
					   list->refused != NULL ? list->refused : "it has no address"));
}

/* The file of certificates to trust, or "system". */
static const char *
strm_remote_ca(StrmRemote *remote, const char *sslmode)
{
	const char *files[] = {
		X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"
	};

	if (strm_connector_ca_file != NULL && strm_connector_ca_file[0] != '\0')
		return strm_connector_ca_file;
	if (PQlibVersion() >= 160000 && strcmp(sslmode, "verify-full") == 0)
		return "system";
	for (int i = 0; i < lengthof(files); i++)
	{
		if (access(files[i], R_OK) == 0)
			return files[i];
	}
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("there are no certificates to verify the server of data connector \"%s\" with", remote->name),
			errhint("Set strm_privacy.connector_ca_file."));
}

/* Begins to connect. */
static void
strm_remote_start(StrmRemote *remote, const StrmConnector *connector, const StrmDatabaseLocation *location)
{
	const char *keywords[20];
	const char *values[20];
	int			n = 0;
	bool		verify = strncmp(location->sslmode, "verify-", 7) == 0;
	char	   *seconds = psprintf("%d", strm_connector_timeout);
	char	   *milliseconds = psprintf("%d", strm_connector_timeout * 1000);
	StrmRemoteAddresses list;

	strm_remote_resolve(remote, connector, location, &list);
#define STRM_REMOTE_SET(keyword, value) (keywords[n] = (keyword), values[n++] = (value))
	STRM_REMOTE_SET("host", list.hosts.data);
	STRM_REMOTE_SET("hostaddr", list.addresses.data);
	STRM_REMOTE_SET("port", location->port != NULL ? location->port : "5432");
	STRM_REMOTE_SET("dbname", location->dbname);
	STRM_REMOTE_SET("user", location->user);
	STRM_REMOTE_SET("password", location->password != NULL ? location->password : "");
	STRM_REMOTE_SET("passfile", "/dev/null");
	/* instead of the server user's own: without effect, as it does not exist */
	STRM_REMOTE_SET("sslcert", "/dev/null/none");
	STRM_REMOTE_SET("sslmode", location->sslmode);
	if (verify)
		STRM_REMOTE_SET("sslrootcert", strm_remote_ca(remote, location->sslmode));
	if (PQlibVersion() >= 160000)
		STRM_REMOTE_SET("sslcertmode", "disable");
	STRM_REMOTE_SET("gssencmode", "disable");
	STRM_REMOTE_SET("client_encoding", "UTF8");
	STRM_REMOTE_SET("application_name", STRM_EXTENSION_NAME);
	STRM_REMOTE_SET("keepalives_idle", seconds);
	STRM_REMOTE_SET("tcp_user_timeout", milliseconds);
#undef STRM_REMOTE_SET
	keywords[n] = values[n] = NULL;
	remote->conn = PQconnectStartParams(keywords, values, 0);
	if (remote->conn == NULL)
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	if (PQstatus(remote->conn) == CONNECTION_BAD)
		strm_remote_fail(remote, strm_remote_message(remote));
}

/* Waits for the socket or an interrupt; false when timeout milliseconds (-1: any time) have passed. */
static bool
strm_remote_wait(StrmRemote *remote, int events, long timeout)
{
	int			result;

	events |= WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0);
	result = WaitLatchOrSocket(MyLatch, events, PQsocket(remote->conn), timeout, PG_WAIT_EXTENSION);
	if ((result & WL_LATCH_SET) != 0)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return (result & WL_TIMEOUT) == 0;
}

/* Goes on until the connection stands. */
static void
strm_remote_establish(StrmRemote *remote)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), strm_connector_timeout * 1000L);
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	while (status != PGRES_POLLING_OK)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

		if (left <= 0 || !strm_remote_wait(remote, status == PGRES_POLLING_READING ? WL_SOCKET_READABLE
										   : WL_SOCKET_WRITEABLE, left))
			strm_remote_fail(remote, "it took longer than strm_privacy.connector_timeout allows");
		status = PQconnectPoll(remote->conn);
		if (status == PGRES_POLLING_FAILED)
			strm_remote_fail(remote, strm_remote_message(remote));
	}
}

StrmRemote *
strm_remote_open(const StrmConnector *connector, const StrmDatabaseLocation *location)
{
	StrmRemote *remote = palloc0(sizeof(StrmRemote));

	remote->name = pstrdup(connector->name);
	if (!AcquireExternalFD())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("could not connect to the database of a data connector: %m"));
	remote->held = true;
	remote->callback.func = strm_remote_reset;
	remote->callback.arg = remote;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &remote->callback);

	strm_remote_start(remote, connector, location);
	strm_remote_establish(remote);
	if (!superuser() && !PQconnectionUsedPassword(remote->conn))
	{
		strm_remote_close(remote);
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("a password is required, and the server of data connector \"%s\" did not ask for it", remote->name),
				errhint("It must authenticate the user by password, or the user here must be a superuser."));
	}
	/* what libpq itself says of an error later must not quote rows */
	(void) PQsetErrorVerbosity(remote->conn, PQERRORS_SQLSTATE);
	if (PQsetnonblocking(remote->conn, 1) != 0)
		strm_remote_fail(remote, strm_remote_message(remote));
	strm_remote_execute(remote, STRM_REMOTE_SETTINGS);
	return remote;
}

void
strm_remote_flush(StrmRemote *remote)
{
	int			result;

	while ((result = PQflush(remote->conn)) == 1)
	{
		(void) strm_remote_wait(remote, WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, -1);
		/* the other side may have something to say, and not read before that is taken */
		if (PQconsumeInput(remote->conn) == 0)
			strm_remote_raise(remote, NULL, NULL, 0);
	}
	if (result < 0)
		strm_remote_raise(remote, NULL, NULL, 0);
}

PGresult *
strm_remote_result(StrmRemote *remote)
{
	strm_remote_flush(remote);
	while (PQisBusy(remote->conn))
	{
		(void) strm_remote_wait(remote, WL_SOCKET_READABLE, -1);
		if (PQconsumeInput(remote->conn) == 0)
			strm_remote_raise(remote, NULL, NULL, 0);
	}
	return PQgetResult(remote->conn);
}

/* Is it the other server's own message, and not what a function there raised, which may quote whatever it likes? */
static bool
strm_remote_is_own_message(const PGresult *result)
{
	const char *file = result != NULL ? PQresultErrorField(result, PG_DIAG_SOURCE_FILE) : NULL;

	/* pl_exec.c, plperl.c, plpy_elog.c, pltcl.c */
	return file != NULL && strncmp(file, "pl", 2) != 0;
}

/* May the other server's message be shown? Beyond what strm_database_raise_private() knows about. */
static bool
strm_remote_is_safe(const PGresult *result, int sqlstate, bool among_rows)
{
	if (result == NULL)
		return true;			/* libpq's */
	if (!strm_remote_is_own_message(result))
		return false;
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case MAKE_SQLSTATE('4', '2', '0', '0', '0'):	/* may quote a statement that was made of a value */
			return !among_rows || sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE;
		case MAKE_SQLSTATE('0', '8', '0', '0', '0'):
		case MAKE_SQLSTATE('0', 'A', '0', '0', '0'):
		case MAKE_SQLSTATE('2', '5', '0', '0', '0'):
		case MAKE_SQLSTATE('2', '8', '0', '0', '0'):
		case MAKE_SQLSTATE('3', 'D', '0', '0', '0'):
		case MAKE_SQLSTATE('3', 'F', '0', '0', '0'):
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '4', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '5', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):
			return true;
		default:
			return false;
	}
}

void
strm_remote_raise(StrmRemote *remote, PGresult *result, const char *what, uint64 row)
{
	char	   *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	char	   *primary = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	int			sqlstate = STRM_ERR_CONNECT;
	char	   *message = primary != NULL ? pstrdup(primary) : strm_remote_message(remote);
	bool		own = strm_remote_is_own_message(result);
	bool		safe;

	if (state != NULL && strlen(state) == 5)
		sqlstate = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
	safe = strm_remote_is_safe(result, sqlstate, what != NULL);
	if (result != NULL)
		PQclear(result);
	strm_database_raise_private(sqlstate, own ? message : NULL, what != NULL ? what : "the other database", row);
	if (!safe)
		strm_ereport_private(errcode(sqlstate),
							 errmsg("the database of data connector \"%s\" reports an error", remote->name),
							 errdetail("The message itself is left out, because it may quote values."));
	ereport(ERROR,
			errcode(sqlstate),
			errmsg("the database of data connector \"%s\" reports: %s", remote->name, message));
}

PGresult *
strm_remote_query(StrmRemote *remote, const char *sql, int nparams, const char *const *params)
{
	PGresult   *last = NULL;
	PGresult   *result;
	int			sent = params == NULL ? PQsendQuery(remote->conn, sql)
		: PQsendQueryParams(remote->conn, sql, nparams, NULL, params, NULL, NULL, 0);

	if (!sent)
		strm_remote_raise(remote, NULL, NULL, 0);
	while ((result = strm_remote_result(remote)) != NULL)
	{
		ExecStatusType status = PQresultStatus(result);

		if (last != NULL)
			PQclear(last);
		last = NULL;
		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_IN)
			strm_remote_raise(remote, result, NULL, 0);
		last = result;
		if (status == PGRES_COPY_IN)
			break;
	}
	if (last == NULL)
		strm_remote_raise(remote, NULL, NULL, 0);
	return last;
}

void
strm_remote_execute(StrmRemote *remote, const char *sql)
{
	PQclear(strm_remote_query(remote, sql, 0, NULL));
}
