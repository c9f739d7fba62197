/*
 * names.h
 *	  Names of fields and columns.
 */
#ifndef STRM_CONTRACT_NAMES_H
#define STRM_CONTRACT_NAMES_H

/* snake_case of a field's name, which is of Avro form: customerId and CustomerID give customer_id. Palloc'd. */
extern char *strm_names_column(const char *name);

/* name without the characters that an Avro name may not have. Palloc'd; may be empty or start with a digit. */
extern char *strm_names_strip(const char *name);

/* Is name an Avro name, [A-Za-z_][A-Za-z0-9_]*? */
extern bool strm_names_is_avro(const char *name);

/* Does name hold a control character? */
extern bool strm_names_has_control(const char *name);

#endif							/* STRM_CONTRACT_NAMES_H */
