/*
 * protect.c
 *	  Streams stay as they were made.
 *
 *	  After a definition changed, what must hold for the stream is checked as a whole, whatever the command was: its
 *	  columns are the managed ones, its managed triggers are in force, its ciphertext constraints exist, and nothing
 *	  else sees a row before it is encrypted. Damage is refused; a superuser, as a restore may be, gets a warning,
 *	  except where plaintext would be seen (rules, other BEFORE ROW triggers).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "catalog/cache.h"
#include "catalog/registry.h"
#include "catalog/stream.h"
#include "common/errors.h"
#include "common/uuid.h"
#include "guard/definition.h"
#include "guard/guard.h"
#include "guard/inbox.h"
#include "strm_privacy.h"
#include "transform/layout.h"

/* What is wrong with a stream. */
typedef struct StrmDamage
{
	StrmFaults	exposing;		/* plaintext would be seen: refused for everybody */
	StrmFaults	other;			/* refused unless superuser */
} StrmDamage;

typedef struct StrmManagedColumn
{
	const char *name;
	Oid			type;
} StrmManagedColumn;

static const StrmManagedColumn server_columns[] = {
	{STRM_COLUMN_CONTRACT_VERSION, TEXTOID},
	{STRM_COLUMN_NONCE, INT4OID},
	{STRM_COLUMN_TIMESTAMP, TIMESTAMPTZOID},
	{STRM_COLUMN_KEY_LINK, UUIDOID},
	{STRM_COLUMN_CONSENT_LEVELS, INT4ARRAYOID},
	{STRM_COLUMN_SEAL, BYTEAOID},
};

/* The managed triggers: name, function (in schema strm), event. */
static const struct
{
	const char *name;
	const char *function;
	int16		event;
}			managed_triggers[] = {
	{"strm_encrypt", "encrypt_row", TRIGGER_TYPE_INSERT},
	{"strm_refuse_update", "refuse_update", TRIGGER_TYPE_UPDATE},
};

/* Is the relation in that table of the registry? When relid is invalid: is any? */
static bool
strm_protect_registered(Oid registry, Oid relid)
{
	Relation	rel = table_open(registry, AccessShareLock);
	AttrNumber	attnum = get_attnum(registry, "relation");
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		found = !OidIsValid(relid) ||
			DatumGetObjectId(heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull)) == relid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
strm_protect_needed(void)
{
	return strm_catalog_complete() && strm_protect_registered(strm_catalog_table(STRM_TABLE_STREAM), InvalidOid);
}

/* The live column of that name, or NULL. */
static Form_pg_attribute
strm_protect_column(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && strcmp(NameStr(column->attname), name) == 0)
			return column;
	}
	return NULL;
}

static void
strm_protect_check_column(StrmDamage *damage, Relation rel, const char *name, Oid type, Oid collation)
{
	Form_pg_attribute column = strm_protect_column(rel, name);

	if (column == NULL)
		strm_faults_add(&damage->other, "Column \"%s\" is missing.", name);
	else if (column->atttypid != type || (OidIsValid(collation) && column->attcollation != collation))
		strm_faults_add(&damage->other, "Column \"%s\" has another type or collation.", name);
}

/* Is it a column that every stream has, or one of the contract's? */
static bool
strm_protect_is_managed(const StrmContract *contract, const char *name)
{
	for (int i = 0; i < lengthof(server_columns); i++)
	{
		if (strcmp(server_columns[i].name, name) == 0)
			return true;
	}
	for (int i = 0; i < contract->nfields; i++)
	{
		if (strcmp(contract->fields[i].column, name) == 0)
			return true;
	}
	return false;
}

/*
 * The server's columns take no NULL, and the timestamp has its default: partitions are chosen by it before the trigger
 * runs.
 */
static void
strm_protect_check_server_columns(StrmDamage *damage, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < lengthof(server_columns); i++)
	{
		int			at = strm_layout_find(desc, server_columns[i].name);

		strm_protect_check_column(damage, rel, server_columns[i].name, server_columns[i].type, InvalidOid);
		if (at < 0)
			continue;
		if (!TupleDescAttr(desc, at)->attnotnull)
			strm_faults_add(&damage->other, "Column \"%s\" takes NULL.", server_columns[i].name);
		if (strcmp(server_columns[i].name, STRM_COLUMN_TIMESTAMP) == 0 && !TupleDescAttr(desc, at)->atthasdef)
			strm_faults_add(&damage->other, "Column \"%s\" has no default.", server_columns[i].name);
	}
}

/* The managed columns exist as they were made, and there are no others: a producer could put plaintext there. */
static void
strm_protect_check_columns(StrmDamage *damage, Relation rel, const StrmContract *contract)
{
	TupleDesc	desc = RelationGetDescr(rel);

	strm_protect_check_server_columns(damage, rel);
	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];

		if (field->personal)
			strm_protect_check_column(damage, rel, field->column,
									  field->repeated ? TEXTARRAYOID : TEXTOID, C_COLLATION_OID);
		else
			strm_protect_check_column(damage, rel, field->column, strm_field_type(field), InvalidOid);
	}
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && !strm_protect_is_managed(contract, NameStr(column->attname)))
			strm_faults_add(&damage->other, "Column \"%s\" is not a field of the data contract.",
							NameStr(column->attname));
	}
}

/* The constraints that refuse plaintext in a personal column exist, and are no others of their name. */
static void
strm_protect_check_constraints(StrmDamage *damage, Relation rel, const StrmContract *contract)
{
	for (int i = 0; i < strm_definition_ciphertext_constraints(contract); i++)
	{
		if (!strm_definition_checks_ciphertext(rel, contract, i))
			strm_faults_add(&damage->other, "Constraint \"%s\" is missing or has another definition.",
							strm_definition_ciphertext_name(i));
	}
}

/* Index in managed_triggers of the one whose function this is, or -1. */
static int
strm_protect_managed_trigger(Oid function)
{
	char	   *name = get_func_name(function);

	if (name == NULL || get_func_namespace(function) != get_namespace_oid(STRM_SCHEMA_NAME, true))
		return -1;
	for (int i = 0; i < lengthof(managed_triggers); i++)
	{
		if (strcmp(managed_triggers[i].function, name) == 0)
			return i;
	}
	return -1;
}

/* A trigger of somebody else: it may not see rows before they are encrypted, nor stand where a managed one should. */
static void
strm_protect_check_other_trigger(StrmDamage *damage, Relation rel, const Trigger *trigger)
{
	if (TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_BEFORE(trigger->tgtype) &&
		(TRIGGER_FOR_INSERT(trigger->tgtype) || TRIGGER_FOR_UPDATE(trigger->tgtype)))
		strm_faults_add(&damage->exposing, "Trigger \"%s\" of \"%s\" would see rows before they are encrypted.",
						trigger->tgname, RelationGetRelationName(rel));
	for (int i = 0; i < lengthof(managed_triggers); i++)
	{
		if (strcmp(managed_triggers[i].name, trigger->tgname) == 0)
			strm_faults_add(&damage->other, "Trigger \"%s\" was replaced.", trigger->tgname);
	}
}

/* A managed trigger: as it was made, and in force. */
static void
strm_protect_check_managed_trigger(StrmDamage *damage, const Trigger *trigger, int which, const char *stream_id)
{
	int16		type = TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | managed_triggers[which].event;

	if (strcmp(trigger->tgname, managed_triggers[which].name) != 0)
		strm_faults_add(&damage->other, "Trigger \"%s\" was renamed.", managed_triggers[which].name);
	if (trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN)
		strm_faults_add(&damage->other, "Trigger \"%s\" does not fire as it was made to.", trigger->tgname);
	if (trigger->tgtype != type || trigger->tgqual != NULL || trigger->tgnattr != 0 ||
		(managed_triggers[which].event == TRIGGER_TYPE_INSERT &&
		 (trigger->tgnargs != 1 || strcmp(trigger->tgargs[0], stream_id) != 0)))
		strm_faults_add(&damage->other, "Trigger \"%s\" has another definition.", trigger->tgname);
}

/* The triggers of a stream or partition. */
static void
strm_protect_check_triggers(StrmDamage *damage, Relation rel, const char *stream_id, bool require_triggers)
{
	bool		present[lengthof(managed_triggers)] = {false};

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];
		int			which = strm_protect_managed_trigger(trigger->tgfoid);

		if (which >= 0)
		{
			present[which] = true;
			strm_protect_check_managed_trigger(damage, trigger, which, stream_id);
		}
		else
			strm_protect_check_other_trigger(damage, rel, trigger);
	}
	for (int i = 0; i < lengthof(managed_triggers); i++)
	{
		if (require_triggers && !present[i])
			strm_faults_add(&damage->other, "Trigger \"%s\" of \"%s\" is missing.",
							managed_triggers[i].name, RelationGetRelationName(rel));
	}
}

/* Rules rewrite a statement before any trigger sees its rows. */
static void
strm_protect_check_rules(StrmDamage *damage, Relation rel)
{
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
	{
		if (rel->rd_rules->rules[i]->event != CMD_SELECT)
			strm_faults_add(&damage->exposing, "A rule of \"%s\" would see rows before they are encrypted.",
							RelationGetRelationName(rel));
	}
}

/* Rows are routed to partitions of partitions before any trigger sees them. */
static void
strm_protect_check_routing(StrmDamage *damage, Relation rel, const StrmContract *contract)
{
	if (strm_definition_routes_by_personal(rel, contract))
		strm_faults_add(&damage->exposing, "The partition key of \"%s\" would see rows before they are encrypted.",
						RelationGetRelationName(rel));
}

static void
strm_protect_report(const StrmDamage *damage, Oid relid)
{
	char	   *name = strm_catalog_relation_name(relid);

	if (damage->exposing.count > 0)
		ereport(ERROR,
				errcode(STRM_ERR_PROTECTED),
				errmsg("stream %s may not have that rule, trigger or partition", name),
				errdetail("%s", damage->exposing.lines.data),
				errhint("Use an AFTER trigger: it sees what is stored."));
	if (damage->other.count > 0)
		ereport(superuser() ? WARNING : ERROR,
				errcode(STRM_ERR_PROTECTED),
				errmsg(superuser() ? "stream %s is damaged"
					   : "columns, triggers and constraints of stream %s are protected", name),
				errdetail("%s", damage->other.lines.data),
				errhint(superuser() ? "INSERT may be refused, and rows may not be decrypted, until this is undone."
						: "The data contract determines a stream's columns. To be rid of the stream, use DROP TABLE."));
}

/* Checks one stream with its partitions. */
static void
strm_protect_check_stream(const StrmStream *stream, bool require_triggers)
{
	char	   *id = strm_uuid_text(&stream->id);
	List	   *members = find_all_inheritors(stream->relid, AccessShareLock, NULL);
	StrmDamage	damage;
	ListCell   *lc;

	strm_faults_init(&damage.exposing);
	strm_faults_init(&damage.other);
	foreach(lc, members)
	{
		Relation	rel = table_open(lfirst_oid(lc), AccessShareLock);

		if (RelationGetRelid(rel) == stream->relid)
		{
			strm_protect_check_columns(&damage, rel, stream->contract);
			strm_protect_check_constraints(&damage, rel, stream->contract);
		}
		if (RelationGetRelid(rel) == stream->relid || rel->rd_rel->relispartition)
		{
			strm_protect_check_triggers(&damage, rel, id, require_triggers);
			strm_protect_check_rules(&damage, rel);
			strm_protect_check_routing(&damage, rel, stream->contract);
			/* a crash would empty it */
			if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
				strm_faults_add(&damage.other, "The table \"%s\" is not logged.", RelationGetRelationName(rel));
			/* its columns would change with the type's attributes */
			if (OidIsValid(rel->rd_rel->reloftype))
				strm_faults_add(&damage.other, "The table \"%s\" is of a type.", RelationGetRelationName(rel));
		}
		table_close(rel, NoLock);
	}
	strm_protect_report(&damage, stream->relid);
}

/* The stream that a relation is, or is a partition of, at any depth; NULL if none. */
static const StrmStream *
strm_protect_stream_of(Oid relid)
{
	const StrmStream *stream = strm_catalog_stream_of(relid);
	ListCell   *lc;

	if (stream != NULL || !get_rel_relispartition(relid))
		return stream;
	foreach(lc, get_partition_ancestors(relid))
	{
		stream = strm_catalog_stream_of(lfirst_oid(lc));
		if (stream != NULL)
			return stream;
	}
	return NULL;
}

/* A change of a table reaches its children, too: a stream may be a partition of it. */
void
strm_protect_check(List *relids, bool require_triggers)
{
	List	   *affected = NIL;
	List	   *checked = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			affected = list_concat_unique_oid(affected, has_subclass(lfirst_oid(lc)) ?
											  find_all_inheritors(lfirst_oid(lc), AccessShareLock, NULL) :
											  list_make1_oid(lfirst_oid(lc)));
	}
	foreach(lc, affected)
	{
		const StrmStream *stream = strm_protect_stream_of(lfirst_oid(lc));
		const StrmInbox *inbox = strm_catalog_inbox_of(lfirst_oid(lc));

		if (inbox != NULL)
			strm_guard_inbox_check(inbox, require_triggers);
		if (stream != NULL && !list_member_oid(checked, stream->relid))
		{
			checked = lappend_oid(checked, stream->relid);
			strm_protect_check_stream(stream, require_triggers);
		}
	}
}

void
strm_protect_rewrite(Oid relid)
{
	/* the access method would refuse it, too, but less clearly */
	if (strm_catalog_inbox_of(relid) != NULL)
		ereport(ERROR,
				errcode(STRM_ERR_PROTECTED),
				errmsg("rows of inbox \"%s\" cannot be rewritten", get_rel_name(relid)),
				errdetail("They are sealed."));
	if (strm_protect_stream_of(relid) != NULL && !superuser())
		ereport(ERROR,
				errcode(STRM_ERR_PROTECTED),
				errmsg("rows of stream \"%s\" cannot be rewritten", get_rel_name(relid)),
				errdetail("Rows of a stream are immutable."));
}

/* Exporters of dropped streams and derived streams go with them. */
#define STRM_OF_DROPPED \
	" WHERE stream_id IN (SELECT id FROM strm.stream WHERE relation = ANY ($1))" \
	"  OR derived_stream_id IN (SELECT id FROM strm.derived_stream WHERE relation = ANY ($1)) RETURNING name"

/* Exporters that a statement deletes, which depend on the dropped relations $1. */
static void
strm_protect_forget_exporters(Datum dropped, const char *sql, const char *kind)
{
	Oid			type = OIDARRAYOID;
	StrmRegistryRows *names = strm_registry_select(sql, 1, &type, &dropped, NULL);

	for (uint64 i = 0; i < names->n; i++)
		ereport(NOTICE,
				errmsg("%s exporter \"%s\" is dropped, too", kind, TextDatumGetCString(names->values[i])));
}

void
strm_protect_forget(List *relids)
{
	Oid			type = OIDARRAYOID;
	Oid			streams = strm_catalog_table(STRM_TABLE_STREAM);
	Oid			derived_streams = strm_catalog_table(STRM_TABLE_DERIVED_STREAM);
	Datum	   *registered = palloc(sizeof(Datum) * Max(list_length(relids), 1));
	int			n = 0;
	ListCell   *lc;
	Datum		dropped;

	strm_guard_inbox_dropped(relids);
	foreach(lc, relids)
	{
		if (strm_protect_registered(streams, lfirst_oid(lc)) ||
			strm_protect_registered(derived_streams, lfirst_oid(lc)))
			registered[n++] = ObjectIdGetDatum(lfirst_oid(lc));
	}
	if (n == 0)
		return;

	dropped = PointerGetDatum(construct_array(registered, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	strm_protect_forget_exporters(dropped, "DELETE FROM strm.kafka_exporter" STRM_OF_DROPPED, "Kafka");
	strm_protect_forget_exporters(dropped, "DELETE FROM strm.batch_exporter" STRM_OF_DROPPED, "batch");
	strm_registry_execute("DELETE FROM strm.derived_stream WHERE relation = ANY ($1)"
						  " OR stream_id IN (SELECT id FROM strm.stream WHERE relation = ANY ($1))", 1, &type, &dropped,
						  NULL);
	strm_registry_execute("DELETE FROM strm.stream WHERE relation = ANY ($1)", 1, &type, &dropped, NULL);
}

/*
 * The extension's objects are dropped before the extension itself, its table of streams among them: the last moment to
 * read that table is when it goes. Whether it is still a member of the extension does not matter.
 */
void
strm_protect_drop(Oid class_id, Oid object_id)
{
	char	   *name;

	if (class_id != RelationRelationId)
		return;
	name = get_rel_name(object_id);
	if (name == NULL || strcmp(name, "stream") != 0 ||
		get_rel_namespace(object_id) != get_namespace_oid(STRM_SCHEMA_NAME, true) || !strm_catalog_exists())
		return;

	if (strm_protect_registered(object_id, InvalidOid))
		ereport(ERROR,
				errcode(STRM_ERR_PROTECTED),
				errmsg("extension \"%s\" cannot be dropped while streams exist", STRM_EXTENSION_NAME),
				errdetail("Without it the next INSERT would store plaintext."),
				errhint("Drop the streams first, with DROP TABLE; strm.streams lists them."));
}
