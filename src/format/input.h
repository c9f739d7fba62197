/*
 * input.h
 *	  The buffer that readers find their records in: a window on a byte source that grows with the record.
 */
#ifndef STRM_FORMAT_INPUT_H
#define STRM_FORMAT_INPUT_H

#include "common/bytes.h"

typedef struct StrmInput
{
	StrmByteSource *source;
	char	   *data;			/* the record being read begins here; writable */
	Size		size;			/* bytes of it and of what follows that are there */
	bool		whole;			/* no more will come */

	/* private */
	char	   *buffer;
	Size		capacity;
	const char *encoding;		/* the file's, its name */
	char		fault[100];
} StrmInput;

/*
 * An input of source, which is in UTF-8 by now, in the current memory context; reads its head and skips a byte order
 * mark. encoding is the file's. Raises STRM_ERR_ARGUMENT when the head is of another format or encoding.
 */
extern void strm_input_init(StrmInput *input, StrmByteSource *source, int encoding);

/*
 * Reads more of what begins at data, which may move; sets whole at the end of the source. false when that is already
 * STRM_RECORD_LIMIT bytes long.
 */
extern bool strm_input_more(StrmInput *input);

/* What is wrong with the characters of a record; NULL when nothing is. Valid to the next call. */
extern const char *strm_input_fault(StrmInput *input, const char *text, Size size);

/* Drops the first size bytes; what they held is valid to the next strm_input_more(). */
static inline void
strm_input_drop(StrmInput *input, Size size)
{
	input->data += size;
	input->size -= size;
}

#endif							/* STRM_FORMAT_INPUT_H */
