/*
 * entity_log.h
 *	  The last messages of each entity (strm.entity_log): what it did and what went wrong with it.
 */
#ifndef STRM_CATALOG_ENTITY_LOG_H
#define STRM_CATALOG_ENTITY_LOG_H

#include "utils/uuid.h"

/* Messages that are kept of one entity. */
#define STRM_ENTITY_LOG_MESSAGES 1000

/*
 * Adds a message, in the current transaction. entity: as in strm.entity_states ("batch_exporter"); level: LOG, WARNING
 * or ERROR; sqlstate 0: none; hint may be NULL. message and hint never hold a personal value or a credential. Of an
 * entity's messages the last STRM_ENTITY_LOG_MESSAGES are kept (a few more until somebody sweeps).
 */
extern void strm_entity_log(const char *entity, const pg_uuid_t *id, int level, int sqlstate, const char *message,
							const char *hint);

/*
 * The same for a state that is new: with an error (message, and perhaps hint) that is what it says, and else the state
 * alone. fatal: it does not go on by itself.
 */
extern void strm_entity_log_state(const char *entity, const pg_uuid_t *id, const char *state, bool fatal, int sqlstate,
								  const char *message, const char *hint);

/* Those of an entity that is gone. */
extern void strm_entity_log_forget(const pg_uuid_t *id);

#endif							/* STRM_CATALOG_ENTITY_LOG_H */
