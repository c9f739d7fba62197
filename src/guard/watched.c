/*
 * watched.c
 *	  The names by which a statement may reach a stream, known without reading a catalog.
 *
 *	  When an error is logged the transaction is aborted and no catalog can be read, so each session keeps these names:
 *	  streams, their inboxes, partitions and parents, views over them, functions whose body names any of these, tables
 *	  and views with a trigger that calls such a function, and the schema strm itself. Read at the first name lookup of
 *	  a session and again after a change; until then a text counts as naming a stream (strm_watched_current).
 *
 *	  A stream reached in another way (a name put together at run time) is noticed by the executor's hook, see
 *	  log_redaction.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog/cache.h"
#include "guard/watched.h"
#include "strm_privacy.h"

/* Rounds of following functions that call functions; views and partitions are followed to their end. */
#define STRM_WATCHED_ROUNDS 4

/* How many relations that changed are looked at one by one; of more, everything is read again. */
#define STRM_WATCHED_SUSPECTS 32

static struct
{
	MemoryContext cxt;			/* owns all below */
	HTAB	   *relations;		/* Oid */
	HTAB	   *names;			/* folded name */
	List	   *odd_names;		/* names that are not plain identifiers, as written */
	List	   *functions;		/* users' functions whose body names something watched */
	uint64		generation;		/* of the registry, when read */
	bool		changed;		/* a function, view or watched relation may have changed since */
	bool		loaded;
	bool		loading;
	int			nsuspects;
	Oid			suspects[STRM_WATCHED_SUSPECTS];	/* not watched, but changed: may have a new trigger */
} watched;

static inline bool
strm_watched_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '$' || IS_HIGHBIT_SET(c);
}

/* Copies name with ASCII letters in lower case into folded, cut as an identifier is. */
static void
strm_watched_fold(char folded[NAMEDATALEN], const char *name, Size size)
{
	Size		n = Min(size, NAMEDATALEN - 1);

	for (Size i = 0; i < n; i++)
		folded[i] = pg_ascii_tolower((unsigned char) name[i]);
	folded[n] = '\0';
}

/* Adds a name; returns true if it is new. */
static bool
strm_watched_add_name(const char *name)
{
	char		folded[NAMEDATALEN];
	bool		plain = true;
	bool		found;

	for (const char *p = name; *p != '\0'; p++)
		plain = plain && strm_watched_letter(*p);

	strm_watched_fold(folded, name, strlen(name));
	(void) hash_search(watched.names, folded, HASH_ENTER, &found);
	if (!plain && !found)
	{
		MemoryContext old = MemoryContextSwitchTo(watched.cxt);

		/* as it stands in a statement, between double quotes that it doubles */
		watched.odd_names = lappend(watched.odd_names, pstrdup(quote_identifier(name)));
		MemoryContextSwitchTo(old);
	}
	return !found;
}

/* Adds a relation and its name; appends it to *worklist if it is new. */
static void
strm_watched_add_relation(Oid relid, List **worklist)
{
	char	   *name;
	bool		found;

	(void) hash_search(watched.relations, &relid, HASH_ENTER, &found);
	if (found)
		return;
	name = get_rel_name(relid);
	if (name != NULL)
		strm_watched_add_name(name);
	*worklist = lappend_oid(*worklist, relid);
}

/* Adds the tables of strm.stream or strm.inbox. */
static void
strm_watched_add_registered(StrmTable which, List **worklist)
{
	Oid			registry = strm_catalog_table(which);
	AttrNumber	attnum = get_attnum(registry, "relation");
	Relation	rows = table_open(registry, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rows, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		relid = heap_getattr(tuple, attnum, RelationGetDescr(rows), &isnull);

		if (!isnull)
			strm_watched_add_relation(DatumGetObjectId(relid), worklist);
	}
	systable_endscan(scan);
	table_close(rows, AccessShareLock);
}

/* The relation that a rule belongs to. */
static Oid
strm_watched_rule_relation(Oid rule)
{
	Relation	rules = table_open(RewriteRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			relid = InvalidOid;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(rule));
	scan = systable_beginscan(rules, RewriteOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		relid = ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
	systable_endscan(scan);
	table_close(rules, AccessShareLock);
	return relid;
}

/* Adds the views and functions that depend on a relation. */
static void
strm_watched_add_dependents(Oid relid, List **worklist)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->classid == RewriteRelationId)
		{
			Oid			user = strm_watched_rule_relation(row->objid);

			if (OidIsValid(user))
				strm_watched_add_relation(user, worklist);
		}
		else if (row->classid == ProcedureRelationId)
		{
			char	   *name = get_func_name(row->objid);

			if (name != NULL)
				strm_watched_add_name(name);
		}
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
}

/* Adds what inherits from a relation (match parent) or what it inherits from (match child). */
static void
strm_watched_add_relatives(Oid relid, bool children, List **worklist)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, children ? Anum_pg_inherits_inhparent : Anum_pg_inherits_inhrelid,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, children ? InheritsParentIndexId : InheritsRelidSeqnoIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits row = (Form_pg_inherits) GETSTRUCT(tuple);

		strm_watched_add_relation(children ? row->inhrelid : row->inhparent, worklist);
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
}

/* Follows every relation of the worklist, which grows meanwhile, to its end. */
static void
strm_watched_follow(List *worklist)
{
	for (int i = 0; i < list_length(worklist); i++)
	{
		Oid			relid = list_nth_oid(worklist, i);

		strm_watched_add_dependents(relid, &worklist);
		strm_watched_add_relatives(relid, true, &worklist);
		strm_watched_add_relatives(relid, false, &worklist);
	}
}

/* Adds users' functions whose body names something watched; their OIDs go to *functions. Returns true if any is new. */
static bool
strm_watched_add_functions(List **functions)
{
	Relation	procs = table_open(ProcedureRelationId, AccessShareLock);
	Oid			own_schema = get_namespace_oid(STRM_SCHEMA_NAME, true);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		grown = false;

	ScanKeyInit(&key, Anum_pg_proc_oid, BTGreaterEqualStrategyNumber, F_OIDGE, ObjectIdGetDatum(FirstNormalObjectId));
	scan = systable_beginscan(procs, ProcedureOidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_proc row = (Form_pg_proc) GETSTRUCT(tuple);
		bool		isnull;
		Datum		source;
		char	   *body;

		if (row->pronamespace == own_schema || list_member_oid(*functions, row->oid))
			continue;
		source = heap_getattr(tuple, Anum_pg_proc_prosrc, RelationGetDescr(procs), &isnull);
		if (isnull)
			continue;
		body = TextDatumGetCString(source);
		if (strm_watched_text(body))
		{
			grown |= strm_watched_add_name(NameStr(row->proname));
			*functions = lappend_oid(*functions, row->oid);
		}
		pfree(body);
	}
	systable_endscan(scan);
	table_close(procs, AccessShareLock);
	return grown;
}

/* Adds the tables and views that have a trigger calling one of the functions. */
static void
strm_watched_add_trigger_relations(List *functions, List **worklist)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(triggers, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger row = (Form_pg_trigger) GETSTRUCT(tuple);

		if (list_member_oid(functions, row->tgfoid))
			strm_watched_add_relation(row->tgrelid, worklist);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
}

/* Forgets everything and begins empty tables. */
static void
strm_watched_begin(void)
{
	HASHCTL		by_oid = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};
	HASHCTL		by_name = {.keysize = NAMEDATALEN, .entrysize = NAMEDATALEN};

	watched.loaded = false;
	watched.odd_names = NIL;
	watched.functions = NIL;
	watched.nsuspects = 0;
	if (watched.cxt == NULL)
		watched.cxt = AllocSetContextCreate(TopMemoryContext, "strm_privacy watched names", ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(watched.cxt);
	by_oid.hcxt = by_name.hcxt = watched.cxt;
	watched.relations = hash_create("strm_privacy watched relations", 64, &by_oid,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	watched.names = hash_create("strm_privacy watched names", 64, &by_name, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* Reads everything. An error leaves the names not loaded. */
static void
strm_watched_load(void)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "strm_privacy watched load", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	List	   *worklist = NIL;
	List	   *functions = NIL;

	strm_watched_begin();
	watched.changed = false;
	old = MemoryContextSwitchTo(work);
	if (strm_catalog_complete())
	{
		/* An OID lookup may move the generation, so it comes first. */
		(void) strm_catalog_table(STRM_TABLE_STREAM);
		(void) strm_catalog_table(STRM_TABLE_INBOX);
		watched.generation = strm_catalog_generation();
		strm_watched_add_name(STRM_SCHEMA_NAME);
		strm_watched_add_name("ingest");
		strm_watched_add_registered(STRM_TABLE_STREAM, &worklist);
		strm_watched_add_registered(STRM_TABLE_INBOX, &worklist);
		strm_watched_follow(worklist);
		for (int i = 0; i < STRM_WATCHED_ROUNDS && strm_watched_add_functions(&functions); i++)
		{
			worklist = NIL;
			strm_watched_add_trigger_relations(functions, &worklist);
			strm_watched_follow(worklist);
		}
	}
	else
		watched.generation = strm_catalog_generation();
	MemoryContextSwitchTo(watched.cxt);
	watched.functions = list_copy(functions);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	watched.loaded = true;
}

/* Has the relation a trigger that calls a watched function? */
static bool
strm_watched_calls(Oid relid)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		calls = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (!calls && HeapTupleIsValid(tuple = systable_getnext(scan)))
		calls = list_member_oid(watched.functions, ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid);
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return calls;
}

/* Looks at the relations that changed; marks when one of them has to be watched now. Reading may add further ones. */
static void
strm_watched_clear_suspects(void)
{
	while (watched.nsuspects > 0 && !watched.changed)
	{
		Oid			relid = watched.suspects[--watched.nsuspects];

		if (watched.functions != NIL && strm_watched_calls(relid))
			watched.changed = true;
	}
}

void
strm_watched_refresh(void)
{
	if (strm_watched_current() || watched.loading || !IsTransactionState() || IsBootstrapProcessingMode())
		return;

	watched.loading = true;
	PG_TRY();
	{
		if (watched.loaded && !watched.changed)
			strm_watched_clear_suspects();
		if (!strm_watched_current())
			strm_watched_load();
	}
	PG_FINALLY();
	{
		watched.loading = false;
	}
	PG_END_TRY();
}

bool
strm_watched_current(void)
{
	return watched.loaded && !watched.changed && watched.nsuspects == 0 &&
		watched.generation == strm_catalog_generation();
}

bool
strm_watched_empty(void)
{
	return watched.names == NULL || hash_get_num_entries(watched.names) == 0;
}

bool
strm_watched_relation(Oid relid)
{
	return watched.relations != NULL && hash_search(watched.relations, &relid, HASH_FIND, NULL) != NULL;
}

bool
strm_watched_text(const char *text)
{
	const char *p = text;
	ListCell   *lc;

	if (strm_watched_empty())
		return false;

	while (*p != '\0')
	{
		const char *start = p;
		char		folded[NAMEDATALEN];

		while (strm_watched_letter(*p))
			p++;
		if (p == start)
		{
			p++;
			continue;
		}
		strm_watched_fold(folded, start, p - start);
		if (hash_search(watched.names, folded, HASH_FIND, NULL) != NULL)
			return true;
		/* an identifier with escapes may be any name */
		if (folded[0] == 'u' && folded[1] == '\0' && p[0] == '&' && p[1] == '"')
			return true;
	}

	foreach(lc, watched.odd_names)
	{
		if (strstr(text, lfirst(lc)) != NULL)
			return true;
	}
	return false;
}

/* A function or a rule changed somewhere: only marks. */
static void
strm_watched_syscache_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	watched.changed = true;
}

/*
 * A relation changed: it may have a new name, partition or trigger. Only marks. One that is not watched may have a new
 * trigger, which is of interest when there is a watched function that it can call; while loading that is not known yet.
 */
static void
strm_watched_relcache_changed(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || strm_watched_relation(relid))
		watched.changed = true;
	else if (watched.loaded && watched.functions == NIL)
		return;
	else if (watched.nsuspects == STRM_WATCHED_SUSPECTS)
		watched.changed = true;
	else if (relid >= FirstNormalObjectId &&
			 (watched.nsuspects == 0 || watched.suspects[watched.nsuspects - 1] != relid))
		watched.suspects[watched.nsuspects++] = relid;
}

void
strm_watched_init(void)
{
	CacheRegisterSyscacheCallback(PROCOID, strm_watched_syscache_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(RULERELNAME, strm_watched_syscache_changed, (Datum) 0);
	CacheRegisterRelcacheCallback(strm_watched_relcache_changed, (Datum) 0);
}
