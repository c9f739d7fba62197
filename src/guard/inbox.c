/*
 * inbox.c
 *	  Inboxes stay as they were made, and go with their streams.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/snapmgr.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "guard/inbox.h"
#include "strm_privacy.h"

/* An inbox's own columns, as ingest/inbox.h describes them. */
static const struct
{
	const char *name;
	Oid			type;
}			own_columns[] = {
	{STRM_COLUMN_CONSENT_LEVELS, INT4ARRAYOID},
	{"strm_queued_at", TIMESTAMPTZOID},
	{"strm_sequence", INT8OID},
	{"strm_lane", INT2OID},
	{"strm_sealed", BYTEAOID},
	{"strm_fault", TEXTOID},
};

/* The type that the column of that name has to have; InvalidOid when there is to be none. */
static Oid
strm_guard_inbox_column_type(const StrmContract *contract, const char *name)
{
	for (int i = 0; i < lengthof(own_columns); i++)
	{
		if (strcmp(own_columns[i].name, name) == 0)
			return own_columns[i].type;
	}
	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];

		if (strcmp(field->column, name) == 0)
			return !field->personal ? strm_field_type(field) : field->repeated ? TEXTARRAYOID : TEXTOID;
	}
	return InvalidOid;
}

/* The columns are the ones that it was made with, take NULL and have no default. */
static void
strm_guard_inbox_check_columns(Relation rel, const StrmContract *contract, StrmFaults *faults)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			found = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		Oid			type;

		if (column->attisdropped)
			continue;
		type = strm_guard_inbox_column_type(contract, NameStr(column->attname));
		found += OidIsValid(type);
		if (!OidIsValid(type))
			strm_faults_add(faults, "Column \"%s\" is not a field of the data contract.", NameStr(column->attname));
		else if (type != column->atttypid)
			strm_faults_add(faults, "Column \"%s\" has another type.", NameStr(column->attname));
		if (column->attnotnull)
			strm_faults_add(faults, "Column \"%s\" takes no NULL.", NameStr(column->attname));
	}
	if (found != lengthof(own_columns) + contract->nfields)
		strm_faults_add(faults, "A column is missing.");
}

/* What is not as it was made, but shows nothing. */
static void
strm_guard_inbox_check_table(Relation rel, const StrmContract *contract, bool require_triggers, StrmFaults *faults)
{
	bool		guarded = !require_triggers;

	strm_guard_inbox_check_columns(rel, contract, faults);
	/* its trigger refuses rows meanwhile */
	if (rel->rd_rel->relam != get_table_am_oid(STRM_INBOX_ACCESS_METHOD, true))
		strm_faults_add(faults, "Its access method is not \"%s\".", STRM_INBOX_ACCESS_METHOD);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, STRM_INBOX_TRIGGER) != 0)
			continue;
		guarded = true;
		if (trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN ||
			trigger->tgtype != (TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT) ||
			strcmp(get_func_name(trigger->tgfoid), "check_inbox") != 0)
			strm_faults_add(faults, "Trigger \"%s\" is not as it was made.", STRM_INBOX_TRIGGER);
	}
	if (!guarded)
		strm_faults_add(faults, "Trigger \"%s\" is missing.", STRM_INBOX_TRIGGER);
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		strm_faults_add(faults, "The table is not logged.");
	if (OidIsValid(rel->rd_rel->reloftype))
		strm_faults_add(faults, "The table is of a type.");
	/* a parent's columns would be its own */
	if (has_superclass(RelationGetRelid(rel)))
		strm_faults_add(faults, "The table has a parent.");
}

void
strm_guard_inbox_check(const StrmInbox *inbox, bool require_triggers)
{
	const StrmStream *stream = strm_catalog_stream(&inbox->stream);
	Relation	rel = table_open(inbox->relid, AccessShareLock);
	StrmFaults	exposing;
	StrmFaults	other;

	strm_faults_init(&exposing);
	strm_faults_init(&other);
	strm_catalog_inbox_exposed(rel, &exposing);
	if (stream != NULL)
		strm_guard_inbox_check_table(rel, stream->contract, require_triggers, &other);
	table_close(rel, NoLock);

	strm_faults_raise(&exposing, STRM_ERR_PROTECTED,
					  psprintf("inbox %s would not keep its rows secret", strm_catalog_relation_name(inbox->relid)),
					  "Define it at the stream: that shows what is stored.");
	if (other.count > 0)
		ereport(superuser() ? WARNING : ERROR,
				errcode(STRM_ERR_PROTECTED),
				errmsg(superuser() ? "inbox %s is damaged" : "columns and triggers of inbox %s are protected",
					   strm_catalog_relation_name(inbox->relid)),
				errdetail("%s", other.lines.data),
				errhint(superuser() ? "Rows may not be queued, nor moved, until this is undone."
						: "The data contract determines an inbox's columns."));
}

static void
strm_guard_inbox_forget(const StrmInbox *inbox)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&inbox->stream), false);
	strm_registry_execute("DELETE FROM strm.inbox WHERE stream_id = $1", STRM_REGISTRY_ARGS(&args));
	strm_registry_execute("DELETE FROM strm.inbox_key WHERE stream_id = $1", STRM_REGISTRY_ARGS(&args));
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

/* The table of a new index, which no snapshot shows yet; InvalidOid when it is none. */
static Oid
strm_guard_inbox_index_table(Oid relid)
{
	Relation	indexes = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			table = InvalidOid;

	ScanKeyInit(&key, Anum_pg_index_indexrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(indexes, IndexRelidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		table = ((Form_pg_index) GETSTRUCT(tuple))->indrelid;
	systable_endscan(scan);
	table_close(indexes, AccessShareLock);
	return table;
}

/*
 * The access method builds no index, but CREATE INDEX CONCURRENTLY would have committed an unfinished one by then,
 * which stands in the way of queueing.
 */
void
strm_guard_inbox_index(Oid relid)
{
	Oid			table;

	if (IsBootstrapProcessingMode() || creating_extension || !strm_catalog_complete())
		return;
	table = strm_guard_inbox_index_table(relid);
	if (OidIsValid(table) && strm_catalog_inbox_of(table) != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PROTECTED),
				errmsg("inbox \"%s\" cannot have an index", get_rel_name(table)),
				errdetail("An index would see rows before they are sealed."),
				errhint("Create it on the stream."));
}
