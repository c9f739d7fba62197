/*
 * consent.c
 *	  The consent levels that a record of a batch job comes with, by the text of one of its fields.
 *
 *	  Runs for every record and never raises: what cannot be understood gets the defaults. A mapped text costs a binary
 *	  search; texts that regular expressions are searched in are few in practice, and what was found for them is
 *	  remembered.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/memutils.h"

#include "batch/job_private.h"
#include "contract/consent.h"
#include "strm_privacy.h"

/* Longer texts get the defaults, unless they are mapped as they are. */
#define STRM_BATCH_CONSENT_MAX 8192

/* Texts whose levels are remembered: one per slot, found by hash, of limited length. */
#define STRM_BATCH_SLOTS 256
#define STRM_BATCH_SLOT_TEXT 112

typedef struct StrmBatchSlot
{
	ArrayType  *levels;			/* the slot's own; NULL: unused */
	uint32		size;
	char		text[STRM_BATCH_SLOT_TEXT];
} StrmBatchSlot;

/* The compiled mappings, and what was found with them. */
typedef struct StrmBatchPatterns
{
	MemoryContextCallback callback;
	MemoryContext cxt;			/* of all this */
	int			n;				/* compiled so far */
	regex_t    *regexes;
	StrmBatchSlot slots[STRM_BATCH_SLOTS];
	pg_wchar	wide[STRM_BATCH_CONSENT_MAX + 1];
} StrmBatchPatterns;

/* Up to PostgreSQL 15 compiled expressions are not in a memory context. */
static void
strm_batch_patterns_free(void *arg)
{
	StrmBatchPatterns *patterns = arg;

	for (int i = 0; i < patterns->n; i++)
		pg_regfree(&patterns->regexes[i]);
	patterns->n = 0;
}

StrmBatchPatterns *
strm_batch_patterns(const StrmBatchConsent *consent)
{
	StrmBatchPatterns *patterns = palloc0(sizeof(StrmBatchPatterns));

	patterns->cxt = CurrentMemoryContext;
	patterns->regexes = palloc0(Max(consent->nmappings, 1) * sizeof(regex_t));
	patterns->callback.func = strm_batch_patterns_free;
	patterns->callback.arg = patterns;
	MemoryContextRegisterResetCallback(patterns->cxt, &patterns->callback);

	for (int i = 0; i < consent->nmappings; i++)
	{
		const StrmBatchConsentMapping *mapping = &consent->mappings[i];
		pg_wchar   *wide = palloc((mapping->size + 1) * sizeof(pg_wchar));
		int			length = pg_mb2wchar_with_len(mapping->text, wide, mapping->size);

		if (pg_regcomp(&patterns->regexes[i], wide, length, REG_ADVANCED | REG_NOSUB, C_COLLATION_OID) != REG_OKAY)
			ereport(ERROR,
					errcode(STRM_ERR_INTERNAL),
					errmsg("could not compile regular expression \"%s\"", mapping->text));
		patterns->n++;
		pfree(wide);
	}
	return patterns;
}

/* The levels that are in both, which are normal. In the current context. */
static const ArrayType *
strm_batch_common_levels(const ArrayType *left, const ArrayType *right)
{
	int			nleft = ARR_NDIM(left) == 0 ? 0 : ARR_DIMS(left)[0];
	const int32 *values = (const int32 *) ARR_DATA_PTR(left);
	Datum	   *common = palloc(Max(nleft, 1) * sizeof(Datum));
	int			n = 0;

	for (int i = 0; i < nleft; i++)
	{
		if (strm_consent_contains(right, &values[i], 1))
			common[n++] = Int32GetDatum(values[i]);
	}
	return n == 0 ? construct_empty_array(INT4OID) :
		construct_array(common, n, INT4OID, sizeof(int32), true, TYPALIGN_INT);
}

/*
 * Searches all expressions in text. JSON objects have no order that could say which match counts, so several that match
 * give the levels that all of them give. An expression that fails (too complex for this text) gives the defaults.
 */
static const ArrayType *
strm_batch_search(const StrmBatchConsent *consent, const char *text, Size size)
{
	StrmBatchPatterns *patterns = consent->patterns;
	int			length = pg_mb2wchar_with_len(text, patterns->wide, size);
	const ArrayType *levels = NULL;

	for (int i = 0; i < consent->nmappings; i++)
	{
		int			status = pg_regexec(&patterns->regexes[i], patterns->wide, length, 0, NULL, 0, NULL, 0);

		CHECK_FOR_INTERRUPTS();
		if (status == REG_NOMATCH)
			continue;
		if (status != REG_OKAY)
			return consent->defaults;
		levels = levels == NULL ? consent->mappings[i].levels :
			strm_batch_common_levels(levels, consent->mappings[i].levels);
	}
	return levels == NULL ? consent->defaults : levels;
}

static ArrayType *
strm_batch_copy_levels(MemoryContext cxt, const ArrayType *levels)
{
	ArrayType  *copy = MemoryContextAlloc(cxt, VARSIZE(levels));

	memcpy(copy, levels, VARSIZE(levels));
	return copy;
}

/*
 * The levels by regular expressions; remembered when the text is short. In the current context, or consent's own: never
 * a slot's, which may be given to another text by the next record.
 */
static const ArrayType *
strm_batch_match(const StrmBatchConsent *consent, const char *text, Size size)
{
	StrmBatchPatterns *patterns = consent->patterns;
	StrmBatchSlot *slot;

	if (size > STRM_BATCH_CONSENT_MAX)
		return consent->defaults;
	if (size > STRM_BATCH_SLOT_TEXT)
		return strm_batch_search(consent, text, size);

	slot = &patterns->slots[hash_bytes((const unsigned char *) text, size) % STRM_BATCH_SLOTS];
	if (slot->levels == NULL || slot->size != size || memcmp(slot->text, text, size) != 0)
	{
		const ArrayType *levels = strm_batch_search(consent, text, size);

		if (slot->levels != NULL)
			pfree(slot->levels);
		slot->levels = NULL;
		memcpy(slot->text, text, size);
		slot->size = size;
		slot->levels = strm_batch_copy_levels(patterns->cxt, levels);
	}
	return strm_batch_copy_levels(CurrentMemoryContext, slot->levels);
}

/* The levels that exactly this text is mapped to, or NULL. */
static const ArrayType *
strm_batch_mapped(const StrmBatchConsent *consent, const char *text, Size size)
{
	int			low = 0;
	int			high = consent->nmappings;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const StrmBatchConsentMapping *mapping = &consent->mappings[middle];
		int			order = mapping->size == size ? memcmp(mapping->text, text, size) : mapping->size < size ? -1 : 1;

		if (order == 0)
			return mapping->levels;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Digits that fit int4, from *position on, which is moved behind them; -1 when there are none. */
static int32
strm_batch_parse_level(const char *text, Size size, Size *position)
{
	int64		level = -1;

	while (*position < size && text[*position] >= '0' && text[*position] <= '9')
	{
		level = Max(level, 0) * 10 + (text[(*position)++] - '0');
		if (level > PG_INT32_MAX)
			return -1;
	}
	return (int32) level;
}

/*
 * What the text says itself: "1", or "[1,2]" with spaces where they please inside the brackets. NULL when it says
 * something else. In the current context.
 */
static const ArrayType *
strm_batch_parse_levels(const char *text, Size size)
{
	bool		list = size >= 2 && text[0] == '[' && text[size - 1] == ']';
	Size		end = list ? size - 1 : size;
	Size		position = list ? 1 : 0;
	Datum		few[32];
	Datum	   *levels = few;
	int			n = 0;

	if (size > STRM_BATCH_CONSENT_MAX)
		return NULL;
	if (size > lengthof(few))
		levels = palloc(size / 2 * sizeof(Datum));	/* each has a digit and a comma or bracket */

	for (;;)
	{
		int32		level;

		while (list && position < end && text[position] == ' ')
			position++;
		if (list && n == 0 && position == end)
			return construct_empty_array(INT4OID);
		level = strm_batch_parse_level(text, end, &position);
		if (level < 0)
			return NULL;
		levels[n++] = Int32GetDatum(level);
		while (list && position < end && text[position] == ' ')
			position++;
		if (position == end)
			break;
		if (!list || text[position++] != ',')
			return NULL;
	}
	return strm_consent_normalize(construct_array(levels, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

ArrayType *
strm_batch_consent_levels(const StrmBatchConsent *consent, const StrmRecordValue *value)
{
	const ArrayType *levels = NULL;

	if (consent->field != NULL && value != NULL && value->kind != STRM_RECORD_NULL)
	{
		if (!consent->mapped)
			levels = strm_batch_parse_levels(value->text, value->size);
		else if (consent->patterns != NULL)
			levels = strm_batch_match(consent, value->text, value->size);
		else
			levels = strm_batch_mapped(consent, value->text, value->size);
	}
	return unconstify(ArrayType *, levels == NULL ? consent->defaults : levels);
}
