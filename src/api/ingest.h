/*
 * ingest.h
 *	  What other entry points need of queued ingestion.
 */
#ifndef STRM_API_INGEST_H
#define STRM_API_INGEST_H

/*
 * What is queued of n data subjects, in all streams with data subjects: waits until the rows that are queued by now are
 * in their streams, and deletes those of the subjects that were set aside; returns how many. Raises 55000 when rows do
 * not get there; warns of rows that cannot be opened.
 */
extern int64 strm_ingest_erase(text *const *subjects, int n);

#endif							/* STRM_API_INGEST_H */
