/*
 * master_key_mark.c
 *	  A mark, in the catalog that all databases of the cluster share, that a master key exists.
 *
 *	  CREATE EXTENSION in one database cannot see the keys that were wrapped in another. So that it does not make a
 *	  second master key when the file of the first is missing, the first leaves a line in the comment on role
 *	  strm_admin. Standbys, pg_upgrade and pg_dumpall take it along. Who really wants to start anew removes it (COMMENT
 *	  ON ROLE needs CREATEROLE).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_shdescription.h"
#include "commands/comment.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "keys/master_key_mark.h"
#include "strm_privacy.h"

#define STRM_MARK_ROLE "strm_admin"
#define STRM_MARK "strm_privacy: this cluster has a master key"

/* The comment on a role, palloc'd, or NULL. */
static char *
strm_master_key_mark_comment(Oid role)
{
	Relation	comments = table_open(SharedDescriptionRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *comment = NULL;

	ScanKeyInit(&keys[0], Anum_pg_shdescription_objoid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	ScanKeyInit(&keys[1], Anum_pg_shdescription_classoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(AuthIdRelationId));
	scan = systable_beginscan(comments, SharedDescriptionObjIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_shdescription_description, RelationGetDescr(comments), &isnull);

		if (!isnull)
			comment = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(comments, AccessShareLock);
	return comment;
}

bool
strm_master_key_mark_exists(void)
{
	Oid			role = get_role_oid(STRM_MARK_ROLE, false);
	char	   *comment;

	/* the lock that COMMENT ON ROLE takes */
	LockSharedObject(AuthIdRelationId, role, 0, ShareUpdateExclusiveLock);
	comment = strm_master_key_mark_comment(role);
	return comment != NULL && strstr(comment, STRM_MARK) != NULL;
}

void
strm_master_key_mark_set(void)
{
	Oid			role = get_role_oid(STRM_MARK_ROLE, false);
	char	   *comment = strm_master_key_mark_comment(role);

	/* what an administrator wrote there stays */
	CreateSharedComments(role, AuthIdRelationId, comment == NULL ? STRM_MARK : psprintf("%s\n" STRM_MARK, comment));
}
