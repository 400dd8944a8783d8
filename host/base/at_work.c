/* SPDX-License-Identifier: Apache-2.0 */
#include "base/at_work.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/memory.h"

void df_at_work_mark(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return;
    whole.l_type = F_RDLCK; /* a file of another user, open for reading */
    (void)fcntl(fd, F_OFD_SETLK, &whole);
}

/* File systems that no other host writes to, by their numbers in statfs(2): ext, XFS, Btrfs, F2FS, ZFS,
 * tmpfs, overlay. */
static bool is_of_this_host(const struct statfs *facts)
{
    static const uint32_t local[] = {0xef53,     0x58465342, 0x9123683e, 0xf2f52010,
                                     0x2fc12fc1, 0x01021994, 0x794c7630};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if ((uint32_t)facts->f_type == local[i])
            return true;
    return false;
}

/* Nothing is held where nothing is. */
static enum df_at_work look_at_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct statfs facts;
    char *folder;
    if (df_format(&folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".") != DFAL_OK)
        return DF_AT_WORK_UNKNOWN;
    const bool local = statfs(folder, &facts) == 0 && is_of_this_host(&facts);
    df_free(folder);
    return local ? DF_AT_WORK_NO : DF_AT_WORK_UNKNOWN;
}

enum df_at_work df_at_work_look(const char *path)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct statfs facts;
    enum df_at_work found = DF_AT_WORK_UNKNOWN;
    const int fd = df_descriptor(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0)
        return errno == ENOENT ? look_at_folder(path) : found;
    if (fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK)
        found = DF_AT_WORK_YES;
    else if (whole.l_type == F_UNLCK && fstatfs(fd, &facts) == 0 && is_of_this_host(&facts))
        found = DF_AT_WORK_NO;
    close(fd);
    return found;
}
