/*
 * job_private.h
 *	  What the readers of a batch job's configuration share.
 */
#ifndef STRM_BATCH_JOB_PRIVATE_H
#define STRM_BATCH_JOB_PRIVATE_H

#include "batch/job.h"
#include "contract/document.h"

typedef struct StrmBatchReading
{
	StrmDocument document;		/* faults by path */
	StrmBatchJob *job;			/* being filled */
	Jsonb	   *seeds;			/* or NULL, when they are in the configuration */
} StrmBatchReading;

#define strm_batch_fault(reading, ...) strm_faults_add((reading)->document.faults, __VA_ARGS__)

typedef enum StrmBatchRole
{
	STRM_BATCH_SOURCE,
	STRM_BATCH_ENCRYPTED,
	STRM_BATCH_KEYS,
	STRM_BATCH_DERIVED,
	STRM_BATCH_REJECTS
} StrmBatchRole;

/* strm_document_members(), but an empty string counts as absent, too, which it is in protobuf's JSON. */
extern void strm_batch_members(StrmBatchReading *reading, JsonbContainer *object, const char *where,
							   StrmMember *members, int nmembers);

/* Reads a place. where is its path, for faults and for place->member. */
extern void strm_batch_read_place(StrmBatchReading *reading, JsonbContainer *object, const char *where,
								  StrmBatchRole role, StrmBatchPlace *place);

/* Reads {"target": place}; false when there is no target. */
extern bool strm_batch_read_target(StrmBatchReading *reading, JsonbContainer *object, const char *where,
								   StrmBatchRole role, StrmBatchPlace *place);

/* Reads {"csv": ...} and its alternatives into place: its format, or the relation or query of a database. */
extern void strm_batch_read_data_type(StrmBatchReading *reading, JsonbContainer *object, const char *where,
									  StrmBatchRole role, StrmBatchPlace *place);

/* Reads a list of consent levels; absent is none. false when there is a fault. */
extern bool strm_batch_read_levels(StrmBatchReading *reading, const StrmMember *member, const char *where,
								   int *nlevels, int32 **levels);

/* Reads "consent"; object NULL: no consent. */
extern void strm_batch_read_consent(StrmBatchReading *reading, JsonbContainer *object, const char *where);

/* Reads "derived_data". The job's contract is known by now, or NULL, when it is at fault. */
extern void strm_batch_read_derived(StrmBatchReading *reading, JsonbContainer *array, const char *where);

/*
 * The seed for derived output number i of seeds, of strm_batch_job_take_seeds(); NULL when it has none. *made: the
 * configuration gave none. Palloc'd.
 */
extern char *strm_batch_seed(Jsonb *seeds, int i, bool *made);

/* A new random seed, of printable characters. Palloc'd. */
extern char *strm_batch_seed_new(void);

/*
 * Compiles the mappings of consent, regular expressions, in the current context, which it may outlive transactions in;
 * they have been checked.
 */
extern struct StrmBatchPatterns *strm_batch_patterns(const StrmBatchConsent *consent);

#endif							/* STRM_BATCH_JOB_PRIVATE_H */
