/*
 * scheduler_exports.c
 *	  What a scheduler does for Kafka clusters and batch exporters: keeps an export worker running for each cluster and
 *	  one for all batch exporters, and takes away replication slots that nobody will ever read, and notes of erased
 *	  events that no slot can bring any more.
 *
 *	  Only a database's scheduler starts export workers, and only they make replication slots of ours: a slot whose
 *	  cluster the scheduler does not see is one whose cluster is gone. It is dropped when its worker, which finds that
 *	  out by itself, has let it go.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "common/uuid.h"
#include "export/batch_exporter.h"
#include "export/decoder.h"
#include "export/erased.h"
#include "export/exporter.h"
#include "strm_privacy.h"
#include "worker/export_slot.h"
#include "worker/scheduler_exports.h"
#include "worker/worker.h"

/* ms */
#define STRM_EXPORTS_BACK_OFF 1000	/* after a first failure; also the shortest time between two starts */
#define STRM_EXPORTS_LIVED_LONG 60000	/* a worker that fails later than this begins anew with the back-off */
#define STRM_EXPORTS_RETRY_NO_ROOM 10000
#define STRM_EXPORTS_RETRY_SLOT 1000	/* a slot that is still held */
#define STRM_EXPORTS_ERASED 10000	/* between two looks whether erased events can be forgotten */

/* A worker that there is to be, or would be if this were not a copy of its database. */
typedef struct StrmExportWorker
{
	pg_uuid_t	id;				/* of the cluster; or strm_export_batch */
	const char *slot;			/* its replication slot */
	const char *what;			/* does: for messages */
	bool		ours;
	const char *type;
	const char *function;
} StrmExportWorker;

/* How it went with the worker of a cluster. */
typedef struct StrmExportHistory
{
	pg_uuid_t	cluster;
	int			failures;		/* in a row */
	TimestampTz next;			/* when to start one again */
} StrmExportHistory;

static StrmExportHistory *
strm_scheduler_exports_history(StrmSchedulerExports *exports, const pg_uuid_t *cluster)
{
	StrmExportHistory *history;
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, exports->clusters)
	{
		history = lfirst(lc);
		if (memcmp(&history->cluster, cluster, sizeof(pg_uuid_t)) == 0)
			return history;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	history = palloc0(sizeof(StrmExportHistory));
	history->cluster = *cluster;
	exports->clusters = lappend(exports->clusters, history);
	MemoryContextSwitchTo(old);
	return history;
}

/* Adds the worker of a cluster. */
static List *
strm_scheduler_exports_add(List *workers, const StrmKafkaCluster *cluster)
{
	StrmExportWorker *worker = palloc0(sizeof(StrmExportWorker));

	worker->id = cluster->id;
	worker->slot = strm_kafka_slot_name(&cluster->id);
	worker->what = psprintf("publish to Kafka cluster \"%s\"", cluster->name);
	worker->ours = cluster->ours;
	worker->type = STRM_WORKER_EXPORT;
	worker->function = "strm_worker_export_main";
	return lappend(workers, worker);
}

/* Adds the worker of batch exporters, if there are any. */
static List *
strm_scheduler_exports_add_batch(List *workers, List *exporters)
{
	StrmExportWorker *worker;
	ListCell   *lc;

	if (exporters == NIL)
		return workers;
	worker = palloc0(sizeof(StrmExportWorker));
	worker->id = strm_export_batch;
	worker->slot = strm_batch_exporter_slot_name();
	worker->what = "run batch exporters";
	worker->type = STRM_WORKER_BATCH_EXPORT;
	worker->function = "strm_worker_batch_export_main";
	foreach(lc, exporters)
		worker->ours |= ((StrmBatchExporter *) lfirst(lc))->ours;
	/* its slot goes when none is ours any more */
	return worker->ours ? lappend(workers, worker) : workers;
}

static StrmExportWorker *
strm_scheduler_exports_find(List *workers, const pg_uuid_t *id)
{
	ListCell   *lc;

	foreach(lc, workers)
	{
		StrmExportWorker *worker = lfirst(lc);

		if (memcmp(&worker->id, id, sizeof(pg_uuid_t)) == 0)
			return worker;
	}
	return NULL;
}

/* Learns from workers that have ended, and forgets clusters that are gone. */
static void
strm_scheduler_exports_reap(StrmSchedulerExports *exports, List *workers)
{
	StrmExportEnd end;
	ListCell   *lc;

	while (strm_export_slot_reap(&end))
	{
		StrmExportHistory *history = strm_scheduler_exports_history(exports, &end.cluster);
		TimestampTz now = GetCurrentTimestamp();

		history->next = TimestampTzPlusMilliseconds(end.since, STRM_EXPORTS_BACK_OFF);
		if (!end.failed)
		{
			history->failures = 0;
			continue;
		}
		history->failures = TimestampDifferenceExceeds(end.since, now, STRM_EXPORTS_LIVED_LONG) ? 1
			: history->failures + 1;
		history->next = TimestampTzPlusMilliseconds(now, strm_worker_back_off_from(STRM_EXPORTS_BACK_OFF,
																				   history->failures));
	}

	foreach(lc, exports->clusters)
	{
		StrmExportHistory *history = lfirst(lc);

		if (strm_scheduler_exports_find(workers, &history->cluster) == NULL)
		{
			exports->clusters = foreach_delete_current(exports->clusters, lc);
			pfree(history);
		}
	}
}

/* Says once that the server has no room for another worker, until it has. */
static void
strm_scheduler_exports_report_room(StrmSchedulerExports *exports, const StrmExportWorker *worker, bool room)
{
	if (!room && !exports->no_room)
		ereport(WARNING,
				errcode(STRM_ERR_WORKERS),
				errmsg("there is no room for a background worker to %s", worker->what),
				errdetail("All background workers that the server may have are in use."),
				errhint("Raise max_worker_processes: each Kafka cluster takes one, and all batch exporters of a database another."));
	exports->no_room = !room;
}

/* false when there is no room for another worker. */
static bool
strm_scheduler_exports_start(const StrmExportWorker *worker)
{
	StrmSlotRef slot;

	if (!strm_export_slot_reserve(&worker->id, &slot))
		return false;
	if (strm_worker_start(worker->type, worker->function, &slot, NULL))
		return true;
	strm_export_slot_unreserve(&slot);
	return false;
}

/* Starts a worker if it is time to. Returns the milliseconds until it should be considered again. */
static long
strm_scheduler_exports_consider(StrmSchedulerExports *exports, const StrmExportWorker *worker, long idle)
{
	StrmExportHistory *history = strm_scheduler_exports_history(exports, &worker->id);
	TimestampTz now = GetCurrentTimestamp();
	StrmExportInfo info;
	bool		room;

	if (strm_export_slot_find(&worker->id, &info))
		return idle;
	if (history->next > now)
		return Max(TimestampDifferenceMilliseconds(now, history->next), 1);
	room = strm_scheduler_exports_start(worker);
	strm_scheduler_exports_report_room(exports, worker, room);
	return room ? idle : STRM_EXPORTS_RETRY_NO_ROOM;
}

/* Exporters of a cluster that belongs to the database which this one is a copy of: two must not write to one topic. */
static void
strm_scheduler_exports_disown(const StrmKafkaCluster *cluster)
{
	ListCell   *lc;

	foreach(lc, strm_kafka_exporters(&cluster->id))
	{
		StrmKafkaExporter *exporter = lfirst(lc);
		StrmExporterStatus status;

		/* a copy by pg_dump knows nothing of its state */
		if (!strm_exporter_status_read(&exporter->id, &status))
		{
			memset(&status, 0, sizeof(status));
			status.epoch = 1;
		}
		else if (status.state == STRM_EXPORTER_BROKEN)
			continue;
		status.state = STRM_EXPORTER_BROKEN;
		status.since = GetCurrentTimestamp();
		status.sqlstate = STRM_ERR_STATE;
		status.message = "this database is a copy of the one that publishes to the Kafka cluster,"
			" or was moved to another server";
		status.hint = "If the other one does not publish any more, use strm.rebuild_kafka_exporter();"
			" otherwise drop the exporter here.";
		(void) strm_exporter_status_write(&exporter->id, &status);
	}
}

/* Drops a slot, unless a process holds it: returns false then. */
static bool
strm_scheduler_exports_drop_slot(const char *name)
{
	StrmSlotInfo info;

	strm_slot_read(name, &info);
	if (info.active_pid != 0)
		return false;
	strm_slot_drop(name, false);
	ereport(LOG, errmsg("dropped replication slot \"%s\", whose exporters are gone", name));
	return true;
}

/* Drops slots that belong to none of the workers. Returns false when one is still held. */
static bool
strm_scheduler_exports_sweep(List *slots, List *workers)
{
	bool		done = true;
	ListCell   *slot;
	ListCell   *lc;

	foreach(slot, slots)
	{
		bool		wanted = false;

		foreach(lc, workers)
			wanted |= strcmp(((StrmExportWorker *) lfirst(lc))->slot, lfirst(slot)) == 0;
		if (!wanted)
			done &= strm_scheduler_exports_drop_slot(lfirst(slot));
	}
	return done;
}

/* The workers that there are to be; what must not be exported from here is marked. */
static List *
strm_scheduler_exports_workers(void)
{
	List	   *clusters = strm_kafka_clusters();
	List	   *exporters = strm_batch_exporters();
	List	   *workers = NIL;
	ListCell   *lc;

	foreach(lc, clusters)
	{
		workers = strm_scheduler_exports_add(workers, lfirst(lc));
		if (!((StrmKafkaCluster *) lfirst(lc))->ours)
			strm_scheduler_exports_disown(lfirst(lc));
	}
	return strm_scheduler_exports_add_batch(workers, exporters);
}

long
strm_scheduler_exports_look(StrmSchedulerExports *exports, long idle)
{
	List	   *workers = strm_scheduler_exports_workers();
	long		wait = idle;
	ListCell   *lc;

	strm_export_slot_sweep();
	strm_scheduler_exports_reap(exports, workers);
	if (!strm_scheduler_exports_sweep(strm_slot_list(), workers))
		wait = Min(wait, STRM_EXPORTS_RETRY_SLOT);
	foreach(lc, workers)
	{
		if (((StrmExportWorker *) lfirst(lc))->ours)
			wait = Min(wait, strm_scheduler_exports_consider(exports, lfirst(lc), idle));
	}
	strm_export_slot_poke();
	if (strm_erased_sweep())
		wait = Min(wait, STRM_EXPORTS_ERASED);
	return wait;
}

bool
strm_scheduler_exports_absent(void)
{
	return strm_scheduler_exports_sweep(strm_slot_list(), NIL);
}
