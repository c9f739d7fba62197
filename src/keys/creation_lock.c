/*
 * creation_lock.c
 *	  Two transactions that need the key of one value at the same time must end with one key. Each looks the key up and,
 *	  if there is none, inserts it, under the LWLock of the value's hash. It is held for that moment only, never while
 *	  waiting for another transaction, and never two at once: no deadlock can come of it.
 *
 *	  The array of locks is set once, when shared memory starts, and never changes.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"

#include "keys/creation_lock.h"
#include "strm_privacy.h"

#define STRM_CREATION_LOCKS 128

static LWLockPadded *creation_locks = NULL;
static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static void
strm_creation_lock_request(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestNamedLWLockTranche(STRM_EXTENSION_NAME, STRM_CREATION_LOCKS);
}

static void
strm_creation_lock_startup(void)
{
	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	creation_locks = GetNamedLWLockTranche(STRM_EXTENSION_NAME);
}

void
strm_creation_lock_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = strm_creation_lock_request;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = strm_creation_lock_startup;
}

bool
strm_creation_lock_ready(void)
{
	return creation_locks != NULL;
}

int
strm_creation_lock_number(const pg_uuid_t *lookup)
{
	return lookup->data[0] % STRM_CREATION_LOCKS;
}

static LWLock *
strm_creation_lock_of(const pg_uuid_t *lookup)
{
	return &creation_locks[strm_creation_lock_number(lookup)].lock;
}

void
strm_creation_lock_acquire(const pg_uuid_t *lookup)
{
	LWLockAcquire(strm_creation_lock_of(lookup), LW_EXCLUSIVE);
}

void
strm_creation_lock_release(const pg_uuid_t *lookup)
{
	LWLockRelease(strm_creation_lock_of(lookup));
}
