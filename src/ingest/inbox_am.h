/*
 * inbox_am.h
 *	  The table access method strm_inbox.
 */
#ifndef STRM_INGEST_INBOX_AM_H
#define STRM_INGEST_INBOX_AM_H

#include "access/tableam.h"

/* The routines, of process lifetime. */
extern const TableAmRoutine *strm_inbox_am(void);

#endif							/* STRM_INGEST_INBOX_AM_H */
