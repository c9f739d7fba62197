/*
 * entity_log.c
 *	  The last messages of each entity: rows of strm.entity_message.
 *
 *	  Nobody waits here: messages that somebody else is deleting are left to him. So a message can be written in the
 *	  midst of any work.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "catalog/entity_log.h"
#include "catalog/registry.h"
#include "strm_privacy.h"

static const char *
strm_entity_log_level(int level)
{
	return level >= ERROR ? "ERROR" : level >= WARNING ? "WARNING" : "LOG";
}

void
strm_entity_log(const char *entity, const pg_uuid_t *id, int level, int sqlstate, const char *message,
				const char *hint)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(id), false);
	strm_registry_add_text(&args, entity);
	strm_registry_add_text(&args, strm_entity_log_level(level));
	strm_registry_add_text(&args, sqlstate == 0 ? NULL : unpack_sql_state(sqlstate));
	strm_registry_add_text(&args, message);
	strm_registry_add_text(&args, hint);
	strm_registry_execute("INSERT INTO strm.entity_message (id, entity, level, sqlstate, message, hint)"
						  " VALUES ($1, $2, $3, $4, $5, $6)",
						  STRM_REGISTRY_ARGS(&args));
	strm_registry_add(&args, INT4OID, Int32GetDatum(STRM_ENTITY_LOG_MESSAGES), false);
	strm_registry_execute("DELETE FROM strm.entity_message WHERE number IN (SELECT number FROM strm.entity_message"
						  "  WHERE id = $1 AND number <= (SELECT number FROM strm.entity_message WHERE id = $1"
						  "   ORDER BY number DESC OFFSET $7 LIMIT 1) FOR UPDATE SKIP LOCKED) AND id = $1",
						  STRM_REGISTRY_ARGS(&args));
}

void
strm_entity_log_state(const char *entity, const pg_uuid_t *id, const char *state, bool fatal, int sqlstate,
					  const char *message, const char *hint)
{
	if (message == NULL)
		strm_entity_log(entity, id, LOG, 0, psprintf("is now %s", state), NULL);
	else
		strm_entity_log(entity, id, fatal ? ERROR : WARNING, sqlstate, message, hint);
}

void
strm_entity_log_forget(const pg_uuid_t *id)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(id), false);
	strm_registry_execute("DELETE FROM strm.entity_message WHERE id = $1 AND number IN (SELECT number"
						  " FROM strm.entity_message WHERE id = $1 FOR UPDATE SKIP LOCKED)",
						  STRM_REGISTRY_ARGS(&args));
}
