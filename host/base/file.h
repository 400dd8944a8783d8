/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files, written beside and renamed: a reader sees the old file or the new one. */
#ifndef DF_BASE_FILE_H
#define DF_BASE_FILE_H

#include <stdio.h>

#include "base/status.h"

/* The same open file under a descriptor of 3 or more, closed on exec; fd itself is closed. A host program may have
 * closed 0, 1 or 2 and yet print: its words must not end in what is kept under them. -1 with errno, also for a failed
 * open. Safe after a fork. */
int df_descriptor(int fd);
/* Make an empty temporary beside path (mkostemp, mode from umask, no link followed): TARGET.tmp.XXXXXX.
 * Errors   E_EXISTS the folder is missing or not writable; E_IO */
dfal_status df_file_temporary(char **temporary, int *fd, const char *path);
/* fsync temporary, rename it over path, fsync the folder. On error the temporary is removed. A link at path is
 * replaced, not followed. */
dfal_status df_file_publish(const char *temporary, const char *path);
/* The same for files of one folder, which is synced once; the disk may take all of them together. On error those that
 * are not renamed yet are removed. */
dfal_status df_file_publish_all(const char *const *temporaries, const char *const *paths, int32_t count);
/* Remove stale temporaries TARGET.tmp.XXXXXX beside path left by a dead process. One that somebody holds
 * under flock, as its writer does, is left alone. */
void df_file_sweep(const char *path);
/* Write text atomically. */
dfal_status df_file_write(const char *path, const void *bytes, size_t size);
/* Read a whole file of at most limit bytes; *bytes has a zero behind its end.
 * Errors   E_NOINPUT missing; E_DATA larger than limit; E_IO */
dfal_status df_file_read(char **bytes, size_t *size, const char *path, size_t limit);
bool df_file_exists(const char *path);
bool df_folder_exists(const char *path);
dfal_status df_folder_create(const char *path); /* fine when it is there */
dfal_status df_folder_remove(const char *path); /* with its plain files, one level of folders */
/* E_EXISTS when path exists and force is off; E_EXISTS when its folder does not exist. */
dfal_status df_file_check_target(const char *path, bool force);
/* Map errno to a status. For reading: ENOENT, ENOTDIR, EACCES E_NOINPUT, EISDIR E_DATA, else E_IO.
 * For writing: ENOENT, ENOTDIR, EACCES, EPERM, EROFS, EISDIR, ENOTEMPTY E_EXISTS (cannot create), else E_IO.
 * The message: "PATH: DOING failed: TEXT OF ERRNO". */
dfal_status df_fail_errno(int error, bool writing, const char *path, const char *doing);

#endif
