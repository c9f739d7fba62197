/*
 * contract_document.c
 *	  The contract's own document: which fields are the key and the data subject, which are personal and for which
 *	  purpose, and which values are valid.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "contract/contract_document.h"
#include "contract/validation.h"
#include "strm_privacy.h"

/* What the visitors of arrays share. */
typedef struct StrmContractReading
{
	StrmContract *contract;
	bool		has_schema;
	bool	   *described;		/* by ordinal: has field metadata */
} StrmContractReading;

enum
{
	KEY_FIELD, DATA_SUBJECT_FIELD, FIELD_METADATA, PII_FIELDS, VALIDATIONS,
	ID, REF, SCHEMA_REF, STATE, IS_PUBLIC, PROJECT_ID, SCHEMA, METADATA, NMEMBERS
};

/* Ordinal of the field that a member of the document names, or -1 and a fault when there is none. */
static int
strm_contract_document_field(StrmDocument *document, const StrmContractReading *reading, const char *name,
							 const char *where)
{
	int			ordinal;

	if (name == NULL || !reading->has_schema)
		return -1;
	ordinal = strm_contract_field(reading->contract, name);
	if (ordinal < 0)
	{
		if (strchr(name, '/') != NULL)
			strm_faults_add(document->faults, "%s: field \"%s\": nested fields are not supported yet", where, name);
		else
			strm_faults_add(document->faults, "%s: the schema has no field \"%s\"", where, name);
	}
	return ordinal;
}

/* The key field or the data subject field: exists and is not repeated. -1 when it is missing or a fault. */
static int
strm_contract_document_single(StrmDocument *document, const StrmContractReading *reading, const StrmMember *member)
{
	char	   *name = strm_document_string(document, member, "the contract");
	int			ordinal;

	/* the printed form gives an absent data subject field as an empty string */
	if (name == NULL || name[0] == '\0')
		return -1;
	ordinal = strm_contract_document_field(document, reading, name, member->name);
	if (ordinal >= 0 && reading->contract->fields[ordinal].repeated)
		strm_faults_add(document->faults, "%s: field \"%s\" must not be repeated", member->name, name);
	return ordinal;
}

/* {"isPii", "purposeLevel", "isQuasiId"} of one field. */
static void
strm_contract_document_personal(StrmDocument *document, JsonbContainer *config, const char *where, StrmField *field)
{
	enum
	{
		IS_PII, PURPOSE_LEVEL, IS_QUASI_ID, CONFIG_NMEMBERS
	};
	StrmMember	members[CONFIG_NMEMBERS] = {
		[IS_PII] = {"isPii"},[PURPOSE_LEVEL] = {"purposeLevel"},[IS_QUASI_ID] = {"isQuasiId"},
	};
	bool		personal;
	int			level;

	strm_document_members(document, config, where, members, CONFIG_NMEMBERS);
	personal = strm_document_bool(document, &members[IS_PII], where);
	level = strm_document_level(document, &members[PURPOSE_LEVEL], where);
	(void) strm_document_bool(document, &members[IS_QUASI_ID], where);

	/* Whoever gives a purpose means the field to be personal: do not store it in clear for a forgotten isPii. */
	if (!personal && level > 0)
		strm_faults_add(document->faults, "%s: a purposeLevel needs \"isPii\": true", where);
	if (field != NULL)
	{
		field->personal = personal;
		field->level = level;
	}
}

/*
 * One element of fieldMetadata. Its members on statistics are for micro-aggregation, which reads them from the
 * document.
 */
static void
strm_contract_document_metadata(StrmDocument *document, JsonbContainer *object, const char *where, void *arg)
{
	enum
	{
		FIELD_NAME, PERSONAL_DATA_CONFIG, STATISTICAL_DATA_TYPE, ORDINAL_VALUES, NULL_HANDLING_CONFIG, METADATA_NMEMBERS
	};
	StrmContractReading *reading = arg;
	StrmMember	members[METADATA_NMEMBERS] = {
		[FIELD_NAME] = {"fieldName"},[PERSONAL_DATA_CONFIG] = {"personalDataConfig"},
		[STATISTICAL_DATA_TYPE] = {"statisticalDataType"},[ORDINAL_VALUES] = {"ordinalValues"},
		[NULL_HANDLING_CONFIG] = {"nullHandlingConfig"},
	};
	JsonbContainer *config;
	char	   *name;
	int			ordinal;

	strm_document_members(document, object, where, members, METADATA_NMEMBERS);
	name = strm_document_string(document, &members[FIELD_NAME], where);
	if (name == NULL && !members[FIELD_NAME].present)
		strm_faults_add(document->faults, "%s: member \"fieldName\" is missing", where);
	else if (name != NULL)
		where = psprintf("field metadata of \"%s\"", name);

	(void) strm_document_string(document, &members[STATISTICAL_DATA_TYPE], where);
	(void) strm_document_array(document, &members[ORDINAL_VALUES], where);
	(void) strm_document_object(document, &members[NULL_HANDLING_CONFIG], where);
	config = strm_document_object(document, &members[PERSONAL_DATA_CONFIG], where);

	ordinal = strm_contract_document_field(document, reading, name, where);
	if (ordinal >= 0 && reading->described[ordinal])
		strm_faults_add(document->faults, "%s is given twice", where);
	if (ordinal >= 0)
		reading->described[ordinal] = true;
	if (config != NULL)
		strm_contract_document_personal(document, config, where,
										ordinal >= 0 ? &reading->contract->fields[ordinal] : NULL);
}

/*
 * The older form, {"field": level}. Where field metadata is given too, that wins, but must not forget a field that this
 * one calls personal.
 */
static void
strm_contract_document_pii_fields(StrmDocument *document, JsonbContainer *object, StrmContractReading *reading,
								  bool has_metadata)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		StrmMember	member = {"piiFields", .present = true};
		StrmField  *field;
		char	   *name;
		int			ordinal;
		int			level;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(key.val.string.val, key.val.string.len);
		(void) JsonbIteratorNext(&iterator, &member.value, true);
		level = strm_document_level(document, &member, psprintf("field \"%s\"", name));
		ordinal = strm_contract_document_field(document, reading, name, "piiFields");
		if (ordinal < 0)
			continue;

		field = &reading->contract->fields[ordinal];
		if (has_metadata)
		{
			if (!field->personal)
				strm_faults_add(document->faults, "field \"%s\" is personal in piiFields but not in fieldMetadata",
								name);
		}
		else
		{
			field->personal = true;
			field->level = level;
		}
	}
}

/* One element of validations: {"field", "type": "regex", "value"}. */
static void
strm_contract_document_validation(StrmDocument *document, JsonbContainer *object, const char *where, void *arg)
{
	enum
	{
		FIELD, TYPE, VALUE, VALIDATION_NMEMBERS
	};
	StrmContractReading *reading = arg;
	StrmContract *contract = reading->contract;
	StrmMember	members[VALIDATION_NMEMBERS] = {[FIELD] = {"field"},[TYPE] = {"type"},[VALUE] = {"value"}};
	StrmValidation *validation;
	char	   *name;
	char	   *type;
	char	   *pattern;
	int			ordinal;

	strm_document_members(document, object, where, members, VALIDATION_NMEMBERS);
	for (int i = 0; i < VALIDATION_NMEMBERS; i++)
	{
		if (!members[i].present)
			strm_faults_add(document->faults, "%s: member \"%s\" is missing", where, members[i].name);
	}
	name = strm_document_string(document, &members[FIELD], where);
	type = strm_document_string(document, &members[TYPE], where);
	pattern = strm_document_string(document, &members[VALUE], where);
	if (name != NULL)
		where = psprintf("%s of \"%s\"", where, name);

	ordinal = strm_contract_document_field(document, reading, name, where);
	if (type != NULL && pg_strcasecmp(type, "regex") != 0)
	{
		strm_faults_add(document->faults, "%s: unknown type \"%s\"; there is \"regex\"", where, type);
		return;
	}
	if (pattern == NULL || !strm_validation_check_pattern(document->faults, pattern, where) || ordinal < 0)
		return;

	validation = &contract->validations[contract->nvalidations++];
	validation->field = ordinal;
	validation->pattern = pattern;
	validation->regex = cstring_to_text(pattern);
}

/* Numbers the personal fields. */
static void
strm_contract_document_number(StrmDocument *document, StrmContract *contract)
{
	contract->personal = palloc(sizeof(int) * Max(contract->nfields, 1));
	for (int i = 0; i < contract->nfields; i++)
	{
		if (!contract->fields[i].personal)
			continue;
		contract->fields[i].personal_index = contract->npersonal;
		contract->personal[contract->npersonal++] = i;
	}
	if (contract->npersonal > STRM_MAX_PERSONAL_FIELDS)
		strm_faults_add(document->faults, "%d fields are personal; at most %d may be", contract->npersonal,
						STRM_MAX_PERSONAL_FIELDS);
}

void
strm_contract_document_read(StrmDocument *document, Jsonb *source, StrmContract *contract, bool has_schema)
{
	StrmMember	members[NMEMBERS] = {
		[KEY_FIELD] = {"keyField"},[DATA_SUBJECT_FIELD] = {"dataSubjectField"},[FIELD_METADATA] = {"fieldMetadata"},
		[PII_FIELDS] = {"piiFields"},[VALIDATIONS] = {"validations"},
		[ID] = {"id", true},[REF] = {"ref", true},[SCHEMA_REF] = {"schemaRef", true},[STATE] = {"state", true},
		[IS_PUBLIC] = {"isPublic", true},[PROJECT_ID] = {"projectId", true},[SCHEMA] = {"schema", true},
		[METADATA] = {"metadata", true},
	};
	StrmContractReading reading = {contract, has_schema, palloc0(Max(contract->nfields, 1))};
	JsonbContainer *metadata;
	JsonbContainer *pii_fields;
	JsonbContainer *validations;

	if (!JB_ROOT_IS_OBJECT(source))
	{
		strm_faults_add(document->faults, "the contract must be a JSON object");
		return;
	}
	strm_document_members(document, &source->root, "the contract", members, NMEMBERS);

	contract->key_field = strm_contract_document_single(document, &reading, &members[KEY_FIELD]);
	if (!members[KEY_FIELD].present ||
		(members[KEY_FIELD].value.type == jbvString && members[KEY_FIELD].value.val.string.len == 0))
		strm_faults_add(document->faults, "the contract: member \"keyField\" is missing");
	contract->subject_field = strm_contract_document_single(document, &reading, &members[DATA_SUBJECT_FIELD]);

	metadata = strm_document_array(document, &members[FIELD_METADATA], "the contract");
	if (metadata != NULL)
		strm_document_each(document, metadata, "field metadata", strm_contract_document_metadata, &reading);
	pii_fields = strm_document_object(document, &members[PII_FIELDS], "the contract");
	if (pii_fields != NULL)
		strm_contract_document_pii_fields(document, pii_fields, &reading,
										  metadata != NULL && JsonContainerSize(metadata) > 0);
	strm_contract_document_number(document, contract);

	validations = strm_document_array(document, &members[VALIDATIONS], "the contract");
	if (validations != NULL)
	{
		contract->validations = palloc0(sizeof(StrmValidation) * Max(JsonContainerSize(validations), 1));
		strm_document_each(document, validations, "validation", strm_contract_document_validation, &reading);
	}
}
