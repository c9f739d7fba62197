/*
 * directory.c
 *	  Kind "directory": files below strm_privacy.connector_directory, or below a path there that the location names.
 *
 *	  Files are read and written as the server's user, so who may make such a connector is checked when it is made
 *	  (api/data_connector.c). A file comes to be under the name ".<name>.<intent>.tmp" beside its place and is moved
 *	  there by publish. A file that it replaces takes the temporary name in exchange, so that it can be put back, until
 *	  settle. What is noted of the new file is its number and time of birth: with that clean_up tells which of the two
 *	  has which name, when the process died after publishing it but not everything else.
 *
 *	  A file is read up to the size that it had when it was opened: what is appended meanwhile is not read, and a file
 *	  that became shorter is an error.
 */
#include "postgres.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "common/uuid.h"
#include "connect/directory.h"
#include "connect/directory_path.h"
#include "contract/document.h"
#include "strm_privacy.h"

#define STRM_DIRECTORY_BUFFER (256 * 1024)
#define STRM_DIRECTORY_TEMPORARY_NAME_MAX 200	/* of the name in a temporary name */

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

typedef struct StrmDirectorySource
{
	StrmByteSource source;
	char	   *path;
	StrmDirectoryFile file;
	uint64		left;			/* bytes to read */
} StrmDirectorySource;

typedef struct StrmDirectorySink
{
	StrmByteSink sink;
	char	   *path;
	char	   *name;			/* in its directory */
	char	   *temporary;
	bool		overwrite;
	bool		exists;			/* the temporary file does */
	bool		published;
	ino_t		number;
	StrmDirectoryFile directory;
	StrmDirectoryFile file;
	MemoryContextCallback callback; /* takes an unpublished file away */
	Size		used;
	char	   *buffer;
} StrmDirectorySink;

/* --- errors --- */

pg_noreturn static void strm_directory_fail(const char *what, const char *path);

/* Raises what errno says about a path of the connector's. A full disk, a quota and a limit of size are 53100. */
static void
strm_directory_fail(const char *what, const char *path)
{
	int			save_errno = errno;
	bool		full = save_errno == ENOSPC || save_errno == EDQUOT || save_errno == EFBIG;

	ereport(ERROR,
			full ? errcode(ERRCODE_DISK_FULL) : errcode_for_file_access(),
			errmsg("could not %s file \"%s\" of the data connector: %m", what, path),
			save_errno == ENOTDIR || save_errno == ELOOP ? errdetail("Symbolic links are not followed.") : 0);
}

pg_noreturn static void strm_directory_irregular(const char *path);

static void
strm_directory_irregular(const char *path)
{
	ereport(ERROR,
			errcode(ERRCODE_WRONG_OBJECT_TYPE),
			errmsg("\"%s\" of the data connector is not a regular file", path),
			errdetail("Directories, symbolic links, pipes and devices are neither read nor replaced."));
}

pg_noreturn static void strm_directory_duplicate(const char *path);

static void
strm_directory_duplicate(const char *path)
{
	ereport(ERROR,
			errcode(STRM_ERR_DUPLICATE),
			errmsg("file \"%s\" of the data connector already exists", path),
			errhint("Choose another name, or let the job overwrite it."));
}

/* --- descriptors --- */

static void
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

/* Before a descriptor is opened: it counts, and is closed with the current context. */
static void
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

/* What an open returned: kept, or no longer counted when it failed. */
static bool
strm_directory_keep_file(StrmDirectoryFile *file, int fd)
{
	int			save_errno = errno;

	file->fd = fd;
	if (fd < 0)
		strm_directory_close_file(file);
	errno = save_errno;
	return fd >= 0;
}

/*
 * Opens the directory that holds path, below the connector's own, in the current context; false with errno set when it
 * does not exist. *name is set to the last part. create: makes missing directories.
 */
static bool
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

/* --- sources --- */

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

/* --- sinks --- */

/* The name that a sink's file has until it is published; in the current context. */
static char *
strm_directory_temporary_name(const char *name, const pg_uuid_t *intent)
{
	return psprintf(".%.*s.%s.tmp", STRM_DIRECTORY_TEMPORARY_NAME_MAX, name, strm_uuid_text(intent));
}

/* When the file was made, in nanoseconds; 0 when the file system does not tell. */
static int64
strm_directory_birth(int directory, const char *name)
{
	struct statx st;

	if (statx(directory, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st) != 0 || (st.stx_mask & STATX_BTIME) == 0)
		return 0;
	return (int64) st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
}

/* Takes away the file of that name if it has that number. false when it is there and could not be removed. */
static bool
strm_directory_remove(int directory, const char *name, ino_t number)
{
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	if (!S_ISREG(st.st_mode) || st.st_ino != number)
		return true;
	return unlinkat(directory, name, 0) == 0 || errno == ENOENT;
}

/*
 * Puts back what has the temporary name since it was replaced by the file of that number and birth (0: unknown). What
 * others have put there meanwhile stays, and it goes. false when it could not be done.
 */
static bool
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

static bool
strm_directory_sink_discard(StrmByteSink *self)
{
	StrmDirectorySink *sink = (StrmDirectorySink *) self;
	bool		gone = true;

	strm_directory_close_file(&sink->file);
	if (!sink->directory.held)
		return !sink->exists && !sink->published;
	if (sink->exists)
		gone = strm_directory_remove(sink->directory.fd, sink->temporary, sink->number);
	if (sink->sink.kept)
		gone &= strm_directory_restore(sink->directory.fd, sink->temporary, sink->name, sink->number, 0);
	else if (sink->published)
		gone &= strm_directory_remove(sink->directory.fd, sink->name, sink->number);
	if (gone)
	{
		sink->exists = false;
		sink->published = false;
		sink->sink.kept = false;
		(void) fsync(sink->directory.fd);
		strm_directory_close_file(&sink->directory);
	}
	return gone;
}

static bool
strm_directory_sink_settle(StrmByteSink *self)
{
	StrmDirectorySink *sink = (StrmDirectorySink *) self;

	if (sink->sink.kept)
		sink->sink.kept = unlinkat(sink->directory.fd, sink->temporary, 0) != 0 && errno != ENOENT;
	return !sink->sink.kept;
}

/* The sink's context goes: nobody will publish the file any more. */
static void
strm_directory_reset_sink(void *arg)
{
	StrmDirectorySink *sink = arg;

	if (!sink->published)
		(void) strm_directory_sink_discard(&sink->sink);
}

/* Writes all of data. */
static void
strm_directory_sink_put(StrmDirectorySink *sink, const char *data, Size size)
{
	while (size > 0)
	{
		ssize_t		n;

		CHECK_FOR_INTERRUPTS();
		n = write(sink->file.fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			strm_directory_fail("write", sink->path);
		data += n;
		size -= n;
	}
}

static void
strm_directory_sink_write(StrmByteSink *self, const char *data, Size size)
{
	StrmDirectorySink *sink = (StrmDirectorySink *) self;

	if (sink->used + size > STRM_DIRECTORY_BUFFER)
	{
		strm_directory_sink_put(sink, sink->buffer, sink->used);
		sink->used = 0;
	}
	if (size >= STRM_DIRECTORY_BUFFER)
	{
		strm_directory_sink_put(sink, data, size);
		return;
	}
	memcpy(sink->buffer + sink->used, data, size);
	sink->used += size;
}

static void
strm_directory_sink_finish(StrmByteSink *self)
{
	StrmDirectorySink *sink = (StrmDirectorySink *) self;
	struct stat st;

	strm_directory_sink_put(sink, sink->buffer, sink->used);
	sink->used = 0;
	/* the group may read the file if it may read the directory */
	if (fstat(sink->directory.fd, &st) != 0 ||
		fchmod(sink->file.fd, S_IRUSR | S_IWUSR | (st.st_mode & S_IRGRP)) != 0 || fsync(sink->file.fd) != 0)
		strm_directory_fail("write", sink->path);
	strm_directory_close_file(&sink->file);
}

/* Gives the file its name unless that is taken; false with errno set. */
static bool
strm_directory_move_new(StrmDirectorySink *sink)
{
	int			directory = sink->directory.fd;

	if (renameat2(directory, sink->temporary, directory, sink->name, RENAME_NOREPLACE) == 0)
		return true;
	/* not every file system can */
	if (errno != EINVAL && errno != ENOSYS)
		return false;
	if (linkat(directory, sink->temporary, directory, sink->name, 0) != 0)
		return false;
	sink->published = true;
	return unlinkat(directory, sink->temporary, 0) == 0;
}

/*
 * Gives the file its name, and the one that has it the temporary name; false with errno set. Where the file system
 * cannot exchange two files, the old one is not kept.
 */
static bool
strm_directory_move_over(StrmDirectorySink *sink)
{
	int			directory = sink->directory.fd;
	struct stat st;

	if (renameat2(directory, sink->temporary, directory, sink->name, RENAME_EXCHANGE) != 0)
	{
		if (errno != ENOENT && errno != EINVAL && errno != ENOSYS)
			return false;
		return renameat(directory, sink->temporary, directory, sink->name) == 0;
	}
	sink->sink.kept = true;
	if (fstatat(directory, sink->temporary, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		return true;
	/* it was a file when the sink was opened */
	if (renameat2(directory, sink->temporary, directory, sink->name, RENAME_EXCHANGE) == 0)
		sink->sink.kept = false;
	strm_directory_irregular(sink->path);
}

static void
strm_directory_sink_publish(StrmByteSink *self)
{
	StrmDirectorySink *sink = (StrmDirectorySink *) self;
	int			directory = sink->directory.fd;
	bool		moved = sink->overwrite ? strm_directory_move_over(sink) : strm_directory_move_new(sink);

	if (!moved && errno == EEXIST)
		strm_directory_duplicate(sink->path);
	if (!moved)
		strm_directory_fail("name", sink->path);
	sink->published = true;
	sink->exists = false;
	if (fsync(directory) != 0)
		strm_directory_fail("write the directory of", sink->path);
}

/* Raises when there is something in the sink's place that must not be replaced. */
static void
strm_directory_check_target(StrmDirectorySink *sink)
{
	struct stat st;

	if (fstatat(sink->directory.fd, sink->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
	{
		if (errno != ENOENT)
			strm_directory_fail("look for", sink->path);
		return;
	}
	if (!sink->overwrite)
		strm_directory_duplicate(sink->path);
	if (!S_ISREG(st.st_mode))
		strm_directory_irregular(sink->path);
}

/* Makes the temporary file. Its note: number and time of birth. */
static void
strm_directory_create(StrmDirectorySink *sink, const StrmSinkOptions *options)
{
	struct stat st;

	if (options->note != NULL)
		options->note(options->note_arg, NULL);
	strm_directory_reserve_file(&sink->file);
	if (!strm_directory_keep_file(&sink->file, openat(sink->directory.fd, sink->temporary,
													  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
													  S_IRUSR | S_IWUSR)))
		strm_directory_fail("create", sink->path);
	if (fstat(sink->file.fd, &st) != 0)
		strm_directory_fail("create", sink->path);
	sink->number = st.st_ino;
	sink->exists = true;
	if (options->note != NULL)
		options->note(options->note_arg, psprintf("%llu " INT64_FORMAT, (unsigned long long) st.st_ino,
												  strm_directory_birth(sink->directory.fd, sink->temporary)));
}

static StrmByteSink *
strm_directory_write(StrmStore *store, const char *path, const StrmSinkOptions *options)
{
	StrmDirectorySink *sink = palloc0(sizeof(StrmDirectorySink));
	const char *name;

	sink->sink.write = strm_directory_sink_write;
	sink->sink.finish = strm_directory_sink_finish;
	sink->sink.publish = strm_directory_sink_publish;
	sink->sink.discard = strm_directory_sink_discard;
	sink->sink.settle = strm_directory_sink_settle;
	sink->path = pstrdup(path);
	sink->overwrite = options->overwrite;
	sink->buffer = palloc(STRM_DIRECTORY_BUFFER);
	if (!strm_directory_open_parent(store, path, true, &sink->directory, &name))
		strm_directory_fail("create", path);
	sink->name = pstrdup(name);
	sink->temporary = strm_directory_temporary_name(name, &options->intent);
	strm_directory_check_target(sink);
	/* callbacks are called last registered first: this one while the directory is still open */
	sink->callback.func = strm_directory_reset_sink;
	sink->callback.arg = sink;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &sink->callback);
	strm_directory_create(sink, options);
	return &sink->sink;
}

/* --- the kind --- */

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
