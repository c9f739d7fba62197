/*
 * document.h
 *	  Reading the members of JSON objects, as all document readers of this folder do it: every member is known or a
 *	  fault, in camelCase or snake_case, of the expected type.
 */
#ifndef STRM_CONTRACT_DOCUMENT_H
#define STRM_CONTRACT_DOCUMENT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#include "common/errors.h"

/*
 * Where a document's faults go, and the names of members that were accepted without effect. by_path: faults name a
 * member by its path (a.b_c: must be a string), and where is the path of its object, "" at the top; else in words
 * (the contract: member "bC" must be a string).
 */
typedef struct StrmDocument
{
	StrmFaults *faults;
	StringInfoData ignored;
	bool		by_path;
} StrmDocument;

/*
 * Parses text as JSON, in the current context; NULL and a fault when it is none. what is "the schema" or "the
 * contract".
 */
extern Jsonb *strm_document_parse(StrmFaults *faults, const char *text, const char *what);

/* One member that an object may have. */
typedef struct StrmMember
{
	const char *name;			/* camelCase; the snake_case form is accepted too */
	bool		ignored;		/* part of a printed form, without effect here */
	bool		present;		/* set by strm_document_members; a JSON null counts as absent */
	JsonbValue	value;			/* when present */
} StrmMember;

/*
 * Fills members from object. Unknown members and members given twice (in both spellings) are faults. where names the
 * object in faults: "the contract", "field metadata 2".
 */
extern void strm_document_members(StrmDocument *document, JsonbContainer *object, const char *where,
								  StrmMember *members, int nmembers);

/*
 * The value of a member of the expected type, in the current context. NULL, or the default, when it is absent; also
 * when it is of another type, which is a fault. A level is 0 when absent, -1 when it is a fault.
 */
extern char *strm_document_string(StrmDocument *document, const StrmMember *member, const char *where);
extern bool strm_document_bool(StrmDocument *document, const StrmMember *member, const char *where);
extern int	strm_document_level(StrmDocument *document, const StrmMember *member, const char *where);
extern JsonbContainer *strm_document_object(StrmDocument *document, const StrmMember *member, const char *where);
extern JsonbContainer *strm_document_array(StrmDocument *document, const StrmMember *member, const char *where);

/* Is value an integer from 0 to max? An integer in a string is one too, as in protobuf's JSON. */
extern bool strm_document_integer(const JsonbValue *value, int64 max, int64 *result);

/* Path of a member: "encrypted_data.target.file_name" of fileName, in the current context. */
extern char *strm_document_path(const char *where, const char *name);

/*
 * Calls visit for each object of an array; an element of another kind is a fault. where is "<what> <1-based position>".
 */
typedef void (*StrmDocumentVisit) (StrmDocument *document, JsonbContainer *object, const char *where, void *arg);
extern void strm_document_each(StrmDocument *document, JsonbContainer *array, const char *what,
							   StrmDocumentVisit visit, void *arg);

/* The container of an object or array value; NULL when the value is neither or another one. */
extern JsonbContainer *strm_document_container(const JsonbValue *value, bool is_array);

#endif							/* STRM_CONTRACT_DOCUMENT_H */
