/*
 * address.h
 *	  Which addresses data connectors may reach.
 */
#ifndef STRM_CONNECT_ADDRESS_H
#define STRM_CONNECT_ADDRESS_H

#include <sys/socket.h>

/*
 * Why a server at a resolved address may not be reached, or NULL: link-local addresses and metadata services never,
 * this machine's own only when trusted, and all others not when local_only, which is when TLS is not verified.
 */
extern const char *strm_address_refuse(const struct sockaddr *address, bool trusted, bool local_only);

#endif							/* STRM_CONNECT_ADDRESS_H */
