/*
 * cache.c
 *	  OIDs of the extension's tables and indexes, and the only invalidation callback of the catalog caches.
 *
 *	  Writers of a registry table send a relcache invalidation of it (trigger strm.invalidate_cache). The callback does
 *	  no catalog access and frees nothing: it bumps the generation, and forgets the OIDs when our own relations may have
 *	  changed identity. Whoever caches something compares generations at its next use. An invalidation of an unrelated
 *	  relation changes nothing.
 *
 *	  data_key and data_subject_link are written by every new session of a stream, so they are not among the tables that
 *	  move the generation; their readers must not cache the absence of a row, and who deletes from them says so
 *	  (strm_catalog_move_generation).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog/cache.h"
#include "common/errors.h"
#include "strm_privacy.h"

static const char *const table_names[STRM_NTABLES] = {
	[STRM_TABLE_BATCH_EXPORTER] = "batch_exporter",
	[STRM_TABLE_DATA_CONTRACT] = "data_contract",
	[STRM_TABLE_DATA_KEY] = "data_key",
	[STRM_TABLE_DATA_KEY_TOMBSTONE] = "data_key_tombstone",
	[STRM_TABLE_DATA_SUBJECT_LINK] = "data_subject_link",
	[STRM_TABLE_DERIVED_STREAM] = "derived_stream",
	[STRM_TABLE_ERASED_EVENT] = "erased_event",
	[STRM_TABLE_INBOX] = "inbox",
	[STRM_TABLE_INBOX_KEY] = "inbox_key",
	[STRM_TABLE_KAFKA_CLUSTER] = "kafka_cluster",
	[STRM_TABLE_KAFKA_EXPORTER] = "kafka_exporter",
	[STRM_TABLE_POLICY] = "policy",
	[STRM_TABLE_PURPOSE] = "purpose",
	[STRM_TABLE_STREAM] = "stream",
};

static const char *const index_names[STRM_NINDEXES] = {
	[STRM_INDEX_DATA_CONTRACT] = "data_contract_pkey",
	[STRM_INDEX_DATA_CONTRACT_REF] = "data_contract_ref_key",
	[STRM_INDEX_DATA_KEY] = "data_key_pkey",
	[STRM_INDEX_DATA_KEY_LOOKUP] = "data_key_lookup_idx",
	[STRM_INDEX_DATA_KEY_TOMBSTONE] = "data_key_tombstone_pkey",
	[STRM_INDEX_DATA_SUBJECT_LINK] = "data_subject_link_pkey",
	[STRM_INDEX_DATA_SUBJECT_LINK_SUBJECT] = "data_subject_link_subject_idx",
	[STRM_INDEX_DERIVED_STREAM] = "derived_stream_pkey",
	[STRM_INDEX_DERIVED_STREAM_RELID] = "derived_stream_relid_key",
	[STRM_INDEX_ERASED_EVENT] = "erased_event_pkey",
	[STRM_INDEX_INBOX] = "inbox_pkey",
	[STRM_INDEX_INBOX_KEY] = "inbox_key_pkey",
	[STRM_INDEX_INBOX_RELID] = "inbox_relid_key",
	[STRM_INDEX_POLICY] = "policy_pkey",
	[STRM_INDEX_PURPOSE] = "purpose_pkey",
	[STRM_INDEX_STREAM] = "stream_pkey",
	[STRM_INDEX_STREAM_RELID] = "stream_relid_key",
};

/* What this file knows of the current database. A zero OID is one not looked up yet. */
static struct
{
	uint64		generation;
	Oid			tables[STRM_NTABLES];
	Oid			indexes[STRM_NINDEXES];
} cache = {.generation = 1};

PG_FUNCTION_INFO_V1(strm_sql_invalidate_cache);

/* A relation may have changed, or all of them (InvalidOid). Must not throw, allocate or read a catalog. */
static void
strm_catalog_invalidate(Datum arg, Oid relid)
{
	bool		concerns_us = !OidIsValid(relid);

	for (int i = 0; i < STRM_NTABLES && !concerns_us; i++)
		concerns_us = cache.tables[i] == relid && i != STRM_TABLE_DATA_KEY && i != STRM_TABLE_DATA_SUBJECT_LINK;

	if (concerns_us)
		cache.generation++;

	/* An index is dropped and made anew by ALTER TABLE; its own invalidation tells. */
	for (int i = 0; i < STRM_NTABLES; i++)
	{
		if (!OidIsValid(relid) || cache.tables[i] == relid)
			cache.tables[i] = InvalidOid;
	}
	for (int i = 0; i < STRM_NINDEXES; i++)
	{
		if (!OidIsValid(relid) || cache.indexes[i] == relid)
			cache.indexes[i] = InvalidOid;
	}
}

void
strm_catalog_init(void)
{
	CacheRegisterRelcacheCallback(strm_catalog_invalidate, (Datum) 0);
}

uint64
strm_catalog_generation(void)
{
	return cache.generation;
}

void
strm_catalog_move_generation(void)
{
	CacheInvalidateRelcacheByRelid(strm_catalog_table(STRM_TABLE_DATA_KEY_TOMBSTONE));
}

/* OID of a relation of schema strm, or an error that says what is missing. */
static Oid
strm_catalog_relation(const char *name)
{
	Oid			schema = get_namespace_oid(STRM_SCHEMA_NAME, true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("extension \"%s\" is not complete in this database", STRM_EXTENSION_NAME),
				errdetail("There is no relation \"%s.%s\".", STRM_SCHEMA_NAME, name),
				errhint("Use CREATE EXTENSION %s.", STRM_EXTENSION_NAME));
	return relid;
}

/*
 * The slot is written after the lookup, which may itself have processed the invalidation that empties it. While a slot
 * is empty the table's invalidations are not recognised as ours; nothing can have been cached from it since, as its
 * readers come here.
 */
Oid
strm_catalog_table(StrmTable which)
{
	if (!OidIsValid(cache.tables[which]))
	{
		Oid			relid = strm_catalog_relation(table_names[which]);

		cache.tables[which] = relid;
	}
	return cache.tables[which];
}

Oid
strm_catalog_index(StrmIndex which)
{
	if (!OidIsValid(cache.indexes[which]))
	{
		Oid			relid = strm_catalog_relation(index_names[which]);

		cache.indexes[which] = relid;
	}
	return cache.indexes[which];
}

Oid
strm_catalog_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

char *
strm_catalog_relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* Not pg_extension.extowner, who need not own the tables: theirs is the role that may write them. */
Oid
strm_catalog_owner(void)
{
	return strm_catalog_relation_owner(strm_catalog_table(STRM_TABLE_DATA_CONTRACT));
}

bool
strm_catalog_exists(void)
{
	return OidIsValid(cache.tables[STRM_TABLE_DATA_CONTRACT]) ||
		OidIsValid(get_extension_oid(STRM_EXTENSION_NAME, true));
}

bool
strm_catalog_complete(void)
{
	Oid			schema = get_namespace_oid(STRM_SCHEMA_NAME, true);

	return OidIsValid(schema) && OidIsValid(get_relname_relid(table_names[STRM_TABLE_STREAM], schema)) &&
		OidIsValid(get_relname_relid(table_names[STRM_TABLE_INBOX], schema)) && strm_catalog_exists();
}

/*
 * strm.invalidate_cache(): statement trigger of the registry tables. Every backend rebuilds what it made of this table.
 */
Datum
strm_sql_invalidate_cache(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("strm.invalidate_cache() is a trigger function"));

	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}
