/*
 * statement.c
 *	  Hiding the text of a statement that carries a secret as a literal.
 */
#include "postgres.h"

#include "tcop/tcopprot.h"
#include "utils/backend_status.h"

#include "common/statement.h"
#include "strm_privacy.h"

#define STRM_STATEMENT_REDACTED "<redacted: contains a secret>"

void
strm_statement_hide(void)
{
	/* the server sets it anew for each statement, and logs it as the STATEMENT of an error */
	if (debug_query_string != NULL)
		debug_query_string = STRM_STATEMENT_REDACTED;
	pgstat_report_activity(STATE_RUNNING, STRM_STATEMENT_REDACTED);
}
