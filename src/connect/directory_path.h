/*
 * directory_path.h
 *	  Finding places below strm_privacy.connector_directory without ever leaving it.
 */
#ifndef STRM_CONNECT_DIRECTORY_PATH_H
#define STRM_CONNECT_DIRECTORY_PATH_H

/*
 * Opens strm_privacy.connector_directory, for walking. Raises 55000 when it is not set or not fit. The caller has
 * reserved a descriptor with AcquireExternalFD() and closes it.
 */
extern int	strm_directory_open_root(void);

/*
 * Opens the directory that path leads to from directory, every part of it a real directory and none a link. path may be
 * empty. create: makes what is missing. The descriptor, or -1 with errno set: ENOENT, and ENOTDIR for links and files.
 * Does not raise.
 */
extern int	strm_directory_walk(int directory, const char *path, bool create);

#endif							/* STRM_CONNECT_DIRECTORY_PATH_H */
