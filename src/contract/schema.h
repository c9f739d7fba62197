/*
 * schema.h
 *	  Readers of schema languages. A new language is one more StrmSchemaReader in schema.c's table.
 */
#ifndef STRM_CONTRACT_SCHEMA_H
#define STRM_CONTRACT_SCHEMA_H

#include "contract/contract.h"
#include "contract/document.h"

/* Fields in the order in which a reader finds them; grows as they are added. */
typedef struct StrmSchemaFields
{
	int			count;
	int			allocated;
	StrmField  *fields;
	char	   *name;			/* of the schema, as an Avro name, or NULL */
} StrmSchemaFields;

typedef struct StrmSchemaReader
{
	const char *language;		/* as in messages: "Simple Schema in JSON" */
	bool		(*detect) (JsonbContainer *root);	/* is the object a schema of this language? */
	void		(*read) (StrmDocument *document, JsonbContainer *root, StrmSchemaFields *fields);
} StrmSchemaReader;

extern const StrmSchemaReader strm_schema_simple;

/* Detects the language and reads the fields; a schema of none or several languages is a fault. */
extern void strm_schema_read(StrmDocument *document, Jsonb *schema, StrmSchemaFields *fields);

/*
 * Appends a field with its name (of Avro form), column and defaults; the reader sets the rest. NULL, and a fault, when
 * name cannot be a field. where names the node in faults.
 */
extern StrmField *strm_schema_add_field(StrmDocument *document, StrmSchemaFields *fields, const char *name,
										const char *where);

/* The languages that this version reads, for messages. Palloc'd. */
extern char *strm_schema_languages(void);

#endif							/* STRM_CONTRACT_SCHEMA_H */
