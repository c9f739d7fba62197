/*
 * encoder.h
 *	  Rows of a stream as records of an exporter: the stream's event as it is stored, or what a derived stream shows.
 *
 *	  An encoder is for one transaction: made, used and forgotten in it. Formats are registered in a table (json, avro).
 */
#ifndef STRM_EXPORT_ENCODER_H
#define STRM_EXPORT_ENCODER_H

#include "access/htup.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

#include "catalog/derived_stream.h"
#include "catalog/stream.h"

typedef enum StrmExportFormat
{
	STRM_EXPORT_JSON,			/* event JSON */
	STRM_EXPORT_AVRO			/* Avro binary behind Confluent's header */
} StrmExportFormat;

typedef enum StrmExportVerdict
{
	STRM_EXPORT_SEND,
	STRM_EXPORT_FILTERED,		/* no row of the derived stream: the consent does not cover its purposes */
	STRM_EXPORT_WITHHELD,		/* of a derived stream, and its key was destroyed; or its table was dropped; or (the
								 * caller finds that out) it was erased: not sent */
	STRM_EXPORT_FORGED			/* not what the server sealed, or its key is lost: not sent, an error */
} StrmExportVerdict;

/* A record, in buffers that the caller gives and wipes. */
typedef struct StrmExportRecord
{
	pg_uuid_t	key_link;
	int32		nonce;
	TimestampTz timestamp;
	const char *contract_ref;	/* "acme/clickstream/1.0.0"; as long as the encoder */
	StringInfo	key;			/* text of the key link */
	StringInfo	value;
} StrmExportRecord;

typedef struct StrmExportEncoder StrmExportEncoder;

/*
 * An encoder in the current memory context. derived NULL: the stream as stored. schema_id: of the Schema Registry, for
 * Avro. Raises 55000 when there is no master key for a derived stream.
 */
extern StrmExportEncoder *strm_export_encoder(const StrmStream *stream, const StrmDerivedStream *derived,
											  StrmExportFormat format, int32 schema_id);

/*
 * Encodes one row of the stream's table (or of its partition) relid, which need not be locked unless the row has values
 * outside of it. Buffers are reset first; what is in them is defined after STRM_EXPORT_SEND only. Does not raise for
 * anything that is wrong with the row; raises 55000 for a key under another master key, XX001 for one that is damaged.
 */
extern StrmExportVerdict strm_export_encode(StrmExportEncoder *encoder, Oid relid, HeapTuple tuple,
											StrmExportRecord *record);

/* Wipes what plaintext an error may have left in scratch memory of the encoder, as also the end of its context does. */
extern void strm_export_encoder_wipe(StrmExportEncoder *encoder);

#endif							/* STRM_EXPORT_ENCODER_H */
