/*
 * inbox.c
 *	  Inboxes go with their streams.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "catalog/cache.h"
#include "catalog/inbox.h"
#include "catalog/registry.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "guard/inbox.h"
#include "strm_privacy.h"

static void
strm_guard_inbox_forget(const StrmInbox *inbox)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&inbox->stream), false);
	strm_registry_execute("DELETE FROM strm.inbox WHERE stream_id = $1", STRM_REGISTRY_ARGS(&args));
}

/* Drops the table as its owner: whoever dropped the stream may be another role that could. */
static void
strm_guard_inbox_drop(Oid relid)
{
	char	   *name = strm_catalog_relation_name(relid);
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(strm_catalog_relation_owner(relid),
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	SPI_connect();
	SPI_execute(psprintf("DROP TABLE %s", name), false, 0);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

/* An inbox was dropped whose stream was not. */
static void
strm_guard_inbox_orphaned(const StrmInbox *inbox, Oid stream)
{
	ereport(superuser() ? WARNING : ERROR,
			errcode(STRM_ERR_PROTECTED),
			errmsg(superuser() ? "the inbox of stream \"%s\" is dropped"
				   : "the inbox of stream \"%s\" cannot be dropped", get_rel_name(stream)),
			errdetail("What was queued goes with it, and nothing more can be."),
			errhint("To be rid of both, drop the stream."));
	strm_guard_inbox_forget(inbox);
}

void
strm_guard_inbox_dropped(List *relids)
{
	ListCell   *lc;

	foreach(lc, strm_catalog_inboxes())
	{
		const StrmInbox *inbox = lfirst(lc);
		const StrmStream *stream = strm_catalog_stream(&inbox->stream);
		bool		inbox_gone = list_member_oid(relids, inbox->relid);
		bool		stream_gone = stream != NULL && list_member_oid(relids, stream->relid);

		if (stream_gone)
		{
			strm_guard_inbox_forget(inbox);
			if (!inbox_gone && get_rel_name(inbox->relid) != NULL)
				strm_guard_inbox_drop(inbox->relid);
		}
		else if (inbox_gone && stream != NULL && get_rel_name(stream->relid) != NULL)
			strm_guard_inbox_orphaned(inbox, stream->relid);
		else if (inbox_gone)
			strm_guard_inbox_forget(inbox);
	}
}
