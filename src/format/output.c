/*
 * output.c
 *	  Buffered writing to a byte sink.
 */
#include "postgres.h"

#include "format/output.h"
#include "strm_privacy.h"

void
strm_output_flush(StrmOutput *output)
{
	if (output->used == 0)
		return;
	strm_bytes_write(output->sink, output->buffer, output->used);
	output->flushed += output->used;
	output->used = 0;
}

void
strm_output_spill(StrmOutput *output, const char *data, Size size)
{
	strm_output_flush(output);
	if (size < sizeof(output->buffer))
	{
		memcpy(output->buffer, data, size);
		output->used = size;
		return;
	}
	strm_bytes_write(output->sink, data, size);
	output->flushed += size;
}
