/*
 * directory.c
 *	  Kind "directory": files below strm_privacy.connector_directory, or below a path there that the location names.
 *
 *	  Files are read and written as the server's user, so who may make such a connector is checked when it is made
 *	  (api/data_connector.c). How files are written: directory_sink.c.
 *
 *	  A file is read up to the size that it had when it was opened: what is appended meanwhile is not read, and a file
 *	  that became shorter is an error.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"

#include "common/uuid.h"
#include "connect/directory_path.h"
#include "connect/directory_private.h"
#include "contract/document.h"
#include "strm_privacy.h"

typedef struct StrmDirectorySource
{
	StrmByteSource source;
	char	   *path;
	StrmDirectoryFile file;
	uint64		left;			/* bytes to read */
} StrmDirectorySource;

static Size
strm_directory_source_read(StrmByteSource *self, char *buffer, Size size)
{
	StrmDirectorySource *source = (StrmDirectorySource *) self;
	ssize_t		n;

	if (source->left == 0 || size == 0)
		return 0;
	do
	{
		CHECK_FOR_INTERRUPTS();
		n = read(source->file.fd, buffer, Min(size, source->left));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		strm_directory_fail("read", source->path);
	if (n == 0)
		ereport(ERROR,
				errcode(STRM_ERR_STORE),
				errmsg("file \"%s\" of the data connector became shorter while it was read", source->path));
	source->left -= n;
	return n;
}

static void
strm_directory_source_close(StrmByteSource *self)
{
	StrmDirectorySource *source = (StrmDirectorySource *) self;

	strm_directory_close_file(&source->file);
	source->left = 0;
}

static StrmByteSource *
strm_directory_read(StrmStore *store, const char *path)
{
	StrmDirectorySource *source = palloc0(sizeof(StrmDirectorySource));
	StrmDirectoryFile *directory = palloc0(sizeof(StrmDirectoryFile));
	const char *name;
	struct stat st;

	source->source.read = strm_directory_source_read;
	source->source.close = strm_directory_source_close;
	source->path = pstrdup(path);
	if (!strm_directory_open_parent(store, path, false, directory, &name))
		strm_directory_fail("open", path);
	strm_directory_reserve_file(&source->file);
	/* not to wait for the other end of a pipe; without effect on regular files */
	if (!strm_directory_keep_file(&source->file,
								  openat(directory->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)))
	{
		if (errno == ELOOP || errno == ENXIO)
			strm_directory_irregular(path);
		strm_directory_fail("open", path);
	}
	strm_directory_close_file(directory);
	if (fstat(source->file.fd, &st) != 0)
		strm_directory_fail("read", path);
	if (!S_ISREG(st.st_mode))
		strm_directory_irregular(path);
	source->left = st.st_size;
#if defined(POSIX_FADV_SEQUENTIAL)
	(void) posix_fadvise(source->file.fd, 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
	return &source->source;
}

static void
strm_directory_check_definition(const StrmConnector *connector, StrmFaults *faults)
{
	StrmDocument document = {.faults = faults};
	StrmMember	members[] = {{.name = "path"}};
	char	   *path;

	initStringInfo(&document.ignored);
	strm_document_members(&document, &connector->location->root, "the location", members, lengthof(members));
	path = strm_document_string(&document, &members[0], "the location");
	if (path != NULL)
		(void) strm_connector_check_path(path, "member \"path\" of the location", faults);
	if (connector->credentials != NULL)
		strm_faults_add(faults, "a directory has no credentials");
}

static StrmStore *
strm_directory_open(const StrmConnector *connector)
{
	StrmDirectoryStore *store = palloc0(sizeof(StrmDirectoryStore));
	StrmFaults	faults;
	StrmDocument document = {.faults = &faults};
	StrmMember	members[] = {{.name = "path"}};
	char	   *path;

	strm_faults_init(&faults);
	initStringInfo(&document.ignored);
	strm_document_members(&document, &connector->location->root, "the location", members, lengthof(members));
	path = strm_document_string(&document, &members[0], "the location");
	store->store.connector = connector;
	store->root = path != NULL ? path : "";
	return &store->store;
}

/* Sources and sinks hold what there is to release. */
static void
strm_directory_close(StrmStore *store)
{
}

static bool
strm_directory_exists(StrmStore *store, const char *path)
{
	StrmDirectoryFile *directory = palloc0(sizeof(StrmDirectoryFile));
	const char *name;
	struct stat st;
	bool		found;

	if (!strm_directory_open_parent(store, path, false, directory, &name))
	{
		if (errno == ENOENT)
			return false;
		strm_directory_fail("look for", path);
	}
	found = fstatat(directory->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!found && errno != ENOENT)
		strm_directory_fail("look for", path);
	strm_directory_close_file(directory);
	return found;
}

/*
 * Makes a file without a name beside path, which is gone with this process whatever becomes of that. false when the
 * file system cannot.
 */
static bool
strm_directory_check_nameless(StrmStore *store, const char *path)
{
	StrmDirectoryFile *directory = palloc0(sizeof(StrmDirectoryFile));
	StrmDirectoryFile *file = palloc0(sizeof(StrmDirectoryFile));
	const char *name;
	bool		made;

	if (!strm_directory_open_parent(store, path, true, directory, &name))
		strm_directory_fail("create", path);
	strm_directory_reserve_file(file);
	made = strm_directory_keep_file(file, openat(directory->fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC,
												 S_IRUSR | S_IWUSR));
	if (!made && errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		strm_directory_fail("create", path);
	if (made && write(file->fd, "\n", 1) != 1)
		strm_directory_fail("write", path);
	strm_directory_close_file(file);
	strm_directory_close_file(directory);
	return made;
}

/* Here the dot-file can be taken away again, and need not have a name. */
static void
strm_directory_check(StrmStore *store, const char *prefix)
{
	StrmSinkOptions options = {.intent = strm_uuid_new()};
	char	   *path = psprintf("%s%s.strm_privacy", prefix, prefix[0] == '\0' ? "" : "/");
	StrmByteSink *sink;

	if (strm_directory_check_nameless(store, path))
		return;
	options.overwrite = true;
	sink = strm_directory_write(store, path, &options);
	strm_bytes_write(sink, "\n", 1);
	strm_bytes_finish(sink);
	if (!strm_bytes_discard(sink))
		strm_directory_fail("remove", path);
}

static bool
strm_directory_clean_up(StrmStore *store, const char *path, const pg_uuid_t *intent, const char *detail)
{
	StrmDirectoryFile *directory = palloc0(sizeof(StrmDirectoryFile));
	const char *name;
	char	   *temporary;
	unsigned long long number;
	long long	birth;
	bool		noted = detail != NULL && sscanf(detail, "%llu %lld", &number, &birth) == 2;
	struct stat st;
	bool		gone;

	if (!strm_directory_open_parent(store, path, false, directory, &name))
		return errno == ENOENT || errno == ENOTDIR;
	temporary = strm_directory_temporary_name(name, intent);
	if (noted && fstatat(directory->fd, temporary, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino != (ino_t) number)
		gone = strm_directory_restore(directory->fd, temporary, name, (ino_t) number, birth);
	else
	{
		gone = unlinkat(directory->fd, temporary, 0) == 0 || errno == ENOENT;
		if (noted && birth != 0 && strm_directory_birth(directory->fd, name) == birth)
			gone &= strm_directory_remove(directory->fd, name, (ino_t) number);
	}
	strm_directory_close_file(directory);
	return gone;
}

static bool
strm_directory_settle(StrmStore *store, const char *path, const pg_uuid_t *intent)
{
	StrmDirectoryFile *directory = palloc0(sizeof(StrmDirectoryFile));
	const char *name;
	bool		gone;

	if (!strm_directory_open_parent(store, path, false, directory, &name))
		return errno == ENOENT || errno == ENOTDIR;
	gone = unlinkat(directory->fd, strm_directory_temporary_name(name, intent), 0) == 0 || errno == ENOENT;
	strm_directory_close_file(directory);
	return gone;
}

const StrmConnectorKind strm_directory_kind = {
	.name = "directory",
	.check_definition = strm_directory_check_definition,
	.open = strm_directory_open,
	.close = strm_directory_close,
	.exists = strm_directory_exists,
	.read = strm_directory_read,
	.write = strm_directory_write,
	.check = strm_directory_check,
	.clean_up = strm_directory_clean_up,
	.settle = strm_directory_settle,
};
