/*
 * job.h
 *	  A batch job's configuration, checked.
 */
#ifndef STRM_BATCH_JOB_H
#define STRM_BATCH_JOB_H

#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "common/errors.h"
#include "contract/contract.h"
#include "format/record.h"
#include "format/timestamp.h"
#include "transform/mask.h"

/* Where records come from or go to: exactly one of path, relation, query and stream is set. */
typedef struct StrmBatchPlace
{
	const char *member;			/* "source_data", "derived_data[0].target": for messages */
	char	   *connector;		/* name; NULL: this database */
	char	   *prefix;			/* path_prefix, "" when none: below it the connector is checked */
	char	   *path;			/* prefix/file_name */
	char	   *relation;		/* name of a table or view, quoted where needed; qualified if given so */
	char	   *query;			/* source only */
	char	   *stream;			/* encrypted_data only: qualified name, quoted where needed */
	StrmRecordFormat format;	/* when path is set */
	bool		overwrite;
} StrmBatchPlace;

typedef struct StrmBatchConsentMapping
{
	char	   *text;			/* exact text, or a regular expression */
	Size		size;
	ArrayType  *levels;			/* normal */
} StrmBatchConsentMapping;

typedef struct StrmBatchConsent
{
	ArrayType  *defaults;		/* normal */
	char	   *field;			/* NULL: no extractor */
	bool		mapped;			/* there is a mapping, if only an empty one */
	int			nmappings;
	StrmBatchConsentMapping *mappings;	/* ascending by size, then by bytes */
	struct StrmBatchPatterns *patterns;	/* when they are regular expressions: compiled */
} StrmBatchConsent;

/* Derived outputs a job may have. */
#define STRM_BATCH_MAX_DERIVED 100

typedef struct StrmBatchDerived
{
	StrmBatchPlace target;
	int			nlevels;		/* exactly one when cumulative */
	int32	   *levels;			/* sorted */
	bool		cumulative;
	int			nmasked;
	int		   *masked;			/* ordinals of the contract's fields, as listed */
	StrmMaskSeed *seed;			/* when nmasked > 0 */
} StrmBatchDerived;

typedef struct StrmBatchJob
{
	StrmContract *contract;		/* a copy that outlives transactions */
	StrmBatchPlace source;
	StrmBatchConsent consent;
	char	   *timestamp_field;
	StrmTimestampFormat *timestamp_format;
	bool		has_group;
	pg_uuid_t	group;			/* encryption.batch_job_group_id */
	bool		has_encrypted;
	StrmBatchPlace encrypted;
	bool		has_keys;
	StrmBatchPlace keys;
	int			nderived;
	StrmBatchDerived *derived;
	bool		has_rejects;
	StrmBatchPlace rejects;		/* where rejected records are listed */
	int64		max_rejects;	/* more of them fail the job */
	char	   *policy;			/* name or id; NULL: the default */
} StrmBatchJob;

/*
 * Reads and checks a configuration, in the current memory context, where the result may outlive transactions. All
 * faults are added to faults; when there are any the result is NULL. Members that are accepted without effect: their
 * names in ignored. seeds: see strm_batch_job_take_seeds(); NULL when they are still in the document. Reads definitions
 * (contracts, policies) but checks no rights and reaches nothing outside the database.
 */
extern StrmBatchJob *strm_batch_job_read(Jsonb *document, Jsonb *seeds, StrmFaults *faults, StringInfo ignored);

/*
 * The document without the seeds of its masked fields, for storing; *seeds gets them as a JSON array by the position
 * in derived_data (made here where none was given), for wrapping. *seeds is NULL when nothing is masked and no seed
 * given.
 */
extern Jsonb *strm_batch_job_take_seeds(Jsonb *document, Jsonb **seeds);

/* Does the document give a seed, be it where none is looked for? Then the statement that has it is hidden. */
extern bool strm_batch_job_names_seed(Jsonb *document);

/*
 * Consent levels of a record, normal (sorted, unique): a mapping's; without mappings what the text says ("1", "[1,2]");
 * else the defaults. value NULL: the field is missing or null. Never raises. The result is consent's own or in the
 * current context: not to be changed or freed.
 */
extern ArrayType *strm_batch_consent_levels(const StrmBatchConsent *consent, const StrmRecordValue *value);

#endif							/* STRM_BATCH_JOB_H */
