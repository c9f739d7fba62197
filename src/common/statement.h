/*
 * statement.h
 *	  Hiding the text of a statement that carries a secret as a literal.
 */
#ifndef STRM_COMMON_STATEMENT_H
#define STRM_COMMON_STATEMENT_H

/*
 * Overwrites the text of the running statement in what pg_stat_activity shows of this session and in what the server
 * log would show with an error. What is logged before or beside (log_statement, log_min_duration_statement) is out of
 * reach.
 */
extern void strm_statement_hide(void);

#endif							/* STRM_COMMON_STATEMENT_H */
