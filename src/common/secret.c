/*
 * secret.c
 *	  Memory for secrets: wiped by a reset callback of the memory context that owns it, so that no error path can
 *	  leave one behind.
 */
#include "postgres.h"

#include <sodium.h>

#include "utils/memutils.h"

#include "common/errors.h"
#include "common/secret.h"
#include "strm_privacy.h"

typedef struct StrmSecretHeader
{
	MemoryContextCallback callback;
	Size		size;
} StrmSecretHeader;

#define STRM_SECRET_OFFSET MAXALIGN(sizeof(StrmSecretHeader))

static void
strm_secret_reset(void *arg)
{
	StrmSecretHeader *header = arg;

	sodium_memzero((char *) header + STRM_SECRET_OFFSET, header->size);
}

void *
strm_secret_alloc(MemoryContext cxt, Size size)
{
	StrmSecretHeader *header = MemoryContextAllocZero(cxt, STRM_SECRET_OFFSET + size);

	header->size = size;
	header->callback.func = strm_secret_reset;
	header->callback.arg = header;
	MemoryContextRegisterResetCallback(cxt, &header->callback);
	return (char *) header + STRM_SECRET_OFFSET;
}

void
strm_secret_wipe(void *p, Size size)
{
	sodium_memzero(p, size);
}

void
strm_secret_random(void *out, Size size)
{
	if (!pg_strong_random(out, size))
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not generate random bytes"));
}
