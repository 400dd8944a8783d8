/* SPDX-License-Identifier: Apache-2.0 */
#include "base/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_mark.h"
#include "base/memory.h"

#define PLACE "/tmp"
#define NAME  "dfal-scratch-"

enum { TRIES = 100 };

/* Open a folder of this user's as what it is locked by; -1: it is none. */
static int open_own(const char *path)
{
    struct stat facts;
    const int fd = df_descriptor(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd >= 0 && (fstat(fd, &facts) != 0 || facts.st_uid != geteuid())) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A folder that nobody holds was left by a process that was killed. */
static void sweep_one(const char *name)
{
    char path[sizeof PLACE + NAME_MAX + 1];
    snprintf(path, sizeof path, "%s/%s", PLACE, name);
    const int fd = open_own(path);
    if (fd >= 0 && df_file_lock(fd))
        (void)df_folder_remove_all(path);
    if (fd >= 0)
        close(fd);
}

static void sweep(void)
{
    DIR *place = opendir(PLACE);
    if (!place)
        return;
    for (struct dirent *entry; (entry = readdir(place));)
        if (!strncmp(entry->d_name, NAME, sizeof NAME - 1))
            sweep_one(entry->d_name);
    closedir(place);
}

/* Between its making and its lock a sweep may have taken it: then it is not held, and gone soon. */
static bool hold(struct df_scratch *scratch)
{
    bool same = false;
    scratch->lock = open_own(scratch->path);
    const bool locked = scratch->lock >= 0 && df_file_lock(scratch->lock);
    if (scratch->lock >= 0 && !locked && errno != EWOULDBLOCK)
        return true; /* a file system without locks has no sweep either */
    if (locked && df_file_has_name(&same, scratch->lock, scratch->path) == DFAL_OK && same)
        return true;
    if (scratch->lock >= 0)
        close(scratch->lock);
    scratch->lock = -1;
    return false;
}

dfal_status df_scratch_open(struct df_scratch *scratch)
{
    static const char pattern[] = PLACE "/" NAME "XXXXXX";
    dfal_status status;
    *scratch = (struct df_scratch){0};
    sweep();
    for (int i = 0; i < TRIES; i++) {
        DF_TRY(df_strdup(&scratch->path, pattern));
        if (!mkdtemp(scratch->path)) {
            status = df_fail_errno(errno, true, pattern, "creating the folder");
            goto failed;
        }
        if (hold(scratch))
            return DFAL_OK;
        df_free(scratch->path);
        scratch->path = NULL;
    }
    status = df_fail(DFAL_E_EXISTS, "%s: no folder that dfal makes stays there, expected it to", PLACE);
failed:
    df_free(scratch->path);
    *scratch = (struct df_scratch){0};
    return status;
}

void df_scratch_close(struct df_scratch *scratch)
{
    if (!scratch->path)
        return;
    (void)df_folder_remove_all(scratch->path);
    close(scratch->lock);
    df_free(scratch->path);
    *scratch = (struct df_scratch){0};
}
