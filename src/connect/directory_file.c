/*
 * directory_file.c
 *	  Descriptors and files of kind "directory". Descriptors count as the server's and are closed with the context that
 *	  they were opened in.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "common/uuid.h"
#include "connect/directory_path.h"
#include "connect/directory_private.h"

#define STRM_DIRECTORY_TEMPORARY_NAME_MAX 200	/* of the name in a temporary name */

void
strm_directory_fail(const char *what, const char *path)
{
	int			save_errno = errno;
	bool		full = save_errno == ENOSPC || save_errno == EDQUOT || save_errno == EFBIG;
	bool		link = save_errno == ENOTDIR || save_errno == ELOOP;

	ereport(ERROR,
			full ? errcode(ERRCODE_DISK_FULL) : link ? errcode(ERRCODE_WRONG_OBJECT_TYPE) : errcode_for_file_access(),
			errmsg("could not %s file \"%s\" of the data connector: %m", what, path),
			link ? errdetail("Symbolic links are not followed.") : 0);
}

void
strm_directory_irregular(const char *path)
{
	ereport(ERROR,
			errcode(ERRCODE_WRONG_OBJECT_TYPE),
			errmsg("\"%s\" of the data connector is not a regular file", path),
			errdetail("Directories, symbolic links, pipes and devices are neither read nor replaced."));
}

void
strm_directory_duplicate(const char *path)
{
	ereport(ERROR,
			errcode(STRM_ERR_DUPLICATE),
			errmsg("file \"%s\" of the data connector already exists", path),
			errhint("Choose another name, or let the job overwrite it."));
}

void
strm_directory_close_file(StrmDirectoryFile *file)
{
	if (!file->held)
		return;
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	file->held = false;
	ReleaseExternalFD();
}

static void
strm_directory_reset_file(void *arg)
{
	strm_directory_close_file(arg);
}

void
strm_directory_reserve_file(StrmDirectoryFile *file)
{
	file->fd = -1;
	if (!AcquireExternalFD())
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				errmsg("could not open a file of a data connector: %m"));
	file->held = true;
	file->callback.func = strm_directory_reset_file;
	file->callback.arg = file;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &file->callback);
}

bool
strm_directory_keep_file(StrmDirectoryFile *file, int fd)
{
	int			save_errno = errno;

	file->fd = fd;
	if (fd < 0)
		strm_directory_close_file(file);
	errno = save_errno;
	return fd >= 0;
}

bool
strm_directory_open_parent(StrmStore *store, const char *path, bool create, StrmDirectoryFile *directory,
						   const char **name)
{
	const char *root_path = ((StrmDirectoryStore *) store)->root;
	const char *slash = strrchr(path, '/');
	char	   *parent = slash == NULL ? "" : pnstrdup(path, slash - path);
	int			root;
	int			base;
	int			fd = -1;
	int			save_errno;

	*name = slash == NULL ? path : slash + 1;
	strm_directory_reserve_file(directory);
	root = strm_directory_open_root();
	base = strm_directory_walk(root, root_path, create);
	save_errno = errno;
	close(root);
	if (base >= 0)
	{
		fd = strm_directory_walk(base, parent, create);
		save_errno = errno;
		close(base);
	}
	errno = save_errno;
	return strm_directory_keep_file(directory, fd);
}

char *
strm_directory_temporary_name(const char *name, const pg_uuid_t *intent)
{
	return psprintf(".%.*s.%s.tmp", STRM_DIRECTORY_TEMPORARY_NAME_MAX, name, strm_uuid_text(intent));
}

int64
strm_directory_birth(int directory, const char *name)
{
	struct statx st;

	if (statx(directory, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st) != 0 || (st.stx_mask & STATX_BTIME) == 0)
		return 0;
	return (int64) st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
}

bool
strm_directory_remove(int directory, const char *name, ino_t number)
{
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	if (!S_ISREG(st.st_mode) || st.st_ino != number)
		return true;
	return unlinkat(directory, name, 0) == 0 || errno == ENOENT;
}

bool
strm_directory_restore(int directory, const char *temporary, const char *name, ino_t number, int64 birth)
{
	struct stat st;
	bool		found = fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (!found && errno != ENOENT)
		return false;
	if (found && (!S_ISREG(st.st_mode) || st.st_ino != number ||
				  (birth != 0 && strm_directory_birth(directory, name) != birth)))
		return unlinkat(directory, temporary, 0) == 0 || errno == ENOENT;
	return renameat(directory, temporary, directory, name) == 0 || errno == ENOENT;
}
