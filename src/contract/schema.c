/*
 * schema.c
 *	  Choosing the reader of a schema, and what is the same in every language: which names a field may have.
 */
#include "postgres.h"

#include "access/htup_details.h"

#include "contract/names.h"
#include "contract/schema.h"
#include "strm_privacy.h"

/* Columns that a stream has besides the contract's. */
#define STRM_SERVER_COLUMNS 6

static const StrmSchemaReader *const readers[] = {
	&strm_schema_simple,
};

/* Columns that every table has. */
static const char *const system_columns[] = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"};

char *
strm_schema_languages(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(readers); i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", readers[i]->language);
	return list.data;
}

void
strm_schema_read(StrmDocument *document, Jsonb *schema, StrmSchemaFields *fields)
{
	const StrmSchemaReader *found = NULL;
	int			matches = 0;

	for (int i = 0; i < lengthof(readers); i++)
	{
		if (JB_ROOT_IS_OBJECT(schema) && readers[i]->detect(&schema->root))
		{
			found = readers[i];
			matches++;
		}
	}

	if (matches != 1)
	{
		strm_faults_add(document->faults, "the schema's language is not recognised; this version reads: %s",
						strm_schema_languages());
		return;
	}

	found->read(document, &schema->root, fields);
	if (fields->count > MaxHeapAttributeNumber - STRM_SERVER_COLUMNS)
		strm_faults_add(document->faults, "the schema has %d fields; at most %d are possible", fields->count,
						MaxHeapAttributeNumber - STRM_SERVER_COLUMNS);
}

/* Faults of a column name that do not concern another field. */
static void
strm_schema_check_column(StrmDocument *document, const StrmField *field)
{
	if (strlen(field->column) >= NAMEDATALEN)
		strm_faults_add(document->faults, "field \"%s\": its column name would be longer than %d bytes",
						field->name, NAMEDATALEN - 1);
	if (strncmp(field->column, STRM_COLUMN_PREFIX, strlen(STRM_COLUMN_PREFIX)) == 0)
		strm_faults_add(document->faults, "field \"%s\": column names that start with \"%s\" are reserved",
						field->name, STRM_COLUMN_PREFIX);
	for (int i = 0; i < lengthof(system_columns); i++)
	{
		if (strcmp(field->column, system_columns[i]) == 0)
			strm_faults_add(document->faults, "field \"%s\": its column name is that of a system column", field->name);
	}
}

/* Is there another field of that name, or of that column? Both are faults. */
static bool
strm_schema_clashes(StrmDocument *document, const StrmSchemaFields *fields, const char *name, const char *column)
{
	for (int i = 0; i < fields->count; i++)
	{
		const StrmField *other = &fields->fields[i];

		if (strcmp(other->name, name) == 0)
		{
			strm_faults_add(document->faults, "field \"%s\" is defined twice", name);
			return true;
		}
		if (strcmp(other->column, column) == 0)
		{
			strm_faults_add(document->faults, "fields \"%s\" and \"%s\" have the same column name \"%s\"",
							other->name, name, column);
			return true;
		}
	}
	return false;
}

StrmField *
strm_schema_add_field(StrmDocument *document, StrmSchemaFields *fields, const char *name, const char *where)
{
	StrmField  *field;
	char	   *column;

	if (!strm_names_is_avro(name))
	{
		strm_faults_add(document->faults,
						"%s: \"%s\" is no field name: a letter or underscore, then letters, digits and underscores",
						where, name);
		return NULL;
	}
	column = strm_names_column(name);
	if (strm_schema_clashes(document, fields, name, column))
		return NULL;

	if (fields->count == fields->allocated)
	{
		fields->allocated = Max(16, 2 * fields->allocated);
		fields->fields = fields->fields == NULL ?
			palloc(sizeof(StrmField) * fields->allocated) :
			repalloc(fields->fields, sizeof(StrmField) * fields->allocated);
	}
	field = &fields->fields[fields->count++];
	memset(field, 0, sizeof(StrmField));
	field->name = pstrdup(name);
	field->column = column;
	field->type = STRM_TYPE_STRING;
	field->personal_index = -1;
	strm_schema_check_column(document, field);
	return field;
}
