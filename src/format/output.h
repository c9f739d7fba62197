/*
 * output.h
 *	  Buffered writing to a byte sink, fast for many short pieces.
 */
#ifndef STRM_FORMAT_OUTPUT_H
#define STRM_FORMAT_OUTPUT_H

#include "common/bytes.h"

typedef struct StrmOutput
{
	StrmByteSink *sink;
	uint64		flushed;		/* bytes written to the sink */
	Size		used;
	char		buffer[64 * 1024];
} StrmOutput;

/* Writes the buffer to the sink. */
extern void strm_output_flush(StrmOutput *output);

/* Writes what does not fit into the buffer. */
extern void strm_output_spill(StrmOutput *output, const char *data, Size size);

/* Appends whole characters: the sink never gets a part of one. */
static inline void
strm_output_append(StrmOutput *output, const char *data, Size size)
{
	if (unlikely(size > sizeof(output->buffer) - output->used))
	{
		strm_output_spill(output, data, size);
		return;
	}
	memcpy(output->buffer + output->used, data, size);
	output->used += size;
}

/* Appends one ASCII character. */
static inline void
strm_output_char(StrmOutput *output, char c)
{
	if (unlikely(output->used == sizeof(output->buffer)))
		strm_output_flush(output);
	output->buffer[output->used++] = c;
}

/* How many bytes were appended. */
static inline uint64
strm_output_bytes(const StrmOutput *output)
{
	return output->flushed + output->used;
}

#endif							/* STRM_FORMAT_OUTPUT_H */
