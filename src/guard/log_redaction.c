/*
 * log_redaction.c
 *	  Keeping values out of the server log when a statement that concerns a stream fails.
 *
 *	  Which statements: those whose text names something watched (watched.c), that run or fetch from a prepared
 *	  statement or cursor whose text does, or during which the executor opened a stream. While the names are not up to
 *	  date: all.
 *
 *	  What the log gets: severity, SQLSTATE, and of the message the constant text it is made from, with %s where a value
 *	  stood (ours, and those of SQLSTATE classes whose messages name only objects, stay whole). No detail, hint,
 *	  context, internal query or statement. The client gets everything as ever: the same ErrorData is sent to it after
 *	  the log, so the substitute is put in for the log alone, by reporting it from within the hook with output to the
 *	  client off.
 *
 *	  Statement logging (log_statement, log_min_duration_statement, auto_explain) is the administrator's choice and
 *	  untouched.
 *
 *	  The hook runs in aborted transactions: it reads no catalog and waits for nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"

#include "access/parallel.h"
#include "common/errors.h"
#include "guard/log_redaction.h"
#include "guard/watched.h"
#include "guc/guc.h"
#include "strm_privacy.h"

#define STRM_LOG_WITHHELD "Values and statement are withheld: the statement concerns a stream."

static emit_log_hook_type next_emit_log_hook = NULL;
static post_parse_analyze_hook_type next_post_parse_analyze_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook = NULL;

static struct
{
	TimestampTz touched;		/* start of the client's statement during which a stream was opened last */
	TimestampTz touched_transaction;	/* start of its transaction */
	bool		emitting;		/* the substitute is on its way */
} redaction;

/* Does text begin with that word, in any case? Then returns what follows it, else NULL. */
static const char *
strm_log_after_word(const char *text, const char *word)
{
	Size		n = strlen(word);

	if (pg_strncasecmp(text, word, n) != 0 || isalnum((unsigned char) text[n]) || text[n] == '_')
		return NULL;
	return text + n;
}

/*
 * Copies the identifier at text into name, folded unless quoted. false when there is none or it cannot be read simply.
 */
static bool
strm_log_identifier(const char *text, char name[NAMEDATALEN])
{
	int			n = 0;

	while (isspace((unsigned char) *text))
		text++;
	while (n < NAMEDATALEN - 1 &&
		   (isalnum((unsigned char) *text) || *text == '_' || *text == '$' || IS_HIGHBIT_SET(*text)))
		name[n++] = pg_ascii_tolower((unsigned char) *text++);
	name[n] = '\0';
	return n > 0;
}

/*
 * Does EXECUTE name run a prepared statement that concerns a stream? A name that cannot be read simply counts as one.
 * The lookups are in hash tables of the session.
 */
static bool
strm_log_executes(const char *after_execute)
{
	char		name[NAMEDATALEN];
	PreparedStatement *prepared;

	if (!strm_log_identifier(after_execute, name))
		return true;
	prepared = FetchPreparedStatement(name, false);
	return prepared != NULL && strm_watched_text(prepared->plansource->query_string);
}

/*
 * Does the text of a statement concern a stream by way of a prepared statement or cursor? FETCH and MOVE go on with a
 * statement of this transaction; so does COMMIT, with that of a cursor that is kept.
 */
static bool
strm_log_indirect(const char *text)
{
	static const char *const continuing[] = {"fetch", "move", "commit", "end", "prepare"};
	bool		touched = redaction.touched_transaction != 0 &&
		redaction.touched_transaction == GetCurrentTransactionStartTimestamp();
	bool		at_word = true;
	bool		at_start = true;

	for (const char *p = text; *p != '\0'; p++)
	{
		bool		letter = isalnum((unsigned char) *p) || *p == '_';

		if (letter && at_word)
		{
			const char *after = strm_log_after_word(p, "execute");

			if (after != NULL && strm_log_executes(after))
				return true;
			for (int i = 0; at_start && touched && i < lengthof(continuing); i++)
			{
				if (strm_log_after_word(p, continuing[i]) != NULL)
					return true;
			}
		}
		at_word = !letter;
		at_start = *p == ';' || (at_start && isspace((unsigned char) *p));
	}
	return false;
}

/*
 * Does what this session is doing concern a stream, as far as can be known now? Errs towards true. The client's text
 * need not name one: a function may put a statement together that does, and that fails before it is executed.
 */
static bool
strm_log_concerned(const ErrorData *edata)
{
	if (!OidIsValid(MyDatabaseId))
		return false;
	if (redaction.touched != 0 && redaction.touched == GetCurrentStatementStartTimestamp())
		return true;
	if (debug_query_string == NULL)
		return false;
	if (!strm_watched_current())
		return true;
	if (strm_watched_empty())
		return false;
	return strm_watched_text(debug_query_string) || strm_log_indirect(debug_query_string) ||
		(edata->internalquery != NULL && strm_watched_text(edata->internalquery)) ||
		(edata->context != NULL && strm_watched_text(edata->context));
}

/*
 * Reports edata to the server log alone, then puts back the parts that were replaced, for the client. The flag is reset
 * also when logging fails: left set, it would switch redaction off.
 */
static void
strm_log_emit_substitute(ErrorData *edata, const ErrorData *original)
{
	edata->output_to_client = false;
	redaction.emitting = true;
	PG_TRY();
	{
		EmitErrorReport();
	}
	PG_FINALLY();
	{
		redaction.emitting = false;
	}
	PG_END_TRY();

	edata->message = original->message;
	edata->detail = original->detail;
	edata->detail_log = original->detail_log;
	edata->hint = original->hint;
	edata->internalquery = original->internalquery;
	edata->output_to_client = original->output_to_client;
	edata->output_to_server = false;
}

/* Logs edata without values. */
static void
strm_log_redact(ErrorData *edata)
{
	ErrorData	original = *edata;

	edata->hide_stmt = true;
	edata->hide_ctx = true;
	edata->internalquery = NULL;
	if (!strm_errors_are_ours(edata))
	{
		if (!strm_errors_message_is_safe(edata))
			edata->message = pstrdup(edata->message_id != NULL && strcmp(edata->message_id, "%s") != 0 ?
									 edata->message_id : "error in a statement that concerns a stream");
		edata->detail = pstrdup(STRM_LOG_WITHHELD);
		edata->detail_log = NULL;
		edata->hint = NULL;
	}
	strm_log_emit_substitute(edata, &original);
}

/*
 * Logs edata without the details that quote another session's statement: a deadlock's, and those of a crashed session.
 */
static void
strm_log_redact_details(ErrorData *edata)
{
	ErrorData	original = *edata;

	edata->detail_log = NULL;
	if (MyProcPid == PostmasterPid)
		edata->detail = NULL;
	strm_log_emit_substitute(edata, &original);
}

/* Does the message quote what other sessions are running? */
static bool
strm_log_quotes_others(const ErrorData *edata)
{
	if (edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
		return edata->detail_log != NULL && !(strm_watched_current() && strm_watched_empty());
	return MyProcPid == PostmasterPid && edata->detail != NULL &&
		edata->message_id != NULL && strstr(edata->message_id, "(PID %d)") != NULL;
}

/* Messages of level LOG are the server's own and those of statement logging, which hide their statement already. */
static void
strm_log_emit(ErrorData *edata)
{
	if (redaction.emitting || !strm_log_redaction)
	{
		if (next_emit_log_hook)
			next_emit_log_hook(edata);
		return;
	}

	if (edata->elevel == LOG || edata->elevel == LOG_SERVER_ONLY)
	{
		if (!edata->hide_stmt && strm_log_concerned(edata))
			edata->hide_stmt = edata->hide_ctx = true;
		if (strm_log_quotes_others(edata))
			strm_log_redact_details(edata);
	}
	else if (strm_log_concerned(edata))
		strm_log_redact(edata);
	else if (strm_log_quotes_others(edata))
		strm_log_redact_details(edata);

	if (edata->output_to_server && next_emit_log_hook)
		next_emit_log_hook(edata);
}

static void
strm_log_post_parse_analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	strm_watched_refresh();
	if (next_post_parse_analyze_hook)
		next_post_parse_analyze_hook(pstate, query, jstate);
}

/* Notices a stream that the text of the client's statement does not name: one that a function reads or writes. */
static void
strm_log_executor_start(QueryDesc *desc, int eflags)
{
	if (!IsParallelWorker())
		strm_watched_refresh();

	if (!strm_watched_empty())
	{
		ListCell   *lc;

		foreach(lc, desc->plannedstmt->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			if (OidIsValid(rte->relid) && strm_watched_relation(rte->relid))
			{
				redaction.touched = GetCurrentStatementStartTimestamp();
				redaction.touched_transaction = GetCurrentTransactionStartTimestamp();
				break;
			}
		}
	}

	if (next_executor_start_hook)
		next_executor_start_hook(desc, eflags);
	else
		standard_ExecutorStart(desc, eflags);
}

void
strm_log_redaction_init(void)
{
	next_emit_log_hook = emit_log_hook;
	emit_log_hook = strm_log_emit;
	next_post_parse_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = strm_log_post_parse_analyze;
	next_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = strm_log_executor_start;
}
