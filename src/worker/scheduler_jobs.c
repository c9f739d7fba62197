/*
 * scheduler_jobs.c
 *	  What a scheduler does for batch jobs: starts workers for those that wait, writes down how far the running ones
 *	  are, marks those whose process is gone, and takes away what these left behind.
 *
 *	  That a job has no slot is looked at after its state was read: a job that has ended meanwhile has another state,
 *	  and a change of state is conditional on the one that was read.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "batch/run.h"
#include "catalog/policy.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "guc/guc.h"
#include "strm_privacy.h"
#include "worker/job_slot.h"
#include "worker/job_state.h"
#include "worker/scheduler_jobs.h"
#include "worker/worker.h"

/* ms */
#define STRM_JOBS_PROGRESS 9000 /* running jobs' progress is written down this often: at least every 10 s */
#define STRM_JOBS_RETRY 10000
#define STRM_JOBS_SWEEP 3600000
#define STRM_JOBS_SWEEP_AGAIN 600000

/* A job that is not over. */
typedef struct StrmOpenJob
{
	pg_uuid_t	id;
	StrmJobState state;
	int			tries;
	bool		synchronous;
	bool		ours;			/* made in this database, not in one that it is a copy of */
	TimestampTz since;			/* of its state */
} StrmOpenJob;

static StrmOpenJob *
strm_scheduler_open_jobs(int *n)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;
	StrmOpenJob *jobs;

	strm_registry_add(&args, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	strm_registry_add(&args, INT4OID, Int32GetDatum(STRM_JOB_TRIES), false);
	rows = strm_registry_select("SELECT id, state, tries, synchronous, database = $1,"
								" coalesce((SELECT max(s.since) FROM strm.batch_job_state s WHERE s.job_id = id), created_at)"
								" FROM strm.batch_job"
								" WHERE state <> ALL (ARRAY['FINISHED', 'ERROR'])"
								"   AND (state <> 'ERROR_STARTING' OR tries < $2)"
								" ORDER BY created_at, id", STRM_REGISTRY_ARGS(&args));
	jobs = palloc(Max(rows->n, 1) * sizeof(StrmOpenJob));
	for (uint64 i = 0; i < rows->n; i++)
	{
		Datum	   *values = &rows->values[i * rows->ncolumns];

		jobs[i].id = *DatumGetUUIDP(values[0]);
		jobs[i].state = strm_job_state_of(TextDatumGetCString(values[1]));
		jobs[i].tries = DatumGetInt32(values[2]);
		jobs[i].synchronous = DatumGetBool(values[3]);
		jobs[i].ours = DatumGetBool(values[4]);
		jobs[i].since = DatumGetTimestampTz(values[5]);
	}
	*n = rows->n;
	return jobs;
}

/* A job of a database that this one is a copy of. */
static StrmJobError
strm_scheduler_error_copied(void)
{
	StrmJobError error = {
		.sqlstate = STRM_ERR_STATE,
		.message = "the batch job belongs to another database",
		.detail = "This database was made as a copy of one in which the job had not ended.",
	};

	return error;
}

/*
 * Marks a job whose process is gone, and one that never had any here. Those that wait for a worker wait on, unless a
 * session was to start it. Returns whether it was one.
 */
static bool
strm_scheduler_mark_lost(StrmSchedulerJobs *jobs, const StrmOpenJob *job)
{
	bool		active = (STRM_JOB_ACTIVE & STRM_JOB_STATE(job->state)) != 0;
	StrmJobError error = job->ours ? strm_job_error_lost() : strm_scheduler_error_copied();

	if (job->ours && ((!active && !job->synchronous) || strm_job_slot_exists(&job->id)))
		return false;
	if (strm_job_state_move(&job->id, STRM_JOB_STATE(job->state), STRM_JOB_ERROR, 0, NULL, &error) && active)
		jobs->dirty = true;
	return true;
}

/* Writes down how far the running jobs are. Returns the number of milliseconds until it is due again, at most wait. */
static long
strm_scheduler_note_progress(long wait)
{
	StrmJobInfo *infos;
	TimestampTz now = GetCurrentTimestamp();
	int			n = strm_job_slots(MyDatabaseId, &infos);

	for (int i = 0; i < n; i++)
	{
		StrmJobInfo *info = &infos[i];
		TimestampTz due = TimestampTzPlusMilliseconds(info->noted, STRM_JOBS_PROGRESS);

		if (info->running_since == 0)
			continue;			/* its worker will say when it runs */
		if (info->noted == 0 || due <= now)
		{
			(void) strm_job_state_move(&info->job, STRM_JOB_ACTIVE, STRM_JOB_RUNNING,
									   info->noted == 0 ? info->running_since : 0, &info->progress, NULL);
			strm_job_slot_noted(&info->job, now);
			due = TimestampTzPlusMilliseconds(now, STRM_JOBS_PROGRESS);
		}
		wait = Min(wait, Max(TimestampDifferenceMilliseconds(now, due), 1));
	}
	return wait;
}

/* Number of queued jobs that have a worker or get one. */
static int
strm_scheduler_workers(void)
{
	StrmJobInfo *infos;
	int			n = strm_job_slots(MyDatabaseId, &infos);
	int			workers = 0;

	for (int i = 0; i < n; i++)
		workers += infos[i].synchronous ? 0 : 1;
	return workers;
}

/*
 * When a waiting job may be started: at once, or some time after its last failure. A worker that ended without a
 * change of the job's state could not even begin.
 */
static TimestampTz
strm_scheduler_due(const StrmSchedulerJobs *jobs, const StrmOpenJob *job)
{
	TimestampTz due = 0;

	if (job->state == STRM_JOB_ERROR_STARTING)
		due = TimestampTzPlusMilliseconds(job->since, strm_worker_back_off(job->tries));
	for (int i = 0; i < Min(jobs->nstarts, STRM_SCHEDULER_STARTS); i++)
	{
		const StrmSchedulerStart *start = &jobs->starts[i];

		if (start->tries == job->tries && memcmp(&start->job, &job->id, sizeof(pg_uuid_t)) == 0)
			due = Max(due, TimestampTzPlusMilliseconds(start->at, STRM_JOBS_RETRY));
	}
	return due;
}

/* false when there is no room for another worker. */
static bool
strm_scheduler_start(StrmSchedulerJobs *jobs, const StrmOpenJob *job, TimestampTz now)
{
	StrmSchedulerStart *start = &jobs->starts[jobs->nstarts++ % STRM_SCHEDULER_STARTS];
	StrmSlotRef slot;

	start->job = job->id;
	start->tries = job->tries;
	start->at = now;
	if (!strm_job_slot_reserve(&job->id, false, &slot))
		return false;
	if (strm_worker_start(STRM_WORKER_JOB, "strm_worker_job_main", &slot, NULL))
		return true;
	strm_job_slot_starting(&slot, false);
	return false;
}

/* Starts a waiting job if it is time to. Returns the milliseconds until it should be considered again. */
static long
strm_scheduler_consider(StrmSchedulerJobs *jobs, const StrmOpenJob *job, int *workers)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = strm_scheduler_due(jobs, job);

	if (due > now)
		return Max(TimestampDifferenceMilliseconds(now, due), 1);
	if (*workers >= strm_batch_max_workers || strm_job_slot_exists(&job->id))
		return STRM_JOBS_RETRY;
	if (!strm_scheduler_start(jobs, job, now))
		return STRM_JOBS_RETRY;
	(*workers)++;
	return STRM_JOBS_RETRY;
}

long
strm_scheduler_jobs_look(StrmSchedulerJobs *jobs, long idle)
{
	int			nopen;
	StrmOpenJob *open;
	int			workers;
	long		wait = idle;

	strm_job_slot_sweep();
	open = strm_scheduler_open_jobs(&nopen);
	workers = strm_scheduler_workers();
	for (int i = 0; i < nopen; i++)
	{
		if (strm_scheduler_mark_lost(jobs, &open[i]) || open[i].synchronous ||
			(STRM_JOB_WAITING & STRM_JOB_STATE(open[i].state)) == 0)
			continue;
		wait = Min(wait, strm_scheduler_consider(jobs, &open[i], &workers));
	}
	return strm_scheduler_note_progress(wait);
}

/*
 * Deletes jobs that ended longer ago than the retention of their keys' policy says: that of their group, or the
 * default's. Groups stay, as owners of the keys.
 */
static void
strm_scheduler_forget_old(void)
{
	StrmRegistryArgs args = {0};

	strm_registry_add(&args, INT4OID, Int32GetDatum(STRM_POLICY_DEFAULT_DAYS), false);
	strm_registry_add(&args, INT4OID, Int32GetDatum(STRM_JOB_TRIES), false);
	(void) strm_registry_execute("WITH gone AS ("
								 " DELETE FROM strm.batch_job j"
								 " WHERE (j.state IN ('FINISHED', 'ERROR') OR j.state = 'ERROR_STARTING' AND j.tries >= $2)"
								 "   AND (SELECT max(s.since) FROM strm.batch_job_state s WHERE s.job_id = j.id)"
								 "       + coalesce((SELECT p.retention FROM strm.batch_job_group g"
								 "                     JOIN strm.policy p ON p.id = g.policy_id WHERE g.id = j.group_id),"
								 "                  make_interval(days => $1)) < now()"
								 " RETURNING j.id), forgotten AS ("
								 " DELETE FROM strm.entity_message WHERE id IN (SELECT id FROM gone))"
								 " DELETE FROM strm.batch_job_state WHERE job_id IN (SELECT id FROM gone)",
								 STRM_REGISTRY_ARGS(&args));
}

/*
 * Leftovers outside the database. What fails there must not keep jobs from being started, which is why the error ends
 * here; the details were logged by then or are the connector's.
 */
static void
strm_scheduler_clean_up(StrmSchedulerJobs *jobs)
{
	PG_TRY();
	{
		if (strm_worker_begin_transaction())
		{
			jobs->leftovers = strm_batch_clean_up() > 0;
			strm_worker_end_transaction();
		}
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		jobs->leftovers = true;
	}
	PG_END_TRY();
}

void
strm_scheduler_jobs_sweep(StrmSchedulerJobs *jobs)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!jobs->dirty && jobs->swept != 0 &&
		!TimestampDifferenceExceeds(jobs->swept, now, jobs->leftovers ? STRM_JOBS_SWEEP_AGAIN : STRM_JOBS_SWEEP))
		return;
	jobs->swept = now;
	jobs->dirty = false;
	strm_worker_report("taking away what dead batch jobs left");
	strm_scheduler_clean_up(jobs);
	strm_worker_report("forgetting old batch jobs");
	if (strm_worker_begin_transaction())
	{
		strm_scheduler_forget_old();
		strm_worker_end_transaction();
	}
}
