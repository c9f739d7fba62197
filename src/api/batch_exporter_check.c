/*
 * batch_exporter_check.c
 *	  What can be wrong with a batch exporter: intervals, paths, and files of the same names as another one's.
 *
 *	  A file's path is <path_prefix>/2021-03-26T095630Z-stream-<name>---<part>.jsonl: two exporters with equal names
 *	  (as they stand in paths) and prefixes, in one place, would write the same files. Connectors lead to the same place
 *	  when what they are defined by says so; of a directory that is the path with the prefix.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "api/args.h"
#include "api/batch_exporter.h"
#include "catalog/registry.h"
#include "common/errors.h"
#include "strm_privacy.h"

#define STRM_EVERY_MIN 30
#define STRM_EVERY_MAX 3600
#define STRM_PREFIX_MAX 900
#define STRM_PATH_MAX 1024

/* The longest name of a file, around the exporter's. */
#define STRM_FILE_NAME_FORMAT "%s%s2021-03-26T095630Z-stream-%s---2147483647.jsonl.gz"

/* Where files go, as SQL: of a connector's row and a prefix. */
#define STRM_PLACE(c, prefix) \
	"CASE WHEN " c ".kind = 'directory' THEN concat_ws('/', 'directory'," \
	"  nullif(trim(BOTH '/' FROM " c ".location ->> 'path'), ''), nullif(" prefix ", ''))" \
	" ELSE concat_ws('|', " c ".kind, lower(trim(TRAILING '/' FROM " c ".location ->> 'endpoint'))," \
	"  coalesce(" c ".location ->> 'bucketName', " c ".location ->> 'bucket_name')," \
	"  lower(trim(TRAILING '/' FROM coalesce(" c ".location ->> 'storageAccountUri'," \
	"   " c ".location ->> 'storage_account_uri')))," \
	"  coalesce(" c ".location ->> 'containerName', " c ".location ->> 'container_name'), " prefix ") END"

StrmConnector *
strm_batch_exporter_connector(const char *name)
{
	StrmRegistryArgs args = {0};

	strm_registry_add_text(&args, name);
	strm_registry_execute("SELECT FROM strm.data_connector WHERE name = $1 FOR SHARE", STRM_REGISTRY_ARGS(&args));
	return strm_connector_find(name);
}

int
strm_batch_exporter_seconds(const Interval *every, StrmFaults *faults)
{
	if (every->month == 0 && every->day == 0 && every->time >= STRM_EVERY_MIN * USECS_PER_SEC &&
		every->time <= STRM_EVERY_MAX * USECS_PER_SEC && every->time % USECS_PER_SEC == 0)
		return (int) (every->time / USECS_PER_SEC);
	strm_faults_add(faults, "every must be a whole number of seconds, from 30 seconds to 1 hour");
	return 0;
}

void
strm_batch_exporter_check_paths(const StrmBatchExporter *exporter, StrmFaults *faults)
{
	const char *prefix = exporter->path_prefix;
	char	   *longest = psprintf(STRM_FILE_NAME_FORMAT, prefix, prefix[0] == '\0' ? "" : "/",
								   strm_batch_exporter_file_name(exporter->name));

	strm_args_label_fault(exporter->name, "name", 1, STRM_BATCH_EXPORTER_NAME_MAX, faults);
	if (strlen(prefix) > STRM_PREFIX_MAX)
		strm_faults_add(faults, "path_prefix has more than %d bytes", STRM_PREFIX_MAX);
	else if (prefix[0] != '\0')
		(void) strm_connector_check_path(prefix, "path_prefix", faults);
	if (faults->count == 0 && strlen(longest) > STRM_PATH_MAX)
		strm_faults_add(faults, "path_prefix and name together are too long for paths of %d bytes", STRM_PATH_MAX);
}

void
strm_batch_exporter_check_place(const StrmBatchExporter *exporter, StrmFaults *faults)
{
	char	   *name = strm_batch_exporter_file_name(exporter->name);
	StrmRegistryArgs args = {0};
	StrmRegistryRows *others;

	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->connector), false);
	strm_registry_add_text(&args, exporter->path_prefix);
	strm_registry_add(&args, UUIDOID, UUIDPGetDatum(&exporter->id), false);
	strm_registry_add(&args, BOOLOID, BoolGetDatum(exporter->keys), false);
	others = strm_registry_select("SELECT e.name FROM strm.batch_exporter e"
								  " JOIN strm.data_connector c ON c.id = e.connector_id"
								  " JOIN strm.data_connector m ON m.id = $1"
								  " WHERE e.id <> $3 AND e.keys = $4 AND (c.id = $1 AND e.path_prefix = $2 OR "
								  STRM_PLACE("c", "e.path_prefix") " = " STRM_PLACE("m", "$2") ") ORDER BY e.name",
								  STRM_REGISTRY_ARGS(&args));
	for (uint64 i = 0; i < others->n; i++)
	{
		char	   *other = TextDatumGetCString(others->values[i]);

		if (strcmp(strm_batch_exporter_file_name(other), name) == 0)
			strm_faults_add(faults, "batch exporter \"%s\" writes files of the same names to the same place: give"
							" another name or path_prefix", other);
	}
}

void
strm_batch_exporter_lock_places(void)
{
	strm_registry_execute("LOCK TABLE strm.batch_exporter IN SHARE UPDATE EXCLUSIVE MODE", 0, NULL, NULL, NULL);
}

void
strm_batch_exporter_try(StrmConnector *connector, const char *prefix)
{
	StrmStore  *store = connector->kind->open(connector);

	connector->kind->check(store, prefix);
	connector->kind->close(store);
}
