/*
 * output_plugin.h
 *	  The callbacks of logical decoding, which work for decoders of this library only.
 */
#ifndef STRM_EXPORT_OUTPUT_PLUGIN_H
#define STRM_EXPORT_OUTPUT_PLUGIN_H

#include "export/decoder.h"
#include "export/spool.h"
#include "export/wal_reader.h"

/* What the callbacks work on: output_plugin_private of a decoding context, set by who made it before it reads. */
typedef struct StrmPlugin
{
	StrmDecoderWanted wanted;
	void	   *arg;
	StrmSpool  *spool;			/* gets the rows */
	MemoryContext row_context;	/* reset for each row that needs it */
	StrmTimeline timeline;
	StrmDecodedRow row;			/* what rows of the present transaction have in common; number of the next one */
} StrmPlugin;

/*
 * Prepares this process for decoding with this plugin: permits the library, which the server may restrict, and sets
 * limits of memory. Outside a transaction.
 */
extern void strm_output_plugin_prepare(void);

#endif							/* STRM_EXPORT_OUTPUT_PLUGIN_H */
