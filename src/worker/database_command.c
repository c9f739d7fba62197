/*
 * database_command.c
 *	  What sessions do that workers have to know of: rows that are stored in streams, extensions that come and go, and
 *	  commands on whole databases.
 *
 *	  DROP DATABASE, CREATE DATABASE ... TEMPLATE, and ALTER DATABASE ... RENAME and SET TABLESPACE fail while anybody
 *	  is connected to the database. Before one of them runs, this session takes the lock on the database that the
 *	  command itself is going to take: from then on no worker can connect (a starting one waits for that lock before it
 *	  counts as connected). Then it tells the scheduler and the export workers to leave, and waits until they have. The
 *	  lock, and with it the exclusion, ends with the transaction, however that ends; then the launcher starts a
 *	  scheduler again, and that one the export workers. A job that runs is not sent away: the command fails as for any
 *	  session.
 *
 *	  Who may not run the command gets no lock: the server's own check comes after ours, and its error is the better
 *	  one.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "ingest/inbox.h"
#include "ingest/stored.h"
#include "strm_privacy.h"
#include "worker/database_command.h"
#include "worker/export_slot.h"
#include "worker/ingest_slot.h"
#include "worker/state.h"

/* ms; the server itself waits 5 s for others to go */
#define STRM_LEAVE_POLL 10
#define STRM_LEAVE_TERMINATE 1000
#define STRM_LEAVE_TIMEOUT 5000

static ProcessUtility_hook_type next_process_utility_hook = NULL;
static object_access_hook_type next_object_access_hook = NULL;

/* What to tell when the current transaction commits; cleared at its end. */
static struct
{
	bool		nudge;			/* the scheduler of this database */
	bool		databases;		/* the launcher: there is a new database */
} pending;

/* A database that a command is about to work on. */
typedef struct StrmDatabaseCommand
{
	const char *name;			/* NULL: none */
	LOCKMODE	lock;			/* that the command takes on it */
	bool		create;			/* the database is the template of a new one */
} StrmDatabaseCommand;

void
strm_worker_nudge_at_commit(void)
{
	pending.nudge = true;
}

/* The value of an option of CREATE or ALTER DATABASE, NULL when it is not given. */
static const char *
strm_database_option(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

static void
strm_database_command_read(Node *statement, StrmDatabaseCommand *command)
{
	memset(command, 0, sizeof(StrmDatabaseCommand));
	command->lock = AccessExclusiveLock;
	if (IsA(statement, DropdbStmt))
		command->name = ((DropdbStmt *) statement)->dbname;
	else if (IsA(statement, RenameStmt) && ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		command->name = ((RenameStmt *) statement)->subname;
	else if (IsA(statement, AlterDatabaseStmt))
	{
		AlterDatabaseStmt *alter = (AlterDatabaseStmt *) statement;

		if (strm_database_option(alter->options, "tablespace") != NULL)
			command->name = alter->dbname;
	}
	else if (IsA(statement, CreatedbStmt))
	{
		command->name = strm_database_option(((CreatedbStmt *) statement)->options, "template");
		if (command->name == NULL)
			command->name = "template1";
		command->lock = ShareLock;
		command->create = true;
	}
}

static bool
strm_database_user_may_create(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		may = false;

	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb || superuser();
		ReleaseSysCache(tuple);
	}
	return may;
}

/* May the current user run the command, as far as its effect on other sessions goes? */
static bool
strm_database_command_allowed(const StrmDatabaseCommand *command, Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	Form_pg_database form;
	bool		allowed;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_database) GETSTRUCT(tuple);
	allowed = has_privs_of_role(GetUserId(), form->datdba);
	if (command->create)
		allowed = (allowed || form->datistemplate) && strm_database_user_may_create();
	ReleaseSysCache(tuple);
	return allowed;
}

/*
 * Waits until no scheduler and no export worker is connected to the database. One that does not listen is terminated
 * after a while.
 */
static void
strm_database_command_wait(Oid database)
{
	pid_t		terminated = 0;

	for (int waited = 0; waited < STRM_LEAVE_TIMEOUT; waited += STRM_LEAVE_POLL)
	{
		pid_t		pid = strm_state_ask_to_leave(database);

		if (pid == 0)
			return;
		if (waited >= STRM_LEAVE_TERMINATE && pid != terminated)
		{
			kill(pid, SIGTERM);
			terminated = pid;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STRM_LEAVE_POLL, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Keeps our workers out of the database that the command works on, until this transaction ends. */
static void
strm_database_command_clear(const StrmDatabaseCommand *command)
{
	Oid			database = get_database_oid(command->name, true);

	if (!OidIsValid(database) || !strm_database_command_allowed(command, database))
		return;
	LockSharedObject(DatabaseRelationId, database, 0, command->lock);
	if (get_database_oid(command->name, true) != database)
	{
		/* it was renamed or dropped meanwhile: the command will see for itself */
		UnlockSharedObject(DatabaseRelationId, database, 0, command->lock);
		return;
	}
	strm_database_command_wait(database);
}

static void
strm_database_process_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
							  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
							  DestReceiver *dest, QueryCompletion *completion)
{
	StrmDatabaseCommand command;

	strm_database_command_read(planned->utilityStmt, &command);
	if (command.name != NULL && strm_state_ready() && IsUnderPostmaster && !RecoveryInProgress())
		strm_database_command_clear(&command);

	if (next_process_utility_hook)
		next_process_utility_hook(planned, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, params, environment, dest, completion);

	if (command.create)
		pending.databases = true;
}

/* CREATE or DROP EXTENSION, of whichever: what it means for us is seen when the transaction has committed. */
static void
strm_database_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(access, class_id, object_id, sub_id, arg);
	if (class_id == ExtensionRelationId && (access == OAT_POST_CREATE || access == OAT_DROP))
		pending.nudge = true;
}

/*
 * Export and ingest workers learn of new rows here; of those of prepared transactions and of subscriptions a little
 * later.
 */
static void
strm_database_transaction_ended(XactEvent event, void *arg)
{
	bool		stored;
	bool		queued;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	stored = strm_stored_take();
	queued = strm_inbox_take();
	if (event == XACT_EVENT_COMMIT && (stored || pending.nudge))
		strm_export_wake(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT && (queued || pending.nudge))
		strm_ingest_wake(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT && pending.nudge)
		strm_state_nudge(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT && pending.databases)
		strm_state_nudge_launcher();
	memset(&pending, 0, sizeof(pending));
}

void
strm_database_command_init(void)
{
	next_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = strm_database_process_utility;
	next_object_access_hook = object_access_hook;
	object_access_hook = strm_database_object_access;
	RegisterXactCallback(strm_database_transaction_ended, NULL);
	strm_inbox_recount = strm_ingest_wake;
}
