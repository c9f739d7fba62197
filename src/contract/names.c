/*
 * names.c
 *	  Names of fields and columns. ASCII only, by Avro's rules, so nothing depends on the database's locale.
 */
#include "postgres.h"

#include "contract/names.h"
#include "strm_privacy.h"

static inline bool
strm_names_is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool
strm_names_is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool
strm_names_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A word starts at a capital after a small letter or digit, and at the last capital of a run (URLPath: url_path). */
char *
strm_names_column(const char *name)
{
	char	   *column = palloc(2 * strlen(name) + 1);
	char	   *out = column;

	for (const char *in = name; *in != '\0'; in++)
	{
		bool		starts_word = in > name && strm_names_is_upper(*in) &&
			(strm_names_is_lower(in[-1]) || strm_names_is_digit(in[-1]) ||
			 (strm_names_is_upper(in[-1]) && strm_names_is_lower(in[1])));

		if (starts_word)
			*out++ = '_';
		*out++ = strm_names_is_upper(*in) ? *in - 'A' + 'a' : *in;
	}
	*out = '\0';
	return column;
}

char *
strm_names_strip(const char *name)
{
	char	   *stripped = pstrdup(name);
	char	   *out = stripped;

	for (const char *in = name; *in != '\0'; in++)
	{
		if (strm_names_is_upper(*in) || strm_names_is_lower(*in) || strm_names_is_digit(*in) || *in == '_')
			*out++ = *in;
	}
	*out = '\0';
	return stripped;
}

bool
strm_names_is_avro(const char *name)
{
	char	   *stripped = strm_names_strip(name);
	bool		same = name[0] != '\0' && !strm_names_is_digit(name[0]) && strcmp(stripped, name) == 0;

	pfree(stripped);
	return same;
}

bool
strm_names_has_control(const char *name)
{
	for (; *name != '\0'; name++)
	{
		if ((unsigned char) *name < 0x20 || *name == 0x7f)
			return true;
	}
	return false;
}
