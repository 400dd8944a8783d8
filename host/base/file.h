/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files, written beside and renamed: a reader sees the old file or the new one. */
#ifndef DF_BASE_FILE_H
#define DF_BASE_FILE_H

#include <stdio.h>
#include <sys/types.h>

#include "base/status.h"

/* The same open file under a descriptor of 3 or more, closed on exec; fd itself is closed. A host program may
 * have closed 0, 1 or 2 and yet print: its words must not end in what is kept under them. -1 with errno, also
 * for a failed open. Safe after a fork. */
int df_descriptor(int fd);
#define DF_TEMPORARY_MARK ".tmp." /* in the name of a temporary: TARGET.tmp.XXXXXX */
/* Make an empty temporary beside path (mkostemp, mode from umask, no link followed), locked as long as *fd is
 * open: TARGET.tmp.XXXXXX.
 * Errors   E_EXISTS the folder is missing or not writable; E_IO */
dfal_status df_file_temporary(char **temporary, int *fd, const char *path);
/* fsync temporary, give it its name, fsync the folder. On error the temporary is removed, and at path stands
 * what stood there before (where a file system can exchange two files, else possibly the new file). A link at
 * path is replaced, not followed. Errors   E_EXISTS a file is there and replace is off; E_IO */
dfal_status df_file_publish(const char *temporary, const char *path, bool replace);
/* The same, replacing, for files of one folder, which is synced once; the disk may take all of them together.
 * On error none of them is there. */
dfal_status df_file_publish_all(const char *const *temporaries, const char *const *paths, int32_t count);
/* Whether a folder's entry is named like a temporary of base; NULL: of anything. */
bool df_file_is_temporary(const char *entry, const char *base);
/* Remove stale temporaries TARGET.tmp.XXXXXX beside path left by a dead process. One that somebody holds
 * under flock, as its writer does, is left alone, and all are where a file system has no locks. */
void df_file_sweep(const char *path);
/* Of every file of a folder that only dfal writes to. */
void df_folder_sweep(const char *folder);
/* Lock without waiting. False with errno: EWOULDBLOCK somebody else holds it; else the file system has no
 * locks. */
bool df_file_lock(int fd);
/* The mode that umask leaves of the wanted one. The owner keeps its part: dfal reads again what it has
 * written. */
mode_t df_file_mode(mode_t wanted);
/* openat(2), made if need be, for a file that is not written whole; errno tells. No link is followed. */
int df_file_make(int folder, const char *name, int flags);
/* Write on where fd stands, for a file that is not written whole; path is what messages call it. On an error
 * some of the bytes may be there. Errors   E_IO */
dfal_status df_file_append(int fd, const char *path, const void *bytes, size_t size);
/* Write a file of dfal's own, whether there is one or not. */
dfal_status df_file_write(const char *path, const void *bytes, size_t size);
/* Write an output. Errors   as df_file_publish */
dfal_status df_file_write_output(const char *path, const void *bytes, size_t size, bool replace);
/* Read a whole file of at most limit bytes; *bytes has a zero behind its end.
 * Errors   E_NOINPUT missing; E_DATA larger than limit; E_IO */
dfal_status df_file_read(char **bytes, size_t *size, const char *path, size_t limit);
/* Open a file for reading; size NULL or its bytes, 0 where it is no plain file.
 * Errors   E_NOINPUT missing; E_DATA a plain file larger than limit; E_IO */
dfal_status df_file_open(int *fd, size_t *size, const char *path, size_t limit);
/* Read at most `most` bytes; got 0: the end. */
dfal_status df_file_read_some(size_t *got, int fd, const char *path, void *bytes, size_t most);
bool df_file_exists(const char *path);
bool df_folder_exists(const char *path);
/* Whether a name ends so and is more than its ending. */
bool df_name_ends(const char *name, const char *ending);
/* Whether a folder is there and holds an entry of such a name. */
bool df_folder_holds(const char *path, bool (*is_it)(const char *name));
/* Fine when it is there. The owner may always work in it. */
dfal_status df_folder_create(const char *path);
dfal_status df_folder_remove(const char *path); /* with its plain files, one level of folders */
/* With all that is below, at most 100 levels: for folders of dfal's own in which others work. No link is
 * followed and no mounted file system entered. */
dfal_status df_folder_remove_all(const char *path);
dfal_status
df_path_remove(const char *path); /* a file, or a folder with all that is below; fine when nothing is there */
/* E_EXISTS when path exists and force is off; E_EXISTS when its folder does not exist. */
dfal_status df_file_check_target(const char *path, bool force);
/* Map errno to a status. For reading: ENOENT, ENOTDIR, EACCES E_NOINPUT, EISDIR E_DATA, else E_IO.
 * For writing: ENOENT, ENOTDIR, EACCES, EPERM, EROFS, EISDIR, ENOTEMPTY E_EXISTS (cannot create), else E_IO.
 * The message: "PATH: DOING failed: TEXT OF ERRNO". */
dfal_status df_fail_errno(int error, bool writing, const char *path, const char *doing);

#endif
