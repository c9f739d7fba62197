/*
 * simulate_set.c
 *	  Sets of ASCII characters, as regular expressions name them.
 */
#include "postgres.h"

#include <ctype.h>

#include "ingest/simulate_set.h"
#include "strm_privacy.h"

static int
strm_simulate_set_is_word(int c)
{
	return isalnum(c) || c == '_';
}

/* Adds the printable characters of a class of ctype.h. */
static void
strm_simulate_set_add_class(StrmSimulateSet *set, int (*is_member) (int c))
{
	for (int c = ' '; c < 127; c++)
		set->member[c] |= is_member(c) != 0;
}

void
strm_simulate_set_add_range(StrmSimulateSet *set, int first, int last)
{
	for (int c = Max(first, 1); c <= Min(last, 127); c++)
		set->member[c] = true;
}

StrmSimulateSet
strm_simulate_set_complement(const StrmSimulateSet *set)
{
	StrmSimulateSet all = {0};
	StrmSimulateSet plain = {0};
	bool		any_plain = false;

	for (int c = ' '; c < 127; c++)
	{
		all.member[c] = !set->member[c];
		plain.member[c] = all.member[c] && (islower(c) || isdigit(c));
		any_plain |= plain.member[c];
	}
	return any_plain ? plain : all;
}

bool
strm_simulate_set_add_escape(StrmSimulateSet *set, char c)
{
	StrmSimulateSet base = {0};

	switch (tolower((unsigned char) c))
	{
		case 'd':
			strm_simulate_set_add_class(&base, isdigit);
			break;
		case 's':
			base.member[' '] = true;
			break;
		case 'w':
			strm_simulate_set_add_class(&base, strm_simulate_set_is_word);
			break;
		default:
			return false;
	}
	if (isupper((unsigned char) c))
		base = strm_simulate_set_complement(&base);
	for (int i = 0; i < lengthof(base.member); i++)
		set->member[i] |= base.member[i];
	return true;
}

bool
strm_simulate_set_add_named(StrmSimulateSet *set, const char *name, Size size)
{
	static const struct
	{
		const char *name;
		int			(*is_member) (int c);
	}			classes[] = {
		{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"digit", isdigit},
		{"graph", isgraph}, {"lower", islower}, {"print", isprint}, {"punct", ispunct},
		{"space", isspace}, {"upper", isupper}, {"word", strm_simulate_set_is_word}, {"xdigit", isxdigit},
	};

	for (int i = 0; i < lengthof(classes); i++)
	{
		if (size == strlen(classes[i].name) && memcmp(name, classes[i].name, size) == 0)
		{
			strm_simulate_set_add_class(set, classes[i].is_member);
			return true;
		}
	}
	return false;
}

bool
strm_simulate_set_is_empty(const StrmSimulateSet *set)
{
	StrmSimulateSet none = {0};

	return memcmp(set, &none, sizeof(none)) == 0;
}

char
strm_simulate_set_choose(const StrmSimulateSet *set, pg_prng_state *prng)
{
	char		members[lengthof(set->member)];
	int			count = 0;

	for (int c = 0; c < lengthof(set->member); c++)
	{
		if (set->member[c])
			members[count++] = (char) c;
	}
	return members[pg_prng_uint64_range(prng, 0, count - 1)];
}
