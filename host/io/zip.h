/* SPDX-License-Identifier: Apache-2.0 */
/* Zip archives as numpy writes them (.npz): the central directory with zip64, members stored or deflated.
 * Source   APPNOTE.TXT 6.3.10, sections 4.3 to 4.5 */
#ifndef DF_IO_ZIP_H
#define DF_IO_ZIP_H

#include "io/source.h"

struct df_zip_member {
    char *name;
    int32_t method; /* 0 stored, 8 deflate */
    bool encrypted;
    uint32_t sum;
    int64_t stored, size, at; /* at: of its local header */
};
struct df_zip {
    char *path;
    int fd;            /* -1: closed */
    int64_t directory; /* where the central directory begins */
    struct df_zip_member *members;
    int64_t count;
};
#define DF_ZIP_NONE ((struct df_zip){.fd = -1})

/* Read the directory. Errors   E_NOINPUT; E_DATA no zip archive, truncated, of several parts; E_IO */
dfal_status df_zip_open(struct df_zip *zip, const char *path);
void df_zip_close(struct df_zip *zip);
/* *index of the member, -1: none. Errors   E_DATA two members of that name */
dfal_status df_zip_find(const struct df_zip *zip, int64_t *index, const char *name);
/* Open a member for reading. Errors   E_DATA encrypted, another packing than deflate, a size that it cannot
 * hold, overlapping the directory */
dfal_status df_zip_read(const struct df_zip *zip, int64_t index, struct df_source *source);

#endif
