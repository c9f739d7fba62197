/*
 * stored.c
 *	  Did the current transaction store rows in a stream?
 */
#include "postgres.h"

#include "ingest/stored.h"
#include "strm_privacy.h"

static bool stored = false;

void
strm_stored_note(void)
{
	stored = true;
}

bool
strm_stored_take(void)
{
	bool		result = stored;

	stored = false;
	return result;
}
