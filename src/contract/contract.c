/*
 * contract.c
 *	  Compiling a data contract from its two documents, and what is asked of a compiled one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"

#include "common/errors.h"
#include "contract/contract.h"
#include "contract/contract_document.h"
#include "contract/names.h"
#include "contract/schema.h"
#include "strm_privacy.h"

StrmContract *
strm_contract_read(Jsonb *schema, Jsonb *source, StrmFaults *faults, char **ignored)
{
	StrmContract *contract = palloc0(sizeof(StrmContract));
	StrmDocument document = {faults};
	StrmSchemaFields fields = {0};

	initStringInfo(&document.ignored);
	strm_schema_read(&document, schema, &fields);
	contract->nfields = fields.count;
	contract->fields = fields.fields;
	contract->schema_name = fields.name;
	strm_contract_document_read(&document, source, contract, fields.count > 0);

	*ignored = document.ignored.data;
	return contract;
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
			errcode(STRM_ERR_INTERNAL),
			errmsg("field \"%s\" has unknown type %d", field->name, (int) field->type));
}

/* Reads digits that fit int4, at least one; NULL when there are none, else where they end. */
static const char *
strm_contract_number(const char *text, int32 *number)
{
	int64		value = 0;
	const char *end = text;

	for (; *end >= '0' && *end <= '9'; end++)
	{
		value = value * 10 + (*end - '0');
		if (value > PG_INT32_MAX)
			return NULL;
	}
	*number = (int32) value;
	return end == text ? NULL : end;
}

bool
strm_contract_parse_version(const char *version, int32 numbers[3])
{
	for (int i = 0; i < 3; i++)
	{
		version = strm_contract_number(version, &numbers[i]);
		if (version == NULL || *version != (i < 2 ? '.' : '\0'))
			return false;
		version++;
	}
	return true;
}

/* Handle or name: 1 to 100 characters, no control characters. */
static bool
strm_contract_is_ref_part(const char *part)
{
	int			length = pg_mbstrlen(part);

	return length >= 1 && length <= 100 && !strm_names_has_control(part);
}

bool
strm_contract_split_ref(const char *ref, char **handle, char **name, char **version)
{
	const char *first = strchr(ref, '/');
	const char *second = first == NULL ? NULL : strchr(first + 1, '/');
	int32		numbers[3];
	bool		valid = false;

	if (second != NULL)
	{
		*handle = pnstrdup(ref, first - ref);
		*name = pnstrdup(first + 1, second - first - 1);
		valid = strm_contract_is_ref_part(*handle) && strm_contract_is_ref_part(*name) &&
			strm_contract_parse_version(second + 1, numbers);
	}
	if (valid)
		*version = psprintf("%d.%d.%d", numbers[0], numbers[1], numbers[2]);
	return valid;
}

void
strm_contract_parse_ref(const char *ref, char **handle, char **name, char **version)
{
	if (!strm_contract_split_ref(ref, handle, name, version))
		ereport(ERROR,
				errcode(STRM_ERR_ARGUMENT),
				errmsg("\"%s\" is not a reference to a data contract", ref),
				errdetail("A reference is handle/name/major.minor.patch; handle and name have 1 to 100 characters."),
				errhint("For example: acme/clickstream/1.0.0."));
}

char *
strm_contract_ref(const StrmContract *contract)
{
	return psprintf("%s/%s/%s", contract->handle, contract->name, contract->version);
}
