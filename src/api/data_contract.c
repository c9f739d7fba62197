/*
 * data_contract.c
 *	  Definition of data contracts: create, alter, drop.
 *
 *	  Documents are judged as a whole, and every fault is in one error. A stored contract therefore compiles.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "api/args.h"
#include "api/data_contract.h"
#include "catalog/purpose.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "contract/document.h"
#include "contract/schema.h"
#include "strm_privacy.h"

PG_FUNCTION_INFO_V1(strm_sql_create_data_contract);
PG_FUNCTION_INFO_V1(strm_sql_create_data_contract_from);
PG_FUNCTION_INFO_V1(strm_sql_alter_data_contract);
PG_FUNCTION_INFO_V1(strm_sql_drop_data_contract);

void
strm_data_contract_find(FunctionCallInfo fcinfo, StrmContractTarget *target)
{
	char	   *handle;
	char	   *name;
	char	   *version;

	strm_contract_parse_ref(strm_args_text(fcinfo, 0, "ref"), &handle, &name, &version);
	target->ref = psprintf("%s/%s/%s", handle, name, version);
	if (!strm_catalog_contract_row(handle, name, version, &target->row))
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("data contract \"%s\" does not exist", target->ref),
				errhint("strm.data_contracts lists the data contracts."));
}

void
strm_data_contract_refuse(const StrmContractTarget *target, const char *verb, const char *hint)
{
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("data contract \"%s\" cannot be %s", target->ref, verb),
			errdetail("Its state is %s.", strm_catalog_contract_state_name(target->row.state)),
			hint ? errhint("%s", hint) : 0);
}

void
strm_data_contract_write(const StrmContractTarget *target, const char *sql, StrmRegistryArgs *args, const char *verb)
{
	args->values[0] = Int32GetDatum(target->row.id);
	args->values[1] = Int32GetDatum(target->row.revision);
	if (strm_registry_execute(sql, STRM_REGISTRY_ARGS(args)) == 0)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("data contract \"%s\" cannot be %s", target->ref, verb),
				errdetail("Another transaction changed it meanwhile."));
}

void
strm_data_contract_args(StrmRegistryArgs *args)
{
	memset(args, 0, sizeof(StrmRegistryArgs));
	strm_registry_add(args, INT4OID, (Datum) 0, false);
	strm_registry_add(args, INT4OID, (Datum) 0, false);
}

/* Each purpose that a personal field refers to must exist; a missing one is one fault, however many fields name it. */
static void
strm_data_contract_check_purposes(const StrmContract *contract, StrmFaults *faults)
{
	for (int i = 0; i < contract->npersonal; i++)
	{
		const StrmField *field = &contract->fields[contract->personal[i]];
		bool		reported = field->level < 0;	/* no level at all, which is a fault already */

		for (int j = 0; j < i && !reported; j++)
			reported = contract->fields[contract->personal[j]].level == field->level;
		if (!reported && !strm_catalog_purpose_exists(field->level))
			strm_faults_add(faults, "field \"%s\": purpose %d does not exist", field->name, field->level);
	}
}

/* Raises all faults of the two documents. faults holds those of parsing them, and then one of them may be NULL. */
static void
strm_data_contract_check(Jsonb *schema, Jsonb *source, StrmFaults *faults)
{
	char	   *ignored = NULL;

	if (schema != NULL && source != NULL)
		strm_data_contract_check_purposes(strm_contract_read(schema, source, faults, &ignored), faults);
	strm_faults_raise(faults, STRM_ERR_ARGUMENT, "the data contract is not valid", NULL);

	if (ignored[0] != '\0')
		ereport(NOTICE,
				errmsg("members of the data contract were ignored"),
				errdetail("They have no effect here: %s.", ignored));
}

/* The schema's text as JSON; a fault says which languages there are. */
static Jsonb *
strm_data_contract_parse_schema(StrmFaults *faults, const char *text)
{
	Jsonb	   *schema = strm_document_parse(faults, text, "the schema");

	if (schema == NULL)
		strm_faults_add(faults, "this version reads: %s", strm_schema_languages());
	return schema;
}

/* Title and description are free text of at most a page. */
static void
strm_data_contract_check_title(const char *title)
{
	if (title != NULL)
		strm_args_check_label(title, "title", 1, 1000);
}

/* Stores a new contract; the two texts may have any faults. */
static int32
strm_data_contract_create(FunctionCallInfo fcinfo, const char *schema_text)
{
	char	   *source_text = strm_args_text(fcinfo, 2, "contract");
	char	   *title = strm_args_text_or_null(fcinfo, 3);
	char	   *handle;
	char	   *name;
	char	   *version;
	int32		numbers[3];
	Jsonb	   *schema;
	Jsonb	   *source;
	StrmFaults	faults;
	StrmRegistryArgs args = {0};
	Datum		id;
	bool		isnull;

	strm_contract_parse_ref(strm_args_text(fcinfo, 0, "ref"), &handle, &name, &version);
	(void) strm_contract_parse_version(version, numbers);
	strm_data_contract_check_title(title);
	strm_faults_init(&faults);
	schema = strm_data_contract_parse_schema(&faults, schema_text);
	source = strm_document_parse(&faults, source_text, "the contract");
	strm_data_contract_check(schema, source, &faults);

	strm_registry_add_text(&args, handle);
	strm_registry_add_text(&args, name);
	strm_registry_add_text(&args, version);
	for (int i = 0; i < 3; i++)
		strm_registry_add(&args, INT4OID, Int32GetDatum(numbers[i]), false);
	strm_registry_add_text(&args, strm_args_current_role());
	strm_registry_add(&args, JSONBOID, JsonbPGetDatum(schema), false);
	strm_registry_add(&args, JSONBOID, JsonbPGetDatum(source), false);
	strm_registry_add_text(&args, schema_text);
	strm_registry_add_text(&args, source_text);
	strm_registry_add_text(&args, title);
	strm_registry_add_text(&args, strm_args_text_or_null(fcinfo, 4));
	if (!strm_registry_fetch("INSERT INTO strm.data_contract (handle, name, version, major, minor, patch, author,"
							 " owner, schema, contract, schema_text, contract_text, title, description)"
							 " VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, $12, $13)"
							 " ON CONFLICT (handle, name, version) DO NOTHING RETURNING id",
							 STRM_REGISTRY_ARGS(&args), &id, &isnull))
		ereport(ERROR,
				errcode(STRM_ERR_DUPLICATE),
				errmsg("data contract \"%s/%s/%s\" already exists", handle, name, version));
	return DatumGetInt32(id);
}

/* strm.create_data_contract(ref text, schema text, contract text, title text, description text) RETURNS int4 */
Datum
strm_sql_create_data_contract(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(strm_data_contract_create(fcinfo, strm_args_text(fcinfo, 1, "schema")));
}

/*
 * strm.create_data_contract(ref text, schema_from regclass, contract text, title text, description text) RETURNS int4
 */
Datum
strm_sql_create_data_contract_from(PG_FUNCTION_ARGS)
{
	strm_args_require(fcinfo, 1, "schema_from");
	PG_RETURN_INT32(strm_data_contract_create(fcinfo, strm_data_contract_schema_of(PG_GETARG_OID(1))));
}

/* strm.alter_data_contract(ref text, schema text, contract text, title text, description text) RETURNS void */
Datum
strm_sql_alter_data_contract(PG_FUNCTION_ARGS)
{
	char	   *schema_text = strm_args_text_or_null(fcinfo, 1);
	char	   *source_text = strm_args_text_or_null(fcinfo, 2);
	char	   *title = strm_args_text_or_null(fcinfo, 3);
	bool		changes_documents = schema_text != NULL || source_text != NULL;
	StrmContractTarget target;
	StrmRegistryArgs args;
	StrmFaults	faults;
	Jsonb	   *schema;
	Jsonb	   *source;

	strm_data_contract_find(fcinfo, &target);
	strm_data_contract_check_title(title);
	schema = target.row.schema;
	source = target.row.contract;
	if (changes_documents)
	{
		if (target.row.state != STRM_CONTRACT_DRAFT && target.row.state != STRM_CONTRACT_IN_REVIEW)
			strm_data_contract_refuse(&target, "altered", "Create a new version of it.");
		strm_faults_init(&faults);
		if (schema_text != NULL)
			schema = strm_data_contract_parse_schema(&faults, schema_text);
		if (source_text != NULL)
			source = strm_document_parse(&faults, source_text, "the contract");
		strm_data_contract_check(schema, source, &faults);
	}

	strm_data_contract_args(&args);
	strm_registry_add(&args, JSONBOID, JsonbPGetDatum(schema), false);
	strm_registry_add(&args, JSONBOID, JsonbPGetDatum(source), false);
	strm_registry_add_text(&args, schema_text);
	strm_registry_add_text(&args, source_text);
	strm_registry_add_text(&args, title);
	strm_registry_add_text(&args, strm_args_text_or_null(fcinfo, 4));
	strm_registry_add_text(&args, changes_documents ? strm_args_current_role() : target.row.author);
	strm_data_contract_write(&target,
							 "UPDATE strm.data_contract SET revision = revision + 1, changed_at = now(), schema = $3,"
							 " contract = $4, schema_text = coalesce($5, schema_text),"
							 " contract_text = coalesce($6, contract_text), title = coalesce($7, title),"
							 " description = coalesce($8, description), author = $9"
							 " WHERE id = $1 AND revision = $2", &args, "altered");
	PG_RETURN_VOID();
}

/* strm.drop_data_contract(ref text) RETURNS void */
Datum
strm_sql_drop_data_contract(PG_FUNCTION_ARGS)
{
	StrmContractTarget target;
	StrmRegistryArgs args;

	strm_data_contract_find(fcinfo, &target);
	if (strcmp(target.row.owner, strm_args_current_role()) != 0 && !strm_args_has_role("strm_admin"))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be owner of data contract \"%s\"", target.ref),
				errhint("Its owner or a member of strm_admin may drop it."));
	if (target.row.state == STRM_CONTRACT_ACTIVE || target.row.state == STRM_CONTRACT_ARCHIVED)
		strm_data_contract_refuse(&target, "dropped",
								  "Stored events may refer to it. Archive it with strm.archive_data_contract().");
	strm_data_contract_args(&args);
	strm_data_contract_write(&target, "DELETE FROM strm.data_contract WHERE id = $1 AND revision = $2", &args,
							 "dropped");
	PG_RETURN_VOID();
}
