/*
 * jsonl.h
 *	  JSON Lines in UTF-8. What strm_record_reader() and strm_record_writer() hand over to; see record.h.
 */
#ifndef STRM_FORMAT_JSONL_H
#define STRM_FORMAT_JSONL_H

#include "format/record.h"

/* source is already in UTF-8; the encoding is the file's, for faults. */
extern StrmRecordReader *strm_jsonl_reader(StrmByteSource *source, const StrmRecordFormat *format,
										   const char *const *wanted, int nwanted);

extern StrmRecordWriter *strm_jsonl_writer(StrmByteSink *sink, const StrmRecordColumn *columns, int ncolumns);

#endif							/* STRM_FORMAT_JSONL_H */
