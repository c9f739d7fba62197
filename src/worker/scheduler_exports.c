/*
 * scheduler_exports.c
 *	  What a scheduler does for Kafka clusters: keeps an export worker running for each one, and takes away replication
 *	  slots that nobody will ever read, and notes of erased events that no slot can bring any more.
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

static StrmKafkaCluster *
strm_scheduler_exports_find(List *clusters, const pg_uuid_t *id)
{
	ListCell   *lc;

	foreach(lc, clusters)
	{
		StrmKafkaCluster *cluster = lfirst(lc);

		if (memcmp(&cluster->id, id, sizeof(pg_uuid_t)) == 0)
			return cluster;
	}
	return NULL;
}

/* Learns from workers that have ended, and forgets clusters that are gone. */
static void
strm_scheduler_exports_reap(StrmSchedulerExports *exports, List *clusters)
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

		if (strm_scheduler_exports_find(clusters, &history->cluster) == NULL)
		{
			exports->clusters = foreach_delete_current(exports->clusters, lc);
			pfree(history);
		}
	}
}

/* Says once that the server has no room for another worker, until it has. */
static void
strm_scheduler_exports_report_room(StrmSchedulerExports *exports, const StrmKafkaCluster *cluster, bool room)
{
	if (!room && !exports->no_room)
		ereport(WARNING,
				errcode(STRM_ERR_WORKERS),
				errmsg("there is no room for a background worker to publish to Kafka cluster \"%s\"", cluster->name),
				errdetail("All background workers that the server may have are in use."),
				errhint("Raise max_worker_processes: each Kafka cluster takes one."));
	exports->no_room = !room;
}

/* false when there is no room for another worker. */
static bool
strm_scheduler_exports_start(const StrmKafkaCluster *cluster)
{
	StrmSlotRef slot;

	if (!strm_export_slot_reserve(&cluster->id, &slot))
		return false;
	if (strm_worker_start(STRM_WORKER_EXPORT, "strm_worker_export_main", &slot, NULL))
		return true;
	strm_export_slot_unreserve(&slot);
	return false;
}

/* Starts the worker of a cluster if it is time to. Returns the milliseconds until it should be considered again. */
static long
strm_scheduler_exports_consider(StrmSchedulerExports *exports, const StrmKafkaCluster *cluster, long idle)
{
	StrmExportHistory *history = strm_scheduler_exports_history(exports, &cluster->id);
	TimestampTz now = GetCurrentTimestamp();
	StrmExportInfo info;
	bool		room;

	if (strm_export_slot_find(&cluster->id, &info))
		return idle;
	if (history->next > now)
		return Max(TimestampDifferenceMilliseconds(now, history->next), 1);
	room = strm_scheduler_exports_start(cluster);
	strm_scheduler_exports_report_room(exports, cluster, room);
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
	ereport(LOG, errmsg("dropped replication slot \"%s\", whose Kafka cluster is gone", name));
	return true;
}

/* Drops slots that belong to none of the clusters. Returns false when one is still held. */
static bool
strm_scheduler_exports_sweep(List *slots, List *clusters)
{
	bool		done = true;
	ListCell   *slot;
	ListCell   *lc;

	foreach(slot, slots)
	{
		bool		wanted = false;

		foreach(lc, clusters)
			wanted |= strcmp(strm_kafka_slot_name(&((StrmKafkaCluster *) lfirst(lc))->id), lfirst(slot)) == 0;
		if (!wanted)
			done &= strm_scheduler_exports_drop_slot(lfirst(slot));
	}
	return done;
}

long
strm_scheduler_exports_look(StrmSchedulerExports *exports, long idle)
{
	List	   *clusters = strm_kafka_clusters();
	long		wait = idle;
	ListCell   *lc;

	strm_export_slot_sweep();
	strm_scheduler_exports_reap(exports, clusters);
	if (!strm_scheduler_exports_sweep(strm_slot_list(), clusters))
		wait = Min(wait, STRM_EXPORTS_RETRY_SLOT);
	foreach(lc, clusters)
	{
		StrmKafkaCluster *cluster = lfirst(lc);

		if (cluster->ours)
			wait = Min(wait, strm_scheduler_exports_consider(exports, cluster, idle));
		else
			strm_scheduler_exports_disown(cluster);
	}
	if (strm_erased_sweep())
		wait = Min(wait, STRM_EXPORTS_ERASED);
	return wait;
}

bool
strm_scheduler_exports_absent(void)
{
	return strm_scheduler_exports_sweep(strm_slot_list(), NIL);
}
