/*
 * job_seeds.c
 *	  Mask seeds of a batch job: taken out of its configuration before that is stored, to be kept wrapped only.
 *
 *	  They are an array by the position in derived_data: a string where the configuration gave one, {"made": string}
 *	  where it did not, null for an output that masks nothing.
 */
#include "postgres.h"

#include <sodium.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "batch/job_private.h"
#include "common/secret.h"
#include "strm_privacy.h"

/* Bytes of a seed that is made here. */
#define STRM_BATCH_SEED_BYTES 32

#define STRM_BATCH_SEED_MADE "made"

char *
strm_batch_seed_new(void)
{
	uint8		bytes[STRM_BATCH_SEED_BYTES];
	char	   *seed = palloc(2 * STRM_BATCH_SEED_BYTES + 1);

	strm_secret_random(bytes, sizeof(bytes));
	sodium_bin2hex(seed, 2 * STRM_BATCH_SEED_BYTES + 1, bytes, sizeof(bytes));
	strm_secret_wipe(bytes, sizeof(bytes));
	return seed;
}

char *
strm_batch_seed(Jsonb *seeds, int i, bool *made)
{
	JsonbValue *value = getIthJsonbValueFromContainer(&seeds->root, i);
	JsonbContainer *object = value == NULL ? NULL : strm_document_container(value, false);

	*made = object != NULL;
	if (object != NULL)
		value = getKeyJsonValueFromContainer(object, STRM_BATCH_SEED_MADE, strlen(STRM_BATCH_SEED_MADE), NULL);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static const char *const derived_names[] = {"derivedData", "derived_data"};
static const char *const masked_names[] = {"maskedFields", "masked_fields"};
static const char *const pattern_names[] = {"fieldPatterns", "field_patterns"};

/* A member that is an object or an array; NULL when it is not, and for object NULL. */
static JsonbContainer *
strm_batch_container(JsonbContainer *object, const char *name, bool is_array)
{
	JsonbValue *value = object == NULL ? NULL : getKeyJsonValueFromContainer(object, name, strlen(name), NULL);

	return value == NULL ? NULL : strm_document_container(value, is_array);
}

/* The same for a member by either spelling; a configuration in use does not have both. */
static JsonbContainer *
strm_batch_spelled(JsonbContainer *object, const char *const names[2], bool is_array)
{
	JsonbContainer *container = strm_batch_container(object, names[0], is_array);

	return container != NULL ? container : strm_batch_container(object, names[1], is_array);
}

/* Element number i of an array, if it is an object. */
static JsonbContainer *
strm_batch_element(JsonbContainer *array, uint32 i)
{
	JsonbValue *value = array == NULL ? NULL : getIthJsonbValueFromContainer(array, i);

	return value == NULL ? NULL : strm_document_container(value, false);
}

static JsonbContainer *
strm_batch_root(Jsonb *document)
{
	return JB_ROOT_IS_OBJECT(document) ? &document->root : NULL;
}

/* The document without masked_fields' seed of derived output number i, in whatever spelling. */
static Jsonb *
strm_batch_remove_seed(Jsonb *document, uint32 i)
{
	for (int spelling = 0; spelling < 4; spelling++)
	{
		const char *derived = derived_names[spelling / 2];
		const char *masked = masked_names[spelling % 2];
		JsonbContainer *output = strm_batch_element(strm_batch_container(strm_batch_root(document), derived, true), i);

		if (strm_batch_container(output, masked, false) != NULL)
		{
			Datum		path[4] = {
				CStringGetTextDatum(derived), CStringGetTextDatum(psprintf("%u", i)),
				CStringGetTextDatum(masked), CStringGetTextDatum("seed"),
			};
			ArrayType  *array = construct_array(path, lengthof(path), TEXTOID, -1, false, TYPALIGN_INT);

			document = DatumGetJsonbP(DirectFunctionCall2(jsonb_delete_path, JsonbPGetDatum(document),
														  PointerGetDatum(array)));
		}
	}
	return document;
}

/* {"made": a new seed} */
static void
strm_batch_push_new_seed(JsonbParseState **state)
{
	JsonbValue	key = {.type = jbvString};
	JsonbValue	seed = {.type = jbvString};

	key.val.string.val = STRM_BATCH_SEED_MADE;
	key.val.string.len = strlen(STRM_BATCH_SEED_MADE);
	seed.val.string.val = strm_batch_seed_new();
	seed.val.string.len = strlen(seed.val.string.val);
	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(state, WJB_KEY, &key);
	(void) pushJsonbValue(state, WJB_VALUE, &seed);
	(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Pushes the seed of one output: null when it masks nothing. false when there is none, not even one without use. */
static bool
strm_batch_push_seed(JsonbParseState **state, JsonbContainer *masked)
{
	JsonbValue	null = {.type = jbvNull};
	JsonbContainer *patterns = strm_batch_spelled(masked, pattern_names, false);
	JsonbValue *given = masked == NULL ? NULL : getKeyJsonValueFromContainer(masked, "seed", strlen("seed"), NULL);
	bool		masks = patterns != NULL && JsonContainerSize(patterns) > 0;

	if (!masks)
		(void) pushJsonbValue(state, WJB_ELEM, &null);
	else if (given != NULL && given->type == jbvString && given->val.string.len > 0)
		(void) pushJsonbValue(state, WJB_ELEM, given);
	else
		strm_batch_push_new_seed(state);
	return masks || given != NULL;
}

Jsonb *
strm_batch_job_take_seeds(Jsonb *document, Jsonb **seeds)
{
	JsonbContainer *derived = strm_batch_spelled(strm_batch_root(document), derived_names, true);
	uint32		n = derived == NULL ? 0 : JsonContainerSize(derived);
	JsonbParseState *state = NULL;
	bool		any = false;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < n; i++)
	{
		if (strm_batch_push_seed(&state, strm_batch_spelled(strm_batch_element(derived, i), masked_names, false)))
			any = true;
	}
	*seeds = any ? JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)) : NULL;

	for (uint32 i = 0; i < n; i++)
		document = strm_batch_remove_seed(document, i);
	return document;
}

bool
strm_batch_job_names_seed(Jsonb *document)
{
	JsonbIterator *iterator = JsonbIteratorInit(&document->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY && value.val.string.len == strlen("seed") &&
			pg_strncasecmp(value.val.string.val, "seed", strlen("seed")) == 0)
			return true;
	}
	return false;
}
