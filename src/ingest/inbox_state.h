/*
 * inbox_state.h
 *	  How many rows wait in which inbox, known to all sessions; and producers that wait for room.
 */
#ifndef STRM_INGEST_INBOX_STATE_H
#define STRM_INGEST_INBOX_STATE_H

/* Holds a producer up while the inbox is full: waits, or raises 54000, as strm_privacy.inbox_full says. */
extern void strm_inbox_state_admit(Oid inbox);

/* This transaction queued that many rows. */
extern void strm_inbox_state_queued(Oid inbox, int64 rows);

#endif							/* STRM_INGEST_INBOX_STATE_H */
