/*
 * simulate_pattern.c
 *	  Random texts that match a regular expression, for simulated events.
 *
 *	  A recursive-descent parser of PostgreSQL's advanced regular expressions (documentation, section 9.7.3) builds a
 *	  tree of sets, sequences, choices and repetitions; generation walks it. What a text can only be tested for
 *	  (anchors, word boundaries, look-around, flags) is the empty text here, because the caller verifies with the
 *	  server's own engine. Generated characters are printable ASCII, letters and digits where the expression leaves the
 *	  choice; characters above ASCII appear only where they are literals.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"

#include "ingest/simulate_pattern.h"
#include "ingest/simulate_set.h"
#include "strm_privacy.h"

/* Repetitions beyond the smallest number that an open-ended or wide quantifier gets. */
#define EXTRA_REPETITIONS 8
#define MAX_GENERATED 4096
#define NO_LIMIT (-1)

typedef enum StrmPatternKind
{
	PATTERN_EMPTY,
	PATTERN_SET,				/* one of the ASCII characters in set */
	PATTERN_LITERAL,			/* one character above ASCII */
	PATTERN_SEQUENCE,			/* all parts, in order */
	PATTERN_CHOICE,				/* one of the parts */
	PATTERN_REPEAT				/* the first part, min to max times */
} StrmPatternKind;

struct StrmPattern
{
	StrmPatternKind kind;
	List	   *parts;
	int			min;
	int			max;			/* or NO_LIMIT */
	char	   *literal;
	StrmSimulateSet set;
};

typedef struct StrmPatternParser
{
	const char *next;
	bool		failed;
} StrmPatternParser;

static StrmPattern *strm_pattern_parse_choice(StrmPatternParser *parser);

static StrmPattern *
strm_pattern_node(StrmPatternKind kind)
{
	StrmPattern *node = palloc0(sizeof(StrmPattern));

	node->kind = kind;
	return node;
}

static StrmPattern *
strm_pattern_fail(StrmPatternParser *parser)
{
	parser->failed = true;
	return strm_pattern_node(PATTERN_EMPTY);
}

static StrmPattern *
strm_pattern_set(const StrmSimulateSet *set)
{
	StrmPattern *node = strm_pattern_node(PATTERN_SET);

	node->set = *set;
	return node;
}

static StrmPattern *
strm_pattern_character(int c)
{
	StrmPattern *node = strm_pattern_node(PATTERN_SET);

	node->set.member[c] = true;
	return node;
}

/* The hexadecimal digits of \x, \u and \U. NUL, above ASCII, or none at all fails. */
static int
strm_pattern_parse_hex(StrmPatternParser *parser, int max_digits)
{
	int			value = 0;
	int			digits = 0;

	while (digits < max_digits && isxdigit((unsigned char) *parser->next) && value < 128)
	{
		char		c = (char) tolower((unsigned char) *parser->next++);

		value = value * 16 + (isdigit((unsigned char) c) ? c - '0' : c - 'a' + 10);
		digits++;
	}
	if (digits == 0 || value == 0 || value > 127)
		parser->failed = true;
	return parser->failed ? 0 : value;
}

/* The character that an escape stands for; parser->next is behind the backslash. Fails when it stands for none. */
static int
strm_pattern_parse_character_escape(StrmPatternParser *parser)
{
	char		c = *parser->next;

	if (c != '\0')
		parser->next++;
	switch (c)
	{
		case 'a':
			return '\a';
		case 'b':
			return '\b';
		case 'B':
			return '\\';
		case 'e':
			return 033;
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		case 'v':
			return '\v';
		case 'x':
			return strm_pattern_parse_hex(parser, 8);
		case 'u':
			return strm_pattern_parse_hex(parser, 4);
		case 'U':
			return strm_pattern_parse_hex(parser, 8);
	}
	if (c != '\0' && !IS_HIGHBIT_SET(c) && !isalnum((unsigned char) c))
		return c;
	parser->failed = true;		/* back references and the rest */
	return 0;
}

static StrmPattern *
strm_pattern_parse_escape(StrmPatternParser *parser)
{
	StrmSimulateSet set = {0};
	char		c = *parser->next;

	if (c != '\0' && strchr("AmMyYZ", c) != NULL)
	{
		parser->next++;
		return strm_pattern_node(PATTERN_EMPTY);
	}
	if (strm_simulate_set_add_escape(&set, c))
	{
		parser->next++;
		return strm_pattern_set(&set);
	}
	return strm_pattern_character(strm_pattern_parse_character_escape(parser));
}

/* [:name:] within brackets; parser->next is behind [:. */
static void
strm_pattern_parse_named_class(StrmPatternParser *parser, StrmSimulateSet *set)
{
	const char *end = strstr(parser->next, ":]");

	if (end == NULL || !strm_simulate_set_add_named(set, parser->next, end - parser->next))
		parser->failed = true;
	else
		parser->next = end + 2;
}

/* One end of a range, or a member, within brackets: a character; 128 for any above ASCII. */
static int
strm_pattern_parse_bracket_character(StrmPatternParser *parser)
{
	if (IS_HIGHBIT_SET(*parser->next))
	{
		parser->next += pg_mblen(parser->next);
		return 128;
	}
	if (*parser->next == '\\')
	{
		parser->next++;
		return strm_pattern_parse_character_escape(parser);
	}
	return *parser->next++;
}

/* A member or range within brackets. */
static void
strm_pattern_parse_bracket_member(StrmPatternParser *parser, StrmSimulateSet *set)
{
	int			first;
	int			last;

	if (parser->next[0] == '[' && parser->next[1] == ':')
	{
		parser->next += 2;
		strm_pattern_parse_named_class(parser, set);
		return;
	}
	if (parser->next[0] == '[' && (parser->next[1] == '.' || parser->next[1] == '='))
	{
		parser->failed = true;
		return;
	}
	if (parser->next[0] == '\\' && strm_simulate_set_add_escape(set, parser->next[1]))
	{
		parser->next += 2;
		return;
	}
	first = last = strm_pattern_parse_bracket_character(parser);
	if (parser->next[0] == '-' && parser->next[1] != ']' && parser->next[1] != '\0')
	{
		parser->next++;
		last = strm_pattern_parse_bracket_character(parser);
	}
	strm_simulate_set_add_range(set, first, last);
}

/* A bracket expression; parser->next is behind [. */
static StrmPattern *
strm_pattern_parse_bracket(StrmPatternParser *parser)
{
	StrmSimulateSet set = {0};
	bool		negated = *parser->next == '^';
	bool		first = true;

	if (negated)
		parser->next++;
	while (!parser->failed && (*parser->next != ']' || first))
	{
		if (*parser->next == '\0')
			return strm_pattern_fail(parser);
		strm_pattern_parse_bracket_member(parser, &set);
		first = false;
	}
	parser->next++;
	if (negated)
		set = strm_simulate_set_complement(&set);
	if (parser->failed || strm_simulate_set_is_empty(&set))
		return strm_pattern_fail(parser);
	return strm_pattern_set(&set);
}

/* A group or look-around constraint; parser->next is behind the parenthesis. */
static StrmPattern *
strm_pattern_parse_group(StrmPatternParser *parser)
{
	static const char *const constraints[] = {"?=", "?!", "?<=", "?<!"};
	bool		constraint = false;
	StrmPattern *inner;

	for (int i = 0; i < lengthof(constraints) && !constraint; i++)
	{
		constraint = strncmp(parser->next, constraints[i], strlen(constraints[i])) == 0;
		if (constraint)
			parser->next += strlen(constraints[i]);
	}
	if (!constraint && strncmp(parser->next, "?:", 2) == 0)
		parser->next += 2;
	inner = strm_pattern_parse_choice(parser);
	if (parser->failed || *parser->next != ')')
		return strm_pattern_fail(parser);
	parser->next++;
	return constraint ? strm_pattern_node(PATTERN_EMPTY) : inner;
}

static StrmPattern *
strm_pattern_parse_atom(StrmPatternParser *parser)
{
	StrmSimulateSet none = {0};
	StrmSimulateSet any;
	StrmPattern *node;
	int			size;

	if (IS_HIGHBIT_SET(*parser->next))
	{
		size = pg_mblen(parser->next);
		node = strm_pattern_node(PATTERN_LITERAL);
		node->literal = pnstrdup(parser->next, size);
		parser->next += size;
		return node;
	}
	switch (*parser->next++)
	{
		case '(':
			return strm_pattern_parse_group(parser);
		case '[':
			return strm_pattern_parse_bracket(parser);
		case '\\':
			return strm_pattern_parse_escape(parser);
		case '^':
		case '$':
			return strm_pattern_node(PATTERN_EMPTY);
		case '.':
			any = strm_simulate_set_complement(&none);
			return strm_pattern_set(&any);
		default:
			return strm_pattern_character(parser->next[-1]);
	}
}

/* The bounds of {m}, {m,} or {m,n}; parser->next is behind the brace. */
static void
strm_pattern_parse_bounds(StrmPatternParser *parser, StrmPattern *repeat)
{
	char	   *end;

	repeat->min = repeat->max = (int) strtol(parser->next, &end, 10);
	if (*end == ',')
	{
		end++;
		repeat->max = isdigit((unsigned char) *end) ? (int) strtol(end, &end, 10) : NO_LIMIT;
	}
	if (*end != '}')
		parser->failed = true;
	else
		parser->next = end + 1;
}

/* An atom with its quantifier, if any. */
static StrmPattern *
strm_pattern_parse_quantified(StrmPatternParser *parser)
{
	StrmPattern *atom = strm_pattern_parse_atom(parser);
	StrmPattern *repeat;
	char		c;

	if (parser->failed)
		return atom;
	c = *parser->next;
	if (c != '*' && c != '+' && c != '?' && !(c == '{' && isdigit((unsigned char) parser->next[1])))
		return atom;

	parser->next++;
	repeat = strm_pattern_node(PATTERN_REPEAT);
	repeat->parts = list_make1(atom);
	if (c == '{')
		strm_pattern_parse_bounds(parser, repeat);
	else
	{
		repeat->min = c == '+' ? 1 : 0;
		repeat->max = c == '?' ? 1 : NO_LIMIT;
	}
	if (*parser->next == '?')	/* non-greedy: the same texts match */
		parser->next++;
	return repeat;
}

static StrmPattern *
strm_pattern_parse_sequence(StrmPatternParser *parser)
{
	StrmPattern *sequence = strm_pattern_node(PATTERN_SEQUENCE);

	while (!parser->failed && *parser->next != '\0' && *parser->next != '|' && *parser->next != ')')
		sequence->parts = lappend(sequence->parts, strm_pattern_parse_quantified(parser));
	return sequence;
}

static StrmPattern *
strm_pattern_parse_choice(StrmPatternParser *parser)
{
	StrmPattern *choice = strm_pattern_node(PATTERN_CHOICE);

	check_stack_depth();
	choice->parts = list_make1(strm_pattern_parse_sequence(parser));
	while (!parser->failed && *parser->next == '|')
	{
		parser->next++;
		choice->parts = lappend(choice->parts, strm_pattern_parse_sequence(parser));
	}
	return choice;
}

/* Skips what may precede an expression: ***: and embedded options. Fails on those that change the syntax. */
static void
strm_pattern_skip_prefix(StrmPatternParser *parser)
{
	if (strncmp(parser->next, "***:", 4) == 0)
		parser->next += 4;
	if (strncmp(parser->next, "***", 3) == 0)
		parser->failed = true;
	if (parser->next[0] == '(' && parser->next[1] == '?' && isalpha((unsigned char) parser->next[2]))
	{
		parser->next += 2;
		while (*parser->next != '\0' && strchr("cimnpstw", *parser->next) != NULL)
			parser->next++;
		if (*parser->next++ != ')')
			parser->failed = true;
	}
}

StrmPattern *
strm_pattern_compile(const char *regex)
{
	StrmPatternParser parser = {.next = regex};
	StrmPattern *pattern = NULL;

	strm_pattern_skip_prefix(&parser);
	if (!parser.failed)
		pattern = strm_pattern_parse_choice(&parser);
	return parser.failed || *parser.next != '\0' ? NULL : pattern;
}

bool
strm_pattern_generate(const StrmPattern *pattern, pg_prng_state *prng, StringInfo out)
{
	ListCell   *lc;
	int			max;
	int			count;

	check_stack_depth();
	if (out->len > MAX_GENERATED)
		return false;

	switch (pattern->kind)
	{
		case PATTERN_EMPTY:
			return true;
		case PATTERN_SET:
			appendStringInfoChar(out, strm_simulate_set_choose(&pattern->set, prng));
			return true;
		case PATTERN_LITERAL:
			appendStringInfoString(out, pattern->literal);
			return true;
		case PATTERN_SEQUENCE:
			foreach(lc, pattern->parts)
			{
				if (!strm_pattern_generate(lfirst(lc), prng, out))
					return false;
			}
			return true;
		case PATTERN_CHOICE:
			count = (int) pg_prng_uint64_range(prng, 0, list_length(pattern->parts) - 1);
			return strm_pattern_generate(list_nth(pattern->parts, count), prng, out);
		case PATTERN_REPEAT:
			max = pattern->min + EXTRA_REPETITIONS;
			if (pattern->max != NO_LIMIT)
				max = Min(max, pattern->max);
			count = (int) pg_prng_uint64_range(prng, pattern->min, Max(max, pattern->min));
			for (int i = 0; i < count; i++)
			{
				if (!strm_pattern_generate(linitial(pattern->parts), prng, out))
					return false;
			}
			return true;
	}
	pg_unreachable();
}
