/*
 * cache.h
 *	  OIDs of the extension's tables, and the one notice that something cached from them may be stale.
 */
#ifndef STRM_CATALOG_CACHE_H
#define STRM_CATALOG_CACHE_H

typedef enum StrmTable
{
	STRM_TABLE_BATCH_EXPORTER,
	STRM_TABLE_DATA_CONTRACT,
	STRM_TABLE_DATA_KEY,
	STRM_TABLE_DATA_KEY_TOMBSTONE,
	STRM_TABLE_DATA_SUBJECT_LINK,
	STRM_TABLE_DERIVED_STREAM,
	STRM_TABLE_ERASED_EVENT,
	STRM_TABLE_INBOX,
	STRM_TABLE_INBOX_KEY,
	STRM_TABLE_KAFKA_CLUSTER,
	STRM_TABLE_KAFKA_EXPORTER,
	STRM_TABLE_POLICY,
	STRM_TABLE_PURPOSE,
	STRM_TABLE_STREAM,
	STRM_NTABLES
} StrmTable;

typedef enum StrmIndex
{
	STRM_INDEX_DATA_CONTRACT,	/* id */
	STRM_INDEX_DATA_CONTRACT_REF,	/* handle, name, version */
	STRM_INDEX_DATA_KEY,		/* key_link, copy */
	STRM_INDEX_DATA_KEY_LOOKUP, /* lookup */
	STRM_INDEX_DATA_KEY_TOMBSTONE,	/* key_link */
	STRM_INDEX_DATA_SUBJECT_LINK,	/* key_link, subject_hash, copy */
	STRM_INDEX_DATA_SUBJECT_LINK_SUBJECT,	/* subject_hash */
	STRM_INDEX_DERIVED_STREAM,	/* id */
	STRM_INDEX_DERIVED_STREAM_RELID,	/* relation */
	STRM_INDEX_ERASED_EVENT,	/* key_link, nonce */
	STRM_INDEX_INBOX,			/* stream_id */
	STRM_INDEX_INBOX_KEY,		/* stream_id, id */
	STRM_INDEX_INBOX_RELID,		/* relation */
	STRM_INDEX_POLICY,			/* id */
	STRM_INDEX_PURPOSE,			/* level */
	STRM_INDEX_STREAM,			/* id */
	STRM_INDEX_STREAM_RELID,	/* relation */
	STRM_NINDEXES
} StrmIndex;

/*
 * OID of a table or index of ours in this database. Raises 55000 when the extension is not created here. An OID lookup
 * may process invalidations: take the generation afterwards.
 */
extern Oid	strm_catalog_table(StrmTable which);
extern Oid	strm_catalog_index(StrmIndex which);

/* Owner of the extension's tables: the role that registry writes run as. */
extern Oid	strm_catalog_owner(void);

/* Owner of any relation; raises 42P01 when it was dropped. */
extern Oid	strm_catalog_relation_owner(Oid relid);

/* Qualified and quoted name of a relation that exists, for SQL; in the current context. */
extern char *strm_catalog_relation_name(Oid relid);

/* Is the extension created in this database? For hooks, which run in every database. Needs a transaction. */
extern bool strm_catalog_exists(void);

/*
 * The same, and its tables of streams and inboxes are there, too: not while CREATE EXTENSION is at work, or DROP
 * EXTENSION nearly done.
 */
extern bool strm_catalog_complete(void);

/*
 * A number that changes whenever a row of data_contract, stream, derived_stream, inbox, inbox_key, policy, purpose,
 * data_key_tombstone, kafka_cluster, kafka_exporter or batch_exporter may have changed. Read it before the rows,
 * keep it beside what was built from them, and build anew when it differs.
 */
extern uint64 strm_catalog_generation(void);

/*
 * Moves the generation of every backend when this transaction commits, and of this one with the next command: for
 * changes of other tables that caches depend on.
 */
extern void strm_catalog_move_generation(void);

/* Registers the invalidation callback; called once, by _PG_init. */
extern void strm_catalog_init(void);

#endif							/* STRM_CATALOG_CACHE_H */
