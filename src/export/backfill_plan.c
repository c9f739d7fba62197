/*
 * backfill_plan.c
 *	  What a backfill reads, and how that is kept: one line of words, separated by a blank: format (1), whether it is
 *	  done (0, 1), rows_lsn, the stream's OID, the snapshots (- for none), and for each table OID:file:blocks. In
 *	  strm's own table, and of this server only.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "lib/stringinfo.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "common/errors.h"
#include "export/backfill.h"
#include "strm_privacy.h"

#define STRM_BACKFILL_FORMAT 1

/* A place has 16 bits for the table, of which the last value means the end. */
#define STRM_BACKFILL_MAX_TABLES 65535

/* Adds a table, unless it was dropped; the caller holds a lock on it. */
static void
strm_backfill_plan_add(StrmBackfillPlan *plan, Oid relid)
{
	Relation	rel = try_relation_open(relid, NoLock);
	StrmBackfillTable *table;

	if (rel == NULL)
		return;
	if (rel->rd_rel->relkind == RELKIND_RELATION)
	{
		table = &plan->tables[plan->ntables++];
		table->relid = relid;
		table->file = rel->rd_rel->relfilenode;
		table->blocks = RelationGetNumberOfBlocks(rel);
	}
	relation_close(rel, NoLock);
}

void
strm_backfill_lock(Oid stream)
{
	LockRelationOid(stream, AccessShareLock);
	list_free(find_all_inheritors(stream, AccessShareLock, NULL));
}

StrmBackfillPlan *
strm_backfill_plan(Oid stream, StrmSnapshot *rows, XLogRecPtr rows_lsn, StrmSnapshot *except)
{
	StrmBackfillPlan *plan = palloc0(sizeof(StrmBackfillPlan));
	List	   *relids;
	ListCell   *cell;

	LockRelationOid(stream, AccessShareLock);
	relids = find_all_inheritors(stream, AccessShareLock, NULL);
	list_sort(relids, list_oid_cmp);
	plan->stream = stream;
	plan->rows = rows;
	plan->rows_lsn = rows_lsn;
	plan->except = except;
	plan->tables = palloc0(mul_size(list_length(relids), sizeof(StrmBackfillTable)));
	foreach(cell, relids)
		strm_backfill_plan_add(plan, lfirst_oid(cell));
	list_free(relids);
	if (plan->ntables > STRM_BACKFILL_MAX_TABLES)
		ereport(ERROR,
				errcode(STRM_ERR_LIMIT),
				errmsg("stream has too many partitions to publish existing events"),
				errdetail("The limit is %d.", STRM_BACKFILL_MAX_TABLES));
	return plan;
}

char *
strm_backfill_plan_text(const StrmBackfillPlan *plan)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "%d %d %X/%X %u %s %s", STRM_BACKFILL_FORMAT, plan->done ? 1 : 0,
					 LSN_FORMAT_ARGS(plan->rows_lsn), plan->stream, strm_snapshot_text(plan->rows),
					 plan->except == NULL ? "-" : strm_snapshot_text(plan->except));
	for (int i = 0; i < plan->ntables; i++)
		appendStringInfo(&out, " %u:%u:%u", plan->tables[i].relid, plan->tables[i].file, plan->tables[i].blocks);
	return out.data;
}

static void
strm_backfill_raise_damaged(void)
{
	ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a stored plan of an exporter is damaged"));
}

/* The next word of *rest, which is cut off it; NULL when there is none. */
static char *
strm_backfill_word(char **rest)
{
	char	   *word = *rest;
	char	   *end;

	if (word == NULL)
		return NULL;
	end = strchr(word, ' ');
	if (end != NULL)
		*end++ = '\0';
	*rest = end;
	return word;
}

/* A snapshot; NULL for "-" where that may be. */
static StrmSnapshot *
strm_backfill_word_snapshot(char **rest, bool may_be_none)
{
	const char *word = strm_backfill_word(rest);

	if (word == NULL)
		strm_backfill_raise_damaged();
	if (may_be_none && strcmp(word, "-") == 0)
		return NULL;
	return strm_snapshot_parse(word);
}

StrmBackfillPlan *
strm_backfill_plan_parse(const char *text)
{
	StrmBackfillPlan *plan = palloc0(sizeof(StrmBackfillPlan));
	char	   *copy = pstrdup(text);
	char	   *rest = copy;
	char	   *word;
	int			format;
	int			done;
	uint32		high;
	uint32		low;
	int			used = 0;
	int			room = 8;

	if (sscanf(copy, "%d %d %X/%X %u %n", &format, &done, &high, &low, &plan->stream, &used) != 5 ||
		format != STRM_BACKFILL_FORMAT || used == 0)
		strm_backfill_raise_damaged();
	plan->done = done != 0;
	plan->rows_lsn = ((uint64) high << 32) | low;
	rest = copy + used;
	plan->rows = strm_backfill_word_snapshot(&rest, false);
	plan->except = strm_backfill_word_snapshot(&rest, true);

	plan->tables = palloc(mul_size(room, sizeof(StrmBackfillTable)));
	while ((word = strm_backfill_word(&rest)) != NULL)
	{
		StrmBackfillTable table;

		if (sscanf(word, "%u:%u:%u%n", &table.relid, &table.file, &table.blocks, &used) != 3 || word[used] != '\0')
			strm_backfill_raise_damaged();
		if (plan->ntables == room)
		{
			room *= 2;
			plan->tables = repalloc(plan->tables, mul_size(room, sizeof(StrmBackfillTable)));
		}
		plan->tables[plan->ntables++] = table;
	}
	pfree(copy);
	return plan;
}
