/*
 * moved_database.h
 *	  Decoding WAL of before the database was moved to another tablespace (ALTER DATABASE ... SET TABLESPACE).
 *
 *	  WAL names a table's file with its tablespace. The server looks for the table of a file that it decodes among those
 *	  that are in the database's tablespace now, and fails ("could not map filenode") where that was another one then.
 *	  So records of before a move are made to name the present one.
 */
#ifndef STRM_EXPORT_MOVED_DATABASE_H
#define STRM_EXPORT_MOVED_DATABASE_H

#include "access/xlogreader.h"
#include "nodes/pg_list.h"

/* Moves of this database in the WAL from start on, in its order, in the current context; NIL: none. */
extern List *strm_moves_find(XLogRecPtr start);

/* Makes the record that was just read one of the present tablespace, if moves lie behind it. */
extern void strm_moves_apply(List *moves, XLogReaderState *reader);

#endif							/* STRM_EXPORT_MOVED_DATABASE_H */
