/*
 * exporter_rights.c
 *	  May somebody publish a stream to a Kafka cluster, or export it, or its keys, to files?
 *
 *	  Asked when an exporter is created and again while it runs, for its owner: rights may have been taken away
 *	  meanwhile. Rows come out of the WAL, past row security: so whom row security applies to may not publish.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "catalog/cache.h"
#include "catalog/derived_stream.h"
#include "catalog/registry.h"
#include "catalog/stream.h"
#include "export/exporter.h"
#include "strm_privacy.h"

static bool
strm_exporter_has_role(Oid role, const char *name)
{
	Oid			wanted = get_role_oid(name, true);

	return superuser_arg(role) || (OidIsValid(wanted) && has_privs_of_role(role, wanted));
}

/* Why a role may not read a relation as a whole, or NULL. */
static const char *
strm_exporter_refusal_to_read(Oid role, Oid relid)
{
	if (get_rel_name(relid) == NULL)
		return "its stream was dropped";
	if (pg_class_aclcheck(relid, role, ACL_SELECT) != ACLCHECK_OK)
		return psprintf("role \"%s\" has no SELECT on %s", GetUserNameFromId(role, false),
						strm_catalog_relation_name(relid));
	if (check_enable_rls(relid, role, true) == RLS_ENABLED)
		return psprintf("row security of %s applies to role \"%s\", and exporters publish all rows",
						strm_catalog_relation_name(relid), GetUserNameFromId(role, false));
	return NULL;
}

/* A derived stream is for approvers; what row security of its source would hide from its own owner stays hidden. */
static const char *
strm_exporter_refusal_of_derived(Oid role, const pg_uuid_t *id)
{
	const StrmDerivedStream *derived = strm_catalog_derived_stream(id);
	const char *refusal;

	if (derived == NULL)
		return "its derived stream was dropped";
	if (!strm_exporter_has_role(role, "strm_approver"))
		return psprintf("role \"%s\" needs role strm_approver, which exporters of derived streams are for",
						GetUserNameFromId(role, false));
	refusal = strm_exporter_refusal_to_read(role, derived->relid);
	if (refusal == NULL && get_rel_name(derived->stream->relid) != NULL)
		refusal = strm_exporter_refusal_to_read(strm_catalog_relation_owner(derived->relid), derived->stream->relid);
	return refusal;
}

static const char *
strm_exporter_refusal_of_stream(Oid role, const pg_uuid_t *id)
{
	const StrmStream *stream = strm_catalog_stream(id);

	if (stream == NULL || get_rel_name(stream->relid) == NULL)
		return "its stream was dropped";
	if (!has_privs_of_role(role, strm_catalog_relation_owner(stream->relid)) &&
		!strm_exporter_has_role(role, "strm_member") && !strm_exporter_has_role(role, "strm_approver") &&
		!strm_exporter_has_role(role, "strm_admin"))
		return psprintf("role \"%s\" needs role strm_member, or to be the owner of the stream",
						GetUserNameFromId(role, false));
	return strm_exporter_refusal_to_read(role, stream->relid);
}

const char *
strm_exporter_refusal_of_source(Oid owner, const pg_uuid_t *stream, const pg_uuid_t *derived)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		return "its owner was dropped";
	return derived != NULL ? strm_exporter_refusal_of_derived(owner, derived)
		: strm_exporter_refusal_of_stream(owner, stream);
}

const char *
strm_exporter_refusal_of_keys(Oid owner, const pg_uuid_t *id)
{
	const StrmStream *stream = strm_catalog_stream(id);

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		return "its owner was dropped";
	if (stream == NULL || get_rel_name(stream->relid) == NULL)
		return "its stream was dropped";
	if (!strm_exporter_has_role(owner, "strm_key_exporter"))
		return psprintf("role \"%s\" needs role strm_key_exporter, which exporters of keys are for",
						GetUserNameFromId(owner, false));
	if (has_privs_of_role(owner, strm_catalog_relation_owner(stream->relid)) ||
		pg_class_aclcheck(stream->relid, owner, ACL_SELECT) == ACLCHECK_OK)
		return NULL;
	return psprintf("role \"%s\" has no SELECT on %s", GetUserNameFromId(owner, false),
					strm_catalog_relation_name(stream->relid));
}

bool
strm_kafka_cluster_is_usable(const StrmKafkaCluster *cluster, Oid role)
{
	StrmRegistryArgs args = {0};
	StrmRegistryRows *grantees;

	if (has_privs_of_role(role, cluster->owner) || strm_exporter_has_role(role, "strm_admin"))
		return true;
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&cluster->id), false);
	grantees = strm_registry_select("SELECT grantee::oid FROM strm.kafka_cluster_user WHERE cluster_id = $1",
									STRM_REGISTRY_ARGS(&args));
	for (uint64 i = 0; i < grantees->n; i++)
	{
		if (has_privs_of_role(role, DatumGetObjectId(grantees->values[i])))
			return true;
	}
	return false;
}

const char *
strm_exporter_refusal(const StrmKafkaExporter *exporter)
{
	const char *refusal = strm_exporter_refusal_of_source(exporter->owner, &exporter->stream,
														  exporter->is_derived ? &exporter->derived : NULL);
	const StrmKafkaCluster *cluster;

	if (refusal != NULL)
		return refusal;
	cluster = strm_kafka_cluster_by_id(&exporter->cluster);
	if (cluster == NULL)
		return "its Kafka cluster was dropped";
	if (!strm_kafka_cluster_is_usable(cluster, exporter->owner))
		return psprintf("role \"%s\" may not use Kafka cluster \"%s\" any more",
						GetUserNameFromId(exporter->owner, false), cluster->name);
	return NULL;
}
