/*
 * run_private.h
 *	  What the files of a run share: the run, its outputs and the record at hand. Internal to this folder.
 *
 *	  Everything here lives in run->cxt, or for one record in run->record_cxt; nothing in a transaction's memory, which
 *	  ends as the run goes.
 */
#ifndef STRM_BATCH_RUN_PRIVATE_H
#define STRM_BATCH_RUN_PRIVATE_H

#include "storage/buffile.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "batch/run.h"
#include "catalog/policy.h"
#include "common/bytes.h"
#include "connect/connector.h"
#include "connect/database.h"
#include "keys/data_key.h"

/* Columns of an encrypted or derived output after the contract's fields. */
typedef enum StrmBatchMeta
{
	STRM_BATCH_META_REF,
	STRM_BATCH_META_NONCE,
	STRM_BATCH_META_TIMESTAMP,
	STRM_BATCH_META_KEY_LINK,
	STRM_BATCH_META_BILLING_ID,
	STRM_BATCH_META_CONSENT_LEVELS,
	STRM_BATCH_META_COLUMNS
} StrmBatchMeta;

/* What an output shows of a field. */
typedef enum StrmBatchShow
{
	STRM_BATCH_GIVEN,			/* not personal */
	STRM_BATCH_CIPHER,
	STRM_BATCH_CLEAR,			/* personal, in canonical text */
	STRM_BATCH_MASK
} StrmBatchShow;

/* A place that the run writes to: the encrypted data, derived data, keys or rejects. Not a stream. */
typedef struct StrmBatchOutput
{
	const StrmBatchPlace *place;
	const StrmBatchDerived *derived;	/* of derived data */
	const StrmConnector *connector; /* NULL: this database */
	StrmStore  *store;			/* of a file */
	bool		has_intent;
	pg_uuid_t	intent;
	char	   *note;			/* what its sink told for cleaning up; NULL: nothing */
	StrmByteSink *sink;			/* of a file */
	StrmDatabaseWriter *database;	/* of a table */
	StrmRecordWriter *writer;
	bool		typed;			/* JSON: values are of their types, not as given */
	StrmBatchShow *show;		/* of records: by ordinal */
	int			ncolumns;
	const StrmRecordColumn *columns;
	StrmRecordValue *values;	/* of the row at hand */
	bool		wanted;			/* the record at hand belongs here */
	struct StrmBatchRun *run;	/* for callbacks */
} StrmBatchOutput;

/* One value in canonical text; text and size are undefined when null. */
typedef struct StrmBatchText
{
	bool		null;
	const char *text;
	Size		size;
} StrmBatchText;

/* A field of the contract, and its value in the record at hand. */
typedef struct StrmBatchField
{
	const StrmField *field;
	int			ordinal;
	bool		validated;		/* the contract has validations of it */
	StrmRecordValue given;		/* as read; for a repeated field the text of a JSON array */
	int			nelements;		/* 0 when null; else 1 unless it is repeated */
	StrmBatchText *elements;	/* &one unless it is repeated */
	StrmBatchText one;
	StringInfoData canonical;	/* room for one's text */
	bool		encrypted;		/* cipher is set */
	StringInfoData cipher;		/* base64; for a repeated field a JSON array of that */
} StrmBatchField;

/* What is wrong with a record. */
typedef struct StrmBatchFault
{
	const char *field;			/* "" when it is the record as a whole */
	const char *rule;			/* "is not a valid INTEGER"; never a value */
} StrmBatchFault;

typedef struct StrmBatchTarget StrmBatchTarget;

struct StrmBatchRun
{
	MemoryContext cxt;
	MemoryContext record_cxt;	/* reset after each record */
	const StrmBatchRunHooks *hooks;
	pg_uuid_t	job_id;
	StrmBatchJob *job;
	const char *contract_ref;
	StrmPolicy	policy;			/* of the keys */
	pg_uuid_t	key_owner;		/* group or stream */
	uint64		mark;			/* of keys that this run has noted */
	bool		one_transaction;	/* a database is source or target: no commits during the pass */
	bool		passing;		/* the pass has begun */

	List	   *connectors;		/* StrmConnector, each once */
	List	   *stores;			/* StrmStore, one per connector of files */
	const StrmConnector *source_connector;	/* NULL: this database */
	StrmByteSource *source;
	StrmRecordReader *reader;
	int			noutputs;
	StrmBatchOutput *outputs;
	StrmBatchOutput *keys;		/* of outputs, or NULL */
	StrmBatchOutput *rejects;	/* of outputs, or NULL */
	StrmBatchTarget *target;	/* a stream, or NULL */

	int			nwanted;
	const char **wanted;		/* columns of the source: the contract's fields, and two more if these are not fields */
	int			consent_column; /* in wanted, or -1 */
	int			timestamp_column;
	StrmBatchField *fields;

	/* the record at hand */
	StrmRecord	record;
	int64		epoch_ms;
	ArrayType  *consent_levels;
	StrmDataKey *key;			/* valid until it is written anywhere */
	List	   *faults;			/* StrmBatchFault, in record_cxt */
	StrmRecordValue meta[STRM_BATCH_META_COLUMNS];
	char		timestamp_text[MAXINT8LEN + 1];
	char		key_link_text[37];
	StringInfoData levels_text;

	BufFile    *links;			/* key links used, as noted */
	char	   *first_reject;	/* what was wrong with the first rejected record */
	StrmBatchCounts counts;
	TimestampTz last_commit;
	TimestampTz last_progress;
};

/* Ends a transaction and begins another one; the current memory context must be of the run. */
extern void strm_batch_run_commit(StrmBatchRun *run);

/* plan.c: columns of the source and the outputs */

/* Sets wanted and the fields; in run->cxt. */
extern void strm_batch_plan_source(StrmBatchRun *run);

/* Raises all differences of the opened source's columns from the contract at once; notices those that do not matter. */
extern void strm_batch_plan_check(StrmBatchRun *run);

/* A notice for columns of the source that no output has. */
extern void strm_batch_plan_unknown(StrmBatchRun *run);

/* Sets columns and show of an output of records. */
extern void strm_batch_plan_output(StrmBatchRun *run, StrmBatchOutput *output);

/* record.c, repeated.c: the record at hand */

/* Checks it; false: run->faults says why it must be rejected. Nothing was written or kept of it. */
extern bool strm_batch_record_check(StrmBatchRun *run);

/* The canonical text of one scalar that is not null; false when it is not of the field's type. */
extern bool strm_batch_record_canonical(const StrmField *field, bool json, const StrmRecordValue *value,
										StringInfo buffer, StrmBatchText *result);

/* Sets elements from the text of a JSON array. The rule that it breaks, or NULL. */
extern const char *strm_batch_repeated_read(StrmBatchField *field);

/* output.c */

/* Finds or makes the record's key and writes the record to all outputs that it belongs to. */
extern void strm_batch_output_record(StrmBatchRun *run);

/* The ciphertext of a field that is not null; valid to the next record. */
extern const StringInfoData *strm_batch_output_cipher(StrmBatchRun *run, StrmBatchField *field);

/* stream_target.c: rows of a stream */
extern StrmBatchTarget *strm_batch_target_open(StrmBatchRun *run);
extern void strm_batch_target_add(StrmBatchTarget *target, StrmBatchRun *run);
/* Inserts the rows that were added; unless all is set only when they are many. */
extern void strm_batch_target_flush(StrmBatchTarget *target, StrmBatchRun *run, bool all);

/* The stream of a configuration, locked against being dropped; valid to the end of the transaction. Raises 42704. */
extern const StrmStream *strm_batch_target_stream(const char *name);

/* keys_file.c */

/* Notes that the key was used. */
extern void strm_batch_keys_note(StrmBatchRun *run, StrmDataKey *key);

/* Writes all keys that were used. */
extern void strm_batch_keys_write(StrmBatchRun *run);

/* rejects.c */

/* Counts and lists the record at hand; raises when there are too many. */
extern void strm_batch_reject(StrmBatchRun *run);

#define STRM_BATCH_REJECTS_COLUMNS 4
extern const StrmRecordColumn strm_batch_rejects_columns[STRM_BATCH_REJECTS_COLUMNS];

/* intent.c */

/* Makes an intent for every output outside the database, and commits them. */
extern void strm_batch_intents_make(StrmBatchRun *run);

/* Notes what cleaning up after output's sink will need; the callback of its options. */
extern void strm_batch_intent_note(void *arg, const char *detail);

/* Forgets the intents, in this transaction. */
extern void strm_batch_intents_forget(StrmBatchRun *run);

/* Takes back what output has written; never raises. */
extern void strm_batch_intent_discard(StrmBatchOutput *output);

/* rights.c: may the current user do what a job asks for? */
extern void strm_batch_rights_check(const StrmBatchJob *job, StrmFaults *faults);

/* Owner and policy of the job's keys; makes the group if there is none yet. Raises when it is somebody else's. */
extern void strm_batch_group_take(StrmBatchRun *run);

#endif							/* STRM_BATCH_RUN_PRIVATE_H */
