/*
 * database_command.h
 *	  What sessions do that workers have to know of.
 */
#ifndef STRM_WORKER_DATABASE_COMMAND_H
#define STRM_WORKER_DATABASE_COMMAND_H

/* Installs the hooks; called once, by strm_worker_init. */
extern void strm_database_command_init(void);

/* When this transaction commits, this database's scheduler and export workers shall look what there is to do. */
extern void strm_worker_nudge_at_commit(void);

#endif							/* STRM_WORKER_DATABASE_COMMAND_H */
