/*
 * simulate.c
 *	  Plausible random events, for demonstrations and benchmarks.
 *
 *	  A row belongs to one of the sessions, which is its key field: session-0, session-1 and so on. A session is of one
 *	  of 100 data subjects (unique-0 to unique-99), except that each 20th is anonymous where the contract allows it.
 *	  Other personal strings are sensitive-0 to sensitive-99, the rest not-sensitive-0 to not-sensitive-99; numbers are
 *	  likewise of 100 values; one optional value in 20 is NULL, and repeated fields have up to three elements.
 *
 *	  Each value is made of its field and its number (of the session, or 0 to 99) alone, by a generator seeded with
 *	  both, so nothing is kept and the same number is always the same value. A value that must match regular expressions
 *	  is looked for among the plain text and texts generated from the expressions, alone and combined; the server's
 *	  engine decides, called as by contract/validation.c but without its error.
 *
 *	  Rows are inserted 1000 at a time, from one text array per column.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "regex/regex.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "catalog/cache.h"
#include "common/errors.h"
#include "ingest/simulate.h"
#include "ingest/simulate_pattern.h"
#include "strm_privacy.h"
#include "transform/value.h"

#define BATCH_ROWS 1000
#define SUBJECTS 100
#define VALUES 100
#define NULL_EVERY 20
#define MAX_ELEMENTS 3
#define TRIES_PER_FORM 100
#define WORD_SIZE 8

/* A validation of a field. sample is NULL when texts cannot be generated from its expression. */
typedef struct StrmSimulatedRule
{
	text	   *regex;
	StrmPattern *sample;
} StrmSimulatedRule;

/* How a candidate value is made of the plain text and the rules' samples, in the order of trying. */
typedef enum StrmCandidateForm
{
	CANDIDATE_PLAIN,
	CANDIDATE_JOINED,			/* samples in order, the plain text behind the only one or between them */
	CANDIDATE_SAMPLES,
	CANDIDATE_PLAIN_SAMPLES,
	CANDIDATE_REVERSED,			/* samples in reverse order */
	CANDIDATE_ONE,				/* one of the samples */
	CANDIDATE_WORD,				/* eight letters and digits */
	CANDIDATE_FORMS
} StrmCandidateForm;

typedef struct StrmSimulatedField
{
	const StrmField *field;
	int			ordinal;
	int			nrules;
	StrmSimulatedRule *rules;
	StrmCandidateForm form;			/* that works; tried first */
} StrmSimulatedField;

typedef struct StrmSimulation
{
	const StrmStream *stream;
	StrmSimulatedField *fields;
	int32		sessions;
	uint64		seed;
	pg_prng_state prng;
	char	  **consents;
	int			nconsents;
	StringInfoData candidate;
	StringInfoData canonical;
} StrmSimulation;

/* One batch: consent levels, then the fields; arrays of BATCH_ROWS. */
typedef struct StrmSimulatedColumn
{
	Datum	   *values;
	bool	   *nulls;
} StrmSimulatedColumn;

/* Appends the value with that number that a field without validations has. */
static void
strm_simulate_plain(const StrmSimulation *simulation, const StrmSimulatedField *simulated, int32 number, StringInfo out)
{
	const StrmContract *contract = simulation->stream->contract;
	const char *prefix = simulated->field->personal ? "sensitive" : "not-sensitive";

	if (simulated->ordinal == contract->key_field)
		prefix = "session";
	else if (simulated->ordinal == contract->subject_field)
		prefix = "unique";

	switch (simulated->field->type)
	{
		case STRM_TYPE_STRING:
			appendStringInfo(out, "%s-%d", prefix, number);
			break;
		case STRM_TYPE_BOOLEAN:
			appendStringInfoString(out, number % 2 == 0 ? "false" : "true");
			break;
		case STRM_TYPE_INTEGER:
		case STRM_TYPE_LONG:
			appendStringInfo(out, "%d", number);
			break;
		case STRM_TYPE_FLOAT:
			appendStringInfo(out, "%d.%02d", number / 4, number % 4 * 25);
			break;
	}
}

/* Appends a text generated from one rule. */
static bool
strm_simulate_sample(const StrmSimulatedField *simulated, int rule, pg_prng_state *prng, StringInfo out)
{
	const StrmPattern *sample = simulated->rules[rule].sample;

	return sample != NULL && strm_pattern_generate(sample, prng, out);
}

/* Appends random letters and digits. */
static void
strm_simulate_word(pg_prng_state *prng, StringInfo out)
{
	static const char characters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	for (int i = 0; i < WORD_SIZE; i++)
		appendStringInfoChar(out, characters[pg_prng_uint64_range(prng, 0, sizeof(characters) - 2)]);
}

/* Makes a candidate of that form. false when it cannot be made. */
static bool
strm_simulate_candidate(StrmSimulation *simulation, const StrmSimulatedField *simulated, StrmCandidateForm form,
						int32 number, pg_prng_state *prng)
{
	StringInfo	out = &simulation->candidate;
	int			n = simulated->nrules;

	resetStringInfo(out);
	if (form == CANDIDATE_WORD)
		strm_simulate_word(prng, out);
	if (form == CANDIDATE_PLAIN || form == CANDIDATE_PLAIN_SAMPLES)
		strm_simulate_plain(simulation, simulated, number, out);
	if (form == CANDIDATE_ONE)
		return strm_simulate_sample(simulated, (int) pg_prng_uint64_range(prng, 0, n - 1), prng, out);
	if (form == CANDIDATE_PLAIN || form == CANDIDATE_WORD)
		return true;
	for (int i = 0; i < n; i++)
	{
		if (!strm_simulate_sample(simulated, form == CANDIDATE_REVERSED ? n - 1 - i : i, prng, out))
			return false;
		if (form == CANDIDATE_JOINED && (n == 1 || i < n - 1))
			strm_simulate_plain(simulation, simulated, number, out);
	}
	return true;
}

/* Is the candidate of the field's type, and does it pass all its validations? Then its canonical text replaces it. */
static bool
strm_simulate_passes(StrmSimulation *simulation, const StrmSimulatedField *simulated)
{
	const char *canonical;
	Size		size;

	if (!strm_value_canonical(simulated->field, simulation->candidate.data, simulation->candidate.len,
							  &simulation->canonical, &canonical, &size))
		return false;
	if (size == 0 && simulated->ordinal == simulation->stream->contract->key_field)
		return false;
	for (int i = 0; i < simulated->nrules; i++)
	{
		if (!RE_compile_and_execute(simulated->rules[i].regex, unconstify(char *, canonical), (int) size,
									REG_ADVANCED | REG_NOSUB, C_COLLATION_OID, 0, NULL))
			return false;
	}
	return true;
}

/* Leaves a value of that number in simulation->candidate, of that form if any passes. */
static bool
strm_simulate_try_form(StrmSimulation *simulation, const StrmSimulatedField *simulated, StrmCandidateForm form,
					   int32 number)
{
	pg_prng_state prng;

	pg_prng_seed(&prng, hash_bytes_uint32_extended((uint32) number, simulation->seed + simulated->ordinal));
	for (int i = 0; i < TRIES_PER_FORM; i++)
	{
		if (strm_simulate_candidate(simulation, simulated, form, number, &prng) &&
			strm_simulate_passes(simulation, simulated))
			return true;
	}
	return false;
}

/* Leaves the value of that number of a field in simulation->candidate. */
static void
strm_simulate_find_value(StrmSimulation *simulation, const StrmSimulatedField *simulated, int32 number)
{
	if (simulated->nrules == 0)
	{
		resetStringInfo(&simulation->candidate);
		strm_simulate_plain(simulation, simulated, number, &simulation->candidate);
		return;
	}
	for (int i = 0; i < CANDIDATE_FORMS; i++)
	{
		if (strm_simulate_try_form(simulation, simulated, (simulated->form + i) % CANDIDATE_FORMS, number))
			return;
	}
	ereport(ERROR,
			errcode(STRM_ERR_ARGUMENT),
			errmsg("no random value found for field \"%s\" of data contract \"%s\"",
				   simulated->field->name, strm_contract_ref(simulation->stream->contract)),
			errdetail("None of %d tries passed all validations of the field.", CANDIDATE_FORMS * TRIES_PER_FORM),
			errhint("Insert events of your own, or simulate a stream whose validations are simpler."));
}

/* Finds the form of value that a field's validations need. */
static void
strm_simulate_choose_form(StrmSimulation *simulation, StrmSimulatedField *simulated)
{
	for (int form = 0; form < CANDIDATE_FORMS; form++)
	{
		simulated->form = form;
		if (strm_simulate_try_form(simulation, simulated, form, 0))
			return;
	}
	simulated->form = CANDIDATE_PLAIN;
}

/* A repeated field's array literal of up to MAX_ELEMENTS values. */
static Datum
strm_simulate_array(StrmSimulation *simulation, const StrmSimulatedField *simulated)
{
	int			count = (int) pg_prng_uint64_range(&simulation->prng, 0, MAX_ELEMENTS);
	StringInfoData literal;

	initStringInfo(&literal);
	appendStringInfoChar(&literal, '{');
	for (int i = 0; i < count; i++)
	{
		strm_simulate_find_value(simulation, simulated, (int32) pg_prng_uint64_range(&simulation->prng, 0, VALUES - 1));
		appendStringInfoString(&literal, i > 0 ? ",\"" : "\"");
		for (const char *c = simulation->candidate.data; *c != '\0'; c++)
		{
			if (*c == '"' || *c == '\\')
				appendStringInfoChar(&literal, '\\');
			appendStringInfoChar(&literal, *c);
		}
		appendStringInfoChar(&literal, '"');
	}
	appendStringInfoChar(&literal, '}');
	return PointerGetDatum(cstring_to_text_with_len(literal.data, literal.len));
}

/* One field of a row of that session; false when it is NULL. */
static bool
strm_simulate_field(StrmSimulation *simulation, const StrmSimulatedField *simulated, int32 session, Datum *value)
{
	const StrmContract *contract = simulation->stream->contract;
	int32		number = (int32) pg_prng_uint64_range(&simulation->prng, 0, VALUES - 1);
	bool		absent = pg_prng_uint64_range(&simulation->prng, 1, NULL_EVERY) == NULL_EVERY;

	if (simulated->ordinal == contract->key_field)
	{
		number = session;
		absent = false;
	}
	else if (simulated->ordinal == contract->subject_field)
	{
		number = session % SUBJECTS;
		absent = session % NULL_EVERY == NULL_EVERY - 1;
	}
	if (absent && !simulated->field->required)
		return false;

	if (simulated->field->repeated)
		*value = strm_simulate_array(simulation, simulated);
	else
	{
		strm_simulate_find_value(simulation, simulated, number);
		*value = PointerGetDatum(cstring_to_text_with_len(simulation->candidate.data, simulation->candidate.len));
	}
	return true;
}

/* Fills one row of the batch. */
static void
strm_simulate_fill_row(StrmSimulation *simulation, StrmSimulatedColumn *columns, int row)
{
	int32		session = (int32) pg_prng_uint64_range(&simulation->prng, 0, simulation->sessions - 1);
	int			consent = (int) pg_prng_uint64_range(&simulation->prng, 0, simulation->nconsents - 1);

	columns[0].values[row] = CStringGetTextDatum(simulation->consents[consent]);
	columns[0].nulls[row] = false;
	for (int i = 0; i < simulation->stream->contract->nfields; i++)
		columns[1 + i].nulls[row] = !strm_simulate_field(simulation, &simulation->fields[i], session,
														 &columns[1 + i].values[row]);
}

/* Makes and inserts one batch; returns the number of rows inserted. Its memory is the current context's. */
static uint64
strm_simulate_insert(StrmSimulation *simulation, SPIPlanPtr plan, int rows)
{
	int			ncolumns = 1 + simulation->stream->contract->nfields;
	StrmSimulatedColumn *columns = palloc(mul_size(ncolumns, sizeof(StrmSimulatedColumn)));
	Datum	   *arrays = palloc(mul_size(ncolumns, sizeof(Datum)));
	int			lower = 1;
	int			rc;

	for (int i = 0; i < ncolumns; i++)
	{
		columns[i].values = palloc0(mul_size(rows, sizeof(Datum)));
		columns[i].nulls = palloc0(mul_size(rows, sizeof(bool)));
	}
	for (int row = 0; row < rows; row++)
		strm_simulate_fill_row(simulation, columns, row);
	for (int i = 0; i < ncolumns; i++)
		arrays[i] = PointerGetDatum(construct_md_array(columns[i].values, columns[i].nulls, 1, &rows, &lower,
													   TEXTOID, -1, false, TYPALIGN_INT));

	rc = SPI_execute_plan(plan, arrays, NULL, false, 0);
	if (rc != SPI_OK_INSERT)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not insert simulated events: %s", SPI_result_code_string(rc)));
	return SPI_processed;
}

/* Plans the INSERT of a batch: a text array per column, cast to the column's type. */
static SPIPlanPtr
strm_simulate_prepare(const StrmStream *stream)
{
	const StrmContract *contract = stream->contract;
	Oid		   *types = palloc(mul_size(1 + contract->nfields, sizeof(Oid)));
	StringInfoData columns;
	StringInfoData values;
	StringInfoData arrays;
	StringInfoData names;
	SPIPlanPtr	plan;

	initStringInfo(&columns);
	initStringInfo(&values);
	initStringInfo(&arrays);
	initStringInfo(&names);
	types[0] = TEXTARRAYOID;
	for (int i = 0; i < contract->nfields; i++)
	{
		const StrmField *field = &contract->fields[i];
		Oid			type = field->repeated ? TEXTARRAYOID : TEXTOID;

		types[1 + i] = TEXTARRAYOID;
		appendStringInfo(&columns, ", %s", quote_identifier(field->column));
		appendStringInfo(&values, ", f%d::%s", i,
						 format_type_be_qualified(field->personal ? type : strm_field_type(field)));
		appendStringInfo(&arrays, ", $%d", i + 2);
		appendStringInfo(&names, ", f%d", i);
	}
	/* unnest stays unqualified: only so does the grammar take several arrays, and it means pg_catalog's */
	plan = SPI_prepare(psprintf("INSERT INTO %s (" STRM_COLUMN_CONSENT_LEVELS "%s) "
								"SELECT levels::pg_catalog.int4[]%s FROM unnest($1%s) AS events(levels%s)",
								strm_catalog_relation_name(stream->relid),
								columns.data, values.data, arrays.data, names.data),
					   1 + contract->nfields, types);
	if (plan == NULL)
		ereport(ERROR,
				errcode(STRM_ERR_INTERNAL),
				errmsg("could not prepare the INSERT of simulated events: %s", SPI_result_code_string(SPI_result)));
	return plan;
}

/* Gathers the fields and their validations. */
static void
strm_simulate_init_fields(StrmSimulation *simulation)
{
	const StrmContract *contract = simulation->stream->contract;

	simulation->fields = palloc0(mul_size(contract->nfields, sizeof(StrmSimulatedField)));
	for (int i = 0; i < contract->nfields; i++)
	{
		simulation->fields[i].field = &contract->fields[i];
		simulation->fields[i].ordinal = i;
		simulation->fields[i].rules = palloc(mul_size(contract->nvalidations, sizeof(StrmSimulatedRule)));
	}
	for (int i = 0; i < contract->nvalidations; i++)
	{
		StrmSimulatedField *simulated = &simulation->fields[contract->validations[i].field];
		StrmSimulatedRule *rule = &simulated->rules[simulated->nrules++];

		rule->regex = contract->validations[i].regex;
		rule->sample = strm_pattern_compile(contract->validations[i].pattern);
	}
	initStringInfo(&simulation->candidate);
	initStringInfo(&simulation->canonical);
	for (int i = 0; i < contract->nfields; i++)
	{
		if (simulation->fields[i].nrules > 0)
			strm_simulate_choose_form(simulation, &simulation->fields[i]);
	}
}

int64
strm_simulate(const StrmStream *stream, int64 events, int32 sessions, uint64 seed, char **consents, int nconsents)
{
	StrmSimulation simulation = {.stream = stream,.sessions = sessions,.seed = seed,
	.consents = consents,.nconsents = nconsents};
	SPIPlanPtr	plan;
	MemoryContext batch_context;
	int64		inserted = 0;

	SPI_connect();
	strm_simulate_init_fields(&simulation);
	pg_prng_seed(&simulation.prng, seed);
	plan = strm_simulate_prepare(stream);
	batch_context = AllocSetContextCreate(CurrentMemoryContext, "strm simulated events", ALLOCSET_DEFAULT_SIZES);

	for (int64 left = events; left > 0; left -= BATCH_ROWS)
	{
		MemoryContext caller = MemoryContextSwitchTo(batch_context);

		CHECK_FOR_INTERRUPTS();
		inserted += strm_simulate_insert(&simulation, plan, (int) Min(left, BATCH_ROWS));
		MemoryContextSwitchTo(caller);
		MemoryContextReset(batch_context);
	}
	SPI_finish();
	return inserted;
}
