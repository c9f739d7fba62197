/*
 * ingest.h
 *	  What other entry points need of queued ingestion.
 */
#ifndef STRM_API_INGEST_H
#define STRM_API_INGEST_H

/*
 * Waits until the rows that are queued by now are in their streams, of all streams with data
 * subjects. Raises 55000 when they do not get
 * there; warns of rows that were set aside.
 */
extern void strm_ingest_settle(void);

#endif							/* STRM_API_INGEST_H */
