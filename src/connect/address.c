/*
 * address.c
 *	  Which addresses data connectors may reach. It is the resolved address that counts, whatever its name says: so a
 *	  name cannot lead to what its owner may not see.
 */
#include "postgres.h"

#include <netinet/in.h>

#include "connect/address.h"
#include "strm_privacy.h"

/* What holds for both families, once it is known whether the address is this machine's own. */
static const char *
strm_address_refuse_local(bool local, bool trusted, bool local_only)
{
	if (local && !trusted)
		return "its address is this machine's own, which is for connectors and clusters made by an administrator";
	if (!local && local_only)
		return "its address is not this machine's own, and that needs verified TLS";
	return NULL;
}

/* address in host byte order */
static const char *
strm_address_refuse_ipv4(uint32 address, bool trusted, bool local_only)
{
	/* clouds' agents of the machine itself: 168.63.129.16, 100.100.100.200, 192.0.0.192 */
	static const uint32 metadata[] = {0xa83f8110, 0x646464c8, 0xc00000c0};
	bool		local = (address >> 24) == 127 || (address >> 24) == 0;

	if ((address >> 16) == 0xa9fe)	/* 169.254/16 */
		return "its address is link-local";
	for (int i = 0; i < lengthof(metadata); i++)
	{
		if (address == metadata[i])
			return "its address is that of a metadata service";
	}
	return strm_address_refuse_local(local, trusted, local_only);
}

static const char *
strm_address_refuse_ipv6(const struct in6_addr *address, bool trusted, bool local_only)
{
	static const uint8 nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8 metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
	const uint8 *bytes = address->s6_addr;
	uint32		embedded = (uint32) bytes[12] << 24 | bytes[13] << 16 | bytes[14] << 8 | bytes[15];
	bool		local = IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address);

	if (IN6_IS_ADDR_V4MAPPED(address) || memcmp(bytes, nat64, sizeof(nat64)) == 0 ||
		(IN6_IS_ADDR_V4COMPAT(address) && !local))
		return strm_address_refuse_ipv4(embedded, trusted, local_only);
	if (IN6_IS_ADDR_LINKLOCAL(address))
		return "its address is link-local";
	if (memcmp(bytes, metadata, sizeof(metadata)) == 0)
		return "its address is that of a metadata service";
	return strm_address_refuse_local(local, trusted, local_only);
}

const char *
strm_address_refuse(const struct sockaddr *address, bool trusted, bool local_only)
{
	if (address->sa_family == AF_INET)
		return strm_address_refuse_ipv4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr),
										trusted, local_only);
	if (address->sa_family == AF_INET6)
		return strm_address_refuse_ipv6(&((const struct sockaddr_in6 *) address)->sin6_addr, trusted, local_only);
	return "its address is of an unknown kind";
}
