/*
 * rejects.c
 *	  Records that do not fit the contract: counted, listed, and too many of them an error.
 */
#include "postgres.h"

#include "batch/run_private.h"
#include "common/errors.h"
#include "strm_privacy.h"

const StrmRecordColumn strm_batch_rejects_columns[STRM_BATCH_REJECTS_COLUMNS] = {
	{"line"}, {"record"}, {"field"}, {"rule"},
};

/* Remembers the first rejected record for the error that may come. */
static void
strm_batch_reject_remember(StrmBatchRun *run)
{
	MemoryContext old = MemoryContextSwitchTo(run->cxt);
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	appendStringInfo(&text, "The first one is record " UINT64_FORMAT " on line " UINT64_FORMAT ":",
					 run->record.number, run->record.line);
	foreach(cell, run->faults)
	{
		const StrmBatchFault *fault = lfirst(cell);

		appendStringInfoString(&text, foreach_current_index(cell) > 0 ? "; " : " ");
		if (fault->field[0] != '\0')
			appendStringInfo(&text, "field \"%s\": ", fault->field);
		appendStringInfoString(&text, fault->rule);
	}
	appendStringInfoChar(&text, '.');
	run->first_reject = text.data;
	MemoryContextSwitchTo(old);
}

static void
strm_batch_reject_list(StrmBatchRun *run, StrmRecordWriter *writer)
{
	StrmRecordValue values[STRM_BATCH_REJECTS_COLUMNS];
	char		line[MAXINT8LEN + 1];
	char		number[MAXINT8LEN + 1];
	ListCell   *cell;

	values[0] = (StrmRecordValue) {STRM_RECORD_NUMBER, line, pg_lltoa((int64) run->record.line, line)};
	values[1] = (StrmRecordValue) {STRM_RECORD_NUMBER, number, pg_lltoa((int64) run->record.number, number)};
	foreach(cell, run->faults)
	{
		const StrmBatchFault *fault = lfirst(cell);

		values[2] = (StrmRecordValue) {STRM_RECORD_TEXT, fault->field, strlen(fault->field)};
		values[3] = (StrmRecordValue) {STRM_RECORD_TEXT, fault->rule, strlen(fault->rule)};
		if (fault->field[0] == '\0')
			values[2].kind = STRM_RECORD_NULL;
		writer->write(writer, values);
	}
}

void
strm_batch_reject(StrmBatchRun *run)
{
	run->counts.rejected++;
	if (run->first_reject == NULL)
		strm_batch_reject_remember(run);
	if (run->rejects != NULL)
		strm_batch_reject_list(run, run->rejects->writer);
	if (run->counts.rejected > (uint64) run->job->max_rejects)
	{
		run->counts.bytes = run->reader->bytes;
		strm_ereport_private(errcode(STRM_ERR_VALIDATION),
							 errmsg("the batch job rejected " UINT64_FORMAT " of " UINT64_FORMAT " records, and max_rejects allows " INT64_FORMAT,
									run->counts.rejected, run->counts.rows, run->job->max_rejects),
							 errdetail("%s", run->first_reject),
							 errhint("Correct the source, or set max_rejects, and rejects to list what is rejected."));
	}
}
