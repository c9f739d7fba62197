/*
 * job_data_type.c
 *	  How a batch job's files are written: {"csv": {"charset", "delimiter", "header"}}, {"jsonl": {}}; and STRM's
 *	  {"database": {"schema", "table", "columns"}}, for what is no file.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "batch/job_private.h"
#include "strm_privacy.h"

/* Java's names of charsets that PostgreSQL has by another name, without signs, in lower case. */
static const struct
{
	const char *name;
	pg_enc		encoding;
}			charset_names[] = {
	{"ascii", PG_UTF8},			/* a part of it */
	{"ascii7", PG_UTF8},
	{"iso646us", PG_UTF8},
	{"usascii", PG_UTF8},
	{"eucjpms", PG_EUC_JP},
	{"gb2312", PG_EUC_CN},
	{"ibm866", PG_WIN866},
	{"cp866", PG_WIN866},
	{"iso885911", PG_WIN874},
	{"tis620", PG_WIN874},
	{"ksc5601", PG_EUC_KR},
	{"ksc56011987", PG_EUC_KR},
	{"windows31j", PG_SJIS},
	{"ms932", PG_SJIS},
	{"cp932", PG_SJIS},
	{"ms936", PG_GBK},
	{"cp936", PG_GBK},
	{"ms949", PG_UHC},
	{"cp949", PG_UHC},
	{"ms950", PG_BIG5},
	{"cp950", PG_BIG5},
};

/* name in lower case, letters and digits only, without Java's "x-". */
static char *
strm_batch_charset_key(const char *name)
{
	char	   *key = palloc(strlen(name) + 1);
	char	   *out = key;

	if (pg_strncasecmp(name, "x-", 2) == 0)
		name += 2;
	for (; *name != '\0'; name++)
	{
		unsigned char c = pg_ascii_tolower((unsigned char) *name);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			*out++ = c;
	}
	*out = '\0';
	return key;
}

/* The encoding of a charset, as PostgreSQL, IANA or Java call it; -1 when unknown, or not convertible. */
static int
strm_batch_encoding(const char *charset, bool reads)
{
	char	   *key = strm_batch_charset_key(charset);
	int			encoding = -1;

	for (int i = 0; i < lengthof(charset_names); i++)
	{
		if (strcmp(key, charset_names[i].name) == 0)
			encoding = charset_names[i].encoding;
	}
	if (encoding < 0 && strlen(key) < NAMEDATALEN)
		encoding = pg_char_to_encoding(key);
	if (encoding < 0 && strncmp(key, "cp125", 5) == 0)
		encoding = pg_char_to_encoding(psprintf("windows%s", key + 2));

	if (encoding == PG_UTF8)
		return encoding;
	if (encoding < 0 || encoding == PG_SQL_ASCII ||
		!OidIsValid(reads ? FindDefaultConversionProc(encoding, PG_UTF8) :
					FindDefaultConversionProc(PG_UTF8, encoding)))
		return -1;
	return encoding;
}

static void
strm_batch_read_csv(StrmBatchReading *reading, JsonbContainer *object, const char *where, StrmBatchRole role,
					StrmRecordFormat *format)
{
	enum
	{
		CHARSET, DELIMITER, HEADER, CSV_NMEMBERS
	};
	StrmMember	members[CSV_NMEMBERS] = {[CHARSET] = {"charset"},[DELIMITER] = {"delimiter"},[HEADER] = {"header"}};
	char	   *charset;
	char	   *delimiter;

	strm_batch_members(reading, object, where, members, CSV_NMEMBERS);
	charset = strm_document_string(&reading->document, &members[CHARSET], where);
	delimiter = strm_document_string(&reading->document, &members[DELIMITER], where);
	format->no_header = members[HEADER].present &&
		!strm_document_bool(&reading->document, &members[HEADER], where);

	if (charset != NULL)
	{
		int			encoding = strm_batch_encoding(charset, role == STRM_BATCH_SOURCE);

		if (encoding < 0)
			strm_batch_fault(reading, "%s.charset: there is no conversion %s charset \"%s\"", where,
							 role == STRM_BATCH_SOURCE ? "from" : "to", charset);
		format->encoding = Max(encoding, 0);
	}
	if (delimiter != NULL)
	{
		format->delimiter = delimiter[0];
		if (delimiter[1] != '\0' || IS_HIGHBIT_SET(delimiter[0]) || strchr("\"\r\n", delimiter[0]) != NULL)
			strm_batch_fault(reading, "%s.delimiter: must be one ASCII character, no quote and no line end", where);
	}
}

/* Names of columns of the source, separated by commas and quoted; "*" for all. NULL after a fault. */
static char *
strm_batch_read_columns(StrmBatchReading *reading, const StrmMember *member, const char *where)
{
	JsonbContainer *array = strm_document_array(&reading->document, member, where);
	StringInfoData list;

	if (array == NULL || JsonContainerSize(array) == 0)
		return member->present && array == NULL ? NULL : pstrdup("*");
	initStringInfo(&list);
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(array, i);

		if (name->type != jbvString || name->val.string.len == 0)
		{
			strm_batch_fault(reading, "%s.columns[%u]: must be the name of a column", where, i);
			return NULL;
		}
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(pnstrdup(name->val.string.val, name->val.string.len)));
	}
	return list.data;
}

/* Names here are plain, not as in SQL: they may need quotes. */
static void
strm_batch_read_database(StrmBatchReading *reading, JsonbContainer *object, const char *where, StrmBatchRole role,
						 StrmBatchPlace *place)
{
	enum
	{
		SCHEMA, TABLE, COLUMNS, DATABASE_NMEMBERS
	};
	StrmMember	members[DATABASE_NMEMBERS] = {[SCHEMA] = {"schema"},[TABLE] = {"table"},[COLUMNS] = {"columns"}};
	char	   *schema;
	char	   *table;
	char	   *columns;

	strm_batch_members(reading, object, where, members, DATABASE_NMEMBERS);
	schema = strm_document_string(&reading->document, &members[SCHEMA], where);
	table = strm_document_string(&reading->document, &members[TABLE], where);
	columns = strm_batch_read_columns(reading, &members[COLUMNS], where);
	if (!members[TABLE].present)
		strm_batch_fault(reading, "%s.table: is missing", where);
	/* what a job writes is decided by the contract */
	if (columns != NULL && columns[0] != '*' && role != STRM_BATCH_SOURCE)
		strm_batch_fault(reading, "%s.columns: is for source_data only", where);

	place->relation = quote_qualified_identifier(schema, table != NULL ? table : "");
	if (columns != NULL && columns[0] != '*')
	{
		place->query = psprintf("SELECT %s FROM %s", columns, place->relation);
		place->relation = NULL;
	}
}

void
strm_batch_read_data_type(StrmBatchReading *reading, JsonbContainer *object, const char *where, StrmBatchRole role,
						  StrmBatchPlace *place)
{
	enum
	{
		CSV, JSONL, DATABASE, TYPE_NMEMBERS
	};
	StrmMember	members[TYPE_NMEMBERS] = {[CSV] = {"csv"},[JSONL] = {"jsonl"},[DATABASE] = {"database"}};
	JsonbContainer *config;

	strm_batch_members(reading, object, where, members, TYPE_NMEMBERS);
	if (members[CSV].present + members[JSONL].present + members[DATABASE].present > 1)
		strm_batch_fault(reading, "%s: only one of csv, jsonl and database can be given", where);

	config = strm_document_object(&reading->document, &members[CSV], where);
	if (config != NULL)
		strm_batch_read_csv(reading, config, strm_document_path(where, "csv"), role, &place->format);
	config = strm_document_object(&reading->document, &members[JSONL], where);
	if (config != NULL)
	{
		strm_batch_members(reading, config, strm_document_path(where, "jsonl"), NULL, 0);
		place->format.kind = STRM_RECORD_JSONL;
	}
	config = strm_document_object(&reading->document, &members[DATABASE], where);
	if (config != NULL)
		strm_batch_read_database(reading, config, strm_document_path(where, "database"), role, place);
}
