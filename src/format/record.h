/*
 * record.h
 *	  Records of named values, as read from and written to CSV, JSON Lines and tables: what the formats have in common.
 */
#ifndef STRM_FORMAT_RECORD_H
#define STRM_FORMAT_RECORD_H

#include "nodes/pg_list.h"

#include "common/bytes.h"

/*
 * A longer record (its bytes in UTF-8) has a fault; its neighbours are read. So a reader needs at most three times as
 * much memory, whatever is in a file.
 */
#define STRM_RECORD_LIMIT (8 * 1024 * 1024)

/* More columns in the header of a file are refused. */
#define STRM_RECORD_MAX_COLUMNS 65536

typedef enum StrmRecordFormatKind
{
	STRM_RECORD_CSV,
	STRM_RECORD_JSONL
} StrmRecordFormatKind;

/* How a file is written. All zero but for header: CSV in UTF-8 with commas. */
typedef struct StrmRecordFormat
{
	StrmRecordFormatKind kind;
	int			encoding;		/* a PostgreSQL encoding, client-only ones too; 0 (SQL_ASCII) means UTF-8 */
	char		delimiter;		/* of CSV: an ASCII character but NUL, quote, CR and LF; 0 means ',' */
	bool		no_header;		/* of CSV: columns are the wanted ones, in that order */
	bool		gzip;
} StrmRecordFormat;

typedef enum StrmRecordValueKind
{
	STRM_RECORD_NULL,
	STRM_RECORD_TEXT,			/* any text; in CSV everything is one */
	STRM_RECORD_NUMBER,			/* of JSON, as written */
	STRM_RECORD_BOOLEAN,		/* true or false */
	STRM_RECORD_JSON			/* an array or object, as JSON text */
} StrmRecordValueKind;

typedef struct StrmRecordValue
{
	StrmRecordValueKind kind;
	const char *text;			/* UTF-8, not NUL-terminated; undefined when NULL */
	Size		size;
} StrmRecordValue;

typedef struct StrmRecord
{
	uint64		number;			/* counted from 1, without the header */
	uint64		line;			/* on which it begins, from 1; the row's number for a table */
	const char *fault;			/* NULL, or what is wrong with its form: "has 7 values, ..."; never holds a value */
	StrmRecordValue *values;	/* of the wanted columns, in that order; valid to the next call */
} StrmRecord;

typedef struct StrmRecordReader
{
	/*
	 * Reads the next record; false at the end. A record of bad form is returned with a fault and without values; raises
	 * only when reading cannot go on. Never writes.
	 */
	bool		(*next) (struct StrmRecordReader *self, StrmRecord *record);
	void		(*close) (struct StrmRecordReader *self);
	const bool *missing;		/* per wanted column: not in the source at all (CSV, tables) */
	List	   *unknown;		/* names (char *) of columns that are not wanted, at most 100: of CSV and tables at
								 * once, of JSON as met */
	bool		empty_is_null;	/* a NULL may stand for the empty string: a bare empty field of CSV */
	uint64		bytes;			/* read from the source so far */
} StrmRecordReader;

/* What a column of a written record may hold. */
typedef struct StrmRecordColumn
{
	const char *name;			/* "session_id"; "strmMeta.nonce": in JSON a dot makes an object, strmMeta is first */
} StrmRecordColumn;

typedef struct StrmRecordWriter
{
	/* values: one per column. Kinds decide how JSON shows them; CSV quotes every value that is not NULL. */
	void		(*write) (struct StrmRecordWriter *self, const StrmRecordValue *values);
	/* Everything is in the sink; does not finish the sink. */
	void		(*flush) (struct StrmRecordWriter *self);
	uint64		bytes;			/* written, before compression */
} StrmRecordWriter;

/*
 * A reader of source, in the current memory context. wanted: names of columns or members ("a.b" is member b of object
 * a). Raises STRM_ERR_ARGUMENT when the head of the file cannot be read: no header, a header that names a column twice,
 * an encoding that it is not in, not gzip. Such errors may name columns, never values.
 */
extern StrmRecordReader *strm_record_reader(StrmByteSource *source, const StrmRecordFormat *format,
											const char *const *wanted, int nwanted);

/* A writer to sink, in the current memory context; a CSV header is written at once. */
extern StrmRecordWriter *strm_record_writer(StrmByteSink *sink, const StrmRecordFormat *format,
											const StrmRecordColumn *columns, int ncolumns);

#endif							/* STRM_FORMAT_RECORD_H */
