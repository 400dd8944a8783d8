/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text_file.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

enum { TEXT_ROOM = DF_TEXT_BLOCK / 2 * 3 + 8 }; /* a UTF-16 unit is at most three bytes of UTF-8 */

dfal_status df_text_file_open(struct df_text_file *file, const char *path, size_t limit)
{
    dfal_status status;
    *file = (struct df_text_file){.path = path, .fd = -1, .limit = limit};
    DF_TRY_TO(done, status, df_file_open(&file->fd, &file->size, path, limit));
    DF_TRY_TO(done, status, df_file_mark(&file->mark, file->fd, path));
    DF_TRY_TO(done, status, df_alloc(&file->raw, DF_TEXT_BLOCK, 1));
    status = df_alloc(&file->text, TEXT_ROOM, 1);
done:
    if (status != DFAL_OK)
        df_text_file_close(file);
    return status;
}

void df_text_file_close(struct df_text_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    df_free(file->raw);
    df_free(file->text);
    *file = DF_TEXT_FILE_NONE;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    const size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t first[4] = {0, 0xc0, 0xe0, 0xf0};
    for (size_t i = more; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(first[more] | c);
    return more + 1;
}

static dfal_status fail_utf16(const struct df_text_file *file, size_t behind)
{
    return df_fail(DFAL_E_DATA, "%s: byte %zu: half a character, expected UTF-16 as its byte-order mark says",
                   file->path, file->used - behind);
}

static dfal_status from_utf16(struct df_text_file *file, size_t at, size_t count, size_t *size)
{
    const bool big = file->code == DF_TEXT_UTF16_BE;
    *size = 0;
    for (; at + 1 < count; at += 2) {
        const uint16_t unit = (uint16_t)(file->raw[at + !big] << 8 | file->raw[at + big]);
        const bool high = unit >= 0xd800 && unit < 0xdc00, low = unit >= 0xdc00 && unit < 0xe000;
        if (low != (file->high != 0))
            return fail_utf16(file, count - at);
        if (low)
            *size += put_utf8(file->text + *size,
                              0x10000 + ((uint32_t)(file->high - 0xd800) << 10) + (unit - 0xdc00u));
        else if (!high)
            *size += put_utf8(file->text + *size, unit);
        file->high = high ? unit : 0;
    }
    file->left_over = count - at;
    if (file->left_over)
        file->raw[0] = file->raw[at];
    return DFAL_OK;
}

/* Tell what a file is written in by its first bytes; *at is behind its mark. */
static enum df_text_code find_code(const uint8_t *raw, size_t count, size_t *at)
{
    *at = 0;
    if (count >= 3 && memcmp(raw, "\xef\xbb\xbf", 3) == 0) {
        *at = 3;
    } else if (count >= 2 && raw[0] + raw[1] == 0xfe + 0xff && (raw[0] == 0xff || raw[1] == 0xff)) {
        *at = 2;
        return raw[0] == 0xff ? DF_TEXT_UTF16_LE : DF_TEXT_UTF16_BE;
    }
    return DF_TEXT_UTF8;
}

/* Fill raw behind what is left over: pipes give less than is asked for. */
static dfal_status fill(struct df_text_file *file, size_t *count)
{
    *count = file->left_over;
    for (size_t got = 1; got > 0 && *count < DF_TEXT_BLOCK; *count += got) {
        DF_TRY(df_file_read_some(&got, file->fd, file->path, file->raw + *count, DF_TEXT_BLOCK - *count));
        file->used += got;
    }
    if (file->used > file->limit)
        DF_FAIL(DFAL_E_DATA, "%s: the file has more than %zu bytes, expected at most that", file->path,
                file->limit);
    const bool end = *count < DF_TEXT_BLOCK;
    return end && file->size ? df_file_unchanged(&file->mark, file->fd, file->path, true) : DFAL_OK;
}

dfal_status df_text_file_next(struct df_text_file *file, const char **text, size_t *size)
{
    size_t count, at = 0;
    *text = file->text;
    *size = 0;
    do {
        DF_TRY(fill(file, &count));
        const bool end = count < DF_TEXT_BLOCK;
        if (file->code == DF_TEXT_UNKNOWN)
            file->code = find_code(file->raw, count, &at);
        if (file->code == DF_TEXT_UTF8) {
            *text = (const char *)file->raw + at;
            *size = count - at;
            return DFAL_OK;
        }
        DF_TRY(from_utf16(file, at, count, size));
        if (end && (file->left_over || file->high))
            return fail_utf16(file, file->left_over);
        if (end)
            return DFAL_OK;
    } while (*size == 0);
    return DFAL_OK;
}

dfal_status df_text_file_read(char **text, size_t *size, const char *path, size_t limit)
{
    struct df_text_file file = DF_TEXT_FILE_NONE;
    struct df_text whole = {0};
    const char *piece;
    size_t n;
    dfal_status status;
    *text = NULL;
    *size = 0;
    DF_TRY_TO(done, status, df_text_file_open(&file, path, limit));
    do {
        DF_TRY_TO(done, status, df_text_file_next(&file, &piece, &n));
        if (memchr(piece, '\0', n)) {
            status = df_fail(DFAL_E_DATA, "%s: a zero byte, expected text (UTF-16 needs its byte-order mark)",
                             path);
            goto done;
        }
        df_text_append(&whole, piece, (int64_t)n);
    } while (n > 0);
    *size = (size_t)whole.size;
    status = df_text_take(&whole, text);
done:
    df_text_clear(&whole);
    df_text_file_close(&file);
    return status;
}

char *df_text_line(char **at)
{
    char *line = *at;
    if (!*line)
        return NULL;
    char *end = line + strcspn(line, "\n");
    *at = end + (*end == '\n');
    if (end > line && end[-1] == '\r')
        end--;
    *end = 0;
    return line;
}
