/*
 * intent.h
 *	  What batch jobs and batch exporters are about to leave outside the database, written down (and committed by the
 *	  caller) before they do, so that somebody can take it away should the process die.
 *
 *	  Rows of strm.batch_job_intent, whose job_id is the job's or the exporter's. All of this needs a transaction.
 */
#ifndef STRM_CONNECT_INTENT_H
#define STRM_CONNECT_INTENT_H

#include "connect/connector.h"

/* What is to be cleaned up. */
typedef struct StrmRemains
{
	const StrmConnector *connector; /* NULL: nothing is left but the intent */
	StrmStore  *store;			/* or NULL: opened when needed */
	const char *path;
	pg_uuid_t	intent;
	const char *note;
	bool		published;		/* the output is to stay: only what its sink kept goes */
} StrmRemains;

/* Notes a new intent. */
extern pg_uuid_t strm_intent_make(const pg_uuid_t *owner, const pg_uuid_t *connector, const char *path);

/* What the sink tells for cleaning up; NULL: nothing. */
extern void strm_intent_note(const pg_uuid_t *intent, const char *detail);

/* Forgets an intent; nothing happens when the extension was dropped, and all intents with it. */
extern void strm_intent_forget(const pg_uuid_t *intent);

/*
 * Asks the store to remove the remains, and forgets the intent; in a subtransaction: what that raises goes to the
 * server's log. what: "a batch job". false when it should be tried again.
 */
extern bool strm_intent_clean(const StrmRemains *remains, const char *what);

#endif							/* STRM_CONNECT_INTENT_H */
