/*
 * contract.c
 *	  Compiling a data contract from its two documents, and what is asked of a compiled one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "common/errors.h"
#include "contract/contract.h"
#include "contract/contract_document.h"
#include "contract/schema.h"
#include "strm_privacy.h"

StrmContract *
strm_contract_read(Jsonb *schema, Jsonb *source, StrmFaults *faults, char **ignored)
{
	StrmContract *contract = palloc0(sizeof(StrmContract));
	StrmDocument document = {faults};
	StrmSchemaFields fields = {0};
	int			faults_before = faults->count;

	initStringInfo(&document.ignored);
	strm_schema_read(&document, schema, &fields);
	contract->nfields = fields.count;
	contract->fields = fields.fields;
	strm_contract_document_read(&document, source, contract, fields.count > 0);

	*ignored = document.ignored.data;
	return faults->count > faults_before ? NULL : contract;
}

StrmContract *
strm_contract_compile(Jsonb *schema, Jsonb *source)
{
	StrmFaults	faults;
	StrmContract *contract;
	char	   *ignored;

	strm_faults_init(&faults);
	contract = strm_contract_read(schema, source, &faults, &ignored);
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, "the data contract is not valid", NULL);
	return contract;
}

int
strm_contract_field(const StrmContract *contract, const char *name)
{
	for (int i = 0; i < contract->nfields; i++)
	{
		if (strcmp(contract->fields[i].name, name) == 0)
			return i;
	}
	return -1;
}

Oid
strm_field_type(const StrmField *field)
{
	switch (field->type)
	{
		case STRM_TYPE_STRING:
			return field->repeated ? TEXTARRAYOID : TEXTOID;
		case STRM_TYPE_BOOLEAN:
			return field->repeated ? BOOLARRAYOID : BOOLOID;
		case STRM_TYPE_INTEGER:
			return field->repeated ? INT4ARRAYOID : INT4OID;
		case STRM_TYPE_LONG:
			return field->repeated ? INT8ARRAYOID : INT8OID;
		case STRM_TYPE_FLOAT:
			return field->repeated ? FLOAT8ARRAYOID : FLOAT8OID;
	}
	ereport(ERROR,
			(errcode(STRM_ERR_INTERNAL),
			 errmsg("field \"%s\" has unknown type %d", field->name, (int) field->type)));
}

/* Is text between start and end a number without sign that fits int4, of at least one digit? */
static bool
strm_contract_is_number(const char *start, const char *end)
{
	int64		number = 0;

	if (start == end)
		return false;
	for (; start < end; start++)
	{
		if (*start < '0' || *start > '9')
			return false;
		number = number * 10 + (*start - '0');
		if (number > PG_INT32_MAX)
			return false;
	}
	return true;
}

/* major.minor.patch */
static bool
strm_contract_is_version(const char *version)
{
	const char *first = strchr(version, '.');
	const char *second = first == NULL ? NULL : strchr(first + 1, '.');

	return second != NULL &&
		strm_contract_is_number(version, first) &&
		strm_contract_is_number(first + 1, second) &&
		strm_contract_is_number(second + 1, second + 1 + strlen(second + 1));
}

/* Handle or name: 1 to 100 bytes without control characters. */
static bool
strm_contract_is_ref_part(const char *part)
{
	size_t		size = strlen(part);

	for (const char *p = part; *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			return false;
	}
	return size >= 1 && size <= 100;
}

void
strm_contract_parse_ref(const char *ref, char **handle, char **name, char **version)
{
	const char *first = strchr(ref, '/');
	const char *second = first == NULL ? NULL : strchr(first + 1, '/');

	if (second != NULL)
	{
		*handle = pnstrdup(ref, first - ref);
		*name = pnstrdup(first + 1, second - first - 1);
		*version = pstrdup(second + 1);
	}
	if (second == NULL || !strm_contract_is_ref_part(*handle) || !strm_contract_is_ref_part(*name) ||
		!strm_contract_is_version(*version))
		ereport(ERROR,
				(errcode(STRM_ERR_ARGUMENT),
				 errmsg("\"%s\" is not a reference to a data contract", ref),
				 errdetail("A reference is handle/name/major.minor.patch; handle and name have 1 to 100 bytes."),
				 errhint("For example: acme/clickstream/1.0.0.")));
}

char *
strm_contract_ref(const StrmContract *contract)
{
	return psprintf("%s/%s/%s", contract->handle, contract->name, contract->version);
}
