/*
 * validation.c
 *	  Regex validations: an unanchored search with PostgreSQL's engine, as written.
 *
 *	  Collation "C": classes such as \w and case-insensitive matching know ASCII letters only, as they do in Java, where
 *	  the original ran these expressions; so the same row is valid on every server, whatever its locale. Characters are
 *	  characters of the database's encoding all the same, not bytes. Compiled expressions are kept by the engine's own
 *	  per-backend cache.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"

#include "common/errors.h"
#include "contract/contract.h"
#include "contract/validation.h"
#include "strm_privacy.h"

/* Is there "&&" in a bracket expression? It intersects sets in Java; here it would be two ordinary characters. */
static bool
strm_validation_has_intersection(const char *pattern)
{
	bool		in_class = false;

	for (const char *p = pattern; *p != '\0'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (!in_class && *p == '[')
		{
			in_class = true;
			if (p[1] == '^')
				p++;
			if (p[1] == ']')
				p++;
		}
		else if (in_class && *p == ']')
			in_class = false;
		else if (in_class && *p == '&' && p[1] == '&')
			return true;
	}
	return false;
}

bool
strm_validation_check_pattern(StrmFaults *faults, const char *pattern, const char *where)
{
	int			size = strlen(pattern);
	pg_wchar   *wide = palloc((size + 1) * sizeof(pg_wchar));
	int			length = pg_mb2wchar_with_len(pattern, wide, size);
	regex_t		regex;
	char		message[128];
	int			status;

	if (strm_validation_has_intersection(pattern))
	{
		strm_faults_add(faults, "%s: \"&&\" within a character class is not supported", where);
		return false;
	}

	status = pg_regcomp(&regex, wide, length, REG_ADVANCED | REG_NOSUB, C_COLLATION_OID);
	pfree(wide);
	if (status != REG_OKAY)
	{
		pg_regerror(status, &regex, message, sizeof(message));
		strm_faults_add(faults, "%s: invalid regular expression \"%s\": %s", where, pattern, message);
		return false;
	}
	pg_regfree(&regex);
	return true;
}

bool
strm_contract_has_validation(const StrmContract *contract, int ordinal)
{
	for (int i = 0; i < contract->nvalidations; i++)
	{
		if (contract->validations[i].field == ordinal)
			return true;
	}
	return false;
}

const StrmValidation *
strm_contract_broken_validation(const StrmContract *contract, int ordinal, const char *text, int len)
{
	for (int i = 0; i < contract->nvalidations; i++)
	{
		const StrmValidation *validation = &contract->validations[i];

		if (validation->field == ordinal &&
			!RE_compile_and_execute(validation->regex, unconstify(char *, text), len, REG_ADVANCED | REG_NOSUB,
									C_COLLATION_OID, 0, NULL))
			return validation;
	}
	return NULL;
}

void
strm_contract_validate(const StrmContract *contract, int ordinal, const char *text, int len)
{
	const StrmValidation *broken = strm_contract_broken_validation(contract, ordinal, text, len);

	if (broken != NULL)
		strm_ereport_private(errcode(STRM_ERR_VALIDATION),
							 errmsg("field \"%s\" of contract %s breaks its validation",
									contract->fields[ordinal].name, strm_contract_ref(contract)),
							 errdetail("The value does not match the regular expression \"%s\".", broken->pattern));
}
