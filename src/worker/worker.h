/*
 * worker.h
 *	  What all background workers of the extension have in common.
 */
#ifndef STRM_WORKER_H
#define STRM_WORKER_H

#include "postmaster/bgworker.h"

#include "worker/state.h"

/* Names of workers in pg_stat_activity (backend_type). */
#define STRM_WORKER_LAUNCHER "strm_privacy launcher"
#define STRM_WORKER_SCHEDULER "strm_privacy scheduler"
#define STRM_WORKER_JOB "strm_privacy batch job"
#define STRM_WORKER_EXPORT "strm_privacy Kafka worker"
#define STRM_WORKER_BATCH_EXPORT "strm_privacy batch export"
#define STRM_WORKER_INGEST "strm_privacy ingest worker"
#define STRM_WORKER_KAFKA_CHECK "strm_privacy Kafka check"

/*
 * Asks for shared memory, registers the launcher and installs the hooks of this folder; called once, by _PG_init. Does
 * nothing unless shared libraries are being preloaded.
 */
extern void strm_worker_init(void);

/*
 * Starts a worker of that kind for a slot. *handle may be NULL. false when the server has no room for another
 * background worker.
 */
extern bool strm_worker_start(const char *type, const char *function, const StrmSlotRef *ref,
							  BackgroundWorkerHandle **handle);

/* The slot that a worker was started for. */
extern StrmSlotRef strm_worker_slot(Datum main_arg);

/* A worker's beginning: signals. SIGTERM ends it at the next interrupt check, SIGHUP reloads the configuration. */
extern void strm_worker_begin(void);

/*
 * Connects to a database, or with InvalidOid to the shared catalogs only, as the bootstrap superuser, with the
 * settings that workers rely on whatever the database's are.
 */
extern void strm_worker_connect(Oid database, const char *type);

/*
 * Waits until the latch is set or ms milliseconds are over, ends the process when the server dies or SIGTERM came, and
 * serves interrupts and reloads. No transaction may be open.
 */
extern void strm_worker_wait(long ms);

/*
 * Begins a transaction with a snapshot, in which the extension cannot be dropped. false, and no transaction is open,
 * when this database does not have it.
 */
extern bool strm_worker_begin_transaction(void);
extern void strm_worker_end_transaction(void);

/* Reports in pg_stat_activity what the worker does; NULL: it is idle. */
extern void strm_worker_report(const char *activity);

/* Milliseconds to wait after the n-th failure in a row (1 or more): doubling from 5 s to 5 min. */
extern long strm_worker_back_off(int failures);

/* The same, from another first number of milliseconds. */
extern long strm_worker_back_off_from(long first, int failures);

/*
 * Does trying again help by itself against errors of that SQLSTATE (connections, resources, states, the system)? A
 * master key that is missing may come.
 */
extern bool strm_worker_is_temporary(int sqlstate);

/* Entry points of the workers. */
extern PGDLLEXPORT void strm_worker_launcher_main(Datum main_arg);
extern PGDLLEXPORT void strm_worker_scheduler_main(Datum main_arg);
extern PGDLLEXPORT void strm_worker_job_main(Datum main_arg);
extern PGDLLEXPORT void strm_worker_export_main(Datum main_arg);
extern PGDLLEXPORT void strm_worker_ingest_main(Datum main_arg);
extern PGDLLEXPORT void strm_worker_batch_export_main(Datum main_arg);
extern PGDLLEXPORT void strm_worker_kafka_check_main(Datum main_arg);

#endif							/* STRM_WORKER_H */
