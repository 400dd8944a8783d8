/* SPDX-License-Identifier: Apache-2.0 */
#include "io/image_take.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file_mark.h"
#include "base/memory.h"

static const int64_t file_limit = (int64_t)1 << 30;

static dfal_status read_all(struct df_image_taker *taker, int fd, const char *path, int64_t *size)
{
    for (int64_t got = 0;;) {
        DF_TRY(df_grow(&taker->bytes, &taker->capacity, got + 1, 1, 1 << 20));
        ssize_t n = df_fault_hits(DF_FAULT_READ)
                        ? (errno = EIO, -1)
                        : read(fd, taker->bytes + got, (size_t)(taker->capacity - got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            DF_FAIL(DFAL_E_IO, "%s: reading failed: %s", path, strerror(errno));
        if (n == 0) {
            *size = got;
            return DFAL_OK;
        }
        got += n;
        if (got > file_limit)
            DF_FAIL(DFAL_E_DATA, "the file has more than %lld bytes, expected a picture",
                    (long long)file_limit);
    }
}

/* Whatever is wrong with the file alone is E_DATA, without its name; what is wrong with the machine is
 * something else. */
static dfal_status read_file(struct df_image_taker *taker, const char *path, int64_t *size)
{
    struct stat facts;
    struct df_file_mark mark;
    /* A pipe would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == EIO || errno == ENOMEM))
        DF_FAIL(DFAL_E_IO, "%s: opening failed: %s", path, strerror(errno));
    if (fd < 0)
        DF_FAIL(DFAL_E_DATA, "the file cannot be opened: %s", strerror(errno));
    dfal_status status = DFAL_OK;
    if (fstat(fd, &facts) != 0)
        status = df_fail(DFAL_E_IO, "%s: looking at it failed: %s", path, strerror(errno));
    else if (!S_ISREG(facts.st_mode))
        status = df_fail(DFAL_E_DATA, "it is %s, expected a plain file",
                         S_ISDIR(facts.st_mode) ? "a folder" : "a device or a pipe");
    else
        status = df_file_mark(&mark, fd, path);
    if (status == DFAL_OK)
        status = read_all(taker, fd, path, size);
    if (status == DFAL_OK)
        status = df_file_unchanged(&mark, fd, path, true);
    close(fd);
    return status;
}

dfal_status df_image_take(struct df_image_taker *taker, const char *path, struct df_shape *shape,
                          uint8_t *sample)
{
    int64_t size = 0;
    taker->fitter.shape = *shape;
    taker->fitter.sample = sample;
    dfal_status status = read_file(taker, path, &size);
    if (status == DFAL_OK)
        status = df_image_decode(&taker->fitter.sink, taker->bytes, (size_t)size, DF_IMAGE_LIMITS);
    if (status == DFAL_OK)
        *shape = taker->fitter.shape;
    if (status == DFAL_E_SHAPE || status == DFAL_E_MEMORY)
        (void)df_fail_prefix(status, "%s: ", path);
    return status;
}

void df_image_taker_clear(struct df_image_taker *taker)
{
    df_free(taker->bytes);
    df_fitter_clear(&taker->fitter);
    memset(taker, 0, sizeof *taker);
}
