/*
 * log_redaction.h
 *	  Keeping values out of the server log when a statement that concerns a stream fails.
 */
#ifndef STRM_GUARD_LOG_REDACTION_H
#define STRM_GUARD_LOG_REDACTION_H

/* Installs the hooks; called once. */
extern void strm_log_redaction_init(void);

#endif							/* STRM_GUARD_LOG_REDACTION_H */
