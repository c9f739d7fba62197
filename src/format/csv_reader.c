/*
 * csv_reader.c
 *	  Records of CSV: RFC 4180, and what files in the wild have besides.
 *
 *	  Lines end in LF, CRLF or CR, also mixed. A bare empty field is NULL, a quoted one the empty string; blanks are
 *	  kept. A line with nothing but blanks is no record when there are several columns, and one when there is one
 *	  column; before the header it is always skipped. A record with another number of values than there are columns,
 *	  with text after a closing quote, with bytes that are no characters or longer than STRM_RECORD_LIMIT has a fault,
 *	  and the next one begins at the next line end outside quotes. A quote that is never closed takes all that follows
 *	  with it; nobody knows how many records that are, so it is an error and no record with a fault.
 *
 *	  Values point into the buffer: nothing is copied or allocated per record.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "common/errors.h"
#include "format/csv.h"
#include "format/csv_scan.h"
#include "format/input.h"
#include "strm_privacy.h"

#define HEADER_FIELDS 256		/* a guess */
#define MAX_UNKNOWN 100
#define MAX_FAULTS 20			/* of a header, that are told */
#define NAME_SIZE 100			/* how much of a name is told */

static const char no_header_hint[] =
	"Its first line has none of the names that are looked for: see whether it is a header, and its delimiter.";

typedef struct StrmCsvReader
{
	StrmRecordReader base;
	StrmByteSource *source;
	StrmInput	input;
	StrmCsvScan scan;
	bool		too_long;		/* the record that was read last */
	int			ncolumns;
	int			nwanted;
	int		   *positions;		/* of the wanted columns; -1: missing */
	StrmRecordValue *values;
	uint64		number;
	uint64		line;			/* on which the next record begins */
	char		fault[200];
} StrmCsvReader;

/* A name of the header, to be sorted. */
typedef struct StrmCsvName
{
	const char *text;
	Size		size;
	int			position;
	bool		wanted;
} StrmCsvName;

/*
 * Scans one record, which is then at data; false at the end. Of one that is too long only its end is looked for; the
 * scan then says nothing of its fields.
 */
static bool
strm_csv_reader_scan(StrmCsvReader *self, const char **data)
{
	StrmCsvScan *scan = &self->scan;
	StrmInput  *input = &self->input;
	StrmCsvStatus status;

	strm_csv_scan_begin(scan);
	self->too_long = false;
	while ((status = strm_csv_scan(scan, input->data, input->size, input->whole)) == STRM_CSV_PARTIAL)
	{
		if (self->too_long)
		{
			strm_input_drop(input, scan->position);
			scan->position = 0;
		}
		if (!strm_input_more(input))
			self->too_long = scan->skip = true;
	}
	*data = input->data;
	strm_input_drop(input, scan->position);
	return status == STRM_CSV_RECORD;
}

/*
 * Words a fault of the record that was scanned. How many lines it has is told, too: when a quote is missing these may
 * be many records.
 */
static const char *strm_csv_reader_fault(StrmCsvReader *self, const char *fmt,...) pg_attribute_printf(2, 3);

static const char *
strm_csv_reader_fault(StrmCsvReader *self, const char *fmt,...)
{
	size_t		used;
	va_list		args;

	va_start(args, fmt);
	vsnprintf(self->fault, sizeof(self->fault), fmt, args);
	va_end(args);
	used = strlen(self->fault);
	if (self->scan.lines > 1)
		snprintf(self->fault + used, sizeof(self->fault) - used, ", and takes " UINT64_FORMAT " lines",
				 self->scan.lines);
	return self->fault;
}

/* What is wrong with the form of the record that was scanned, the number of its fields apart. */
static const char *
strm_csv_reader_bad_form(StrmCsvReader *self, const char *data)
{
	const StrmCsvScan *scan = &self->scan;

	if (unlikely(scan->fault == STRM_CSV_UNTERMINATED))
	{
		snprintf(self->fault, sizeof(self->fault),
				 "has a quote that is never closed, so that all the rest of the file is in it: " UINT64_FORMAT " lines",
				 scan->lines);
		return self->fault;
	}
	if (unlikely(self->too_long))
		return strm_csv_reader_fault(self, "is longer than %d MiB", STRM_RECORD_LIMIT / (1024 * 1024));
	if (unlikely(scan->fault == STRM_CSV_AFTER_QUOTE))
		return strm_csv_reader_fault(self, "has text after a closing quote");
	return strm_input_fault(&self->input, data, scan->position);
}

/* The text of a field, unquoted in place. */
static inline const char *
strm_csv_reader_text(const StrmCsvField *field, const char *data, Size *size)
{
	const char *text = data + field->start;

	*size = field->size;
	if (unlikely(field->doubled))
		*size = strm_csv_unquote(unconstify(char *, text), field->size);
	return text;
}

pg_noreturn static void strm_csv_reader_unterminated(const StrmRecord *record);

/* Raises that a record has all that follows in it. */
static void
strm_csv_reader_unterminated(const StrmRecord *record)
{
	strm_ereport_private(errcode(STRM_ERR_ARGUMENT),
						 errmsg("record " UINT64_FORMAT " of the CSV file, which begins on line " UINT64_FORMAT ", %s",
								record->number, record->line, record->fault),
						 errhint("Close the quote, or double it where it is part of the value."));
}

static bool
strm_csv_reader_next(StrmRecordReader *base, StrmRecord *record)
{
	StrmCsvReader *self = (StrmCsvReader *) base;
	StrmCsvScan *scan = &self->scan;
	const char *data;

	for (;;)
	{
		if (!strm_csv_reader_scan(self, &data))
			return false;
		record->line = self->line;
		self->line += scan->lines;
		if (likely(scan->nfields > 1) || self->ncolumns == 1 || !strm_csv_scan_blank(scan, data))
			break;
	}

	record->number = ++self->number;
	record->values = NULL;
	record->fault = strm_csv_reader_bad_form(self, data);
	if (unlikely(scan->fault == STRM_CSV_UNTERMINATED))
		strm_csv_reader_unterminated(record);
	if (unlikely(record->fault != NULL))
		return true;
	if (unlikely(scan->nfields != self->ncolumns))
	{
		record->fault = strm_csv_reader_fault(self, "has %d values, but there are %d columns", scan->nfields,
											  self->ncolumns);
		return true;
	}

	for (int i = 0; i < self->nwanted; i++)
	{
		StrmRecordValue *value = &self->values[i];
		const StrmCsvField *field;

		if (self->positions[i] < 0)
			continue;			/* is NULL for ever */
		field = &scan->fields[self->positions[i]];
		value->text = strm_csv_reader_text(field, data, &value->size);
		value->kind = field->size == 0 && !field->quoted ? STRM_RECORD_NULL : STRM_RECORD_TEXT;
	}
	record->values = self->values;
	return true;
}

static void
strm_csv_reader_close(StrmRecordReader *base)
{
	strm_bytes_close(((StrmCsvReader *) base)->source);
}

/* Order of names, then of positions. */
static int
strm_csv_compare_names(const void *a, const void *b)
{
	const StrmCsvName *x = a;
	const StrmCsvName *y = b;
	int			order = memcmp(x->text, y->text, Min(x->size, y->size));

	if (order == 0)
		order = (x->size > y->size) - (x->size < y->size);
	return order != 0 ? order : (x->position > y->position) - (x->position < y->position);
}

static int
strm_csv_compare_positions(const void *a, const void *b)
{
	return ((const StrmCsvName *) a)->position - ((const StrmCsvName *) b)->position;
}

static bool
strm_csv_same_name(const StrmCsvName *x, const StrmCsvName *y)
{
	return x->size == y->size && memcmp(x->text, y->text, x->size) == 0;
}

/* Notes a fault of the header, while there are not too many. */
#define strm_csv_header_fault(faults, ...) \
	do { \
		if ((faults)->count < MAX_FAULTS) \
			strm_faults_add((faults), __VA_ARGS__); \
		else if ((faults)->count++ == MAX_FAULTS) \
			appendStringInfoString(&(faults)->lines, "\n..."); \
	} while (0)

/* The position of a name among names, which are sorted; -1 when it is none of them. */
static int
strm_csv_find_name(const StrmCsvName *names, int count, const char *name)
{
	Size		size = strlen(name);
	int			low = 0;
	int			high = count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		int			order = memcmp(names[middle].text, name, Min(names[middle].size, size));

		if (order < 0 || (order == 0 && names[middle].size < size))
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && names[low].size == size && memcmp(names[low].text, name, size) == 0 ? low : -1;
}

/*
 * Raises all that is wrong with names, which are sorted, at once. A line in which no wanted name is may be a record of
 * a file without a header, so its texts are not told.
 */
static void
strm_csv_reader_check_names(StrmCsvReader *self, const StrmCsvName *names, int count, const char *const *wanted)
{
	StrmFaults	faults;
	bool		header = false;

	for (int i = 0; i < self->nwanted && !header; i++)
		header = strm_csv_find_name(names, count, wanted[i]) >= 0;
	strm_faults_init(&faults);
	for (int i = 0; i < count; i++)
	{
		int			first = i;

		if (names[i].size == 0)
		{
			strm_csv_header_fault(&faults, "Column %d has no name.", names[i].position + 1);
			continue;
		}
		while (i + 1 < count && strm_csv_same_name(&names[first], &names[i + 1]))
			i++;
		if (i > first && header)
			strm_csv_header_fault(&faults, "Column \"%.*s\" occurs %d times.",
								  pg_mbcliplen(names[first].text, (int) names[first].size, NAME_SIZE),
								  names[first].text, i - first + 1);
		else if (i > first)
			strm_csv_header_fault(&faults, "Columns %d and %d have the same name.", names[first].position + 1,
								  names[first + 1].position + 1);
	}
	strm_faults_raise(&faults, STRM_ERR_ARGUMENT, "the names of columns in the header of the CSV file are not usable",
					  header ? NULL : no_header_hint);
}

/* Finds the wanted columns among names, which are sorted, and notes the others. */
static void
strm_csv_reader_match(StrmCsvReader *self, StrmCsvName *names, int count, const char *const *wanted)
{
	bool	   *missing = palloc(self->nwanted * sizeof(bool));

	for (int i = 0; i < self->nwanted; i++)
	{
		int			found = strm_csv_find_name(names, count, wanted[i]);

		if (found >= 0)
		{
			names[found].wanted = true;
			self->positions[i] = names[found].position;
		}
		missing[i] = self->positions[i] < 0;
	}
	self->base.missing = missing;

	qsort(names, count, sizeof(StrmCsvName), strm_csv_compare_positions);
	for (int i = 0; i < count && list_length(self->base.unknown) < MAX_UNKNOWN; i++)
		if (!names[i].wanted)
			self->base.unknown = lappend(self->base.unknown, pnstrdup(names[i].text, names[i].size));
}

/* Scans the header into fields, as many as it has; data is where it is. */
static void
strm_csv_reader_scan_header(StrmCsvReader *self, const char **data)
{
	StrmCsvScan *scan = &self->scan;
	const char *fault;

	do
	{
		if (!strm_csv_reader_scan(self, data))
			ereport(ERROR,
					errcode(STRM_ERR_ARGUMENT),
					errmsg("the CSV file is empty: it does not even have a header"));
		self->line += scan->lines;
	} while (strm_csv_scan_blank(scan, *data));

	if (scan->nfields > STRM_RECORD_MAX_COLUMNS && !self->too_long)
		ereport(ERROR,
				errcode(STRM_ERR_LIMIT),
				errmsg("the header of the CSV file has %d columns, more than %d", scan->nfields,
					   STRM_RECORD_MAX_COLUMNS));
	fault = strm_csv_reader_bad_form(self, *data);
	if (fault != NULL)
		ereport(ERROR,
				errcode(self->too_long ? STRM_ERR_LIMIT : STRM_ERR_ARGUMENT),
				errmsg("the header of the CSV file %s", fault));

	if (scan->nfields > scan->max_fields)
	{
		Size		size = scan->position;

		scan->max_fields = scan->nfields;
		scan->fields = repalloc(scan->fields, scan->max_fields * sizeof(StrmCsvField));
		strm_csv_scan_begin(scan);
		(void) strm_csv_scan(scan, *data, size, true);
	}
}

/* Reads the header. */
static void
strm_csv_reader_header(StrmCsvReader *self, const char *const *wanted)
{
	StrmCsvName *names;
	const char *data;

	strm_csv_reader_scan_header(self, &data);
	self->ncolumns = self->scan.nfields;

	names = palloc0(self->ncolumns * sizeof(StrmCsvName));
	for (int i = 0; i < self->ncolumns; i++)
	{
		names[i].text = strm_csv_reader_text(&self->scan.fields[i], data, &names[i].size);
		names[i].position = i;
	}
	qsort(names, self->ncolumns, sizeof(StrmCsvName), strm_csv_compare_names);
	strm_csv_reader_check_names(self, names, self->ncolumns, wanted);
	strm_csv_reader_match(self, names, self->ncolumns, wanted);
	pfree(names);
}

StrmRecordReader *
strm_csv_reader(StrmByteSource *source, const StrmRecordFormat *format, const char *const *wanted, int nwanted)
{
	StrmCsvReader *self = palloc0(sizeof(*self));

	self->base.next = strm_csv_reader_next;
	self->base.close = strm_csv_reader_close;
	self->base.missing = palloc0(nwanted * sizeof(bool));
	self->base.empty_is_null = true;
	self->source = source;
	self->ncolumns = nwanted;
	self->nwanted = nwanted;
	self->positions = palloc(nwanted * sizeof(int));
	self->values = palloc0(nwanted * sizeof(StrmRecordValue));
	self->line = 1;
	for (int i = 0; i < nwanted; i++)
		self->positions[i] = format->no_header ? i : -1;

	strm_input_init(&self->input, source, format->encoding);
	strm_csv_scan_init(&self->scan, format->delimiter != '\0' ? format->delimiter : ',');
	self->scan.max_fields = Max(nwanted, HEADER_FIELDS);
	self->scan.fields = palloc(self->scan.max_fields * sizeof(StrmCsvField));
	if (!format->no_header)
		strm_csv_reader_header(self, wanted);
	return &self->base;
}
