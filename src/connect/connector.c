/*
 * connector.c
 *	  Data connectors: the kinds that there are, rows of strm.data_connector, who may use them, and what holds for all
 *	  kinds.
 *
 *	  A row that is read is locked against being dropped to the end of the transaction (FOR KEY SHARE): so a job that is
 *	  being created is seen by whoever drops its connector, and altering a connector does not wait for jobs.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "catalog/registry.h"
#include "common/errors.h"
#include "connect/azure.h"
#include "connect/connector.h"
#include "connect/database.h"
#include "connect/directory.h"
#include "connect/s3.h"
#include "keys/wrapped_json.h"
#include "strm_privacy.h"

#define STRM_CONNECTOR_PATH_MAX 1024
#define STRM_CONNECTOR_PART_MAX 255

/* Alphabetical; a kind is one line here. */
static const StrmConnectorKind *const kinds[] = {
	&strm_azure_kind,
	&strm_database_kind,
	&strm_directory_kind,
	&strm_gcs_kind,
	&strm_s3_kind,
};

const StrmConnectorKind *
strm_connector_kind(const char *name)
{
	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	}
	return NULL;
}

const char *
strm_connector_kinds(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(kinds); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", kinds[i]->name);
	return names.data;
}

static bool
strm_connector_role_is_admin(Oid role)
{
	Oid			admin = get_role_oid("strm_admin", true);

	return superuser_arg(role) || (OidIsValid(admin) && has_privs_of_role(role, admin));
}

bool
strm_connector_is_admin(void)
{
	return strm_connector_role_is_admin(GetUserId());
}

/* Columns of a row as strm_connector_select() gets it. */
enum
{
	CONNECTOR_ID, CONNECTOR_NAME, CONNECTOR_OWNER, CONNECTOR_KIND, CONNECTOR_LOCATION, CONNECTOR_CREDENTIALS,
	CONNECTOR_TRUSTED
};

#define STRM_CONNECTOR_SELECT \
	"SELECT id, name, owner::oid, kind, location, credentials, trusted FROM strm.data_connector WHERE "

bytea *
strm_connector_wrap(const pg_uuid_t *id, Jsonb *credentials)
{
	return strm_wrapped_json_make(STRM_SECRET_CREDENTIALS, id, credentials);
}

/* The only row of a statement that begins with STRM_CONNECTOR_SELECT, or NULL; for strm_connector_of_row(). */
static StrmRegistryRows *
strm_connector_select(const char *sql, Oid type, Datum value)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *rows;

	strm_registry_add(&args, type, value, false);
	rows = strm_registry_select(sql, STRM_REGISTRY_ARGS(&args));
	return rows->n == 0 ? NULL : rows;
}

static StrmConnector *
strm_connector_of_row(const StrmRegistryRows *row, bool credentials)
{
	StrmConnector *connector = palloc0(sizeof(StrmConnector));
	char	   *kind = TextDatumGetCString(row->values[CONNECTOR_KIND]);

	connector->id = *DatumGetUUIDP(row->values[CONNECTOR_ID]);
	connector->name = TextDatumGetCString(row->values[CONNECTOR_NAME]);
	connector->kind = strm_connector_kind(kind);
	if (connector->kind == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("data connector \"%s\" is of kind \"%s\", which this version does not know",
					   connector->name, kind));
	connector->location = DatumGetJsonbPCopy(row->values[CONNECTOR_LOCATION]);
	if (credentials && !row->nulls[CONNECTOR_CREDENTIALS])
		connector->credentials = strm_wrapped_json_open(STRM_SECRET_CREDENTIALS, &connector->id,
														DatumGetByteaP(row->values[CONNECTOR_CREDENTIALS]));
	connector->trusted = DatumGetBool(row->values[CONNECTOR_TRUSTED]);
	return connector;
}

/* The row of that name; raises 42704. */
static StrmRegistryRows *
strm_connector_row(const char *sql, const char *name)
{
	StrmRegistryRows *row = strm_connector_select(sql, TEXTOID, CStringGetTextDatum(name));

	if (row == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_UNDEFINED),
				errmsg("data connector \"%s\" does not exist", name),
				errhint("strm.data_connectors lists the data connectors."));
	return row;
}

/* Is a role the connector's owner, or has its rights? */
static bool
strm_connector_is_owner(const StrmRegistryRows *row, Oid role)
{
	return has_privs_of_role(role, DatumGetObjectId(row->values[CONNECTOR_OWNER])) ||
		strm_connector_role_is_admin(role);
}

/* Has a role the rights of one that it was granted to? */
static bool
strm_connector_is_granted(const StrmRegistryRows *row, Oid role)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *grantees;

	strm_registry_add(&args, UUIDOID, row->values[CONNECTOR_ID], false);
	grantees = strm_registry_select("SELECT grantee::oid FROM strm.data_connector_user WHERE connector_id = $1",
									STRM_REGISTRY_ARGS(&args));
	for (uint64 i = 0; i < grantees->n; i++)
	{
		if (has_privs_of_role(role, DatumGetObjectId(grantees->values[i])))
			return true;
	}
	return false;
}

StrmConnector *
strm_connector_find(const char *name)
{
	StrmRegistryRows *row = strm_connector_row(STRM_CONNECTOR_SELECT "name = $1 FOR KEY SHARE", name);

	if (!strm_connector_is_owner(row, GetUserId()) && !strm_connector_is_granted(row, GetUserId()))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("permission denied for data connector \"%s\"", name),
				errhint("Its owner or strm_admin may call strm.grant_data_connector()."));
	return strm_connector_of_row(row, true);
}

StrmConnector *
strm_connector_manage(const char *name, bool credentials)
{
	StrmRegistryRows *row = strm_connector_row(STRM_CONNECTOR_SELECT "name = $1 FOR NO KEY UPDATE", name);

	if (!strm_connector_is_owner(row, GetUserId()))
		ereport(ERROR,
				errcode(STRM_ERR_PRIVILEGE),
				errmsg("must be owner of data connector \"%s\", or have role strm_admin", name));
	return strm_connector_of_row(row, credentials);
}

StrmConnector *
strm_connector_by_id(const pg_uuid_t *id)
{
	StrmRegistryRows *row = strm_connector_select(STRM_CONNECTOR_SELECT "id = $1", UUIDOID, UUIDPGetDatum(id));

	return row == NULL ? NULL : strm_connector_of_row(row, true);
}

const char *
strm_connector_refusal(const pg_uuid_t *id, Oid role)
{
	StrmRegistryRows *row = strm_connector_select(STRM_CONNECTOR_SELECT "id = $1", UUIDOID, UUIDPGetDatum(id));

	if (row == NULL)
		return "its data connector was dropped";
	if (strm_connector_is_owner(row, role) || strm_connector_is_granted(row, role))
		return NULL;
	return psprintf("role \"%s\" may not use data connector \"%s\" any more", GetUserNameFromId(role, false),
					TextDatumGetCString(row->values[CONNECTOR_NAME]));
}

/* Does text have a member of a query string, or of a list of settings, of that name? */
static bool
strm_connector_has_parameter(const char *text, const char *name)
{
	size_t		size = strlen(name);

	for (const char *p = text; *p != '\0'; p++)
	{
		if (pg_strncasecmp(p, name, size) == 0 && p[size] == '=' && (p == text || strchr("?&;, ", p[-1]) != NULL))
			return true;
	}
	return false;
}

/* Is it a URI or a connection string with a password, or a signed one? */
static bool
strm_connector_holds_secret(const char *text)
{
	static const char *const names[] = {
		"password", "sslpassword", "sig", "X-Amz-Signature", "X-Goog-Signature", "AccountKey"
	};
	const char *authority = strstr(text, "://");

	if (authority != NULL)
	{
		size_t		size = strcspn(authority + 3, "/?#");
		const char *at = memchr(authority + 3, '@', size);

		if (at != NULL && memchr(authority + 3, ':', at - (authority + 3)) != NULL)
			return true;
	}
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strm_connector_has_parameter(text, names[i]))
			return true;
	}
	return false;
}

/* A fault when any string of the location holds a secret. */
static void
strm_connector_check_secrets(const StrmConnector *connector, StrmFaults *faults)
{
	JsonbIterator *iterator = JsonbIteratorInit(&connector->location->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			strm_connector_holds_secret(pnstrdup(value.val.string.val, value.val.string.len)))
		{
			strm_faults_add(faults, "the location holds a password or signature, and everybody can see it");
			return;
		}
	}
}

void
strm_connector_check(const StrmConnector *connector, StrmFaults *faults)
{
	if (!JB_ROOT_IS_OBJECT(connector->location))
		strm_faults_add(faults, "the location must be a JSON object");
	if (connector->credentials != NULL && !JB_ROOT_IS_OBJECT(connector->credentials))
		strm_faults_add(faults, "the credentials must be a JSON object");
	if (faults->count > 0)
		return;
	strm_connector_check_secrets(connector, faults);
	connector->kind->check_definition(connector, faults);
}

void
strm_connector_raise(StrmFaults *faults, const char *name)
{
	strm_faults_raise(faults, STRM_ERR_ARGUMENT, psprintf("data connector \"%s\" is not valid", name),
					  "Passwords, keys and signatures belong in credentials, which are stored encrypted.");
}

/* What is wrong with a path, or NULL. */
static const char *
strm_connector_path_fault(const char *path)
{
	if (path[0] == '\0')
		return "is empty";
	if (strlen(path) > STRM_CONNECTOR_PATH_MAX)
		return "is longer than 1024 bytes";
	for (const char *p = path; *p != '\0'; p++)
	{
		if (!(*p >= 'A' && *p <= 'Z') && !(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') &&
			strchr("-._~/", *p) == NULL)
			return "may only have the characters A-Z a-z 0-9 - . _ ~ and /";
	}
	for (const char *part = path;; part++)
	{
		size_t		size = strcspn(part, "/");

		if (size == 0)
			return "begins or ends with /, or has two in a row";
		if (size > STRM_CONNECTOR_PART_MAX)
			return "has a part of more than 255 bytes";
		if (strncmp(part, "..", size) == 0 && size <= 2)
			return "must not have . or .. as a part";
		part += size;
		if (*part == '\0')
			break;
	}
	/* reserved by Google Cloud Storage */
	if (strncmp(path, ".well-known/acme-challenge", strlen(".well-known/acme-challenge")) == 0)
		return "must not begin with .well-known/acme-challenge";
	return NULL;
}

bool
strm_connector_check_path(const char *path, const char *what, StrmFaults *faults)
{
	const char *fault = strm_connector_path_fault(path);

	if (fault != NULL)
		strm_faults_add(faults, "%s %s", what, fault);
	return fault == NULL;
}
