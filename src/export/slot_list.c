/*
 * slot_list.c
 *	  Which replication slots of ours this database has, whatever the registry says.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "replication/slot.h"

#include "export/decoder.h"
#include "strm_privacy.h"

List *
strm_slot_list(void)
{
	List	   *names = NIL;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		/* what is read here does not change while the slot is in use */
		if (slot->in_use && slot->data.database == MyDatabaseId &&
			strcmp(NameStr(slot->data.plugin), STRM_OUTPUT_PLUGIN) == 0)
			names = lappend(names, pstrdup(NameStr(slot->data.name)));
	}
	LWLockRelease(ReplicationSlotControlLock);
	return names;
}
