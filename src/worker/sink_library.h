/*
 * sink_library.h
 *	  The library that talks to brokers. For background workers only: it brings threads.
 */
#ifndef STRM_WORKER_SINK_LIBRARY_H
#define STRM_WORKER_SINK_LIBRARY_H

#include "export/sink.h"

/* Loads it, once in a process. Raises 58P01 when it is not installed, or a library that it needs is not. */
extern const StrmSinkKind *strm_sink_library(void);

#endif							/* STRM_WORKER_SINK_LIBRARY_H */
