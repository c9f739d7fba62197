/*
 * simple_schema.c
 *	  STRM's Simple Schema in JSON: {"name": ..., "nodes": [{"type": "STRING", "name": ..., "required": ...}, ...]}.
 *
 *	  One level: a NODE, or a node with nodes of its own, is a fault.
 */
#include "postgres.h"

#include "contract/names.h"
#include "contract/schema.h"
#include "strm_privacy.h"

static const struct
{
	const char *name;
	StrmType	type;
}			simple_types[] = {
	{"STRING", STRM_TYPE_STRING},
	{"BOOLEAN", STRM_TYPE_BOOLEAN},
	{"INTEGER", STRM_TYPE_INTEGER},
	{"LONG", STRM_TYPE_LONG},
	{"FLOAT", STRM_TYPE_FLOAT},
};

enum
{
	NODE_TYPE, NODE_NAME, NODE_AVRO_NAME, NODE_REQUIRED, NODE_REPEATED, NODE_DOC, NODE_NODES, NODE_NMEMBERS
};

/* Only Simple Schema has "nodes". */
static bool
strm_simple_schema_detect(JsonbContainer *root)
{
	JsonbValue	value;

	return getKeyJsonValueFromContainer(root, "nodes", strlen("nodes"), &value) != NULL;
}

/*
 * The field's name: avro_name, or name without the characters that an Avro name may not have. NULL and a fault if none.
 */
static char *
strm_simple_schema_name(StrmDocument *document, const StrmMember *members, const char *where)
{
	char	   *name = strm_document_string(document, &members[NODE_NAME], where);
	char	   *avro_name = strm_document_string(document, &members[NODE_AVRO_NAME], where);
	char	   *stripped;

	if (name != NULL && strm_names_has_control(name))
	{
		strm_faults_add(document->faults, "%s: the name holds a control character", where);
		return NULL;
	}
	if (avro_name != NULL)
		return avro_name;
	if (name == NULL)
	{
		if (!members[NODE_NAME].present && !members[NODE_AVRO_NAME].present)
			strm_faults_add(document->faults, "%s: member \"name\" is missing", where);
		return NULL;
	}

	stripped = strm_names_strip(name);
	if (stripped[0] == '\0')
	{
		strm_faults_add(document->faults,
						"%s: nothing of the name \"%s\" is left for a field name; give an \"avroName\"", where, name);
		return NULL;
	}
	return stripped;
}

/* false, and a fault, when the type is missing, unknown or nested. */
static bool
strm_simple_schema_type(StrmDocument *document, const StrmMember *members, const char *where, StrmType *type)
{
	char	   *name = strm_document_string(document, &members[NODE_TYPE], where);
	JsonbContainer *nodes = strm_document_array(document, &members[NODE_NODES], where);

	/* the printed form gives every leaf an empty list */
	if ((nodes != NULL && JsonContainerSize(nodes) > 0) || (name != NULL && strcmp(name, "NODE") == 0))
	{
		strm_faults_add(document->faults, "%s: nested fields are not supported yet", where);
		return false;
	}
	if (name == NULL)
	{
		if (!members[NODE_TYPE].present)
			strm_faults_add(document->faults, "%s: member \"type\" is missing", where);
		return false;
	}
	for (int i = 0; i < lengthof(simple_types); i++)
	{
		if (strcmp(simple_types[i].name, name) == 0)
		{
			*type = simple_types[i].type;
			return true;
		}
	}
	strm_faults_add(document->faults, "%s: unknown type \"%s\"; there are STRING, BOOLEAN, INTEGER, LONG and FLOAT",
					where, name);
	return false;
}

static void
strm_simple_schema_node(StrmDocument *document, JsonbContainer *node, const char *where, void *arg)
{
	StrmMember	members[NODE_NMEMBERS] = {
		[NODE_TYPE] = {"type"},[NODE_NAME] = {"name"},[NODE_AVRO_NAME] = {"avroName"},
		[NODE_REQUIRED] = {"required"},[NODE_REPEATED] = {"repeated"},[NODE_DOC] = {"doc"},
		[NODE_NODES] = {"nodes"},
	};
	StrmField  *field;
	StrmType	type = STRM_TYPE_STRING;
	char	   *name;

	strm_document_members(document, node, where, members, NODE_NMEMBERS);
	name = strm_simple_schema_name(document, members, where);
	if (name != NULL)
		where = psprintf("field \"%s\"", name);
	(void) strm_simple_schema_type(document, members, where, &type);

	/* A field of unknown type is a field all the same: the contract's references to it are no further faults. */
	field = name == NULL ? NULL : strm_schema_add_field(document, arg, name, where);
	if (field == NULL)
		return;
	field->type = type;
	field->required = strm_document_bool(document, &members[NODE_REQUIRED], where);
	field->repeated = strm_document_bool(document, &members[NODE_REPEATED], where);
	field->doc = strm_document_string(document, &members[NODE_DOC], where);
}

static void
strm_simple_schema_read(StrmDocument *document, JsonbContainer *root, StrmSchemaFields *fields)
{
	enum
	{
		NAME, AVRO_NAME, DOC, NODES, NMEMBERS
	};
	StrmMember	members[NMEMBERS] = {
		[NAME] = {"name"},[AVRO_NAME] = {"avroName"},[DOC] = {"doc"},[NODES] = {"nodes"},
	};
	JsonbContainer *nodes;
	char	   *name;
	char	   *avro_name;

	strm_document_members(document, root, "the schema", members, NMEMBERS);
	name = strm_document_string(document, &members[NAME], "the schema");
	avro_name = strm_document_string(document, &members[AVRO_NAME], "the schema");
	(void) strm_document_string(document, &members[DOC], "the schema");
	if (avro_name == NULL && name != NULL)
		avro_name = strm_names_strip(name);
	fields->name = avro_name != NULL && strm_names_is_avro(avro_name) ? avro_name : NULL;
	nodes = strm_document_array(document, &members[NODES], "the schema");
	if (nodes != NULL)
		strm_document_each(document, nodes, "node", strm_simple_schema_node, fields);
	if (nodes == NULL ? !members[NODES].present : JsonContainerSize(nodes) == 0)
		strm_faults_add(document->faults, "the schema has no fields");
}

const StrmSchemaReader strm_schema_simple = {
	.language = "Simple Schema in JSON",
	.detect = strm_simple_schema_detect,
	.read = strm_simple_schema_read,
};
