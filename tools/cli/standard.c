/* SPDX-License-Identifier: Apache-2.0 */
#include "standard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

/* What this process began with: whoever ignores SIGPIPE wants an exit code. */
static void (*pipe_before)(int number);

/* The wrong way round, so that what is written to a closed output fails as it should. */
static void fill_closed(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void standard_begin(void)
{
    fill_closed();
    pipe_before = signal(SIGPIPE, SIG_IGN);
}

void die_by(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
    raise(number);
}

/* Nobody reads it any more. The failed write may be long ago, so errno does not tell. */
static bool broken(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLOUT};
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLERR | POLLHUP)) != 0;
}

bool standard_end(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (pipe_before == SIG_DFL && broken(STDOUT_FILENO))
        die_by(SIGPIPE);
    return false;
}
