/*
 * guard.c
 *	  The hook on new and dropped objects, and the folder's initialisation.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "utils/syscache.h"

#include "guard/guard.h"
#include "guard/inbox.h"
#include "guard/log_redaction.h"
#include "guard/watched.h"
#include "strm_privacy.h"

static object_access_hook_type next_object_access_hook = NULL;

/*
 * In this transaction something was dropped that may be (of) a stream. Set by the hook, read by the event trigger,
 * cleared at the end of the transaction (not sooner: events nest, when another event trigger drops something).
 */
static bool drop_noticed = false;

/* The relation that a constraint belongs to. */
static Oid
strm_guard_constraint_relation(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Oid			relid = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		relid = ((Form_pg_constraint) GETSTRUCT(tuple))->conrelid;
		ReleaseSysCache(tuple);
	}
	return relid;
}

/*
 * Could the object be a stream, a derived stream or a part of one? Most drops have nothing to do with either, and end
 * here. While the names are not up to date, all count; so do triggers and rules, which are not worth a look into the
 * catalog.
 */
static bool
strm_guard_may_concern(Oid class_id, Oid object_id)
{
	if (class_id != RelationRelationId && class_id != ConstraintRelationId && class_id != TriggerRelationId &&
		class_id != RewriteRelationId)
		return false;
	if (!strm_watched_current() || class_id == TriggerRelationId || class_id == RewriteRelationId)
		return true;
	return strm_watched_relation(class_id == RelationRelationId ? object_id
								 : strm_guard_constraint_relation(object_id));
}

bool
strm_guard_dropped(void)
{
	return drop_noticed;
}

static void
strm_guard_transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		drop_noticed = false;
}

/*
 * The first lookup of a name in a session comes before parse analysis can fail, so the names that log redaction needs
 * are read there.
 */
static void
strm_guard_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, class_id, object_id, sub_id, arg);

	/* pg_upgrade makes the registry itself table by table, and what else it makes was there */
	if (access == OAT_NAMESPACE_SEARCH)
		strm_watched_refresh();
	else if (access == OAT_POST_CREATE && class_id == RelationRelationId && sub_id == 0 && !IsBinaryUpgrade)
		strm_guard_inbox_index(object_id);
	else if (access == OAT_DROP && !IsBinaryUpgrade)
	{
		drop_noticed = drop_noticed || strm_guard_may_concern(class_id, object_id);
		if (sub_id == 0)
			strm_protect_drop(class_id, object_id);
	}
}

void
strm_guard_init(void)
{
	next_object_access_hook = object_access_hook;
	object_access_hook = strm_guard_object_access;
	/* not preloaded: the command that loads this library may have dropped something before */
	drop_noticed = true;
	RegisterXactCallback(strm_guard_transaction_ended, NULL);
	strm_watched_init();
	strm_log_redaction_init();
}
