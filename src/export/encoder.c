/*
 * encoder.c
 *	  Rows of a stream as records of an exporter.
 *
 *	  What belongs to a row is in row_cxt, which is reset after each row. Descriptors and places of columns are kept
 *	  by table: of a partitioned stream each partition may have its own. Its lock is not kept: whatever is done to a
 *	  table does not change how a row that is there, or was, is read by a descriptor that is not older.
 *
 *	  A derived stream's row is looked at in this order: consent (the view's filter), key, seal; then its fields are
 *	  revealed. A stream's row is encoded as it is stored: whether its seal is authentic is for who has the key.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "common/uuid.h"
#include "export/avro.h"
#include "export/encoder.h"
#include "export/encoder_private.h"
#include "strm_privacy.h"
#include "transform/event_json.h"
#include "transform/reveal.h"

/* A format: its encoder of a contract's events with fields of these types, and of one event. */
typedef struct StrmExportFormatKind
{
	void	   *(*make) (const StrmContract *contract, const Oid *types, int32 schema_id);
	void		(*encode) (const void *encoder, const Datum *server, const bool *server_null, const Datum *fields,
						   const bool *fields_null, StringInfo out);
} StrmExportFormatKind;

/* One of the stream's tables. */
typedef struct StrmExportTable
{
	Oid			relid;			/* hash key; must be first */
	bool		exists;
	StrmLayout *layout;
	int			natts;			/* up to the last column that is needed */
	TupleTableSlot *slot;		/* of its descriptor */
} StrmExportTable;

struct StrmExportEncoder
{
	const StrmStream *stream;
	StrmExportDerived *derived; /* or NULL */
	const StrmExportFormatKind *format;
	void	   *format_encoder;
	MemoryContext cxt;
	MemoryContext row_cxt;
	HTAB	   *tables;
	StrmExportTable *table;		/* the last one */
	List	   *refs;			/* contract references that were met */
	Datum		server[STRM_EVENT_COLUMNS];
	Datum	   *fields;
	bool	   *fields_null;
};

static void *
strm_export_json_make(const StrmContract *contract, const Oid *types, int32 schema_id)
{
	return strm_event_encoder(contract, types);
}

static void
strm_export_json_encode(const void *encoder, const Datum *server, const bool *server_null, const Datum *fields,
						const bool *fields_null, StringInfo out)
{
	strm_event_encode(encoder, server, server_null, fields, fields_null, out);
}

static void *
strm_export_avro_make(const StrmContract *contract, const Oid *types, int32 schema_id)
{
	return strm_avro_encoder(contract, types, schema_id);
}

static void
strm_export_avro_encode(const void *encoder, const Datum *server, const bool *server_null, const Datum *fields,
						const bool *fields_null, StringInfo out)
{
	strm_avro_encode(encoder, server, server_null, fields, fields_null, out);
}

static const StrmExportFormatKind formats[] = {
	[STRM_EXPORT_JSON] = {strm_export_json_make, strm_export_json_encode},
	[STRM_EXPORT_AVRO] = {strm_export_avro_make, strm_export_avro_encode},
};

Oid *
strm_export_types(const StrmStream *stream, const StrmDerivedStream *derived)
{
	const StrmContract *contract = stream->contract;
	Oid		   *types = palloc(mul_size(Max(contract->nfields, 1), sizeof(Oid)));

	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];

		if (field->personal && (derived == NULL || !derived->fields[i].allowed))
			types[i] = field->repeated ? TEXTARRAYOID : TEXTOID;
		else
			types[i] = derived == NULL ? strm_field_type(field) : strm_reveal_type(derived, i);
	}
	return types;
}

StrmExportEncoder *
strm_export_encoder(const StrmStream *stream, const StrmDerivedStream *derived, StrmExportFormat format,
					int32 schema_id)
{
	StrmExportEncoder *encoder = palloc0(sizeof(StrmExportEncoder));
	int			nfields = stream->contract->nfields;
	Oid		   *types = strm_export_types(stream, derived);
	HASHCTL		ctl = {0};

	encoder->stream = stream;
	encoder->cxt = CurrentMemoryContext;
	encoder->row_cxt = AllocSetContextCreate(CurrentMemoryContext, "strm exported row", ALLOCSET_DEFAULT_SIZES);
	if (derived != NULL)
		encoder->derived = strm_export_derived(derived, encoder->row_cxt);
	encoder->format = &formats[format];
	encoder->format_encoder = encoder->format->make(stream->contract, types, schema_id);
	pfree(types);

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(StrmExportTable);
	ctl.hcxt = CurrentMemoryContext;
	encoder->tables = hash_create("strm exported tables", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	encoder->fields = palloc0(mul_size(Max(nfields, 1), sizeof(Datum)));
	encoder->fields_null = palloc0(Max(nfields, 1));
	return encoder;
}

/* Number of the last column that is needed, counted from 1. */
static int
strm_export_last_column(const StrmExportEncoder *encoder, const StrmLayout *layout)
{
	int			last = Max(Max(layout->contract_version, layout->nonce), Max(layout->timestamp, layout->key_link));

	last = Max(last, layout->consent_levels);
	if (encoder->derived != NULL)
		last = Max(last, layout->seal);
	for (int i = 0; i < encoder->stream->contract->nfields; i++)
		last = Max(last, layout->fields[i]);
	return last + 1;
}

/* Finds out about a table. */
static void
strm_export_load_table(StrmExportEncoder *encoder, StrmExportTable *table)
{
	Relation	rel = try_relation_open(table->relid, AccessShareLock);
	MemoryContext old = MemoryContextSwitchTo(encoder->cxt);
	TupleDesc	desc;

	table->exists = rel != NULL;
	if (table->exists)
	{
		desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
		relation_close(rel, AccessShareLock);
		table->layout = strm_layout_make(encoder->stream, desc);
		table->natts = strm_export_last_column(encoder, table->layout);
		table->slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	}
	MemoryContextSwitchTo(old);
}

/* The table of that OID; NULL when it was dropped. */
static StrmExportTable *
strm_export_table(StrmExportEncoder *encoder, Oid relid)
{
	bool		found;

	if (encoder->table == NULL || encoder->table->relid != relid)
	{
		encoder->table = NULL;
		encoder->table = hash_search(encoder->tables, &relid, HASH_ENTER, &found);
		if (!found)
		{
			StrmExportTable *table = encoder->table;

			/* not the last one until it is complete: an error may come */
			encoder->table = NULL;
			table->exists = false;
			strm_export_load_table(encoder, table);
			encoder->table = table;
		}
	}
	return encoder->table->exists ? encoder->table : NULL;
}

/* The contract's reference with the version of a row. There is hardly ever more than one. */
static const char *
strm_export_ref(StrmExportEncoder *encoder, Datum version)
{
	const StrmContract *contract = encoder->stream->contract;
	const text *wanted = DatumGetTextPP(version);
	int			size = VARSIZE_ANY_EXHDR(wanted);
	int			prefix = (int) (strlen(contract->handle) + strlen(contract->name)) + 2;
	MemoryContext old;
	ListCell   *cell;
	char	   *ref;

	foreach(cell, encoder->refs)
	{
		ref = lfirst(cell);
		if (strncmp(ref + prefix, VARDATA_ANY(wanted), size) == 0 && ref[prefix + size] == '\0')
			return ref;
	}
	old = MemoryContextSwitchTo(encoder->cxt);
	ref = psprintf("%s/%s/%.*s", contract->handle, contract->name, size, VARDATA_ANY(wanted));
	encoder->refs = lappend(encoder->refs, ref);
	MemoryContextSwitchTo(old);
	return ref;
}

/* Takes the server's columns; false when one is NULL, which no row is that the server wrote. */
static bool
strm_export_server_columns(StrmExportEncoder *encoder, const StrmExportTable *table, StrmExportRecord *record)
{
	const int	places[STRM_EVENT_COLUMNS] = {
		[STRM_EVENT_VERSION] = table->layout->contract_version,
		[STRM_EVENT_NONCE] = table->layout->nonce,
		[STRM_EVENT_TIMESTAMP] = table->layout->timestamp,
		[STRM_EVENT_KEY_LINK] = table->layout->key_link,
		[STRM_EVENT_CONSENT_LEVELS] = table->layout->consent_levels,
	};

	for (int i = 0; i < STRM_EVENT_COLUMNS; i++)
	{
		if (table->slot->tts_isnull[places[i]])
			return false;
		encoder->server[i] = table->slot->tts_values[places[i]];
	}
	record->key_link = *DatumGetUUIDP(encoder->server[STRM_EVENT_KEY_LINK]);
	record->nonce = DatumGetInt32(encoder->server[STRM_EVENT_NONCE]);
	record->timestamp = DatumGetTimestampTz(encoder->server[STRM_EVENT_TIMESTAMP]);
	record->contract_ref = strm_export_ref(encoder, encoder->server[STRM_EVENT_VERSION]);
	return true;
}

/* Does the derived stream's filter let the row in the slot pass? */
static bool
strm_export_consented(StrmExportEncoder *encoder, const StrmExportTable *table)
{
	bool		null;
	Datum		levels = slot_getattr(table->slot, table->layout->consent_levels + 1, &null);

	return !null && strm_export_derived_consented(encoder->derived, levels);
}

/* Encodes the row in the slot; in row_cxt. */
static StrmExportVerdict
strm_export_encode_slot(StrmExportEncoder *encoder, const StrmExportTable *table, StrmExportRecord *record)
{
	static const bool not_null[STRM_EVENT_COLUMNS] = {false};
	TupleTableSlot *slot = table->slot;
	StrmExportVerdict verdict;

	if (encoder->derived != NULL && !strm_export_consented(encoder, table))
		return STRM_EXPORT_FILTERED;
	slot_getsomeattrs(slot, table->natts);
	if (!strm_export_server_columns(encoder, table, record))
		return STRM_EXPORT_FORGED;
	if (encoder->derived == NULL)
	{
		for (int i = 0; i < encoder->stream->contract->nfields; i++)
		{
			encoder->fields[i] = slot->tts_values[table->layout->fields[i]];
			encoder->fields_null[i] = slot->tts_isnull[table->layout->fields[i]];
		}
	}
	else
	{
		strm_export_derived_arm(encoder->derived);
		verdict = strm_export_derived_fields(encoder->derived, table->layout, slot->tts_values, slot->tts_isnull,
											 encoder->fields, encoder->fields_null);
		if (verdict != STRM_EXPORT_SEND)
			return verdict;
		strm_export_derived_reserve(encoder->derived, encoder->server[STRM_EVENT_CONSENT_LEVELS], encoder->fields,
									encoder->fields_null, record->value);
	}
	strm_uuid_append(record->key, &record->key_link);
	encoder->format->encode(encoder->format_encoder, encoder->server, not_null, encoder->fields, encoder->fields_null,
							record->value);
	return STRM_EXPORT_SEND;
}

StrmExportVerdict
strm_export_encode(StrmExportEncoder *encoder, Oid relid, HeapTuple tuple, StrmExportRecord *record)
{
	StrmExportTable *table = strm_export_table(encoder, relid);
	StrmExportVerdict verdict;
	MemoryContext old;

	resetStringInfo(record->key);
	resetStringInfo(record->value);
	if (table == NULL)
		return STRM_EXPORT_WITHHELD;

	ExecStoreHeapTuple(tuple, table->slot, false);
	old = MemoryContextSwitchTo(encoder->row_cxt);
	verdict = strm_export_encode_slot(encoder, table, record);
	MemoryContextSwitchTo(old);
	ExecClearTuple(table->slot);
	MemoryContextReset(encoder->row_cxt);
	return verdict;
}

void
strm_export_encoder_wipe(StrmExportEncoder *encoder)
{
	MemoryContextReset(encoder->row_cxt);
}
