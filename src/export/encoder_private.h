/*
 * encoder_private.h
 *	  What encoder.c and encoder_derived.c share.
 */
#ifndef STRM_EXPORT_ENCODER_PRIVATE_H
#define STRM_EXPORT_ENCODER_PRIVATE_H

#include "export/encoder.h"
#include "transform/layout.h"

/* SQL types of an event's fields, in contract order, in the current context. */
extern Oid *strm_export_types(const StrmStream *stream, const StrmDerivedStream *derived);

/* What an encoder of a derived stream has beyond others. */
typedef struct StrmExportDerived StrmExportDerived;

/*
 * In the current context. Plaintext goes to row_cxt, and is wiped when that is reset, if strm_export_derived_arm() was
 * called before.
 */
extern StrmExportDerived *strm_export_derived(const StrmDerivedStream *derived, MemoryContext row_cxt);
extern void strm_export_derived_arm(StrmExportDerived *derived);

/* Does the consent of a row, as stored, satisfy the derived stream? */
extern bool strm_export_derived_consented(const StrmExportDerived *derived, Datum levels);

/*
 * The fields of a consented row, whose values and nulls are by position in the tuple descriptor, as the derived stream
 * shows them; in the current context, which is row_cxt. None of the server's columns but the seal is NULL.
 */
extern StrmExportVerdict strm_export_derived_fields(StrmExportDerived *derived, const StrmLayout *layout,
													const Datum *values, const bool *nulls, Datum *fields,
													bool *fields_null);

/*
 * Makes room in out, which holds nothing to be kept, for the event: it does not move while it is written. levels is its
 * consent. Detoasts fields.
 */
extern void strm_export_derived_reserve(const StrmExportDerived *derived, Datum levels, Datum *fields,
										const bool *fields_null, StringInfo out);

#endif							/* STRM_EXPORT_ENCODER_PRIVATE_H */
