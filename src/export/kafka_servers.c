/*
 * kafka_servers.c
 *	  Which brokers and other servers a Kafka cluster's definition may name.
 *
 *	  Only the form is checked here, and addresses that are given as such: names are looked at when they are resolved,
 *	  before each connection.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "connect/address.h"
#include "connect/http.h"
#include "export/exporter.h"
#include "export/kafka_property.h"
#include "strm_privacy.h"

#define STRM_KAFKA_SERVERS_MAX 2000
#define STRM_KAFKA_HOST_MAX 253

/* Does a host name say that it is this machine? */
static bool
strm_kafka_host_is_local_name(const char *host)
{
	size_t		size = strlen(host);

	return pg_strcasecmp(host, "localhost") == 0 || pg_strncasecmp(host, "localhost.", 10) == 0 ||
		(size > 10 && pg_strcasecmp(host + size - 10, ".localhost") == 0);
}

/* Why a host may not be reached, as far as it can be told from its text; NULL: nothing known. */
static const char *
strm_kafka_host_refusal(const char *host, bool trusted)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, host, &ipv4.sin_addr) == 1)
		return strm_address_refuse((const struct sockaddr *) &ipv4, trusted, false);
	if (inet_pton(AF_INET6, host, &ipv6.sin6_addr) == 1)
		return strm_address_refuse((const struct sockaddr *) &ipv6, trusted, false);
	if (!trusted && strm_kafka_host_is_local_name(host))
		return "it is this machine itself, which is for clusters made by an administrator";
	return NULL;
}

/* Is it a name or an IPv4 address, or an IPv6 address that stood in brackets? */
static bool
strm_kafka_host_is_valid(const char *host, bool bracketed)
{
	struct in6_addr ignored;

	if (bracketed)
		return inet_pton(AF_INET6, host, &ignored) == 1;
	return host[0] != '\0' && strlen(host) <= STRM_KAFKA_HOST_MAX &&
		strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") == strlen(host);
}

/* Splits "host:port" or "[IPv6]:port", which is changed; false when it is neither. */
static bool
strm_kafka_server_split(char *server, char **host)
{
	bool		bracketed = server[0] == '[';
	char	   *colon = bracketed ? strstr(server, "]:") : strchr(server, ':');
	char	   *port;
	long		number;

	if (colon == NULL)
		return false;
	*colon = '\0';
	*host = bracketed ? server + 1 : server;
	port = colon + (bracketed ? 2 : 1);
	if (strlen(port) == 0 || strlen(port) > 5 || strspn(port, "0123456789") != strlen(port))
		return false;
	number = strtol(port, NULL, 10);
	return number >= 1 && number <= 65535 && strm_kafka_host_is_valid(*host, bracketed);
}

static char *
strm_kafka_trim(char *text)
{
	size_t		size;

	text += strspn(text, " ");
	for (size = strlen(text); size > 0 && text[size - 1] == ' '; size--)
		text[size - 1] = '\0';
	return text;
}

void
strm_kafka_servers_check(const char *servers, bool trusted, StrmFaults *faults)
{
	char	   *rest = pstrdup(servers);
	char	   *server;

	if (strcmp(servers, STRM_KAFKA_EMBEDDED) == 0)
		return;
	if (strlen(servers) > STRM_KAFKA_SERVERS_MAX)
	{
		strm_faults_add(faults, "bootstrap_servers has more than %d characters", STRM_KAFKA_SERVERS_MAX);
		return;
	}
	while ((server = strsep(&rest, ",")) != NULL)
	{
		char	   *host;
		char	   *shown = pstrdup(strm_kafka_trim(server));
		const char *refusal;

		if (!strm_kafka_server_split(strm_kafka_trim(server), &host))
		{
			strm_faults_add(faults,
							"bootstrap_servers must be host:port, or several of them with commas between, or '%s'",
							STRM_KAFKA_EMBEDDED);
			return;
		}
		refusal = strm_kafka_host_refusal(host, trusted);
		if (refusal != NULL)
			strm_faults_add(faults, "bootstrap_servers: \"%s\" may not be reached: %s", shown, refusal);
	}
}

void
strm_kafka_url_check(const char *url, const char *what, bool trusted, StrmFaults *faults)
{
	StrmConnector connector = {.trusted = trusted};
	const char *begin;
	char	   *host;
	const char *refusal;

	if (!strm_http_check_url(&connector, url, what, faults))
		return;
	begin = strstr(url, "://") + 3;
	host = *begin == '[' ? pnstrdup(begin + 1, strcspn(begin + 1, "]")) : pnstrdup(begin, strcspn(begin, ":/"));
	refusal = strm_kafka_host_refusal(host, trusted);
	if (refusal != NULL)
		strm_faults_add(faults, "%s may not be reached: %s", what, refusal);
}
