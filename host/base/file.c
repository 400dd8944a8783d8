/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"

enum { RANDOM_LETTERS = 6 };

/* True, with errno set, when a test wants this operation to fail. */
static bool fails(enum df_fault kind)
{
    if (!df_fault_hits(kind))
        return false;
    errno = kind == DF_FAULT_WRITE || kind == DF_FAULT_FSYNC || kind == DF_FAULT_CLOSE ? ENOSPC : EIO;
    return true;
}

static bool cannot_create(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM || error == EROFS ||
           error == EISDIR || error == ENOTEMPTY || error == EEXIST || error == ELOOP ||
           error == ENAMETOOLONG;
}

dfal_status df_fail_errno(int error, bool writing, const char *path, const char *doing)
{
    dfal_status status = DFAL_E_IO;
    if (writing)
        status = cannot_create(error) ? DFAL_E_EXISTS : DFAL_E_IO;
    else if (error == ENOENT || error == ENOTDIR || error == EACCES)
        status = DFAL_E_NOINPUT;
    else if (error == EISDIR)
        status = DFAL_E_DATA;
    return df_fail(status, "%s: %s failed: %s", path, doing, strerror(error));
}

int df_descriptor(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    const int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
    close(fd);
    errno = error;
    return moved;
}

/* The folder that holds path: "." for a bare name. */
static dfal_status folder_of(char **folder, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return df_strdup(folder, ".");
    return df_format(folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* umask() can only be read by changing it, which other threads would see. */
static mode_t read_umask(void)
{
    mode_t mask = 022;
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return mask;
    char line[256];
    unsigned int value;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Umask: %o", &value) == 1)
            mask = (mode_t)value;
    fclose(file);
    return mask;
}

mode_t df_file_mode(mode_t wanted)
{
    return (wanted & ~read_umask()) | (wanted & 0700);
}

int df_file_make(int folder, const char *name, int flags)
{
    struct stat facts;
    const int fd = df_descriptor(openat(folder, name, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (fd >= 0 && fstat(fd, &facts) == 0 && (facts.st_mode & 0600) != 0600)
        (void)fchmod(fd, facts.st_mode | 0600);
    return fd;
}

bool df_file_lock(int fd)
{
    if (fails(DF_FAULT_LOCK))
        errno = ENOLCK;
    else if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    return false;
}

dfal_status df_file_temporary(char **temporary, int *fd, const char *path)
{
    *temporary = NULL;
    *fd = -1;
    char *name;
    DF_TRY(df_format(&name, "%s" DF_TEMPORARY_MARK "XXXXXX", path));
    dfal_status status = DFAL_OK;
    int file = fails(DF_FAULT_OPEN) ? -1 : df_descriptor(mkostemp(name, O_CLOEXEC));
    if (file < 0) {
        status = df_fail_errno(errno, true, path, "creating a temporary file beside it");
    } else if (fchmod(file, df_file_mode(0666)) != 0) {
        status = df_fail_errno(errno, true, name, "setting its mode");
        close(file);
        unlink(name);
    }
    if (status != DFAL_OK) {
        df_free(name);
        return status;
    }
    (void)df_file_lock(file); /* so that a sweep leaves it alone; no harm where locks are missing */
    *temporary = name;
    *fd = file;
    return DFAL_OK;
}

static dfal_status close_checked(int fd, const char *path)
{
    bool failed = fails(DF_FAULT_CLOSE);
    int error = errno;
    if (close(fd) != 0 && !failed) {
        failed = true;
        error = errno;
    }
    return failed ? df_fail_errno(error, true, path, "closing") : DFAL_OK;
}

/* fsync a file or a folder by name. Some file systems cannot sync a folder and say EINVAL. */
static dfal_status sync_path(const char *path, bool folder)
{
    int flags = O_RDONLY | O_CLOEXEC | (folder ? O_DIRECTORY : O_NOFOLLOW);
    int fd = fails(DF_FAULT_OPEN) ? -1 : open(path, flags);
    if (fd < 0)
        return df_fail_errno(errno, true, path, "opening it for fsync");
    dfal_status status = DFAL_OK;
    if ((fails(DF_FAULT_FSYNC) || fsync(fd) != 0) && !(folder && errno == EINVAL))
        status = df_fail_errno(errno, true, path, "fsync");
    DF_KEEP_FIRST(status, close_checked(fd, path));
    return status;
}

/* Let the disk begin: fsync, which waits for it, follows. */
static void push(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    close(fd);
}

/* How a temporary has come to its name, and so how it is taken back. */
enum placed { MADE, EXCHANGED, REPLACED };

/* For file systems without RENAME_NOREPLACE. A second name is never made over a file; a server that lost its
 * answer may say that the first try's name is in the way. */
static int link_onto(const char *temporary, const char *path)
{
    struct stat ours, theirs;
    if (link(temporary, path) == 0 ||
        (errno == EEXIST && stat(temporary, &ours) == 0 && lstat(path, &theirs) == 0 &&
         ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino)) {
        (void)unlink(temporary);
        return 0;
    }
    if (errno == EEXIST || lstat(path, &theirs) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(temporary, path); /* nor has it links */
}

static int renamed(const char *from, const char *to, unsigned int flags)
{
    if (fails(DF_FAULT_FLAGS)) {
        errno = EINVAL;
        return -1;
    }
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

/* What is replaced is exchanged with the temporary first: as long as it is there nothing is lost. */
static int place(const char *temporary, const char *path, bool replace, enum placed *how)
{
    struct stat there;
    *how = MADE;
    if (fails(DF_FAULT_RENAME))
        return -1;
    if (renamed(temporary, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (!replace)
        return errno == EEXIST ? -1 : link_onto(temporary, path);
    if (lstat(path, &there) == 0) {
        *how = REPLACED;
        if (!S_ISDIR(there.st_mode) && renamed(temporary, path, RENAME_EXCHANGE) == 0) {
            *how = EXCHANGED;
            return 0;
        }
    }
    return rename(temporary, path);
}

/* False: the temporary is still the file that stood at path before. */
static bool take_back(const char *temporary, const char *path, enum placed how)
{
    if (how == EXCHANGED)
        return renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) == 0;
    if (how == MADE)
        (void)unlink(path);
    return true;
}

static dfal_status publish(const char *const *temporaries, const char *const *paths, int32_t count,
                           bool replace)
{
    char *folder = NULL;
    enum placed *how = NULL;
    int32_t placed = 0;
    dfal_status status = DFAL_OK;
    if (count == 0)
        return DFAL_OK;
    DF_TRY_TO(done, status, folder_of(&folder, paths[0]));
    DF_TRY_TO(done, status, df_alloc(&how, count, sizeof *how));
    for (int32_t i = 0; i < count && count > 1; i++)
        push(temporaries[i]);
    for (int32_t i = 0; i < count; i++)
        DF_TRY_TO(done, status, sync_path(temporaries[i], false));
    for (; placed < count; placed++)
        if (place(temporaries[placed], paths[placed], replace, &how[placed]) != 0) {
            status = errno == EEXIST
                         ? df_fail(DFAL_E_EXISTS,
                                   "%s: a file of this name has appeared meanwhile; `force` replaces it",
                                   paths[placed])
                         : df_fail_errno(errno, true, paths[placed], "renaming the finished temporary to it");
            goto done;
        }
    status = sync_path(folder, true);
done:
    for (int32_t i = 0; i < count; i++) {
        const bool back = status == DFAL_OK || i >= placed || take_back(temporaries[i], paths[i], how[i]);
        if (back && (status != DFAL_OK || how[i] == EXCHANGED))
            unlink(temporaries[i]);
    }
    df_free(how);
    df_free(folder);
    return status;
}

dfal_status df_file_publish_all(const char *const *temporaries, const char *const *paths, int32_t count)
{
    return publish(temporaries, paths, count, true);
}

dfal_status df_file_publish(const char *temporary, const char *path, bool replace)
{
    return publish(&temporary, &path, 1, replace);
}

bool df_name_ends(const char *name, const char *ending)
{
    const size_t length = strlen(name), most = strlen(ending);
    return length > most && strcmp(name + length - most, ending) == 0;
}

bool df_file_is_temporary(const char *entry, const char *base)
{
    const size_t end = sizeof DF_TEMPORARY_MARK - 1 + RANDOM_LETTERS, length = strlen(entry);
    if (length <= end || strncmp(entry + length - end, DF_TEMPORARY_MARK, sizeof DF_TEMPORARY_MARK - 1) != 0)
        return false;
    return !base || (strlen(base) == length - end && strncmp(entry, base, length - end) == 0);
}

static void sweep(const char *folder, const char *base)
{
    DIR *directory = opendir(folder);
    if (!directory)
        return;
    int at = dirfd(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!df_file_is_temporary(entry->d_name, base))
            continue;
        /* A network file system locks only what is open for writing. */
        int fd = openat(at, entry->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (df_file_lock(fd))
            unlinkat(at, entry->d_name, 0);
        close(fd);
    }
    closedir(directory);
}

void df_file_sweep(const char *path)
{
    char *folder;
    if (folder_of(&folder, path) != DFAL_OK)
        return;
    const char *slash = strrchr(path, '/');
    sweep(folder, slash ? slash + 1 : path);
    df_free(folder);
}

void df_folder_sweep(const char *folder)
{
    sweep(folder, NULL);
}

dfal_status df_file_append(int fd, const char *path, const void *bytes, size_t size)
{
    const char *next = bytes;
    while (size > 0) {
        ssize_t written = fails(DF_FAULT_WRITE) ? -1 : write(fd, next, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return df_fail_errno(errno, true, path, "writing");
        next += written;
        size -= (size_t)written;
    }
    return DFAL_OK;
}

dfal_status df_file_write_output(const char *path, const void *bytes, size_t size, bool replace)
{
    char *temporary;
    int fd;
    DF_TRY(df_file_temporary(&temporary, &fd, path));
    const int held = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the lock lasts until the file has its name */
    dfal_status status = df_file_append(fd, path, bytes, size);
    DF_KEEP_FIRST(status, close_checked(fd, path));
    if (status == DFAL_OK)
        status = df_file_publish(temporary, path, replace);
    else
        unlink(temporary);
    if (held >= 0)
        close(held);
    df_free(temporary);
    return status;
}

dfal_status df_file_write(const char *path, const void *bytes, size_t size)
{
    return df_file_write_output(path, bytes, size, true);
}

dfal_status df_file_open(int *fd, size_t *size, const char *path, size_t limit)
{
    struct stat facts;
    *fd = fails(DF_FAULT_OPEN) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return df_fail_errno(errno, false, path, "opening");
    const bool plain = fstat(*fd, &facts) == 0 && S_ISREG(facts.st_mode);
    if (size)
        *size = plain ? (size_t)facts.st_size : 0;
    if (!plain || (uintmax_t)facts.st_size <= limit)
        return DFAL_OK;
    close(*fd);
    *fd = -1;
    DF_FAIL(DFAL_E_DATA, "%s: the file has %jd bytes, expected at most %zu", path, (intmax_t)facts.st_size,
            limit);
}

dfal_status df_file_read_some(size_t *got, int fd, const char *path, void *bytes, size_t most)
{
    ssize_t n;
    *got = 0;
    do
        n = fails(DF_FAULT_READ) ? -1 : read(fd, bytes, most);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return df_fail_errno(errno, false, path, "reading");
    *got = (size_t)n;
    return DFAL_OK;
}

static dfal_status read_all(char **bytes, size_t *size, int fd, const char *path, size_t limit,
                            size_t expected)
{
    const int64_t first = expected ? (int64_t)expected + 2 : 1 << 16;
    int64_t capacity = 0;
    size_t used = 0;
    for (;;) {
        DF_TRY(df_grow(bytes, &capacity, (int64_t)used + 2, 1, first));
        size_t got;
        DF_TRY(df_file_read_some(&got, fd, path, *bytes + used, (size_t)capacity - used - 1));
        if (got == 0)
            break;
        used += got;
        if (used > limit)
            DF_FAIL(DFAL_E_DATA, "%s: the file has more than %zu bytes, expected at most that", path, limit);
    }
    (*bytes)[used] = 0;
    *size = used;
    return DFAL_OK;
}

dfal_status df_file_read(char **bytes, size_t *size, const char *path, size_t limit)
{
    int fd;
    size_t expected = 0;
    *bytes = NULL;
    *size = 0;
    DF_TRY(df_file_open(&fd, &expected, path, limit));
    dfal_status status = read_all(bytes, size, fd, path, limit, expected);
    close(fd);
    if (status != DFAL_OK) {
        df_free(*bytes);
        *bytes = NULL;
        *size = 0;
    }
    return status;
}

bool df_file_exists(const char *path)
{
    struct stat facts;
    return lstat(path, &facts) == 0;
}

bool df_folder_exists(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

dfal_status df_file_check_target(const char *path, bool force)
{
    struct stat there;
    if (!*path)
        DF_FAIL(DFAL_E_EXISTS, "the output's name is empty: expected the name of a file");
    if (df_folder_exists(path))
        DF_FAIL(DFAL_E_EXISTS, "%s: this is a folder, expected the name of a file", path);
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) /* or a link to one, such as /dev/stdout */
        DF_FAIL(DFAL_E_EXISTS, "%s: this is a device or a pipe, expected the name of a file", path);
    if (!force && df_file_exists(path))
        DF_FAIL(DFAL_E_EXISTS, "%s: the output exists; `force` replaces it", path);
    char *folder;
    DF_TRY(folder_of(&folder, path));
    dfal_status status = DFAL_OK;
    if (!df_folder_exists(folder))
        status = df_fail(DFAL_E_EXISTS, "%s: %s '%s' %s", path,
                         df_file_exists(folder) ? "its folder" : "the folder", folder,
                         df_file_exists(folder) ? "is a file" : "does not exist");
    else if (access(folder, W_OK | X_OK) != 0)
        status = df_fail_errno(errno, true, path, "writing into its folder");
    df_free(folder);
    return status;
}
