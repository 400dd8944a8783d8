/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Start it with the pipe as its stdout, and with SIGPIPE as everybody else begins with it. Returns an errno.
 */
static int start(pid_t *child, char *const *words, const int ends[2], int errors)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t broken;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    if (errors >= 0)
        posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
    posix_spawnattr_setsigdefault(&attributes, &broken);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    const int error = posix_spawnp(child, words[0], &files, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

/* All that it prints, as far as there is room; it may not block on more. */
static void read_all(char *text, size_t size, int fd)
{
    char rest[256];
    size_t used = 0;
    for (;;) {
        const bool room = used + 1 < size;
        const ssize_t got = read(fd, room ? text + used : rest, room ? size - 1 - used : sizeof rest);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += room ? (size_t)got : 0;
    }
    text[used] = '\0';
}

int child_output(char *const *words, char *text, size_t size, int errors, int *ended)
{
    int ends[2];
    pid_t child;
    text[0] = '\0';
    *ended = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    const int error = start(&child, words, ends, errors);
    close(ends[1]);
    if (error == 0)
        read_all(text, size, ends[0]);
    close(ends[0]);
    while (error == 0 && waitpid(child, ended, 0) < 0 && errno == EINTR)
        ;
    return error;
}

void child_ended(char *why, size_t size, const char *name, int ended)
{
    why[0] = '\0';
    if (WIFSIGNALED(ended))
        snprintf(why, size, "%s died by signal %d", name, WTERMSIG(ended));
    else if (WEXITSTATUS(ended) != 0)
        snprintf(why, size, "%s ended with exit code %d", name, WEXITSTATUS(ended));
}
