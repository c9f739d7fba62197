/*
 * errors.c
 *	  Collecting faults, so that one error reports all of them; errors without the callers' context.
 */
#include "postgres.h"

#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "lib/stringinfo.h"

#include "common/errors.h"
#include "strm_privacy.h"

/* The part of COPY's own context that holds no data. */
static void
strm_errors_copy_line(void *arg)
{
	const CopyFromStateData *copy = arg;

	errcontext("COPY %s, line " UINT64_FORMAT, copy->cur_relname, (uint64) copy->cur_lineno);
}

void
strm_errors_cut_context(ErrorContextCallback *frame)
{
	ErrorContextCallback *callback = error_context_stack;

	while (callback != NULL && callback->callback != CopyFromErrorCallback &&
		   callback->callback != strm_errors_copy_line)
		callback = callback->previous;
	error_context_stack = NULL;
	if (callback == NULL)
		return;
	frame->previous = NULL;
	frame->callback = strm_errors_copy_line;
	frame->arg = callback->arg;
	error_context_stack = frame;
}

bool
strm_errors_are_ours(const ErrorData *edata)
{
	return edata->domain != NULL && strcmp(edata->domain, TEXTDOMAIN) == 0;
}

bool
strm_errors_message_is_safe(const ErrorData *edata)
{
	if (strm_errors_are_ours(edata))
		return true;
	if (edata->message_id == NULL || edata->domain == NULL || strncmp(edata->domain, "postgres", 8) != 0)
		return false;
	if (strchr(edata->message_id, '%') == NULL)
		return true;
	if (strcmp(edata->message_id, "%s") == 0)
		return false;
	if (edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return true;

	switch (ERRCODE_TO_CATEGORY(edata->sqlerrcode))
	{
		case MAKE_SQLSTATE('2', '3', '0', '0', '0'):	/* integrity constraints */
		case MAKE_SQLSTATE('2', '5', '0', '0', '0'):	/* transaction state */
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):	/* rollback */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* resources */
		case MAKE_SQLSTATE('5', '5', '0', '0', '0'):	/* state of an object */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* operator intervention */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system */
			return true;
		default:
			return false;
	}
}

/* The text that a message was made from, with dots where values stood; in the current context. */
static char *
strm_errors_template(const char *format)
{
	StringInfoData text;

	initStringInfo(&text);
	for (const char *p = format; *p != '\0'; p++)
	{
		if (*p != '%')
			appendStringInfoChar(&text, *p);
		else if (p[1] == '%')
			appendStringInfoChar(&text, *p++);
		else
		{
			/* flags, width, precision, length, conversion */
			p += strspn(p + 1, "0123456789.*$-+ #'hlqjzt") + 1;
			appendStringInfoString(&text, "...");
			if (*p == '\0')
				break;
		}
	}
	return text.data;
}

void
strm_errors_describe(const ErrorData *edata, StrmErrorText *text)
{
	memset(text, 0, sizeof(StrmErrorText));
	if (strm_errors_message_is_safe(edata))
		text->message = edata->message;
	else if (edata->message_id != NULL && strcmp(edata->message_id, "%s") != 0)
		text->message = strm_errors_template(edata->message_id);
	else
		text->message = "an error whose message is withheld";
	if (strm_errors_are_ours(edata))
	{
		text->detail = edata->detail;
		text->hint = edata->hint;
	}
	else if (text->message != edata->message)
		text->detail = "Parts of the message are withheld: they may be values of rows.";
}

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
