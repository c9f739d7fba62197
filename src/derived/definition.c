/*
 * definition.c
 *	  What strm.create_derived_stream() was asked for, and checking it: all faults of a call in one error. What depends
 *	  on something that is itself at fault is not checked.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "catalog/purpose.h"
#include "common/errors.h"
#include "derived/definition.h"
#include "strm_privacy.h"
#include "transform/mask.h"

#define STRM_DERIVED_MAX_PURPOSES 50

/* Splits a possibly qualified SQL name; *schema is NULL when it is not. false when it is no name. */
static bool
strm_derived_split_name(const char *text, char **schema, char **name)
{
	List	   *parts;

	if (!SplitIdentifierString(pstrdup(text), '.', &parts) || list_length(parts) < 1 || list_length(parts) > 2)
		return false;
	*schema = list_length(parts) == 2 ? linitial(parts) : NULL;
	*name = llast(parts);
	return true;
}

/* A source that is not what it should be; a relation of that very name suggests that quotes are missing. */
static void
strm_derived_source_fault(StrmFaults *faults, const char *source, const char *what)
{
	if (strlen(source) < NAMEDATALEN && OidIsValid(RelnameGetRelid(source)) &&
		strcmp(quote_identifier(source), source) != 0)
		strm_faults_add(faults, "source: \"%s\" is not %s: it is written %s, with the double quotes", source, what,
						quote_identifier(source));
	else
		strm_faults_add(faults, "source: \"%s\" is not %s", source, what);
}

static void
strm_derived_check_source(StrmFaults *faults, const StrmDerivedRequest *request, StrmDerivedDefinition *definition)
{
	char	   *schema;
	char	   *name;
	Oid			relid;

	if (request->source == NULL)
	{
		strm_faults_add(faults, "source must name a stream");
		return;
	}
	if (!strm_derived_split_name(request->source, &schema, &name))
	{
		strm_derived_source_fault(faults, request->source, "a valid name");
		return;
	}
	relid = RangeVarGetRelid(makeRangeVar(schema, name, -1), AccessShareLock, true);
	if (OidIsValid(relid))
		definition->derived.stream = strm_catalog_stream_of(relid);
	if (definition->derived.stream == NULL)
	{
		strm_derived_source_fault(faults, request->source, "a stream");
		return;
	}
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		strm_faults_add(faults, "source: permission denied to read stream \"%s\"", request->source);
}

static int
strm_derived_compare_levels(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return left < right ? -1 : left > right;
}

static void
strm_derived_check_purposes(StrmFaults *faults, const StrmDerivedRequest *request, StrmDerivedStream *derived)
{
	int			count = faults->count;
	int			unique = 0;

	if (request->purposes == NULL || ARR_NDIM(request->purposes) != 1 || array_contains_nulls(request->purposes) ||
		ARR_DIMS(request->purposes)[0] > STRM_DERIVED_MAX_PURPOSES)
	{
		strm_faults_add(faults, "purposes: a list of 1 to %d levels is needed", STRM_DERIVED_MAX_PURPOSES);
		return;
	}
	derived->npurposes = ARR_DIMS(request->purposes)[0];
	derived->purposes = palloc(derived->npurposes * sizeof(int32));
	memcpy(derived->purposes, ARR_DATA_PTR(request->purposes), derived->npurposes * sizeof(int32));
	qsort(derived->purposes, derived->npurposes, sizeof(int32), strm_derived_compare_levels);

	if (derived->purposes[0] < 0)
		strm_faults_add(faults, "purposes: levels must not be negative");
	for (int i = 0; i < derived->npurposes; i++)
		if (i == 0 || derived->purposes[i] != derived->purposes[i - 1])
			derived->purposes[unique++] = derived->purposes[i];
	if (unique < derived->npurposes)
		strm_faults_add(faults, "purposes: levels must differ");
	derived->npurposes = unique;
	if (derived->cumulative && unique != 1)
		strm_faults_add(faults, "purposes: a CUMULATIVE derived stream has exactly one");
	if (faults->count > count)
		return;
	for (int i = 0; i < derived->npurposes; i++)
		if (!strm_catalog_purpose_exists(derived->purposes[i]))
			strm_faults_add(faults, "purposes: there is no purpose %d", derived->purposes[i]);
}

/* consent_level_type and hash_type; NULL is the default. */
static void
strm_derived_check_kinds(StrmFaults *faults, const StrmDerivedRequest *request, StrmDerivedStream *derived)
{
	const char *type = request->consent_level_type;
	const char *hash_type = request->hash_type;

	derived->cumulative = type != NULL && strcmp(type, "CUMULATIVE") == 0;
	if (type != NULL && !derived->cumulative && strcmp(type, "GRANULAR") != 0)
		strm_faults_add(faults, "consent_level_type: must be GRANULAR or CUMULATIVE");
	derived->hash_type = hash_type != NULL && strcmp(hash_type, "murmur3") == 0 ? STRM_HASH_MURMUR3 : STRM_HASH_BLAKE2B;
	if (hash_type != NULL && derived->hash_type != STRM_HASH_MURMUR3 && strcmp(hash_type, "blake2b") != 0)
		strm_faults_add(faults, "hash_type: must be blake2b or murmur3");
}

/* The masked fields' names; their being in the contract is checked once source and purposes are known to be good. */
static void
strm_derived_check_masked(StrmFaults *faults, const StrmDerivedRequest *request, StrmDerivedDefinition *definition)
{
	const StrmDerivedStream *derived = &definition->derived;
	const StrmContract *contract = derived->stream ? derived->stream->contract : NULL;
	Datum	   *names;
	int			n;
	int		   *ordinals;

	definition->masked_fields = construct_empty_array(TEXTOID);
	if (request->masked_fields == NULL || ARR_NDIM(request->masked_fields) == 0)
		return;
	if (ARR_NDIM(request->masked_fields) != 1 || array_contains_nulls(request->masked_fields))
	{
		strm_faults_add(faults, "masked_fields: must be a list of field names");
		return;
	}
	definition->masked_fields = request->masked_fields;
	if (contract == NULL)
		return;

	deconstruct_array(request->masked_fields, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	ordinals = palloc(n * sizeof(int));
	for (int i = 0; i < n; i++)
	{
		char	   *name = TextDatumGetCString(names[i]);

		ordinals[i] = strm_contract_field(contract, name);
		if (ordinals[i] < 0)
			strm_faults_add(faults, "masked_fields: data contract \"%s\" has no field \"%s\"",
							strm_contract_ref(contract), name);
		for (int j = 0; j < i; j++)
			if (ordinals[i] >= 0 && ordinals[j] == ordinals[i])
				strm_faults_add(faults, "masked_fields: field \"%s\" is named twice", name);
	}
}

/* A masked personal field is shown, if only as a hash: its purpose must be one of the derived stream's. */
static void
strm_derived_check_masked_purposes(StrmFaults *faults, const StrmDerivedStream *derived)
{
	const StrmContract *contract = derived->stream->contract;

	for (int i = 0; i < contract->nfields; i++)
		if (derived->fields[i].masked && contract->fields[i].personal && !derived->fields[i].allowed)
			strm_faults_add(faults, "masked_fields: the purpose of field \"%s\", %d, is not among the purposes",
							contract->fields[i].name, contract->fields[i].level);
}

static void
strm_derived_check_seed(StrmFaults *faults, const char *seed, bool masks)
{
	if (seed == NULL)
		return;
	if (!masks)
		strm_faults_add(faults, "mask_seed: needs masked_fields");
	strm_mask_check_seed(faults, "mask_seed", seed);
}

/* <source>_<p>_<p>, with masked fields <source>_m_<p>_<p> */
static char *
strm_derived_default_name(const StrmDerivedDefinition *definition)
{
	const StrmDerivedStream *derived = &definition->derived;
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfoString(&name, get_rel_name(derived->stream->relid));
	if (ARR_NDIM(definition->masked_fields) > 0)
		appendStringInfoString(&name, "_m");
	for (int i = 0; i < derived->npurposes; i++)
		appendStringInfo(&name, "_%d", derived->purposes[i]);
	return name.data;
}

/* The view's schema (the source's, unless given) and name. */
static void
strm_derived_check_name(StrmFaults *faults, const char *given, StrmDerivedDefinition *definition)
{
	Oid			namespace = InvalidOid;

	if (given != NULL && !strm_derived_split_name(given, &definition->schema, &definition->name))
	{
		strm_faults_add(faults, "name: \"%s\" is not a valid name", given);
		return;
	}
	if (definition->schema != NULL)
	{
		namespace = get_namespace_oid(definition->schema, true);
		if (!OidIsValid(namespace))
			strm_faults_add(faults, "name: schema \"%s\" does not exist", definition->schema);
	}
	else if (definition->derived.stream != NULL)
	{
		namespace = get_rel_namespace(definition->derived.stream->relid);
		definition->schema = get_namespace_name(namespace);
	}
	if (definition->name == NULL && definition->derived.stream != NULL && definition->derived.npurposes > 0)
		definition->name = strm_derived_default_name(definition);

	if (OidIsValid(namespace) && strm_schema_aclcheck(namespace, GetUserId(), ACL_CREATE) != ACLCHECK_OK)
		strm_faults_add(faults, "name: permission denied to create in schema \"%s\"", definition->schema);
	if (definition->name != NULL && strlen(definition->name) >= NAMEDATALEN)
		strm_faults_add(faults, "name: \"%s\" is too long, another one is needed", definition->name);
	else if (definition->name != NULL && OidIsValid(namespace) &&
			 OidIsValid(get_relname_relid(definition->name, namespace)))
		strm_faults_add(faults, "name: relation \"%s\" already exists", definition->name);
}

void
strm_derived_define(const StrmDerivedRequest *request, StrmDerivedDefinition *definition)
{
	StrmFaults	faults;
	StrmDerivedStream *derived = &definition->derived;

	memset(definition, 0, sizeof(*definition));
	strm_faults_init(&faults);
	strm_derived_check_kinds(&faults, request, derived);
	strm_derived_check_source(&faults, request, definition);
	strm_derived_check_purposes(&faults, request, derived);
	strm_derived_check_masked(&faults, request, definition);
	strm_derived_check_seed(&faults, request->mask_seed, ARR_NDIM(definition->masked_fields) > 0);
	strm_derived_check_name(&faults, request->name, definition);
	if (faults.count == 0)
	{
		strm_derived_stream_set_fields(derived, definition->masked_fields);
		strm_derived_check_masked_purposes(&faults, derived);
	}
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, "derived stream cannot be created", NULL);
}
