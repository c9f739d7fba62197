/*
 * inbox_columns.c
 *	  Finds an inbox's columns by name, and makes sure of their types.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"

#include "common/errors.h"
#include "ingest/inbox.h"
#include "ingest/inbox_columns.h"
#include "strm_privacy.h"

static int
strm_inbox_columns_require(TupleDesc desc, const char *name, Oid type)
{
	int			i = strm_layout_find(desc, name);

	if (i < 0 || TupleDescAttr(desc, i)->atttypid != type)
		ereport(ERROR,
				errcode(STRM_ERR_STATE),
				errmsg("column \"%s\" of the inbox is missing or has another type", name),
				errhint("Inboxes are made by strm.create_stream()."));
	return i;
}

StrmInboxColumns *
strm_inbox_columns_find(const StrmStream *stream, TupleDesc desc)
{
	StrmInboxColumns *columns = palloc0(sizeof(StrmInboxColumns));

	columns->queued_at = strm_inbox_columns_require(desc, STRM_INBOX_QUEUED_AT, TIMESTAMPTZOID);
	columns->sequence = strm_inbox_columns_require(desc, STRM_INBOX_SEQUENCE, INT8OID);
	columns->lane = strm_inbox_columns_require(desc, STRM_INBOX_LANE, INT2OID);
	columns->sealed = strm_inbox_columns_require(desc, STRM_INBOX_SEALED, BYTEAOID);
	columns->fault = strm_inbox_columns_require(desc, STRM_INBOX_FAULT, TEXTOID);
	columns->consent_levels = -1;
	if (stream == NULL)
		return columns;

	columns->consent_levels = strm_inbox_columns_require(desc, STRM_COLUMN_CONSENT_LEVELS, INT4ARRAYOID);
	columns->fields = palloc(stream->contract->nfields * sizeof(int));
	for (int i = 0; i < stream->contract->nfields; i++)
	{
		const StrmField *field = &stream->contract->fields[i];
		Oid			type = field->personal ? (field->repeated ? TEXTARRAYOID : TEXTOID) : strm_field_type(field);

		columns->fields[i] = strm_inbox_columns_require(desc, field->column, type);
	}
	return columns;
}

bool
strm_inbox_columns_own(const StrmInboxColumns *columns, int position)
{
	return position == columns->queued_at || position == columns->sequence || position == columns->lane ||
		position == columns->sealed || position == columns->fault;
}

/* Big endian; the time in microseconds since 2000, as the column has it. */
void
strm_inbox_columns_ad(const StrmInboxColumns *columns, const Datum *values, uint8 ad[STRM_INBOX_AD_SIZE])
{
	uint64		sequence = pg_hton64((uint64) DatumGetInt64(values[columns->sequence]));
	uint16		lane = pg_hton16((uint16) DatumGetInt16(values[columns->lane]));
	uint64		queued_at = pg_hton64((uint64) DatumGetTimestampTz(values[columns->queued_at]));

	memcpy(ad, &sequence, sizeof(sequence));
	memcpy(ad + sizeof(sequence), &lane, sizeof(lane));
	memcpy(ad + sizeof(sequence) + sizeof(lane), &queued_at, sizeof(queued_at));
}
