/*
 * slot.h
 *	  What the parts of decoding know of each other: the slot that this process holds.
 */
#ifndef STRM_EXPORT_SLOT_H
#define STRM_EXPORT_SLOT_H

/* Takes the slot, waiting for who holds it. Raises 55000 unless it is of this database and plugin, and not lost. */
extern void strm_slot_acquire(const char *name);

/* Vacuum has to heed the snapshots of this process again, which decodes but runs ordinary transactions, too. */
extern void strm_slot_unmark_process(void);

#endif							/* STRM_EXPORT_SLOT_H */
