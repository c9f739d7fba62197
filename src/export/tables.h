/*
 * tables.h
 *	  Which tables an export worker wants: those of streams that it exports, with all their partitions.
 *
 *	  Tables are known by OID. A partition that was made since the last look is found by its ancestors; a table that is
 *	  none of ours is remembered as that until something happens to it. What belongs to a stream is the caller's.
 */
#ifndef STRM_EXPORT_TABLES_H
#define STRM_EXPORT_TABLES_H

typedef struct StrmExportTables StrmExportTables;

/* In the current memory context, for good: one in a process. */
extern StrmExportTables *strm_export_tables_create(void);

/* Forgets all. In the memory that this returns, what belongs to streams may be kept: until the next reset. */
extern MemoryContext strm_export_tables_reset(StrmExportTables *tables);

/* Adds a table and its partitions; stream is not NULL. In a transaction. */
extern void strm_export_tables_add(StrmExportTables *tables, Oid relid, void *stream);

/* What was added with that table itself, not with one that it is a partition of; or NULL. */
extern void *strm_export_tables_find(StrmExportTables *tables, Oid relid);

/*
 * A StrmDecoderWanted, without its first argument: a table that is not known and may be a partition of ours is wanted,
 * to have a closer look.
 */
extern bool strm_export_tables_wanted(StrmExportTables *tables, Oid relid);

/* What belongs to a table's stream; NULL: it is none of ours. In a transaction. */
extern void *strm_export_tables_stream(StrmExportTables *tables, Oid relid);

#endif							/* STRM_EXPORT_TABLES_H */
