/*
 * csv_scan.h
 *	  Finds the records and fields of CSV (RFC 4180) in a buffer. Knows nothing of PostgreSQL: no palloc, no ereport.
 */
#ifndef STRM_FORMAT_CSV_SCAN_H
#define STRM_FORMAT_CSV_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum StrmCsvStatus
{
	STRM_CSV_RECORD,			/* a record is complete */
	STRM_CSV_PARTIAL,			/* the data end inside a record (or inside its line end) */
	STRM_CSV_END				/* there are no data, nor will be */
} StrmCsvStatus;

typedef enum StrmCsvFault
{
	STRM_CSV_SOUND,
	STRM_CSV_AFTER_QUOTE,		/* text after a closing quote */
	STRM_CSV_UNTERMINATED		/* the data end inside quotes */
} StrmCsvFault;

/* Where a field's text is, relative to its record, without the quotes around it. */
typedef struct StrmCsvField
{
	uint32_t	start;
	uint32_t	size;
	bool		quoted;
	bool		doubled;		/* has doubled quotes: strm_csv_unquote() it */
} StrmCsvField;

typedef struct StrmCsvScan
{
	/* of the caller */
	StrmCsvField *fields;		/* of the record; those beyond max_fields are only counted */
	int			max_fields;
	bool		skip;			/* no field of this record is noted, so that data up to position can be dropped */

	/* of the record */
	int			nfields;
	StrmCsvFault fault;			/* the first; the record nevertheless ends where a line does */
	uint64_t	lines;			/* line ends in it, its own too */
	size_t		position;		/* how far the data were read; of a complete record: its size with its line end */

	/* private */
	int			state;
	bool		doubled;
	size_t		field;			/* where the field begins */
	char		delimiter;
	unsigned char stops[256];	/* which characters end a run of ordinary ones */
} StrmCsvScan;

/* Prepares scan; delimiter is an ASCII character but a quote, a line end or NUL. The members of the caller are next. */
extern void strm_csv_scan_init(StrmCsvScan *scan, char delimiter);

/* Before each record; clears skip. */
extern void strm_csv_scan_begin(StrmCsvScan *scan);

/*
 * Reads on in a record that begins at data; size bytes of it are there, and no more will come if whole. After
 * STRM_CSV_PARTIAL call again with more data from the record's beginning, wherever they are by then; if skip is set,
 * position bytes may be dropped and position set to 0 instead. Lines end in LF, CRLF or CR. An empty line is a record
 * of one empty field. Data are below 4 GB, except of a record that is skipped.
 */
extern StrmCsvStatus strm_csv_scan(StrmCsvScan *scan, const char *data, size_t size, bool whole);

/* Is the record, which begins at data, a line with nothing but blanks? Not if it is skipped. */
extern bool strm_csv_scan_blank(const StrmCsvScan *scan, const char *data);

/* Makes each pair of quotes one, in place; the new size. */
extern size_t strm_csv_unquote(char *text, size_t size);

#endif							/* STRM_FORMAT_CSV_SCAN_H */
