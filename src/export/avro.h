/*
 * avro.h
 *	  Events in Avro: the schema of a contract's events, and their binary form.
 */
#ifndef STRM_EXPORT_AVRO_H
#define STRM_EXPORT_AVRO_H

#include "lib/stringinfo.h"

#include "catalog/derived_stream.h"
#include "catalog/stream.h"
#include "contract/contract.h"

/* Faults when a contract has no Avro form (names that Avro does not allow, and the like). */
struct StrmFaults;
extern void strm_avro_check(const StrmContract *contract, struct StrmFaults *faults);

/*
 * The Avro schema (JSON) of the events of a stream as it is stored, or of a derived stream, in the current context:
 * record strmMeta, then the contract's fields with the types of their columns, each a union with null.
 */
extern char *strm_avro_stream_schema(const StrmStream *stream, const StrmDerivedStream *derived);

typedef struct StrmAvroEncoder StrmAvroEncoder;

/* As strm_event_encoder() and strm_event_encode(). Confluent's header (0, schema id) comes first. */
extern StrmAvroEncoder *strm_avro_encoder(const StrmContract *contract, const Oid *types, int32 schema_id);
extern void strm_avro_encode(const StrmAvroEncoder *encoder, const Datum *server, const bool *server_null,
							 const Datum *fields, const bool *fields_null, StringInfo out);

#endif							/* STRM_EXPORT_AVRO_H */
