/*
 * job.c
 *	  A batch job's configuration: member for member STRM's, and what this platform adds. Its parts are in job_*.c.
 *
 *	  Reading goes on after a fault, so that one error lists all of them; what depends on something that is at fault is
 *	  not looked at. The result is in one memory context and refers to nothing outside it.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "batch/job_private.h"
#include "catalog/contract.h"
#include "catalog/policy.h"
#include "catalog/stream.h"
#include "contract/names.h"
#include "strm_privacy.h"

enum
{
	SOURCE_DATA, CONSENT, ENCRYPTION, EVENT_CONTRACT_REF, DATA_CONTRACT_REF, ENCRYPTED_DATA, ENCRYPTION_KEYS_DATA,
	DERIVED_DATA, POLICY_ID, REJECTS, MAX_REJECTS, REF, STATES, BILLING_ID, PROJECT_ID, NMEMBERS
};

/* {"handle", "name", "version"} as one text; NULL when something is missing. */
static char *
strm_batch_read_ref_object(StrmBatchReading *reading, const StrmMember *member)
{
	enum
	{
		HANDLE, NAME, VERSION, REF_NMEMBERS
	};
	StrmMember	members[REF_NMEMBERS] = {[HANDLE] = {"handle"},[NAME] = {"name"},[VERSION] = {"version"}};
	JsonbContainer *object = strm_document_container(&member->value, false);
	char	   *path = strm_document_path("", member->name);
	char	   *parts[REF_NMEMBERS];
	bool		complete = true;

	if (object == NULL)
	{
		strm_batch_fault(reading, "%s: must be a string or an object", path);
		return NULL;
	}
	strm_batch_members(reading, object, path, members, REF_NMEMBERS);
	for (int i = 0; i < REF_NMEMBERS; i++)
	{
		parts[i] = strm_document_string(&reading->document, &members[i], path);
		if (!members[i].present)
			strm_batch_fault(reading, "%s.%s: is missing", path, members[i].name);
		complete = complete && parts[i] != NULL;
	}
	return complete ? psprintf("%s/%s/%s", parts[HANDLE], parts[NAME], parts[VERSION]) : NULL;
}

/* The contract of that ref, compiled in the current context; NULL when there is none. */
static StrmContract *
strm_batch_find_contract(StrmBatchReading *reading, const char *ref, const char *where)
{
	StrmContract *contract;
	StrmContractRow row;
	char	   *handle;
	char	   *name;
	char	   *version;

	if (!strm_contract_split_ref(ref, &handle, &name, &version))
	{
		strm_batch_fault(reading, "%s: \"%s\" is not a reference to a data contract, which is handle/name/1.0.0", where,
						 ref);
		return NULL;
	}
	if (!strm_catalog_contract_row(handle, name, version, &row))
	{
		strm_batch_fault(reading, "%s: data contract \"%s\" does not exist", where, ref);
		return NULL;
	}
	if (row.state != STRM_CONTRACT_ACTIVE)
		strm_batch_fault(reading, "%s: data contract \"%s\" is not active, but %s", where, ref,
						 strm_catalog_contract_state_name(row.state));
	contract = strm_contract_compile(row.schema, row.contract);
	contract->id = row.id;
	contract->handle = handle;
	contract->name = name;
	contract->version = version;
	contract->state = row.state;
	return contract;
}

/* event_contract_ref or data_contract_ref, which are two names of one thing. */
static void
strm_batch_read_contract(StrmBatchReading *reading, const StrmMember *members)
{
	const StrmMember *member = &members[members[DATA_CONTRACT_REF].present ? DATA_CONTRACT_REF : EVENT_CONTRACT_REF];
	char	   *ref;

	if (!member->present)
		strm_batch_fault(reading, "data_contract_ref: is missing");
	else if (members[DATA_CONTRACT_REF].present && members[EVENT_CONTRACT_REF].present)
		strm_batch_fault(reading, "data_contract_ref: only one of it and event_contract_ref can be given");
	else
	{
		ref = member->value.type == jbvString ? strm_document_string(&reading->document, member, "") :
			strm_batch_read_ref_object(reading, member);
		if (ref != NULL)
			reading->job->contract = strm_batch_find_contract(reading, ref, strm_document_path("", member->name));
	}
}

/* {"field", "format", "default_time_zone": {"id"}} */
static void
strm_batch_read_timestamps(StrmBatchReading *reading, JsonbContainer *object, const char *where)
{
	enum
	{
		FIELD, FORMAT, DEFAULT_TIME_ZONE, TIMESTAMP_NMEMBERS
	};
	enum
	{
		ID, ZONE_VERSION, ZONE_NMEMBERS
	};
	StrmMember	members[TIMESTAMP_NMEMBERS] = {
		[FIELD] = {"field"},[FORMAT] = {"format"},[DEFAULT_TIME_ZONE] = {"defaultTimeZone"},
	};
	StrmMember	zone_members[ZONE_NMEMBERS] = {[ID] = {"id"},[ZONE_VERSION] = {"version", true}};
	StrmBatchJob *job = reading->job;
	char	   *zone_path = strm_document_path(where, "defaultTimeZone");
	char	   *format;
	char	   *zone = NULL;
	JsonbContainer *container;
	char	   *fault = NULL;

	strm_batch_members(reading, object, where, members, TIMESTAMP_NMEMBERS);
	job->timestamp_field = strm_document_string(&reading->document, &members[FIELD], where);
	if (!members[FIELD].present)
		strm_batch_fault(reading, "%s.field: is missing", where);
	else if (job->timestamp_field != NULL && strm_names_has_control(job->timestamp_field))
		strm_batch_fault(reading, "%s.field: must not contain control characters", where);

	container = strm_document_object(&reading->document, &members[DEFAULT_TIME_ZONE], where);
	if (container != NULL)
	{
		strm_batch_members(reading, container, zone_path, zone_members, ZONE_NMEMBERS);
		zone = strm_document_string(&reading->document, &zone_members[ID], zone_path);
	}

	format = strm_document_string(&reading->document, &members[FORMAT], where);
	if (format == NULL)
		format = pstrdup(STRM_TIMESTAMP_ISO_8601);
	if (strm_timestamp_format(format, NULL, &fault) == NULL)
		strm_batch_fault(reading, "%s.format: %s", where, fault);
	job->timestamp_format = strm_timestamp_format(zone == NULL ? format : STRM_TIMESTAMP_ISO_8601, zone, &fault);
	if (job->timestamp_format == NULL && zone != NULL)
		strm_batch_fault(reading, "%s.id: %s", zone_path, fault);
	else if (zone != NULL)
		job->timestamp_format = strm_timestamp_format(format, zone, &fault);
}

/* Is text a uuid in the usual spelling? */
static bool
strm_batch_parse_uuid(const char *text, pg_uuid_t *id)
{
	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	}
	*id = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	return true;
}

static void
strm_batch_read_encryption(StrmBatchReading *reading, JsonbContainer *object, const char *where)
{
	enum
	{
		TIMESTAMP_CONFIG, BATCH_JOB_GROUP_ID, ENCRYPTION_NMEMBERS
	};
	StrmMember	members[ENCRYPTION_NMEMBERS] = {
		[TIMESTAMP_CONFIG] = {"timestampConfig"},[BATCH_JOB_GROUP_ID] = {"batchJobGroupId"},
	};
	StrmBatchJob *job = reading->job;
	JsonbContainer *timestamps;
	char	   *group;

	strm_batch_members(reading, object, where, members, ENCRYPTION_NMEMBERS);
	timestamps = strm_document_object(&reading->document, &members[TIMESTAMP_CONFIG], where);
	if (timestamps != NULL)
		strm_batch_read_timestamps(reading, timestamps, strm_document_path(where, "timestampConfig"));
	else if (!members[TIMESTAMP_CONFIG].present)
		strm_batch_fault(reading, "%s.timestamp_config: is missing", where);

	group = strm_document_string(&reading->document, &members[BATCH_JOB_GROUP_ID], where);
	if (group == NULL)
		return;
	if (!strm_batch_parse_uuid(group, &job->group))
		strm_batch_fault(reading, "%s.batch_job_group_id: \"%s\" is not a uuid", where, group);
	else if (strm_catalog_stream(&job->group) != NULL)
		strm_batch_fault(reading, "%s.batch_job_group_id: is the id of a stream", where);
	else
		job->has_group = true;
}

static void
strm_batch_read_policy(StrmBatchReading *reading, const StrmMember *member)
{
	char	   *name = strm_document_string(&reading->document, member, "");
	StrmPolicy	policy;

	if (name == NULL)
		return;
	if (!strm_catalog_policy_find(name, &policy))
		strm_batch_fault(reading, "policy_id: policy \"%s\" does not exist", name);
	else if (policy.state != STRM_POLICY_ACTIVE)
		strm_batch_fault(reading, "policy_id: policy \"%s\" is not active, but %s", name,
						 strm_catalog_policy_state_name(policy.state));
	reading->job->policy = name;
}

/* Members that are nothing but {"target": place}. */
static bool
strm_batch_read_output(StrmBatchReading *reading, const StrmMember *member, StrmBatchRole role, StrmBatchPlace *place)
{
	JsonbContainer *object = strm_document_object(&reading->document, member, "");

	return object != NULL &&
		strm_batch_read_target(reading, object, strm_document_path("", member->name), role, place);
}

static void
strm_batch_read_outputs(StrmBatchReading *reading, const StrmMember *members)
{
	StrmBatchJob *job = reading->job;
	JsonbContainer *derived = strm_document_array(&reading->document, &members[DERIVED_DATA], "");
	int64		max_rejects = 0;

	job->has_encrypted = strm_batch_read_output(reading, &members[ENCRYPTED_DATA], STRM_BATCH_ENCRYPTED,
												&job->encrypted);
	job->has_keys = strm_batch_read_output(reading, &members[ENCRYPTION_KEYS_DATA], STRM_BATCH_KEYS, &job->keys);
	job->has_rejects = strm_batch_read_output(reading, &members[REJECTS], STRM_BATCH_REJECTS, &job->rejects);
	if (derived != NULL)
		strm_batch_read_derived(reading, derived, strm_document_path("", "derivedData"));

	if (members[MAX_REJECTS].present &&
		!strm_document_integer(&members[MAX_REJECTS].value, PG_INT64_MAX, &max_rejects))
		strm_batch_fault(reading, "max_rejects: must be an integer from 0 up");
	job->max_rejects = max_rejects;
	if (!members[ENCRYPTED_DATA].present && !members[ENCRYPTION_KEYS_DATA].present &&
		(derived == NULL ? !members[DERIVED_DATA].present : job->nderived == 0))
		strm_batch_fault(reading, "encrypted_data: is missing, and so are encryption_keys_data and derived_data: "
						 "the job would write nothing");
}

/* The name, with its schema, of the table of this database that relation means, or that a new table would get. */
static const char *
strm_batch_full_name(const char *relation)
{
	List	   *names;
	Oid			relid;
	Oid			schema;

	if (!SplitIdentifierString(pstrdup(relation), '.', &names) || list_length(names) != 1)
		return relation;
	relid = RangeVarGetRelid(makeRangeVar(NULL, linitial(names), -1), NoLock, true);
	if (OidIsValid(relid))
		schema = get_rel_namespace(relid);
	else
	{
		List	   *path = fetch_search_path(false);

		schema = path == NIL ? InvalidOid : linitial_oid(path);
	}
	if (!OidIsValid(schema))
		return relation;
	return quote_qualified_identifier(get_namespace_name(schema), linitial(names));
}

/*
 * Are both the same file or table? Only of this database it is known what a name without a schema means, and not that a
 * connector leads to this database.
 */
static bool
strm_batch_same_place(const StrmBatchPlace *a, const StrmBatchPlace *b)
{
	if ((a->connector == NULL) != (b->connector == NULL) ||
		(a->connector != NULL && strcmp(a->connector, b->connector) != 0))
		return false;
	if (a->path != NULL && b->path != NULL)
		return strcmp(a->path, b->path) == 0;
	if (a->relation == NULL || b->relation == NULL)
		return false;
	if (a->connector != NULL)
		return strcmp(a->relation, b->relation) == 0;
	return strcmp(strm_batch_full_name(a->relation), strm_batch_full_name(b->relation)) == 0;
}

/* No two outputs are in the same place, and none is in the source's. */
static void
strm_batch_check_places(StrmBatchReading *reading)
{
	StrmBatchJob *job = reading->job;
	const StrmBatchPlace *places[STRM_BATCH_MAX_DERIVED + 4];
	int			n = 0;

	places[n++] = &job->source;
	if (job->has_encrypted)
		places[n++] = &job->encrypted;
	if (job->has_keys)
		places[n++] = &job->keys;
	if (job->has_rejects)
		places[n++] = &job->rejects;
	for (int i = 0; i < job->nderived; i++)
		places[n++] = &job->derived[i].target;

	for (int i = 1; i < n; i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (strm_batch_same_place(places[i], places[j]))
			{
				strm_batch_fault(reading, "%s: is the same place as %s", places[i]->member, places[j]->member);
				break;
			}
		}
	}
}

/* The keys of a stream's rows are the stream's: they follow its policy. */
static void
strm_batch_check_stream(StrmBatchReading *reading)
{
	StrmBatchJob *job = reading->job;

	if (job->encrypted.stream == NULL)
		return;
	if (job->has_group)
		strm_batch_fault(reading, "encryption.batch_job_group_id: rows of a stream have the stream's keys");
	if (job->policy != NULL)
		strm_batch_fault(reading, "policy_id: rows of a stream have the stream's keys, and those its policy");
}

/* The names in list, each once. */
static void
strm_batch_list_ignored(char *list, StringInfo ignored)
{
	List	   *seen = NIL;
	char	   *state;

	for (char *name = strtok_r(list, ", ", &state); name != NULL; name = strtok_r(NULL, ", ", &state))
	{
		ListCell   *cell;
		bool		known = false;

		foreach(cell, seen)
			known = known || strcmp(lfirst(cell), name) == 0;
		if (known)
			continue;
		seen = lappend(seen, name);
		appendStringInfo(ignored, "%s%s", ignored->len > 0 ? ", " : "", name);
	}
}

static void
strm_batch_read_job(StrmBatchReading *reading, JsonbContainer *object)
{
	StrmMember	members[NMEMBERS] = {
		[SOURCE_DATA] = {"sourceData"},[CONSENT] = {"consent"},[ENCRYPTION] = {"encryption"},
		[EVENT_CONTRACT_REF] = {"eventContractRef"},[DATA_CONTRACT_REF] = {"dataContractRef"},
		[ENCRYPTED_DATA] = {"encryptedData"},[ENCRYPTION_KEYS_DATA] = {"encryptionKeysData"},
		[DERIVED_DATA] = {"derivedData"},[POLICY_ID] = {"policyId"},
		[REJECTS] = {"rejects"},[MAX_REJECTS] = {"maxRejects"},
		[REF] = {"ref", true},[STATES] = {"states", true},[BILLING_ID] = {"billingId", true},
		[PROJECT_ID] = {"projectId", true},
	};
	JsonbContainer *source;
	JsonbContainer *encryption;

	strm_batch_members(reading, object, "", members, NMEMBERS);
	strm_batch_read_contract(reading, members);
	source = strm_document_object(&reading->document, &members[SOURCE_DATA], "");
	if (source != NULL)
		strm_batch_read_place(reading, source, "source_data", STRM_BATCH_SOURCE, &reading->job->source);
	else if (!members[SOURCE_DATA].present)
		strm_batch_fault(reading, "source_data: is missing");
	strm_batch_read_consent(reading, strm_document_object(&reading->document, &members[CONSENT], ""), "consent");
	encryption = strm_document_object(&reading->document, &members[ENCRYPTION], "");
	if (encryption != NULL)
		strm_batch_read_encryption(reading, encryption, "encryption");
	else if (!members[ENCRYPTION].present)
		strm_batch_fault(reading, "encryption.timestamp_config: is missing");
	strm_batch_read_policy(reading, &members[POLICY_ID]);
	strm_batch_read_outputs(reading, members);
	strm_batch_check_places(reading);
	strm_batch_check_stream(reading);
}

StrmBatchJob *
strm_batch_job_read(Jsonb *document, Jsonb *seeds, StrmFaults *faults, StringInfo ignored)
{
	StrmBatchReading reading = {.document = {.faults = faults, .by_path = true}, .seeds = seeds};

	reading.job = palloc0(sizeof(StrmBatchJob));
	initStringInfo(&reading.document.ignored);
	if (JB_ROOT_IS_OBJECT(document))
		strm_batch_read_job(&reading, &document->root);
	else
		strm_batch_fault(&reading, "the job must be a JSON object");
	strm_batch_list_ignored(reading.document.ignored.data, ignored);
	return faults->count > 0 ? NULL : reading.job;
}
