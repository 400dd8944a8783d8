/* SPDX-License-Identifier: Apache-2.0 */
/* Loaded before the command: a slow disk, one without locks, and a kill exactly before or after a file gets
 * its name.
 *   DFAL_TEST_FSYNC_MS=N      fsync takes N milliseconds more
 *   DFAL_TEST_KEEP=NAME       a file of a folder cannot be removed by that name
 *   DFAL_TEST_NO_LOCKS=1      flock fails, as on a file system without locks
 *   DFAL_TEST_KILL=before:END after:END   the process is killed around the renaming to a path that ends so */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

__attribute__((visibility("default"))) int fsync(int fd)
{
    static int (*real)(int);
    const char *wait = getenv("DFAL_TEST_FSYNC_MS");
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    if (wait)
        usleep(1000U * (unsigned)atoi(wait));
    return real(fd);
}

__attribute__((visibility("default"))) int flock(int fd, int operation)
{
    static int (*real)(int, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "flock");
    if (!getenv("DFAL_TEST_NO_LOCKS"))
        return real(fd, operation);
    errno = ENOLCK;
    return -1;
}

__attribute__((visibility("default"))) int unlinkat(int folder, const char *name, int flags)
{
    static int (*real)(int, const char *, int);
    const char *kept = getenv("DFAL_TEST_KEEP");
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "unlinkat");
    if (!kept || strcmp(kept, name) != 0)
        return real(folder, name, flags);
    errno = EIO;
    return -1;
}

static void kill_at(const char *moment, const char *path)
{
    const char *wanted = getenv("DFAL_TEST_KILL");
    const size_t length = strlen(moment), size = strlen(path);
    if (!wanted || strncmp(wanted, moment, length) != 0 || wanted[length] != ':')
        return;
    wanted += length + 1;
    if (size >= strlen(wanted) && strcmp(path + size - strlen(wanted), wanted) == 0)
        raise(SIGKILL);
}

__attribute__((visibility("default"))) int renameat2(int from_folder, const char *from, int to_folder,
                                                     const char *to, unsigned int flags)
{
    static int (*real)(int, const char *, int, const char *, unsigned int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "renameat2");
    kill_at("before", to);
    const int result = real(from_folder, from, to_folder, to, flags);
    if (result == 0)
        kill_at("after", to);
    return result;
}
