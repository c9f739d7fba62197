/*
 * guard.c
 *	  The hook on dropped objects, and the folder's initialisation.
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "miscadmin.h"

#include "guard/guard.h"
#include "guard/log_redaction.h"
#include "guard/watched.h"
#include "strm_privacy.h"

static object_access_hook_type next_object_access_hook = NULL;

/*
 * The first lookup of a name in a session comes before parse analysis can fail, so the names that log redaction needs are
 * read there.
 */
static void
strm_guard_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, class_id, object_id, sub_id, arg);

	if (access == OAT_NAMESPACE_SEARCH)
		strm_watched_refresh();
	else if (access == OAT_DROP && sub_id == 0 && !IsBinaryUpgrade)
		strm_protect_drop(class_id, object_id);
}

void
strm_guard_init(void)
{
	next_object_access_hook = object_access_hook;
	object_access_hook = strm_guard_object_access;
	strm_watched_init();
	strm_log_redaction_init();
}
