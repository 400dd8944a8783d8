/* SPDX-License-Identifier: Apache-2.0 */
/* A run of bytes read once, from front to end: a plain file, or one member of a zip archive. */
#ifndef DF_IO_SOURCE_H
#define DF_IO_SOURCE_H

#include "base/file_mark.h"

struct df_source {
    char *name;   /* "a.npz: x.npy": stands in every message */
    int64_t size; /* bytes it declares */
    int64_t done; /* bytes read so far */
    int fd;       /* -1: closed */
    int64_t at;   /* where in the file the next byte lies */
    /* A member of an archive: */
    bool member, packed;
    int64_t left;             /* bytes of the member not yet read from the file */
    uint32_t sum, sum_wanted; /* CRC-32 */
    struct df_unpacker *unpacker;
    struct df_file_mark mark; /* when it was opened */
};

#define DF_SOURCE_NONE ((struct df_source){.fd = -1})

/* Open a plain file. Errors   E_NOINPUT; E_DATA no plain file, empty; E_IO */
dfal_status df_source_open(struct df_source *source, const char *path);
/* Open what lies in a file at [at, at + stored): size bytes once unpacked (packed: raw deflate), of CRC-32
 * sum. */
dfal_status df_source_open_member(struct df_source *source, int fd, const char *name, int64_t at,
                                  int64_t stored, int64_t size, uint32_t sum, bool packed);
/* Read exactly size bytes; what names them in messages. Errors   E_DATA truncated or damaged; E_IO */
dfal_status df_source_read(struct df_source *source, void *bytes, int64_t size, const char *what);
/* Nothing may follow, a check sum must be right, and the file still be the one that was opened. */
dfal_status df_source_end(struct df_source *source);
void df_source_close(struct df_source *source);

/* Read exactly size bytes at an offset of an open file. */
dfal_status df_read_at(int fd, const char *name, int64_t at, void *bytes, int64_t size);
/* Open a plain file and give its size. Errors as df_source_open */
dfal_status df_open_plain(int *fd, int64_t *size, const char *path);

static inline uint64_t df_little_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

#endif
