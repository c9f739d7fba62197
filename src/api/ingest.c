/*
 * ingest.c
 *	  SQL entry points of queued ingestion: waiting for it, its numbers, and rows that were set aside.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "api/args.h"
#include "api/ingest.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "ingest/inbox.h"
#include "ingest/inbox_erase.h"
#include "ingest/inbox_watch.h"
#include "strm_privacy.h"
#include "worker/database_command.h"
#include "worker/ingest_slot.h"

PG_FUNCTION_INFO_V1(strm_sql_inbox_state);
PG_FUNCTION_INFO_V1(strm_sql_retry_inbox);
PG_FUNCTION_INFO_V1(strm_sql_wait_for_ingest);

/* ms without any progress after which an erasure gives up to wait for queued rows */
#define STRM_INGEST_STALL 30000

/* The inbox of a stream that must have one. */
static Oid
strm_ingest_inbox_of(Oid relid)
{
	const StrmStream *stream = strm_args_stream(relid);
	Oid			inbox = strm_inbox_of(&stream->id);

	if (!OidIsValid(inbox))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("stream \"%s\" has no inbox", get_rel_name(relid)),
				errdetail("Rows are stored in it directly."));
	return inbox;
}

/* Raises what a wait that did not end well means. */
static void
strm_ingest_check_wait(StrmInboxWait result, Oid inbox, const StrmInboxNumbers *count)
{
	StrmIngestInfo *workers;

	if (result == STRM_INBOX_WAIT_DONE)
		return;
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("rows of inbox \"%s\" are not in the stream yet", get_rel_name(inbox)),
			errdetail("Rows that wait: %lld.", (long long) count->waiting),
			strm_ingest_slots(MyDatabaseId, &workers) == 0
			? errhint("No worker moves them: see strm_privacy.ingest_workers and max_worker_processes.")
			: errhint("What keeps them from being moved is in strm.entity_log and in the server log."));
}

/* Deletes what was set aside of the subjects in one inbox. false: some of it was tried again meanwhile. */
static bool
strm_ingest_erase_aside(const StrmStream *stream, Oid oid, text *const *subjects, int n, int64 *deleted)
{
	Relation	table = try_table_open(stream->relid, AccessShareLock);
	Relation	inbox = table == NULL ? NULL : try_table_open(oid, RowExclusiveLock);
	StrmInboxErased erased = {0};

	if (inbox != NULL)
	{
		strm_inbox_erase(stream, table, inbox, subjects, n, &erased);
		table_close(inbox, NoLock);
	}
	if (table != NULL)
		table_close(table, NoLock);
	*deleted += erased.deleted;
	if (erased.closed > 0 && !erased.lost)
		ereport(WARNING,
				errcode(STRM_ERR_STATE),
				errmsg("rows that were set aside in inbox \"%s\" cannot be opened: %lld", get_rel_name(oid),
					   (long long) erased.closed),
				errdetail("Rows of the data subjects may be among them."),
				errhint("Delete them from the inbox."));
	return !erased.lost;
}

/* A trigger of a stream whose rows are being moved cannot wait for just that. */
static void
strm_ingest_check_waiter(void)
{
	if (strm_inbox_is_worker)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("an ingest worker cannot wait for queued rows to be moved"),
				errhint("Triggers of streams with an inbox run in it. Do that in a session of its own."));
}

int64
strm_ingest_erase(text *const *subjects, int n)
{
	int64		deleted = 0;
	ListCell   *lc;

	strm_ingest_check_waiter();
	foreach(lc, strm_inbox_streams())
	{
		const StrmStream *stream = lfirst(lc);
		Oid			inbox = strm_inbox_of(&stream->id);
		StrmInboxNumbers count;

		if (stream->contract->subject_field < 0)
			continue;
		do
		{
			strm_ingest_wake(MyDatabaseId);
			strm_ingest_check_wait(strm_inbox_wait(inbox, -1, STRM_INGEST_STALL, &count), inbox, &count);
		} while (!strm_ingest_erase_aside(stream, inbox, subjects, n, &deleted));
	}
	return deleted;
}

/* Who may have to do with the stream's rows. */
static void
strm_ingest_check_reader(Oid relid, Oid inbox)
{
	Oid			user = GetUserId();

	if (pg_class_aclcheck(relid, user, ACL_SELECT) == ACLCHECK_OK ||
		pg_class_aclcheck(relid, user, ACL_INSERT) == ACLCHECK_OK ||
		pg_class_aclcheck(inbox, user, ACL_INSERT) == ACLCHECK_OK ||
		has_privs_of_role(user, get_role_oid("strm_admin", false)))
		return;
	aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
}

/* strm.wait_for_ingest(stream regclass, timeout interval) */
Datum
strm_sql_wait_for_ingest(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Oid			inbox;
	int64		timeout = -1;
	StrmInboxNumbers count;

	strm_args_require(fcinfo, 0, "stream");
	relid = PG_GETARG_OID(0);
	inbox = strm_ingest_inbox_of(relid);
	strm_ingest_check_reader(relid, inbox);
	strm_ingest_check_waiter();
	if (!PG_ARGISNULL(1))
	{
		const Interval *given = PG_GETARG_INTERVAL_P(1);

		double		us = (double) given->time + (given->day + (double) given->month * DAYS_PER_MONTH) * USECS_PER_DAY;

		if (us < 0)
			ereport(ERROR, errcode(STRM_ERR_ARGUMENT), errmsg("timeout must not be negative"));
		/* a year is as good as for ever */
		timeout = (int64) (Min(us, 366.0 * USECS_PER_DAY) / 1000);
	}
	if (RecoveryInProgress())
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("rows are moved into streams on the primary only"));
	strm_ingest_wake(MyDatabaseId);
	strm_ingest_check_wait(strm_inbox_wait(inbox, timeout, -1, &count), inbox, &count);
	if (count.faults > 0)
		ereport(WARNING,
				errcode(STRM_ERR_STATE),
				errmsg("rows of inbox \"%s\" were set aside: %lld", get_rel_name(inbox), (long long) count.faults),
				errhint("See strm_fault in the inbox. Use strm.retry_inbox() when it is mended."));
	PG_RETURN_VOID();
}

/* strm.retry_inbox(stream regclass): by the owner, or strm_admin */
Datum
strm_sql_retry_inbox(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			oid = strm_ingest_inbox_of(relid);
	Relation	inbox;
	int64		n;

	if (!object_ownercheck_relation(relid, GetUserId()) &&
		!has_privs_of_role(GetUserId(), get_role_oid("strm_admin", false)))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be owner of stream \"%s\"", get_rel_name(relid)));
	PreventCommandIfReadOnly("strm.retry_inbox()");
	inbox = table_open(oid, RowExclusiveLock);
	n = strm_inbox_retry(inbox);
	table_close(inbox, NoLock);
	strm_worker_nudge_at_commit();
	PG_RETURN_INT64(n);
}

/* strm.inbox_state(stream uuid) RETURNS TABLE (rows bigint, oldest timestamptz, faults bigint): of strm.streams */
Datum
strm_sql_inbox_state(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			oid = strm_inbox_of(PG_GETARG_UUID_P(0));
	Relation	inbox = OidIsValid(oid) ? try_table_open(oid, AccessShareLock) : NULL;
	StrmInboxNumbers count;
	Datum		values[3];
	bool		nulls[3] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (inbox == NULL)
		return (Datum) 0;
	strm_inbox_count(inbox, GetActiveSnapshot(), PG_INT64_MAX, &count);
	table_close(inbox, AccessShareLock);
	values[0] = Int64GetDatum(count.rows);
	values[1] = TimestampTzGetDatum(count.oldest);
	nulls[1] = count.rows == 0;
	values[2] = Int64GetDatum(count.faults);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
