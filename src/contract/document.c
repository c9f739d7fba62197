/*
 * document.c
 *	  Members of JSON objects with faults instead of errors, so that one error can list all of them.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "contract/document.h"
#include "contract/names.h"
#include "strm_privacy.h"

/* Only errors about the text become faults; anything else (memory, stack depth, cancellation) stays an error. */
Jsonb *
strm_document_parse(StrmFaults *faults, const char *text, const char *what)
{
	MemoryContext cxt = CurrentMemoryContext;
	Jsonb	   *volatile document = NULL;

	PG_TRY();
	{
		document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		strm_faults_add(faults, "%s is not JSON: %s", what, error->detail != NULL ? error->detail : error->message);
	}
	PG_END_TRY();
	return document;
}

/* Does key spell name (camelCase) as it is, or in snake_case? */
static bool
strm_document_spells(const char *key, int size, const char *name)
{
	int			i = 0;

	if (size == strlen(name) && memcmp(key, name, size) == 0)
		return true;

	for (; *name != '\0'; name++)
	{
		if (*name >= 'A' && *name <= 'Z')
		{
			if (i + 1 >= size || key[i] != '_' || key[i + 1] != *name - 'A' + 'a')
				return false;
			i += 2;
		}
		else
		{
			if (i >= size || key[i] != *name)
				return false;
			i++;
		}
	}
	return i == size;
}

char *
strm_document_path(const char *where, const char *name)
{
	char	   *column = strm_names_column(name);

	return where[0] == '\0' ? column : psprintf("%s.%s", where, column);
}

/* A fault of the object where: a member of it, as it is spelled there, is unknown or given twice. */
static void
strm_document_misplaced(StrmDocument *document, const char *where, const char *name, int size, bool twice)
{
	if (document->by_path)
		strm_faults_add(document->faults, "%s%s%.*s: %s", where, where[0] == '\0' ? "" : ".", size, name,
						twice ? "is given twice" : "unknown member");
	else if (twice)
		strm_faults_add(document->faults, "%s: member \"%.*s\" is given twice", where, size, name);
	else
		strm_faults_add(document->faults, "%s: unknown member \"%.*s\"", where, size, name);
}

/* One member of an object: the value goes to its place, or there is a fault. */
static void
strm_document_member(StrmDocument *document, const JsonbValue *key, const JsonbValue *value, const char *where,
					 StrmMember *members, int nmembers)
{
	const char *name = key->val.string.val;
	int			size = key->val.string.len;

	for (int i = 0; i < nmembers; i++)
	{
		if (!strm_document_spells(name, size, members[i].name))
			continue;
		if (members[i].present)
			strm_document_misplaced(document, where, name, size, true);
		else if (members[i].ignored)
			appendStringInfo(&document->ignored, "%s%.*s", document->ignored.len > 0 ? ", " : "", size, name);
		else if (value->type != jbvNull)
		{
			members[i].present = true;
			members[i].value = *value;
		}
		return;
	}
	strm_document_misplaced(document, where, name, size, false);
}

void
strm_document_members(StrmDocument *document, JsonbContainer *object, const char *where,
					  StrmMember *members, int nmembers)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		strm_document_member(document, &key, &value, where, members, nmembers);
	}
}

static void
strm_document_mistyped(StrmDocument *document, const StrmMember *member, const char *where, const char *expected)
{
	if (document->by_path)
		strm_faults_add(document->faults, "%s: must be %s", strm_document_path(where, member->name), expected);
	else
		strm_faults_add(document->faults, "%s: member \"%s\" must be %s", where, member->name, expected);
}

char *
strm_document_string(StrmDocument *document, const StrmMember *member, const char *where)
{
	if (!member->present)
		return NULL;
	if (member->value.type != jbvString)
	{
		strm_document_mistyped(document, member, where, "a string");
		return NULL;
	}
	return pnstrdup(member->value.val.string.val, member->value.val.string.len);
}

bool
strm_document_bool(StrmDocument *document, const StrmMember *member, const char *where)
{
	if (!member->present)
		return false;
	if (member->value.type != jbvBool)
	{
		strm_document_mistyped(document, member, where, "true or false");
		return false;
	}
	return member->value.val.boolean;
}

/* Written out as text first: a numeric such as 1e1000 must not raise. */
bool
strm_document_integer(const JsonbValue *value, int64 max, int64 *result)
{
	char	   *text;
	char	   *end;

	if (value->type == jbvNumeric)
		text = numeric_normalize(value->val.numeric);
	else if (value->type == jbvString)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	else
		return false;
	errno = 0;
	*result = strtoll(text, &end, 10);
	return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *result <= max;
}

/* A purpose level; absent means 0, a fault gives -1. */
int
strm_document_level(StrmDocument *document, const StrmMember *member, const char *where)
{
	int64		level;

	if (!member->present)
		return 0;
	if (member->value.type != jbvNumeric || !strm_document_integer(&member->value, PG_INT32_MAX, &level))
	{
		strm_document_mistyped(document, member, where, "an integer from 0 up");
		return -1;
	}
	return (int) level;
}

JsonbContainer *
strm_document_container(const JsonbValue *value, bool is_array)
{
	JsonbContainer *container;

	if (value->type != jbvBinary)
		return NULL;
	container = value->val.binary.data;
	if (is_array)
		return JsonContainerIsArray(container) && !JsonContainerIsScalar(container) ? container : NULL;
	return JsonContainerIsObject(container) ? container : NULL;
}

JsonbContainer *
strm_document_object(StrmDocument *document, const StrmMember *member, const char *where)
{
	JsonbContainer *object = member->present ? strm_document_container(&member->value, false) : NULL;

	if (member->present && object == NULL)
		strm_document_mistyped(document, member, where, "an object");
	return object;
}

JsonbContainer *
strm_document_array(StrmDocument *document, const StrmMember *member, const char *where)
{
	JsonbContainer *array = member->present ? strm_document_container(&member->value, true) : NULL;

	if (member->present && array == NULL)
		strm_document_mistyped(document, member, where, "an array");
	return array;
}

void
strm_document_each(StrmDocument *document, JsonbContainer *array, const char *what,
				   StrmDocumentVisit visit, void *arg)
{
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	element;
	int			position = 0;

	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		char	   *where;
		JsonbContainer *object;

		/* the array itself is entered even with skipNested */
		if (token != WJB_ELEM)
			continue;
		where = psprintf("%s %d", what, ++position);
		object = strm_document_container(&element, false);
		if (object == NULL)
			strm_faults_add(document->faults, "%s must be an object", where);
		else
			visit(document, object, where, arg);
	}
}
