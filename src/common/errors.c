/*
 * errors.c
 *	  Collecting faults, so that one error reports all of them.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "common/errors.h"
#include "strm_privacy.h"

void
strm_faults_init(StrmFaults *faults)
{
	faults->count = 0;
	initStringInfo(&faults->lines);
}

void
strm_faults_add(StrmFaults *faults, const char *fmt,...)
{
	int			save_errno = errno;

	if (faults->count++ > 0)
		appendStringInfoChar(&faults->lines, '\n');

	for (;;)
	{
		va_list		args;
		int			needed;

		errno = save_errno;
		va_start(args, fmt);
		needed = appendStringInfoVA(&faults->lines, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&faults->lines, needed);
	}
}

void
strm_faults_raise(StrmFaults *faults, int sqlstate, const char *primary, const char *hint)
{
	if (faults->count == 0)
		return;

	ereport(ERROR,
			errcode(sqlstate),
			errmsg("%s", primary),
			errdetail("%s", faults->lines.data),
			hint ? errhint("%s", hint) : 0);
}
