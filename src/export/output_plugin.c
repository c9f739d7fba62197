/*
 * output_plugin.c
 *	  The callbacks of logical decoding: they copy committed rows into a spool, and do nothing else.
 *
 *	  Whoever has the attribute REPLICATION may name any permitted library as output plugin. This one refuses to start
 *	  unless the decoding context reads WAL through this library's own reader, which only export workers do; nothing has
 *	  happened to a slot by then. pg_upgrade, which makes slots anew, may do that: nobody else can connect meanwhile.
 *	  Only INSERT counts: streams know no UPDATE, and what is deleted was published before.
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/output_plugin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "common/errors.h"
#include "compat/compat.h"
#include "export/output_plugin.h"

/* Recent minor releases have it: libraries that are permitted as output plugins. */
#define STRM_PERMITTED_PLUGINS "output_plugin_libraries"

/* Memory of transactions that are being reassembled; beyond it they go to disk. */
#define STRM_DECODING_WORK_MEM "8MB"

/* 15 does not declare it. */
extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/* Adds the library to those that this process permits, unless it is among them. */
static void
strm_output_plugin_permit(void)
{
	const char *permitted = GetConfigOption(STRM_PERMITTED_PLUGINS, true, false);
	List	   *names;
	ListCell   *lc;

	if (permitted == NULL)
		return;
	if (!SplitGUCList(pstrdup(permitted), ',', &names))
		names = NIL;
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), STRM_OUTPUT_PLUGIN) == 0)
			return;
	}
	SetConfigOption(STRM_PERMITTED_PLUGINS,
					names == NIL ? STRM_OUTPUT_PLUGIN : psprintf("%s, %s", permitted, STRM_OUTPUT_PLUGIN),
					PGC_SUSET, PGC_S_SESSION);
}

/*
 * Temporary files hold what the table holds, of transactions of any size: a limit would only make the worker fail for
 * ever. Naming no tablespaces for them spares a look into the catalog, which is not to be had in a callback.
 */
void
strm_output_plugin_prepare(void)
{
	strm_output_plugin_permit();
	SetConfigOption("logical_decoding_work_mem", STRM_DECODING_WORK_MEM, PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("temp_file_limit", "-1", PGC_SUSET, PGC_S_SESSION);
	SetConfigOption("temp_tablespaces", "", PGC_USERSET, PGC_S_SESSION);
}

static void
strm_output_plugin_startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	if (!(IsBinaryUpgrade && is_init) && (MyBackendType != B_BG_WORKER || !strm_wal_is_ours(ctx->reader)))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("output plugin \"%s\" works for the export workers of the extension only", STRM_OUTPUT_PLUGIN),
				errhint("Use strm.create_kafka_cluster() and strm.create_kafka_exporter() to publish a stream."));
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
}

static void
strm_output_plugin_begin(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	StrmPlugin *plugin = ctx->output_plugin_private;

	plugin->row.xid = txn->xid;
	plugin->row.lsn = txn->final_lsn;
	plugin->row.end_lsn = txn->end_lsn;
	plugin->row.timeline = strm_wal_timeline(&plugin->timeline, txn->final_lsn);
	plugin->row.committed = txn->xact_time.commit_time;
	plugin->row.sequence = 0;
}

static void
strm_output_plugin_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr lsn)
{
}

/* Values that were stored outside the row come as pointers into memory: those rows are put together first. */
static void
strm_output_plugin_copy_toasted(StrmPlugin *plugin, Relation relation, HeapTuple tuple)
{
	MemoryContext caller = MemoryContextSwitchTo(plugin->row_context);

	plugin->row.tuple = *toast_flatten_tuple(tuple, RelationGetDescr(relation));
	strm_spool_add(plugin->spool, &plugin->row);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(plugin->row_context);
}

/*
 * Every row counts, wanted or not, so that a row has the same number whatever else is exported. Rows that were moved to
 * another partition are none that came into the stream.
 */
static void
strm_output_plugin_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation,
						  ReorderBufferChange *change)
{
	StrmPlugin *plugin = ctx->output_plugin_private;

	CHECK_FOR_INTERRUPTS();
	if (change->action != REORDER_BUFFER_CHANGE_INSERT || change->origin_id == DoNotReplicateId)
		return;
	if (plugin->wanted(plugin->arg, RelationGetRelid(relation)))
	{
		HeapTuple	tuple = strm_change_tuple(change);

		plugin->row.relid = RelationGetRelid(relation);
		if (HeapTupleHasExternal(tuple))
			strm_output_plugin_copy_toasted(plugin, relation, tuple);
		else
		{
			plugin->row.tuple = *tuple;
			strm_spool_add(plugin->spool, &plugin->row);
		}
	}
	plugin->row.sequence++;
}

/* Neither streaming of transactions in progress nor decoding at PREPARE: nothing is published before its commit. */
void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = strm_output_plugin_startup;
	callbacks->begin_cb = strm_output_plugin_begin;
	callbacks->change_cb = strm_output_plugin_change;
	callbacks->commit_cb = strm_output_plugin_commit;
}
