/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of dfal's own: made so that the owner can work in them, removed without following a link. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { DEEPEST = 100 }; /* a descriptor each */

dfal_status df_folder_create(const char *path)
{
    struct stat facts;
    if (mkdir(path, 0777) != 0) {
        if (errno == EEXIST && df_folder_exists(path))
            return DFAL_OK;
        return df_fail_errno(errno, true, path, "creating the folder");
    }
    if (lstat(path, &facts) != 0 ||
        ((facts.st_mode & 0700) != 0700 && chmod(path, facts.st_mode | 0700) != 0))
        return df_fail_errno(errno, true, path, "setting its mode");
    return DFAL_OK;
}

bool df_folder_holds(const char *path, bool (*is_it)(const char *name))
{
    bool found = false;
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(directory));)
        found = is_it(entry->d_name);
    closedir(directory);
    return found;
}

static dfal_status remove_below(int parent, const char *name, const char *path, int levels, dev_t device);

/* An entry: a link is removed as a link. */
static dfal_status remove_entry(int folder, const char *name, const char *path, int levels, dev_t device)
{
    char *below;
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return DFAL_OK;
    const int error = errno;
    DF_TRY(df_format(&below, "%s/%s", path, name));
    dfal_status status;
    if (error == EISDIR && levels > 0)
        status = remove_below(folder, name, below, levels - 1, device);
    else
        status = df_fail_errno(error, true, below, "removing it with its folder");
    df_free(below);
    return status;
}

/* Remove what is in a folder, then the folder; levels counts the folders that may still be below. device 0:
 * any, else what is mounted below is not entered. */
static dfal_status remove_below(int parent, const char *name, const char *path, int levels, dev_t device)
{
    struct stat facts;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 || fstat(fd, &facts) != 0 ? NULL : fdopendir(fd);
    if (!directory) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return error == ENOENT ? DFAL_OK : df_fail_errno(error, true, path, "opening the folder");
    }
    dfal_status status = DFAL_OK;
    if (device && facts.st_dev != device)
        status = df_fail(DFAL_E_EXISTS,
                         "%s: another file system is mounted here, expected a folder to remove", path);
    else if ((facts.st_mode & 0700) != 0700)
        (void)fchmod(fd, facts.st_mode | 0700); /* without leave, the next line tells */
    for (struct dirent *entry; status == DFAL_OK && (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = remove_entry(fd, entry->d_name, path, levels, facts.st_dev);
    closedir(directory);
    if (status == DFAL_OK && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        status = df_fail_errno(errno, true, path, "removing the folder");
    return status;
}

dfal_status df_folder_remove(const char *path)
{
    return remove_below(AT_FDCWD, path, path, 1, 0);
}

dfal_status df_folder_remove_all(const char *path)
{
    return remove_below(AT_FDCWD, path, path, DEEPEST, 0);
}

dfal_status df_path_remove(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return DFAL_OK;
    return errno == EISDIR ? df_folder_remove_all(path) : df_fail_errno(errno, true, path, "removing");
}
