/*
 * master_key_file.c
 *	  Master keys in a file outside the data directory (inside, it would travel with every base backup).
 *
 *	  The file has one line a key, the current one first, comments start with #:
 *		  1 <id, decimal> <32 bytes, standard base64>
 *	  It must be a regular file that belongs to the server's user and that nobody else may read or write. It is made
 *	  whole under a temporary name and linked into place, so that no reader sees half of it and no existing file is
 *	  overwritten. Messages name the file only in the server's log.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "common/errors.h"
#include "common/secret.h"
#include "guc/guc.h"
#include "keys/master_key_file.h"
#include "strm_privacy.h"

#define STRM_MASTER_KEY_FILE_MAX 8192
#define STRM_MASTER_KEY_FORMAT "1"
#define STRM_MASTER_KEY_BASE64 sodium_base64_ENCODED_LEN(STRM_MASTER_KEY_SIZE, sodium_base64_VARIANT_ORIGINAL)

/* A reason to be sealed; wipes nothing, so callers wipe first. */
static void
strm_master_key_file_fail(const char *reason, const char *hint)
{
	ereport(ERROR,
			errcode(STRM_ERR_STATE),
			errmsg("strm_privacy is sealed: %s", reason),
			strm_master_key_file &&
			strm_master_key_file[0] ? errdetail_log("The file is \"%s\".", strm_master_key_file) : 0,
			errhint("%s", hint));
}

/* Raises unless a file is configured, by an absolute path. */
static void
strm_master_key_file_check_setting(void)
{
	if (strm_master_key_file == NULL || strm_master_key_file[0] == '\0')
		strm_master_key_file_fail("no master key file is configured",
								  "Set strm_privacy.master_key_file to a path outside the data directory and reload the configuration.");
	if (!is_absolute_path(strm_master_key_file))
		strm_master_key_file_fail("the path of the master key file is not absolute",
								  "Set strm_privacy.master_key_file to an absolute path outside the data directory.");
}

/* Does path, or what it links to, lie in the data directory? Not if it does not exist. */
static bool
strm_master_key_file_inside_data(const char *path)
{
	char	   *real_path = realpath(path, NULL);
	char	   *real_data = realpath(DataDir, NULL);
	bool		inside = false;

	if (real_path != NULL && real_data != NULL)
	{
		size_t		n = strlen(real_data);

		inside = strncmp(real_path, real_data, n) == 0 && (real_path[n] == '/' || real_path[n] == '\0');
	}
	free(real_path);
	free(real_data);
	return inside;
}

/* Raises if the file or its directory is inside the data directory. */
static void
strm_master_key_file_check_place(void)
{
	char		directory[MAXPGPATH];

	strlcpy(directory, strm_master_key_file, sizeof(directory));
	get_parent_directory(directory);
	if (strm_master_key_file_inside_data(directory) || strm_master_key_file_inside_data(strm_master_key_file))
		strm_master_key_file_fail("the master key file is inside the data directory",
								  "It would be part of every backup. Move it elsewhere and set strm_privacy.master_key_file.");
}

/* Opens the file and checks who may read it. */
static int
strm_master_key_file_open(void)
{
	int			fd;
	struct stat st;

	strm_master_key_file_check_setting();
	fd = OpenTransientFile(strm_master_key_file, O_RDONLY | PG_BINARY);
	if (fd < 0)
		strm_master_key_file_fail(errno == ENOENT ? "the master key file does not exist"
								  : errno == EACCES ? "the server may not read the master key file"
								  : "the master key file cannot be opened",
								  "Put the master key file back into place; a new one could not open any existing key.");
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		strm_master_key_file_fail("the master key file is not a regular file", "Check strm_privacy.master_key_file.");
	if (st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		strm_master_key_file_fail("the master key file may be read or written by others",
								  "Make it the property of the server's user with mode 0600 (chmod 600).");
	strm_master_key_file_check_place();
	return fd;
}

/* Parses one line into key; false when it is malformed. */
static bool
strm_master_key_file_parse_line(char *line, StrmMasterKey *key)
{
	char	   *saved = NULL;
	char	   *format = strtok_r(line, " \t\r", &saved);
	char	   *id = strtok_r(NULL, " \t\r", &saved);
	char	   *base64 = strtok_r(NULL, " \t\r", &saved);
	char	   *end;
	unsigned long value;
	size_t		size;

	if (format == NULL || strcmp(format, STRM_MASTER_KEY_FORMAT) != 0 || id == NULL || base64 == NULL ||
		strtok_r(NULL, " \t\r", &saved) != NULL)
		return false;
	errno = 0;
	value = strtoul(id, &end, 10);
	if (errno != 0 || *end != '\0' || value == 0 || value > PG_UINT32_MAX)
		return false;
	key->id = (uint32) value;
	return sodium_base642bin(key->key, STRM_MASTER_KEY_SIZE, base64, strlen(base64), NULL, &size, NULL,
							 sodium_base64_VARIANT_ORIGINAL) == 0 && size == STRM_MASTER_KEY_SIZE;
}

/* Parses the whole text, which is destroyed; false when it is malformed, empty, or has an id twice. */
static bool
strm_master_key_file_parse(char *text, StrmMasterKeys *keys)
{
	char	   *saved = NULL;

	keys->count = 0;
	for (char *line = strtok_r(text, "\n", &saved); line != NULL; line = strtok_r(NULL, "\n", &saved))
	{
		if (line[0] == '#' || line[strspn(line, " \t\r")] == '\0')
			continue;
		if (keys->count == STRM_MAX_MASTER_KEYS || !strm_master_key_file_parse_line(line, &keys->keys[keys->count]))
			return false;
		for (int i = 0; i < keys->count; i++)
		{
			if (keys->keys[i].id == keys->keys[keys->count].id)
				return false;
		}
		keys->count++;
	}
	return keys->count > 0;
}

void
strm_master_key_file_read(StrmMasterKeys *keys)
{
	char		text[STRM_MASTER_KEY_FILE_MAX];
	int			fd = strm_master_key_file_open();
	ssize_t		size = read(fd, text, sizeof(text) - 1);
	bool		ok = size > 0 && size < (ssize_t) sizeof(text) - 1;

	CloseTransientFile(fd);
	if (ok)
	{
		text[size] = '\0';
		ok = strm_master_key_file_parse(text, keys);
	}
	sodium_memzero(text, sizeof(text));
	if (!ok)
	{
		sodium_memzero(keys, sizeof(*keys));
		strm_master_key_file_fail("the master key file is malformed",
								  "Each line is: 1, the key's id, and its 32 bytes in base64. Put the right file back into place.");
	}
}

/* Writes text to a new file at path; raises with the file removed when that fails. */
static void
strm_master_key_file_write(const char *path, const char *text)
{
	int			fd = OpenTransientFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | PG_BINARY, S_IRUSR | S_IWUSR);
	size_t		n = strlen(text);

	if (fd < 0)
		ereport(ERROR,
				errcode_for_file_access(),
				errmsg("could not create the master key file: %m"),
				errhint("Let its directory exist, outside the data directory, and belong to the server's user."));
	if (write(fd, text, n) != (ssize_t) n || pg_fsync(fd) != 0)
	{
		int			save_errno = errno ? errno : ENOSPC;

		CloseTransientFile(fd);
		unlink(path);
		errno = save_errno;
		ereport(ERROR, errcode_for_file_access(), errmsg("could not write the master key file: %m"));
	}
	CloseTransientFile(fd);
}

/* Text of a file with one new key. The caller wipes it. */
static void
strm_master_key_file_compose(char *text, size_t size)
{
	StrmMasterKey key;
	char		base64[STRM_MASTER_KEY_BASE64];

	strm_secret_random(&key, sizeof(key));
	key.id = (key.id & 0x7fffffff) | 1;
	sodium_bin2base64(base64, sizeof(base64), key.key, sizeof(key.key), sodium_base64_VARIANT_ORIGINAL);
	snprintf(text, size,
			 "# Master keys of strm_privacy, the current one first. Keep this file secret, and keep a copy in a safe place:\n"
			 "# what was encrypted cannot be read without it.\n"
			 STRM_MASTER_KEY_FORMAT " %u %s\n", key.id, base64);
	sodium_memzero(&key, sizeof(key));
	sodium_memzero(base64, sizeof(base64));
}

/* Puts a new file into place. false when one is there already, if only as a dangling link; raises when it cannot. */
static bool
strm_master_key_file_place_new(void)
{
	char		directory[MAXPGPATH];
	char		temporary[MAXPGPATH + 32];
	char		text[512];
	int			link_errno = 0;

	snprintf(temporary, sizeof(temporary), "%s.%d.new", strm_master_key_file, MyProcPid);
	strm_master_key_file_compose(text, sizeof(text));
	strm_master_key_file_write(temporary, text);
	sodium_memzero(text, sizeof(text));
	if (link(temporary, strm_master_key_file) != 0)
		link_errno = errno;
	unlink(temporary);
	if (link_errno == EEXIST)
		return false;
	errno = link_errno;
	if (link_errno != 0)
		ereport(ERROR, errcode_for_file_access(), errmsg("could not create the master key file: %m"));
	strlcpy(directory, strm_master_key_file, sizeof(directory));
	get_parent_directory(directory);
	fsync_fname(directory, true);
	return true;
}

void
strm_master_key_file_create(bool existed)
{
	StrmMasterKeys existing;

	strm_master_key_file_check_setting();
	strm_master_key_file_check_place();
	if (access(strm_master_key_file, F_OK) != 0 && errno == ENOENT && (existed || RecoveryInProgress()))
		strm_master_key_file_fail("the master key file does not exist, although this cluster has had a master key",
								  "Put the master key file back into place. If nothing that was encrypted in any database of this "
								  "cluster is ever to be read again, use COMMENT ON ROLE strm_admin IS NULL to start anew.");
	if (access(strm_master_key_file, F_OK) == 0 || !strm_master_key_file_place_new())
	{
		/* kept: it may have wrapped keys of another database; but say now if it is unusable */
		strm_master_key_file_read(&existing);
		sodium_memzero(&existing, sizeof(existing));
		return;
	}
	/* not a NOTICE: CREATE EXTENSION suppresses those */
	ereport(LOG,
			errmsg("a new master key was created"),
			errdetail("The file is \"%s\".", strm_master_key_file),
			errhint("Keep a copy of it in a safe place, apart from the backups of the database."));
}
