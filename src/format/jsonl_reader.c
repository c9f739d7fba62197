/*
 * jsonl_reader.c
 *	  Records of JSON Lines: one object a line, ended by LF (or CRLF); empty lines are skipped.
 *
 *	  The wanted members form a tree, as their names have dots. A line is read in one pass along that tree: what is
 *	  wanted is noted where it stands (strings with escapes are copied once), the rest is only checked. Members come in
 *	  the same order in line after line, so each node remembers which one followed it and the search for a name is one
 *	  comparison. Names that are not wanted are added to the tree, up to a number, and so are found as fast.
 *
 *	  A member that occurs twice is a fault, if it is wanted or among those remembered; so is a member that is not an
 *	  object though members of it are wanted.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "format/input.h"
#include "format/json_scan.h"
#include "format/jsonl.h"
#include "strm_privacy.h"

#define MAX_UNKNOWN 100
#define MAX_UNKNOWN_SIZE 200	/* of a name that is remembered */

/* A member of an object, wanted or seen. */
typedef struct StrmJsonlNode
{
	const char *name;
	Size		size;
	const char *path;			/* name with those of the objects it is in */
	int			column;			/* of the wanted ones; -1: none, or only members of it are wanted */
	bool		inner;			/* members of it are wanted */
	bool		untold;			/* not wanted, and not among those told yet */
	uint64		seen;			/* in which record */
	int			nchildren;
	int			room;
	struct StrmJsonlNode **children;	/* by name */
	struct StrmJsonlNode *first;	/* the member that came first the last time */
	struct StrmJsonlNode *follower; /* the member that came next */
} StrmJsonlNode;

typedef struct StrmJsonlReader
{
	StrmRecordReader base;
	StrmByteSource *source;
	StrmInput	input;
	MemoryContext cxt;
	StrmJsonlNode root;
	int			nwanted;
	int		   *same;			/* of a column that is wanted twice: the first one's; else itself */
	StrmRecordValue *values;
	char	   *scratch;		/* strings without their escapes */
	Size		scratch_size;
	Size		scratch_used;
	int			nunknown;		/* members that are not wanted and remembered */
	List	   *met;			/* those of this record that are untold */
	uint64		number;
	uint64		line;
	char		fault[300];
} StrmJsonlReader;

/* Order of names. */
static inline int
strm_jsonl_compare(const StrmJsonlNode *node, const char *name, Size size)
{
	int			order = memcmp(node->name, name, Min(node->size, size));

	return order != 0 ? order : (node->size > size) - (node->size < size);
}

/* Where the member is among node's children, or belongs. */
static int
strm_jsonl_position(const StrmJsonlNode *node, const char *name, Size size)
{
	int			low = 0;
	int			high = node->nchildren;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (strm_jsonl_compare(node->children[middle], name, size) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The member of that name; NULL when there is none. guess is tried first, if it is not NULL. */
static inline StrmJsonlNode *
strm_jsonl_find(const StrmJsonlNode *node, StrmJsonlNode *guess, const char *name, Size size)
{
	int			position;

	if (guess != NULL && guess->size == size && memcmp(guess->name, name, size) == 0)
		return guess;
	position = strm_jsonl_position(node, name, size);
	if (position < node->nchildren && strm_jsonl_compare(node->children[position], name, size) == 0)
		return node->children[position];
	return NULL;
}

/* Adds a member to node, in the reader's context. */
static StrmJsonlNode *
strm_jsonl_add(StrmJsonlReader *self, StrmJsonlNode *node, const char *name, Size size)
{
	MemoryContext old = MemoryContextSwitchTo(self->cxt);
	StrmJsonlNode *child = palloc0(sizeof(*child));
	int			position = strm_jsonl_position(node, name, size);

	child->path = node->path == NULL ? pnstrdup(name, size) : psprintf("%s.%.*s", node->path, (int) size, name);
	child->name = child->path + strlen(child->path) - size;
	child->size = size;
	child->column = -1;
	if (node->nchildren == node->room)
	{
		node->room = Max(node->room * 2, 8);
		node->children = node->children == NULL ? palloc(node->room * sizeof(StrmJsonlNode *)) :
			repalloc(node->children, node->room * sizeof(StrmJsonlNode *));
	}
	memmove(node->children + position + 1, node->children + position,
			(node->nchildren - position) * sizeof(StrmJsonlNode *));
	node->children[position] = child;
	node->nchildren++;
	MemoryContextSwitchTo(old);
	return child;
}

/* Remembers a member that is not wanted; NULL when that is too much. */
static StrmJsonlNode *
strm_jsonl_add_unknown(StrmJsonlReader *self, StrmJsonlNode *node, const char *name, Size size)
{
	StrmJsonlNode *child;

	if (self->nunknown >= MAX_UNKNOWN || size > MAX_UNKNOWN_SIZE)
		return NULL;
	child = strm_jsonl_add(self, node, name, size);
	child->untold = true;
	self->nunknown++;
	return child;
}

/*
 * Adds the names that this record was the first to have to those that are told. Not of a line that is no JSON: where a
 * quote is missing in it, values look like names.
 */
static void
strm_jsonl_tell_unknown(StrmJsonlReader *self, bool good)
{
	MemoryContext old = MemoryContextSwitchTo(self->cxt);
	ListCell   *cell;

	foreach(cell, self->met)
	{
		StrmJsonlNode *node = lfirst(cell);

		if (!good)
			break;
		node->untold = false;
		self->base.unknown = lappend(self->base.unknown, unconstify(char *, node->path));
	}
	list_free(self->met);
	self->met = NIL;
	MemoryContextSwitchTo(old);
}

/* Puts a wanted column into the tree. */
static void
strm_jsonl_add_wanted(StrmJsonlReader *self, const char *name, int column)
{
	StrmJsonlNode *node = &self->root;

	for (;;)
	{
		const char *dot = strchr(name, '.');
		Size		size = dot != NULL ? dot - name : strlen(name);
		StrmJsonlNode *child = strm_jsonl_find(node, NULL, name, size);

		node->inner = true;
		node = child != NULL ? child : strm_jsonl_add(self, node, name, size);
		if (dot == NULL)
			break;
		name = dot + 1;
	}
	if (node->column < 0)
		node->column = column;
	self->same[column] = node->column;
}

/* A fault at a member; its path is told only if it is wanted. */
static bool
strm_jsonl_member_fault(StrmJsonlReader *self, StrmJsonScan *scan, const StrmJsonlNode *node, const char *what)
{
	if (node->column >= 0 || node->inner)
		snprintf(self->fault, sizeof(self->fault), "has member \"%.200s\" %s", node->path, what);
	else
		snprintf(self->fault, sizeof(self->fault), "has a member %s", what);
	scan->fault = self->fault;
	return false;
}

/* The text of a string; without escapes, if it has any. */
static const char *
strm_jsonl_text(StrmJsonlReader *self, const StrmJsonValue *value, Size *size)
{
	char	   *to;

	*size = value->size;
	if (!value->escaped)
		return value->text;
	to = self->scratch + self->scratch_used;
	*size = strm_json_unescape(value->text, value->size, to);
	self->scratch_used += *size;
	return to;
}

/* Notes the value of a wanted member. */
static void
strm_jsonl_note(StrmJsonlReader *self, const StrmJsonValue *value, StrmRecordValue *to)
{
	static const StrmRecordValueKind kinds[] = {
		[STRM_JSON_STRING] = STRM_RECORD_TEXT,
		[STRM_JSON_NUMBER] = STRM_RECORD_NUMBER,
		[STRM_JSON_BOOLEAN] = STRM_RECORD_BOOLEAN,
		[STRM_JSON_NULL] = STRM_RECORD_NULL,
		[STRM_JSON_OBJECT] = STRM_RECORD_JSON,
		[STRM_JSON_ARRAY] = STRM_RECORD_JSON,
	};

	to->kind = kinds[value->kind];
	to->text = strm_jsonl_text(self, value, &to->size);
}

static bool strm_jsonl_object(StrmJsonlReader *self, StrmJsonScan *scan, StrmJsonlNode *node, int depth);

/* Reads the value of member node. */
static bool
strm_jsonl_member(StrmJsonlReader *self, StrmJsonScan *scan, StrmJsonlNode *node, int depth)
{
	StrmJsonValue value;

	if (node->seen == self->number)
		return strm_jsonl_member_fault(self, scan, node, "twice");
	node->seen = self->number;
	if (unlikely(node->untold))
	{
		MemoryContext old = MemoryContextSwitchTo(self->cxt);

		self->met = lappend(self->met, node);
		MemoryContextSwitchTo(old);
	}

	if (node->inner && strm_json_peek(scan) == '{')
	{
		value.kind = STRM_JSON_OBJECT;
		value.text = scan->p;
		value.escaped = false;
		if (!strm_jsonl_object(self, scan, node, depth + 1))
			return false;
		value.size = scan->p - value.text;
	}
	else if (!strm_json_value(scan, &value, depth))
		return false;
	else if (node->inner && value.kind != STRM_JSON_NULL)
		return strm_jsonl_member_fault(self, scan, node, "that is not an object");

	if (node->column >= 0)
		strm_jsonl_note(self, &value, &self->values[node->column]);
	return true;
}

/* Reads an object whose members node knows. Recursion is as deep as wanted names have dots. */
static bool
strm_jsonl_object(StrmJsonlReader *self, StrmJsonScan *scan, StrmJsonlNode *node, int depth)
{
	StrmJsonlNode **guess = &node->first;

	(void) strm_json_take(scan, '{');
	if (strm_json_take(scan, '}'))
		return true;
	do
	{
		StrmJsonValue value;
		StrmJsonlNode *child;
		const char *name;
		Size		size;

		if (!strm_json_string(scan, &value))
			return false;
		if (!strm_json_take(scan, ':'))
		{
			scan->fault = "has no colon after a member's name";
			return false;
		}
		name = strm_jsonl_text(self, &value, &size);
		child = strm_jsonl_find(node, *guess, name, size);
		if (child == NULL)
			child = strm_jsonl_add_unknown(self, node, name, size);
		if (child == NULL)
		{
			if (!strm_json_value(scan, &value, depth))
				return false;
			continue;
		}
		*guess = child;
		guess = &child->follower;
		if (!strm_jsonl_member(self, scan, child, depth))
			return false;
	} while (strm_json_take(scan, ','));
	if (strm_json_take(scan, '}'))
		return true;
	scan->fault = "has no comma or closing bracket after a value";
	return false;
}

/* Parses a line; what is wrong with it, or NULL. */
static const char *
strm_jsonl_parse(StrmJsonlReader *self, const char *line, Size size)
{
	StrmJsonScan scan = {line, line + size, NULL};
	const char *fault = strm_input_fault(&self->input, line, size);

	if (fault != NULL)
		return fault;
	if (self->scratch_size < size && memchr(line, '\\', size) != NULL)
	{
		pfree(self->scratch);
		self->scratch = NULL;
		self->scratch_size = 0;
		self->scratch = MemoryContextAlloc(self->cxt, size);
		self->scratch_size = size;
	}
	self->scratch_used = 0;
	for (int i = 0; i < self->nwanted; i++)
		self->values[i].kind = STRM_RECORD_NULL;

	if (strm_json_peek(&scan) != '{')
		return "is not a JSON object";
	if (strm_jsonl_object(self, &scan, &self->root, 1))
	{
		(void) strm_json_peek(&scan);
		if (scan.p == scan.end)
			return NULL;
		scan.fault = "has more after its JSON object";
	}
	if (scan.fault != self->fault)
		snprintf(self->fault, sizeof(self->fault), "%s, at byte %zu", scan.fault, (Size) (scan.p - line + 1));
	return self->fault;
}

/* Reads a line, which is then at line, without its end; false at the end. Of one that is too long only the end. */
static bool
strm_jsonl_line(StrmJsonlReader *self, const char **line, Size *size, bool *too_long)
{
	StrmInput  *input = &self->input;
	Size		searched = 0;
	const char *end;

	*too_long = false;
	while ((end = memchr(input->data + searched, '\n', input->size - searched)) == NULL && !input->whole)
	{
		searched = input->size;
		if (*too_long)
		{
			strm_input_drop(input, searched);
			searched = 0;
		}
		if (!strm_input_more(input))
			*too_long = true;
	}
	if (end == NULL && input->size == 0 && !*too_long)
		return false;
	*line = input->data;
	*size = end != NULL ? end - input->data : input->size;
	strm_input_drop(input, *size + (end != NULL));
	return true;
}

/* Is there nothing in a line? */
static bool
strm_jsonl_blank(const char *line, Size size)
{
	StrmJsonScan scan = {line, line + size, NULL};

	(void) strm_json_peek(&scan);
	return scan.p == scan.end;
}

static bool
strm_jsonl_reader_next(StrmRecordReader *base, StrmRecord *record)
{
	StrmJsonlReader *self = (StrmJsonlReader *) base;
	const char *line;
	Size		size;
	bool		too_long;

	do
	{
		if (!strm_jsonl_line(self, &line, &size, &too_long))
			return false;
		record->line = ++self->line;
	} while (!too_long && strm_jsonl_blank(line, size));

	record->number = ++self->number;
	record->values = NULL;
	if (too_long)
	{
		snprintf(self->fault, sizeof(self->fault), "is longer than %d MiB", STRM_RECORD_LIMIT / (1024 * 1024));
		record->fault = self->fault;
		return true;
	}
	record->fault = strm_jsonl_parse(self, line, size);
	if (unlikely(self->met != NIL))
		strm_jsonl_tell_unknown(self, record->fault == NULL);
	if (record->fault != NULL)
		return true;
	for (int i = 0; i < self->nwanted; i++)
		if (self->same[i] != i)
			self->values[i] = self->values[self->same[i]];
	record->values = self->values;
	return true;
}

static void
strm_jsonl_reader_close(StrmRecordReader *base)
{
	strm_bytes_close(((StrmJsonlReader *) base)->source);
}

StrmRecordReader *
strm_jsonl_reader(StrmByteSource *source, const StrmRecordFormat *format, const char *const *wanted, int nwanted)
{
	StrmJsonlReader *self = palloc0(sizeof(*self));

	self->base.next = strm_jsonl_reader_next;
	self->base.close = strm_jsonl_reader_close;
	self->base.missing = palloc0(nwanted * sizeof(bool));
	self->source = source;
	self->cxt = CurrentMemoryContext;
	self->nwanted = nwanted;
	self->same = palloc(nwanted * sizeof(int));
	self->values = palloc0(nwanted * sizeof(StrmRecordValue));
	self->scratch_size = 1024;
	self->scratch = palloc(self->scratch_size);
	self->root.column = -1;
	for (int i = 0; i < nwanted; i++)
		strm_jsonl_add_wanted(self, wanted[i], i);
	strm_input_init(&self->input, source, format->encoding);
	return &self->base;
}
