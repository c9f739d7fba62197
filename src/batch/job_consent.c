/*
 * job_consent.c
 *	  "consent" of a batch job's configuration: default levels, and which field's text stands for which levels.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "batch/job_private.h"
#include "contract/consent.h"
#include "contract/names.h"
#include "contract/validation.h"
#include "strm_privacy.h"

bool
strm_batch_read_levels(StrmBatchReading *reading, const StrmMember *member, const char *where, int *nlevels,
					   int32 **levels)
{
	JsonbContainer *array = strm_document_array(&reading->document, member, where);
	int			n = array == NULL ? 0 : JsonContainerSize(array);

	*nlevels = 0;
	*levels = NULL;
	if (member->present && array == NULL)
		return false;
	if (n > STRM_MAX_CONSENT_LEVELS)
	{
		strm_batch_fault(reading, "%s: must have at most %d levels", strm_document_path(where, member->name),
						 STRM_MAX_CONSENT_LEVELS);
		return false;
	}
	*levels = palloc(Max(n, 1) * sizeof(int32));
	for (int i = 0; i < n; i++)
	{
		int64		level;

		if (!strm_document_integer(getIthJsonbValueFromContainer(array, i), PG_INT32_MAX, &level))
		{
			strm_batch_fault(reading, "%s[%d]: must be an integer from 0 up", strm_document_path(where, member->name),
							 i);
			return false;
		}
		(*levels)[i] = (int32) level;
	}
	*nlevels = n;
	return true;
}

/* The same as a normal array, empty when there is none, or a fault. */
static ArrayType *
strm_batch_read_level_array(StrmBatchReading *reading, const StrmMember *member, const char *where)
{
	int			n;
	int32	   *levels;
	Datum	   *datums;

	if (!strm_batch_read_levels(reading, member, where, &n, &levels) || n == 0)
		return construct_empty_array(INT4OID);
	datums = palloc(n * sizeof(Datum));
	for (int i = 0; i < n; i++)
		datums[i] = Int32GetDatum(levels[i]);
	return strm_consent_normalize(construct_array(datums, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static int
strm_batch_compare_mappings(const void *a, const void *b)
{
	const StrmBatchConsentMapping *left = a;
	const StrmBatchConsentMapping *right = b;

	if (left->size != right->size)
		return left->size < right->size ? -1 : 1;
	return memcmp(left->text, right->text, left->size);
}

/* {"text": {"consent_levels": [1, 2]}, ...} */
static void
strm_batch_read_mappings(StrmBatchReading *reading, JsonbContainer *object, const char *where, bool regex,
						 StrmBatchConsent *consent)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	consent->mapped = true;
	consent->mappings = palloc0(Max(JsonContainerSize(object), 1) * sizeof(StrmBatchConsentMapping));
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		StrmBatchConsentMapping *mapping = &consent->mappings[consent->nmappings];
		StrmMember	levels = {"consentLevels"};
		JsonbContainer *container;
		char	   *path;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		mapping->text = pnstrdup(key.val.string.val, key.val.string.len);
		mapping->size = key.val.string.len;
		consent->nmappings++;
		path = psprintf("%s[\"%s\"]", where, mapping->text);
		container = strm_document_container(&value, false);
		if (container == NULL)
			strm_batch_fault(reading, "%s: must be an object", path);
		else
		{
			strm_batch_members(reading, container, path, &levels, 1);
			mapping->levels = strm_batch_read_level_array(reading, &levels, path);
		}
		if (regex)
			(void) strm_validation_check_pattern(reading->document.faults, mapping->text, path);
	}
	qsort(consent->mappings, consent->nmappings, sizeof(StrmBatchConsentMapping), strm_batch_compare_mappings);
}

static void
strm_batch_read_extractor(StrmBatchReading *reading, JsonbContainer *object, const char *where,
						  StrmBatchConsent *consent)
{
	enum
	{
		FIELD, FIELD_PATTERNS, MATCH, EXTRACTOR_NMEMBERS
	};
	StrmMember	members[EXTRACTOR_NMEMBERS] = {
		[FIELD] = {"field"},[FIELD_PATTERNS] = {"fieldPatterns"},[MATCH] = {"match"},
	};
	JsonbContainer *patterns;
	char	   *match;
	bool		regex;

	strm_batch_members(reading, object, where, members, EXTRACTOR_NMEMBERS);
	if (!members[FIELD].present && !members[FIELD_PATTERNS].present && !members[MATCH].present)
		return;					/* an empty message is none, in protobuf's JSON */
	consent->field = strm_document_string(&reading->document, &members[FIELD], where);
	match = strm_document_string(&reading->document, &members[MATCH], where);
	patterns = strm_document_object(&reading->document, &members[FIELD_PATTERNS], where);
	regex = match != NULL && strcmp(match, "regex") == 0;

	if (!members[FIELD].present)
		strm_batch_fault(reading, "%s.field: is missing", where);
	else if (consent->field != NULL && strm_names_has_control(consent->field))
		strm_batch_fault(reading, "%s.field: must not contain control characters", where);
	if (match != NULL && !regex && strcmp(match, "exact") != 0)
		strm_batch_fault(reading, "%s.match: must be \"exact\" or \"regex\"", where);
	if (regex && !members[FIELD_PATTERNS].present)
		strm_batch_fault(reading, "%s.match: \"regex\" needs field_patterns", where);
	/* an empty map is none, as in protobuf's JSON */
	if (patterns != NULL && JsonContainerSize(patterns) > 0)
		strm_batch_read_mappings(reading, patterns, strm_document_path(where, "fieldPatterns"), regex, consent);
	if (regex && reading->document.faults->count == 0)
		consent->patterns = strm_batch_patterns(consent);
}

void
strm_batch_read_consent(StrmBatchReading *reading, JsonbContainer *object, const char *where)
{
	enum
	{
		DEFAULT_CONSENT_LEVELS, CONSENT_LEVEL_EXTRACTOR, CONSENT_NMEMBERS
	};
	StrmMember	members[CONSENT_NMEMBERS] = {
		[DEFAULT_CONSENT_LEVELS] = {"defaultConsentLevels"},[CONSENT_LEVEL_EXTRACTOR] = {"consentLevelExtractor"},
	};
	StrmBatchConsent *consent = &reading->job->consent;
	JsonbContainer *extractor;

	if (object == NULL)
	{
		consent->defaults = construct_empty_array(INT4OID);
		return;
	}
	strm_batch_members(reading, object, where, members, CONSENT_NMEMBERS);
	consent->defaults = strm_batch_read_level_array(reading, &members[DEFAULT_CONSENT_LEVELS], where);
	extractor = strm_document_object(&reading->document, &members[CONSENT_LEVEL_EXTRACTOR], where);
	if (extractor != NULL)
		strm_batch_read_extractor(reading, extractor, strm_document_path(where, "consentLevelExtractor"), consent);
}
