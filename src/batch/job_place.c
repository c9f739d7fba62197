/*
 * job_place.c
 *	  Where a batch job reads and writes: {"data_connector_ref", "path_prefix", "file_name", "data_type"} as in STRM's
 *	  configurations, and the stream, table or query that this platform adds.
 *
 *	  Rights are not looked at here, and nothing outside the database is reached.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "batch/job_private.h"
#include "catalog/stream.h"
#include "connect/connector.h"
#include "contract/names.h"
#include "format/gzip.h"
#include "strm_privacy.h"

#define STRM_BATCH_PREFIX_MAX 900
#define STRM_BATCH_NAME_MAX 100

enum
{
	DATA_CONNECTOR_REF, PATH_PREFIX, FILE_NAME, DATA_TYPE, STREAM, TABLE, QUERY, OVERWRITE, NMEMBERS
};

void
strm_batch_members(StrmBatchReading *reading, JsonbContainer *object, const char *where, StrmMember *members,
				   int nmembers)
{
	strm_document_members(&reading->document, object, where, members, nmembers);
	for (int i = 0; i < nmembers; i++)
	{
		if (members[i].present && members[i].value.type == jbvString && members[i].value.val.string.len == 0)
			members[i].present = false;
	}
}

/* {"name": "..."}; billing and project ids have no meaning here. */
static char *
strm_batch_read_connector(StrmBatchReading *reading, const StrmMember *member, const char *where)
{
	enum
	{
		NAME, BILLING_ID, PROJECT_ID, REF_NMEMBERS
	};
	StrmMember	members[REF_NMEMBERS] = {
		[NAME] = {"name"},[BILLING_ID] = {"billingId", true},[PROJECT_ID] = {"projectId", true},
	};
	JsonbContainer *object = strm_document_object(&reading->document, member, where);
	char	   *path = strm_document_path(where, member->name);
	char	   *name;

	if (object == NULL)
		return NULL;
	strm_batch_members(reading, object, path, members, REF_NMEMBERS);
	name = strm_document_string(&reading->document, &members[NAME], path);
	if (!members[NAME].present)
		strm_batch_fault(reading, "%s.name: is missing", path);
	else if (name != NULL && (pg_mbstrlen(name) > STRM_BATCH_NAME_MAX || strm_names_has_control(name)))
		strm_batch_fault(reading, "%s.name: must have 1 to %d characters, none of them a control character", path,
						 STRM_BATCH_NAME_MAX);
	return name;
}

/* The prefix, "" when there is none; NULL when it is a fault. */
static char *
strm_batch_read_prefix(StrmBatchReading *reading, const StrmMember *member, const char *where)
{
	char	   *prefix = strm_document_string(&reading->document, member, where);
	char	   *path = strm_document_path(where, member->name);
	int			count = reading->document.faults->count;
	Size		size;

	if (prefix == NULL)
		return pstrdup("");
	size = strlen(prefix);
	if (size > STRM_BATCH_PREFIX_MAX)
		strm_batch_fault(reading, "%s: must have at most %d bytes", path, STRM_BATCH_PREFIX_MAX);
	else if (prefix[size - 1] == '/')
		strm_batch_fault(reading, "%s: must not end in a slash", path);
	else if (strstr(prefix, ".well-known/acme-challenge") != NULL)
		strm_batch_fault(reading, "%s: must not contain .well-known/acme-challenge", path);
	else
		(void) strm_connector_check_path(prefix, psprintf("%s:", path), reading->document.faults);
	return reading->document.faults->count > count ? NULL : prefix;
}

/* A file of a store. */
static void
strm_batch_read_file(StrmBatchReading *reading, const StrmMember *members, const char *where, StrmBatchPlace *place)
{
	char	   *name = strm_document_string(&reading->document, &members[FILE_NAME], where);
	char	   *prefix = strm_batch_read_prefix(reading, &members[PATH_PREFIX], where);
	char	   *what = psprintf("%s:", strm_document_path(where, "fileName"));

	if (!members[DATA_CONNECTOR_REF].present)
		strm_batch_fault(reading, "%s: is missing", strm_document_path(where, "dataConnectorRef"));
	if (name == NULL || !strm_connector_check_path(name, what, reading->document.faults) || prefix == NULL)
		return;

	/* each part is good; together they may be too long */
	place->prefix = prefix;
	place->path = prefix[0] == '\0' ? name : psprintf("%s/%s", prefix, name);
	if (prefix[0] != '\0')
		(void) strm_connector_check_path(place->path, what, reading->document.faults);
	place->format.gzip = strm_gzip_by_name(name);
}

/* Splits a possibly qualified SQL name; *schema is NULL when it is not. false when it is no name. */
static bool
strm_batch_split_name(const char *text, char **schema, char **name)
{
	List	   *parts;

	if (!SplitIdentifierString(pstrdup(text), '.', &parts) || list_length(parts) < 1 || list_length(parts) > 2)
		return false;
	*schema = list_length(parts) == 2 ? linitial(parts) : NULL;
	*name = llast(parts);
	return true;
}

static void
strm_batch_read_table(StrmBatchReading *reading, const StrmMember *member, const char *where, StrmBatchPlace *place)
{
	char	   *table = strm_document_string(&reading->document, member, where);
	char	   *schema;
	char	   *name;

	if (table == NULL)
		return;
	if (strm_batch_split_name(table, &schema, &name))
		place->relation = quote_qualified_identifier(schema, name);
	else
		strm_batch_fault(reading, "%s: \"%s\" is not the name of a table", strm_document_path(where, member->name),
						 table);
}

/* The stream of that name; NULL when there is none that the user may see. */
static StrmStream *
strm_batch_find_stream(const char *text)
{
	char	   *schema;
	char	   *name;
	Oid			namespace;
	Oid			relid = InvalidOid;

	if (!strm_batch_split_name(text, &schema, &name))
		return NULL;
	if (schema == NULL)
		relid = RelnameGetRelid(name);
	else
	{
		namespace = get_namespace_oid(schema, true);
		if (OidIsValid(namespace) && strm_schema_aclcheck(namespace, GetUserId(), ACL_USAGE) == ACLCHECK_OK)
			relid = get_relname_relid(name, namespace);
	}
	return OidIsValid(relid) ? strm_catalog_stream_of(relid) : NULL;
}

/* The stream that the records become rows of: of the job's contract. */
static void
strm_batch_read_stream(StrmBatchReading *reading, const StrmMember *member, const char *where, StrmBatchPlace *place)
{
	const StrmContract *contract = reading->job->contract;
	char	   *text = strm_document_string(&reading->document, member, where);
	char	   *path = strm_document_path(where, member->name);
	StrmStream *stream;

	if (text == NULL)
		return;
	stream = strm_batch_find_stream(text);
	if (stream == NULL)
	{
		strm_batch_fault(reading, "%s: \"%s\" is not a stream", path, text);
		return;
	}
	if (contract != NULL && stream->contract->id != contract->id)
		strm_batch_fault(reading, "%s: the data contract of \"%s\" is %s, not the job's", path, text,
						 strm_contract_ref(stream->contract));
	place->stream = quote_qualified_identifier(get_namespace_name(get_rel_namespace(stream->relid)),
											   get_rel_name(stream->relid));
}

/* Exactly one thing is named, and it is one that can be in this role. */
static bool
strm_batch_check_kind(StrmBatchReading *reading, const StrmMember *members, const char *where, StrmBatchRole role,
					  const StrmBatchPlace *place)
{
	int			count = members[FILE_NAME].present + members[STREAM].present + members[TABLE].present +
		members[QUERY].present + (place->relation != NULL || place->query != NULL); /* the last by data_type */
	const char *kinds = role == STRM_BATCH_SOURCE ? "file_name, table and query" :
		role == STRM_BATCH_ENCRYPTED ? "file_name, table and stream" : "file_name and table";

	if (members[STREAM].present && role != STRM_BATCH_ENCRYPTED)
		strm_batch_fault(reading, "%s.stream: only encrypted_data can go to a stream", where);
	else if (members[QUERY].present && role != STRM_BATCH_SOURCE)
		strm_batch_fault(reading, "%s.query: only source_data can be a query", where);
	else if (count == 0)
		strm_batch_fault(reading, "%s: one of %s is needed", where, kinds);
	else if (count > 1)
		strm_batch_fault(reading, "%s: only one of %s can be given", where, kinds);
	else
		return true;
	return false;
}

/* Members that mean nothing for a place of this kind. */
static void
strm_batch_check_others(StrmBatchReading *reading, const StrmMember *members, const char *where, StrmBatchRole role,
						const StrmBatchPlace *place)
{
	if (!members[FILE_NAME].present && members[PATH_PREFIX].present)
		strm_batch_fault(reading, "%s: is for files only", strm_document_path(where, "pathPrefix"));
	if ((members[TABLE].present || members[STREAM].present || members[QUERY].present) && members[DATA_TYPE].present)
		strm_batch_fault(reading, "%s: is for files only", strm_document_path(where, "dataType"));
	if (members[STREAM].present && members[DATA_CONNECTOR_REF].present)
		strm_batch_fault(reading, "%s: a stream is in this database, not behind a data connector",
						 strm_document_path(where, "dataConnectorRef"));
	if (members[OVERWRITE].present && (role == STRM_BATCH_SOURCE || members[STREAM].present))
		strm_batch_fault(reading, "%s.overwrite: is for files and tables that are written", where);
	if (role == STRM_BATCH_KEYS && place->relation != NULL && place->connector == NULL)
		strm_batch_fault(reading, "%s: keys cannot be in a table of this database, beside what they decrypt", where);
}

void
strm_batch_read_place(StrmBatchReading *reading, JsonbContainer *object, const char *where, StrmBatchRole role,
					  StrmBatchPlace *place)
{
	StrmMember	members[NMEMBERS] = {
		[DATA_CONNECTOR_REF] = {"dataConnectorRef"},[PATH_PREFIX] = {"pathPrefix"},[FILE_NAME] = {"fileName"},
		[DATA_TYPE] = {"dataType"},[STREAM] = {"stream"},[TABLE] = {"table"},[QUERY] = {"query"},
		[OVERWRITE] = {"overwrite"},
	};
	JsonbContainer *data_type;

	place->member = pstrdup(where);
	place->prefix = pstrdup("");
	strm_batch_members(reading, object, where, members, NMEMBERS);
	place->connector = strm_batch_read_connector(reading, &members[DATA_CONNECTOR_REF], where);
	place->overwrite = strm_document_bool(&reading->document, &members[OVERWRITE], where);
	data_type = strm_document_object(&reading->document, &members[DATA_TYPE], where);
	if (data_type != NULL)
		strm_batch_read_data_type(reading, data_type, strm_document_path(where, "dataType"), role, place);

	if (!strm_batch_check_kind(reading, members, where, role, place))
		return;
	if (members[STREAM].present)
		strm_batch_read_stream(reading, &members[STREAM], where, place);
	else if (members[TABLE].present)
		strm_batch_read_table(reading, &members[TABLE], where, place);
	else if (members[QUERY].present)
		place->query = strm_document_string(&reading->document, &members[QUERY], where);
	else if (place->relation == NULL && place->query == NULL)
		strm_batch_read_file(reading, members, where, place);
	strm_batch_check_others(reading, members, where, role, place);
}

bool
strm_batch_read_target(StrmBatchReading *reading, JsonbContainer *object, const char *where, StrmBatchRole role,
					   StrmBatchPlace *place)
{
	StrmMember	target = {"target"};
	JsonbContainer *container;

	strm_batch_members(reading, object, where, &target, 1);
	container = strm_document_object(&reading->document, &target, where);
	if (container != NULL)
		strm_batch_read_place(reading, container, strm_document_path(where, target.name), role, place);
	else if (!target.present)
		strm_batch_fault(reading, "%s.target: is missing", where);
	return container != NULL;
}
