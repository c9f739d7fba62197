/*
 * job_derived.c
 *	  "derived_data" of a batch job's configuration: which records an output gets, what it shows of them in clear, and
 *	  what it masks.
 */
#include "postgres.h"

#include "batch/job_private.h"
#include "catalog/purpose.h"
#include "common/secret.h"
#include "strm_privacy.h"

#define STRM_BATCH_MAX_LEVELS 50

static int
strm_batch_compare_levels(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return left < right ? -1 : left > right;
}

/* Sorts the levels: 1 to 50 different ones, of purposes that exist. */
static void
strm_batch_check_levels(StrmBatchReading *reading, const char *where, StrmBatchDerived *derived)
{
	char	   *path = strm_document_path(where, "consentLevels");
	int			unique = 0;

	if (derived->nlevels < 1 || derived->nlevels > STRM_BATCH_MAX_LEVELS)
	{
		strm_batch_fault(reading, "%s: must have 1 to %d levels", path, STRM_BATCH_MAX_LEVELS);
		return;
	}
	qsort(derived->levels, derived->nlevels, sizeof(int32), strm_batch_compare_levels);
	for (int i = 0; i < derived->nlevels; i++)
	{
		if (i > 0 && derived->levels[i] == derived->levels[i - 1])
			continue;
		derived->levels[unique++] = derived->levels[i];
		if (!strm_catalog_purpose_exists(derived->levels[i]))
			strm_batch_fault(reading, "%s: there is no purpose %d", path, derived->levels[i]);
	}
	if (unique < derived->nlevels)
		strm_batch_fault(reading, "%s: levels must differ", path);
	derived->nlevels = unique;
	if (derived->cumulative && unique != 1)
		strm_batch_fault(reading, "%s: must be exactly one level for CUMULATIVE", path);
}

/* An enum's value by name or number; absent, unspecified and GRANULAR are the same. */
static bool
strm_batch_read_cumulative(StrmBatchReading *reading, const StrmMember *member, const char *where)
{
	static const char *const names[] = {"CONSENT_LEVEL_TYPE_UNSPECIFIED", "CUMULATIVE", "GRANULAR"};
	int64		number = -1;

	if (!member->present)
		return false;
	if (member->value.type == jbvNumeric && !strm_document_integer(&member->value, lengthof(names) - 1, &number))
		number = -1;
	for (int i = 0; i < lengthof(names) && member->value.type == jbvString; i++)
	{
		if (member->value.val.string.len == strlen(names[i]) &&
			memcmp(member->value.val.string.val, names[i], strlen(names[i])) == 0)
			number = i;
	}
	if (number < 0)
		strm_batch_fault(reading, "%s: must be GRANULAR or CUMULATIVE", strm_document_path(where, member->name));
	return number == 1;
}

/* May the output show that field, if only as a hash? */
static bool
strm_batch_may_mask(const StrmField *field, const StrmBatchDerived *derived)
{
	if (!field->personal)
		return true;
	for (int i = 0; i < derived->nlevels; i++)
	{
		if (field->level == derived->levels[i] || (derived->cumulative && field->level < derived->levels[i]))
			return true;
	}
	return false;
}

/* One name of a list of masked fields. */
static void
strm_batch_read_masked_field(StrmBatchReading *reading, const JsonbValue *value, const char *path,
							 StrmBatchDerived *derived)
{
	const StrmContract *contract = reading->job->contract;
	char	   *name;
	int			ordinal;

	if (value->type != jbvString)
	{
		strm_batch_fault(reading, "%s: must be a string", path);
		return;
	}
	if (contract == NULL)
		return;
	name = pnstrdup(value->val.string.val, value->val.string.len);
	ordinal = strm_contract_field(contract, name);
	if (ordinal < 0)
	{
		strm_batch_fault(reading, "%s: data contract %s has no field \"%s\"", path, strm_contract_ref(contract), name);
		return;
	}
	for (int i = 0; i < derived->nmasked; i++)
	{
		if (derived->masked[i] == ordinal)
		{
			strm_batch_fault(reading, "%s: field \"%s\" is named twice", path, name);
			return;
		}
	}
	if (derived->nlevels > 0 && !strm_batch_may_mask(&contract->fields[ordinal], derived))
		strm_batch_fault(reading, "%s: the purpose of field \"%s\", %d, is not among the consent_levels", path, name,
						 contract->fields[ordinal].level);
	derived->masked[derived->nmasked++] = ordinal;
}

/* {"field_patterns": ["a", "b"]} of one contract, which must be the job's. */
static void
strm_batch_read_masked_list(StrmBatchReading *reading, const char *ref, const JsonbValue *value, const char *where,
							StrmBatchDerived *derived)
{
	const StrmContract *contract = reading->job->contract;
	StrmMember	member = {"fieldPatterns"};
	JsonbContainer *object = strm_document_container(value, false);
	JsonbContainer *array;
	char	   *handle;
	char	   *name;
	char	   *version;

	if (!strm_contract_split_ref(ref, &handle, &name, &version))
		strm_batch_fault(reading, "%s: is not a reference to a data contract, which is handle/name/1.0.0", where);
	else if (contract != NULL && (strcmp(handle, contract->handle) != 0 || strcmp(name, contract->name) != 0 ||
								  strcmp(version, contract->version) != 0))
		strm_batch_fault(reading, "%s: is not the job's data contract, %s", where, strm_contract_ref(contract));
	if (object == NULL)
	{
		strm_batch_fault(reading, "%s: must be an object", where);
		return;
	}
	strm_batch_members(reading, object, where, &member, 1);
	array = strm_document_array(&reading->document, &member, where);
	where = strm_document_path(where, member.name);
	if (array == NULL)
		return;
	derived->masked = derived->nmasked > 0 ?
		repalloc(derived->masked, (derived->nmasked + JsonContainerSize(array)) * sizeof(int)) :
		palloc(Max(JsonContainerSize(array), 1) * sizeof(int));
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
		strm_batch_read_masked_field(reading, getIthJsonbValueFromContainer(array, i), psprintf("%s[%u]", where, i),
									 derived);
}

/*
 * The seed: of those that were taken out, or the configuration's, or a new one. In memory that is wiped with the
 * current context; no fault has anything of it. Without a hash_type the hash is STRM's, so that a given seed makes the
 * masks that it made there; where none was given no mask can be expected, and the hash is the better one.
 */
static void
strm_batch_read_seed(StrmBatchReading *reading, char *given, const char *hash_type, const char *where, int i,
					 StrmBatchDerived *derived)
{
	bool		made = given == NULL;
	char	   *seed = reading->seeds != NULL ? strm_batch_seed(reading->seeds, i, &made) : given;
	bool		murmur3 = hash_type != NULL ? pg_strcasecmp(hash_type, "blake2b") != 0 : !made;

	if (hash_type != NULL && murmur3 && pg_strcasecmp(hash_type, "murmur3") != 0 &&
		pg_strcasecmp(hash_type, "murmurhash3") != 0)
		strm_batch_fault(reading, "%s: must be BLAKE2B or MURMUR3", strm_document_path(where, "hashType"));
	if (seed == NULL)
		seed = strm_batch_seed_new();
	strm_mask_check_seed(reading->document.faults, strm_document_path(where, "seed"), seed);

	derived->seed = palloc(sizeof(StrmMaskSeed));
	derived->seed->hash_type = murmur3 ? STRM_HASH_MURMUR3 : STRM_HASH_BLAKE2B;
	derived->seed->size = strlen(seed);
	derived->seed->data = strm_secret_alloc(CurrentMemoryContext, Max(derived->seed->size, 1));
	memcpy(derived->seed->data, seed, derived->seed->size);
	strm_secret_wipe(seed, derived->seed->size);
}

/* {"hash_type", "seed", "field_patterns": {"handle/name/1.0.0": {"field_patterns": [...]}}} */
static void
strm_batch_read_masked(StrmBatchReading *reading, JsonbContainer *object, const char *where, int number,
					   StrmBatchDerived *derived)
{
	enum
	{
		HASH_TYPE, SEED, FIELD_PATTERNS, MASKED_NMEMBERS
	};
	StrmMember	members[MASKED_NMEMBERS] = {
		[HASH_TYPE] = {"hashType"},[SEED] = {"seed"},[FIELD_PATTERNS] = {"fieldPatterns"},
	};
	JsonbContainer *patterns;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	strm_batch_members(reading, object, where, members, MASKED_NMEMBERS);
	patterns = strm_document_object(&reading->document, &members[FIELD_PATTERNS], where);
	if (patterns != NULL)
	{
		char	   *path = strm_document_path(where, "fieldPatterns");

		iterator = JsonbIteratorInit(patterns);
		while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
		{
			char	   *ref;

			if (token != WJB_KEY)
				continue;
			(void) JsonbIteratorNext(&iterator, &value, true);
			ref = pnstrdup(key.val.string.val, key.val.string.len);
			strm_batch_read_masked_list(reading, ref, &value, psprintf("%s[\"%s\"]", path, ref), derived);
		}
	}
	strm_batch_read_seed(reading, strm_document_string(&reading->document, &members[SEED], where),
						 strm_document_string(&reading->document, &members[HASH_TYPE], where), where, number, derived);
}

/* One element of derived_data. */
static void
strm_batch_read_derived_output(StrmBatchReading *reading, JsonbContainer *object, const char *where, int number,
							   StrmBatchDerived *derived)
{
	enum
	{
		TARGET, CONSENT_LEVELS, CONSENT_LEVEL_TYPE, MASKED_FIELDS, DERIVED_NMEMBERS
	};
	StrmMember	members[DERIVED_NMEMBERS] = {
		[TARGET] = {"target"},[CONSENT_LEVELS] = {"consentLevels"},[CONSENT_LEVEL_TYPE] = {"consentLevelType"},
		[MASKED_FIELDS] = {"maskedFields"},
	};
	JsonbContainer *container;

	strm_batch_members(reading, object, where, members, DERIVED_NMEMBERS);
	container = strm_document_object(&reading->document, &members[TARGET], where);
	if (container != NULL)
		strm_batch_read_place(reading, container, strm_document_path(where, "target"), STRM_BATCH_DERIVED,
							  &derived->target);
	else if (!members[TARGET].present)
		strm_batch_fault(reading, "%s.target: is missing", where);

	derived->cumulative = strm_batch_read_cumulative(reading, &members[CONSENT_LEVEL_TYPE], where);
	if (strm_batch_read_levels(reading, &members[CONSENT_LEVELS], where, &derived->nlevels, &derived->levels))
		strm_batch_check_levels(reading, where, derived);

	container = strm_document_object(&reading->document, &members[MASKED_FIELDS], where);
	if (container != NULL)
		strm_batch_read_masked(reading, container, strm_document_path(where, "maskedFields"), number, derived);
}

void
strm_batch_read_derived(StrmBatchReading *reading, JsonbContainer *array, const char *where)
{
	StrmBatchJob *job = reading->job;
	int			n = JsonContainerSize(array);

	if (n > STRM_BATCH_MAX_DERIVED)
	{
		strm_batch_fault(reading, "%s: must have at most %d elements", where, STRM_BATCH_MAX_DERIVED);
		return;
	}
	job->derived = palloc0(Max(n, 1) * sizeof(StrmBatchDerived));
	job->nderived = n;
	for (int i = 0; i < n; i++)
	{
		char	   *path = psprintf("%s[%d]", where, i);
		JsonbContainer *object = strm_document_container(getIthJsonbValueFromContainer(array, i), false);

		if (object == NULL)
			strm_batch_fault(reading, "%s: must be an object", path);
		else
			strm_batch_read_derived_output(reading, object, path, i, &job->derived[i]);
	}
}
