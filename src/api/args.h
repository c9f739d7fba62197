/*
 * args.h
 *	  Unpacking and checking the arguments of SQL functions.
 */
#ifndef STRM_API_ARGS_H
#define STRM_API_ARGS_H

#include "fmgr.h"

#include "catalog/stream.h"
#include "common/errors.h"

/* A text argument (0-based n) as a C string; raises 22023, naming it, when it is NULL. */
extern char *strm_args_text(FunctionCallInfo fcinfo, int n, const char *name);

/* Raises 22023, naming the argument (0-based n), when it is NULL. */
extern void strm_args_require(FunctionCallInfo fcinfo, int n, const char *name);

/* A text argument that may be NULL. */
extern char *strm_args_text_or_null(FunctionCallInfo fcinfo, int n);

/* The stream of that table; raises 42704 when it is none. */
extern const StrmStream *strm_args_stream(Oid relid);

/* Raises 22023 unless value has min to max characters, none of them a control character. what is "purpose name". */
extern void strm_args_check_label(const char *value, const char *what, int min, int max);

/* The same as a fault: "name must have 1 to 100 characters, none of them a control character". */
extern void strm_args_label_fault(const char *value, const char *what, int min, int max, StrmFaults *faults);

/* Name of the current role, in the current context. */
extern char *strm_args_current_role(void);

/* Is the current role a superuser, or has it the privileges of the role of that name? */
extern bool strm_args_has_role(const char *role);

#endif							/* STRM_API_ARGS_H */
