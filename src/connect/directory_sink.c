/*
 * directory_sink.c
 *	  Writing files of kind "directory".
 *
 *	  A file comes to be under the name ".<name>.<intent>.tmp" beside its place and is moved there by publish. A file
 *	  that it replaces takes the temporary name in exchange, so that it can be put back, until settle. What is noted of
 *	  the new file is its number and time of birth: with that clean_up tells which of the two has which name, when the
 *	  process died after publishing it but not everything else.
 */
#include "postgres.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "connect/directory_private.h"

#define STRM_DIRECTORY_BUFFER (256 * 1024)

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

StrmByteSink *
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
