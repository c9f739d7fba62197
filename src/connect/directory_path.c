/*
 * directory_path.c
 *	  Finding places below strm_privacy.connector_directory without ever leaving it: each part of a path is opened by
 *	  its name alone from the directory that holds it, and links are not followed. So whoever may write there cannot
 *	  lead the server elsewhere, at whatever moment.
 *
 *	  The root itself must hold nothing that a job may not read: neither it nor anything of the server's is inside the
 *	  other. Links in its own path are the administrator's and are followed.
 */
#include "postgres.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpq/libpq.h"
#include "miscadmin.h"
#include "postmaster/syslogger.h"
#include "storage/fd.h"
#include "utils/guc.h"

#include "common/errors.h"
#include "connect/directory_path.h"
#include "guc/guc.h"
#include "strm_privacy.h"

pg_noreturn static void strm_directory_unfit(const char *why);

/* The setting is at fault. Names no path: who uses a connector need not know where it is. */
static void
strm_directory_unfit(const char *why)
{
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("data connectors of kind directory cannot be used: strm_privacy.connector_directory %s", why),
			errhint("Set strm_privacy.connector_directory to the absolute path of an existing directory that holds nothing of the server's, neither data nor logs, configuration or the master key file, and that not everybody may write to."));
}

/* Is the inner path the outer one or below it? Both as realpath() gives them; NULL is nowhere. */
static bool
strm_directory_holds(const char *outer, const char *inner)
{
	size_t		n;

	if (outer == NULL || inner == NULL)
		return false;
	n = strlen(outer);
	return strcmp(outer, "/") == 0 || (strncmp(outer, inner, n) == 0 && (inner[n] == '/' || inner[n] == '\0'));
}

/* Do the root and a directory of the server's lie in each other? Of a file: is it in the root? NULL and "": no. */
static bool
strm_directory_overlaps(const char *root, const char *path, bool is_file)
{
	char	   *real = path != NULL && path[0] != '\0' ? realpath(path, NULL) : NULL;
	bool		overlaps = strm_directory_holds(root, real) || (!is_file && strm_directory_holds(real, root));

	free(real);
	return overlaps;
}

/* Does the root overlap with what the server has outside the data directory: WAL, tablespaces, logs? */
static bool
strm_directory_overlaps_storage(const char *root)
{
	DIR		   *directory = AllocateDir("pg_tblspc");
	bool		overlaps = strm_directory_overlaps(root, "pg_wal", false) ||
		strm_directory_overlaps(root, Log_directory, false);
	struct dirent *entry;

	while ((entry = ReadDir(directory, "pg_tblspc")) != NULL)
	{
		char		path[MAXPGPATH];

		snprintf(path, sizeof(path), "pg_tblspc/%s", entry->d_name);
		if (entry->d_name[0] != '.')
			overlaps |= strm_directory_overlaps(root, path, false);
	}
	FreeDir(directory);
	return overlaps;
}

/* Does the root hold a file that says who may connect and how, or that proves who the server is? */
static bool
strm_directory_holds_settings(const char *root)
{
	const char *files[] = {ConfigFileName, HbaFileName, IdentFileName, ssl_key_file, ssl_cert_file, ssl_ca_file};

	for (int i = 0; i < lengthof(files); i++)
	{
		if (strm_directory_overlaps(root, files[i], true))
			return true;
	}
	return false;
}

/* Raises when the root and something of the server's lie in each other. */
static void
strm_directory_check_place(void)
{
	char	   *root = realpath(strm_connector_directory, NULL);
	char	   *data = realpath(DataDir, NULL);
	char	   *key = strm_master_key_file != NULL ? realpath(strm_master_key_file, NULL) : NULL;
	bool		exists = root != NULL;
	bool		data_bad = strm_directory_holds(root, data) || strm_directory_holds(data, root);
	bool		key_bad = strm_directory_holds(root, key);
	bool		storage_bad = exists && !data_bad && strm_directory_overlaps_storage(root);
	bool		settings_bad = exists && !data_bad && strm_directory_holds_settings(root);

	free(root);
	free(data);
	free(key);
	if (!exists)
		strm_directory_unfit("is not an existing directory");
	if (data_bad)
		strm_directory_unfit("is, holds or is inside the data directory");
	if (key_bad)
		strm_directory_unfit("holds the master key file");
	if (storage_bad)
		strm_directory_unfit("is, holds or is inside a tablespace, or the directory of WAL or logs");
	if (settings_bad)
		strm_directory_unfit("holds files of the server's configuration");
}

int
strm_directory_open_root(void)
{
	struct stat st;
	int			fd;

	if (strm_connector_directory == NULL || strm_connector_directory[0] == '\0')
		strm_directory_unfit("is not set");
	if (!is_absolute_path(strm_connector_directory))
		strm_directory_unfit("is not an absolute path");
	strm_directory_check_place();
	fd = open(strm_connector_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		strm_directory_unfit(errno == EACCES ? "cannot be opened by the server" : "is not an existing directory");
	if (fstat(fd, &st) != 0 || (st.st_mode & S_IWOTH) != 0)
	{
		close(fd);
		strm_directory_unfit("may be written to by everybody");
	}
	return fd;
}

/* Makes a directory in directory, as open to the group as that is; false with errno set. Having lost a race is fine. */
static bool
strm_directory_make(int directory, const char *name)
{
	struct stat st;
	int			fd;

	if (fstat(directory, &st) != 0)
		return false;
	if (mkdirat(directory, name, S_IRWXU) != 0)
		return errno == EEXIST;
	/* past the server's umask */
	fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
	{
		(void) fchmod(fd, S_IRWXU | (st.st_mode & (S_IRWXG | S_ISGID)));
		(void) fsync(fd);
		close(fd);
	}
	return fsync(directory) == 0;
}

/* Opens one part; -1 with errno set. */
static int
strm_directory_step(int directory, const char *name, bool create)
{
	int			flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int			fd = openat(directory, name, flags);

	if (fd < 0 && errno == ENOENT && create && strm_directory_make(directory, name))
		fd = openat(directory, name, flags);
	if (fd < 0 && errno == ELOOP)
		errno = ENOTDIR;
	return fd;
}

int
strm_directory_walk(int directory, const char *path, bool create)
{
	int			fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && *path != '\0')
	{
		size_t		size = strcspn(path, "/");
		char		name[NAME_MAX + 1];
		int			next = -1;
		int			save_errno = ENAMETOOLONG;

		if (size == 0 || strncmp(path, "..", Max(size, 1)) == 0)
			save_errno = EINVAL;	/* strm_connector_check_path() refuses these */
		else if (size <= NAME_MAX)
		{
			strlcpy(name, path, size + 1);
			next = strm_directory_step(fd, name, create);
			save_errno = errno;
		}
		close(fd);
		errno = save_errno;
		fd = next;
		path += size;
		path += *path == '/';
	}
	return fd;
}
