/*
 * errors.h
 *	  SQLSTATEs, one meaning each, and errors that cannot carry personal data.
 *
 *	  Besides the ones below, codes of the server are used in the server's own meaning, by its names: no memory, file
 *	  descriptor or disk space (class 53), not a table or file (42809), no such table, schema or column (class 42), an
 *	  encoding that cannot be converted (22P05), a trigger function that is not called by its trigger (class 39).
 */
#ifndef STRM_COMMON_ERRORS_H
#define STRM_COMMON_ERRORS_H

#include "lib/stringinfo.h"
#include "utils/elog.h"
#include "utils/errcodes.h"

/* a definition or an argument is at fault */
#define STRM_ERR_ARGUMENT ERRCODE_INVALID_PARAMETER_VALUE	/* 22023 */
/* no master key, no preload, a contract that is not active: nothing wrong with the call itself */
#define STRM_ERR_STATE ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE /* 55000 */
/* a row breaks a validation of its contract */
#define STRM_ERR_VALIDATION ERRCODE_CHECK_VIOLATION /* 23514 */
/* a required field or the key field is missing */
#define STRM_ERR_REQUIRED ERRCODE_NOT_NULL_VIOLATION	/* 23502 */
/* a value is not of its field's type */
#define STRM_ERR_TYPE ERRCODE_INVALID_TEXT_REPRESENTATION	/* 22P02 */
/* a text is no timestamp of its format */
#define STRM_ERR_TIMESTAMP ERRCODE_INVALID_DATETIME_FORMAT	/* 22007 */
/* a seal or ciphertext is not authentic, or a key is lost */
#define STRM_ERR_FORGED ERRCODE_DATA_CORRUPTED	/* XX001 */
/* the caller may not do this */
#define STRM_ERR_PRIVILEGE ERRCODE_INSUFFICIENT_PRIVILEGE	/* 42501 */
/* no such purpose, contract, stream, ... */
#define STRM_ERR_UNDEFINED ERRCODE_UNDEFINED_OBJECT /* 42704 */
/* it exists already */
#define STRM_ERR_DUPLICATE ERRCODE_DUPLICATE_OBJECT /* 42710 */
/* a size or count limit of ours */
#define STRM_ERR_LIMIT ERRCODE_PROGRAM_LIMIT_EXCEEDED	/* 54000 */
/* the server has no room for another background worker */
#define STRM_ERR_WORKERS ERRCODE_CONFIGURATION_LIMIT_EXCEEDED	/* 53400 */
/* a job was cancelled */
#define STRM_ERR_CANCELLED ERRCODE_QUERY_CANCELED	/* 57014 */
/* the process that worked on a job is gone */
#define STRM_ERR_LOST ERRCODE_CRASH_SHUTDOWN	/* 57P02 */
/* the server is being shut down, or an administrator ended the process */
#define STRM_ERR_TERMINATED ERRCODE_ADMIN_SHUTDOWN	/* 57P01 */
/* cannot be done inside a transaction block */
#define STRM_ERR_TRANSACTION ERRCODE_ACTIVE_SQL_TRANSACTION /* 25001 */
/* a managed column, trigger or constraint may not be changed */
#define STRM_ERR_PROTECTED ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST	/* 2BP01 */
/* a server outside could not be reached, or stopped answering */
#define STRM_ERR_CONNECT ERRCODE_CONNECTION_FAILURE /* 08006 */
/* a server outside refused credentials, or what they are used for */
#define STRM_ERR_REFUSED ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION	/* 08004 */
/* no such file, object or bucket outside */
#define STRM_ERR_MISSING ERRCODE_UNDEFINED_FILE /* 58P01 */
/* a file system or object store outside failed, or broke its protocol */
#define STRM_ERR_STORE ERRCODE_IO_ERROR /* 58030 */
/* a library failed (out of memory, no entropy) */
#define STRM_ERR_INTERNAL ERRCODE_INTERNAL_ERROR	/* XX000 */

/*
 * Cuts the context stack, whose callbacks may quote values: COPY's adds the raw input line, for the client too. Of COPY
 * only the table and the number of the line remain. frame must live as long as the stack is cut.
 */
extern void strm_errors_cut_context(ErrorContextCallback *frame);

/*
 * An ERROR about a row that may hold personal data. The context stack is cut first; the server's log gets neither the
 * statement nor a context. The message itself must name contract, field and rule only, never a value.
 */
#define strm_ereport_private(...) \
	do { \
		ErrorContextCallback strm_frame; \
		strm_errors_cut_context(&strm_frame); \
		ereport(ERROR, errhidestmt(true), errhidecontext(true), __VA_ARGS__); \
	} while (0)

/* Is it a message of this library? Those never carry a value. */
extern bool strm_errors_are_ours(const ErrorData *edata);

/*
 * May the message be logged or stored as it is? Ours, constant ones, and the server's own of classes that name objects,
 * settings and numbers only. (Not 42: "column does not exist" quotes what a producer wrote between the wrong quotes.)
 */
extern bool strm_errors_message_is_safe(const ErrorData *edata);

/* What may be told of an error; detail and hint may be NULL. */
typedef struct StrmErrorText
{
	const char *message;
	const char *detail;
	const char *hint;
} StrmErrorText;

/*
 * Of an error that may be about a row: a message that could hold a value is replaced by the text that it was made
 * from. In the current context, and as long as edata.
 */
extern void strm_errors_describe(const ErrorData *edata, StrmErrorText *text);

/* Collects faults, so that one error reports them all, a detail line each. */
typedef struct StrmFaults
{
	int			count;
	StringInfoData lines;
} StrmFaults;

extern void strm_faults_init(StrmFaults *faults);
extern void strm_faults_add(StrmFaults *faults, const char *fmt,...) pg_attribute_printf(2, 3);

/* Raises all faults as one error of the given SQLSTATE, if there are any. hint may be NULL. */
extern void strm_faults_raise(StrmFaults *faults, int sqlstate, const char *primary, const char *hint);

#endif							/* STRM_COMMON_ERRORS_H */
