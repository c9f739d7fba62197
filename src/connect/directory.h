/*
 * directory.h
 *	  Kind "directory": files below strm_privacy.connector_directory.
 */
#ifndef STRM_CONNECT_DIRECTORY_H
#define STRM_CONNECT_DIRECTORY_H

#include "connect/connector.h"

extern const StrmConnectorKind strm_directory_kind;

#endif							/* STRM_CONNECT_DIRECTORY_H */
