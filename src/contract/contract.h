/*
 * contract.h
 *	  The compiled data contract: what the rest of the extension knows of schema, personal fields and validations.
 */
#ifndef STRM_CONTRACT_H
#define STRM_CONTRACT_H

#include "utils/jsonb.h"
#include "utils/palloc.h"

/* Top-level personal fields a contract may have: the decrypting function takes each as an argument, of at most 100. */
#define STRM_MAX_PERSONAL_FIELDS 80

typedef enum StrmType
{
	STRM_TYPE_STRING,
	STRM_TYPE_BOOLEAN,
	STRM_TYPE_INTEGER,
	STRM_TYPE_LONG,
	STRM_TYPE_FLOAT
} StrmType;

typedef enum StrmContractState
{
	STRM_CONTRACT_DRAFT,
	STRM_CONTRACT_IN_REVIEW,
	STRM_CONTRACT_APPROVED,
	STRM_CONTRACT_ACTIVE,
	STRM_CONTRACT_ARCHIVED
} StrmContractState;

typedef struct StrmField
{
	char	   *name;			/* the contract's name (Avro name), as in event JSON */
	char	   *column;			/* column name: snake_case of name */
	char	   *doc;			/* or NULL */
	StrmType	type;
	bool		required;
	bool		repeated;
	bool		personal;
	int			level;			/* purpose level, when personal */
	int			personal_index; /* position among the personal fields, in contract order; -1 when not personal */
} StrmField;

/* A regex validation: unanchored search, as written. */
typedef struct StrmValidation
{
	int			field;			/* ordinal */
	char	   *pattern;
	text	   *regex;			/* the same as a text: the regex engine's cache is keyed by it */
} StrmValidation;

typedef struct StrmContract
{
	int			id;				/* strm.data_contract.id, 0 before it is stored */
	char	   *handle;
	char	   *name;
	char	   *version;		/* "1.0.0" */
	StrmContractState state;
	char	   *schema_name;	/* the schema's own name, as an Avro name, or NULL */
	int			nfields;
	StrmField  *fields;			/* contract order; the index is the field's ordinal */
	int			npersonal;
	int		   *personal;		/* ordinals of the personal fields */
	int			key_field;		/* ordinal */
	int			subject_field;	/* ordinal, or -1 */
	int			nvalidations;
	StrmValidation *validations;
} StrmContract;

/*
 * Compiles a stored contract from its two documents, in the current memory context. Raises one ERROR (22023) with a
 * detail line per fault. handle, name, version, id and state are left for the caller.
 */
extern StrmContract *strm_contract_compile(Jsonb *schema, Jsonb *contract);

/*
 * The same for a new definition: faults are added to faults, and when there are any, the result only serves to look for
 * more of them. *ignored: names of members that were accepted without effect, or an empty string.
 */
struct StrmFaults;
extern StrmContract *strm_contract_read(Jsonb *schema, Jsonb *contract, struct StrmFaults *faults, char **ignored);

/* Ordinal of the field of that name (the contract's), or -1. */
extern int	strm_contract_field(const StrmContract *contract, const char *name);

/* The column's SQL type when it is not personal, and the type a decrypted value has; repeated gives the array type. */
extern Oid	strm_field_type(const StrmField *field);

/*
 * The first of the contract's validations of a field that a value breaks, or NULL. text is not NUL-terminated. For a
 * repeated field: once per element.
 */
extern const StrmValidation *strm_contract_broken_validation(const StrmContract *contract, int ordinal,
															 const char *text, int len);

/* The same; raises a private error (23514) that names contract, field and rule and never the value. */
extern void strm_contract_validate(const StrmContract *contract, int ordinal, const char *text, int len);

/* true when any validation concerns that field: callers need not make a text of other values */
extern bool strm_contract_has_validation(const StrmContract *contract, int ordinal);

/*
 * Splits "handle/name/1.0.0"; false when it is not of that form. Results in the current context; version is canonical
 * (01.0.0 gives 1.0.0), so that equal versions have equal texts.
 */
extern bool strm_contract_split_ref(const char *ref, char **handle, char **name, char **version);

/* The same; raises 22023 when it is not of that form. */
extern void strm_contract_parse_ref(const char *ref, char **handle, char **name, char **version);

/* The three numbers of a version; false when it is none. */
extern bool strm_contract_parse_version(const char *version, int32 numbers[3]);

/* "handle/name/1.0.0", in the current context */
extern char *strm_contract_ref(const StrmContract *contract);

#endif							/* STRM_CONTRACT_H */
