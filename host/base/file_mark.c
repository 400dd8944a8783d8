/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_mark.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

dfal_status df_file_mark(struct df_file_mark *mark, int fd, const char *path)
{
    struct stat facts;
    if (fstat(fd, &facts) != 0)
        DF_FAIL(DFAL_E_IO, "%s: looking at it failed: %s", path, strerror(errno));
    *mark = (struct df_file_mark){.size = facts.st_size,
                                  .seconds = facts.st_mtim.tv_sec,
                                  .nanoseconds = facts.st_mtim.tv_nsec,
                                  .device = facts.st_dev,
                                  .inode = facts.st_ino};
    return DFAL_OK;
}

dfal_status df_file_has_name(bool *has, int fd, const char *path)
{
    struct stat named;
    struct df_file_mark held;
    *has = false;
    if (stat(path, &named) != 0) {
        if (errno == ENOENT)
            return DFAL_OK;
        DF_FAIL(DFAL_E_IO, "%s: looking at it failed: %s", path, strerror(errno));
    }
    DF_TRY(df_file_mark(&held, fd, path));
    *has = named.st_dev == held.device && named.st_ino == held.inode;
    return DFAL_OK;
}

static dfal_status check_name(const struct df_file_mark *mark, const char *path)
{
    struct stat facts;
    if (stat(path, &facts) != 0)
        DF_FAIL(DFAL_E_IO, "%s is gone while it was read (%s), expected the same file until the end", path,
                strerror(errno));
    if (facts.st_dev != mark->device || facts.st_ino != mark->inode)
        DF_FAIL(DFAL_E_IO,
                "%s was replaced by another file while it was read, expected the same file until the end",
                path);
    return DFAL_OK;
}

dfal_status df_file_unchanged(const struct df_file_mark *mark, int fd, const char *path, bool by_name)
{
    struct df_file_mark now;
    DF_TRY(df_file_mark(&now, fd, path));
    if (now.size != mark->size)
        DF_FAIL(DFAL_E_IO,
                "%s was changed while it was read: it has %lld bytes, expected the %lld it was opened with",
                path, (long long)now.size, (long long)mark->size);
    if (now.seconds != mark->seconds || now.nanoseconds != mark->nanoseconds)
        DF_FAIL(DFAL_E_IO, "%s was written to while it was read, expected the same file until the end", path);
    return by_name ? check_name(mark, path) : DFAL_OK;
}
