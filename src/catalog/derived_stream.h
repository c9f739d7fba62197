/*
 * derived_stream.h
 *	  Rows of strm.derived_stream as structs.
 */
#ifndef STRM_CATALOG_DERIVED_STREAM_H
#define STRM_CATALOG_DERIVED_STREAM_H

#include "utils/array.h"

#include "catalog/stream.h"

typedef enum StrmHashType
{
	STRM_HASH_BLAKE2B,
	STRM_HASH_MURMUR3
} StrmHashType;

/* What a derived stream does with a field, by the field's ordinal. */
typedef struct StrmDerivedField
{
	bool		allowed;		/* personal, and its purpose is among those of the derived stream */
	bool		masked;
} StrmDerivedField;

typedef struct StrmDerivedStream
{
	pg_uuid_t	id;
	Oid			relid;			/* the view */
	const StrmStream *stream;	/* the source */
	bool		cumulative;
	int			npurposes;
	int32	   *purposes;		/* sorted; exactly one when cumulative */
	StrmHashType hash_type;
	bytea	   *mask_seed;		/* wrapped; NULL when nothing is masked */
	StrmDerivedField *fields;	/* of the source's contract */
} StrmDerivedStream;

/*
 * Columns of the view: the server columns but the seal, then the fields. Attribute numbers stay when an owner renames
 * a column.
 */
#define STRM_DERIVED_SERVER_COLUMNS 5
#define STRM_DERIVED_ATTNUM(ordinal) ((AttrNumber) (STRM_DERIVED_SERVER_COLUMNS + 1 + (ordinal)))

/*
 * The derived stream of that id, or of that view; NULL when there is none. Read with a catalog snapshot: works for any
 * role, in parallel workers and on standbys. The result stays valid to the end of the transaction.
 */
extern const StrmDerivedStream *strm_catalog_derived_stream(const pg_uuid_t *id);
extern const StrmDerivedStream *strm_catalog_derived_stream_of(Oid relid);

/*
 * Fills derived->fields, in the current context, from its source, its purposes and the contract's names of its masked
 * fields; all of these must exist.
 */
extern void strm_derived_stream_set_fields(StrmDerivedStream *derived, ArrayType *masked);

#endif							/* STRM_CATALOG_DERIVED_STREAM_H */
