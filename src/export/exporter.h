/*
 * exporter.h
 *	  Kafka clusters and exporters in the registry: definitions, and what is known of them durably.
 *
 *	  Everything here needs a transaction. Reads go by the registry's owner: callers have checked rights.
 */
#ifndef STRM_EXPORT_EXPORTER_H
#define STRM_EXPORT_EXPORTER_H

#include "access/xlogdefs.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "common/errors.h"
#include "export/encoder.h"
#include "export/position.h"
#include "export/sink.h"

/* bootstrap_servers of the cluster that the worker itself runs, in memory. */
#define STRM_KAFKA_EMBEDDED "embedded"

typedef struct StrmKafkaCluster
{
	pg_uuid_t	id;
	char	   *name;
	Oid			owner;
	char	   *bootstrap_servers;
	bool		embedded;
	Jsonb	   *config;			/* what is not secret */
	bytea	   *credentials;	/* wrapped; NULL: none */
	bool		trusted;		/* made by strm_admin or a superuser: may reach this machine itself */
	bool		ours;			/* of this database of this server, not of one that it is a copy of */
	bool		has_slot;		/* its slot was made once */
} StrmKafkaCluster;

typedef enum StrmExporterState
{
	STRM_EXPORTER_CREATING,		/* no worker has taken it up yet */
	STRM_EXPORTER_BACKFILLING,
	STRM_EXPORTER_RUNNING,
	STRM_EXPORTER_PAUSED,
	STRM_EXPORTER_RETRYING,		/* a temporary failure: it goes on by itself */
	STRM_EXPORTER_ERROR,		/* needs somebody, then strm.resume_kafka_exporter() */
	STRM_EXPORTER_BROKEN		/* the slot, or its place in it, is lost: strm.rebuild_kafka_exporter() */
} StrmExporterState;

typedef struct StrmKafkaExporter
{
	pg_uuid_t	id;
	char	   *name;
	Oid			owner;
	pg_uuid_t	cluster;
	pg_uuid_t	stream;			/* the source */
	pg_uuid_t	derived;		/* when is_derived */
	bool		is_derived;
	char	   *topic;
	int			partitions;
	StrmExportFormat format;
	bool		transactional;
	bool		include_existing;
	bool		paused;			/* wanted */
	char	   *defined_at;		/* snapshot of its creation, see snapshot.h */
	XLogRecPtr	defined_lsn;	/* of its creation, or a little before */
} StrmKafkaExporter;

/* The row of strm.kafka_exporter_state. Texts NULL: none. */
typedef struct StrmExporterStatus
{
	StrmExporterState state;
	TimestampTz since;
	int			sqlstate;		/* 0: no error */
	char	   *message;		/* never a personal value or credential */
	char	   *hint;
	uint32		epoch;
	XLogRecPtr	start_lsn;		/* live: transactions that commit at or after it; 0: not taken up yet */
	TimeLineID	start_timeline;
	int			nstarts;
	int64	   *starts;			/* offsets at which this exporter began to write */
	int64		sent;
	int64		withheld;
	int64		filtered;
	int64		failed;			/* forged rows, rows whose key is lost */
	char	   *backfill;		/* plan; NULL: none, or done */
	char	   *checkpoint;		/* snapshot all of whose rows are published */
	XLogRecPtr	checkpoint_lsn; /* taken no earlier than this */
	int64	   *checkpoint_offsets; /* of nstarts: rows beyond the snapshot lie from here on */
} StrmExporterStatus;

/* Clusters of this database (all, or the one of that id), exporters of a cluster; in the current context. */
extern List *strm_kafka_clusters(void);
extern StrmKafkaCluster *strm_kafka_cluster_by_id(const pg_uuid_t *id);	/* NULL: none */
extern StrmKafkaCluster *strm_kafka_cluster_by_name(const char *name);	/* raises 42704 */
extern List *strm_kafka_exporters(const pg_uuid_t *cluster);
extern StrmKafkaExporter *strm_kafka_exporter_by_name(const char *name); /* raises 42704 */

/* Name of the slot of a cluster in this database. */
extern char *strm_kafka_slot_name(const pg_uuid_t *cluster);

/*
 * Of a cluster that is ours by its slot: notes that it belongs to this database of this server now. When it did not
 * (pg_upgrade made the server anew), timelines and LSNs begin anew as well: its exporters' epochs move.
 */
extern void strm_kafka_cluster_take_over(const pg_uuid_t *cluster);

/* The slot was made; from now on a missing one means that it is lost. */
extern void strm_kafka_cluster_note_slot(const pg_uuid_t *cluster, XLogRecPtr consistent);

/*
 * State: false when the exporter is gone. Writing replaces the whole row and notifies a change of state. Workers write
 * it; commands only rows of exporters that workers leave alone: resuming makes of ERROR RETRYING (CREATING, before
 * start_lsn is set), rebuilding makes of BROKEN CREATING, and both move the generation. So a worker reads the row anew
 * when it sees a new generation and its exporter is in one of these states.
 */
extern bool strm_exporter_status_read(const pg_uuid_t *exporter, StrmExporterStatus *status);
extern bool strm_exporter_status_write(const pg_uuid_t *exporter, const StrmExporterStatus *status);
extern const char *strm_exporter_state_name(StrmExporterState state);

/* The exporter's definition is gone: so goes its state. */
extern void strm_exporter_status_forget(const pg_uuid_t *exporter);

/*
 * Properties for the sink of a cluster: its own, its secrets, and that servers' certificates are verified; in the
 * current context, wiped with it. What delivery depends on is the sink's. Of an embedded cluster bootstrap.servers is
 * left to the caller.
 */
extern int	strm_kafka_properties(const StrmKafkaCluster *cluster, StrmSinkProperty **properties);

/*
 * Checks what a user gave for a cluster: faults for brokers that may not be reached, and for all properties that are
 * not on the list, with why. Splits secrets off, in the current context (NULL: there are none; wiped with it). Members
 * that are null are left out. trusted: an administrator vouches for it.
 */
extern void strm_kafka_config_check(const char *servers, Jsonb *config, bool trusted, StrmFaults *faults,
									Jsonb **plain, Jsonb **secrets);

/*
 * Would secrets of the first definition that are still in the second be sent to somebody else, or less protected? NULL:
 * no; else what was changed. login: or as another user, which may be another customer of a service? Secrets aside.
 */
extern const char *strm_kafka_config_redirect(const char *servers_before, Jsonb *before, const char *servers,
											  Jsonb *after, bool login);

/* Is the schema registry's URL, which Avro needs, among a cluster's properties? */
extern bool strm_kafka_config_has_registry(const StrmKafkaCluster *cluster);

/*
 * May the exporter's owner still publish? NULL: yes; else what is missing, constant or with names of roles and
 * relations only. Streams: their owner, or strm_member with SELECT; derived streams: strm_approver with SELECT.
 */
extern const char *strm_exporter_refusal(const StrmKafkaExporter *exporter);

/* The same of a source alone, before there is an exporter. */
extern const char *strm_exporter_refusal_of_source(Oid owner, const pg_uuid_t *stream, const pg_uuid_t *derived);

/* May a role export the keys of a stream: strm_key_exporter, and its owner or SELECT on it? As above. */
extern const char *strm_exporter_refusal_of_keys(Oid owner, const pg_uuid_t *stream);

/* May a role use the cluster: its owner, those it was granted to, strm_admin? */
extern bool strm_kafka_cluster_is_usable(const StrmKafkaCluster *cluster, Oid role);

#endif							/* STRM_EXPORT_EXPORTER_H */
