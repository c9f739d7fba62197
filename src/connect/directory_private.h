/*
 * directory_private.h
 *	  What the files of kind "directory" share: descriptors and files below strm_privacy.connector_directory.
 */
#ifndef STRM_CONNECT_DIRECTORY_PRIVATE_H
#define STRM_CONNECT_DIRECTORY_PRIVATE_H

#include "connect/directory.h"
#include "strm_privacy.h"

typedef struct StrmDirectoryStore
{
	StrmStore	store;
	const char *root;			/* the location's path, "" when none */
} StrmDirectoryStore;

/* A descriptor that is closed with the context it was made in. */
typedef struct StrmDirectoryFile
{
	bool		held;			/* counted as the server's, and fd is open unless -1 */
	int			fd;
	MemoryContextCallback callback;
} StrmDirectoryFile;

/* Raises what errno says about a path of the connector's. A full disk, a quota and a limit of size are 53100. */
pg_noreturn extern void strm_directory_fail(const char *what, const char *path);
pg_noreturn extern void strm_directory_irregular(const char *path);
pg_noreturn extern void strm_directory_duplicate(const char *path);

/* Before a descriptor is opened: it counts, and is closed with the current context. */
extern void strm_directory_reserve_file(StrmDirectoryFile *file);

/* What an open returned: kept, or no longer counted when it failed; errno stays. */
extern bool strm_directory_keep_file(StrmDirectoryFile *file, int fd);

/* Idempotent. */
extern void strm_directory_close_file(StrmDirectoryFile *file);

/*
 * Opens the directory that holds path, below the connector's own, in the current context; false with errno set when it
 * does not exist. *name is set to the last part. create: makes missing directories.
 */
extern bool strm_directory_open_parent(StrmStore *store, const char *path, bool create, StrmDirectoryFile *directory,
									   const char **name);

/* The name that a sink's file has until it is published; in the current context. */
extern char *strm_directory_temporary_name(const char *name, const pg_uuid_t *intent);

/* When the file was made, in nanoseconds; 0 when the file system does not tell. */
extern int64 strm_directory_birth(int directory, const char *name);

/* Takes away the file of that name if it has that number. false when it is there and could not be removed. */
extern bool strm_directory_remove(int directory, const char *name, ino_t number);

/*
 * Puts back what has the temporary name since it was replaced by the file of that number and birth (0: unknown). What
 * others have put there meanwhile stays, and it goes. false when it could not be done.
 */
extern bool strm_directory_restore(int directory, const char *temporary, const char *name, ino_t number, int64 birth);

/* StrmConnectorKind.write */
extern StrmByteSink *strm_directory_write(StrmStore *store, const char *path, const StrmSinkOptions *options);

#endif							/* STRM_CONNECT_DIRECTORY_PRIVATE_H */
