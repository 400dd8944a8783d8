/* SPDX-License-Identifier: Apache-2.0 */
/* Give fuzz input a path without touching the disk. */
#ifndef DF_FUZZ_MEMORY_FILE_H
#define DF_FUZZ_MEMORY_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct memory_file {
    int fd;
    char path[64];
};

static inline void memory_file_open(struct memory_file *file, const uint8_t *data, size_t size)
{
    file->fd = memfd_create("fuzz", 0);
    if (file->fd < 0 || write(file->fd, data, size) != (ssize_t)size)
        abort();
    snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
}

static inline void memory_file_close(struct memory_file *file)
{
    close(file->fd);
}

#endif
