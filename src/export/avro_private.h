/*
 * avro_private.h
 *	  What the schema and the encoder of Avro agree on: for avro*.c only.
 */
#ifndef STRM_EXPORT_AVRO_PRIVATE_H
#define STRM_EXPORT_AVRO_PRIVATE_H

#include "contract/contract.h"

/*
 * Avro's name of the type of a field's column, or of the elements of its arrays: "string". *element is the SQL type,
 * *array: are there arrays of it? Raises XX000 on a type that no contract gives.
 */
extern const char *strm_avro_type(const StrmField *field, Oid type, Oid *element, bool *array);

#endif							/* STRM_EXPORT_AVRO_PRIVATE_H */
