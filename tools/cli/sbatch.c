/* SPDX-License-Identifier: Apache-2.0 */
#include "sbatch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Start it with the pipe as its stdout, and with SIGPIPE as everybody else begins with it. Returns an errno.
 */
static int start(pid_t *child, char *const *words, const int ends[2])
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t broken;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
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

static dfal_status fail(const char *path, const char *why)
{
    return usage_error(DFAL_E_UNAVAILABLE,
                       "%s is written but not submitted: %s; expected Slurm to take it, as 'sbatch %s' does",
                       path, why, path);
}

dfal_status sbatch(int64_t *job, const char *path, int64_t after)
{
    char dependency[64], said[256], why[128];
    char *words[8] = {"sbatch", "--parsable"};
    int count = 2, ends[2], status = 0;
    pid_t child;
    *job = 0;
    if (after > 0) {
        snprintf(dependency, sizeof dependency, "--dependency=afterok:%" PRId64, after);
        words[count++] = dependency;
        words[count++] = "--kill-on-invalid-dep=yes";
    }
    words[count] = (char *)path;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(path, strerror(errno));
    const int error = start(&child, words, ends);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return fail(path, error == ENOENT ? "there is no sbatch on the PATH" : strerror(error));
    }
    read_all(said, sizeof said, ends[0]);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "sbatch died by signal %d", WTERMSIG(status));
    else
        snprintf(why, sizeof why, "sbatch ended with exit code %d", WEXITSTATUS(status));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(path, why);
    said[strcspn(said, ";\n")] = '\0'; /* behind a semicolon stands the cluster */
    if (!df_parse_whole(job, said) || *job <= 0)
        return fail(path, "sbatch named no job");
    return DFAL_OK;
}
