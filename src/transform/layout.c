/*
 * layout.c
 *	  Finds a stream's columns in a tuple descriptor by name, and makes sure that their types are what the code that
 *	  reads the values relies on.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "common/errors.h"
#include "strm_privacy.h"
#include "transform/layout.h"

int
strm_layout_find(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i;
	}
	return -1;
}

/* The position of a column that must be there with that type. */
static int
strm_layout_require(TupleDesc desc, const char *name, Oid type)
{
	int			i = strm_layout_find(desc, name);

	if (i < 0 || TupleDescAttr(desc, i)->atttypid != type)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("column \"%s\" of the stream is missing or has another type", name),
				errhint("Give the table its original columns back, or create a new stream."));
	return i;
}

StrmLayout *
strm_layout_make(const StrmStream *stream, TupleDesc desc)
{
	const StrmContract *contract = stream->contract;
	StrmLayout *layout = palloc(sizeof(StrmLayout));

	layout->contract_version = strm_layout_require(desc, STRM_COLUMN_CONTRACT_VERSION, TEXTOID);
	layout->nonce = strm_layout_require(desc, STRM_COLUMN_NONCE, INT4OID);
	layout->timestamp = strm_layout_require(desc, STRM_COLUMN_TIMESTAMP, TIMESTAMPTZOID);
	layout->key_link = strm_layout_require(desc, STRM_COLUMN_KEY_LINK, UUIDOID);
	layout->consent_levels = strm_layout_require(desc, STRM_COLUMN_CONSENT_LEVELS, INT4ARRAYOID);
	layout->seal = strm_layout_require(desc, STRM_COLUMN_SEAL, BYTEAOID);
	layout->nfields = contract->nfields;
	layout->fields = palloc(contract->nfields * sizeof(int));
	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];
		Oid			type = field->personal ? (field->repeated ? TEXTARRAYOID : TEXTOID) : strm_field_type(field);

		layout->fields[i] = strm_layout_require(desc, field->column, type);
	}
	return layout;
}
