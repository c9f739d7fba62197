/*
 * compat.h
 *	  The only place that tests PG_VERSION_NUM: newer servers' names and signatures for PostgreSQL 15, 17 and 18.
 */
#ifndef STRM_COMPAT_H
#define STRM_COMPAT_H

#include "catalog/pg_namespace.h"
#include "fmgr.h"

#if PG_VERSION_NUM < 150000
#error "strm_privacy needs PostgreSQL 15 or later"
#endif

/* 16 moved the macros of variable-length values out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18's way to say it; the older pg_attribute_noreturn() is gone there. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* Before 16 PGDLLEXPORT is empty on ELF systems, where -fvisibility=hidden would hide entry points. */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

/* As of 16 the macro exports the function, too, and not only its description. */
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, funcname) (void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_, funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = {1}; \
	return &my_finfo; \
} \
extern int	no_such_variable
#endif

/* 16 renamed the ownership checks to one function that takes the object's class. */
#if PG_VERSION_NUM < 160000
#define object_ownercheck_relation(relid, roleid) pg_class_ownercheck(relid, roleid)
#else
#define object_ownercheck_relation(relid, roleid) object_ownercheck(RelationRelationId, relid, roleid)
#endif

/* 18 counts index searches for EXPLAIN, which our own scans do not take part in. */
#if PG_VERSION_NUM < 180000
#define strm_index_beginscan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, nkeys, norderbys)
#else
#define strm_index_beginscan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, norderbys)
#endif

/* 18 has CHECK constraints that are not enforced. */
#if PG_VERSION_NUM < 180000
#define strm_check_is_enforced(check) true
#else
#define strm_check_is_enforced(check) ((check)->ccenforced)
#endif

/* 16 lets callers of a sort take its datums without a copy, and tells reading to the end of a temporary file apart. */
#if PG_VERSION_NUM < 160000
#define strm_tuplesort_getdatum(sort, forward, copy, value, isnull, abbrev) \
	tuplesort_getdatum(sort, forward, value, isnull, abbrev)
#define strm_buffile_read(file, data, size) BufFileRead(file, data, size)
#else
#define strm_tuplesort_getdatum(sort, forward, copy, value, isnull, abbrev) \
	tuplesort_getdatum(sort, forward, copy, value, isnull, abbrev)
#define strm_buffile_read(file, data, size) BufFileReadMaybeEOF(file, data, size, true)
#endif

/*
 * 16 keeps permissions beside the range table, tells summarising indexes apart, and finds the map to a partition on
 * demand; 18 prunes the range table.
 */
#if PG_VERSION_NUM < 160000
#define strm_init_range_table(estate, entry) ExecInitRangeTable(estate, list_make1(entry))
#define strm_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL)
#define strm_root_to_child_map(target, estate) ((target)->ri_RootToPartitionMap)
#else
#if PG_VERSION_NUM < 180000
#define strm_init_range_table_with(estate, entries, permissions) ExecInitRangeTable(estate, entries, permissions)
#else
#define strm_init_range_table_with(estate, entries, permissions) \
	ExecInitRangeTable(estate, entries, permissions, bms_make_singleton(1))
#endif
#define strm_init_range_table(estate, entry) \
	do { \
		List	   *strm_permissions = NIL; \
		addRTEPermissionInfo(&strm_permissions, entry); \
		strm_init_range_table_with(estate, list_make1(entry), strm_permissions); \
	} while (0)
#define strm_insert_index_tuples(target, slot, estate) \
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, false)
#define strm_root_to_child_map(target, estate) ExecGetRootToChildMap(target, estate)
#endif

/* 16 tells which indexes an update concerns. */
#if PG_VERSION_NUM < 160000
#define StrmUpdateIndexes bool
#define strm_heap_update(rel, tid, tuple) simple_heap_update(rel, tid, tuple)
#else
#define StrmUpdateIndexes TU_UpdateIndexes
#define strm_heap_update(rel, tid, tuple) \
	do { \
		TU_UpdateIndexes strm_indexes; \
		simple_heap_update(rel, tid, tuple, &strm_indexes); \
	} while (0)
#endif

/* 16 did the same to the privilege checks. */
#if PG_VERSION_NUM < 160000
#define strm_schema_aclcheck(schema, roleid, mode) pg_namespace_aclcheck(schema, roleid, mode)
#else
#define strm_schema_aclcheck(schema, roleid, mode) object_aclcheck(NamespaceRelationId, schema, roleid, mode)
#endif

/* 16 renamed what names a table's file. */
#if PG_VERSION_NUM < 160000
#define StrmFileLocator RelFileNode
#define strm_locator rnode
#define strm_target target_node
#define strm_database dbNode
#define strm_tablespace spcNode
#else
#define StrmFileLocator RelFileLocator
#define strm_locator rlocator
#define strm_target target_locator
#define strm_database dbOid
#define strm_tablespace spcOid
#endif

/* 16 has a cause of a slot's invalidation where 15 keeps the position that it had. */
#if PG_VERSION_NUM < 160000
#define strm_slot_is_invalidated(data) \
	(XLogRecPtrIsInvalid((data)->restart_lsn) && !XLogRecPtrIsInvalid((data)->invalidated_at))
#else
#define strm_slot_is_invalidated(data) ((data)->invalidated != RS_INVAL_NONE)
#endif

/* 17 has slots that standbys take over, and unwrapped the tuples of decoded changes. */
#if PG_VERSION_NUM < 170000
#define strm_replication_slot_create(name) ReplicationSlotCreate(name, true, RS_EPHEMERAL, false)
#define strm_standbys_have(lsn) true
#define strm_change_tuple(change) (&(change)->data.tp.newtuple->tuple)
#else
#define strm_replication_slot_create(name) ReplicationSlotCreate(name, true, RS_EPHEMERAL, false, true, false)
#define strm_standbys_have(lsn) \
	(MyReplicationSlot == NULL || !MyReplicationSlot->data.failover || StandbySlotsHaveCaughtup(lsn, DEBUG1))
#define strm_change_tuple(change) ((change)->data.tp.newtuple)
#endif

/* 18 can refuse invalidated slots itself. */
#if PG_VERSION_NUM < 180000
#define strm_replication_slot_acquire(name) ReplicationSlotAcquire(name, false)
#else
#define strm_replication_slot_acquire(name) ReplicationSlotAcquire(name, false, false)
#endif

/* 17 ties wait event sets to resource owners instead of memory contexts. */
#if PG_VERSION_NUM < 170000
#define strm_create_wait_event_set(cxt, n) CreateWaitEventSet(cxt, n)
#else
#define strm_create_wait_event_set(cxt, n) CreateWaitEventSet(NULL, n)
#endif

#endif							/* STRM_COMPAT_H */
