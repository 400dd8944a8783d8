/* SPDX-License-Identifier: Apache-2.0 */
/* Text files that people's programs wrote: UTF-8 with or without a byte-order mark, or UTF-16 with one. What
 * is read from them is UTF-8 without a mark. Bytes that are no UTF-8 pass unchanged: a file's name may hold
 * any. */
#ifndef DF_BASE_TEXT_FILE_H
#define DF_BASE_TEXT_FILE_H

#include "base/file_mark.h"

enum df_text_code { DF_TEXT_UNKNOWN, DF_TEXT_UTF8, DF_TEXT_UTF16_LE, DF_TEXT_UTF16_BE };
enum { DF_TEXT_BLOCK = 1 << 16 };

struct df_text_file {
    const char *path; /* borrowed */
    int fd;
    size_t limit, used; /* bytes of the file */
    enum df_text_code code;
    uint16_t high;    /* first half of a UTF-16 pair that waits for its second, 0: none */
    uint8_t *raw;     /* [DF_TEXT_BLOCK] as the file has it */
    char *text;       /* UTF-8 of it */
    size_t left_over; /* bytes of raw that wait for the next block: half a UTF-16 unit */
    size_t size;      /* of a plain file when it was opened; 0: a pipe, or nothing */
    struct df_file_mark mark;
};
#define DF_TEXT_FILE_NONE ((struct df_text_file){.fd = -1})

/* Open a file of at most limit bytes. Errors   E_NOINPUT missing; E_DATA larger than limit; E_IO */
dfal_status df_text_file_open(struct df_text_file *file, const char *path, size_t limit);
/* Give the next bytes, at most 3/2 DF_TEXT_BLOCK + 8, until the next call; size 0: the end.
 * Errors   E_DATA broken UTF-16, more bytes than limit; E_IO also at the end of a file that has changed;
 *          E_MEMORY */
dfal_status df_text_file_next(struct df_text_file *file, const char **text, size_t *size);
void df_text_file_close(struct df_text_file *file);

/* Read a whole text; *text has a zero behind its end (df_free). Errors as above, and E_DATA a zero byte in
 * it */
dfal_status df_text_file_read(char **text, size_t *size, const char *path, size_t limit);
/* Cut the next line off a text, in place and without its LF or CRLF; NULL behind the last. */
char *df_text_line(char **at);

#endif
